"""Designs that are evaluated before a searcher proposes any, and which of them every space has."""

from dataclasses import replace

import numpy as np

from dse.core.parameters import Categorical, FloatArray
from dse.core.space import SearchSpace
from dse.searchers.searcher import Answers, Searcher


class WithInitialDesigns:
    """A searcher that proposes given designs first, and then what another searcher proposes.

    Mutable on purpose, as the searcher inside, which is told what became of the given designs.

    Args:
        searcher: Goes on after them; fresh. No ask gives more of them than its batch.
        codes: Canonical code rows of the designs, shape (n, d).
    """

    def __init__(self, searcher: Searcher, codes: FloatArray) -> None:
        self._searcher = searcher
        batch = searcher.batch
        self._left = [codes[i : i + batch] for i in range(0, len(codes), batch)]
        self._asked: FloatArray | None = None

    def ask(self) -> FloatArray:
        """The next given designs; once there are none, the next batch of the searcher."""
        if self._left and self._asked is None:
            self._asked = self._left.pop(0)
            return self._asked.copy()
        return self._searcher.ask()

    def tell(self, answers: Answers) -> None:
        """Pass on what became of the batch last asked."""
        if self._asked is None:
            self._searcher.tell(answers)
            return
        codes, self._asked = self._asked, None
        self._searcher.learn(codes, answers)


def distinct(codes: FloatArray) -> FloatArray:
    """Canonical rows, shape (n, d), the first of equal rows only, in their order."""
    if not len(codes):
        return codes
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]


def boundary_designs(space: SearchSpace) -> FloatArray:
    """The two ends of a space: every knob at its lowest level, and every knob at its highest.

    A knob without an order takes its first and its last name. An end that a forbidden combination
    excludes moves to an allowed design next to it: one knob after the other changes, each time the
    change after which the fewest combinations are broken, names before ordered knobs and small
    steps before large ones. An end from which no such change leads out is left out.

    Returns:
        Distinct allowed canonical rows, shape (k, d), k <= 2.
    """
    last = np.array([1.0 if p.count is None else p.count - 1.0 for p in space.parameters])
    ends = [_allowed_near(space, end) for end in (np.zeros_like(last), last)]
    return distinct(np.concatenate(ends))


def _allowed_near(space: SearchSpace, end: FloatArray) -> FloatArray:
    """The allowed design that stands for an end, shape (1, d), or none, shape (0, d)."""
    row, rules = end[None, :], [replace(space, forbidden=(rule,)) for rule in space.forbidden]
    while broken := [rule for rule in rules if not rule.allowed(row)[0]]:
        named = {name for rule in broken for name in rule.forbidden[0].combination}
        moved = _moves(space, row[0], named)
        left = np.sum([~rule.allowed(moved) for rule in rules], axis=0)
        if not len(moved) or left.min() >= len(broken):
            return row[:0]
        row = moved[[left.argmin()]]
    return space.canonical(row)


def _moves(space: SearchSpace, row: FloatArray, named: set[str]) -> FloatArray:
    """Rows with one of the named finite knobs at another level, the preferred ones first."""
    moves = [
        (not isinstance(parameter, Categorical), abs(level - row[column]), column, level)
        for column, parameter in enumerate(space.parameters)
        if parameter.name in named
        for level in range(parameter.count or 0)
        if level != row[column]
    ]
    moved = np.repeat(row[None, :], len(moves), axis=0)
    for i, (*_, column, level) in enumerate(sorted(moves)):
        moved[i, column] = level
    return moved
