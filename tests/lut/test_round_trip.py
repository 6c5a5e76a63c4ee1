"""Every form of a table is the same table: equal in, equal out, to the bit."""

import dataclasses

import pytest

from dse.lut.binary import pack, unpack
from dse.lut.canonical import from_cbor, from_json, to_cbor, to_json


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


def test_equal_tables_are_equal_bytes_whatever_the_order_of_facts(small_table):
    facts = {"b": "2", "a": "1"}
    one = dataclasses.replace(small_table, depends_on=facts)
    other = dataclasses.replace(small_table, depends_on=dict(sorted(facts.items())))
    assert to_json(one) == to_json(other)
    assert pack(one) == pack(other)
