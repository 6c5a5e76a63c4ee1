//! Drives the Rust reader over a stream of tables, as driver.c drives the C reader.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

#[path = "reader.rs"]
mod reader;

use reader::{Identity, Kind, Lut};

fn frame(input: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    input.read_exact(&mut head).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(head) as usize];
    input.read_exact(&mut bytes).expect("a whole frame");
    Some(bytes)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn knobs(lut: &Lut, kind: Kind) -> String {
    list((0..lut.count(kind)).map(|i| {
        let c = lut.column(kind, i);
        let labels = list((0..c.labels).map(|k| quoted(lut.label(c.first_label + k))));
        let (name, unit) = (quoted(c.name), quoted(c.unit));
        let value = match kind {
            Kind::Design => format!(",\"value\":{}", c.value),
            _ => String::new(),
        };
        format!(
            "{{\"choices\":{labels},\"decimals\":{},\"name\":{name},\"unit\":{unit}{value}}}",
            c.decimals
        )
    }))
}

fn dump(lut: &Lut) -> String {
    let evidence = ["", "measured", "closed form", "published", "unverified"];
    let all = |kind| (0..lut.count(kind)).map(move |i| lut.column(kind, i));
    let facts: Vec<String> = (0..lut.facts)
        .map(|i| format!("{}:{}", quoted(lut.fact(i).0), quoted(lut.fact(i).1)))
        .collect();
    let exits = if lut.exit_rows == 0 {
        "null".to_string()
    } else {
        let rows = list((0..lut.exit_rows).map(|i| {
            list((0..lut.exit_columns).map(|j| lut.exit_entropy(i, j).to_string()))
        }));
        format!("{{\"entropies\":{rows},\"layer\":{},\"step\":{}}}", lut.exit_layer, lut.exit_step)
    };
    let limits = list(all(Kind::KeptLimit).map(|c| {
        let side = if c.sense == 1 { "max" } else { "min" };
        format!(
            "{{\"bound\":{},\"decimals\":{},\"name\":{},\"side\":\"{side}\",\"unit\":{}}}",
            c.value, c.decimals, quoted(c.name), quoted(c.unit)
        )
    }));
    let points = list((0..lut.points).map(|i| {
        let (microvolt, hertz) = lut.point(i);
        format!("{{\"hertz\":{hertz},\"microvolt\":{microvolt}}}")
    }));
    let predictions = list(all(Kind::Prediction).map(|c| {
        let direction = if c.sense == 1 { "min" } else { "max" };
        format!(
            "{{\"decimals\":{},\"direction\":\"{direction}\",\"evidence\":\"{}\",\"margin\":{},\
             \"name\":{},\"unit\":{}}}",
            c.decimals, evidence[usize::from(c.evidence)], c.value, quoted(c.name), quoted(c.unit)
        )
    }));
    let rows = list((0..lut.rows).map(|i| {
        let p = list((0..lut.count(Kind::Prediction)).map(|j| lut.prediction(i, j).to_string()));
        let s = list((0..lut.count(Kind::Setting)).map(|j| lut.setting(i, j).to_string()));
        format!("{{\"predictions\":{p},\"settings\":{s}}}")
    }));
    let mut sha256 = String::new();
    for byte in lut.sha256() {
        write!(sha256, "{byte:02x}").expect("a string takes all");
    }
    let name = |i| quoted(lut.column(Kind::Prediction, i).name);
    let about: Vec<String> = (0..6).map(|i| quoted(lut.about(i))).collect();
    format!(
        "{{\"default\":{{\"best\":{},\"row\":{}}},\"depends_on\":{{{}}},\"design\":{},\
         \"exit_predictor\":{exits},\"format\":\"edge-dse-lut\",\"kept_limits\":{limits},\
         \"operating_points\":{points},\"predictions\":{predictions},\"rows\":{rows},\
         \"run_identity\":{},\"settings\":{},\"sha256\":\"{sha256}\",\"sorted_by\":{},\
         \"study\":{},\"valid_for\":{{\"context\":{},\"device\":{},\"network\":{},\"task\":{}}},\
         \"version\":1}}",
        name(lut.default_best), lut.default_row, facts.join(","), knobs(lut, Kind::Design),
        about[1], knobs(lut, Kind::Setting), name(lut.sorted_by), about[0], about[5], about[2],
        about[3], about[4],
    )
}

fn damage(bytes: &mut [u8]) -> String {
    let nothing = Identity::default();
    let mut accepted = [0, 0];
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        accepted[0] += usize::from(Lut::open(bytes, &nothing).is_ok());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for cut in 0..bytes.len() {
        accepted[1] += usize::from(Lut::open(&bytes[..cut], &nothing).is_ok());
    }
    format!("{} {} {} {}", 8 * bytes.len(), accepted[0], bytes.len(), accepted[1])
}

fn choose(lut: &Lut, asked: &[u8]) -> Vec<u8> {
    let m = lut.count(Kind::Prediction);
    let word = |at: usize| i32::from_le_bytes(asked[at..at + 4].try_into().expect("four"));
    let mut answers = Vec::new();
    for at in (0..asked.len()).step_by(8 * m + 8) {
        let limits: Vec<Option<i64>> = asked[at..at + 8 * m]
            .chunks(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("eight")))
            .map(|limit| Some(limit).filter(|&limit| limit != i64::MIN))
            .collect();
        let (objective, current) = (word(at + 8 * m) as u32 as usize, word(at + 8 * m + 4));
        // -1 is no row; any other negative number is a row that does not exist.
        let current = (current != -1).then(|| usize::try_from(current).unwrap_or(usize::MAX));
        let (row, why) = lut.select(&limits, objective, current);
        answers.extend([row as u8, (row >> 8) as u8, why as u8]);
    }
    answers
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = arguments.first().map_or("dump", String::as_str);
    let wanted = |i: usize| arguments.get(i).map(String::as_str).filter(|&text| text != "-");
    let expected = if mode == "codes" {
        Identity { device: wanted(1), network: wanted(2), task: wanted(3), context: wanted(4) }
    } else {
        Identity::default()
    };
    let (mut input, mut output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    while let Some(mut bytes) = frame(&mut input) {
        let answer = match (mode, Lut::open(&bytes, &expected)) {
            ("codes", opened) => vec![opened.map_or_else(|fault| fault as u8, |_| 0)],
            (_, Err(fault)) => format!("fault {}\n", fault as u8).into_bytes(),
            ("dump", Ok(lut)) => (dump(&lut) + "\n").into_bytes(),
            ("damage", Ok(_)) => damage(&mut bytes).into_bytes(),
            ("predict", Ok(lut)) => frame(&mut input)
                .expect("pairs")
                .chunks(8)
                .map(|b| [0, 4].map(|at| u32::from_le_bytes(b[at..at + 4].try_into().expect("4"))))
                .map(|[entropy, threshold]| lut.predicted_exit(entropy, threshold).unwrap_or(0) as u8)
                .collect(),
            (_, Ok(lut)) => choose(&lut, &frame(&mut input).expect("requests")),
        };
        output.write_all(&answer).expect("an open pipe");
    }
}
