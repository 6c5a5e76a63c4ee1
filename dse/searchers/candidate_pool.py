"""Candidates of a searcher that knows nothing but the space, and where they lie in [0, 1]."""

import numpy as np

from dse.core.parameters import Categorical, FloatArray
from dse.core.space import INACTIVE, SearchSpace
from dse.searchers.deduplication import Unseen

APART = 0.7
"""Coordinate of the chosen name of a knob without order: two names lie about 1 apart."""

MIDDLE = 0.5
"""Coordinate of an ordered knob that a condition switches off."""


def coordinates(space: SearchSpace, codes: FloatArray) -> FloatArray:
    """Where designs lie, shape (n, r), in [0, 1]; different canonical rows lie apart.

    A knob with an order has one coordinate, its level as a share of the last one; a knob without
    has one per name, all 0 but that of the name chosen (and all 0 where it is switched off).

    Args:
        space: What may be chosen.
        codes: Canonical rows, shape (n, d).
    """
    columns: list[FloatArray] = []
    for position, parameter in enumerate(space.parameters):
        code = codes[:, position]
        if isinstance(parameter, Categorical):
            columns += [APART * (code == name) for name in range(parameter.count)]
        else:
            last = 1.0 if parameter.count is None else max(parameter.count - 1.0, 1.0)
            columns.append(np.where(code == INACTIVE, MIDDLE, code / last))
    return np.stack(columns, axis=1)


class CandidatePool:
    """Draws designs that were not proposed yet: all of them where they are few, else some.

    Args:
        space: What may be chosen.
        unseen: What was proposed.
        most: Most candidates; a space of at most twice as many designs is taken whole.
    """

    def __init__(self, space: SearchSpace, unseen: Unseen, *, most: int) -> None:
        self._space = space
        self._unseen = unseen
        self._most = most
        self._levels = np.array([p.count or 0 for p in space.parameters])
        self._named = np.array([isinstance(p, Categorical) for p in space.parameters])
        small = space.size is not None and space.size <= 2 * most
        self._whole = np.concatenate(list(space.enumerate())) if small else None

    def drawn(self, parents: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Distinct allowed new rows, shape (k, d): random ones, and as many next to parents.

        No row says that nothing new was found, not that nothing is left.

        Args:
            parents: Canonical rows, shape (n, d), n >= 1.
            rng: Source of every choice.
        """
        rows = self._whole
        if rows is None:
            near = self._neighbours(parents, self._most // 2, rng)
            rows = np.concatenate([self._space.sample(self._most - len(near), rng), near])
        return rows[self._unseen.mask(rows)]

    def _neighbours(self, parents: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
        """Allowed designs that differ from a parent in one or two knobs, shape (k, d), k <= n.

        Ordered knobs take a small step, named ones any other name; a knob that another one's new
        value wakes up takes some level.
        """
        rows = parents[rng.integers(len(parents), size=n)]
        some = rng.random(rows.shape)
        some = np.where(self._levels > 0, np.floor(some * self._levels), some)
        rows = np.where(rows == INACTIVE, some, rows)
        for _ in range(2):
            knob = rng.integers(rows.shape[1], size=n)
            hit = np.arange(rows.shape[1]) == knob[:, None]
            rows = np.where(hit, self._moved(rows, rng), rows)
        rows = self._space.canonical(rows)
        return rows[self._space.allowed(rows)]

    def _moved(self, rows: FloatArray, rng: np.random.Generator) -> FloatArray:
        last = np.maximum(self._levels, 1) - 1
        step = rng.geometric(0.55, size=rows.shape) * rng.choice([-1.0, 1.0], size=rows.shape)
        other = (rows + rng.integers(1, np.maximum(last, 1) + 1, size=rows.shape)) % (last + 1)
        near = np.clip(rows + rng.normal(0.0, 0.1, size=rows.shape), 0.0, 1.0)
        stepped = np.where(self._named, other, np.clip(rows + step, 0, last))
        return np.where(self._levels == 0, near, stepped)
