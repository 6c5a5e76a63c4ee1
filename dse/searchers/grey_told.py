"""Every design that a grey box search was told of, and what NSGA-II breeds from them."""

import numpy as np

from dse.parameters import FloatArray
from dse.searchers.searcher import Answers
from dse.space import SearchSpace

LITTER = 50
"""Children bred at a time."""


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

    def children(self, seed: int) -> FloatArray:
        """What NSGA-II breeds from all of them, shape (k, d), k <= `LITTER`."""
        # Here and not above: pymoo is loaded only by who needs it.
        from dse.searchers.pymoo_search import Nsga2

        answers = Answers(
            np.concatenate([a.losses for a in self._answers]),
            np.concatenate([a.violations for a in self._answers]),
            np.concatenate([a.ok for a in self._answers]),
        )
        genetic = Nsga2(
            self._space,
            objectives=answers.losses.shape[1],
            constraints=answers.violations.shape[1],
            seed=seed,
            population=max(2, min(LITTER, int(answers.ok.sum()))),
        )
        genetic.learn(np.concatenate(self._codes), answers)
        return genetic.ask()
