"""Whatever an evaluator gives, with every searcher: the trial fails by name, the search goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from dse.core.evaluation import Chain
from dse.core.parameters import Integer
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import Signature
from dse.core.space import SearchSpace
from dse.search.loop import explore
from dse.searchers.registry import SEARCHERS, make_searcher

SPACE = SearchSpace((Integer("a", 0, 7, "1"), Integer("b", 0, 7, "1")))


def bad(a, b):
    return (a + b) % 3 == 0


def not_finite(value):
    def answer(y, strange):
        return np.where(strange, value, y)

    return answer


def nothing(y, strange):
    return (
        np.array([None if s else v for v, s in zip(y, strange, strict=True)]) if any(strange) else y
    )


def misshapen(y, strange):
    return y[:, np.newaxis] if any(strange) else y


def raising(y, strange):
    if any(strange):
        raise ValueError("error cannot be had")
    return y


BUDGET = {"gp": 12, "botorch": 42}
"""Designs: enough that a model has been asked; these take a second for each after their first."""

FAULTS = {
    "NaN": (not_finite(np.nan), "not finite: error = nan is not a finite number"),
    "inf": (not_finite(np.inf), "not finite: error = inf is not a finite number"),
    "minus inf": (not_finite(-np.inf), "not finite: error = -inf is not a finite number"),
    "None": (nothing, "not as declared: Faulty gave error [1] as object; real numbers are wanted"),
    "shape": (
        misshapen,
        "not as declared: Faulty gave error with shape (1, 1); (n,) = (1,) is wanted",
    ),
    "raised": (raising, "raised: ValueError: error cannot be had"),
}


@dataclass
class Faulty:
    """A measured error of a design; a third of them have none."""

    answer: Callable[..., Any]
    calls: list

    signature: ClassVar[Signature] = Signature(
        {"a": "1", "b": "1"}, {"error": "1"}, {"error": "measured"}, "measured"
    )

    def __call__(self, columns):
        a, b = columns["a"].astype(float), columns["b"].astype(float)
        self.calls += zip(columns["a"].tolist(), columns["b"].tolist(), strict=True)
        return {"error": self.answer((a - 3.0) ** 2 + 0.5 * b, bad(columns["a"], columns["b"]))}


@dataclass
class Energy:
    """What costs nothing to know."""

    signature: ClassVar[Signature] = Signature(
        {"a": "1", "b": "1"}, {"energy": "J"}, {"energy": "closed form"}
    )

    def __call__(self, columns):
        return {"energy": 1.0 + columns["a"] + 8.0 - columns["b"]}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_strange_answer_fails_its_trial_and_nothing_else(searcher, fault):
    answer, reason = FAULTS[fault]
    faulty = Faulty(answer, [])
    problem = Problem(
        SPACE,
        Chain((faulty, Energy())),
        (Objective("error", "1"), Objective("energy", "J")),
        (Constraint("energy", "J", 14.0),),
    )
    budget = BUDGET.get(searcher, 18)
    made = make_searcher(searcher, problem, seed=3, batch=6)
    found = explore(problem, made, budget=budget)
    trials = found.trials
    assert len(trials) == budget
    assert len(np.unique(trials.codes, axis=0)) == budget
    strange = bad(trials.designs["a"], trials.designs["b"])
    assert 0 < strange.sum() < budget
    assert [bool(why) for why in trials.failures] == strange.tolist()
    assert {str(why) for why in trials.failures if why} == {reason}
    assert np.isnan(trials.losses[strange]).all()
    assert np.isfinite(trials.losses[~strange]).all()
    assert len(set(faulty.calls)) == budget  # no design was paid for that is no trial
