"""Which runs of a grey box search promise most, alone and together."""

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.searchers.grey_box.candidates import Pool
from dse.searchers.grey_box.expected_hypervolume import OpenBox, count
from dse.searchers.grey_box.problem_split import Priced


def gains_of(pool: Pool, priced: list[Priced], weights: FloatArray, box: OpenBox) -> FloatArray:
    """Expected points of the box that each run's designs win, shape (g,).

    Args:
        pool: Candidates in groups, one per run.
        priced: The candidates at several values of what is uncertain.
        weights: Of these, shape (k,).
        box: What is not dominated yet.
    """
    gains = np.zeros(len(pool.runs))
    for weight, node in zip(weights, priced, strict=True):
        if weight > 0:
            hits = box.hits(node.losses, node.feasible, pool.group, len(pool.runs))
            gains += weight * count(hits)
    return gains


def together(
    pool: Pool,
    priced: list[Priced],
    weights: FloatArray,
    best: NDArray[np.int64],
    box: OpenBox,
    runs: int,
) -> FloatArray:
    """Run after run, each where it adds most to what those before it may already give.

    Args:
        pool: Candidates in groups, one per run.
        priced: The candidates at several values of what is uncertain.
        weights: Of these, shape (k,).
        best: Runs among which to choose.
        box: What is not dominated yet.
        runs: Most runs to choose.

    Returns:
        One design of each chosen run, shape (r, d).
    """
    wanted = np.zeros(len(pool.runs), dtype=bool)
    wanted[best] = True
    rows = wanted[pool.group]
    few = pool.of_groups(wanted)
    cut = [p.rows(rows) for p in priced]
    hits = np.zeros((len(few.runs), len(box.points)))
    for weight, node in zip(weights, cut, strict=True):
        if weight > 0:
            found = box.hits(node.losses, node.feasible, few.group, len(few.runs))
            hits += weight * box.apart(found)
    left = np.ones(len(box.points))
    chosen: list[int] = []
    for _ in range(min(runs, len(few.runs))):
        gains = hits @ left
        gains[chosen] = -1.0
        pick = int(np.argmax(gains))
        chosen.append(pick)
        left *= 1.0 - hits[pick]
    return np.concatenate([_probe_of(few, cut, weights, run, box) for run in chosen])


def _probe_of(
    pool: Pool, priced: list[Priced], weights: FloatArray, run: int, box: OpenBox
) -> FloatArray:
    """The design of a run that promises most by itself, shape (1, d)."""
    rows = np.flatnonzero(pool.group == run)
    gain = np.zeros(len(rows))
    each = np.arange(len(rows))
    for weight, node in zip(weights, priced, strict=True):
        hits = box.hits(node.losses[rows], node.feasible[rows], each, len(rows))
        gain += weight * count(hits)
    return pool.codes[rows[[int(np.argmax(gain))]]]
