"""`dse new system`: the package that it writes is served by every command, and its code binds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.cli.commands.new import package
from studies.command import COMMANDS
from studies.dynasplit.system import SYSTEM

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
FROM = ("--system-from", "my_array/system.py:SYSTEM")


def dse(*words, cwd, timeout=120):
    """Exit code, output and notes of the command, as typed in a shell."""
    command = [sys.executable, "-W", "error", "-m", "studies.command", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def views(run):
    return [(run / name).read_bytes() for name in ("front.json", "trials.csv")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The package, and a run of its study in `run`."""
    folder = tmp_path_factory.mktemp("new") / "my_array"
    code, _, said = dse("new", "system", "my_array", cwd=folder.parent)
    assert code == 0, said
    code, _, said = dse(
        "run", "my_array/study.yaml", *FROM, "--out", "run", "--set", "search.trials=60", cwd=folder
    )
    assert code == 0, said
    return folder


@pytest.fixture
def home(made, tmp_path):
    """A copy of both."""
    subprocess.run(["cp", "-r", made, tmp_path / "my_array"], check=True)
    return tmp_path / "my_array"


@pytest.mark.ci
def test_every_command_on_a_run_serves_it(made):
    device = ("--design", "bits=8", "--design", "width=32")
    calls = {
        "validate": ("validate", "my_array/study.yaml", *FROM),
        "status": ("status", "run"),
        "top": ("top", "run"),
        "front": ("front", "run"),
        "trials": ("trials", "list", "run"),
        "check": ("check", "run"),
        "plot": ("plot", "run"),
        "export": ("export", "run", "--format", "c", "--device", "bench"),
        "simulate": ("simulate", "run", "--requests", "200", *device),
        "survive": ("survive", "run", "--draws", "5", *FROM),
        "compare": ("compare", "run", "run"),
    }
    for name, call in calls.items():
        code, out, said = dse(*call, cwd=made)
        assert code == 0, f"{name}: {said}"
        assert out or said
    code, _, said = dse("survive", "run", cwd=made)
    assert code == 2
    assert "--system-from" in said


@pytest.mark.ci
def test_its_own_test_passes_and_the_package_is_a_system_once_it_is_installed(made):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=made, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_pool_gives_the_same_bytes(made):
    code, _, said = dse(
        "run", "my_array/study.yaml", *FROM, "--out", "pool", "--executor", "pool",
        "--set", "search.trials=60", cwd=made,
    )  # fmt: skip
    assert code == 0, said
    assert views(made / "pool") == views(made / "run")


@pytest.mark.ci
def test_ray_gives_the_same_bytes(made):
    code, _, said = dse(
        "run", "my_array/study.yaml", *FROM, "--out", "ray", "--executor", "ray", "--workers", "2",
        "--set", "search.trials=60", cwd=made,
    )  # fmt: skip
    assert code == 0, said
    assert views(made / "ray") == views(made / "run")


@pytest.mark.ci
def test_killed_and_resumed_it_gives_the_same_bytes(made):
    slow = made / "slow.yaml"
    text = (made / "my_array/study.yaml").read_text(encoding="utf-8")
    slow.write_text(text.replace("size: 256", "size: 512"), encoding="utf-8")
    begin = ("run", slow, *FROM, "--set", "search.trials=60", "--set", "search.batch=5", "--out")
    code, _, said = dse(*begin, "whole", cwd=made)
    assert code == 0, said
    command = [sys.executable, "-m", "studies.command", *map(str, begin), "killed"]
    driver = subprocess.Popen(
        command, cwd=made, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    events = made / "killed" / "events.jsonl"
    while driver.poll() is None and '"trials"' not in (
        events.read_text() if events.exists() else ""
    ):
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    code, _, said = dse("resume", "killed", *FROM, cwd=made)
    assert code == 0, said
    assert views(made / "killed") == views(made / "whole")


def edited(home, old, new):
    file = home / "my_array/system.py"
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_an_edited_formula_is_refused_by_the_name_of_its_module(home):
    edited(home, "vdd / 0.8) ** 2", "vdd / 0.8) ** 3")
    before = views(home / "run")
    code, _, said = dse("resume", "run", "--trials", "+20", *FROM, cwd=home)
    assert code == 6, said
    assert "code of the models changed in: system" in said
    assert views(home / "run") == before
    code, _, said = dse(
        "resume", "run", "--trials", "+20", "--accept", "code.models", *FROM, cwd=home
    )
    assert code == 0, said
    assert "accepted" in dse("status", "run", cwd=home)[1]


def test_an_edited_docstring_goes_on(home):
    edited(home, '"""Closed form: cycles', '"""A closed form: cycles')
    edited(
        home,
        "def compose(settings, spread, watch):",
        "\n# A comment.\ndef compose(settings, spread, watch):",
    )
    code, _, said = dse("resume", "run", "--trials", "+20", *FROM, cwd=home)
    assert code == 0, said
    manifest = json.loads((home / "run/manifest.json").read_text(encoding="utf-8"))
    assert manifest["trials"] == 80


@pytest.mark.parametrize("name", ["My", "1st", "a-b", "class", "json", "dynasplit", "ä"])
def test_a_name_that_no_package_can_have_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = command_line({"dynasplit": SYSTEM}, COMMANDS)
    found = CliRunner().invoke(app, ["new", "system", name])
    assert "choose another name" in str(found.exception) or "no name of a package" in str(
        found.exception
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    found = CliRunner().invoke(command_line({}, COMMANDS), ["new", "system", "mine"])
    assert "exists already" in str(found.exception)
    assert not list((tmp_path / "mine").iterdir())


def test_every_file_names_the_system_and_keeps_no_placeholder():
    for path, content in package("some_chip").items():
        assert "$" not in content, path
        assert "some_chip" in path + content or "some-chip" in content
