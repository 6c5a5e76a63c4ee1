"""The table of commands: what it says beside the commands themselves, and what it imports."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse.cli.app import COMMANDS as ENGINE
from dse.cli.app import GROUPS, command_line
from dse.cli.command_table import loaded
from dse.runs.identity import source_digest, versions
from dse.study.plugins import InstalledSystems
from studies.command import COMMANDS

SYSTEMS = InstalledSystems()
ROOT = Path(__file__).parents[2]
ALL = (*ENGINE, *COMMANDS)
HEAVY = {
    "torch", "transformers", "ray", "optuna", "pymoo", "botorch", "gpytorch", "plotly",
    "matplotlib", "sklearn", "scipy", "pandas", "pyarrow", "datasets", "safetensors",
}  # fmt: skip
STUDY = ROOT / "studies/dynasplit/encoder.yaml"


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
def test_the_line_of_help_is_the_first_of_the_command_itself(command):
    doc = pkgutil.resolve_name(command.path).__doc__
    assert doc.splitlines()[0] == command.help
    assert (loaded(command).help or "").splitlines()[0] == command.help


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
def test_every_command_prints_its_help_and_a_call_of_it(command):
    app = command_line(SYSTEMS, COMMANDS)
    result = CliRunner().invoke(app, [*command.name.split(), "--help"], prog_name="dse")
    assert result.exit_code == 0
    assert f"Usage: dse {command.name}" in " ".join(result.stdout.split())
    assert command.example.startswith(f"dse {command.name}")
    assert "Example:" in result.stdout


def test_all_commands_are_listed_without_being_imported():
    app = command_line(SYSTEMS, COMMANDS)
    shown = CliRunner().invoke(app, ["--help"]).stdout
    for command in ALL:
        assert f" {command.name.split()[0]} " in shown
    for group, said in GROUPS.items():
        listed = CliRunner().invoke(app, [group, "--help"]).stdout
        assert said in listed
        words = [c.name.split()[1] for c in ALL if c.name.startswith(f"{group} ")]
        assert all(f" {word} " in listed for word in words)


def loaded_by(*arguments):
    """What `dse` imports for a call, in an interpreter of its own."""
    look = (
        "import sys\n"
        f"sys.argv = {['dse', *map(str, arguments)]!r}\n"
        "import studies.command\n"
        "try:\n    studies.command.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n' + ' '.join(sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", look],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words", [["--help"], ["validate", STUDY], ["status"], ["front"], ["trials", "list"]], ids=str
)
def test_a_light_command_imports_no_heavy_library(words, small_run):
    reads = words[0] in ("status", "front", "trials")
    loaded = loaded_by(*words, *([small_run.folder] if reads else []))
    assert not loaded & HEAVY
    if words == ["--help"]:
        assert "numpy" not in loaded
        assert not {name for name in loaded if name.startswith("dse.cli.commands.")}
    if words[0] == "validate":
        systems = {n for n in loaded if n.startswith("studies.") and n.endswith(".system")}
        assert systems == {"studies.dynasplit.system"}


ELSEWHERE = """
import os, sys
sys.modules["fcntl"] = None  # as on a platform that has none
del os.sched_getaffinity
sys.argv = {words!r}
import studies.command
studies.command.main()
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["validate", STUDY], 0),
        (["status", "RUN"], 0),
        (["front", "RUN"], 0),
        (["doctor"], 0),
        (["run", STUDY, "--out", "OUT"], 2),
    ],
    ids=str,
)
def test_without_linux_all_but_a_run_works(words, code, small_run, tmp_path):
    places = {"RUN": small_run.folder, "OUT": tmp_path / "out"}
    words = ["dse", *(str(places.get(word, word)) for word in words)]
    ran = subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(words=words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    if code:
        said = ran.stderr.splitlines()
        assert "Linux" in said[-1]
        assert "Traceback" not in ran.stderr


def told(*words, cwd):
    ran = subprocess.run(
        [sys.executable, "-m", "studies.command", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


def test_a_study_file_where_a_run_is_wanted_is_called_one(tmp_path):
    for command in ("front", "status", "plot", "check"):
        code, said = told(command, STUDY, cwd=tmp_path)
        assert code == 2
        assert said == f"{STUDY} is a study file; a run folder is wanted, e.g. of dse run {STUDY}\n"


def test_a_study_that_is_not_there_brings_up_those_that_are(tmp_path):
    for command in ("run", "validate"):
        code, said = told(command, "nosuch.yaml", cwd=tmp_path)
        assert code == 2
        assert said.startswith("nosuch.yaml: does not exist; ")
        assert str(ROOT / "studies") in said
        assert "dynasplit/encoder.yaml, dynasplit/vgg16.yaml" in said


def test_an_override_of_an_unknown_section_is_blamed_itself(tmp_path):
    code, said = told("validate", STUDY, "--set", "serch.seed=2", cwd=tmp_path)
    assert code == 2
    assert said.startswith("--set serch.seed=2: serch: unknown key")
    assert "did you mean 'search'?" in said


def test_replay_of_a_run_folder_says_what_it_takes(small_run, tmp_path):
    code, said = told("replay", small_run.folder, "--threshold", "0.3", cwd=tmp_path)
    assert code == 2
    assert "is a folder; an archive is wanted" in said
    assert "Errno" not in said


def test_the_version_names_the_source(tmp_path):
    code, said = told("--version", cwd=tmp_path)
    assert code == 0
    assert said == f"edge-dse {versions()['edge-dse']}, source {source_digest()[:16]}\n"
