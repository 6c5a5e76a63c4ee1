"""The trials of a run in SQLite: seals, what a failed transaction leaves, what damage costs."""

import sqlite3

import pytest

from dse.core.errors import RunDamaged, RunUnwritable
from dse.runs.database import (
    Row,
    TrialTable,
    _of_content,
    count_rows,
    make_table,
    read_texts,
    seal,
    sound_rows,
)

ROWS = [
    Row(f"[{n}]", f'{{"x":{n}}}', '{"energy":1.5}', *(("", "") if n % 3 else ("raised", "failed")))
    for n in range(40)
]
GENESIS = b"genesis"
TEXTS = {"manifest.json": "{}\n", "study.yaml": "study: small\n"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


def opened(path, rows=ROWS):
    """A table of these rows, open."""
    head = make_table(path, GENESIS, TEXTS, rows)
    return TrialTable(path, (len(rows), head))


def test_seals_are_those_of_every_run_that_there_is(path):
    """Pinned: were they made otherwise, no earlier run would verify."""
    assert seal(GENESIS, 0, ROWS[0]).hex() == "6716a180386cb5a51c1d08f4a3cce1b8"
    assert (
        seal(bytes(16), 300, Row("a", "b" * 300, "c", "d", "é")).hex()
        == "b090ba10dbf555a5c7682c312c3c335b"
    )
    opened(path).close()
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT digest FROM texts ORDER BY name").fetchall()
    database.close()
    assert [digest.hex() for (digest,) in found] == [
        "0c2c5c98f06000be2c7cc8a470c8c087",
        "53263f750781c323155e5aa3026d0db6",
    ]


def test_rows_are_sealed_over_all_before_them_whenever_they_came(path):
    whole = make_table(path.with_name("whole"), GENESIS, TEXTS, ROWS)
    table = opened(path, ROWS[:7])
    table.add(ROWS[7:8])
    table.add([])
    table.add(ROWS[8:])
    assert table.count == 40
    table.close()
    found = sound_rows(path, GENESIS)
    assert (found.rows, found.head, found.damage) == (ROWS, whole, "")
    assert count_rows(path) == 40
    assert sound_rows(path, b"another").damage == "trial 0 does not verify"


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(path):
    table = opened(path)
    for fault in ({"notes.txt": None}, {"notes.txt": "kept?", "more.txt": None}):
        with pytest.raises(RunUnwritable, match="every trial reported so far is stored"):
            table.keep(fault)
    assert table.count == 40
    table.keep({"manifest.json": "{1}"})
    table.add(ROWS[:2])
    table.close()
    assert read_texts(path).found == {**TEXTS, "manifest.json": "{1}"}
    assert len(sound_rows(path, GENESIS).rows) == 42


def test_a_file_that_is_torn_says_so_even_where_every_trial_can_still_be_read(path):
    table = opened(path)
    table.keep({"notes.txt": "n" * 40_000})
    table.close()
    content = path.read_bytes()
    path.write_bytes(content[:-8192])
    found = sound_rows(path, GENESIS)
    assert found.rows == ROWS
    assert "malformed" in found.damage


@pytest.mark.parametrize("column", ["codes", "design", "metrics", "failure", "digest"])
def test_the_first_row_that_was_changed_ends_what_is_sound(column, path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        other = b"0" * 16 if column == "digest" else "other"
        database.execute(f"UPDATE trials SET {column} = ? WHERE number = 17", (other,))
    database.close()
    found = sound_rows(path, GENESIS)
    assert (found.rows, found.damage) == (ROWS[:17], "trial 17 does not verify")
    assert count_rows(path) == 40


@pytest.mark.parametrize("digest", [bytes(16), b"\xff" * 16])
def test_another_seal_is_refused_whichever_is_greater(digest, path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trials SET digest = ? WHERE number = 17", (digest,))
    database.close()
    assert sound_rows(path, GENESIS).damage == "trial 17 does not verify"


@pytest.mark.parametrize(("number", "other", "sound"), [(0, -1, 0), (39, 41, 39), (39, 400, 39)])
def test_trials_are_numbered_one_after_another_from_0(number, other, sound, path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trials SET number = ? WHERE number = ?", (other, number))
    database.close()
    found = sound_rows(path, GENESIS)
    assert (found.rows, found.damage) == (ROWS[:sound], f"trial {sound} does not verify")


def test_a_run_that_has_just_begun_has_no_trials(path):
    opened(path, []).close()
    assert count_rows(path) == 0
    assert sound_rows(path, GENESIS) == ([], GENESIS, "")


def test_hundreds_of_trials_verify(path):
    rows = 20 * ROWS
    opened(path, rows).close()
    assert sound_rows(path, GENESIS)[::2] == (rows, "")


@pytest.mark.parametrize(
    ("code", "content"),
    [("CORRUPT", True), ("NOTADB", True), ("IOERR", False), ("BUSY", False), ("CANTOPEN", False)],
)
@pytest.mark.parametrize("extension", [0, 1, 3])
def test_an_error_is_the_contents_by_the_last_byte_of_its_code(code, content, extension):
    error = sqlite3.DatabaseError("")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}") | extension << 8
    assert _of_content(error) is content


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_was_changed_is_not_given(name, path):
    opened(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE texts SET content = 'other' WHERE name = ?", (name,))
    database.close()
    found = read_texts(path)
    assert name not in found.found
    assert found.damage == f"its {name} does not verify"


def test_what_is_missing_empty_or_no_database_is_told_apart(path):
    for read in (lambda: sound_rows(path, GENESIS), lambda: count_rows(path)):
        with pytest.raises(
            RunDamaged, match=r"run\.sqlite is missing; dse resume .* keeps what is"
        ):
            read()
    path.touch()
    assert sound_rows(path, GENESIS) == ([], GENESIS, "it is empty")
    with pytest.raises(RunDamaged, match="it is empty; dse resume"):
        count_rows(path)
    assert read_texts(path) == ({}, "it is empty")
    path.write_text("not a database, and long enough for a header of one " * 4)
    assert "not a database" in sound_rows(path, GENESIS).damage
    assert "not a database" in read_texts(path).damage
    path.unlink()
    sqlite3.connect(path).executescript("CREATE TABLE other (x)").close()
    assert "no such table" in sound_rows(path, GENESIS).damage
    assert read_texts(path) == ({}, "")  # a run of an earlier version has none
    with pytest.raises(RunDamaged, match=r"no such table: trials$"):
        count_rows(path)


def test_an_open_table_keeps_a_log_beside_it_and_a_closed_one_none(path):
    table = opened(path)
    table.add(ROWS[:1])
    assert path.with_name("run.sqlite-wal").stat().st_size > 0
    assert len(sound_rows(path, GENESIS).rows) == 41  # who reads meanwhile sees it
    table.close()
    assert [p.name for p in path.parent.iterdir()] == ["run.sqlite"]
    with pytest.raises(RunUnwritable, match="cannot be written"):
        TrialTable(path.parent / "no" / "run.sqlite", (0, GENESIS))
