"""Candidates of the grey box: designs in groups that share one real run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import Categorical, Column, FloatArray
from dse.core.space import INACTIVE, take
from dse.pareto.dominance import non_dominated
from dse.searchers.grey_box.problem_split import Features, Parts

ROWS = 32_768
"""Most candidates priced at a time, where they are drawn."""

WHOLE = 16_384
"""Most runs of a space that is kept whole."""

LISTED = 1 << 20
"""Largest space that is listed once instead of sampled each time."""

SETTINGS = 128
"""Settings of the replay knobs at which a run is looked at."""

COMPLETIONS = 64
"""Settings of the remaining knobs tried with each run, if there are more than that."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates that no exact constraint and no closed form excludes.

    Attributes:
        codes: Canonical rows, shape (n, d).
        columns: Knobs and exact columns, each shape (n,).
        runs: Coordinates of the distinct runs, shape (g, r).
        group: Which run each candidate needs, shape (n,).
        setting: Which of `Candidates.settings` each candidate has, shape (n,).
    """

    codes: FloatArray
    columns: Mapping[str, Column]
    runs: FloatArray
    group: NDArray[np.int64]
    setting: NDArray[np.int64]

    def of_groups(self, wanted: NDArray[np.bool_]) -> "Pool":
        """Only the candidates of some runs, shape of the mask (g,)."""
        return self._part(wanted[self.group], wanted)

    def of_rows(self, rows: NDArray[np.bool_]) -> "Pool":
        """Only some candidates, shape of the mask (n,)."""
        wanted = np.zeros(len(self.runs), dtype=bool)
        wanted[self.group[rows]] = True
        return self._part(rows, wanted)

    def _part(self, rows: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> "Pool":
        place = np.cumsum(wanted) - 1
        return Pool(
            self.codes[rows],
            take(self.columns, rows),
            self.runs[wanted],
            place[self.group[rows]],
            self.setting[rows],
        )


class Candidates:
    """Draws pools; keeps the whole space as one where that is small. Mutable on purpose.

    Args:
        parts: The problem, taken apart.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._space = parts.problem.space
        otherwise = {c.parameter: c.otherwise for c in self._space.conditions}
        self.features = Features(tuple(self._space[n] for n in parts.run_knobs), otherwise)
        self._replays = Features(tuple(self._space[n] for n in parts.replay_knobs), otherwise)
        names = self._space.names
        self._free = np.array([n not in parts.run_knobs for n in names])
        self._counts = np.array([p.count or 0 for p in self._space.parameters])
        self._named = np.array([isinstance(p, Categorical) for p in self._space.parameters])
        self._replayed = np.array([names.index(n) for n in parts.replay_knobs], dtype=np.intp)
        self._settled: FloatArray | None = None
        self.settings, self._places = self._replay_settings()
        self._whole: Pool | None = None
        self._refused: set[bytes] = set()

    @property
    def free(self) -> bool:
        """Whether there are knobs that no run reads."""
        return bool(self._free.any())

    @property
    def continuous(self) -> bool:
        """Whether a run reads a knob without levels."""
        return any(self._space[n].count is None for n in self._parts.run_knobs)

    @property
    def runs(self) -> int:
        """Most different runs there can be; a continuous knob counts as 1e9 levels."""
        return math.prod(int(self._space[n].count or 10**9) for n in self._parts.run_knobs)

    def _replay_settings(self) -> tuple[dict[str, Column], FloatArray]:
        """Values of the replay knobs at which a run is looked at, and their coordinates.

        All on a grid, if these are few; else those of designs drawn from the space, on which
        candidates are then put: how a run answers between them is not known.
        """
        if not self._parts.replay_knobs:
            return {}, np.empty((1, 0))
        grid = [
            np.unique(np.rint(np.linspace(0, p.count - 1, min(p.count, 24)))) if p.count else
            np.linspace(0, 1, 24)
            for p in (self._space[n] for n in self._parts.replay_knobs)
        ]  # fmt: skip
        if math.prod(map(len, grid)) > SETTINGS:
            drawn = self._space.sample(16 * SETTINGS, np.random.default_rng(0))
            places = self._replays.of(self._space.decode(drawn))
            first = np.sort(np.unique(places, axis=0, return_index=True)[1])[:SETTINGS]
            self._settled = drawn[np.ix_(first, self._replayed)]
            designs = take(self._space.decode(drawn), first)
            return {n: designs[n] for n in self._parts.replay_knobs}, places[first]
        mesh = np.stack([m.ravel() for m in np.meshgrid(*grid, indexing="ij")], axis=1)
        values = {
            name: self._space[name].decode(mesh[:, i])
            for i, name in enumerate(self._parts.replay_knobs)
        }
        return values, self._replays.of(values)

    def _settle(self, codes: FloatArray) -> FloatArray:
        """Designs on the nearest settings at which runs are looked at, if these are not all."""
        if self._settled is None or not len(codes):
            return codes
        rows = codes.copy()
        rows[:, self._replayed] = self._settled[self.setting_of(self._space.decode(codes))]
        # A knob that this design has and the setting's own had not keeps the design's value.
        rows = self._space.canonical(np.where(rows == INACTIVE, np.maximum(codes, 0.0), rows))
        return rows[self._space.allowed(rows)]

    def whole(self) -> Pool | None:
        """All candidates, if the space and its pool are small enough to be kept."""
        size = self._space.size
        if size is None or size > LISTED or self.runs > WHOLE or not self._parts.separable:
            return None
        if self._whole is None:
            self._whole = self._pruned(np.concatenate(list(self._space.enumerate())))
        return self._whole

    def _pruned(self, codes: FloatArray) -> Pool:
        """Of designs that differ in exact columns only, those that these do not dominate."""
        pool = self.pool(codes)
        losses, _ = self._parts.known_losses(pool.columns)
        exact = losses[:, self._parts.exact_objectives]
        keep = np.zeros(len(codes) if not len(exact) else len(exact), dtype=bool)
        same = pool.group * len(self._places) + pool.setting
        order = np.argsort(same, kind="stable")
        bounds = np.flatnonzero(np.diff(same[order])) + 1
        for rows in np.split(order, bounds):
            keep[rows] = non_dominated(exact[rows]) if exact.shape[1] else True
        return self.pool(pool.codes[keep])

    def drawn(self, parents: FloatArray, bases: int, rng: np.random.Generator) -> Pool:
        """Random runs and neighbours of parents, each with many settings of the other knobs."""
        most = self._most(bases)
        fresh = self._space.sample(most if not len(parents) else most // 2, rng)
        if len(parents):
            fresh = np.concatenate([fresh, self.neighbours(parents, most - len(fresh), rng)])
        return self.pool(self._settle(self.completed(self._one_per_run(fresh), parents, rng)))

    def near(self, parents: FloatArray, bases: int, rng: np.random.Generator) -> Pool:
        """Parents and neighbours of them, each with many settings of the other knobs."""
        around = self.neighbours(parents, self._most(bases), rng)
        fresh = self._one_per_run(np.concatenate([parents, around]))
        return self.pool(self._settle(self.completed(fresh, parents, rng)))

    def _most(self, bases: int) -> int:
        rows = self._completion_count() + 1 if self.free else 1
        return max(1, min(bases, ROWS // rows))

    def _one_per_run(self, codes: FloatArray) -> FloatArray:
        x = self.features.of(self._space.decode(codes))
        return codes[np.sort(distinct_rows(x)[0])]

    def _completion_count(self) -> int:
        counts = self._counts[self._free]
        every = math.prod(counts.tolist()) if (counts > 0).all() else 10**9
        return min(every, COMPLETIONS)

    def completed(
        self, bases: FloatArray, parents: FloatArray, rng: np.random.Generator, most: int = 0
    ) -> FloatArray:
        """Bases as they are, and with other settings of the knobs that their runs do not read."""
        if not self._free.any() or not len(bases):
            return bases
        others = self._completions(parents, most or self._completion_count(), rng)
        left = np.repeat(self._filled(bases, rng), len(others), axis=0)
        right = np.tile(self._filled(others, rng), (len(bases), 1))
        mixed = self._space.canonical(np.where(self._free, right, left))
        mixed = mixed[self._space.allowed(mixed)]
        return np.concatenate([bases, mixed])

    def _completions(self, parents: FloatArray, most: int, rng: np.random.Generator) -> FloatArray:
        counts = self._counts[self._free]
        if (counts > 0).all() and math.prod(counts.tolist()) <= most:
            mesh = np.meshgrid(*[np.arange(float(c)) for c in counts], indexing="ij")
            every = np.zeros((mesh[0].size, len(self._counts)))
            every[:, self._free] = np.stack([m.ravel() for m in mesh], axis=1)
            return every
        own = parents[rng.permutation(len(parents))[: most // 3]]
        near = self.neighbours(parents, most // 3, rng) if len(parents) else own
        rest = self._space.sample(most - len(own) - len(near), rng)
        return np.concatenate([own, near, rest])

    def _filled(self, codes: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Some code for inactive knobs, which another knob's new value may wake up."""
        draw = rng.random(codes.shape)
        some = np.where(self._counts > 0, np.floor(draw * np.maximum(self._counts, 1)), draw)
        return np.where(codes == INACTIVE, some, codes)

    def neighbours(
        self, parents: FloatArray, n: int, rng: np.random.Generator, *, free: bool = False
    ) -> FloatArray:
        """Designs that differ from a parent in one or a few knobs, shape (k, d), k <= n.

        Ordered knobs take a small step, named ones any other name; half of the designs inherit
        some knobs from a second parent. With `free`, only knobs that runs do not read change.
        """
        d = parents.shape[1]
        rows = self._filled(parents[rng.integers(len(parents), size=n)], rng)
        other = self._filled(parents[rng.integers(len(parents), size=n)], rng)
        mixing = (rng.random((n, d)) < 0.5) & (rng.random((n, 1)) < 0.5)
        able = self._free if free else np.ones(d, dtype=bool)
        rows = np.where(mixing & able, other, rows)
        hit = rng.random((n, d)) < 1.3 / able.sum()
        columns = np.flatnonzero(able)
        hit[np.arange(n), columns[rng.integers(len(columns), size=n)]] = True
        rows = np.where(hit & able, self._moved(rows, rng), rows)
        rows = self._space.canonical(rows)
        return rows[self._space.allowed(rows)]

    def _moved(self, rows: FloatArray, rng: np.random.Generator) -> FloatArray:
        counts = np.maximum(self._counts, 1)
        step = rng.geometric(0.55, size=rows.shape) * rng.choice([-1.0, 1.0], size=rows.shape)
        stepped = np.clip(rows + step, 0, counts - 1)
        swapped = (rows + rng.integers(1, np.maximum(counts, 2), size=rows.shape)) % counts
        real = np.clip(rows + rng.normal(0.0, 0.1, size=rows.shape), 0.0, 1.0)
        return np.where(self._counts == 0, real, np.where(self._named, swapped, stepped))

    def pool(self, codes: FloatArray) -> Pool:
        """The designs among these that nothing exact excludes, in groups."""
        if self._refused:
            codes = codes[[code.tobytes() not in self._refused for code in codes]]
        columns, ok = self._parts.exactly(self._space.decode(codes))
        self.refuse(codes[~ok])
        _, violations = self._parts.known_losses(columns)
        with np.errstate(invalid="ignore"):
            ok &= ~(violations > 0).any(axis=1)
        codes, columns = codes[ok], take(columns, ok)
        x = self.features.of(columns)
        first, group = distinct_rows(x)
        return Pool(codes, columns, x[first], group, self.setting_of(columns))

    def refuse(self, codes: FloatArray) -> None:
        """Leave designs out of all further pools: finding out again who is refused takes long."""
        self._refused.update(code.tobytes() for code in codes)

    def setting_of(self, columns: Mapping[str, Column]) -> NDArray[np.int64]:
        """The nearest of `settings` to each design, shape (n,)."""
        n = len(next(iter(columns.values())))
        if not self._parts.replay_knobs:
            return np.zeros(n, dtype=np.int64)
        x = self._replays.of(columns)
        distinct, which = np.unique(x, axis=0, return_inverse=True)
        apart = np.abs(distinct[:, None, :] - self._places[None, :, :]).sum(axis=2)
        return np.asarray(apart.argmin(axis=1)[which.reshape(-1)])


def distinct_rows(x: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each distinct row, shape (g,), and which of these each row is, shape (n,)."""
    keys = np.zeros(len(x), dtype=np.int64)
    for column in x.T:
        # Renumbered after each column, so that no product overflows.
        place = np.unique(column, return_inverse=True)[1]
        keys = np.unique(keys * len(x) + place, return_inverse=True)[1]
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), group.astype(np.int64)
