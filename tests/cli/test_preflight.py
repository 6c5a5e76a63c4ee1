"""What a study needs and this machine lacks: said by `validate`, and before `run` makes a folder.

The plain installation is played by hiding what the extras bring; `test_bare_wheel` builds one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dse.accuracy import needs
from dse.accuracy.needs import accuracy_needs
from dse.core.errors import MissingDependency
from dse.core.extras import EXTRAS, extra_of, require_extra, shortage
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from dse.study.preflight import require_runnable, shortages

STUDIES = Path(__file__).resolve().parents[2] / "studies"
CLOSED = STUDIES / "dynasplit/encoder.yaml"
MODULES = {module for extra in EXTRAS.values() for module in extra.modules}

PLAIN = f"""
from importlib.machinery import PathFinder
found, hidden = PathFinder.find_spec, {sorted(MODULES)!r}
PathFinder.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)
import studies.command
studies.command.main()
"""


def plain(*words, cwd):
    """A call of `dse` without extras and with an empty cache: exit code and lines on stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(STUDIES.parent), "EDGE_DSE_CACHE": str(cwd / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ran.stderr
    assert "internal error" not in ran.stderr
    return ran.returncode, ran.stderr.splitlines()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ([CLOSED, "--searcher", "gp"], "gp"),
        ([CLOSED, "--searcher", "botorch"], "botorch"),
        ([CLOSED, "--executor", "ray"], "ray"),
        ([STUDIES / "edgebert/sentiment.yaml"], "accuracy"),
        ([STUDIES / "joint/board.yaml"], "accuracy"),
        ([STUDIES / "appealnet/digits.yaml"], "accuracy"),
    ],
    ids=["gp", "botorch", "ray", "edgebert", "joint", "appealnet"],
)
def test_run_refuses_in_one_line_and_makes_no_folder(words, extra, tmp_path):
    code, said = plain("run", *words, "--out", "out", cwd=tmp_path)
    assert code == 2
    assert len(said) == 1
    assert f"pip install '.[{extra}]'" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_validate_names_all_that_is_missing(tmp_path):
    more = ["--set", "execution.executor=ray", "--set", "search.searcher=gp"]
    code, said = plain("validate", STUDIES / "edgebert/sentiment.yaml", *more, cwd=tmp_path)
    assert code == 2
    assert "no problems" in said[0]
    for line, wanted in zip(said[1:], [".[gp]", ".[ray]", ".[accuracy]", "fetch"], strict=True):
        assert wanted in line
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_needs_more_than_is_here_is_not_resumed(tmp_path):
    assert plain("run", CLOSED, "--out", "run", "--trials", "20", cwd=tmp_path)[0] == 0
    before = (tmp_path / "run" / "trials.csv").read_bytes()
    code, said = plain("resume", "run", "--executor", "ray", cwd=tmp_path)
    assert code == 2
    assert "pip install '.[ray]'" in said[0]
    assert plain("resume", "run", cwd=tmp_path)[0] == 0
    assert (tmp_path / "run" / "trials.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["train", "rt-sentiment"], "'.[accuracy]'"),
        (["replay", "0" * 64 + ".safetensors", "-t", "1"], "'.[accuracy]'"),
        (["predictor", "a.safetensors", "--out", "x.csv"], "'.[accuracy]'"),
        (["ablate", STUDIES / "joint/board.yaml"], "'.[accuracy]'"),
        (["data", "fetch", "local:."], "'.[hub]'"),
        (["data", "fetch", "digits"], "'.[accuracy]'"),
        (["trials", "import", "a.parquet", "--out", "x"], "'.[parquet]'"),
        (["run", CLOSED, "--out", "out", "--warm-start", "a.parquet"], "'.[parquet]'"),
    ],
    ids=lambda word: " ".join(map(str, word[:2])) if isinstance(word, list) else "",
)
def test_a_command_that_needs_an_extra_says_so_in_one_line(words, wanted, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "train.csv").write_text("text,label\na,0\nb,1\n", encoding="utf-8")
    code, said = plain(*words, cwd=tmp_path)
    assert code == 2
    assert len(said) == 1 + (words[0] == "data" and words[2] == "local:.")  # its progress
    assert wanted in said[-1]
    assert not (tmp_path / "out").exists()


def test_all_parts_of_an_extra_must_be_here(monkeypatch):
    require_extra("this", "accuracy")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependency) as caught:
        require_extra("this", "accuracy")
    assert str(caught.value) == (
        "this needs transformers, not installed here: pip install '.[accuracy]'"
    )
    assert shortage("that", "gp") == ""
    assert extra_of("torch.nn") == "accuracy"
    assert extra_of("numpy") is None


def test_what_accuracy_runs_need_beside_libraries(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_DSE_CACHE", str(tmp_path / "cache"))

    def lacking(task="rt-sentiment", network="minilm-l6"):
        return accuracy_needs("edgebert", task, [network])

    assert [line.split(": ")[-1] for line in lacking()] == ["dse data fetch rt-sentiment"]
    assert "unknown task 'rt-sentimental'" in lacking("rt-sentimental")[0]
    assert lacking("fashion-mnist") == (
        "the task fashion-mnist is not here yet; bring it with: dse data fetch fashion-mnist",
    )
    assert lacking("digits") == ()
    (line,) = lacking("digits", f"local:{tmp_path}")
    assert "holds no config.json" in line
    assert lacking("digits", "hub:owner/encoder") == ()
    monkeypatch.setattr(needs, "ROOM", 10**18)
    (line,) = lacking("digits")
    assert "MB left" in line
    assert "EDGE_DSE_CACHE" in line


def test_a_warm_start_is_needed_to_begin_and_not_to_go_on(tmp_path):
    path = tmp_path / "designs.csv"
    study = load_study(CLOSED, InstalledSystems(), [f"search.warm_start.path={path}"])
    assert shortages(study) == (f"search.warm_start.path: {path} does not exist",)
    assert shortages(study, resumed=True) == ()
    with pytest.raises(MissingDependency, match="does not exist"):
        require_runnable(study)
    path.touch()
    require_runnable(study)


def test_a_searcher_that_cannot_do_with_a_study_refuses_before_there_is_a_folder(tmp_path):
    code, said = plain("run", CLOSED, "--searcher", "grey_box", "--out", "out", cwd=tmp_path)
    assert code == 2
    assert len(said) == 1
    assert "grey_box learns what measured evaluators give" in said[0]
    assert list(tmp_path.iterdir()) == []
