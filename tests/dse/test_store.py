"""A run folder gives back exactly what was put in, or says why it cannot."""

import json

import numpy as np
import pytest

from dse.errors import RunError, RunExists
from dse.store import Question, RunWriter, canonical_json, read_run, write_atomically


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


@pytest.mark.parametrize("name", ["manifest.json", "run.sqlite"])
def test_a_missing_or_damaged_file_is_an_error_of_the_run(name, small_run):
    path = small_run.folder / name
    path.write_bytes(b"{")
    with pytest.raises(RunError, match="does not read as a run"):
        read_run(small_run.folder)
    path.unlink()
    with pytest.raises(RunError, match="does not read as a run"):
        read_run(small_run.folder)


def test_a_newer_schema_is_refused_with_a_sentence(small_run):
    path = small_run.folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "schema": 99}), encoding="utf-8")
    with pytest.raises(RunError, match="schema 99, this version reads schema 1"):
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
        "manifest.json", "run.sqlite", "study.resolved.yaml", "study.yaml",
    ]  # fmt: skip
    small_run.folder.chmod(0o500)
    try:
        assert len(read_run(small_run.folder).trials) == 64
    finally:
        small_run.folder.chmod(0o700)


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
