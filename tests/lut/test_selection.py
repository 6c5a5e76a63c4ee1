"""The rule of selection: C, C++, Rust and Python choose as the plain loop does."""

import struct

import numpy as np
import pytest

from dse.lut.binary import pack
from dse.lut.reader import Reader, Why
from dse.lut.table import Prediction, Row, Setting, Validity
from dse.online.policies.deadline import LeastEnergy
from dse.online.requests import Requests
from dse.online.rows import Rows

NO_LIMIT = -(2**63)


def plainly(table, limits, objective, current):
    """The rule as docs/lut.md words it, by looking at every row."""
    if not 0 <= objective < len(table.predictions):
        return table.default.row, Why.BAD_REQUEST
    if current is not None and not 0 <= current < len(table.rows):
        return table.default.row, Why.BAD_REQUEST

    def keeps(row):
        return all(
            limit is None or (value <= limit if p.direction == "min" else value >= limit)
            for p, value, limit in zip(table.predictions, row.predictions, limits, strict=True)
        )

    fitting = [i for i, row in enumerate(table.rows) if keeps(row)]
    if not fitting:
        return table.default.row, Why.NOTHING_FITS
    losses = [table.losses(row)[objective] for row in table.rows]
    best = min(fitting, key=lambda i: losses[i])
    margin = table.predictions[objective].margin
    if current in fitting and losses[current] - losses[best] <= margin:
        return current, Why.KEPT
    return best, Why.FITS


def requests(table, count, rng):
    """Limits near the values of the table, none, and impossible; rows in use, none, and wrong."""
    values = np.array([row.predictions for row in table.rows], dtype=np.int64)
    made = []
    for _ in range(count):
        near = values[rng.integers(len(values)), :] + rng.integers(-2, 3, values.shape[1])
        limits = [
            None if kind < 0.3 else (int(v) if kind < 0.95 else int(rng.integers(-(2**62), 2**62)))
            for v, kind in zip(near, rng.random(values.shape[1]), strict=True)
        ]
        objective = int(rng.integers(-1, values.shape[1] + 1))
        current = None if rng.random() < 0.3 else int(rng.integers(-3, len(values) + 2))
        made.append((limits, objective, None if current == -1 else current))
    return made


def packed(made):
    return b"".join(
        struct.pack(
            f"<{len(limits)}qIi",
            *(NO_LIMIT if limit is None else limit for limit in limits),
            objective % 2**32,
            -1 if current is None else current,
        )
        for limits, objective, current in made
    )


def unpacked(answers):
    return [(row, Why(why)) for row, why in struct.iter_unpack("<HB", answers)]


def assert_all_choose_alike(device, tables, each, rng):
    for table in tables:
        made, reader = requests(table, each, rng), Reader(table)
        wanted = [reader.select(*request) for request in made]
        assert unpacked(device([pack(table), packed(made)], "select")) == wanted
        checked = made[: each // 10]
        assert [plainly(table, *request) for request in checked] == wanted[: len(checked)]


def test_compiled_readers_choose_as_the_python_policy(device, random_tables, table_of_4_kib):
    rng = np.random.default_rng(0)
    assert_all_choose_alike(device, [*random_tables[:10], table_of_4_kib], 600, rng)


def test_the_python_reader_chooses_as_the_plain_rule(random_tables, table_of_4_kib):
    rng = np.random.default_rng(0)
    for table in (*random_tables[:10], table_of_4_kib):
        made, reader = requests(table, 60, rng), Reader(table)
        assert [reader.select(*r) for r in made] == [plainly(table, *r) for r in made]


@pytest.mark.slow
def test_one_hundred_thousand_requests(device, random_tables, table_of_4_kib):
    rng = np.random.default_rng(1)
    assert_all_choose_alike(device, [*random_tables[:99], table_of_4_kib], 1000, rng)


def test_requests_meet_every_reason(random_tables):
    rng, seen = np.random.default_rng(2), set()
    for table in random_tables[:20]:
        reader = Reader(table)
        seen |= {reader.select(*request)[1] for request in requests(table, 50, rng)}
    assert seen == set(Why)


def test_the_row_in_use_is_kept_until_the_gain_passes_the_margin(small_table):
    reader = Reader(small_table)  # energies 1000, 1500, 2000, 2050 with a margin of 100
    nothing = [None, None, None]
    assert reader.select(nothing, 0) == (0, Why.FITS)
    assert reader.select(nothing, 0, current=1) == (0, Why.FITS)
    assert reader.select([None, 2_000, None], 0, current=3) == (3, Why.KEPT)
    assert reader.select([None, 2_000, 900_000], 0, current=3) == (2, Why.FITS)
    assert reader.select([None, 2_000, None], 0) == (2, Why.FITS)


def test_when_nothing_fits_the_default_row_is_named_as_such(small_table):
    reader = Reader(small_table)
    assert reader.select([None, 999, None], 0) == (3, Why.NOTHING_FITS)
    assert reader.select([None, 999, None], 0, current=1) == (3, Why.NOTHING_FITS)
    # Fast enough rows and accurate enough rows exist, but no row is both.
    assert reader.select([None, 1_000, 900_000], 0) == (3, Why.NOTHING_FITS)


def test_a_request_for_what_is_not_there_is_told_apart(small_table):
    reader = Reader(small_table)
    assert reader.select([None] * 3, 3) == (3, Why.BAD_REQUEST)
    assert reader.select([None] * 3, 0, current=4) == (3, Why.BAD_REQUEST)
    with pytest.raises(ValueError, match="shorter"):
        reader.select([None], 0)


def test_compiled_readers_predict_the_exit_as_python_does(device, random_tables):
    rng = np.random.default_rng(3)
    known = [t for t in random_tables if t.exit_predictor and t.exit_predictor.layer < 200]
    assert len(known) > 10
    for table in known[:10]:
        exits = table.exit_predictor
        asked = [
            (min(int(exits.step * rng.random() * 7), 2**32 - 1), int(rng.integers(2**32)))
            for _ in range(200)
        ]
        found = device([pack(table), b"".join(struct.pack("<II", *a) for a in asked)], "predict")
        reader = Reader(table)
        assert list(found) == [reader.predicted_exit(*a) or 0 for a in asked]


def test_the_device_obeys_the_published_policy_on_100000_deadlines(gcc, rust, build):
    # dse.online's LeastEnergy is DynaSplit's rule; the table's default is the fastest row.
    rng = np.random.default_rng(5)
    predictions = (
        Prediction("energy", "J", 9, "min", "unverified"),
        Prediction("accuracy", "1", 6, "max", "measured"),
        Prediction("latency", "s", 9, "min", "unverified"),
    )
    energies = rng.integers(40, size=200)  # many ties
    latencies = 2000 - 45 * energies + rng.integers(200, size=200)
    rows = [
        Row((i,), (int(energy), int(rng.integers(5)), int(latency)))
        for i, (energy, latency) in enumerate(zip(energies, latencies, strict=True))
    ]
    parts = {
        "study": "s", "run_identity": "", "valid_for": Validity(), "depends_on": {}, "design": (),
        "settings": (Setting("row", "1", 0),), "kept_limits": (),
    }  # fmt: skip
    table = build(parts, predictions, rows, "energy", "latency")
    columns = np.array([row.predictions for row in table.rows], dtype=np.float64)
    choices = Rows(
        energy=columns[:, 0],
        latency=columns[:, 2],
        accuracy=columns[:, 1],
        settings={},
        numbers=np.arange(len(columns)),
        open=np.ones(len(columns), dtype=bool),
    )
    deadlines = rng.integers(1, 2300, 100_000)
    wanted = LeastEnergy.of(choices).select_all(
        Requests(
            arrival=np.arange(len(deadlines), dtype=np.float64),
            deadline=deadlines.astype(np.float64),
            accuracy=np.zeros(len(deadlines)),
            signal=np.full(len(deadlines), np.nan),
            bandwidth=np.ones(len(deadlines)),
        ),
        -1,
    )
    asked = np.zeros(
        len(deadlines), dtype=[("limits", "<i8", 3), ("objective", "<u4"), ("current", "<i4")]
    )
    asked["limits"][:, :2], asked["limits"][:, 2], asked["current"] = NO_LIMIT, deadlines, -1
    for device in (gcc, rust):
        answers = device([pack(table), asked.tobytes()], "select")
        rows_chosen = np.frombuffer(answers, dtype=[("row", "<u2"), ("why", "u1")])["row"]
        np.testing.assert_array_equal(rows_chosen, wanted)
    assert len(np.unique(wanted)) > 20
