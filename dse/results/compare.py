"""Several runs of one question beside each other, on one reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.problem import Constraint, Objective
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.results.attainment import runs_by_search, surfaces_of
from dse.results.front import Front
from dse.runs.store import Run


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
        new_trials: Their trial numbers.
        covered: Share of the other runs' fronts that its front weakly dominates; NaN where these
            are empty.
    """

    name: str
    trials: int
    front: int
    hypervolume: float
    kept: int
    new: int
    new_trials: tuple[int, ...]
    covered: float


@dataclass(frozen=True, slots=True, eq=False)
class Attained:
    """What several runs of one search, told apart by their seeds alone, reach together.

    The empirical attainment function (Grunert da Fonseca, Fonseca and Hall, EMO 2001): losses are
    attained by a run that has a design which is nowhere worse.

    Attributes:
        name: Of the search.
        runs: Names of the folders.
        surfaces: Losses attained by at least one run, by at least half of them, and by all, each
            shape (k, m) and without a dominated row.
        hypervolumes: Of the three, on the reference of the comparison.
    """

    name: str
    runs: tuple[str, ...]
    surfaces: tuple[FloatArray, FloatArray, FloatArray]
    hypervolumes: tuple[float, float, float]


ATTAINED_BY = ("any", "half", "all")
"""Of how many runs the surfaces of `Attained` are."""

MOST_OBJECTIVES = 3
"""Of an attainment function that can be computed."""


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
    fronts = [Front.of(run.question, run.trials) for run in runs]
    reference = _reference([front.trials.losses for front in fronts])
    return tuple(_one(run, fronts, i, reference) for i, run in enumerate(runs))


def _reference(fronts: Sequence[FloatArray]) -> Reference:
    union = np.concatenate(fronts)
    if not len(union):
        raise DseError("no run has a feasible trial: there is nothing to compare")
    return Reference.of(union)


def attained(runs: Sequence[Run]) -> tuple[Attained, ...]:
    """Group runs that differ in their seed alone, and say what each group attains.

    Groups of one run are left out, and so is everything where there are more than three objectives.

    Args:
        runs: That can be compared (see `compared`).
    """
    if len(runs[0].question.objectives) > MOST_OBJECTIVES:
        return ()
    fronts = [Front.of(run.question, run.trials).trials.losses for run in runs]
    reference = _reference(fronts)
    found = []
    for name, members in runs_by_search(runs):
        if len(members) > 1:
            surfaces = surfaces_of([fronts[i] for i in members])
            volumes = [hypervolume(surface, reference) for surface in surfaces]
            found.append(
                Attained(
                    name,
                    tuple(runs[i].folder.name for i in members),
                    surfaces,
                    (volumes[0], volumes[1], volumes[2]),
                )
            )
    return tuple(found)


def _said(wanted: Sequence[Objective | Constraint]) -> str:
    return ", ".join(map(_one_said, wanted)) or "none"


def _one_said(wanted: Objective | Constraint) -> str:
    """An objective or a constraint as a study file has it: `energy min`, `latency max 0.1 s`."""
    if isinstance(wanted, Objective):
        return f"{wanted.name} {wanted.direction}"
    return f"{wanted.name} {wanted.side} {wanted.bound:g} {wanted.unit}"


def _one(run: Run, fronts: Sequence[Front], i: int, reference: Reference) -> Compared:
    own = fronts[i].trials.losses
    others = np.concatenate([f.trials.losses for j, f in enumerate(fronts) if j != i])
    kept = np.flatnonzero(non_dominated(np.concatenate([own, others]))[: len(own)])
    known = {row.tobytes() for row in others}
    new = [int(row) for row in kept if own[row].tobytes() not in known]
    return Compared(
        run.folder.name,
        len(run.trials),
        len(own),
        hypervolume(own, reference),
        len(kept),
        len(new),
        tuple(fronts[i].numbers[new].tolist()),
        _covered(own, others),
    )


def _covered(own: FloatArray, others: FloatArray) -> float:
    """Share of other rows that a row of ours equals or dominates (Zitzler and Thiele, 1999)."""
    if not len(others):
        return float("nan")
    hit = [bool((own <= row).all(axis=1).any()) for row in others]
    return float(np.mean(hit))
