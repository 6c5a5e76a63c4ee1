"""Every form of a table is the same table: equal in, equal out, to the bit."""

import dataclasses
import struct

import numpy as np
import pytest

from dse.lut import table as limits
from dse.lut.binary import pack, unpack
from dse.lut.canonical import from_cbor, from_json, to_cbor, to_json
from dse.lut.reader import Reader
from dse.lut.table import (
    ExitPredictor,
    FixedKnob,
    KeptLimit,
    OperatingPoint,
    Prediction,
    Row,
    Setting,
    Validity,
)


def assert_host_forms_agree(table):
    text, packed, item = to_json(table), pack(table), to_cbor(table)
    assert from_json(text) == unpack(packed) == from_cbor(item) == table
    again = unpack(packed)
    assert (to_json(again), pack(again), to_cbor(again)) == (text, packed, item)


def test_json_binary_and_cbor_give_back_what_went_in(random_tables):
    for table in random_tables:
        assert_host_forms_agree(table)


def test_compiled_readers_see_the_very_table(device, random_tables):
    texts = device([pack(table) for table in random_tables], "dump").decode("ascii").splitlines()
    assert texts == [to_json(table) for table in random_tables]
    # What a device read, written as JSON, packs to the same bytes again.
    assert all(
        pack(from_json(text)) == pack(table)
        for text, table in zip(texts[:50], random_tables, strict=False)
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_random_tables(all_devices, draw):
    source = draw(1)
    for _ in range(10):
        tables = [source.table() for _ in range(1000)]
        packed, texts = [pack(table) for table in tables], [to_json(table) for table in tables]
        for device in all_devices.values():
            assert device(packed, "dump").decode("ascii").splitlines() == texts
        for table in tables:
            assert_host_forms_agree(table)


def largest(build):
    """Every count at its limit, every text at its longest."""
    rng = np.random.default_rng(0)
    long = ("n" * limits.LONGEST,)
    labels = [f"{i:02d}".rjust(limits.LONGEST, "l") for i in range(32)]

    def name(kind, i):
        return f"{kind}{i:02d}".rjust(limits.LONGEST, "n")

    columns = range(limits.MOST_COLUMNS)
    predictions = [
        Prediction(name("p", i), "J", 18, ("min", "max")[i % 2], "measured", limits.LARGEST)
        for i in columns
    ]
    values = rng.integers(-limits.LARGEST, limits.LARGEST, (limits.MOST_ROWS, 64), endpoint=True)
    rows = [Row(tuple(v[:32]), tuple(v[32:])) for v in values.tolist()]
    exits = rng.integers(2**32, size=(limits.MOST_EXIT_ROWS, limits.MOST_EXIT_COLUMNS)).tolist()
    parts = {
        "study": long[0], "run_identity": long[0], "valid_for": Validity(*long * 4),
        "depends_on": {name("f", i): long[0] for i in range(limits.MOST_FACTS)},
        "design": tuple(
            FixedKnob(name("d", i), "choice", 0, 31, tuple(labels)) for i in columns
        ),
        "settings": tuple(Setting(name("s", i), "V", 18) for i in columns),
        "kept_limits": tuple(KeptLimit(name("k", i), "s", 18, "max", -limits.LARGEST)
                             for i in columns),
        "exit_predictor": ExitPredictor(999, 2**32 - 1, tuple(map(tuple, exits))),
        "operating_points": tuple(
            OperatingPoint(i + 1, limits.LARGEST - limits.MOST_POINTS + i + 1)
            for i in range(limits.MOST_POINTS)
        ),
    }  # fmt: skip
    return build(parts, predictions, rows, name("p", 7), name("p", 8))


@pytest.mark.slow
def test_the_largest_table_round_trips_everywhere(all_devices, build):
    table = largest(build)
    assert_host_forms_agree(table)
    for device in all_devices.values():
        assert device([pack(table)], "dump").decode("ascii") == to_json(table) + "\n"
    reader = Reader(table)
    for objective in (0, 7, 31):
        wanted = [None] * 31 + [0]
        request = struct.pack("<32qIi", *[-(2**63)] * 31, 0, objective, 5)
        answer = struct.pack("<HB", *reader.select(wanted, objective, current=5))
        assert {device([pack(table), request], "select") for device in all_devices.values()} == {
            answer
        }


def test_equal_tables_are_equal_bytes_whatever_the_order_of_facts(small_table):
    facts = {"b": "2", "a": "1"}
    one = dataclasses.replace(small_table, depends_on=facts)
    other = dataclasses.replace(small_table, depends_on=dict(sorted(facts.items())))
    assert to_json(one) == to_json(other)
    assert pack(one) == pack(other)
