"""A run folder gives back exactly what was put in, or says why it cannot."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from dse.core.errors import RunDamaged, RunError, RunExists, RunHeld, RunUnwritable
from dse.core.files import canonical_json, write_atomically
from dse.runs.database import TrialTable, finish_change, read_texts
from dse.runs.events import EventLog, read_events
from dse.runs.lock import holder
from dse.runs.manifest import manifest_text, read_manifest, read_resolved
from dse.runs.run_schema import Question
from dse.runs.status import run_status
from dse.runs.store import RunWriter, read_run


def test_a_run_reads_back_bit_for_bit(small_run, small_trials):
    read = small_run.trials
    np.testing.assert_array_equal(read.codes, small_trials.codes)
    for name, column in small_trials.designs.items():
        np.testing.assert_array_equal(read.designs[name], column)
        assert read.designs[name].dtype.kind == column.dtype.kind
    ok = small_trials.ok
    for name, column in small_trials.metrics.items():
        np.testing.assert_array_equal(read.metrics[name][ok], column[ok])
    np.testing.assert_array_equal(read.losses, small_trials.losses)
    np.testing.assert_array_equal(read.violations, small_trials.violations)
    assert read.failures == small_trials.failures
    assert sum(bool(f) for f in read.failures) == 8


def test_the_question_travels_with_units_stages_and_evidence(small_run):
    question = small_run.question
    assert question["vdd"].stage == "run"
    assert question["bits"].stage == "design"
    assert question["energy"].evidence == "unverified"
    assert question["delay"].unit == "s"
    with pytest.raises(RunError, match="unknown column 'speed'"):
        question["speed"]


def test_a_folder_that_holds_something_is_refused_and_left_alone(small_problem, tmp_path):
    (tmp_path / "precious.txt").write_text("mine", encoding="utf-8")
    question = Question.of("small", "?", small_problem)
    with pytest.raises(RunExists, match="nothing was written"):
        RunWriter(tmp_path, question, study_text="", resolved="", manifest={})
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_a_run_that_was_not_finished_keeps_its_trials(small_problem, small_trials, tmp_path):
    question = Question.of("small", "?", small_problem)
    folder = tmp_path / "run"
    with RunWriter(
        folder, question, study_text="", resolved="", manifest={"identity": "", "facts": {}}
    ) as writer:
        writer.add(small_trials.rows(np.arange(5)))
    read = read_run(folder)
    assert len(read.trials) == 5
    assert read.manifest["state"] == "interrupted"


def test_a_damaged_file_says_which_it_is(small_run):
    path = small_run.folder / "run.sqlite"
    before = path.read_bytes()
    path.write_bytes(b"{")
    with pytest.raises(RunDamaged, match=r"run\.sqlite is damaged"):
        read_run(small_run.folder)
    (small_run.folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(RunDamaged, match=r"manifest\.json does not read"):
        read_run(small_run.folder)
    with pytest.raises(RunDamaged, match=r"manifest\.json does not read"):
        RunWriter.reopen(small_run.folder)  # both at once: nothing is left to go by
    path.write_bytes(before)
    assert len(read_run(small_run.folder).trials) == 64


def test_a_missing_file_says_which_it_is(small_run):
    (small_run.folder / "run.sqlite").unlink()
    with pytest.raises(RunDamaged, match=r"run\.sqlite is missing"):
        read_run(small_run.folder)
    (small_run.folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"does not read as a run: it has no manifest\.json"):
        read_run(small_run.folder)
    with pytest.raises(RunError, match="nowhere does not exist"):
        read_run(small_run.folder / "nowhere")


@pytest.mark.parametrize("harm", ["cut", "zeros", "gone"])
def test_who_reads_a_damaged_database_is_told_what_mends_it(harm, small_run):
    """No front of fewer trials than were acknowledged, but the way to all of them."""
    path = small_run.folder / "run.sqlite"
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        os.truncate(path, path.stat().st_size - 4096)
    else:
        path.write_bytes(b"\0" * path.stat().st_size)
    for read in (read_run, run_status):
        with pytest.raises(RunDamaged, match=f"dse resume {small_run.folder} keeps"):
            read(small_run.folder)


CHANGES = {
    "a metric": "UPDATE trials SET metrics = replace(metrics, '1', '2') WHERE number = 9",
    "a design": "UPDATE trials SET design = replace(design, '0.5', '0.6') WHERE number = 8",
    "a reason": "UPDATE trials SET failure = 'never mind' WHERE number = 9",
    "a kind": "UPDATE trials SET failure_kind = 'stopped early' WHERE failure_kind <> ''",
    "a trial fewer": "DELETE FROM trials WHERE number = 5",
    "the last trials fewer": "DELETE FROM trials WHERE number > 60",
    "a trial more": "INSERT INTO trials SELECT 64, codes, design, metrics, failure_kind, failure, "
    "digest FROM trials WHERE number = 63",
    "a trial elsewhere": "UPDATE trials SET number = 64 WHERE number = 7",
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_in_the_table_is_noticed(change, small_run):
    database = sqlite3.connect(small_run.folder / "run.sqlite")
    with database:
        assert database.execute(CHANGES[change]).rowcount
    database.close()
    with pytest.raises(RunDamaged, match="is damaged"):
        read_run(small_run.folder)


def reopened(folder):
    with RunWriter.reopen(folder) as writer:
        return writer.trials, writer.repaired


def test_a_damaged_table_keeps_its_sound_rows_and_is_put_aside(small_run, small_trials):
    database = sqlite3.connect(small_run.folder / "run.sqlite")
    with database:
        database.execute(CHANGES["a metric"])
    database.close()
    with RunWriter.reopen(small_run.folder) as writer:
        assert writer.trials == 9
        assert "first 9 trials" in writer.repaired
        assert "55 acknowledged" in writer.repaired
        assert writer.known is not None
        np.testing.assert_array_equal(writer.known.losses, small_trials.losses[:9])
        writer.begin({})
        writer.add(small_trials.rows(np.arange(9, 64)))
        writer.finish("exhausted", {"trials": 64})
    assert (small_run.folder / "run.sqlite.damaged-1").is_file()
    again = read_run(small_run.folder)
    np.testing.assert_array_equal(again.trials.losses, small_trials.losses)
    assert reopened(small_run.folder) == (64, "")


def test_a_second_driver_is_told_who_is_at_work(small_run):
    with (
        RunWriter.reopen(small_run.folder),
        pytest.raises(RunHeld, match=f"process {os.getpid()} on {socket.gethostname()}"),
    ):
        RunWriter.reopen(small_run.folder)
    assert holder(small_run.folder) is None
    assert reopened(small_run.folder) == (64, "")


def test_the_lock_of_a_dead_process_is_free_at_once(small_run):
    code = (
        "import os, pathlib, sys; from dse.runs.lock import RunLock; "
        "RunLock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, small_run.folder], check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads((small_run.folder / "run.lock").read_text())["pid"] != os.getpid()
    assert holder(small_run.folder) is None
    assert reopened(small_run.folder) == (64, "")


def test_what_a_driver_left_that_died_before_its_run_began_is_in_nobodys_way(
    small_problem, tmp_path
):
    question = Question.of("small", "?", small_problem)
    folder = tmp_path / "stillborn"
    RunWriter(folder, question, study_text="", resolved="", manifest={}).__exit__(None)
    (folder / "manifest.json").unlink()
    (folder / ".manifest.json.x1").touch()
    with RunWriter(folder, question, study_text="", resolved="", manifest={}) as writer:
        assert writer.trials == 0
    assert len(read_run(folder).trials) == 0


def test_a_run_that_lost_its_manifest_is_no_leftover(small_problem, small_run):
    question = Question.of("small", "?", small_problem)
    (small_run.folder / "manifest.json").unlink()
    with pytest.raises(RunExists, match="go on with: dse resume"):
        RunWriter(small_run.folder, question, study_text="", resolved="", manifest={})
    assert len(read_run(small_run.folder).trials) == 64


def test_a_study_of_the_users_own_is_never_taken_for_a_leftover(small_problem, tmp_path):
    (tmp_path / "study.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(RunExists):
        RunWriter(
            tmp_path, Question.of("s", "?", small_problem), study_text="", resolved="", manifest={}
        )
    assert (tmp_path / "study.yaml").read_text(encoding="utf-8") == "mine"


def test_events_tell_the_story_and_a_torn_line_is_left_out(small_run):
    events = read_events(small_run.folder)
    assert [e["event"] for e in events] == ["trials", "trials", "ended"]
    assert [(e["from"], e["to"], e["failed"]) for e in events[:2]] == [(0, 40, 4), (40, 64, 4)]
    path = small_run.folder / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    assert read_events(small_run.folder) == events[:2]
    reopened(small_run.folder)
    EventLog(small_run.folder).add("looked", {})
    assert [e["event"] for e in read_events(small_run.folder)] == ["trials", "trials", "looked"]
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(RunDamaged, match=r"events\.jsonl, line 1"):
        read_run(small_run.folder)


def test_a_table_that_lost_its_end_is_noticed_by_the_events(small_run):
    database = sqlite3.connect(small_run.folder / "run.sqlite")
    with database:
        database.execute("DELETE FROM trials WHERE number >= 40")
    database.close()
    with pytest.raises(RunDamaged, match="holds 40 trials, 64 were acknowledged"):
        read_run(small_run.folder)
    assert reopened(small_run.folder)[0] == 40
    assert len(read_run(small_run.folder).trials) == 40  # noted, and no longer a contradiction


def test_a_newer_schema_is_refused_with_a_sentence(small_run):
    table = TrialTable(small_run.folder / "run.sqlite", (64, b""))
    table.keep({"manifest.json": manifest_text({**small_run.manifest, "schema": 99})})
    table.close()
    with pytest.raises(
        RunError,
        match="schema 99: another version of edge-dse reads it; this version reads schema 3",
    ):
        read_run(small_run.folder)


def test_a_batch_can_be_read_while_the_run_goes_on(small_problem, small_trials, tmp_path):
    question = Question.of("small", "?", small_problem)
    folder = tmp_path / "run"
    facts = {"identity": "", "facts": {}}
    with RunWriter(folder, question, study_text="", resolved="", manifest=facts) as writer:
        writer.add(small_trials.rows(np.arange(7)))
        assert len(read_run(folder).trials) == 7
        assert read_run(folder).manifest["state"] == "running"


def test_a_finished_run_reads_from_a_folder_that_nobody_may_write_to(small_run):
    assert sorted(p.name for p in small_run.folder.iterdir()) == [
        "events.jsonl", "manifest.json", "run.lock", "run.sqlite", "study.resolved.yaml",
        "study.yaml",
    ]  # fmt: skip
    small_run.folder.chmod(0o500)
    try:
        assert len(read_run(small_run.folder).trials) == 64
    finally:
        small_run.folder.chmod(0o700)


TEXTS = ("manifest.json", "study.yaml", "study.resolved.yaml")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("left", [None, b"", 7, b"\0\0\0"])
def test_a_text_that_is_missing_or_torn_is_read_from_the_database_and_restored(
    name, left, small_run
):
    path = small_run.folder / name
    before = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_bytes(before[:left] if isinstance(left, int) else left)
    assert read_run(small_run.folder).manifest == small_run.manifest
    assert reopened(small_run.folder) == (
        64, f"{name} was torn and is written anew from run.sqlite",
    )  # fmt: skip
    assert path.read_bytes() == before
    assert read_resolved(small_run.folder) == "study: small\n"
    last = read_events(small_run.folder)[-1]
    assert (last["event"], last["files"]) == ("restored", [name])
    assert reopened(small_run.folder) == (64, "")


def test_a_study_that_somebody_edited_is_neither_used_nor_overwritten(small_run):
    path = small_run.folder / "study.resolved.yaml"
    path.write_text("study: other\n", encoding="utf-8")
    assert reopened(small_run.folder) == (64, "")
    assert path.read_text(encoding="utf-8") == "study: other\n"
    with pytest.raises(RunDamaged, match="is not the study that the run was begun with"):
        read_resolved(small_run.folder)


def test_a_manifest_older_than_the_database_is_brought_up_to_date(small_run):
    path = small_run.folder / "manifest.json"
    with RunWriter.reopen(small_run.folder) as writer:
        older = path.read_bytes()
        writer.record({"why": "for no reason"})
    path.write_bytes(older)  # as a kill between the two writes leaves it
    assert read_manifest(small_run.folder)["why"] == "for no reason"
    assert "manifest.json" in reopened(small_run.folder)[1]
    assert json.loads(path.read_text(encoding="utf-8"))["why"] == "for no reason"


def meddled(path, statement):
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def test_a_run_of_before_the_database_kept_texts_gets_them_when_reopened(small_run):
    path = small_run.folder / "run.sqlite"
    meddled(path, "DROP TABLE texts")
    assert read_run(small_run.folder).manifest == small_run.manifest
    assert read_texts(path) == ({}, "")
    assert reopened(small_run.folder) == (64, "")
    assert set(read_texts(path).found) == set(TEXTS)


def test_a_text_changed_in_the_database_is_noticed_and_taken_from_its_file(small_run):
    path = small_run.folder / "run.sqlite"
    meddled(path, "UPDATE texts SET content = replace(content, '6', '7')")
    assert read_manifest(small_run.folder) == small_run.manifest
    trials, said = reopened(small_run.folder)
    assert trials == 64
    assert "does not verify" in said
    assert "0 acknowledged ones" in said
    assert json.loads(read_texts(path).found["manifest.json"]) == small_run.manifest
    assert reopened(small_run.folder) == (64, "")


def test_a_database_shorter_than_it_says_gives_the_rows_that_are_left(small_run, small_trials):
    path = small_run.folder / "run.sqlite"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(RunDamaged, match=r"run\.sqlite is damaged"):
        read_run(small_run.folder)
    with RunWriter.reopen(small_run.folder) as writer:
        assert 32 < writer.trials < 64
        assert writer.known is not None
        np.testing.assert_array_equal(writer.known.losses, small_trials.losses[: writer.trials])
    assert len(read_run(small_run.folder).trials) == writer.trials


def test_to_look_at_an_emptied_database_does_not_cost_its_log(small_problem, tmp_path):
    folder = tmp_path / "run"
    question = Question.of("small", "?", small_problem)
    RunWriter(folder, question, study_text="", resolved="", manifest={}).__exit__(None)
    (folder / "run.sqlite").write_bytes(b"")
    (folder / "run.sqlite-wal").write_bytes(b"what a killed driver left")
    with pytest.raises(RunDamaged, match="it is empty"):
        read_run(folder)
    with pytest.raises(RunExists):
        RunWriter(folder, question, study_text="", resolved="", manifest={})
    assert (folder / "run.sqlite-wal").is_file()
    assert "it is empty" in reopened(folder)[1]
    assert (folder / "run.sqlite.damaged-1-wal").is_file()


def test_a_database_that_is_gone_is_made_again_without_trials(small_run):
    (small_run.folder / "run.sqlite").unlink()
    trials, said = reopened(small_run.folder)
    assert trials == 0
    assert "it is missing" in said
    assert "64 acknowledged ones will be computed again" in said
    assert len(read_run(small_run.folder).trials) == 0


def test_canonical_json_refuses_what_is_not_finite():
    assert canonical_json({"b": 1, "a": [1.5, "µ"]}) == '{"a":[1.5,"µ"],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def leave_a_hot_journal(path):
    """What a kill leaves that comes while SQLite changes the file: its journal, not played back."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=DELETE")
    database.execute("PRAGMA cache_size=1")  # spills to the file before the commit
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE trials SET metrics = hex(zeroblob(2000))")
    journal = path.with_name(f"{path.name}-journal")
    torn, log = path.read_bytes(), journal.read_bytes()
    database.execute("ROLLBACK")
    database.close()
    path.write_bytes(torn)
    journal.write_bytes(log)


def test_a_kill_while_the_database_is_closed_costs_nothing(small_run, small_trials):
    path = small_run.folder / "run.sqlite"
    leave_a_hot_journal(path)
    assert path.with_name("run.sqlite-journal").stat().st_size
    with pytest.raises(RunDamaged, match="dse resume"):
        read_run(small_run.folder)
    assert reopened(small_run.folder) == (64, "")
    again = read_run(small_run.folder)
    np.testing.assert_array_equal(again.trials.losses, small_trials.losses)


@pytest.mark.parametrize(
    ("was", "becomes"), [(b"content TEXT", b"conten\xff TEXT"), (b"TABLE texts", b"TABLE t\xffxts")]
)
def test_a_schema_that_is_no_text_is_damage_and_no_bug(was, becomes, small_run, small_trials):
    path = small_run.folder / "run.sqlite"
    content = path.read_bytes()
    assert was in content
    path.write_bytes(content.replace(was, becomes, 1))
    with contextlib.suppress(RunDamaged):
        assert len(read_run(small_run.folder).trials) == len(small_trials)
    trials, _ = reopened(small_run.folder)
    again = read_run(small_run.folder)
    np.testing.assert_array_equal(again.trials.losses, small_trials.losses[:trials])


def test_a_database_whose_rows_verify_but_that_takes_no_more_is_made_anew(small_run, small_trials):
    path = small_run.folder / "run.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_texts_1'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = bytes(size)
    path.write_bytes(bytes(content))
    trials, repaired = reopened(small_run.folder)
    assert "run.sqlite was damaged" in repaired
    assert trials == 64
    again = read_run(small_run.folder)
    np.testing.assert_array_equal(again.trials.losses, small_trials.losses)


def test_a_journal_beside_a_file_that_is_no_database_does_not_stop_the_rebuild(small_run):
    path = small_run.folder / "run.sqlite"
    path.write_bytes(b"no database at all" * 400)
    path.with_name("run.sqlite-journal").write_bytes(b"no journal")
    finish_change(path)
    trials, repaired = reopened(small_run.folder)
    assert trials == 0
    assert "64 acknowledged ones will be computed again" in repaired


def test_a_change_that_cannot_be_finished_says_why(tmp_path):
    path = tmp_path / "run.sqlite"
    path.mkdir()  # stands for whatever keeps SQLite from opening the file
    path.with_name("run.sqlite-journal").write_bytes(b"")
    with pytest.raises(RunUnwritable, match="cannot be written: unable to open database file"):
        finish_change(path)
