"""A run goes on with the code that it was begun with, or with a difference that a user accepts."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dse.core.errors import DseError, RunDiffers
from dse.plots.front_view import FrontView
from dse.results.front import Front
from dse.runs.differences import Difference, accepted_lines, accepted_of, differences, in_words
from dse.runs.identity import identified_code
from dse.runs.status import run_status
from dse.runs.store import read_run

ROOT = Path(__file__).parents[2]

SYSTEM = '''
"""A user's own system."""
import sys
from mine import plots
from mine.carbon import Energy
from dse.cli.app import main
from dse.accuracy.cache import cache_root
from dse.core.files import sha256_of
from dse.core.parameters import Ordinal
from dse.study.system import Composed, Section, System


class Settings(Section):
    """Nothing."""


def compose(settings, spread, watch):
    return Composed(Energy(), {"data": "none"}, lambda: (0, 0), artefacts=files)


MINE = System(
    name="mine",
    knobs=(Ordinal("x", tuple(k / 40 for k in range(40)), "s"),),
    metrics={"energy": "J", "delay": "s"},
    compose=compose,
    settings=Settings,
)


def files(metrics):
    """One file, of which every trial is said to make use."""
    path = cache_root() / "archives" / "a.bin"
    return {"archives/a.bin": sha256_of(path)} if path.is_file() and len(metrics["delay"]) else {}
'''

CARBON = '''
"""What it costs."""
from dataclasses import dataclass
from typing import ClassVar
from dse.core.signature import Signature


@dataclass(frozen=True)
class Energy:
    signature: ClassVar[Signature] = Signature.uniform(
        {"x": "s"}, {"energy": "J", "delay": "s"}, "closed form"
    )

    def __call__(self, columns):
        """Energy and delay."""
        return {"energy": 1 - columns["x"] ** 2, "delay": columns["x"] * 1.0}
'''

STUDY = """
study: mine
question: What does it cost?
system: mine
knobs:
  x: {start: 0.0, stop: 0.975, unit: s}
objectives:
  energy: min
  delay: min
search: {searcher: random, trials: 10, batch: 5, seed: 1}
export: {sort_by: energy, fallback: delay}
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a user's package, a study, and a run of 10 trials."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "mine").mkdir()
    (folder / "mine/__init__.py").write_text("", encoding="utf-8")
    (folder / "mine/system.py").write_text(SYSTEM, encoding="utf-8")
    (folder / "mine/carbon.py").write_text(CARBON, encoding="utf-8")
    (folder / "mine/plots.py").write_text("COLOUR = 1\n", encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    code, _, err = mine("run", "study.yaml", "--out", "run", cwd=folder)
    assert code == 0, err
    return folder


@pytest.fixture
def home(begun, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(begun, tmp_path / "home")


@pytest.fixture
def command(home, monkeypatch, capsys):
    """The command in this process: it reads the source of the user's system anew each time."""
    monkeypatch.syspath_prepend(home)
    monkeypatch.chdir(home)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["dse", *arguments])
        system = importlib.import_module("mine.system")
        code = system.main({"mine": system.MINE})
        said = capsys.readouterr()
        return code, " ".join(said.out.split()), " ".join(said.err.split())

    yield call
    for name in [n for n in sys.modules if n.partition(".")[0] == "mine"]:
        del sys.modules[name]


def mine(*arguments, cwd, **more):
    """The command in a process of its own, with the user's system behind it."""
    code = "import sys; from mine.system import MINE, main; sys.exit(main({'mine': MINE}))"
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{cwd}", **more},
    )  # fmt: skip
    return made.returncode, made.stdout, made.stderr


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_edited_formula_is_refused_by_module_and_goes_on_only_if_accepted(home):
    edit(home / "mine/carbon.py", "1 - columns", "9 * columns")
    code, _, err = mine("resume", "run", "--trials", "+5", cwd=home)
    assert code == 6
    said = " ".join(err.split())
    assert "code of the models changed in: mine.carbon;" in said
    assert "dse resume run --accept code.models" in said
    before = read_run(home / "run")
    assert len(before.trials) == 10
    accept = ("--trials", "+5", "--accept", "code.models")
    code, _, err = mine("resume", "run", *accept, cwd=home)
    assert code == 0, err
    after = read_run(home / "run")
    assert after.manifest["identity"] == before.manifest["identity"]
    [entry] = after.manifest["accepted"]
    assert (entry["field"], entry["trial"]) == ("code.models.mine.carbon", 10)
    assert entry["was"] != entry["now"]
    assert after.manifest["identified_by"]["code"]["models"]["mine.carbon"] == entry["now"]
    x, energy = after.trials.designs["x"], after.trials.metrics["energy"]
    assert energy[:10].tolist() == (1 - x[:10] ** 2).tolist()
    assert energy[10:].tolist() == (9 * x[10:] ** 2).tolist()


LINE = "accepted by the user from trial 10 on: code of the models changed in: mine.carbon"


def test_what_was_accepted_is_shown_in_every_view_and_needs_no_word_again(home, command):
    command("status", "run")
    edit(home / "mine/carbon.py", "1 - columns", "9 * columns")
    more = ("--trials", "+5")
    code, _, err = command("resume", "run", *more, "--accept", "code")
    assert code == 0, err
    code, _, err = command("resume", "run", *more)
    assert (code, LINE in err) == (0, True)
    assert run_status(home / "run").accepted == (LINE,)
    run = read_run(home / "run")
    assert Front.of_run(run).accepted == (LINE,)
    assert json.loads((home / "run/front.json").read_text())["accepted"] == [LINE]
    assert run.manifest["facts"]["accepted"] == LINE  # tables are exported with the facts
    view = FrontView.of(run.question, run.trials, accepted=accepted_lines(run.manifest))
    assert LINE in view.facts
    for name in ("status", "front", "check", "trials list", "compare"):
        code, out, err = command(*name.split(), "run", *["run"] * (name == "compare"))
        assert code == 0, err
        assert LINE in out + err, name
    code, _, err = command("run", "study.yaml", "--out", "warm", "--warm-start", "run")
    assert code == 0
    assert "evaluated anew" in err  # its trials are of two kinds


def test_words_and_what_only_draws_bind_nobody(home, command):
    (home / "mine/reports.py").write_text("import mine.carbon\n", encoding="utf-8")
    edit(home / "mine/carbon.py", '"""Energy and delay."""', '"""What a design costs."""')
    edit(home / "mine/carbon.py", "@dataclass", "# Frozen.\n@dataclass")
    code, _, err = command("resume", "run", "--trials", "+5")
    assert code == 0, err
    assert "accepted" not in read_run(home / "run").manifest


def test_data_of_a_package_binds(home, command):
    (home / "mine/costs.toml").write_text("a = 1\n", encoding="utf-8")
    code, _, err = command("resume", "run")
    assert code == 6
    assert "changed in: mine/costs.toml" in err


def test_a_run_keeps_digests_of_the_files_it_rests_on(home, command, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGE_DSE_CACHE", str(cache))
    assert command("resume", "run")[0] == 0
    assert read_run(home / "run").manifest["artefacts"] == {}
    file = cache / "archives" / "a.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"logits")
    assert command("resume", "run")[0] == 0
    kept = read_run(home / "run").manifest["artefacts"]
    assert kept == {"archives/a.bin": hashlib.sha256(b"logits").hexdigest()}
    assert command("check", "run")[0] == 0
    file.unlink()
    code, out, _ = command("check", "run")
    assert (code, f"note: 1 of 1 are not in {cache}" in out) == (0, True)
    assert command("resume", "run")[0] == 0
    assert read_run(home / "run").manifest["artefacts"] == kept

    file.write_bytes(b"rewritten")
    code, out, _ = command("check", "run")
    assert code == 3
    assert "FAIL files of the cache are those that it rests on" in out
    assert "archives/a.bin" in out
    code, _, err = command("resume", "run")
    assert code == 6
    assert "the file archives/a.bin of the cache is not the one that the run rests on" in err
    assert "dse resume run --accept artefacts" in err
    assert command("resume", "run", "--accept", "artefacts")[0] == 0
    assert command("check", "run")[0] == 0
    [entry] = read_run(home / "run").manifest["accepted"]
    assert (entry["field"], entry["was"]) == ("artefacts.archives/a.bin", kept["archives/a.bin"])


def test_what_does_not_differ_and_the_question_itself_are_not_accepted(home, command):
    code, _, err = command("resume", "run", "--accept", "processor")
    assert code == 6
    assert "--accept processor: nothing differs there; resume without it" in err
    edit(home / "mine/carbon.py", "1 - columns", "9 * columns")
    code, _, err = command("resume", "run", "--accept", "processor", "--accept", "code")
    assert code == 6
    assert "what differs: code of the models changed in: mine.carbon" in err
    code, _, err = command("resume", "run", "--accept", "study.search.seed")
    assert code == 2
    assert "the question of a run stays what it was" in err
    assert len(read_run(home / "run").trials) == 10


def test_other_instructions_of_the_processor_are_another_processor(home):
    for off in np.show_config(mode="dicts")["SIMD Extensions"]["found"][-1:]:
        code, _, err = mine("resume", "run", cwd=home, NPY_DISABLE_CPU_FEATURES=off)
        assert code == 6
        assert "processor (numpy): was " in " ".join(err.split())


def test_differences_are_named_in_plain_words():
    before = {
        "study": {"seed": 1},
        "code": {"models": {"a.b": "1", "c": "2"}, "search": {"s": "1"}},
        "libraries": {"models": {"torch": "2.13.0"}},
        "processor": {"torch": "AVX2"},
        "artefacts": {"archives/x": "1"},
    }
    after = {
        "study": {"seed": 2},
        "code": {"models": {"a.b": "9", "d": "2"}, "search": {"s": "2"}},
        "libraries": {"models": {"torch": "2.14.0"}},
        "processor": {"torch": "DEFAULT"},
        "artefacts": {"archives/x": "2"},
    }
    found = differences(before, after)
    assert in_words(found).split("; ") == [
        "code of the models changed in: a.b, c, d",
        "code of the search changed in: s",
        "the file archives/x of the cache is not the one that the run rests on",
        "library torch: was '2.13.0', is '2.14.0'",
        "processor (torch): was 'AVX2', is 'DEFAULT'",
        "study.seed: was 1, is 2",
    ]
    names = ("code", "libraries.models.torch", "processor", "artefacts")
    with pytest.raises(RunDiffers, match=r"left as it is: study\.seed: was 1, is 2$"):
        accepted_of(found, names, "run")
    within = [d for d in found if not d.within("study")]
    assert accepted_of(within, names, "run") == within
    with pytest.raises(RunDiffers, match="resume run --accept code --accept artefacts "):
        accepted_of(within, ("code",), "run")
    with pytest.raises(DseError, match="question of a run stays"):
        accepted_of(found, ("study",), "run")
    assert not Difference("codes", 1, 2).within("code")


def test_the_search_has_what_the_models_have_not():
    layers = identified_code(
        ["studies.dynasplit.system"], ["dse.searchers.pymoo_search"], ("pymoo",), measured=False
    )
    models, search = layers["code"]["models"], layers["code"]["search"]
    assert {"hw_models.split", "studies.dynasplit.system", "dse.core.space"} <= models.keys()
    wanted = {"dse.searchers.pymoo_search", "dse.search.loop", "dse.pareto.hypervolume"}
    assert wanted <= search.keys()
    assert not models.keys() & search.keys()
    assert not any(name.startswith(("dse.plots", "dse.results")) for name in {**models, **search})
    assert layers["libraries"]["models"].keys() == {"numpy", "python"}
    assert layers["libraries"]["search"].keys() == {"moocore", "pymoo"}
    assert layers["processor"].keys() == {"machine", "numpy"}
    named = identified_code(["studies.dynasplit.system"], [], measured=False, covered=["links"])
    missing = models.keys() - named["code"]["models"].keys()
    assert missing == {"hw_models/tables/links.csv", "hw_models/tables/links.toml"}
