"""Where a learning curve leads: a parametric curve through the accuracies at checkpoints.

The curve a - b^(c - x) and the idea of stopping once its prediction no longer moves are those of
PEng4NN (Keller Rorabaugh et al., arXiv 2101.04185, 2021). With x counted in steps and b > 1, it
rises, ever more slowly, towards a.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from dse.core.errors import DseError

FEWEST = 4
"""Checkpoints below which three parameters say nothing."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """An accuracy that rises towards a level.

    Attributes:
        level: a, what it tends to [1].
        gap: How far below the level it begins, at step 0 [1].
        steps: In which the gap shrinks by a factor e [step].
    """

    level: float
    gap: float
    steps: float

    def at(self, step: FloatArray | float) -> FloatArray:
        """Accuracy [1] after so many steps."""
        return np.asarray(self.level - self.gap * np.exp(-np.asarray(step) / self.steps))


def fitted(steps: Sequence[float], accuracies: Sequence[float]) -> Curve:
    """The curve of least squares through accuracies at checkpoints.

    Written a - b^(c - x), b = exp(1 / steps) and b^c = gap. The level is kept within 0 and 1, the
    gap within 0 and 1, and the time constant within a hundredth and a hundred times the last step.

    Args:
        steps: Of the checkpoints, rising, at least `FEWEST` of them, from above 0.
        accuracies: At these [1].

    Raises:
        DseError: If there are too few, or they are none.
    """
    x = np.asarray(steps, dtype=np.float64)
    y = np.asarray(accuracies, dtype=np.float64)
    if len(x) < FEWEST or x.shape != y.shape:
        raise DseError(f"{len(x)} steps and {len(y)} accuracies: at least {FEWEST} of both")
    if x[0] <= 0 or (np.diff(x) <= 0).any() or not ((y >= 0) & (y <= 1)).all():
        raise DseError("steps rise from above 0, accuracies lie between 0 and 1")
    last = float(x[-1])

    def misses(p: FloatArray) -> FloatArray:
        return np.asarray(p[0] - p[1] * np.exp(-x / np.exp(p[2])) - y)

    def slopes(p: FloatArray) -> FloatArray:
        time = x / np.exp(p[2])
        fall = np.exp(-time)
        return np.stack([np.ones_like(x), -fall, -p[1] * fall * time], axis=1)

    low, high = [0.0, 0.0, np.log(0.01 * last)], [1.0, 1.0, np.log(100.0 * last)]
    tries = [
        least_squares(
            misses,
            np.clip([y.max(), max(0.01, float(np.ptp(y))), np.log(scale * last)],
                    np.add(low, 1e-9), np.subtract(high, 1e-9)),
            slopes,
            bounds=(low, high),
        )
        for scale in (0.1, 0.5, 3.0)
    ]  # fmt: skip
    level, gap, log_steps = min(tries, key=lambda t: float(t.cost)).x
    return Curve(float(level), float(gap), float(np.exp(log_steps)))


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """When training may end because its end is known.

    Attributes:
        end: Step at which it would end.
        window: Predictions that must agree, at least 2.
        tolerance: How far they may lie apart [1].
    """

    end: float
    window: int = 3
    tolerance: float = 0.005

    def __post_init__(self) -> None:
        if self.end <= 0 or self.window < 2 or self.tolerance <= 0:
            raise DseError(f"end > 0, window >= 2 and tolerance > 0 are wanted; got {self}")

    def predictions(
        self, steps: Sequence[float], accuracies: Sequence[float], first: int = FEWEST
    ) -> list[float]:
        """Accuracy at the end [1], predicted at each checkpoint from the `first`-th on."""
        return [
            float(fitted(steps[:k], accuracies[:k]).at(self.end))
            for k in range(max(FEWEST, first), len(steps) + 1)
        ]

    def converged(self, steps: Sequence[float], accuracies: Sequence[float]) -> float | None:
        """The prediction, once the last ones agree; None as long as they do not."""
        last = self.predictions(steps, accuracies, len(steps) - self.window + 1)
        if len(last) < self.window or max(last) - min(last) > self.tolerance:
            return None
        return last[-1]
