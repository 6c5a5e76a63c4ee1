"""Evaluators and study files that say what does harm elsewhere: the real command on whole runs."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dse.core.failure import LONGEST, Failure
from dse.runs.manifest import MANIFEST, manifest_text
from dse.runs.store import read_run

TOY = Path(__file__).resolve().parent / "toy.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.ci  # whole runs in processes of their own; test_failure has the rules

SAID = {
    "surrogate": Failure("raised", "ValueError: caf\\udce9"),
    "endless": Failure("raised", "ValueError: " + "x" * 2_000_000),
    "escape": Failure(
        "raised",
        "ValueError: \\x1b]0;owned\\x07\\x1b[2J\\x9b2J \\u202elive next line tab",
    ),
    "markup": Failure("raised", "ValueError: [/nope] int8[sym] :warning:"),
    "mute": Failure("raised", "Mute: its message cannot be shown: RuntimeError"),
    "says finite": Failure("raised", "ValueError: the sensor's reading is not a finite number"),
    "says lost": Failure("raised", "worker lost: its process died 3 times on this design"),
    "says stopped": Failure("raised", "stopped before it began"),
    "says stopped early": Failure("raised", "stopped early after 1 of 2 sentences"),
    "wide": Failure(
        "not as declared",
        "Measured gave rate [Hz] as float128; numbers have at most 64 bits (float64)",
    ),
    "beyond": Failure(
        "not as declared",
        "Measured gave rate [Hz] as uint64 up to 9223372036854775808; whole numbers are at most "
        "2^63 - 1 = 9223372036854775807 (int64)",
    ),
    "nan": Failure("not finite", "rate = nan is not a finite number"),
}
PLACES = {fault: 2 + 3 * k for k, fault in enumerate(SAID)}
LABELS = (
    "a", "int8[sym]", "[/nope]", "[red]x[/red]", ":warning:", "\x1b]0;owned\x07", "\x9b2J",
    "\u202elive",
)  # fmt: skip


@pytest.fixture
def study(tmp_path):
    text = TOY.read_text(encoding="utf-8").partition('STUDY = """\\\n')[2].partition('"""')[0]
    path = tmp_path / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def toy(*arguments, cwd):
    """Exit code, output and errors of the command, with the toy behind it."""
    command = [sys.executable, "-W", "error", str(TOY), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def hidden(text):
    """Characters of a text that a terminal does not show but obeys."""
    return sorted({c for c in text if not c.isprintable() and c != "\n"})


@pytest.fixture(params=["serial", "pool"])
def run(request, study, tmp_path):
    """40 of 50 designs of each of the labels, 12 of which fail in their own way."""
    faults = ", ".join(f"{fault}: [{place}]" for fault, place in PLACES.items())
    values = json.dumps(LABELS if request.param == "serial" else LABELS[:1])
    code, out, err = toy(
        "run", study, "--out", "run", "--searcher", "exhaustive", "--trials", "40",
        "--executor", request.param, "--set", "search.batch=20",
        "--set", f"settings.faults={{{faults}}}", "--set", f"knobs.kind.values={values}",
        "--set", "knobs.count={values: [2], unit: 1}",
        "--set", "knobs.x={start: 0, stop: 0.98, step: 0.02, unit: s}",
        "--set", "question=" + json.dumps("Which [/nope] \x1b]0;owned\x07 is best?"),
        "--set", "search.max_failed_share=0.01", cwd=tmp_path,
    )  # fmt: skip
    assert code == 3, err
    assert "more than search.max_failed_share" in err
    assert " failed: " in err
    assert not hidden(out + err)
    return tmp_path / "run"


def test_a_run_over_a_hostile_evaluator_ends_is_read_and_goes_on(run):
    failures = read_run(run).trials.failures
    assert len(failures) == 40
    code, _, err = toy("resume", run, "--trials", "+400", cwd=run.parent)
    assert code == 3, err
    read = read_run(run).trials
    assert read.failures[:40] == failures
    at: dict[int, set[Failure | None]] = {}
    for x, why in zip(read.designs["x"], read.failures, strict=True):
        at.setdefault(round(50 * x), set()).add(why)
    for fault, place in PLACES.items():
        assert at.pop(place) == {SAID[fault]}, fault
    assert set().union(*at.values()) == {None}
    assert all(len(why.reason) <= LONGEST for why in read.failures if why)
    code, out, _ = toy("check", run, cwd=run.parent)
    assert code == 0, out
    rows = list(csv.DictReader(io.StringIO((run / "trials.csv").read_text(encoding="utf-8"))))
    kinds = [(row["failure_kind"], row["failure"]) for row in rows]
    assert kinds == [(why.kind, why.reason) if why else ("", "") for why in read.failures]


COMMANDS = (
    ("front", "run", "--rows", "400"),
    ("trials", "list", "run", "--rows", "400"),
    ("status", "run"),
    ("top", "run"),
    ("compare", "run", "run"),
    ("check", "run"),
    ("export", "run", "--only", "count=2"),
    ("lut", "show", "run/tables/lut.json"),
    ("lut", "verify", "run/tables/lut.json"),
)
"""All that print texts of a run folder for people; in this order."""


@pytest.mark.parametrize("run", ["serial"], indirect=True)
def test_what_is_printed_of_a_hostile_run_is_shown_as_it_is(run):
    toy("resume", run, "--trials", "+400", cwd=run.parent)
    said = {}
    for command in COMMANDS:
        code, out, err = toy(*command, cwd=run.parent)
        said[command[0]] = out
        assert not hidden(out + err), command
        assert "internal error" not in err, command
        assert code in (0, 2, 6), (command, err)
    for label in ("int8[sym]", "[/nope]", "[red]x[/red]", ":warning:", r"\x1b]0;owned\x07",
                  r"\x9b2J", r"\u202elive"):  # fmt: skip
        assert label in said["trials"], label
    assert "most often" in said["status"]
    assert "raised: ValueError: [/nope] int8[sym] :warning:" in said["trials"]


@pytest.mark.parametrize("run", ["serial"], indirect=True)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_programs_read_is_exact_in_a_pipe_and_escaped_on_a_terminal(run, form):
    toy("resume", run, "--trials", "+400", cwd=run.parent)
    command = ("trials", "list", run, "--format", form)
    _, piped, _ = toy(*command, cwd=run.parent)
    assert "\u202elive" in piped
    assert form == "json" or "\x1b]0;owned\x07" in piped
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, TOY, *map(str, command)], stdout=theirs) as process:
        os.close(theirs)
        shown = bytearray()
        while chunk := _read(ours):
            shown += chunk
        assert process.wait() == 0
    os.close(ours)
    assert not hidden(shown.decode().replace("\r\n", "\n"))


def _read(file):
    try:
        return os.read(file, 1 << 16)
    except OSError:  # how the end of a terminal is told
        return b""


@pytest.mark.parametrize("run", ["pool"], indirect=True)
@pytest.mark.parametrize(("schema", "reader"), [(1, "before 0.1.0"), (2, "edge-dse 0.1.0 reads")])
def test_a_run_of_an_earlier_schema_names_the_version_that_reads_it(run, schema, reader):
    manifest = {**read_run(run).manifest, "schema": schema}
    (run / "run.sqlite").unlink()
    (run / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    for command in (("front", run), ("status", run), ("resume", run)):
        code, _, err = toy(*command, cwd=run.parent)
        assert code == 2
        assert f"schema {schema}: " in err
        assert reader in err
