"""A table that is not whole, or is for something else, is refused at open: alike by all readers."""

import dataclasses
import struct
import zlib

import cbor2
import numpy as np
import pytest

from dse.lut.binary import HEADER, pack, unpack
from dse.lut.canonical import from_cbor, from_json, to_cbor, to_json
from dse.lut.error_codes import Fault, LutError
from dse.lut.files import table_of
from dse.lut.reader import Reader
from dse.lut.table import OperatingPoint, Validity

EXPECTED = Validity("board-a", "ab" * 32, "sentiment", "bandwidth=good")
ROWS, SETTINGS_AT = 16, 112 + 24 * 6


def sealed(data):
    """With the size and the checksum put right, so that only the planted fault is left."""
    data = bytearray(data)
    struct.pack_into("<I", data, 12, len(data))
    struct.pack_into("<I", data, len(data) - 4, zlib.crc32(data[:-4]))
    return bytes(data)


def patched(data, layout, at, *values):
    data = bytearray(data)
    struct.pack_into("<" + layout, data, at, *values)
    return sealed(data)


def python_code(data, expected=None):
    """What the Python reader answers, as the compiled ones do; the digest is the host's alone."""
    try:
        Reader.open(data, expected)
    except LutError as error:
        return 0 if error.fault is Fault.DIGEST else int(error.fault)
    return 0


def hostile_files(table):
    """Name -> bytes and the fault that every reader must report.

    The small table has 1 fixed knob, 2 settings, 3 predictions, 1 kept limit: 7 descriptors.
    """
    good = pack(table)
    column = 112 + 24 * np.arange(7)
    settings_at, predictions_at = column[-1] + 24, column[-1] + 24 + 4 * 2 * 8
    points_at = predictions_at + 4 * 3 * 8
    labels_at = points_at + 2 * 16 + 2 * 2 * 4
    facts_at = labels_at + 4 * 4
    orders_at, ranks_at = facts_at + 8, facts_at + 8 + 3 * 4 * 2
    strings_at = ranks_at + 3 * 4 * 2

    chosen = dataclasses.replace(
        table,
        predictions=(*table.predictions[:2], dataclasses.replace(table.predictions[2],
                                                                 unit="choicf")),
    )  # fmt: skip

    def moved(**changes):
        return pack(dataclasses.replace(table, valid_for=dataclasses.replace(EXPECTED, **changes)))

    def text(old, new, data=good):
        assert len(old) == len(new)
        assert data.count(old) >= 1
        return sealed(data.replace(old, new, 1))

    return {
        "nothing": (b"", Fault.TOO_SHORT),
        "a header alone": (good[:112], Fault.TOO_SHORT),
        "line ends translated": (good.replace(b"\r\n", b"\n\n", 1), Fault.MAGIC),
        "another format": (b"\x7fELF" + good[4:], Fault.MAGIC),
        "written big-endian": (patched(good, "I", 8, 0x01000000), Fault.BYTE_ORDER),
        "version 0": (patched(good, "I", 8, 0), Fault.VERSION),
        "a newer version": (patched(good, "I", 8, 2), Fault.VERSION),
        "cut": (good[:-40], Fault.SIZE),
        "something behind it": (good + b"\0", Fault.SIZE),
        "a flipped bit": (good[:300] + bytes([good[300] ^ 1]) + good[301:], Fault.CRC),
        "a wrong checksum": (good[:-1] + bytes([good[-1] ^ 128]), Fault.CRC),
        "zero rows": (patched(good, "H", ROWS, 0), Fault.EMPTY),
        "no setting": (patched(good, "H", 20, 0), Fault.EMPTY),
        "no prediction": (patched(good, "H", 22, 0), Fault.EMPTY),
        "one row more than there are": (patched(good, "H", ROWS, 5), Fault.LAYOUT),
        "sixty thousand rows": (patched(good, "H", ROWS, 60_000), Fault.LAYOUT),
        "thirty thousand columns": (patched(good, "H", 18, 30_000), Fault.LAYOUT),
        "every count at its largest": (patched(good, "14H", 16, *[65535] * 14), Fault.LAYOUT),
        "strings as long as the address space": (patched(good, "I", 48, 2**32 - 1), Fault.LAYOUT),
        "sorted by what is not there": (patched(good, "H", 38, 3), Fault.LAYOUT),
        "the default best in what is not there": (patched(good, "H", 42, 3), Fault.LAYOUT),
        "exit rows without a step": (patched(good, "I", 44, 0), Fault.LAYOUT),
        "a reserved field in use": (patched(good, "I", 52, 1), Fault.LAYOUT),
        "a text beyond its section": (patched(good, "I", column[0], 10**9), Fault.STRING),
        "two texts in one place": (patched(good, "I", 88 + 4, 0), Fault.STRING),
        "a line end in a name": (text(b"energy", b"ener\ny"), Fault.STRING),
        "a name that is not ASCII": (text(b"latency", b"laten\xc3\xa7"), Fault.STRING),
        "a text without an end": (patched(good, "B", len(good) - 5, 65), Fault.STRING),
        "an empty name": (text(b"energy\0J\0", b"\0J\0J\0J\0J\0"), Fault.STRING),
        "an unknown direction": (patched(good, "B", column[3] + 9, 3), Fault.COLUMN),
        "a knob with a direction": (patched(good, "B", column[1] + 9, 1), Fault.COLUMN),
        "an unknown evidence": (patched(good, "B", column[3] + 10, 5), Fault.COLUMN),
        "no evidence": (patched(good, "B", column[3] + 10, 0), Fault.COLUMN),
        "nineteen decimals": (patched(good, "B", column[1] + 8, 19), Fault.COLUMN),
        "a negative margin": (patched(good, "q", column[3] + 16, -1), Fault.COLUMN),
        "a label of no column": (patched(good, "H", column[2] + 14, 1), Fault.COLUMN),
        "a choice without labels": (patched(good, "H", column[2] + 14, 0), Fault.COLUMN),
        "a prediction that is a choice": (text(b"choicf", b"choice", pack(chosen)), Fault.COLUMN),
        "two knobs of one name": (text(b"mode\0choice", b"cell\0choice"), Fault.NAMES),
        "two labels of one choice": (text(b"sram\0rram", b"rram\0rram"), Fault.NAMES),
        "a choice beyond its labels": (patched(good, "q", settings_at + 8, 2), Fault.VALUE),
        "a negative choice": (patched(good, "q", column[0] + 16, -1), Fault.VALUE),
        "a number beyond 2^53": (patched(good, "q", predictions_at, -(2**62)), Fault.VALUE),
        "the smallest number": (patched(good, "q", predictions_at, -(2**63)), Fault.VALUE),
        "unsorted rows": (patched(good, "q", predictions_at, 1_600), Fault.ORDER),
        "rows sorted by something else": (patched(good, "H", 38, 1), Fault.ORDER),
        "a default row out of range": (patched(good, "H", 40, 4), Fault.DEFAULT),
        "a default row that is not the best": (patched(good, "H", 40, 2), Fault.DEFAULT),
        "a voltage of zero": (patched(good, "q", points_at, 0), Fault.POINTS),
        "a faster clock at a lower voltage": (patched(good, "q", points_at + 16, 1), Fault.POINTS),
        "an order with a row twice": (patched(good, "H", orders_at + 2, 0), Fault.INDEX),
        "an order beyond the rows": (patched(good, "H", orders_at, 4), Fault.INDEX),
        "ranks that are not the order's": (patched(good, "H", ranks_at, 1), Fault.INDEX),
        "another device": (moved(device="board-b"), Fault.DEVICE),
        "a device whose name begins alike": (moved(device="board-a2"), Fault.DEVICE),
        "another network": (moved(network="ac" * 32), Fault.NETWORK),
        "no network at all": (moved(network=""), Fault.NETWORK),
        "another task": (moved(task="topic"), Fault.TASK),
        "another bandwidth class": (moved(context="bandwidth=poor"), Fault.CONTEXT),
        "nothing wrong": (good, 0),
        "the strings begin where they are said to": (
            sealed(good[:strings_at] + b"S" + good[strings_at + 1 :]), 0,
        ),
    }  # fmt: skip


def test_the_python_reader_names_the_fault_of_every_hostile_file(small_table):
    files = hostile_files(small_table)
    wanted = {name: int(fault) for name, (_, fault) in files.items()}
    assert {name: python_code(data, EXPECTED) for name, (data, _) in files.items()} == wanted


def test_all_readers_agree_about_hostile_files(device, small_table):
    files = hostile_files(small_table)
    wanted = {name: int(fault) for name, (_, fault) in files.items()}
    v = EXPECTED
    found = device(
        [data for data, _ in files.values()], "codes", v.device, v.network, v.task, v.context
    )
    assert dict(zip(files, found, strict=True)) == wanted


def test_hostile_files_meet_every_fault_of_the_binary(small_table):
    # EXIT is for JSON: in the binary a misshapen exit table is a misfit of the layout.
    met = {fault for _, fault in hostile_files(small_table).values()} - {0}
    assert met == {fault for fault in Fault if fault <= Fault.CONTEXT} - {Fault.EXIT}
    assert len(hostile_files(small_table)) >= 20


def mutants(tables, count, rng):
    """Sound tables with a few bytes changed behind a sound checksum, most of them in the header."""
    packed = [bytearray(pack(table)) for table in tables]
    for number in range(count):
        data = bytearray(packed[number % len(packed)])
        for _ in range(int(rng.integers(1, 4))):
            reach = len(data) - 4 if rng.random() < 0.5 else min(len(data) - 4, 400)
            at = int(rng.integers(16, reach))
            change = int(rng.integers(3))
            if change == 0:
                data[at] ^= 1 << int(rng.integers(8))
            elif change == 1:
                data[at] = int(rng.integers(256))
            else:
                data[at] = (data[at] + int(rng.integers(-2, 3))) % 256
        yield sealed(data)


def assert_agreement(device, data):
    found = device(data, "codes", *"----")
    assert list(found) == [python_code(d) for d in data]
    assert len(set(found)) > 8


def test_all_readers_agree_about_random_mutants(device, random_tables, small_table):
    rng = np.random.default_rng(0)
    assert_agreement(device, list(mutants([small_table, *random_tables[:20]], 1500, rng)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_readers_agree_about_many_random_mutants(all_devices, random_tables, small_table):
    rng = np.random.default_rng(1)
    data = list(mutants([small_table, *random_tables], 60_000, rng))
    wanted = [python_code(d) for d in data]
    for device in all_devices.values():
        assert list(device(data, "codes", *"----")) == wanted


def assert_no_damage_is_accepted(device, table):
    found = device([pack(table)], "damage", 0).split()
    assert list(map(int, found[:4])) == [32_768, 0, 4096, 0]


def test_every_flipped_bit_and_every_cut_is_refused(gcc, rust, table_of_4_kib):
    assert_no_damage_is_accepted(gcc, table_of_4_kib)
    assert_no_damage_is_accepted(rust, table_of_4_kib)


@pytest.mark.slow
def test_every_flipped_bit_and_every_cut_is_refused_by_all(device, table_of_4_kib):
    assert_no_damage_is_accepted(device, table_of_4_kib)


@pytest.mark.slow
def test_300000_flips_of_two_to_four_bits_are_refused(gcc, table_of_4_kib):
    found = gcc([pack(table_of_4_kib)], "damage", 300_000).split()
    assert list(map(int, found)) == [32_768, 0, 4096, 0, 300_000, 0]


def test_python_refuses_every_flipped_bit_and_every_cut(table_of_4_kib):
    data = bytearray(pack(table_of_4_kib))
    accepted = 0
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        accepted += python_code(bytes(data)) == 0
        data[bit // 8] ^= 1 << bit % 8
    accepted += sum(python_code(bytes(data[:cut])) == 0 for cut in range(len(data)))
    assert accepted == 0


def test_json_and_cbor_refuse_changed_bytes_and_cuts(small_table):
    for data, read in ((to_json(small_table).encode(), from_json),
                       (to_cbor(small_table), from_cbor)):  # fmt: skip
        assert read(data) == small_table
        for at in range(0, len(data), 4):
            for damaged in (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at]):
                with pytest.raises(LutError):
                    read(damaged)


@pytest.mark.parametrize(
    ("text", "fault", "said"),
    [
        ("", Fault.FORM, "begins like no"),
        ("null", Fault.FORM, "begins like no"),
        ("[]", Fault.FORM, "begins like no"),
        ("{}", Fault.FORM, "Missing required|missing|required"),
        ('{"a":1,"a":2}', Fault.FORM, "a key stands twice"),
        ('{"a":NaN}', Fault.FORM, "NaN is no integer"),
        ('{"a":Infinity}', Fault.FORM, "Infinity is no integer"),
        ('{"a":1.0}', Fault.FORM, "1.0 is no integer"),
        ('{"a":1e3}', Fault.FORM, "1e3 is no integer"),
        ('{"version":0}', Fault.VERSION, "version 0 was never frozen; export the run again"),
        ('{"version":7}', Fault.VERSION, "version 7; this reader knows 1"),
        ('{"a":' + "[" * 100_000, Fault.FORM, None),
        ('{"a":' + "9" * 5000 + "}", Fault.FORM, None),
        ('{"a":"\udc80"}', Fault.FORM, None),
    ],
)
def test_json_that_is_no_table_is_refused(text, fault, said):
    with pytest.raises(LutError, match=said) as caught:
        table_of(text.encode("utf-8", "surrogatepass"))
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"version":1', '"version":true'),
        lambda text: text.replace('"margin":100', '"margin":"100"'),
        lambda text: text.replace('"margin":100', '"margin":-1'),
        lambda text: text.replace('"direction":"min"', '"direction":"least"', 1),
        lambda text: text.replace('"evidence":"unverified"', '"evidence":"guess"'),
        lambda text: text.replace('"design":', '"designs":[],"design":'),
        lambda text: text.replace("{", "{ ", 1),
        lambda text: text + " ",
        lambda text: text + "\n\n",
        lambda text: text.replace('"study":"small"', '"study":"smal\\u006c"'),
    ],
)
def test_json_that_is_not_of_the_form_or_not_canonical_is_refused(change, small_table):
    with pytest.raises(LutError) as caught:
        from_json(change(to_json(small_table)))
    assert caught.value.fault in (Fault.FORM, Fault.DIGEST)


def test_random_bytes_are_refused_and_nothing_else_is_raised(small_table):
    rng = np.random.default_rng(0)
    packed, item = pack(small_table), to_cbor(small_table)
    for number in range(3000):
        data = rng.bytes(int(rng.integers(1, 200)))
        start = (b"", packed[: HEADER.size], item[:60], b"{", b"\xa1", b"\xbf")[number % 6]
        with pytest.raises(LutError):
            table_of(start + data)


def bomb():
    """Thirty lists, each twice the one before by reference: 2^30 items in 200 bytes."""
    item = b"\xd8\x1c\x80"
    for number in range(30):
        item = b"\xd8\x1c\x82" + item + b"\xd8\x1d" + cbor2.dumps(number + 1)
    return b"\xa1\x61a" + item


@pytest.mark.parametrize(
    "data",
    [
        bomb(),
        b"\xd8\x1c\xa1\x61a\xd8\x1d\x00",  # a map that holds itself
        b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself
        b"\xa1\x61a\xc1\x00",  # a date
        b"\xa1\x61a\xd8\x23\x63a+b",  # a regular expression
        b"\xa1\x61a\xfb" + struct.pack(">d", 1.5),
        b"\xa1\x61a\xf9\x7e\x00",  # not a number
        b"\xa1\x61a\xf5",  # true
        b"\xa1\x61a\x5b\x7f" + b"\xff" * 7,  # bytes longer than the address space
        b"\xa1\x61a\x9b\x00\x00\x00\x7f" + b"\xff" * 4,  # a list of 2^39 items
        b"\xa2\x61a\x00\x61a\x01",  # a key twice
        b"\xa1\x61a" + b"\x81" * 100_000,
        b"\xa1\x00\x00",
        b"\xa0\x00",
        b"\xbf\xff",
    ],
)
def test_cbor_that_is_no_table_is_refused_before_it_grows(data):
    with pytest.raises(LutError) as caught:
        from_cbor(data)
    assert caught.value.fault is Fault.FORM


def test_a_file_longer_than_any_table_is_refused_unread():
    with pytest.raises(LutError, match="no table is so long") as caught:
        table_of(b"{" + b" " * (16 * 2**20))
    assert caught.value.fault is Fault.LAYOUT


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"rows": ()}, Fault.EMPTY),
        ({"settings": ()}, Fault.EMPTY),
        ({"study": "a\nb"}, Fault.STRING),
        ({"study": "s" * 201}, Fault.STRING),
        ({"sorted_by": "cost"}, Fault.ORDER),
        ({"sorted_by": "latency"}, Fault.ORDER),
        ({"depends_on": {f"f{i}": "" for i in range(65)}}, Fault.LAYOUT),
        ({"operating_points": (OperatingPoint(2, 2), OperatingPoint(1, 3))}, Fault.POINTS),
    ],
)
def test_a_table_that_contradicts_itself_cannot_be_made(change, fault, small_table):
    with pytest.raises(LutError) as caught:
        dataclasses.replace(small_table, **change)
    assert caught.value.fault is fault


def test_the_digest_ties_a_binary_to_its_json(small_table):
    data = pack(small_table)
    with pytest.raises(LutError, match="DIGEST"):
        unpack(patched(data, "B", 60, data[60] ^ 1))
