"""Several runs of one question beside each other, on one reference."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from dse.errors import DseError
from dse.front import Front
from dse.indicators import Reference, hypervolume
from dse.parameters import FloatArray
from dse.pareto import non_dominated
from dse.store import Run, canonical_json


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


def runs_by_search(runs: Sequence[Run]) -> list[tuple[str, list[int]]]:
    """Searcher, and which runs differ in their seed alone, in the order of the first of each."""
    groups: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(_search(run), []).append(i)
    return [(str(runs[g[0]].manifest.get("searcher", "search")), g) for g in groups.values()]


def surfaces_of(fronts: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Losses attained by at least one, at least half, and all of some fronts.

    Args:
        fronts: Each shape (k, m) with m of 1 to 3 and k >= 0; at least one front.
    """
    m = fronts[0].shape[1]
    needed = (1, (len(fronts) + 1) // 2, len(fronts))
    filled = [front for front in fronts if len(front)]
    if not filled:
        return np.empty((0, m)), np.empty((0, m)), np.empty((0, m))
    rows = np.concatenate(filled)
    if m == 1:
        least = np.sort([front.min() for front in filled])
        levels = [least[k - 1 : k, None] if k <= len(filled) else rows[:0] for k in needed]
        return levels[0], levels[1], levels[2]
    which = np.repeat(np.arange(1, len(filled) + 1), [len(front) for front in filled])
    # A front without a row attains nothing, so a share of all is a larger share of the others.
    shares = [100.0 * k / len(filled) for k in needed]
    reached = sorted({share for share in shares if share <= 100})
    table = moocore.eaf(rows, which, percentiles=reached)
    levels = [_surface(table, share) if share <= 100 else rows[:0] for share in shares]
    return levels[0], levels[1], levels[2]


def _surface(table: FloatArray, share: float) -> FloatArray:
    losses = table[np.isclose(table[:, -1], share), :-1]
    return np.asarray(losses[non_dominated(losses)])


def _search(run: Run) -> str:
    """What a run asks and how, but for the seed; runs of which it is not known stand alone."""
    identified = run.manifest.get("identified_by")
    if identified is None:
        return str(run.folder)
    content = json.loads(json.dumps(identified))
    content["study"]["search"].pop("seed", None)
    budget = run.manifest.get("trials_asked"), run.manifest.get("stopping")
    return canonical_json([content, budget])


def _said(wanted: Sequence[object]) -> str:
    return ", ".join(str(w) for w in wanted) or "none"


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
