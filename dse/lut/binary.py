"""The checked binary that a device reads in place: fixed little-endian layout, see docs/lut.md."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Literal

from dse.lut import table as limits
from dse.lut.canonical import digest
from dse.lut.error_codes import Fault, LutError
from dse.lut.table import (
    Default,
    Evidence,
    ExitPredictor,
    FixedKnob,
    KeptLimit,
    LookupTable,
    OperatingPoint,
    Prediction,
    Row,
    Setting,
    Validity,
)

MAGIC = b"\x89ELUT\r\n\x1a"
HEADER = struct.Struct("<8sII14HIII32s6I")
COLUMN = struct.Struct("<IIBBBBHHq")
CRC = struct.Struct("<I")

_SENSES: tuple[Literal["min", "max"], ...] = ("min", "max")
_EVIDENCE: tuple[Evidence, ...] = ("measured", "closed form", "published", "unverified")
_COUNTS = (
    "rows", "design", "settings", "predictions", "kept_limits", "labels", "facts", "points",
    "exit_rows", "exit_columns", "exit_layer", "sorted_by", "default_row", "default_best",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Header:
    rows: int
    design: int
    settings: int
    predictions: int
    kept_limits: int
    labels: int
    facts: int
    points: int
    exit_rows: int
    exit_columns: int
    exit_layer: int
    sorted_by: int
    default_row: int
    default_best: int
    exit_step: int
    strings: int
    reserved: int
    sha256: bytes
    texts: tuple[int, ...]

    @property
    def columns(self) -> int:
        return self.design + self.settings + self.predictions + self.kept_limits

    def sections(self) -> tuple[int, ...]:
        """Where each section begins and, last, the size of the file."""
        sizes = (
            HEADER.size,
            self.columns * COLUMN.size,
            self.rows * self.settings * 8,
            self.rows * self.predictions * 8,
            self.points * 16,
            self.exit_rows * self.exit_columns * 4,
            self.labels * 4,
            self.facts * 8,
            self.predictions * self.rows * 2,
            self.predictions * -(-self.rows // 4) * 8,
            self.strings,
            CRC.size,
        )
        return tuple(accumulate(sizes))


def pack(table: LookupTable) -> bytes:
    """The binary of a table; equal tables are equal bytes."""
    texts = [text.encode("ascii") + b"\0" for text, _ in table.texts()]
    refs = [0, *accumulate(map(len, texts))][:-1]
    counts = (
        len(table.rows), len(table.design), len(table.settings), len(table.predictions),
        len(table.kept_limits), sum(len(k.choices) for k in table.knobs),
        len(table.depends_on), len(table.operating_points),
    )  # fmt: skip
    exits = table.exit_predictor
    shape = (len(exits.entropies), len(exits.entropies[0]), exits.layer) if exits else (0, 0, 0)
    known = table.objectives
    picks = (known[table.sorted_by], table.default.row, known[table.default.best])
    strings = b"".join(texts)
    first_column = 6 + 2 * len(table.depends_on)
    first_label = first_column + 2 * sum(counts[1:5])
    body = b"".join((
        _columns(table, refs[first_column:first_label]),
        _array("q", chain.from_iterable(row.settings for row in table.rows)),
        _array("q", chain.from_iterable(row.predictions for row in table.rows)),
        _array("q", chain.from_iterable((p.microvolt, p.hertz) for p in table.operating_points)),
        _array("I", chain.from_iterable(exits.entropies if exits else ())),
        _array("I", refs[first_label:]),
        _array("I", refs[6:first_column]),
        _orders(table),
        strings,
    ))  # fmt: skip
    header = HEADER.pack(
        MAGIC, limits.VERSION, HEADER.size + len(body) + CRC.size, *counts, *shape, *picks,
        exits.step if exits else 0, len(strings), 0, digest(table), *refs[:6],
    )  # fmt: skip
    return header + body + CRC.pack(zlib.crc32(header + body))


def _array(code: str, values: Iterable[int]) -> bytes:
    numbers = tuple(values)
    return struct.pack(f"<{len(numbers)}{code}", *numbers)


def _orders(table: LookupTable) -> bytes:
    """Per prediction the row of each rank, then the rank of each row, padded to fours."""
    orders = [table.order(j) for j in range(len(table.predictions))]
    count = len(table.rows)
    ranks = [sorted(range(count), key=order.__getitem__) for order in orders]
    padding = [0xFFFF] * (-count % 4)
    return _array("H", chain(*orders, *(chain(rank, padding) for rank in ranks)))


def _columns(table: LookupTable, refs: Sequence[int]) -> bytes:
    """Descriptors; a knob that is no choice has no first label."""
    packed, label = [], 0
    for column, name, unit in zip(table.columns, refs[::2], refs[1::2], strict=True):
        sense = evidence = first = count = value = 0
        if isinstance(column, FixedKnob | Setting) and column.choices:
            first, count = label, len(column.choices)
            label += count
        if isinstance(column, FixedKnob):
            value = column.value
        elif isinstance(column, Prediction):
            sense = 1 + _SENSES.index(column.direction)
            evidence = 1 + _EVIDENCE.index(column.evidence)
            value = column.margin
        elif isinstance(column, KeptLimit):
            sense = 1 + (column.side == "min")
            value = column.bound
        packed.append(
            COLUMN.pack(name, unit, column.decimals, sense, evidence, 0, first, count, value)
        )
    return b"".join(packed)


def unpack(data: bytes) -> LookupTable:
    """Read a table from its binary; everything is checked, in the order of the C reader.

    Raises:
        LutError: With the first fault found.
    """
    header = _header(data)
    at = header.sections()
    texts = _texts(data[at[9] : at[10]], header, _refs(data, header, at))
    facts, names, labels = (
        texts[6 : 6 + 2 * header.facts],
        texts[6 + 2 * header.facts : len(texts) - header.labels],
        texts[len(texts) - header.labels :],
    )
    raw = list(COLUMN.iter_unpack(data[at[0] : at[1]]))
    columns = _Columns(header, raw, names, labels)
    if any(a >= b for a, b in pairwise(facts[::2])):
        raise LutError(Fault.NAMES, "the facts are not in the order of their names")
    table = LookupTable(
        study=texts[0],
        run_identity=texts[1],
        valid_for=Validity(*texts[2:6]),
        depends_on=dict(zip(facts[::2], facts[1::2], strict=True)),
        design=columns.design(),
        settings=columns.settings(),
        predictions=columns.predictions(),
        kept_limits=columns.kept_limits(),
        sorted_by=columns.prediction_name(header.sorted_by),
        default=Default(header.default_row, columns.prediction_name(header.default_best)),
        rows=_rows(data, header, at),
        exit_predictor=_exits(data[at[4] : at[5]], header),
        operating_points=tuple(
            OperatingPoint(*pair) for pair in struct.iter_unpack("<qq", data[at[3] : at[4]])
        ),
    )
    if _orders(table) != data[at[7] : at[9]]:
        raise LutError(Fault.INDEX, "the orders or the ranks are not those of the rows")
    if digest(table) != header.sha256:
        raise LutError(Fault.DIGEST, "the SHA-256 is not that of the content")
    return table


def _header(data: bytes) -> _Header:
    if len(data) < HEADER.size + CRC.size:
        said = f"{len(data)} bytes; the header alone takes {HEADER.size + CRC.size}"
        raise LutError(Fault.TOO_SHORT, said)
    magic, version, size, *rest = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise LutError(Fault.MAGIC, f"it begins with {magic!r}")
    if version == 0x01000000:
        raise LutError(Fault.BYTE_ORDER, "it was written big-endian")
    if version != limits.VERSION:
        said = f"version {version}; this reader knows {limits.VERSION}"
        raise LutError(Fault.VERSION, said)
    if size != len(data):
        raise LutError(Fault.SIZE, f"{len(data)} bytes, {size} were written")
    if CRC.unpack_from(data, size - CRC.size)[0] != zlib.crc32(data[: -CRC.size]):
        raise LutError(Fault.CRC, "the checksum is not that of the bytes")
    header = _Header(*[*rest[:18], tuple(rest[18:])])
    _check_header(header, size)
    return header


def _check_header(h: _Header, size: int) -> None:
    if not (h.rows and h.settings and h.predictions):
        raise LutError(Fault.EMPTY, "there is no row, no setting or no prediction")
    most = {
        "rows": limits.MOST_ROWS, "labels": limits.MOST_LABELS, "facts": limits.MOST_FACTS,
        "points": limits.MOST_POINTS, "exit_rows": limits.MOST_EXIT_ROWS,
        "exit_columns": limits.MOST_EXIT_COLUMNS, "exit_layer": 999,
        **dict.fromkeys(_COUNTS[1:5], limits.MOST_COLUMNS),
        "sorted_by": h.predictions - 1, "default_best": h.predictions - 1, "reserved": 0,
    }  # fmt: skip
    for name, allowed in most.items():
        found = getattr(h, name)
        if found > allowed:
            raise LutError(Fault.LAYOUT, f"{name} = {found}; at most {allowed} is allowed")
    exits = (h.exit_rows, h.exit_columns, h.exit_layer, h.exit_step)
    if any(exits) != all(exits):
        raise LutError(Fault.LAYOUT, f"an exit table of rows, columns, layer, step {exits}")
    if h.sections()[-1] != size:
        raise LutError(Fault.LAYOUT, f"the sections end at {h.sections()[-1]}, the file at {size}")


def _refs(data: bytes, h: _Header, at: tuple[int, ...]) -> list[int]:
    """Where each text begins, in the order of the texts."""
    columns = [c[:2] for c in COLUMN.iter_unpack(data[at[0] : at[1]])]
    labels = struct.unpack(f"<{h.labels}I", data[at[5] : at[6]])
    facts = struct.unpack(f"<{2 * h.facts}I", data[at[6] : at[7]])
    return [*h.texts, *facts, *chain.from_iterable(columns), *labels]


def _texts(strings: bytes, h: _Header, refs: list[int]) -> list[str]:
    """The texts; they must tile the section, each printable and closed by a zero."""
    parts = strings.split(b"\0")
    starts = [0, *accumulate(len(part) + 1 for part in parts)]
    if parts[-1] or starts[:-2] != refs:
        raise LutError(Fault.STRING, "the texts do not fill their section one after another")
    empty_allowed = {*range(6), *range(7, 6 + 2 * h.facts, 2)}
    for i, part in enumerate(parts[:-1]):
        printable = all(0x20 <= byte <= 0x7E for byte in part)
        if not printable or len(part) > limits.LONGEST or not (part or i in empty_allowed):
            raise LutError(Fault.STRING, f"text {i} is empty, too long or not printable ASCII")
    return [part.decode("ascii") for part in parts[:-1]]


def _rows(data: bytes, h: _Header, at: tuple[int, ...]) -> tuple[Row, ...]:
    settings = struct.iter_unpack(f"<{h.settings}q", data[at[1] : at[2]])
    predictions = struct.iter_unpack(f"<{h.predictions}q", data[at[2] : at[3]])
    return tuple(Row(s, p) for s, p in zip(settings, predictions, strict=True))


def _exits(data: bytes, h: _Header) -> ExitPredictor | None:
    if not h.exit_rows:
        return None
    rows = tuple(struct.iter_unpack(f"<{h.exit_columns}I", data))
    return ExitPredictor(h.exit_layer, h.exit_step, rows)


class _Columns:
    """Descriptors with their texts, split by kind.

    Raises:
        LutError: If a field that its kind does not use is not zero, or a code is unknown.
    """

    def __init__(
        self,
        header: _Header,
        raw: list[tuple[int, ...]],
        names: list[str],
        labels: list[str],
    ) -> None:
        ends = list(accumulate((header.design, header.settings, header.predictions)))
        self._kind = [sum(i >= end for end in ends) for i in range(len(raw))]
        self._raw = raw
        self._names = list(zip(names[::2], names[1::2], strict=True))
        self._labels: list[tuple[str, ...]] = []
        self._first_prediction = ends[1]
        used = 0
        for i, column in enumerate(raw):
            used += self._check(i, column, used)
            self._labels.append(tuple(labels[used - column[7] : used]))
        if used != len(labels):
            raise LutError(Fault.COLUMN, f"{len(labels) - used} labels belong to no column")

    def _check(self, i: int, column: tuple[int, ...], used: int) -> int:
        _, _, _, sense, evidence, reserved, first, count, value = column
        kind = self._kind[i]
        fits = reserved == 0 and first == (used if count else 0)
        fits = fits and (sense in (1, 2) if kind >= 2 else sense == 0)
        fits = fits and (1 <= evidence <= 4 if kind == 2 else evidence == 0)
        fits = fits and not (kind >= 2 and count) and not (kind == 1 and value)
        if not fits:
            raise LutError(Fault.COLUMN, f"descriptor {i} holds a field that it may not")
        return count

    def _of(self, kind: int) -> list[int]:
        return [i for i, k in enumerate(self._kind) if k == kind]

    def prediction_name(self, index: int) -> str:
        return self._names[self._first_prediction + index][0]

    def design(self) -> tuple[FixedKnob, ...]:
        return tuple(
            FixedKnob(*self._names[i], self._raw[i][2], self._raw[i][8], self._labels[i])
            for i in self._of(0)
        )

    def settings(self) -> tuple[Setting, ...]:
        return tuple(
            Setting(*self._names[i], self._raw[i][2], self._labels[i]) for i in self._of(1)
        )

    def predictions(self) -> tuple[Prediction, ...]:
        return tuple(
            Prediction(
                *self._names[i],
                self._raw[i][2],
                _SENSES[self._raw[i][3] - 1],
                _EVIDENCE[self._raw[i][4] - 1],
                self._raw[i][8],
            )
            for i in self._of(2)
        )

    def kept_limits(self) -> tuple[KeptLimit, ...]:
        return tuple(
            KeptLimit(
                *self._names[i],
                self._raw[i][2],
                "max" if self._raw[i][3] == 1 else "min",
                self._raw[i][8],
            )
            for i in self._of(3)
        )
