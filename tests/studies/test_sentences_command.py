"""`dse sentences` on a run whose archive is synthetic; chip, study file and predictor are real."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dse.accuracy.archive import Archive, write_archive
from dse.accuracy.cache import key_of
from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.core.problem import Problem
from dse.core.signature import Signature
from dse.core.space import Columns
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter
from dse.study.loader import load_study
from studies.command import COMMANDS
from studies.edgebert.system import SYSTEM

HANDLE = key_of({})


@dataclass(frozen=True)
class Archived:
    """Every design has the same archive and plausible figures."""

    units: Mapping[str, str]

    @property
    def signature(self):
        outputs = {"archive": "handle", "accuracy": "1", "energy": "J", "latency_p95": "s"}
        return Signature.uniform(self.units, outputs, "unverified")

    def __call__(self, columns: Columns) -> Columns:
        n, threshold = len(columns["exit_threshold"]), columns["exit_threshold"]
        return {
            "archive": np.full(n, HANDLE),
            "accuracy": 0.9 - 0.1 * threshold,
            "energy": 1e-4 * (1 - threshold),
            "latency_p95": 1e-3 * (1 - 0.5 * threshold),
        }


@pytest.fixture(scope="module")
def sentences_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences")
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    sharpness = np.linspace(0.2, 4.0, 6)[None, :] * rng.gamma(2.0, 0.5, size=(400, 1))
    toward = np.where(rng.random((400, 6)) < 0.9, labels[:, None], 1 - labels[:, None])
    logits = np.stack([(1 - toward) * sharpness, toward * sharpness], axis=2).astype(np.float32)
    tokens = np.full(400, 26, dtype=np.int64)
    write_archive(folder, HANDLE, Archive(logits, labels.astype(np.int64), tokens, {}))
    study_file = Path(__file__).resolve().parents[2] / "studies" / "edgebert/sentiment.yaml"
    study = load_study(study_file, {"edgebert": SYSTEM})
    problem = Problem(study.space, Archived(study.space.units), study.objectives, study.constraints)
    question = Question.of("sentences", "sentences?", problem)
    text = study.resolved()
    facts = {"identity": "0" * 64, "facts": {}}
    with RunWriter(
        folder / "run", question, study_text=text, resolved=text, manifest=facts
    ) as writer:
        writer.add(problem.evaluate(study.space.sample(40, rng)))
        writer.finish("budget", {"trials": 40})
    return folder


@pytest.fixture
def sentences(sentences_run, monkeypatch):
    monkeypatch.setenv("EDGE_DSE_CACHE", str(sentences_run))
    app = command_line({"edgebert": SYSTEM}, COMMANDS)

    def run(*arguments):
        words = ["sentences", str(sentences_run / "run"), *map(str, arguments)]
        return CliRunner().invoke(app, words)

    return run


def test_slack_becomes_energy_and_no_deadline_is_missed(sentences):
    result = sentences("--deadline", "20ms", "--deadline", "4ms", "--format", "json")
    assert result.exit_code == 0, result.output + repr(result.exception)
    lines = {
        (line["scheme"], line["deadline"]): line for line in json.loads(result.stdout)["lines"]
    }
    for deadline in (0.02, 0.004):
        base, early, lai = (lines[name, deadline] for name in ("Base", "EE", "LAI"))
        assert base["energy"] > early["energy"] > lai["energy"]
        assert lai["late"] == 0
        assert lai["mean_exit_layer"] <= early["mean_exit_layer"] < base["mean_exit_layer"] == 6
        assert lines["LAI*", deadline]["energy"] <= lai["energy"] * (1 + 1e-12)
    assert lines["LAI", 0.02]["energy"] <= lines["LAI", 0.004]["energy"]
    assert lines["LAI", 0.02]["mean_vdd"] < lines["LAI", 0.004]["mean_vdd"] <= 0.8


def test_a_published_exit_table_is_taken(sentences, tmp_path):
    grid = np.arange(100)[:, None] / 100
    np.savetxt(tmp_path / "lut.csv", np.hstack([grid, grid * np.array([0.5, 0.3, 0.2, 0.1])]),
               delimiter=",")  # fmt: skip
    result = sentences("--deadline", "5ms", "--lut", tmp_path / "lut.csv")
    assert result.exit_code == 0, repr(result.exception)
    assert "LAI*" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--deadline", "soon"), "write a number and its unit"),
        (("--deadline", "5V"), "write a number and its unit"),
        (("--deadline", "5ms", "--trial", "99"), "trial 99 is not among the evaluated ones"),
    ],
)
def test_what_cannot_be_run_is_said(sentences, arguments, said):
    result = sentences(*arguments)
    assert isinstance(result.exception, DseError)
    assert said in str(result.exception)
