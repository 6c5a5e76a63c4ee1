"""Which designs of a run's front outlive the doubt about the models' constants.

The run's system draws the constants of its models (`System.draws`); the shipped systems draw every
shipped constant that has a low and a high end. The front is priced again with each draw; what real
runs gave (accuracy, depths, shares of sentences) stays. A design survives a draw if it keeps the
limits of the study and no other design of the front that keeps them dominates it. Designs off the
front are not asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.parameters import Column, FloatArray
from dse.core.space import Columns
from dse.pareto.dominance import non_dominated
from dse.results.front import Front
from dse.runs.manifest import RESOLVED
from dse.runs.store import read_run
from dse.study.loader import Study, load_study
from dse.study.system import AnySystem, Draws

SAME = 1e-9
"""Relative difference up to which a front's own figures count as priced anew alike [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """What the draws say about a front.

    Attributes:
        front: The designs.
        tables: Tables that were drawn, by name.
        share: Of the draws that a design survives [1], shape (n,).
        allowed: Of the draws in which it keeps the study's limits [1], shape (n,).
        drawn: Objective or limited metric that the constants move -> its values, (draws, n).
    """

    front: Front
    tables: tuple[str, ...]
    share: FloatArray
    allowed: FloatArray
    drawn: Mapping[str, FloatArray]

    def spread(self, name: str) -> tuple[FloatArray, FloatArray]:
        """The 5th and the 95th percentile of a metric over the draws, shape (n,) each."""
        low, high = np.quantile(self.drawn[name], (0.05, 0.95), axis=0)
        return low, high


def survival_of(front: Front, draws: Draws, columns: Columns) -> Survival:
    """Price a front under constants drawn from their intervals.

    Args:
        front: Of a run; must hold a design.
        draws: The pricing model, at its nominal constants and drawn.
        columns: What the model reads, shape (n,) each.

    Raises:
        DseError: If the front is empty or the model no longer gives the run's own figures.
    """
    if not len(front):
        raise DseError("the front is empty: no trial is feasible")
    _require_same(front, draws.nominal(columns))
    asked = front.question
    wanted = {o.name for o in asked.objectives} | {c.name for c in asked.constraints}
    priced = [each(columns) for each in draws.drawn]
    drawn = {name: np.stack([p[name] for p in priced]) for name in priced[0] if name in wanted}
    shape = (len(priced), len(front))
    values = {
        name: drawn.get(name, np.broadcast_to(front.trials.metrics[name], shape)) for name in wanted
    }
    losses = np.stack([o.sign * values[o.name] for o in asked.objectives], axis=2)
    allowed = np.ones(shape, dtype=np.bool_)
    for limit in asked.constraints:
        allowed &= limit.violation(values[limit.name]) <= 0
    kept = np.zeros(len(front))
    for draw, mask in zip(losses, allowed, strict=True):
        rows = np.flatnonzero(mask)
        kept[rows[non_dominated(draw[rows])]] += 1
    return Survival(front, draws.constants, kept / len(priced), allowed.mean(axis=0), drawn)


def _require_same(front: Front, found: Mapping[str, Column]) -> None:
    """Refuses a run that was made with other constants, formulas or networks than those of now."""
    recorded = front.trials.metrics
    for name in found.keys() & recorded.keys():
        was, now = recorded[name], found[name]
        other = np.flatnonzero(~np.isclose(now, was, rtol=SAME, atol=0.0))
        if len(other):
            row = int(other[0])
            raise DseError(
                f"trial {front.numbers[row]} has {name} = {was[row]:.9g}, today's models give "
                f"{now[row]:.9g}: the run was made with other constants or formulas. Search again "
                "with --warm-start RUN"
            )


def draws_of(study: Study[Any], count: int, seed: int) -> Draws:
    """The pricing model of a study, with constants drawn by its system.

    Args:
        study: Of a run.
        count: How many draws, at least 1.
        seed: Of the draws; the same one gives the same answer.

    Raises:
        DseError: If the system draws nothing.
    """
    if study.system.draws is None:
        raise DseError(
            f"the system {study.system.name!r} does not say which of its constants are uncertain; "
            "its member `draws` (dse.System) gives the pricing model under drawn constants"
        )
    return study.system.draws(study.settings, count, np.random.default_rng(seed))


def columns_of(front: Front, study: Study[Any], model: Evaluator) -> Columns:
    """What a pricing model reads, for the designs of a front.

    Raises:
        DseError: If the run does not hold a column.
    """
    defaults = study.system.defaults
    known = {**front.trials.designs, **front.trials.metrics}
    columns = {}
    for name in model.signature.inputs:
        if name not in known and name not in defaults:
            raise DseError(f"the model reads the column {name}, the run holds {', '.join(known)}")
        columns[name] = known[name] if name in known else np.full(len(front), defaults[name])
    return columns


def survival(folder: Path, systems: Mapping[str, AnySystem], draws: int, seed: int) -> Survival:
    """Which designs of a run's front survive drawn constants.

    Args:
        folder: Of the run.
        systems: Among them that of the run.
        draws: How many, at least 1.
        seed: Of the draws.

    Raises:
        DseError: If the front is empty, the system draws nothing, or its models no longer give the
            run's own figures.
    """
    front = Front.of_run(read_run(folder))
    study = load_study(folder / RESOLVED, systems)
    drawn = draws_of(study, draws, seed)
    return survival_of(front, drawn, columns_of(front, study, drawn.nominal))
