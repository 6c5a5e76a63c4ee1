"""Every design that a grey box search was told of, and what a black box would try next."""

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.space import SearchSpace
from dse.searchers.searcher import Answers, Searcher

LITTER = 50
"""Children bred at a time."""

DRAWN = 8
"""Designs drawn from TPE's densities at a time; each takes about 20 ms."""

DENSITIES = 250
"""Designs up to which TPE is asked: as far as it was measured to be the best black box. Its time
grows with them; NSGA-II's does not."""


class Told:
    """Designs and what became of them. Mutable on purpose: it grows.

    Args:
        space: What may be chosen.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
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
        m, c = answers.losses.shape[1], answers.violations.shape[1]
        # Here and not above: a library is loaded only by who needs it.
        if len(answers) <= DENSITIES:
            from dse.searchers.optuna_search import Tpe

            black: Searcher = Tpe(self._space, objectives=m, constraints=c, seed=seed, batch=DRAWN)
        else:
            from dse.searchers.pymoo_search import Nsga2

            population = max(2, min(LITTER, int(answers.ok.sum())))
            black = Nsga2(
                self._space, objectives=m, constraints=c, seed=seed, population=population
            )
        black.learn(np.concatenate(self._codes), answers)
        return black.ask()
