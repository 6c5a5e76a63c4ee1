"""When a search has stopped paying: a rule over its trials, and over nothing else."""

from dataclasses import dataclass, field

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.problem import Trials
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume


@dataclass(eq=False)
class Plateau:
    """Says when the hypervolume has grown too little for too long.

    The front now and the front at least `trials` trials ago are measured in one frame, that of the
    front now (`dse.pareto.hypervolume.Reference`). The search is over as soon as the older one has
    more than 1 - `gain` of the newer one's hypervolume. Asked after each batch, so `trials` are
    rounded up to whole batches; failed trials count; while nothing is feasible, nothing is over.
    A pure function of the trials in their order: a search that was stopped and resumed ends where
    it would have ended. Mutable on purpose: it remembers fronts.

    Args:
        gain: Share of the present hypervolume, above 0 and below 1.
        trials: At least 1.

    Raises:
        DseError: If one of them is out of range.
    """

    gain: float
    trials: int
    _count: int = field(default=0, init=False)
    _fronts: list[tuple[int, FloatArray]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.gain < 1:
            raise DseError(f"plateau: gain = {self.gain}; a share above 0 and below 1 is wanted")
        if self.trials < 1:
            raise DseError(f"plateau: trials = {self.trials}; at least 1 is wanted")

    def __call__(self, batch: Trials) -> str:
        """Take the next complete batch; why the search is over, or nothing."""
        self._count += len(batch)
        losses = batch.losses[batch.feasible]
        if self._fronts:
            losses = np.concatenate([self._fronts[-1][1], losses])
        now = losses[non_dominated(losses)]
        self._fronts.append((self._count, now))
        # Of the fronts that are old enough only the youngest is ever looked at again.
        while len(self._fronts) > 1 and self._fronts[1][0] <= self._count - self.trials:
            self._fronts.pop(0)
        since, before = self._fronts[0]
        if since > self._count - self.trials or not len(before):
            return ""
        frame = Reference.of(now)
        grown = 1.0 - hypervolume(before, frame) / hypervolume(now, frame)
        if grown >= self.gain:
            return ""
        return (
            f"the hypervolume grew by {grown:.2%} over the last {self._count - since:,} trials, "
            f"less than {self.gain:.2%}"
        )
