"""Systems of installed packages and of a user's file, from `dse validate` to `dse survive`."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line, main
from dse.core.errors import CompositionError
from dse.study.plugins import GROUP, InstalledSystems
from dse.workers import transport
from studies.command import COMMANDS
from studies.dynasplit.system import SYSTEM

# -- systems of packages --------------------------------------------------------------------------


def package(folder, name, system, value):
    """A package as an installer leaves it: its metadata, with one entry point."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{system} = {value}\n")


def test_the_shipped_systems_are_installed_and_know_their_names():
    systems = InstalledSystems()
    assert {"edgebert", "dynasplit", "joint", "appealnet"} <= set(systems)
    assert all(systems[name].name == name for name in systems)
    assert systems["dynasplit"] is SYSTEM


def test_a_package_adds_a_system(tmp_path, monkeypatch):
    package(tmp_path, "one-mill", "mill", "one_mill:MILL")
    (tmp_path / "one_mill.py").write_text(
        "from dataclasses import replace\n"
        "from studies.dynasplit.system import SYSTEM\n"
        "MILL = replace(SYSTEM, name='mill')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert InstalledSystems()["mill"] == replace(SYSTEM, name="mill")


def test_two_packages_of_one_name_are_named_and_other_systems_go_on(tmp_path, monkeypatch):
    package(tmp_path, "first-mill", "mill", "first_mill:MILL")
    package(tmp_path, "second-mill", "mill", "second_mill:MILL")
    monkeypatch.syspath_prepend(tmp_path)
    systems = InstalledSystems()
    assert systems["dynasplit"] is SYSTEM
    with pytest.raises(CompositionError) as caught:
        systems["mill"]
    said = str(caught.value)
    assert "two packages offer a system 'mill'" in said
    assert "package first-mill" in said
    assert "package second-mill" in said
    assert "uninstall one of them" in said


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ("broken_mill:MILL", "raise OSError('no stone')",
         "the system 'mill' of package the-mill cannot be imported: OSError: no stone"),
        ("no_mill_at_all:MILL", None, "cannot be imported: ModuleNotFoundError"),
        ("empty_mill:MILL", "", "cannot be imported: AttributeError"),
        ("text_mill:MILL", "MILL = 'stone'",
         "text_mill:MILL of package the-mill is a str; a dse.System is wanted"),
        ("other_mill:MILL", "from studies.dynasplit.system import SYSTEM as MILL",
         "other_mill:MILL of package the-mill calls itself 'dynasplit'; its entry point calls it "
         "'mill'"),
    ],
    ids=["raises", "no module", "no variable", "no system", "other name"],
)  # fmt: skip
def test_a_package_without_a_system_is_named(value, code, said, tmp_path, monkeypatch):
    package(tmp_path, "the-mill", "mill", value)
    if code is not None:
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CompositionError) as caught:
        InstalledSystems()["mill"]
    assert said in str(caught.value)


def test_systems_can_be_given_and_a_name_that_none_has_is_a_missing_key():
    point = EntryPoint("dynasplit", "studies.dynasplit.system:SYSTEM", GROUP)
    systems = InstalledSystems((point, point))
    assert list(systems) == ["dynasplit"]
    assert len(systems) == 1
    assert "mill" not in systems
    with pytest.raises(KeyError):
        systems["mill"]


# -- a system of a file ---------------------------------------------------------------------------

HELPER = """\
def flow_of(speed, vanes):
    return 0.02 * speed * (1 - 0.3 / vanes)
"""

PUMP = """\
from dataclasses import dataclass, replace

import numpy as np

from dse.core.evaluation import Cached, Chain, InBatches
from dse.core.parameters import Integer, Real
from dse.core.signature import Signature
from dse.study.system import Composed, Draws, NoSettings, Requests, System
from pump_physics import flow_of


@dataclass(frozen=True)
class Bench:
    signature = Signature({"speed": "Hz", "vanes": "1"}, {"flow": "1"}, {"flow": "measured"},
                          "measured")

    def __call__(self, columns):
        return {"flow": flow_of(columns["speed"], columns["vanes"])}


@dataclass(frozen=True)
class Cost:
    friction: float = 2.0
    signature = Signature.uniform({"speed": "Hz", "vanes": "1", "flow": "1"},
                                  {"duration": "s", "work": "J"}, "closed form")

    def __call__(self, columns):
        lost = self.friction * columns["vanes"] * (columns["speed"] / 50) ** 2
        return {"duration": 1 / columns["flow"], "work": 5 + lost}


def compose(settings, spread, watch):
    return Composed(Chain((Cached(spread(Bench())), InBatches(Cost()))))


def draws(settings, count, rng):
    drawn = [Cost(friction) for friction in rng.uniform(1.0, 3.0, count)]
    return Draws(Cost(), drawn, ("friction",))


KNOBS = Real("speed", 10, 90, "Hz", "run"), Integer("vanes", 2, 9, "1", "run")
PLAIN = System(name="pump", knobs=KNOBS,
               metrics={"flow": "1", "duration": "s", "work": "J"}, compose=compose,
               settings=NoSettings)
FULL = replace(PLAIN, draws=draws, requests=Requests("duration", "work"))
TAKEN = replace(PLAIN, name="dynasplit")
NUMBER = 3
"""

STUDY = """\
study: pump
question: Fast or frugal?
system: pump
knobs:
  speed: {start: 10, stop: 90, step: 1, unit: Hz}
  vanes: {start: 2, stop: 9, unit: 1}
objectives: {duration: min, work: min}
search: {searcher: nsga2, trials: 60, batch: 10, seed: 1}
execution: {executor: serial}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a system, what it imports, and a study."""
    folder = tmp_path_factory.mktemp("pump")
    (folder / "pump_physics.py").write_text(HELPER)
    (folder / "pump.py").write_text(PUMP)
    (folder / "study.yaml").write_text(STUDY)
    return folder


def ran(place, folder, variable="PLAIN", *more):
    """A run in a folder of the place, of a system of its file."""
    app = command_line(InstalledSystems(), COMMANDS)
    arguments = ["run", place / "study.yaml", "--out", place / folder, *more]
    arguments += ["--system-from", f"{place / 'pump.py'}:{variable}"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return place / folder


@pytest.fixture(scope="module")
def plain(place):
    return ran(place, "plain")


@pytest.fixture(scope="module")
def full(place):
    return ran(place, "full", "FULL")


@pytest.fixture
def dse(monkeypatch, capsys):
    """Calls `dse` in this process: exit code, output, messages in one line."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(transport, "_folders", list(transport._folders))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["dse", *map(str, arguments)])
        code = main(InstalledSystems(), COMMANDS)
        shown = capsys.readouterr()
        return code, shown.out, " ".join(shown.err.split())

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_study_of_a_system_in_a_file_validates(dse, place):
    code, _, said = dse("validate", place / "study.yaml", "--system-from", f"{place}/pump.py:PLAIN")
    assert code == 0, said
    code, _, said = dse("validate", place / "study.yaml")
    assert code == 2
    assert "pump" in said


@pytest.mark.parametrize("executor", ["pool", pytest.param("ray", marks=pytest.mark.ci)])
def test_every_executor_finds_the_same_bytes(executor, place, plain):
    other = ran(place, executor, "PLAIN", "--executor", executor, "--workers", "2")
    for name in ("front.json", "trials.csv"):
        assert (other / name).read_bytes() == (plain / name).read_bytes()
    manifest = json.loads((other / "manifest.json").read_text())
    assert manifest["system_from"] == f"{(place / 'pump.py').resolve()}:PLAIN"
    assert manifest["real_runs_made"] == 60  # what the workers answered; the system does not count
    assert manifest["export"] == {"sort_by": "duration", "fallback": "duration"}
    assert manifest["requests"] is None


def test_a_run_goes_on_only_with_its_system_named_again(dse, place):
    folder = ran(place, "cut", "PLAIN", "--trials", "30")
    code, _, said = dse("resume", folder, "--trials", "60")
    assert code == 2
    file = (place / "pump.py").resolve()
    assert f"was begun with a system of a file: add --system-from {file}:PLAIN" in said
    code, _, said = dse("resume", folder, "--trials", "60", "--system-from", f"{file}:PLAIN")
    assert code == 0, said
    whole = ran(place, "whole", "PLAIN")
    assert (folder / "trials.csv").read_bytes() == (whole / "trials.csv").read_bytes()


@pytest.mark.parametrize(
    "command",
    ["front RUN", "plot RUN", "check RUN", "status RUN", "trials list RUN", "export RUN",
     "compare RUN OTHER"],
)  # fmt: skip
def test_commands_on_a_run_need_no_system(command, dse, plain, full):
    words = [{"RUN": plain, "OTHER": full}.get(word, word) for word in command.split()]
    code, _, said = dse(*words)
    assert code == 0, said


def test_constants_are_drawn_by_a_system_that_says_how(dse, place, plain, full):
    flag = ("--system-from", f"{place / 'pump.py'}:PLAIN")
    code, _, said = dse("survive", plain, *flag)
    assert code == 2
    assert "the system 'pump' does not say which of its constants are uncertain" in said
    assert "its member `draws` (dse.System)" in said
    code, _, said = dse("survive", full)
    assert code == 2
    assert "add --system-from" in said
    flag = ("--system-from", f"{place / 'pump.py'}:FULL")
    code, out, said = dse("survive", full, "--draws", 20, "--format", "json", *flag)
    assert code == 0, said
    found = json.loads(out)
    assert found["tables"] == ["friction"]
    assert all(0 <= row["survives"] <= 1 for row in found["rows"])
    assert any(row["survives"] > 0 for row in found["rows"])


def test_a_stream_is_simulated_with_the_columns_that_a_system_names(dse, plain, full):
    code, _, said = dse("simulate", plain, "--requests", 50)
    assert code == 2
    assert "the run has no metric energy in J; in J there are: work" in said
    assert "let the system say it in its member `requests` (dse.System)" in said
    code, out, said = dse("simulate", full, "--requests", 50, "--format", "json")
    assert code == 0, said
    flags = ("--energy", "work", "--latency", "duration")
    assert dse("simulate", plain, "--requests", 50, "--format", "json", *flags)[1] == out
    code, _, said = dse("simulate", full, "--latency", "work")
    assert code == 2
    assert "the run has no metric work in s; in s there are: duration" in said


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("{place}/pump.py", None, "write FILE.py:NAME"),
        (":PLAIN", None, "write FILE.py:NAME"),
        ("{place}/pump.py:", None, "write FILE.py:NAME"),
        ("{place}/none.py:PLAIN", None, "none.py is not a Python file that exists"),
        ("{place}/study.yaml:PLAIN", None, "study.yaml is not a Python file that exists"),
        ("{place}/pump.py:MISSING", None,
         "has no variable 'MISSING'; systems there: PLAIN, FULL, TAKEN"),
        ("{place}/pump.py:NUMBER", None, "pump.py is a int; a dse.System is wanted"),
        ("{place}/pump.py:TAKEN", None,
         "already; uninstall that package, or give yours another name"),
        ("{own}/json.py:PLAIN", "", "json.py: the module 'json' is"),
        ("{own}/my-pump.py:PLAIN", "", "'my-pump' is not a name of a module; rename the file"),
        ("{own}/pump_that_raises.py:PLAIN", "1 / 0",
         "pump_that_raises.py cannot be imported: ZeroDivisionError: division by zero"),
        ("{own}/pump_unread.py:PLAIN", "def", "pump_unread.py cannot be imported: SyntaxError"),
    ],
)  # fmt: skip
def test_what_is_no_system_of_a_file_is_said(given, code, said, dse, place, tmp_path):
    text = given.format(place=place, own=tmp_path)
    if code is not None:
        Path(text.rpartition(":")[0]).write_text(code)
    exit_code, _, told = dse("validate", place / "study.yaml", "--system-from", text)
    assert exit_code == 2, told
    assert said in told


SCRIPT = """\
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.core.signature import Signature
from dse.workers.process_pool import ProcessPool
from dse.workers.workers import Spread

with Path("began").open("a") as file:
    file.write("x")


def doubled(numbers):
    return 2 * numbers


@dataclass(frozen=True)
class Doubled:
    signature = Signature({"x": "1"}, {"y": "1"}, {"y": "measured"}, "measured")

    def __call__(self, columns):
        return {"y": doubled(columns["x"])}


with ProcessPool(2) as pool:
    print(Spread(Doubled(), pool)({"x": np.arange(4.0)})["y"].tolist())
"""


def test_an_evaluator_of_a_script_travels_and_the_script_runs_once(tmp_path):
    """The script has no `if __name__`."""
    (tmp_path / "own_script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "own_script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[0.0, 2.0, 4.0, 6.0]\n"
    assert (tmp_path / "began").read_text() == "x"
