//! Reader of Edge DSE lookup tables, version 1. Needs `core` only.
//!
//! `Lut::open` checks every byte once. Layout and rules: docs/lut.md of Edge DSE. Numbers are
//! integers: value * 10^-decimals [unit].

/// What is wrong with a table; the numbers are those of the C reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    TooShort = 1,
    Magic = 2,
    ByteOrder = 3,
    Version = 4,
    Size = 5,
    Crc = 6,
    Empty = 7,
    Layout = 8,
    String = 9,
    Column = 10,
    Names = 11,
    Value = 12,
    Order = 13,
    Default = 14,
    Points = 16,
    Index = 17,
    Device = 18,
    Network = 19,
    Task = 20,
    Context = 21,
}

/// Kinds of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Design = 0,
    Setting = 1,
    Prediction = 2,
    KeptLimit = 3,
}

/// Why a row was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// The best row that keeps all limits.
    Fits = 0,
    /// The current row keeps them, and no other is better by more than the margin.
    Kept = 1,
    /// The default row.
    NothingFits = 2,
    /// There is no such objective or current row; the default row.
    BadRequest = 3,
}

/// A column as it is described in the table.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub decimals: u8,
    /// 1: less is better, or at most; 2: more is better, or at least; 0 for knobs.
    pub sense: u8,
    /// 1 measured, 2 closed form, 3 published, 4 unverified.
    pub evidence: u8,
    pub first_label: usize,
    pub labels: usize,
    /// Of a fixed knob; margin of a prediction; bound of a kept limit.
    pub value: i64,
}

/// What the caller expects a table to be valid for; `None` asks nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    pub device: Option<&'a str>,
    pub network: Option<&'a str>,
    pub task: Option<&'a str>,
    pub context: Option<&'a str>,
}

const HEADER: usize = 112;
const COLUMN: usize = 24;
const LARGEST: i64 = (1 << 53) - 1;
const MOST_COLUMNS: usize = 32;

/// A table whose bytes have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Lut<'a> {
    data: &'a [u8],
    settings_at: usize,
    predictions_at: usize,
    points_at: usize,
    exits_at: usize,
    labels_at: usize,
    facts_at: usize,
    orders_at: usize,
    ranks_at: usize,
    strings_at: usize,
    counts: [usize; 4],
    first: [usize; 4],
    pub rows: usize,
    pub labels: usize,
    pub facts: usize,
    pub points: usize,
    pub exit_rows: usize,
    pub exit_columns: usize,
    pub exit_layer: usize,
    pub exit_step: u32,
    pub sorted_by: usize,
    pub default_row: usize,
    pub default_best: usize,
}

fn u16_at(data: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([data[at], data[at + 1]]))
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

fn size_at(data: &[u8], at: usize) -> usize {
    u32_at(data, at) as usize
}

fn i64_at(data: &[u8], at: usize) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&data[at..at + 8]);
    i64::from_le_bytes(bytes)
}

const NIBBLES: [u32; 16] = [
    0x0000_0000,
    0x1db7_1064,
    0x3b6e_20c8,
    0x26d9_30ac,
    0x76dc_4190,
    0x6b6b_51f4,
    0x4db2_6158,
    0x5005_713c,
    0xedb8_8320,
    0xf00f_9344,
    0xd6d6_a3e8,
    0xcb61_b38c,
    0x9b64_c2b0,
    0x86d3_d2d4,
    0xa00a_e278,
    0xbdbd_f21c,
];

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in data {
        crc ^= u32::from(byte);
        crc = (crc >> 4) ^ NIBBLES[(crc & 15) as usize];
        crc = (crc >> 4) ^ NIBBLES[(crc & 15) as usize];
    }
    !crc
}

fn require(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(fault)
    }
}

impl<'a> Lut<'a> {
    /// Checks everything about the bytes and that they are for what is expected.
    ///
    /// # Errors
    /// The first fault found, in the order of the C reader.
    pub fn open(data: &'a [u8], expected: &Identity) -> Result<Self, Fault> {
        check_file(data)?;
        let lut = Self::layout(data)?;
        lut.check_texts()?;
        lut.check_columns()?;
        lut.check_names()?;
        lut.check_values()?;
        lut.check_rows()?;
        lut.check_points()?;
        lut.check_orders()?;
        lut.check_identity(expected)?;
        Ok(lut)
    }

    fn layout(data: &'a [u8]) -> Result<Self, Fault> {
        let counts = [18, 20, 22, 24].map(|at| u16_at(data, at));
        let columns: usize = counts.iter().sum();
        let (rows, labels, facts) = (u16_at(data, 16), u16_at(data, 26), u16_at(data, 28));
        let (points, exit_rows) = (u16_at(data, 30), u16_at(data, 32));
        let (exit_columns, exit_layer) = (u16_at(data, 34), u16_at(data, 36));
        require(rows > 0 && counts[1] > 0 && counts[2] > 0, Fault::Empty)?;
        let (sorted_by, default_best) = (u16_at(data, 38), u16_at(data, 42));
        let exit_step = u32_at(data, 44);
        let within = counts.iter().all(|&count| count <= MOST_COLUMNS)
            && rows <= 4096
            && labels <= 1024
            && facts <= 64
            && points <= 256
            && exit_rows <= 256
            && exit_columns <= 64
            && exit_layer <= 999;
        let exits = [exit_rows, exit_columns, exit_layer].map(|count| count > 0);
        let consistent = sorted_by < counts[2]
            && default_best < counts[2]
            && u32_at(data, 52) == 0
            && exits.iter().all(|&some| some == (exit_step > 0));
        require(within && consistent, Fault::Layout)?;
        let settings_at = HEADER + COLUMN * columns;
        let predictions_at = settings_at + 8 * rows * counts[1];
        let points_at = predictions_at + 8 * rows * counts[2];
        let exits_at = points_at + 16 * points;
        let labels_at = exits_at + 4 * exit_rows * exit_columns;
        let facts_at = labels_at + 4 * labels;
        let orders_at = facts_at + 8 * facts;
        let ranks_at = orders_at + 2 * rows * counts[2];
        let lut = Lut {
            data,
            settings_at,
            predictions_at,
            points_at,
            exits_at,
            labels_at,
            facts_at,
            orders_at,
            ranks_at,
            strings_at: ranks_at + 8 * rows.div_ceil(4) * counts[2],
            counts,
            first: [0, counts[0], counts[0] + counts[1], columns - counts[3]],
            rows,
            labels,
            facts,
            points,
            exit_rows,
            exit_columns,
            exit_layer,
            exit_step,
            sorted_by,
            default_row: u16_at(data, 40),
            default_best,
        };
        let strings = data.len().checked_sub(lut.strings_at + 4);
        require(strings == Some(size_at(data, 48)), Fault::Layout)?;
        Ok(lut)
    }

    /// How many columns there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    fn descriptor(&self, index: usize) -> usize {
        HEADER + COLUMN * index
    }

    fn text(&self, at: usize) -> &'a str {
        let text = &self.data[self.strings_at + at..self.data.len() - 4];
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(0);
        core::str::from_utf8(&text[..end]).unwrap_or("")
    }

    /// Describes a column; `index` must be below `count(kind)`.
    pub fn column(&self, kind: Kind, index: usize) -> Column<'a> {
        self.column_of_all(self.first[kind as usize] + index)
    }

    fn column_of_all(&self, index: usize) -> Column<'a> {
        let at = self.descriptor(index);
        Column {
            name: self.text(size_at(self.data, at)),
            unit: self.text(size_at(self.data, at + 4)),
            decimals: self.data[at + 8],
            sense: self.data[at + 9],
            evidence: self.data[at + 10],
            first_label: u16_at(self.data, at + 12),
            labels: u16_at(self.data, at + 14),
            value: i64_at(self.data, at + 16),
        }
    }

    /// Position of a column among its kind by name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<usize> {
        (0..self.count(kind)).find(|&i| self.column(kind, i).name == name)
    }

    /// Label of a choice: `label(column.first_label + value)`.
    pub fn label(&self, index: usize) -> &'a str {
        self.text(size_at(self.data, self.labels_at + 4 * index))
    }

    /// Study, run identity, device, network, task, context.
    pub fn about(&self, index: usize) -> &'a str {
        self.text(size_at(self.data, 88 + 4 * index))
    }

    /// Name and value of a fact that the table depends on.
    pub fn fact(&self, index: usize) -> (&'a str, &'a str) {
        let at = self.facts_at + 8 * index;
        (
            self.text(size_at(self.data, at)),
            self.text(size_at(self.data, at + 4)),
        )
    }

    /// SHA-256 of the canonical JSON of the content.
    pub fn sha256(&self) -> &'a [u8] {
        &self.data[56..88]
    }

    /// One setting of a row.
    pub fn setting(&self, row: usize, column: usize) -> i64 {
        i64_at(
            self.data,
            self.settings_at + 8 * (row * self.counts[1] + column),
        )
    }

    /// One prediction of a row.
    pub fn prediction(&self, row: usize, column: usize) -> i64 {
        i64_at(
            self.data,
            self.predictions_at + 8 * (row * self.counts[2] + column),
        )
    }

    /// Supply [uV] and the highest clock it carries [Hz].
    pub fn point(&self, index: usize) -> (i64, i64) {
        let at = self.points_at + 16 * index;
        (i64_at(self.data, at), i64_at(self.data, at + 8))
    }

    /// Predicted entropy [1e-6 nat] of the layer `exit_layer + 1 + column`.
    pub fn exit_entropy(&self, row: usize, column: usize) -> u32 {
        u32_at(
            self.data,
            self.exits_at + 4 * (row * self.exit_columns + column),
        )
    }

    fn ranked(&self, objective: usize, rank: usize) -> usize {
        u16_at(
            self.data,
            self.orders_at + 2 * (self.rows * objective + rank),
        )
    }

    fn less_is_better(&self, prediction: usize) -> bool {
        self.data[self.descriptor(self.first[2] + prediction) + 9] == 1
    }

    fn loss(&self, row: usize, prediction: usize) -> i64 {
        let value = self.prediction(row, prediction);
        if self.less_is_better(prediction) {
            value
        } else {
            -value
        }
    }

    fn keeps(&self, row: usize, limits: &[Option<i64>], prediction: usize) -> bool {
        match limits.get(prediction) {
            Some(&Some(limit)) if self.less_is_better(prediction) => {
                self.prediction(row, prediction) <= limit
            }
            Some(&Some(limit)) => self.prediction(row, prediction) >= limit,
            _ => true,
        }
    }

    fn fits(&self, row: usize, limits: &[Option<i64>]) -> bool {
        (0..self.counts[2]).all(|j| self.keeps(row, limits, j))
    }

    /// The row to use now, and why.
    ///
    /// `limits`: per prediction, what a row may cost at most or must reach; missing ones ask
    /// nothing. `objective`: the prediction to be best in. `current`: the row in use.
    pub fn select(
        &self,
        limits: &[Option<i64>],
        objective: usize,
        current: Option<usize>,
    ) -> (usize, Why) {
        if objective >= self.counts[2] || current.is_some_and(|row| row >= self.rows) {
            return (self.default_row, Why::BadRequest);
        }
        let possible = (0..self.counts[2]).all(|j| self.keeps(self.ranked(j, 0), limits, j));
        let found = (0..self.rows)
            .map(|rank| self.ranked(objective, rank))
            .find(|&row| possible && self.fits(row, limits));
        let Some(row) = found else {
            return (self.default_row, Why::NothingFits);
        };
        let Some(held) = current.filter(|&held| self.fits(held, limits)) else {
            return (row, Why::Fits);
        };
        let margin = self.column(Kind::Prediction, objective).value;
        let gain = self.loss(held, objective) - self.loss(row, objective);
        if held == row || gain <= margin {
            (held, Why::Kept)
        } else {
            (row, Why::Fits)
        }
    }

    /// Layer at which a sentence is predicted to leave, `None`: at none, or there is no such table.
    ///
    /// Entropy after `exit_layer` and threshold in 1e-6 nat; the nearest row counts, a tie the
    /// lower, beyond the last row the last; the first later layer strictly below the threshold.
    pub fn predicted_exit(&self, entropy: u32, threshold: u32) -> Option<usize> {
        let (whole, rest) = (
            entropy.checked_div(self.exit_step)? as usize,
            entropy % self.exit_step,
        );
        let nearest = whole + usize::from(rest > self.exit_step / 2);
        let row = nearest.min(self.exit_rows - 1);
        (0..self.exit_columns)
            .find(|&j| self.exit_entropy(row, j) < threshold)
            .map(|j| self.exit_layer + 1 + j)
    }

    /// Lowest operating point with at least this clock.
    pub fn point_for(&self, hertz: i64) -> Option<usize> {
        (0..self.points).find(|&i| self.point(i).1 >= hertz)
    }

    fn check_texts(&self) -> Result<(), Fault> {
        let (data, columns) = (self.data, self.counts.iter().sum::<usize>());
        let about = (0..6).map(|i| (size_at(data, 88 + 4 * i), true));
        let facts = (0..2 * self.facts).map(|i| (size_at(data, self.facts_at + 4 * i), i % 2 == 1));
        let names =
            (0..2 * columns).map(|i| (size_at(data, self.descriptor(i / 2) + 4 * (i % 2)), false));
        let labels = (0..self.labels).map(|i| (size_at(data, self.labels_at + 4 * i), false));
        let strings = &data[self.strings_at..data.len() - 4];
        let mut next = 0;
        for (at, may_be_empty) in about.chain(facts).chain(names).chain(labels) {
            require(at == next && at < strings.len(), Fault::String)?;
            let rest = &strings[at..];
            let end = rest
                .iter()
                .position(|&byte| byte == 0)
                .ok_or(Fault::String)?;
            let printable = rest[..end].iter().all(|byte| (0x20..=0x7e).contains(byte));
            require(
                printable && end <= 200 && (end > 0 || may_be_empty),
                Fault::String,
            )?;
            next += end + 1;
        }
        require(next == strings.len(), Fault::String)
    }

    fn check_columns(&self) -> Result<(), Fault> {
        let mut used = 0;
        for index in 0..self.counts.iter().sum() {
            let column = self.column_of_all(index);
            let kind = (1..4).filter(|&kind| index >= self.first[kind]).count();
            let choice = column.unit == "choice";
            let senseful = kind >= 2;
            let fits = self.data[self.descriptor(index) + 11] == 0
                && column.decimals <= 18
                && !(choice && (senseful || column.decimals > 0))
                && choice == (column.labels > 0)
                && column.first_label == if choice { used } else { 0 }
                && (1..=2).contains(&column.sense) == senseful
                && column.sense <= 2
                && (1..=4).contains(&column.evidence) == (kind == 2)
                && column.evidence <= 4
                && !(kind == 1 && column.value != 0)
                && !(kind == 2 && !(0..=LARGEST).contains(&column.value));
            used += column.labels;
            require(fits && used <= self.labels, Fault::Column)?;
        }
        require(used == self.labels, Fault::Column)
    }

    fn check_names(&self) -> Result<(), Fault> {
        let knobs = self.first[2];
        for i in 0..self.first[3] {
            let column = self.column_of_all(i);
            let start = if i < knobs { 0 } else { knobs };
            let twice = (start..i).any(|j| self.column_of_all(j).name == column.name);
            require(!twice, Fault::Names)?;
            for a in column.first_label..column.first_label + column.labels {
                let twice = (column.first_label..a).any(|b| self.label(a) == self.label(b));
                require(!twice, Fault::Names)?;
            }
        }
        let rising = (1..self.facts).all(|i| self.fact(i - 1).0 < self.fact(i).0);
        require(rising, Fault::Names)
    }

    fn check_values(&self) -> Result<(), Fault> {
        for index in 0..self.counts.iter().sum() {
            let column = self.column_of_all(index);
            let fits = |value: i64| match column.labels {
                0 => (-LARGEST..=LARGEST).contains(&value),
                labels => value >= 0 && value < labels as i64,
            };
            let fine = if index < self.first[1] || index >= self.first[3] {
                fits(column.value)
            } else if index < self.first[2] {
                (0..self.rows).all(|row| fits(self.setting(row, index - self.first[1])))
            } else {
                (0..self.rows).all(|row| fits(self.prediction(row, index - self.first[2])))
            };
            require(fine, Fault::Value)?;
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<(), Fault> {
        let [_, settings, predictions, _] = self.counts;
        for row in 1..self.rows {
            let by = core::iter::once(self.sorted_by).chain(0..predictions);
            let order = by
                .map(|j| self.loss(row - 1, j).cmp(&self.loss(row, j)))
                .chain((0..settings).map(|j| self.setting(row - 1, j).cmp(&self.setting(row, j))))
                .find(|order| order.is_ne());
            require(order.is_some_and(core::cmp::Ordering::is_lt), Fault::Order)?;
        }
        let best = (0..self.rows).min_by_key(|&row| self.loss(row, self.default_best));
        require(best == Some(self.default_row), Fault::Default)
    }

    fn check_points(&self) -> Result<(), Fault> {
        let mut before = (0, 0);
        for point in (0..self.points).map(|i| self.point(i)) {
            let rises = before.0 < point.0 && before.1 < point.1;
            require(rises && point.0.max(point.1) <= LARGEST, Fault::Points)?;
            before = point;
        }
        Ok(())
    }

    fn rank(&self, objective: usize, row: usize) -> usize {
        u16_at(
            self.data,
            self.ranks_at + 8 * self.rows.div_ceil(4) * objective + 2 * row,
        )
    }

    /// Each order rises strictly in (loss, row), hence holds every row once; ranks are its inverse.
    fn check_orders(&self) -> Result<(), Fault> {
        for j in 0..self.counts[2] {
            for k in 0..self.rows {
                let row = self.ranked(j, k);
                require(row < self.rows && self.rank(j, row) == k, Fault::Index)?;
                if k > 0 {
                    let before = self.ranked(j, k - 1);
                    let rises = (self.loss(before, j), before) < (self.loss(row, j), row);
                    require(rises, Fault::Index)?;
                }
            }
            let mut padding = self.rows..self.rows.next_multiple_of(4);
            require(padding.all(|k| self.rank(j, k) == 0xffff), Fault::Index)?;
        }
        Ok(())
    }

    fn check_identity(&self, expected: &Identity) -> Result<(), Fault> {
        let asked = [
            (expected.device, Fault::Device),
            (expected.network, Fault::Network),
            (expected.task, Fault::Task),
            (expected.context, Fault::Context),
        ];
        for (i, (wanted, fault)) in asked.into_iter().enumerate() {
            require(wanted.map_or(true, |text| text == self.about(2 + i)), fault)?;
        }
        Ok(())
    }
}

fn check_file(data: &[u8]) -> Result<(), Fault> {
    require(data.len() >= HEADER + 4, Fault::TooShort)?;
    require(data[..8] == *b"\x89ELUT\r\n\x1a", Fault::Magic)?;
    require(u32_at(data, 8) != 0x0100_0000, Fault::ByteOrder)?;
    require(u32_at(data, 8) == 1, Fault::Version)?;
    require(size_at(data, 12) == data.len(), Fault::Size)?;
    let (body, tail) = data.split_at(data.len() - 4);
    require(u32_at(tail, 0) == crc32(body), Fault::Crc)
}
