"""The searcher that a study asks for: the one place that knows their names."""

from typing import Protocol

from dse.core.errors import DseError
from dse.core.problem import Problem
from dse.core.space import SearchSpace
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.searcher import Searcher


class Wanted(Protocol):
    """What a study says about its search; `dse.study.schema.Search` has it."""

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
    if search.searcher == "exhaustive":
        return Exhaustive(space, batch=search.batch)
    if search.searcher in ("random", "sobol"):
        return _blind(search, space)
    if search.searcher == "grey_box":
        from dse.searchers.grey_box.grey_box import GreyBox

        return GreyBox(problem, seed=search.seed, batch=search.batch)
    return _learning(search, problem)


def _blind(search: Wanted, space: SearchSpace) -> Searcher:
    if search.searcher == "random":
        from dse.searchers.random_search import RandomSearch

        return RandomSearch(space, seed=search.seed, batch=search.batch)
    from dse.searchers.sobol_search import SobolSearch

    return SobolSearch(space, seed=search.seed, batch=search.batch)


def _learning(search: Wanted, problem: Problem) -> Searcher:
    """A searcher of a library; the library is imported only now."""
    space, seed = problem.space, search.seed
    m, c = len(problem.objectives), len(problem.constraints)
    if search.searcher in ("nsga2", "nsga3"):
        from dse.searchers.pymoo_search import Nsga2, Nsga3

        genetic = Nsga2 if search.searcher == "nsga2" else Nsga3
        return genetic(space, objectives=m, constraints=c, seed=seed, population=search.batch)
    if search.searcher == "botorch":
        from dse.searchers.botorch_search import BotorchSearch

        return BotorchSearch(space, objectives=m, constraints=c, seed=seed, batch=search.batch)
    from dse.searchers.optuna_search import OptunaGp, OptunaNsga2, OptunaNsga3, Tpe

    kinds = {"tpe": Tpe, "gp": OptunaGp, "optuna_nsga2": OptunaNsga2, "optuna_nsga3": OptunaNsga3}
    if search.searcher not in kinds:
        raise DseError(f"there is no searcher {search.searcher!r}")
    kind = kinds[search.searcher]
    return kind(space, objectives=m, constraints=c, seed=seed, batch=search.batch)
