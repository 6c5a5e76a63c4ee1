"""Stops, refusals and resumption as a user meets them: the real command on a toy system."""

import copy
import functools
import json
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dse.runs.lock import holder
from dse.runs.store import RunWriter, read_run

TOY = Path(__file__).resolve().parent / "toy.py"


@pytest.fixture
def study(tmp_path):
    text = TOY.read_text(encoding="utf-8").partition('STUDY = """\\\n')[2].partition('"""')[0]
    path = tmp_path / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-W", "error", TOY, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def toy(*arguments, cwd):
    return finish(start(*arguments, cwd=cwd))


def slow_run(study, cwd, *more):
    """A run of 50 evaluations of 0.1 s, the first of which has begun."""
    marks = cwd / "marks"
    marks.mkdir()
    process = start(
        "run", study, "--out", "run", "--searcher", "exhaustive", "--trials", "50",
        "--set", "knobs.kind.values=[a]", "--set", "knobs.count={values: [2], unit: 1}",
        "--set", "knobs.x={start: 0, stop: 0.98, step: 0.02, unit: s}",
        "--set", "settings.pause=0.1", "--set", f"settings.marks={marks}",
        "--set", "search.batch=50", *more, cwd=cwd,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(marks.iterdir()) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def resumed_to_the_end(cwd, err):
    """The last line that was printed, pasted."""
    words = err.splitlines()[-1].split()
    assert words == ["dse", "resume", "run"]
    code, _, err = toy(*words[1:], cwd=cwd)
    assert code == 0, err
    trials = read_run(cwd / "run").trials
    assert len(trials) == 50
    assert trials.ok.all()
    return trials


@pytest.mark.parametrize("executor", ["serial", "pool"])
def test_the_first_ctrl_c_finishes_what_is_begun_and_stores_it(executor, study, tmp_path):
    process = slow_run(study, tmp_path, "--executor", executor)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert "finishing what is being evaluated" in err
    kept = read_run(tmp_path / "run").trials
    assert 0 < len(kept) < 50  # in the middle of the only batch
    assert (tmp_path / "run" / "front.json").is_file()
    trials = resumed_to_the_end(tmp_path, err)
    assert trials.losses[: len(kept)].tolist() == kept.losses.tolist()


@pytest.mark.parametrize(
    ("signals", "code"),
    [((signal.SIGINT, signal.SIGINT), 130), ((signal.SIGTERM,), 143)],
)
def test_the_second_ctrl_c_and_a_termination_stop_at_once(signals, code, study, tmp_path):
    process = slow_run(study, tmp_path, "--executor", "pool", "--set", "settings.pause=30")
    began = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    got, _, err = finish(process)
    assert got == code, err
    assert time.monotonic() - began < 25  # and not the 30 s of an evaluation
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "dse resume run"
    assert read_run(tmp_path / "run").manifest["state"] == "interrupted"
    assert holder(tmp_path / "run") is None


def test_a_second_driver_is_refused_and_disturbs_nothing(study, tmp_path):
    process = slow_run(study, tmp_path, "--executor", "pool", "--set", "settings.pause=60")
    code, _, err = toy("resume", "run", cwd=tmp_path)
    assert code == 6
    assert f"process {process.pid} on " in err
    status = json.loads(toy("status", "run", "--format", "json", cwd=tmp_path)[1])
    assert status["state"] == "running"
    assert status["holder"]["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    assert holder(tmp_path / "run") is None


def test_a_killed_driver_is_seen_as_such_and_leaves_no_process(study, tmp_path):
    process = slow_run(study, tmp_path, "--executor", "pool")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    code, out, _ = toy("status", "run", cwd=tmp_path)
    assert code == 0
    assert "killed" in out
    assert "dse resume run" in out
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    assert not any(_alive(pid) for pid in children)
    resumed_to_the_end(tmp_path, "dse resume run")


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_grown_run_equals_one_that_was_asked_for_more_at_once(study, tmp_path):
    few = ("--set", "search.batch=8")
    assert toy("run", study, "--out", "grown", "--trials", "50", *few, cwd=tmp_path)[0] == 0
    assert toy("resume", "grown", "--trials", "+30", cwd=tmp_path)[0] == 0
    assert toy("resume", "grown", "--trials", "100", "--executor", "pool", cwd=tmp_path)[0] == 0
    assert toy("run", study, "--out", "whole", "--trials", "100", *few, cwd=tmp_path)[0] == 0
    for view in ("front.json", "trials.csv"):
        assert (tmp_path / "grown" / view).read_bytes() == (tmp_path / "whole" / view).read_bytes()
    manifest = read_run(tmp_path / "grown").manifest
    assert manifest["trials_asked"] == 100
    assert [s["trials_after"] for s in manifest["sessions"]] == [50, 80, 100]
    events = (tmp_path / "grown" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    grown = [e for e in map(json.loads, events) if e["event"] == "grown"]
    assert [(e["from"], e["to"]) for e in grown] == [(50, 80), (80, 100)]
    for wrong in ("10", "+x", "-5"):
        code, _, err = toy("resume", "grown", f"--trials={wrong}", cwd=tmp_path)
        assert code == 2, err
    assert read_run(tmp_path / "grown").manifest["state"] == "budget"


def begun_with(folder, field, value):
    """Say that a run was begun with something else, as if it had been; gives what it was."""
    with RunWriter.reopen(folder) as writer:
        identified = copy.deepcopy(writer.manifest["identified_by"])
        kind, *above, name = field.split(".", 2)
        place = functools.reduce(operator.getitem, [kind, *above], identified)
        before, place[name] = place[name], value
        writer.record({"identified_by": identified})
    return before


def test_a_run_of_other_data_is_refused_with_the_field(study, tmp_path):
    assert toy("run", study, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    begun_with(tmp_path / "run", "facts.data", "other")
    code, _, err = toy("resume", "run", cwd=tmp_path)
    assert code == 6
    assert "facts.data: was 'other', is 'none'" in err
    begun_with(tmp_path / "run", "facts.data", "none")
    resolved = tmp_path / "run" / "study.resolved.yaml"
    resolved.write_text(resolved.read_text(encoding="utf-8").replace("seed: 1", "seed: 2"))
    code, _, err = toy("resume", "run", cwd=tmp_path)
    assert code == 5
    assert "is not the study that the run was begun with" in err
    assert len(read_run(tmp_path / "run").trials) == 20


@pytest.mark.parametrize(
    ("field", "said", "warm_start"),
    [
        ("code.models.__main__", "code of the models changed in: __main__;", "evaluated anew"),
        (
            "code.search.dse.search.loop",
            "search changed in: dse.search.loop;",
            "not evaluated again",
        ),
        ("libraries.models.numpy", "library numpy: was 'other', is '", "evaluated anew"),
        ("libraries.search.pymoo", "library pymoo: was 'other', is '", "not evaluated again"),
        ("processor.numpy", "processor (numpy): was 'other', is '", "evaluated anew"),
    ],
)
def test_a_run_of_other_code_is_refused_with_the_field(field, said, warm_start, study, tmp_path):
    """A formula may change without a version: the source itself is in the identity."""
    assert toy("run", study, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    assert begun_with(tmp_path / "run", field, "other") != "other"
    code, _, err = toy("resume", "run", "--trials", "+20", cwd=tmp_path)
    assert code == 6
    assert said in " ".join(err.split())
    run = read_run(tmp_path / "run")
    assert len(run.trials) == run.manifest["trials_asked"] == 20
    # Its designs are of use all the same; what they cost is asked anew where models differ.
    warm = ("--warm-start", "run", "--trials", "25")
    code, _, err = toy("run", study, "--out", "warm", *warm, cwd=tmp_path)
    assert code == 0
    assert f"designs, {warm_start}" in err


def test_check_passes_on_a_run_and_names_what_is_wrong(study, tmp_path):
    assert toy("run", study, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    code, out, _ = toy("check", "run", cwd=tmp_path)
    assert code == 0
    assert "FAIL" not in out
    (tmp_path / "run" / "front.json").write_text("{}", encoding="utf-8")
    code, out, _ = toy("check", "run", cwd=tmp_path)
    assert code == 3
    assert "front.json is not what the trials give" in out
    assert toy("check", "run", "--rebuild", cwd=tmp_path)[0] == 0
    table = tmp_path / "run" / "run.sqlite"
    table.write_bytes(table.read_bytes().replace(b'"rate":1.', b'"rate":2.', 1))
    code, out, _ = toy("check", "run", cwd=tmp_path)
    assert code == 3
    assert "does not verify" in out
    code, _, err = toy("front", "run", cwd=tmp_path)
    assert code == 5
    code, _, err = toy("resume", "run", cwd=tmp_path)
    assert code == 0
    assert "was damaged" in err
    assert toy("check", "run", cwd=tmp_path)[0] == 0


def test_torn_texts_stop_no_command_and_are_made_again(study, tmp_path):
    assert toy("run", study, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    names = ("manifest.json", "study.yaml", "study.resolved.yaml")
    before = [(tmp_path / "run" / name).read_bytes() for name in names]
    for name in names:
        os.truncate(tmp_path / "run" / name, 9)
    for command in (["status"], ["front"], ["trials", "list"]):
        code, _, err = toy(*command, "run", cwd=tmp_path)
        assert (code, err) == (0, "")
    code, out, _ = toy("check", "run", cwd=tmp_path)
    assert code == 3
    assert "manifest.json: torn" in out
    assert toy("check", "run", "--rebuild", cwd=tmp_path)[0] == 0
    assert [(tmp_path / "run" / name).read_bytes() for name in names] == before
    for name in names:
        (tmp_path / "run" / name).unlink()
    code, _, err = toy("resume", "run", cwd=tmp_path)
    assert code == 0
    assert "written anew from run.sqlite" in err
    assert [(tmp_path / "run" / name).read_bytes() for name in names[1:]] == before[1:]
    assert toy("check", "run", cwd=tmp_path)[0] == 0


def test_trials_list_and_doctor_print_what_programs_and_people_read(study, tmp_path):
    assert toy("run", study, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    csv = toy("trials", "list", "run", "--format", "csv", cwd=tmp_path)[1]
    assert csv == (tmp_path / "run" / "trials.csv").read_text(encoding="utf-8")
    assert csv.splitlines()[0].startswith("trial,x [s],count [1],kind [choice],rate [Hz]")
    content = json.loads(toy("trials", "list", "run", "--format", "json", cwd=tmp_path)[1])
    assert len(content["trials"]) == 20
    table = toy("trials", "list", "run", "--rows", "3", cwd=tmp_path)[1]
    assert "3 of 20 trials" in table
    assert toy("top", "run", cwd=tmp_path)[1] == toy("status", "run", cwd=tmp_path)[1]
    out = toy("doctor", cwd=tmp_path)[1]
    assert "python" in out
    assert ".[ray]" in out
    code, _, err = toy("status", "nowhere", cwd=tmp_path)
    assert code == 2
    assert "does not exist" in err
