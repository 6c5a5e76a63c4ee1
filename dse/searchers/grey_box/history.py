"""What a grey box search was told: designs with their answers, and runs with what they taught."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import Column, FloatArray
from dse.core.problem import Problem
from dse.searchers.searcher import Answers, Searcher

LITTER = 50
"""Children bred at a time."""

DRAWN = 8
"""Designs drawn from TPE's densities at a time; each takes about 20 ms."""

DENSITIES = 250
"""Designs up to which TPE is asked: as far as it was measured to be the best black box. Its time
grows with them; NSGA-II's does not."""


class History:
    """Designs and what became of them. Mutable on purpose: it grows.

    Args:
        problem: What is searched.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._codes: list[FloatArray] = []
        self._answers: list[Answers] = []

    def add(self, codes: FloatArray, answers: Answers) -> None:
        """Take note of a batch."""
        self._codes.append(codes.copy())
        kept = Answers(answers.losses.copy(), answers.violations.copy(), answers.ok.copy())
        self._answers.append(kept)

    def others(self, seed: int) -> FloatArray:
        """What the best black box tries next, knowing all of them, shape (k, d).

        Multivariate TPE, and NSGA-II once there are more than `DENSITIES`.
        """
        answers = Answers(
            np.concatenate([a.losses for a in self._answers]),
            np.concatenate([a.violations for a in self._answers]),
            np.concatenate([a.ok for a in self._answers]),
        )
        # Here and not above: a library is loaded only by who needs it.
        if len(answers) <= DENSITIES:
            from dse.searchers.optuna_search import Tpe

            black: Searcher = Tpe(self._problem, seed=seed, batch=DRAWN)
        else:
            from dse.searchers.pymoo_search import Nsga2

            population = max(2, min(LITTER, int(answers.ok.sum())))
            black = Nsga2(self._problem, seed=seed, batch=population)
        black.learn(np.concatenate(self._codes), answers)
        return black.ask()


ATTEMPTS = 2
"""Designs of an unknown run that may fail before the run is given up."""


@dataclass(eq=False)
class Runs:
    """What is known of runs. Mutable on purpose: it grows."""

    place: dict[bytes, int] = field(default_factory=dict)
    x: list[FloatArray] = field(default_factory=list)
    handed: list[dict[str, Column]] = field(default_factory=list)
    learned: list[dict[str, FloatArray]] = field(default_factory=list)
    failures: dict[bytes, int] = field(default_factory=dict)
    feasible: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.x)

    def known(self, x: FloatArray) -> NDArray[np.int64]:
        """Number of each run, shape (g,); -1 where it is unknown, -2 where it is given up."""
        return np.array([self._number(row.tobytes()) for row in x], dtype=np.int64)

    def _number(self, key: bytes) -> int:
        given_up = key not in self.place and self.failures.get(key, 0) >= ATTEMPTS
        return -2 if given_up else self.place.get(key, -1)

    def failed(self, x: FloatArray) -> None:
        """A design of this run failed; whether the run itself did, another design may tell."""
        self.failures[x.tobytes()] = self.failures.get(x.tobytes(), 0) + 1

    def stopped(self, x: FloatArray) -> None:
        """This run was broken off for all of its designs: it is given up at once."""
        self.failures[x.tobytes()] = ATTEMPTS
