"""What becomes of a request once its row is set: as promised, at the true bandwidth, or drawn.

Draws belong to the request and not to the row, so that all policies meet the same luck.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.policies.bandwidth import Transfers
from dse.online.requests import Requests
from dse.online.rows import Rows
from dse.online.trials.evaluator import at_quantile
from dse.online.trials.store import Measurements


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Shape (n,) each: latency [s] and energy [J] of answering, accuracy [1] of the row."""

    latency: FloatArray
    energy: FloatArray
    accuracy: FloatArray


class Outcomes(Protocol):
    """Answers what rows do to requests; the same question always has the same answer.

    Whoever runs real devices puts them behind this.
    """

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """Outcome of each request with its row, shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class AsPriced:
    """Every row does what its price says.

    Attributes:
        choices: The rows.
    """

    choices: Rows

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:  # noqa: ARG002
        """The columns of the rows."""
        choices = self.choices
        return Outcome(choices.latency[rows], choices.energy[rows], choices.accuracy[rows])


@dataclass(frozen=True, slots=True, eq=False)
class AtBandwidth:
    """Every row does what its price says at the bandwidth that the request meets.

    Attributes:
        choices: The rows.
        transfers: What of their price depends on the bandwidth.
    """

    choices: Rows
    transfers: Transfers

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """The rows repriced."""
        latency, energy = self.transfers.price(rows, requests.bandwidth)
        return Outcome(latency, energy, self.choices.accuracy[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One recorded run of the row for each request, latency and energy of the same run.

    DynaSplit's simulation does this (arXiv 2410.23881).

    Attributes:
        accuracy: Of each row [1], shape (k,).
        latency: Recorded [s], run by run, sorted by row, shape (runs,).
        energy: Recorded [J], as `latency`.
        first: Where the runs of each row begin, shape (k,).
        count: How many runs each row has, at least 1, shape (k,).
        seed: Of the draws.
    """

    accuracy: FloatArray
    latency: FloatArray
    energy: FloatArray
    first: NDArray[np.intp]
    count: NDArray[np.intp]
    seed: int

    @classmethod
    def of(
        cls, choices: Rows, recorded: Measurements, seed: int, names: tuple[str, str]
    ) -> "Drawn":
        """Draws from the measurements of a run.

        Args:
            choices: The rows.
            recorded: Measurements of their trials.
            seed: Of the draws.
            names: Metrics of latency and energy.

        Raises:
            DseError: If a metric or a row was not measured.
        """
        for name in names:
            if name not in recorded.metrics:
                raise DseError(f"{name} was not measured; there are {', '.join(recorded.metrics)}")
        row_of = {int(number): row for row, number in enumerate(choices.numbers)}
        rows = np.array([row_of.get(int(t), -1) for t in recorded.trial], dtype=np.intp)
        order = np.argsort(rows, kind="stable")[int((rows < 0).sum()) :]
        count = np.bincount(rows[order], minlength=len(choices))
        if not count.all():
            number = choices.numbers[np.flatnonzero(count == 0)[0]]
            raise DseError(f"no measurement of trial {number} is recorded")
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        latency, energy = (recorded.metrics[name][order] for name in names)
        return cls(choices.accuracy, latency, energy, first, count, seed)

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """A recorded run of each request's row."""
        luck = np.random.default_rng(self.seed).random(len(requests))
        run = self.first[rows] + (luck * self.count[rows]).astype(np.intp)
        return Outcome(self.latency[run], self.energy[run], self.accuracy[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Noisy:
    """Outcomes with a log-normal factor of median 1 on latency and energy alike.

    For runs that are closed form throughout; the factor is a stand-in, no measurement.

    Attributes:
        outcomes: What happens without it.
        sigma: Standard deviation of the factor's logarithm [1], at least 0.
        seed: Of the draws.
    """

    outcomes: Outcomes
    sigma: float
    seed: int

    def __post_init__(self) -> None:
        if not self.sigma >= 0:
            raise DseError(f"sigma = {self.sigma!r} of the noise must be at least 0")

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """The outcomes, each times the request's own factor."""
        outcome = self.outcomes(rows, requests)
        luck = np.random.default_rng(self.seed).standard_normal(len(requests))
        factor = np.exp(self.sigma * luck)
        return Outcome(outcome.latency * factor, outcome.energy * factor, outcome.accuracy)

    def quantile(self, level: float) -> float:
        """The factor that a share `level` of requests does not exceed [1].

        Raises:
            DseError: If the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise DseError(f"quantile = {level} is outside 0 to 1 (both exclusive)")
        return float(np.exp(self.sigma * NormalDist().inv_cdf(level)))


def recorded_quantile(
    choices: Rows, recorded: Measurements, metric: str, level: float
) -> FloatArray:
    """The recorded value of each row that at least a share of its runs does not exceed, (k,).

    Raises:
        DseError: If the metric or a row was not measured, or the level is out of range.
    """
    samples = recorded.of_trials(metric, choices.numbers)
    return np.array([at_quantile(sample, level, "min") for sample in samples])
