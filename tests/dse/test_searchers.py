"""Every searcher keeps the contract, and the ones that learn find known fronts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from dse.core.errors import CompositionError, DseError, SpaceError
from dse.core.parameters import Categorical, Integer, Ordinal, Real
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import Signature
from dse.core.space import ActiveWhen, Columns, Forbidden, SearchSpace
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.search.loop import explore
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.optuna_search import OptunaGp, OptunaNsga2, OptunaNsga3, Tpe
from dse.searchers.pymoo_search import Nsga2, Nsga3
from dse.searchers.random_search import RandomSearch
from dse.searchers.searcher import Answers, Searcher
from dse.searchers.sobol_search import SobolSearch
from dse.testing.contracts import (
    SearcherContract,
    answers_to,
    conditional_space,
    searched_problem,
    tiny_space,
)

NOTHING = np.empty((0, 0))
"""An opening without designs."""


class TestRandomSearch(SearcherContract):
    def searcher(self, problem):
        return RandomSearch(problem, seed=7, batch=10)

    def continuous(self):
        return True


class TestExhaustive(SearcherContract):
    def searcher(self, problem):
        return Exhaustive(problem, seed=7, batch=10)

    def continuous(self):
        return False


class TestNsga2(SearcherContract):
    def searcher(self, problem):
        return Nsga2(problem, seed=7, batch=10)

    def continuous(self):
        return True


class TestNsga3(SearcherContract):
    def searcher(self, problem):
        return Nsga3(problem, seed=7, batch=10)

    def continuous(self):
        return True


class TestSobol(SearcherContract):
    def searcher(self, problem):
        return SobolSearch(problem, seed=7, batch=10)

    def continuous(self):
        return True


class TestOptunaNsga2(SearcherContract):
    def searcher(self, problem):
        return OptunaNsga2(problem, seed=7, batch=10)

    def continuous(self):
        return True


class TestOptunaNsga3(SearcherContract):
    def searcher(self, problem):
        return OptunaNsga3(problem, seed=7, batch=10)

    def continuous(self):
        return True


@pytest.mark.slow
class TestOptunaGp(SearcherContract):
    def searcher(self, problem):
        return OptunaGp(problem, seed=7, batch=5)

    def continuous(self):
        return True


class TestTpe(SearcherContract):
    def searcher(self, problem):
        return Tpe(problem, seed=7, batch=5)

    def continuous(self):
        return True


def test_another_seed_gives_other_rows():
    problem = searched_problem(conditional_space(continuous=True), 2, 0)
    for make in (RandomSearch, Nsga2, Tpe, SobolSearch):
        assert (make(problem, seed=1).ask() != make(problem, seed=2).ask()).any()


def test_exhaustive_search_lists_the_space_once_and_stops():
    space = conditional_space(continuous=False)
    searcher, seen = Exhaustive(searched_problem(space, 2, 0), batch=4), []
    while len(codes := searcher.ask()):
        assert len(codes) <= 4
        seen += [row.tobytes() for row in codes]
        searcher.tell(answers_to(codes, 2, 0, np.ones(len(codes), dtype=bool)))
    assert len(seen) == len(set(seen)) == space.size


def test_exhaustive_search_refuses_a_continuous_knob():
    with pytest.raises(SpaceError, match="continuous"):
        Exhaustive(searched_problem(conditional_space(continuous=True), 2, 0))


@pytest.mark.parametrize("rows", [0, -1])
def test_a_batch_without_rows_is_refused(rows):
    problem = searched_problem(tiny_space(), 1, 0)
    for make in (RandomSearch, Exhaustive, Nsga2, Tpe):
        with pytest.raises(DseError, match=f"batch = {rows}: at least 1"):
            make(problem, seed=1, batch=rows)


def test_a_population_smaller_and_larger_than_the_space_finds_all_of_it():
    for population in (1, 2, 3, 50):
        searcher = Nsga2(searched_problem(tiny_space(), 2, 0), seed=1, batch=population)
        seen = set()
        while len(codes := searcher.ask()):
            assert len(codes) <= population
            seen |= {row.tobytes() for row in codes}
            searcher.tell(answers_to(codes, 2, 0, np.ones(len(codes), dtype=bool)))
        assert len(seen) == 3


def test_a_space_that_is_almost_all_forbidden_is_searched():
    knobs = tuple(Integer(f"p{i}", 0, 9, "1") for i in range(3))
    rules = tuple(Forbidden({p.name: tuple(range(8))}, "too small") for p in knobs)
    problem = searched_problem(SearchSpace(knobs, (), rules), 2, 0)
    for searcher in (Nsga2(problem, seed=1, batch=6), Tpe(problem, seed=1, batch=3)):
        for _ in range(3):
            codes = searcher.ask()
            assert (codes >= 8).all()
            searcher.tell(answers_to(codes, 2, 0, np.ones(len(codes), dtype=bool)))


def test_one_objective_is_enough():
    problem = searched_problem(tiny_space(), 1, 1)
    for searcher in (Nsga2(problem, seed=1, batch=4), Tpe(problem, seed=1, batch=4)):
        for _ in range(4):
            codes = searcher.ask()
            searcher.tell(answers_to(codes, 1, 1, np.ones(len(codes), dtype=bool)))


KINDS: dict[str, Callable[..., Searcher]] = {
    "nsga2": Nsga2,
    "nsga3": Nsga3,
    "tpe": Tpe,
    "optuna_nsga2": OptunaNsga2,
    "optuna_nsga3": OptunaNsga3,
}


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "tpe", "optuna_nsga2"])
def test_a_limit_that_is_told_is_learnt(name):
    space = SearchSpace(tuple(Integer(knob, 0, 19, "1") for knob in "xyz"))

    def feasible_share(constraints):
        searcher = KINDS[name](searched_problem(space, 2, constraints), seed=2, batch=20)
        kept = []
        for _ in range(8):
            codes = searcher.ask()
            # Small x and y are wanted, and together with z at least 45 of 57.
            violations = 45.0 - codes.sum(axis=1, keepdims=True)
            kept.append((violations <= 0).mean())
            told = violations[:, :constraints]
            searcher.tell(Answers(codes[:, :2], told, np.ones(len(codes), dtype=bool)))
        return np.mean(kept[4:])

    assert feasible_share(1) > 0.15 > 0.05 > feasible_share(0)


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "tpe", "optuna_nsga2", "optuna_nsga3"])
def test_designs_that_violate_equally_are_told_apart_by_the_seed_alone(name):
    space = SearchSpace(tuple(Integer(knob, 0, 39, "1") for knob in "abcdef"))
    problem = searched_problem(space, 3, 2)
    one, other = (KINDS[name](problem, seed=1, batch=20) for _ in range(2))
    for _ in range(4):
        codes = one.ask()
        np.testing.assert_array_equal(codes, other.ask())
        losses = np.stack([codes[:, 0], codes.sum(axis=1), -codes[:, 3]], axis=1)
        for searcher in (one, other):
            searcher.tell(
                Answers(losses, np.ones((len(codes), 2)), np.ones(len(codes), dtype=bool))
            )


# -- known fronts ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Accelerator:
    """A closed form with the trade-offs of a small accelerator; refuses one corner."""

    signature: ClassVar[Signature] = Signature.uniform(
        {
            "cell": "choice",
            "bits": "bit",
            "verify": "1",
            "width": "1",
            "vdd": "V",
        },
        {"energy": "J", "latency": "s", "error": "1"},
        "closed form",
    )

    def __call__(self, columns: Columns) -> Columns:
        bits, width, vdd = columns["bits"], columns["width"], columns["vdd"]
        if ((width == 64) & (vdd > 0.85)).any():
            raise ValueError("width 64 above 0.85 V burns")
        dense = np.where(columns["cell"] == "sram", 1.0, 0.6 + 0.1 * columns["verify"])
        energy = vdd**2 * bits * dense + 0.02 * width * vdd
        latency = bits / (width * (vdd - 0.35))
        error = 2.0**-bits + np.where(
            columns["cell"] == "sram", 0.0, 0.05 - 0.04 * columns["verify"]
        )
        return {"energy": energy, "latency": latency, "error": error}


def accelerator_problem():
    space = SearchSpace(
        (
            Categorical("cell", ("sram", "reram")),
            Ordinal("verify", (0.25, 0.5, 0.75, 1.0), "1"),
            Integer("bits", 2, 8, "bit"),
            Ordinal("width", (4, 8, 16, 32, 64), "1"),
            Ordinal("vdd", (0.5, 0.55, 0.6, 0.7, 0.8, 0.9), "V"),
        ),
        (ActiveWhen("verify", "cell", ("reram",), 0.0),),
        (Forbidden({"cell": ("reram",), "bits": (7, 8)}, "no such cell"),),
    )
    objectives = (Objective("energy", "J"), Objective("latency", "s"), Objective("error", "1"))
    return Problem(space, Accelerator(), objectives, (Constraint("error", "1", 0.2),))


@pytest.fixture(scope="module")
def truth():
    problem = accelerator_problem()
    found = explore(problem, Exhaustive(problem), budget=10**6)
    assert found.ending == "exhausted"
    assert len(found.trials) == problem.space.size == 7 * 30 + 4 * 5 * 30
    assert 0 < (~found.trials.ok).sum() < 100
    return front_losses(found.trials)


def front_losses(trials):
    losses = trials.losses[trials.feasible]
    return losses[non_dominated(losses)]


def share_of(truth, trials):
    reference = Reference.of(truth)
    return hypervolume(front_losses(trials), reference) / hypervolume(truth, reference)


def test_nsga2_finds_the_enumerated_front_of_a_small_space(truth):
    problem = accelerator_problem()
    searcher = Nsga2(problem, seed=3, batch=40)
    found = explore(problem, searcher, budget=400)
    assert found.ending == "budget"
    assert share_of(truth, found.trials) > 0.97
    random = explore(problem, RandomSearch(problem, seed=3), budget=400)
    assert share_of(truth, found.trials) > share_of(truth, random.trials)


def test_tpe_finds_most_of_the_enumerated_front_of_a_small_space(truth):
    problem = accelerator_problem()
    searcher = Tpe(problem, seed=3, batch=10)
    found = explore(problem, searcher, budget=200)
    assert found.ending == "budget"
    assert share_of(truth, found.trials) > 0.9
    random = explore(problem, RandomSearch(problem, seed=3), budget=200)
    assert share_of(truth, found.trials) > share_of(truth, random.trials)


@dataclass(frozen=True)
class Parabolas:
    """Two parabolas; the front is 0 <= x <= 1 V at y = 0 V, f2 = (1 - sqrt(f1))^2."""

    signature: ClassVar[Signature] = Signature.uniform(
        {"x": "V", "y": "V"}, {"left": "1", "right": "1"}, "closed form"
    )

    def __call__(self, columns: Columns) -> Columns:
        x, y = columns["x"], columns["y"]
        return {"left": x**2 + y**2, "right": (x - 1) ** 2 + y**2}


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_a_continuous_front_is_approached(name):
    space = SearchSpace((Real("x", -2.0, 2.0, "V"), Real("y", -2.0, 2.0, "V")))
    problem = Problem(space, Parabolas(), (Objective("left", "1"), Objective("right", "1")))
    batch, budget = (20, 400) if name == "nsga2" else (10, 150)
    searcher = KINDS[name](problem, seed=1, batch=batch)
    t = np.linspace(0, 1, 2001)
    truth = np.stack([t**2, (1 - t) ** 2], axis=1)
    assert share_of(truth, explore(problem, searcher, budget=budget).trials) > 0.9


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "tpe", "optuna_nsga2"])
def test_a_search_that_starts_from_known_designs_is_ahead(name):
    """Good designs of another run are worth more than those that it would begin with."""
    problem = accelerator_problem()
    found = explore(problem, Exhaustive(problem), budget=10**6).trials
    good = np.flatnonzero(found.feasible)[non_dominated(found.losses[found.feasible])][::3]
    reference = Reference.of(front_losses(found))

    def share(warm):
        searcher = KINDS[name](problem, seed=4, batch=30)
        if warm:
            few = found.rows(good[:30])
            searcher.learn(few.codes, Answers(few.losses, few.violations, few.ok))
        trials = explore(problem, searcher, budget=60, opening=NOTHING).trials
        return hypervolume(front_losses(trials), reference)

    assert share(warm=True) > share(warm=False)


@pytest.mark.parametrize("make", [Nsga2, Nsga3])
def test_where_a_later_generation_failed_the_same_parents_mate_again(make):
    space = SearchSpace((Integer("a", 0, 999, "1"), Integer("b", 0, 999, "1")))
    searcher = make(searched_problem(space, 2, 0), seed=3, batch=20)

    def answers(codes, ok):
        losses = np.stack([codes.sum(axis=1), codes.sum(axis=1) + codes[:, 0]], axis=1)
        losses[~np.full(len(codes), ok)] = np.nan
        return Answers(losses, np.zeros((len(codes), 0)), np.full(len(codes), ok))

    for _ in range(20):
        searcher.tell(answers(searcher.ask(), True))
    for _ in range(3):
        codes = searcher.ask()
        assert len(codes) > 5
        assert codes.mean() < 250  # random designs have a mean of 500
        searcher.tell(answers(codes, False))


def test_an_ask_brings_what_is_wanted_but_no_more_than_a_batch():
    space = SearchSpace((Integer("a", 0, 99, "1"),))
    searcher = RandomSearch(searched_problem(space, 1, 0), seed=1, batch=7)
    asked = []
    for n in (None, 1, 6, 7, 8):
        asked.append(len(codes := searcher.ask(n)))
        searcher.tell(answers_to(codes, 1, 0, np.ones(len(codes), dtype=bool)))
    assert asked == [7, 1, 6, 7, 7]


def test_answers_of_another_problem_are_refused_with_both_sides_named():
    """The searcher with what its problem asks, and the shape that came."""
    problem = accelerator_problem()
    for searcher in (Nsga2(problem, seed=1, batch=4), RandomSearch(problem, seed=1, batch=4)):
        codes = searcher.ask()
        told = answers_to(codes, 2, 1, np.ones(4, dtype=bool))
        said = (
            f"{type(searcher).__name__} searches a problem with 3 objectives (energy, latency, "
            "error) and 1 constraint (error): losses of 4 designs must have shape (4, 3), got "
            "(4, 2)"
        )
        with pytest.raises(CompositionError, match=re.escape(said)):
            searcher.tell(told)
        told = answers_to(codes, 3, 0, np.ones(4, dtype=bool))
        with pytest.raises(CompositionError, match=re.escape("shape (4, 1), got (4, 0)")):
            searcher.tell(told)
        searcher.tell(answers_to(codes, 3, 1, np.ones(4, dtype=bool)))
        with pytest.raises(CompositionError, match=re.escape("5 knobs (cell, verify, bits, width")):
            searcher.learn(codes[:, :3], answers_to(codes, 3, 1, np.ones(4, dtype=bool)))
