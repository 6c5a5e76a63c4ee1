"""Every form of a table is the same table: equal in, equal out, to the bit."""

from dse.lut.binary import pack, unpack
from dse.lut.canonical import from_cbor, from_json, to_cbor, to_json

TABLES = 400


def test_json_binary_and_cbor_give_back_what_went_in(draw):
    source = draw(0)
    for _ in range(TABLES):
        table = source.table()
        text, packed, item = to_json(table), pack(table), to_cbor(table)
        assert from_json(text) == unpack(packed) == from_cbor(item) == table
        again = unpack(packed)
        assert (to_json(again), pack(again), to_cbor(again)) == (text, packed, item)


def test_equal_tables_are_equal_bytes_whatever_the_order_of_facts(small_table):
    import dataclasses

    facts = {"b": "2", "a": "1"}
    one = dataclasses.replace(small_table, depends_on=facts)
    other = dataclasses.replace(small_table, depends_on=dict(sorted(facts.items())))
    assert to_json(one) == to_json(other)
    assert pack(one) == pack(other)
