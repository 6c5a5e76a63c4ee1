"""Several runs of one question beside each other, on one reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dse.errors import DseError
from dse.front import Front
from dse.indicators import Reference, hypervolume
from dse.parameters import FloatArray
from dse.pareto import non_dominated
from dse.store import Run


@dataclass(frozen=True, slots=True)
class Compared:
    """One run beside the others.

    Attributes:
        name: Of its folder.
        trials: Distinct designs evaluated.
        front: Non-dominated ones.
        hypervolume: Share of the box that the fronts of all runs together span.
        kept: Of its front, those that no other run's front dominates.
        new: Of these, those that no other run's front has (its losses, to the last bit).
        covered: Share of the other runs' fronts that its front weakly dominates; NaN where these
            are empty.
    """

    name: str
    trials: int
    front: int
    hypervolume: float
    kept: int
    new: int
    covered: float


def compared(runs: Sequence[Run]) -> tuple[Compared, ...]:
    """Compare runs that ask for the same objectives.

    Raises:
        DseError: If there are fewer than two, their objectives or constraints differ, or no run
            has a feasible trial.
    """
    if len(runs) < 2:
        raise DseError(f"{len(runs)} run: a comparison needs at least 2")
    first = runs[0]
    for run in runs[1:]:
        for said in ("objectives", "constraints"):
            one, other = getattr(first.question, said), getattr(run.question, said)
            if one != other:
                raise DseError(
                    f"{first.folder} and {run.folder} differ in their {said}: "
                    f"{_said(one)} and {_said(other)}"
                )
    fronts = [Front.of(run.question, run.trials).trials.losses for run in runs]
    union = np.concatenate(fronts)
    if not len(union):
        raise DseError("no run has a feasible trial: there is nothing to compare")
    reference = Reference.of(union)
    return tuple(_one(run, fronts, i, reference) for i, run in enumerate(runs))


def _said(wanted: Sequence[object]) -> str:
    return ", ".join(str(w) for w in wanted) or "none"


def _one(run: Run, fronts: list[FloatArray], i: int, reference: Reference) -> Compared:
    own = fronts[i]
    others = np.concatenate([f for j, f in enumerate(fronts) if j != i])
    kept = own[non_dominated(np.concatenate([own, others]))[: len(own)]]
    known = {row.tobytes() for row in others}
    return Compared(
        run.folder.name,
        len(run.trials),
        len(own),
        hypervolume(own, reference),
        len(kept),
        sum(row.tobytes() not in known for row in kept),
        _covered(own, others),
    )


def _covered(own: FloatArray, others: FloatArray) -> float:
    """Share of other rows that a row of ours equals or dominates (Zitzler and Thiele, 1999)."""
    if not len(others):
        return float("nan")
    hit = [bool((own <= row).all(axis=1).any()) for row in others]
    return float(np.mean(hit))
