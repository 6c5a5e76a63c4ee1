"""Sweeping a space finds the front that brute force finds, and nothing else."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dse.core.errors import SpaceError
from dse.core.parameters import Categorical, Integer, Real
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import Signature
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from dse.pareto.dominance import DominanceGrid, non_dominated
from dse.search.loop import explore
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.exhaustive_front import sweep

SPACE = SearchSpace(
    (
        Categorical("cell", ("sram", "reram")),
        Integer("bits", 1, 8, "bit"),
        Integer("rows", 1, 20, "1"),
        Integer("verify", 0, 3, "1"),
        Integer("columns", 1, 20, "1"),
    ),
    (ActiveWhen("verify", "cell", ("reram",), 0),),
    (Forbidden({"cell": ("reram",), "bits": (7, 8)}, "no such cell"),),
)


@dataclass(frozen=True)
class Rugged:
    """Three losses with ties, a limit, rows that fail and rows that are not finite."""

    signature: ClassVar[Signature] = Signature.uniform(
        SPACE.units, dict.fromkeys(("a", "b", "c"), "1"), "closed form"
    )

    def __call__(self, columns):
        bits, rows, cols = columns["bits"], columns["rows"], columns["columns"]
        if ((bits == 5) & (rows == 7) & (cols == 3)).any():
            raise ValueError("no")
        verify = columns["verify"]
        a = np.round(np.sin(bits * rows) + 0.05 * cols + 0.1 * verify, 2)
        b = np.round(np.cos(rows + cols) - 0.1 * bits, 2)
        c = np.where((rows == 2) & (cols == 2), np.nan, np.abs(rows - cols) / bits - verify)
        return {"a": a, "b": b, "c": c}


def rugged_problem():
    wanted = (Objective("a", "1"), Objective("b", "1", "max"), Objective("c", "1"))
    return Problem(SPACE, Rugged(), wanted, (Constraint("a", "1", 1.2),))


@pytest.fixture(scope="module")
def truth():
    problem = rugged_problem()
    trials = explore(problem, Exhaustive(problem), budget=10**6).trials
    feasible = trials.rows(trials.feasible)
    return trials, feasible.rows(non_dominated(feasible.losses))


@pytest.mark.parametrize(("chunk", "block"), [(16_384, 1 << 20), (97, 1000)])
def test_the_front_is_that_of_brute_force_ties_included(truth, chunk, block):
    trials, front = truth
    swept = sweep(rugged_problem(), chunk=chunk, block=block)
    assert swept.designs == SPACE.size == len(trials)
    assert swept.feasible == trials.feasible.sum()
    assert swept.failed == (~trials.ok).sum() > 0
    np.testing.assert_array_equal(swept.codes, front.codes)
    np.testing.assert_array_equal(swept.losses, front.losses)


def test_two_processes_find_the_same_as_one(truth):
    swept = sweep(rugged_problem(), processes=2, chunk=500, block=4000)
    np.testing.assert_array_equal(swept.codes, truth[1].codes)
    np.testing.assert_array_equal(swept.losses, truth[1].losses)


def test_a_continuous_space_is_refused():
    space = SearchSpace((Real("vdd", 0.5, 0.8, "V"),))

    @dataclass(frozen=True)
    class Square(Rugged):
        signature: ClassVar[Signature] = replace(Rugged.signature, inputs={"vdd": "V"})

    with pytest.raises(SpaceError, match="vdd is continuous"):
        sweep(Problem(space, Square(), (Objective("a", "1"),)))


finite = st.integers(-4, 4).map(float)


@given(arrays(float, (15, 3), elements=finite), arrays(float, (40, 3), elements=finite))
def test_the_grid_rejects_only_what_is_dominated(front, losses):
    sure = ~DominanceGrid(front, cells=200).undecided(losses)
    for row in losses[sure]:
        assert ((front <= row).all(axis=1) & (front < row).any(axis=1)).any()


def test_a_fine_grid_rejects_almost_everything_that_is_dominated():
    rng = np.random.default_rng(0)
    losses = rng.random((20_000, 3))
    front = losses[non_dominated(losses)]
    dominated = ~non_dominated(losses)
    undecided = DominanceGrid(front).undecided(losses)
    assert undecided[~dominated].all()
    assert undecided[dominated].mean() < 0.1
