"""The whole way on real input: real sentences, a real network, a real searcher, real workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dse.runs.store import read_run

pytestmark = pytest.mark.ci

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "edgebert/sentiment.yaml"
SMALL = (
    "settings.recipe=small",
    "settings.sentences=60",
    "settings.test_sentences=50",
    "knobs.pruning_ratio.values=[0.0, 0.5]",
    "knobs.weight_bits.values=[5, 8]",
    "search.batch=40",
)


@pytest.fixture(scope="session")
def dse(real_cache, trained_small):
    """Runs the command on the session's cache; returns the finished process."""
    assert trained_small.path.is_file()

    def run(*arguments, cwd):
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "studies.command", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "EDGE_DSE_CACHE": str(real_cache), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


def small_run(dse, cwd, name, *more):
    overrides = [part for text in SMALL for part in ("--set", text)]
    result = dse("run", STUDY, "--out", name, "--trials", 400, *overrides, *more, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="session")
def serial_run(dse, real_cache, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("runs")
    # Others may have made the same passes; these are to be made here.
    for archive in (real_cache / "archives").rglob("*.safetensors"):
        archive.unlink()
    result = small_run(dse, cwd, "serial", "--executor", "serial")
    return cwd / "serial", result


def test_one_forward_pass_per_distinct_network_prices_all_designs(serial_run):
    folder, result = serial_run
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["trials"] == 400
    assert manifest["real_runs_made"] == 4
    assert "4 real runs made, 0 reused" in result.stderr


@pytest.mark.parametrize("executor", ["pool", "ray"])
def test_the_same_seed_gives_the_same_front_bytes_whoever_computes(
    executor, serial_run, dse, real_cache
):
    folder, _ = serial_run
    # The archives are removed, so that these workers really make the passes again.
    for archive in (real_cache / "archives").rglob("*.safetensors"):
        archive.unlink()
    result = small_run(dse, folder.parent, executor, "--executor", executor, "--workers", 2)
    assert "4 real runs made" in result.stderr
    front = (folder.parent / executor / "front.json").read_bytes()
    assert front == (folder / "front.json").read_bytes()
    assert len(json.loads(front)["rows"]) > 5


def test_the_second_run_reuses_every_archive(serial_run, dse):
    result = small_run(dse, serial_run[0].parent, "again", "--executor", "serial")
    assert "0 real runs made, 4 reused" in result.stderr


def test_numbers_are_physical_and_the_constraint_holds(serial_run):
    trials = read_run(serial_run[0]).trials
    assert trials.ok.all()
    metrics = trials.metrics
    assert ((metrics["accuracy"] > 0.4) & (metrics["accuracy"] <= 1)).all()
    assert (metrics["energy"] > 0).all()
    assert ((metrics["mean_exit_layer"] >= 1) & (metrics["mean_exit_layer"] <= 6)).all()
    feasible = trials.rows(trials.feasible)
    assert (feasible.metrics["latency_p95"] <= 0.005).all()
    never = trials.designs["exit_threshold"] == 0.0
    assert (metrics["mean_exit_layer"][never] == 6).all()


def test_the_front_says_what_it_reaches_on_sentences_that_chose_nothing(serial_run):
    front = json.loads((serial_run[0] / "front.json").read_text(encoding="utf-8"))
    roles = {c["name"]: c["role"] for c in front["columns"]}
    assert roles["test_accuracy"] == "held out"
    for row in front["rows"]:
        held = row["held_out"]
        assert held["test_accuracy"] * 50 == pytest.approx(round(held["test_accuracy"] * 50))
        assert 1 <= held["test_mean_exit_layer"] <= 6
    differing = [
        row
        for row in front["rows"]
        if row["held_out"]["test_accuracy"] != row["metrics"]["accuracy"]
    ]
    assert differing


def test_a_higher_threshold_never_deepens_the_exit(serial_run):
    trials = read_run(serial_run[0]).trials
    groups = np.stack([trials.designs["pruning_ratio"], trials.designs["weight_bits"]], axis=1)
    for group in np.unique(groups, axis=0):
        rows = (groups == group).all(axis=1)
        order = np.argsort(trials.designs["exit_threshold"][rows])
        depth = trials.metrics["mean_exit_layer"][rows][order]
        assert (np.diff(depth) <= 0).all()


def test_front_plot_and_export_read_the_run(serial_run, dse):
    folder, _ = serial_run
    table = dse("front", folder, cwd=folder.parent)
    assert table.returncode == 0
    assert "[µJ]" in table.stdout or "[mJ]" in table.stdout
    csv = dse("front", folder, "--format", "csv", cwd=folder.parent)
    head = csv.stdout.splitlines()[0].split(",")
    assert head[:2] == ["trial", "pruning_ratio [1]"]
    assert {"weight_bits [bit]", "energy [J]", "test_accuracy [1]"} <= set(head)
    plotted = dse("plot", folder, cwd=folder.parent)
    assert plotted.returncode == 0, plotted.stderr
    assert (folder / "plots" / "front.png").stat().st_size > 10_000
    exported = dse("export", folder, cwd=folder.parent)
    assert exported.returncode == 0, exported.stderr
    content = json.loads((folder / "tables" / "lut.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in content["settings"]] == ["vdd", "exit_threshold"]


def test_a_folder_that_holds_a_run_is_refused(serial_run, dse):
    folder, _ = serial_run
    before = (folder / "manifest.json").read_bytes()
    result = dse("run", STUDY, "--out", folder, cwd=folder.parent)
    assert result.returncode == 6
    assert "nothing was written" in result.stderr
    assert (folder / "manifest.json").read_bytes() == before


def test_a_limit_that_nothing_keeps_ends_with_its_own_code(dse, serial_run):
    cwd = serial_run[0].parent
    limit = "constraints.latency_p95.max=0.01"
    arguments = [part for text in (*SMALL, limit) for part in ("--set", text)]
    result = dse("run", STUDY, "--out", "none", "--trials", 80, *arguments, cwd=cwd)
    assert result.returncode == 4
    assert "no feasible design was found" in result.stderr


def test_a_task_that_is_not_fetched_names_the_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "studies.command", "run", str(STUDY), "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "EDGE_DSE_CACHE": str(tmp_path / "c"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "dse data fetch rt-sentiment" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_keeps_the_trials_and_says_so(
    number, code, word, real_cache, trained_small, tmp_path
):
    assert trained_small.path.is_file()
    overrides = [part for text in SMALL for part in ("--set", text)]
    process = subprocess.Popen(
        [sys.executable, "-m", "studies.command", "run", str(STUDY), "--out", "out",
         "--executor", "serial", "--trials", "100000", *overrides],
        cwd=tmp_path,
        env={**os.environ, "EDGE_DSE_CACHE": str(real_cache), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    manifest = tmp_path / "out" / "manifest.json"  # the last file to come
    while time.monotonic() < deadline and process.poll() is None:
        if manifest.is_file() and len(read_run(tmp_path / "out").trials):
            break
        time.sleep(0.2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-2:] == [
        f"{word}; every trial reported so far is in the run folder",
        "dse resume out",
    ]
    run = read_run(tmp_path / "out")
    assert len(run.trials) > 0
    assert run.manifest["state"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["pool", "ray"])
def test_a_run_is_broken_off_alike_by_any_workers(executor, dse, real_cache, tmp_path):
    """The corners, two at a time: when the most compressed network comes, the dense one is known.

    Weak confidence, because 60 sentences show little; a limit that the dense network alone keeps.
    """
    early = (
        *SMALL[:3],
        "knobs.pruning_ratio.values=[0.0, 0.9]",
        "constraints={accuracy: {min: 0.78, unit: 1}}",
        "search={searcher: random, batch: 2, trials: 4, "
        "early_stop: {confidence: 0.6, looks: [0.4, 0.7]}}",
    )
    overrides = [part for text in early for part in ("--set", text)]
    runs = []
    for who in ("serial", executor):
        for archive in (real_cache / "archives").rglob("*.safetensors"):
            archive.unlink()
        found = dse("run", STUDY, "--out", who, "--executor", who, "--workers", 2,
                    *overrides, cwd=tmp_path)  # fmt: skip
        assert found.returncode == 0, found.stderr
        runs.append(read_run(tmp_path / who))
    one = runs[0]
    assert one.trials.stopped.tolist() == [False, False, False, True]
    assert (one.manifest["failed"], one.manifest["stopped_early"]) == (0, 1)
    for run in runs:
        assert run.trials.failures == one.trials.failures
        session = run.manifest["sessions"][0]
        assert (session["runs_stopped"], session["sentences_whole"]) == (1, 120)
        assert session["sentences_passed"] in (84, 102)
        front = (run.folder / "front.json").read_bytes()
        assert front == (one.folder / "front.json").read_bytes()
