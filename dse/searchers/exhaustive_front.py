"""The exact front of a closed-form space by looking at every design once, in bounded memory."""

import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import RowsFailed, SpaceError
from dse.core.evaluation import evaluate_rows
from dse.core.parameters import Column, FloatArray
from dse.core.problem import Problem
from dse.core.space import CHUNK, INACTIVE, SearchSpace
from dse.pareto.dominance import DominanceGrid, non_dominated

BLOCK = 1 << 20
"""Raw combinations of levels that a process takes at a time."""

SAMPLE = 1 << 15
"""Combinations, evenly spread, whose front the first blocks are held against."""

PENDING = 4096
"""Rows that may be on the front before the front is made anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """What looking at every design found.

    Attributes:
        codes: Canonical rows of all non-dominated feasible designs, equal ones included, in
            mixed-radix order, shape (k, d).
        losses: Shape (k, m).
        designs: Allowed designs looked at.
        feasible: Of these, evaluated and within every constraint.
        failed: Of these, refused by an evaluator or not finite.
    """

    codes: FloatArray
    losses: FloatArray
    designs: int
    feasible: int
    failed: int


def sweep(problem: Problem, *, processes: int = 1, chunk: int = CHUNK, block: int = BLOCK) -> Swept:
    """The exact front of a finite space; the same for any number of processes.

    Args:
        problem: Closed form; measured evaluators would be run for every design.
        processes: Fresh processes beside this one; 1 means none.
        chunk: Designs evaluated at a time.
        block: Designs handed to a process at a time.

    Raises:
        SpaceError: If the space is continuous or its raw combinations outnumber 64 bits.
    """
    total = _combinations(problem.space)
    step = max(1, total // SAMPLE)
    front = _Front(len(problem.objectives))
    for ids in _chunks(np.arange(0, total, step), chunk):
        front.look(problem, ids)
    front.settle()
    start = front.losses
    starts = np.random.default_rng(0).permutation(-(-total // block)) * block
    bounds = [(int(s), int(min(s + block, total))) for s in starts]
    parts = [_block(problem, start, chunk, b) for b in bounds] if processes == 1 else None
    found = parts if parts is not None else _spread(problem, start, chunk, bounds, processes)
    ids = np.concatenate([part.ids for part in found])
    losses = np.concatenate([part.losses for part in found])
    best = non_dominated(losses)
    ids, losses = ids[best], losses[best]
    order = np.argsort(ids)
    counts = np.sum([part.counts for part in found], axis=0)
    codes = problem.space.canonical(_raw(problem.space, ids[order]))
    return Swept(codes, losses[order], *(int(n) for n in counts))


class _Front:
    """A running front. Mutable on purpose: it grows and shrinks."""

    def __init__(self, objectives: int, known: FloatArray | None = None) -> None:
        self.ids = np.empty(0, dtype=np.int64)
        self.losses = np.empty((0, objectives))
        self.counts = np.zeros(3, dtype=np.int64)
        self._known = self.losses if known is None else known
        self._waiting: list[tuple[NDArray[np.int64], FloatArray]] = []
        self._grid = DominanceGrid(self._known) if len(self._known) else None

    def look(self, problem: Problem, ids: NDArray[np.int64]) -> None:
        """Take note of some raw combinations."""
        ids, losses, feasible, designs, failed = _evaluated(problem, ids)
        self.counts += np.array([designs, feasible.sum(), failed])
        if self._grid is not None:
            feasible[feasible] = self._grid.undecided(losses[feasible])
        self._waiting.append((ids[feasible], losses[feasible]))
        if sum(len(i) for i, _ in self._waiting) > PENDING:
            self.settle()

    def settle(self) -> None:
        """Settle what is waiting; every row that is left is on the front."""
        self.ids = np.concatenate([self.ids, *(i for i, _ in self._waiting)])
        self.losses = np.concatenate([self.losses, *(v for _, v in self._waiting)])
        self._waiting.clear()
        # Rows that another process knows decide as well; they are not ours to report.
        keep = non_dominated(np.concatenate([self.losses, self._known]))[: len(self.ids)]
        self.ids, self.losses = self.ids[keep], self.losses[keep]
        union = np.concatenate([self.losses, self._known])
        if len(union):
            self._grid = DominanceGrid(union)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    ids: NDArray[np.int64]
    losses: FloatArray
    counts: NDArray[np.int64]


def _block(problem: Problem, known: FloatArray, chunk: int, bounds: tuple[int, int]) -> _Part:
    front = _Front(len(problem.objectives), known)
    for start in range(*bounds, chunk):
        front.look(problem, np.arange(start, min(start + chunk, bounds[1])))
    front.settle()
    return _Part(front.ids, front.losses, front.counts)


def _spread(
    problem: Problem, known: FloatArray, chunk: int, bounds: list[tuple[int, int]], processes: int
) -> list[_Part]:
    """Blocks in fresh processes; each block is held against the front of those before it."""
    done: list[_Part] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running: set[Future[_Part]] = set()
        for block in bounds:
            if len(running) == 2 * processes:
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                done += [future.result() for future in ready]
                known = np.concatenate([known, *(f.result().losses for f in ready)])
                known = known[non_dominated(known)]
            running.add(pool.submit(_block, problem, known, chunk, block))
        done += [future.result() for future in running]
    return done


def _combinations(space: SearchSpace) -> int:
    counts = [p.count for p in space.parameters]
    for parameter in space.parameters:
        if parameter.count is None:
            raise SpaceError(f"{parameter.name} is continuous: its values cannot be listed")
    total = math.prod(int(c or 0) for c in counts)
    if total >= 2**63:
        raise SpaceError(f"{float(total):.3g} combinations of levels are too many to list")
    return total


def _chunks(ids: NDArray[np.int64], chunk: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(ids), chunk):
        yield ids[start : start + chunk]


def _raw(space: SearchSpace, ids: NDArray[np.int64]) -> FloatArray:
    counts = [int(p.count or 0) for p in space.parameters]
    return np.stack(np.unravel_index(ids, counts), axis=1).astype(np.float64)


def _evaluated(
    problem: Problem, ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.bool_], int, int]:
    """Ids of allowed designs among these, their losses, which are feasible, and two counts."""
    space = problem.space
    if space.conditions or space.forbidden:
        raw = _raw(space, ids)
        rows = space.canonical(raw)
        # Of the combinations that share one canonical form, the one with code 0 stands for all.
        first = ~((rows == INACTIVE) & (raw != 0)).any(axis=1)
        keep = first & space.allowed(rows)
        ids, designs = ids[keep], space.decode(rows[keep])
    else:
        designs = _columns(space, ids)
    if not len(ids):
        return ids, np.empty((0, len(problem.objectives))), np.zeros(0, dtype=bool), 0, 0
    ok = np.ones(len(ids), dtype=bool)
    try:
        metrics = evaluate_rows(problem.evaluator, designs)
    except RowsFailed as error:
        ok[list(error.reasons)] = False
        metrics = dict(error.columns)
    for column in metrics.values():
        if column.dtype.kind == "f":
            ok &= np.isfinite(column)
    losses = np.stack(
        [o.sign * np.asarray(metrics[o.name], np.float64) for o in problem.objectives], axis=1
    )
    feasible = ok & np.isfinite(losses).all(axis=1)
    for constraint in problem.constraints:
        with np.errstate(over="ignore", invalid="ignore"):
            violation = constraint.violation(np.asarray(metrics[constraint.name], np.float64))
        ok &= np.isfinite(violation)
        feasible &= violation <= 0
    return ids, losses, feasible & ok, len(ids), int((~ok).sum())


def _columns(space: SearchSpace, ids: NDArray[np.int64]) -> dict[str, Column]:
    """Designs of raw combinations where every combination is a design."""
    counts = [int(p.count or 0) for p in space.parameters]
    places = np.unravel_index(ids, counts)
    return {
        p.name: p.decode(np.arange(float(count)))[place]
        for p, count, place in zip(space.parameters, counts, places, strict=True)
    }
