"""Knob importance against a function whose shares of variance are known in closed form."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from dse.core.errors import DseError
from dse.core.parameters import Real
from dse.core.problem import Objective, Problem
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.plots.importance import TRUSTED, KnobImportance, importance_figure
from dse.runs.run_schema import Question


@dataclass(frozen=True)
class Known:
    """linear = 2 a + b; crossed = (a - 1/2) (b - 1/2); luck: what no knob explains."""

    signature: ClassVar[Signature] = Signature.uniform(
        dict.fromkeys("abc", "1"), {"linear": "1", "crossed": "1", "luck": "1"}, "closed form"
    )

    def __call__(self, columns: Columns) -> Columns:
        a, b, c = (columns[name] for name in "abc")
        return {
            "linear": 2 * a + b,
            "crossed": (a - 0.5) * (b - 0.5),
            "luck": np.modf(1e6 * (a + b + c))[0],
        }


@pytest.fixture(scope="module")
def problem():
    space = SearchSpace(tuple(Real(name, 0.0, 1.0, "1") for name in "abc"))
    return Problem(space, Known(), tuple(Objective(name, "1") for name in Known.signature.outputs))


@pytest.fixture(scope="module")
def found(problem):
    trials = problem.evaluate(problem.space.sample(1200, np.random.default_rng(3)))
    return KnobImportance.of(Question.of("known", "", problem), trials)


def test_shares_are_the_total_sobol_indices(found):
    assert found.knobs == ("a", "b", "c")
    linear, crossed, luck = found.share.T
    assert linear == pytest.approx([0.8, 0.2, 0.0], abs=0.06)
    assert crossed == pytest.approx([1.0, 1.0, 0.0], abs=0.15)
    assert found.score[:2] == pytest.approx([0.99, 0.95], abs=0.05)
    assert abs(luck).max() < 0.15
    assert found.score[2] < 0.2


def test_a_forest_that_knows_little_says_so(found):
    figure = importance_figure(found, "known")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "do not rely on it" not in titles[0]
    assert "do not rely on it" in titles[2]
    assert found.score[2] < TRUSTED
    hatched = [bool(axes.patches[0].get_hatch()) for axes in figure.axes]
    assert hatched == [False, False, True]


def test_too_few_trials_are_refused(problem):
    trials = problem.evaluate(problem.space.sample(39, np.random.default_rng(0)))
    with pytest.raises(DseError, match="39 evaluated trials: importances need at least 40"):
        KnobImportance.of(Question.of("known", "", problem), trials)
