"""One knob after another: what an engineer does who tunes a device by hand.

For each accuracy that is to be kept, coordinate descent in energy, from each of three designs that
need no thought if it is accurate enough: everything on the device, everything in the cloud, and a
device that asks the cloud about every sentence. Each knob in turn is set to its best level, all
others as they stand, until none moves.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray, Value
from dse.core.problem import Objective, Problem, Trials
from dse.core.space import SearchSpace
from search_spaces.joint import DEFAULTS, codes_near, corners
from studies.analyses.network_proposals import COMPRESSION, SENT_WHOLE

Run: TypeAlias = tuple[Value, ...]
"""What a real accuracy run reads."""


def energy_of(objectives: Sequence[Objective]) -> str:
    """Name of the energy that a study minimises.

    Raises:
        DseError: If it minimises none.
    """
    for objective in objectives:
        if objective.name in ("energy", "energy_total"):
            return objective.name
    raise DseError("an ablation compares energies: the study has no objective energy, energy_total")


def tuned(problem: Problem, layers: int, runs: int, seed: int, wanted: Sequence[float]) -> Trials:
    """Every design that tuning by hand looks at.

    Args:
        problem: Of the arm.
        layers: Of the network.
        runs: Real accuracy runs at most, of all accuracies together; a level whose network would
            exceed them is not tried, any other is.
        seed: 1 goes through the knobs in the space's order; others shuffle it, anew each time.
        wanted: Accuracies [1] to be kept, one after another.
    """
    rng = np.random.default_rng(seed)
    made: set[Run] = set()
    starts = _evaluated(problem, _starts(problem.space, layers), made, runs)
    parts, energy = [starts], energy_of(problem.objectives)
    for least in wanted:
        for start in range(len(starts)):
            order = np.arange(len(problem.space.names))
            if seed > 1:
                rng.shuffle(order)
            at, spent = _best(starts.rows(np.array([start])), least, energy)
            moved = bool(len(at))
            while moved:
                moved = False
                for knob in order.tolist():
                    tried = _evaluated(problem, _levels_of(problem.space, at, knob), made, runs)
                    parts.append(tried)
                    best, cost = _best(tried, least, energy)
                    if cost < spent:
                        at, spent, moved = best, cost, True
    codes = np.unique(np.concatenate([part.codes for part in parts]), axis=0)
    return problem.evaluate(codes)


def _starts(space: SearchSpace, layers: int) -> FloatArray:
    """All on the device, all in the cloud, and always asked, where the space has them."""
    designs = list(corners(space, layers).values())
    rows = space.encode({name: np.array([d[name] for d in designs]) for name in space.names})
    rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    return rows[space.allowed(rows)]


def _levels_of(space: SearchSpace, at: FloatArray, knob: int) -> FloatArray:
    """The allowed designs of a knob's levels; a knob that wakes up starts at its default."""
    rows = np.tile(at, (int(space.parameters[knob].count or 1), 1))
    rows[:, knob] = np.arange(len(rows))
    asleep = codes_near(space, {**DEFAULTS, "split_layer": 1})
    rows = space.canonical(np.where(rows < 0, asleep, rows))
    return rows[space.allowed(rows)]


def _evaluated(problem: Problem, rows: FloatArray, made: set[Run], runs: int) -> Trials:
    """The designs whose real run is made or may still be."""
    kept = []
    for row, run in zip(rows, run_keys(problem.space, rows), strict=True):
        if run in made or len(made) < runs:
            made.add(run)
            kept.append(row)
    return problem.evaluate(np.array(kept).reshape(-1, len(problem.space.names)))


def run_keys(space: SearchSpace, rows: FloatArray) -> list[Run]:
    """What the real run of each design reads; equal keys share a run."""
    designs = space.decode(rows)
    names = [name for name in COMPRESSION if name in designs]
    cut: NDArray[np.bool_] = (designs["offload"] == "state") & (designs["link_bits"] < SENT_WHOLE)
    link = np.where(cut, designs["split_layer"], 0), np.where(cut, designs["link_bits"], 0)
    return list(zip(*(designs[name].tolist() for name in names), *(c.tolist() for c in link),
                    strict=True))  # fmt: skip


def _best(tried: Trials, least: float, energy: str) -> tuple[FloatArray, float]:
    """Codes and energy [J] of the least that is accurate and allowed; none, infinite if none is."""
    # Shares of sentences are sums of floats: an accuracy that is met exactly counts as met.
    fine = tried.feasible & (tried.metrics["accuracy"] >= least - 1e-9)
    rows = np.flatnonzero(fine)
    if not len(rows):
        return np.zeros(0), np.inf
    best = int(rows[tried.metrics[energy][rows].argmin()])
    return tried.codes[best], float(tried.metrics[energy][best])
