"""What the enumerable benchmark problems share: exact front, frame, and hypervolume against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import moocore
import numpy as np

from dse.core.evaluation import Cached, Chain
from dse.core.problem import Problem
from dse.core.signature import Signature
from dse.core.space import Columns


@dataclass(frozen=True)
class Measured:
    """The expensive part of a problem: a closed form that is treated as a real run."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    formula: Callable[[Columns], Columns]

    @property
    def signature(self):
        return Signature.uniform(self.inputs, self.outputs, "measured", "measured")

    def __call__(self, columns):
        return self.formula(columns)


@dataclass(frozen=True)
class Analytic:
    """The cheap part of a problem."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    formula: Callable[[Columns], Columns]

    @property
    def signature(self):
        return Signature.uniform(self.inputs, self.outputs, "closed form", "closed form")

    def __call__(self, columns):
        return self.formula(columns)


def grey(space, measured, analytic, objectives, constraints=()):
    """A problem whose measured part is cached by what it reads, as in a real study."""
    return Problem(space, Chain((Cached(measured), analytic)), objectives, constraints)


@dataclass(frozen=True)
class Frame:
    """The exact front of a problem, and hypervolume as a share of its own.

    z = (F - ideal) / (nadir - ideal), reference 1.1 in every axis.
    """

    front: np.ndarray

    @cached_property
    def ideal(self):
        return self.front.min(axis=0)

    @cached_property
    def nadir(self):
        return self.front.max(axis=0)

    @cached_property
    def whole(self):
        return self.volume(self.front)

    def volume(self, losses):
        z = (losses - self.ideal) / (self.nadir - self.ideal)
        inside = z[(z < 1.1).all(axis=1)]
        if not len(inside):
            return 0.0
        return float(moocore.hypervolume(inside, ref=np.full(z.shape[1], 1.1)))

    def share(self, losses):
        return self.volume(losses) / self.whole


def distinct_front(losses):
    """Non-dominated rows, equal rows once."""
    return np.unique(losses[moocore.is_nondominated(losses, keep_weakly=False)], axis=0)


def exact_front(problem, chunk=65_536):
    """The front of a problem by brute force over its whole space."""
    front = np.empty((0, len(problem.objectives)))
    for codes in problem.space.enumerate(chunk):
        trials = problem.evaluate(codes)
        front = distinct_front(np.concatenate([front, trials.losses[trials.feasible]]))
    return front


def levels_of(ids, counts):
    """Level indices, shape (n, d), of mixed-radix ids, last parameter fastest."""
    return np.stack(np.unravel_index(np.asarray(ids), counts), axis=1)
