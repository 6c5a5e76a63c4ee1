"""Acquisition of the grey box: expected improvement of groups of designs that share a run."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import Sobol

from dse.core.parameters import FloatArray
from dse.pareto.hypervolume import MARGIN
from dse.searchers.grey_box.candidates import Pool
from dse.searchers.grey_box.problem_split import Priced

MOST = 1024
"""Points compared with candidates; the sets of points above a point grow with its square."""


@dataclass(frozen=True, eq=False)
class OpenBox:
    """Points of the reference box that a front leaves undominated.

    Attributes:
        ideal: Shape (m,).
        span: Shape (m,).
        points: On the scale where ideal is 0 and nadir 1, shape (p, m).
    """

    ideal: FloatArray
    span: FloatArray
    points: FloatArray

    @classmethod
    def of(cls, front: FloatArray, around: FloatArray, n: int, seed: int) -> "OpenBox":
        """The part of a box that a front, shape (k, m), does not dominate.

        Args:
            front: Known losses.
            around: Losses that span the box, shape (j, m), j >= 1.
            n: Points in the whole box, a power of 2.
            seed: Of the points.
        """
        ideal, nadir = around.min(axis=0), around.max(axis=0)
        span = np.where(nadir > ideal, nadir - ideal, np.maximum(np.abs(ideal), 1e-12))
        corner = 1.0 + MARGIN
        points = Sobol(len(ideal), rng=np.random.default_rng(seed)).random(n) * corner
        scaled = (front - ideal) / span
        for start in range(0, len(scaled), 64):
            below = scaled[start : start + 64]
            points = points[~_covers(below, points).any(axis=0)]
        return cls(ideal, span, points[:MOST])

    @cached_property
    def _above(self) -> list[tuple[FloatArray, NDArray[np.uint64]]]:
        """Per axis: sorted coordinates, and the set of points at or above each, 64 to a word."""
        tables = []
        p = len(self.points)
        for axis in range(self.points.shape[1]):
            order = np.argsort(self.points[:, axis], kind="stable")
            rank = np.full(-(-p // 64) * 64, -1)
            rank[order] = np.arange(p)
            # Row i holds the points whose rank is i or more.
            member = rank[None, :] >= np.arange(p + 1)[:, None]
            words = np.packbits(member, axis=1, bitorder="little").view(np.uint64)
            tables.append((self.points[order, axis], words))
        return tables

    def hits(
        self, losses: FloatArray, usable: NDArray[np.bool_], group: NDArray[np.int64], groups: int
    ) -> NDArray[np.uint64]:
        """Which points each group weakly dominates, 64 to a word, shape (groups, words).

        Args:
            losses: Shape (n, m).
            usable: Rows that count, shape (n,).
            group: Of each row, shape (n,).
            groups: How many there are.
        """
        tables = self._above
        found = np.zeros((groups, tables[0][1].shape[1]), dtype=np.uint64)
        scaled = (losses - self.ideal) / self.span
        rows = np.flatnonzero(usable & (scaled < 1.0 + MARGIN).all(axis=1))
        if not len(rows) or not len(self.points):
            return found
        rows = rows[np.argsort(group[rows], kind="stable")]
        covers = np.full((len(rows), found.shape[1]), ~np.uint64(0))
        for axis, (coordinates, words) in enumerate(tables):
            covers &= words[np.searchsorted(coordinates, scaled[rows, axis])]
        owner = group[rows]
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        found[owner[first]] = np.bitwise_or.reduceat(covers, first, axis=0)
        return found

    def apart(self, hits: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """What `hits` gave as one truth value per point, shape (groups, p)."""
        bits = np.unpackbits(hits.view(np.uint8), axis=1, bitorder="little")
        return np.asarray(bits[:, : len(self.points)], dtype=bool)


def count(hits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Points per group, shape (groups,)."""
    return np.asarray(np.bitwise_count(hits).sum(axis=1), dtype=np.int64)


def _covers(losses: FloatArray, points: FloatArray) -> NDArray[np.bool_]:
    """Which points each row weakly dominates, shape (n, p)."""
    covers = losses[:, None, 0] <= points[None, :, 0]
    for axis in range(1, points.shape[1]):
        covers &= losses[:, None, axis] <= points[None, :, axis]
    return np.asarray(covers)


def nodes(numbers: int) -> tuple[FloatArray, FloatArray]:
    """Standard deviations at which learned numbers are tried, and their weights.

    One number: Gauss-Hermite with five nodes, the mean first. More: seven quasi-random normal
    vectors of equal weight, and the mean with weight 0, which only spans the box.

    Returns:
        Shapes (k, numbers) and (k,).
    """
    if numbers == 1:
        place, weight = np.polynomial.hermite_e.hermegauss(5)
        order = np.argsort(np.abs(place), kind="stable")
        return place[order, None], weight[order] / weight.sum()
    from scipy.special import ndtri

    normal = ndtri(Sobol(numbers, rng=np.random.default_rng(5)).random(8)[1:])
    place = np.concatenate([np.zeros((1, numbers)), normal])
    return place, np.r_[0.0, np.full(7, 1 / 7)]


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
