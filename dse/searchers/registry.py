"""All searchers that a study can ask for, in one table; reading it imports none of them.

Names in study files and their check, libraries in a run's identity, what a study needs before it
runs, and `dse doctor` are read from here: a new searcher is one file and one row.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from dse.core.problem import Problem
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


Arguments: TypeAlias = "Callable[[Wanted, Problem], dict[str, Any]]"
"""What a searcher is constructed with."""


@dataclass(frozen=True, slots=True)
class Row:
    """A searcher.

    Attributes:
        path: `module:class`, imported when the searcher is made.
        arguments: Of the class.
        libraries: Distributions whose versions its proposals depend on.
        extra: Of `dse.core.extras`, which brings those that not every installation has.
    """

    path: str
    arguments: Arguments
    libraries: tuple[str, ...] = ()
    extra: str | None = None


def _in_order(search: Wanted, problem: "Problem") -> dict[str, Any]:
    return {"space": problem.space, "batch": search.batch}


def _drawn(search: Wanted, problem: "Problem") -> dict[str, Any]:
    return {"space": problem.space, "seed": search.seed, "batch": search.batch}


def _knowing(search: Wanted, problem: "Problem") -> dict[str, Any]:
    return {"problem": problem, "seed": search.seed, "batch": search.batch}


def _learning(search: Wanted, problem: "Problem") -> dict[str, Any]:
    m, c = len(problem.objectives), len(problem.constraints)
    return {**_drawn(search, problem), "objectives": m, "constraints": c}


def _breeding(search: Wanted, problem: "Problem") -> dict[str, Any]:
    asked = _learning(search, problem)
    return {"population": asked.pop("batch"), **asked}


_PYMOO, _OPTUNA = "dse.searchers.pymoo_search", "dse.searchers.optuna_search"

SEARCHERS: Mapping[str, Row] = {
    "nsga2": Row(f"{_PYMOO}:Nsga2", _breeding, ("pymoo",)),
    "nsga3": Row(f"{_PYMOO}:Nsga3", _breeding, ("pymoo",)),
    "tpe": Row(f"{_OPTUNA}:Tpe", _learning, ("optuna", "scipy")),
    "gp": Row(f"{_OPTUNA}:OptunaGp", _learning, ("optuna", "scipy", "torch"), "gp"),
    "optuna_nsga2": Row(f"{_OPTUNA}:OptunaNsga2", _learning, ("optuna",)),
    "optuna_nsga3": Row(f"{_OPTUNA}:OptunaNsga3", _learning, ("optuna",)),
    "random": Row("dse.searchers.random_search:RandomSearch", _drawn),
    "sobol": Row("dse.searchers.sobol_search:SobolSearch", _drawn, ("scipy",)),
    "exhaustive": Row("dse.searchers.exhaustive:Exhaustive", _in_order),
    "grey_box": Row(
        "dse.searchers.grey_box.grey_box:GreyBox", _knowing, ("pymoo", "scikit-learn", "scipy")
    ),
    "botorch": Row(
        "dse.searchers.botorch_search:BotorchSearch",
        _learning,
        ("botorch", "gpytorch", "scipy", "torch"),
        "botorch",
    ),
}
"""Name in a study file -> the searcher."""


def searcher_of(search: Wanted, problem: "Problem") -> "Searcher":
    """The searcher that a study asks for; equal arguments give equal searchers.

    Raises:
        DseError: If there is none of that name.
        MissingDependency: If it needs a library that is not installed.
    """
    from dse.core.errors import DseError
    from dse.core.extras import require_extra

    if search.searcher not in SEARCHERS:
        raise DseError(f"there is no searcher {search.searcher!r}")
    row = SEARCHERS[search.searcher]
    if row.extra is not None:
        require_extra(f"the searcher {search.searcher!r}", row.extra)
    made: Searcher = pkgutil.resolve_name(row.path)(**row.arguments(search, problem))
    return made
