"""The wheel with the core dependencies alone: what it does, and what it refuses in one line."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel, its file names read from its index."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True)
    (found,) = folder.glob("edge_dse-*.whl")
    return found


@pytest.fixture(scope="module")
def place(wheel, tmp_path_factory):
    """A fresh environment with the wheel, and an empty folder outside of the tree."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    # Not compiled: the few modules that are imported compile themselves.
    options = ["--quiet", "--no-compile", "--constraint", str(ROOT / "constraints.txt")]
    python = folder / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    (site,) = (folder / "venv/lib").glob("python3*/site-packages")
    (folder / "work").mkdir()
    text = (site / "studies/dynasplit/encoder.yaml").read_text(encoding="utf-8")
    (folder / "work/study.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def dse(place):
    """Runs the installed command: exit code, stdout, lines of stderr."""

    def run(*words):
        hidden = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}
        ran = subprocess.run(
            [place / "venv/bin/dse", *map(str, words)],
            cwd=place / "work",
            env={k: v for k, v in os.environ.items() if k not in hidden}
            | {"EDGE_DSE_CACHE": str(place / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.returncode, ran.stdout, ran.stderr.splitlines()

    return run


@pytest.fixture(scope="module")
def run(dse):
    """A run of the study that the wheel brings along."""
    code, _, said = dse("run", "study.yaml", "--trials", "60", "--out", "run")
    assert code == 0, said
    return "run"


def test_the_wheel_holds_what_is_read_at_run_time(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, ending in (
        ("studies", ".yaml"),
        ("hw_models/tables", ".csv"),
        ("hw_models/tables", ".toml"),
        ("dse/lut", ".h"),
        ("dse/lut", ".rs"),
        ("dse/lut", ".json"),
        ("dse/online", ".toml"),
        ("dse", ".typed"),
    ):
        wanted = {f.relative_to(ROOT).as_posix() for f in (ROOT / folder).rglob(f"*{ending}")}
        assert wanted
        assert wanted <= names


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["doctor"], ["tables"]], ids=str)
def test_what_needs_no_study_works(words, dse):
    code, out, said = dse(*words)
    assert code == 0, said
    assert out


def test_a_study_is_validated_and_run(dse, run):
    code, _, said = dse("validate", "study.yaml")
    assert code == 0, said
    code, out, said = dse("front", run)
    assert code == 0, said
    assert "latency" in out


@pytest.mark.parametrize(
    "words",
    [
        ["plot", "run"],
        ["export", "run"],
        ["export", "run", "--format", "cbor"],
        ["simulate", "run", "--requests", "500"],
        ["resume", "run", "--trials", "+20", "--workers", "1"],
    ],
    ids=" ".join,
)
def test_a_run_is_used(words, dse, run):
    assert words[1] == run
    code, _, said = dse(*words)
    assert code == 0, said


@pytest.mark.parametrize("searcher", ["nsga2", "tpe"])
def test_searchers_of_the_core_dependencies_search(searcher, dse):
    words = ["run", "study.yaml", "--searcher", searcher, "--trials", "20", "--out", searcher]
    code, _, said = dse(*words, "--set", "search.batch=10")
    assert code == 0, said


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["study.yaml", "--searcher", "gp"], "gp"),
        (["study.yaml", "--searcher", "botorch"], "botorch"),
        (["study.yaml", "--executor", "ray"], "ray"),
        (["edgebert/sentiment.yaml"], "accuracy"),
    ],
    ids=["gp", "botorch", "ray", "edgebert"],
)
def test_what_an_extra_brings_is_asked_for_in_one_line(words, extra, dse, place):
    (studies,) = (place / "venv/lib").glob("python3*/site-packages/studies")
    study, *more = words
    path = study if study == "study.yaml" else studies / study
    code, _, said = dse("run", path, *more, "--out", "refused")
    assert code == 2
    assert len(said) == 1
    assert f"pip install '.[{extra}]'" in said[0]
    assert not (place / "work/refused").exists()
