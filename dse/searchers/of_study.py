"""The searcher that a study asks for: the one place that knows their names."""

from typing import Protocol

from dse.problem import Problem
from dse.searchers.searcher import Searcher


class Wanted(Protocol):
    """What a study says about its search; `dse.config.Search` has it."""

    @property
    def searcher(self) -> str:
        """Name of the searcher."""

    @property
    def batch(self) -> int:
        """Designs per ask; the population of the genetic ones."""

    @property
    def seed(self) -> int:
        """Of every random choice."""


def searcher_of(search: Wanted, problem: Problem) -> Searcher:
    """The searcher that a study asks for; equal arguments give equal searchers."""
    space = problem.space
    m, c = len(problem.objectives), len(problem.constraints)
    if search.searcher == "random":
        from dse.searchers.random_search import RandomSearch

        return RandomSearch(space, seed=search.seed, batch=search.batch)
    if search.searcher == "exhaustive":
        from dse.searchers.exhaustive import Exhaustive

        return Exhaustive(space, batch=search.batch)
    if search.searcher == "tpe":
        from dse.searchers.optuna_search import Tpe

        return Tpe(space, objectives=m, constraints=c, seed=search.seed, batch=search.batch)
    from dse.searchers.pymoo_search import Nsga2

    return Nsga2(space, objectives=m, constraints=c, seed=search.seed, population=search.batch)
