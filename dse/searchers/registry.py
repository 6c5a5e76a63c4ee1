"""All searchers that a study can ask for, in one table; reading it imports none of them.

Names in study files and their check, libraries in a run's identity, what a study needs before it
runs, and `dse doctor` are read from here: a new searcher is one file and one row.
"""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dse.core.problem import Problem
    from dse.searchers.searcher import Searcher


@dataclass(frozen=True, slots=True)
class Row:
    """A searcher.

    Attributes:
        path: `module:class`, imported when the searcher is made by `class(problem, seed=...,
            batch=...)`.
        libraries: Distributions whose versions its proposals depend on.
        extra: Of `dse.core.extras`, which brings those that not every installation has.
    """

    path: str
    libraries: tuple[str, ...] = ()
    extra: str | None = None


_PYMOO, _OPTUNA = "dse.searchers.pymoo_search", "dse.searchers.optuna_search"

SEARCHERS: Mapping[str, Row] = {
    "nsga2": Row(f"{_PYMOO}:Nsga2", ("pymoo",)),
    "nsga3": Row(f"{_PYMOO}:Nsga3", ("pymoo",)),
    "tpe": Row(f"{_OPTUNA}:Tpe", ("optuna", "scipy")),
    "gp": Row(f"{_OPTUNA}:OptunaGp", ("optuna", "scipy", "torch"), "gp"),
    "optuna_nsga2": Row(f"{_OPTUNA}:OptunaNsga2", ("optuna",)),
    "optuna_nsga3": Row(f"{_OPTUNA}:OptunaNsga3", ("optuna",)),
    "random": Row("dse.searchers.random_search:RandomSearch"),
    "sobol": Row("dse.searchers.sobol_search:SobolSearch", ("scipy",)),
    "exhaustive": Row("dse.searchers.exhaustive:Exhaustive"),
    "grey_box": Row("dse.searchers.grey_box.grey_box:GreyBox", ("pymoo", "scikit-learn", "scipy")),
    "botorch": Row(
        "dse.searchers.botorch_search:BotorchSearch",
        ("botorch", "gpytorch", "scipy", "torch"),
        "botorch",
    ),
}
"""Name in a study file -> the searcher."""


def make_searcher(name: str, problem: "Problem", *, seed: int, batch: int) -> "Searcher":
    """A searcher by its name; equal arguments give equal searchers.

    Args:
        name: One of `SEARCHERS`.
        problem: What is searched.
        seed: Of every random choice.
        batch: Designs per ask, at least 1; the population of the genetic searchers.

    Raises:
        DseError: If there is none of that name, or the searcher refuses its arguments.
        MissingDependency: If it needs a library that is not installed.
    """
    from dse.core.errors import DseError
    from dse.core.extras import require_extra

    if name not in SEARCHERS:
        near = get_close_matches(name, SEARCHERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DseError(f"there is no searcher {name!r}; allowed: {', '.join(SEARCHERS)}{hint}")
    row = SEARCHERS[name]
    if row.extra is not None:
        require_extra(f"the searcher {name!r}", row.extra)
    made: Searcher = pkgutil.resolve_name(row.path)(problem, seed=seed, batch=batch)
    return made
