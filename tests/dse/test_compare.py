"""Runs are compared on one reference, and what is new in each is counted right."""

from pathlib import Path

import numpy as np
import pytest

from dse.compare import compared
from dse.errors import DseError
from dse.problem import Constraint, Objective, judge
from dse.question import Quantity, Question
from dse.store import Run

OBJECTIVES = (Objective("energy", "J"), Objective("accuracy", "1", "max"))
LIMITS = (Constraint("energy", "J", 9.0),)


def run_of(name, points, objectives=OBJECTIVES):
    energy, accuracy = np.array(points, dtype=float).reshape(-1, 2).T
    n = len(energy)
    columns = {"energy": energy, "accuracy": accuracy}
    trials = judge(
        objectives, LIMITS, np.arange(float(n))[:, None], {"k": np.arange(n)}, columns, ("",) * n
    )
    quantities = (
        Quantity("k", "1", "knob", "design"),
        Quantity("energy", "J", "metric", None, "closed form"),
        Quantity("accuracy", "1", "metric", None, "closed form"),
    )
    return Run(Path(name), Question("s", "q", quantities, objectives, LIMITS), trials, {})


def test_what_is_kept_new_and_covered_is_counted_by_hand():
    one = run_of("one", [(1, 0.5), (2, 0.8), (8, 0.9)])
    two = run_of("two", [(1, 0.5), (1.5, 0.8), (3, 0.7), (10, 1.0)])
    a, b = compared([one, two])
    assert (a.trials, a.front, a.kept, a.new) == (3, 3, 2, 1)
    assert (b.trials, b.front, b.kept, b.new) == (4, 2, 2, 1)
    assert a.covered == 1 / 2
    assert b.covered == 2 / 3
    # On the scale of the common front: a = (0, 1), (1/7, 1/4), (1, 0); b = (0, 1), (1/14, 1/4).
    assert a.hypervolume == pytest.approx((0.1 * 0.25 + (1.1 - 1 / 7) * 0.75 + 0.11) / 1.21)
    assert b.hypervolume == pytest.approx(((1.1 - 1 / 14) * 0.75 + 0.11) / 1.21)


def test_equal_runs_tie_and_order_does_not_matter():
    points = [(1, 0.5), (2, 0.8)]
    a, b = compared([run_of("a", points), run_of("b", points)])
    assert a.hypervolume == b.hypervolume
    assert (a.new, b.new, a.covered, b.covered) == (0, 0, 1.0, 1.0)
    c, d = compared([run_of("b", points), run_of("a", [(5, 0.4)])])
    d2, c2 = compared([run_of("a", [(5, 0.4)]), run_of("b", points)])
    assert (c, d) == (c2, d2)


def test_a_run_without_a_feasible_trial_has_nothing():
    empty, full = compared([run_of("empty", [(20, 0.5)]), run_of("full", [(1, 0.5)])])
    assert (empty.front, empty.hypervolume, empty.covered) == (0, 0.0, 0.0)
    assert np.isnan(full.covered)


def test_what_cannot_be_compared_is_refused():
    run = run_of("a", [(1, 0.5)])
    with pytest.raises(DseError, match="at least 2"):
        compared([run])
    with pytest.raises(DseError, match="differ in their objectives"):
        compared([run, run_of("b", [(1, 0.5)], (OBJECTIVES[0],))])
    with pytest.raises(DseError, match="nothing to compare"):
        compared([run_of("a", [(20, 0.5)]), run_of("b", [(20, 0.5)])])
