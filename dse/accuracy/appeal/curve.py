"""What a threshold does to a routed split: appeals, accuracy, and what an accuracy costs.

    skipping rate SR = P(score >= threshold)      appealing rate AR = 1 - SR
    A = share right, the edge's answer where an input stays and the cloud's where it is appealed
    AccI = (A - A_edge) / (A_cloud - A_edge): 0 is edge only, 1 cloud only; above 1 where the small
           network is kept for inputs that the large one gets wrong
    C = c_edge + AR (c_link + c_cloud): the edge network runs on every input

A threshold changes something only where it passes a score: sorted once, every threshold is one
binary search. Between two neighbouring thresholds inputs can be routed by lot, so appealing rate
and accuracy are joined by straight lines.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.appeal.routers import BoolArray, FloatArray, Routed
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class RoutingCurve:
    """Everything that a threshold decides on one split.

    Row i holds for thresholds above `breakpoints[i - 1]` and up to `breakpoints[i]` inclusive.

    Attributes:
        breakpoints: Distinct scores, rising, shape (k,).
        appealed: Inputs that are appealed, rising, shape (k + 1,).
        correct: Inputs that are answered rightly, shape (k + 1,).
    """

    breakpoints: FloatArray
    appealed: NDArray[np.int64]
    correct: NDArray[np.int64]

    @classmethod
    def of(cls, routed: Routed) -> "RoutingCurve":
        """The curve of a routed split."""
        breakpoints, place = np.unique(routed.score, return_inverse=True)
        k = len(breakpoints)
        gain = routed.cloud_right.astype(np.int64) - routed.edge_right
        appealed = np.concatenate([[0], np.bincount(place, minlength=k).cumsum()])
        steps = np.zeros(k + 1, dtype=np.int64)
        np.add.at(steps, place + 1, gain)
        correct = int(routed.edge_right.sum()) + steps.cumsum()
        return cls(breakpoints, appealed.astype(np.int64), correct)

    @property
    def inputs(self) -> int:
        """How many inputs were routed."""
        return int(self.appealed[-1])

    @property
    def appeal_rates(self) -> FloatArray:
        """Of each row [1], rising from 0 to 1, shape (k + 1,)."""
        return np.asarray(self.appealed / self.inputs)

    @property
    def accuracies(self) -> FloatArray:
        """Of each row [1], shape (k + 1,)."""
        return np.asarray(self.correct / self.inputs)

    @property
    def edge_accuracy(self) -> float:
        """Of the small network alone [1]."""
        return float(self.accuracies[0])

    @property
    def cloud_accuracy(self) -> float:
        """Of the large network alone [1]."""
        return float(self.accuracies[-1])

    def at(self, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Appealing rate and system accuracy [1], shape (n,) each.

        Args:
            thresholds: An input stays where its score is at or above, shape (n,), not NaN.

        Raises:
            DseError: If a threshold is NaN.
        """
        if np.isnan(thresholds).any():
            raise DseError("appeal_threshold is NaN; a score is compared with it")
        row = np.searchsorted(self.breakpoints, thresholds, side="left")
        return self.appeal_rates[row], self.accuracies[row]

    def threshold_for(self, appeal_rate: float) -> float:
        """The highest threshold that appeals no more than a share of the inputs.

        Raises:
            DseError: If the share is outside 0 to 1.
        """
        if not 0 <= appeal_rate <= 1:
            raise DseError(f"appeal_rate = {appeal_rate!r} is outside 0 to 1")
        row = int(np.searchsorted(self.appealed, appeal_rate * self.inputs, side="right")) - 1
        if row == len(self.breakpoints):
            return float(np.nextafter(self.breakpoints[-1], np.inf))
        return float(self.breakpoints[row])

    def improvement(self, accuracy: FloatArray) -> FloatArray:
        """AccI of accuracies [1], shape (n,).

        Raises:
            DseError: If both networks are equally accurate: there is nothing to improve.
        """
        gap = self.cloud_accuracy - self.edge_accuracy
        if gap == 0:
            raise DseError(f"edge and cloud are equally accurate ({self.edge_accuracy:.4f})")
        return np.asarray((accuracy - self.edge_accuracy) / gap, dtype=np.float64)

    def appeal_rate_for(self, accuracy: float) -> float:
        """Least appealing rate [1] at which the system is so accurate; 0 where the edge alone is.

        Raises:
            DseError: If no threshold reaches the accuracy.
        """
        reached = np.flatnonzero(self.accuracies >= accuracy)
        if not len(reached):
            raise DseError(
                f"accuracy {accuracy:.4f} is not reached; the most is {self.accuracies.max():.4f}"
            )
        row = int(reached[0])
        if row == 0:
            return 0.0
        low, high = self.accuracies[row - 1], self.accuracies[row]
        share = (accuracy - low) / (high - low)
        rates = self.appeal_rates
        return float(rates[row - 1] + share * (rates[row] - rates[row - 1]))

    @property
    def area(self) -> float:
        """Mean accuracy over all skipping rates [1]."""
        return float(np.trapezoid(self.accuracies, self.appeal_rates))


def auroc(score: FloatArray, right: BoolArray) -> float:
    """Chance that a right answer scores above a wrong one, ties counting half [1].

    Raises:
        DseError: If all answers are right, or all wrong: there is nothing to tell apart.
    """
    positive = int(right.sum())
    negative = len(right) - positive
    if not positive or not negative:
        raise DseError(f"{positive} right and {negative} wrong answers cannot be told apart")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = count.cumsum() - (count - 1) / 2.0
    above = rank[place][right].sum() - positive * (positive + 1) / 2.0
    return float(above / (positive * negative))


@dataclass(frozen=True, slots=True)
class Prices:
    """What an input costs, in any one unit, such as J.

    Attributes:
        edge: Of every input: small network and predictor head.
        appeal: Of an appealed input beyond that: link, waiting and large network.
    """

    edge: float
    appeal: float

    def cost(self, appeal_rate: float) -> float:
        """Mean cost of an input."""
        return self.edge + appeal_rate * self.appeal

    def saving(self, ours: float, theirs: float) -> float:
        """1 - C_ours / C_theirs at two appealing rates [1]."""
        return 1.0 - self.cost(ours) / self.cost(theirs)

    @property
    def break_even(self) -> float:
        """Skipping rate above which it is cheaper than asking the cloud always [1]."""
        return self.edge / self.appeal
