"""Requests to try policies on: the published generator, arrivals, bandwidth traces, replays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.requests import Requests
from dse.online.trials.table_file import ColumnLayout, read_columns

PUBLISHED_SEED = 123456789
"""Of DynaSplit's workloads (arXiv 2410.23881)."""

PUBLISHED_LIMITS = {
    "vgg16": (90.6e-3, 5026.8e-3),
    "resnet50": (66.8e-3, 1669.3e-3),
    "mobilenetv2": (10.8e-3, 391.0e-3),
    "vit": (118.8e-3, 10287.6e-3),
}
"""Fastest and slowest measured latency [s], in the order in which the generator draws."""


def stretched_weibull(
    n: int, low: float, high: float, rng: np.random.Generator, *, shape: float = 1.0
) -> FloatArray:
    """Deadlines [s] as DynaSplit draws them, shape (n,): the least is `low`, the greatest `high`.

    The draws are stretched between their own extremes, so the scale depends on n: the median
    deadline of 10,000 requests is about half that of 50. `weibull` fixes the scale instead.

    Args:
        n: Requests, at least 2.
        low: Fastest latency [s], above 0.
        high: Slowest latency [s], above `low`.
        rng: Source of randomness.
        shape: Of the Weibull distribution [1]; 1 is the exponential one.

    Raises:
        DseError: If there are too few requests or the limits are no range.
    """
    if n < 2:
        raise DseError(f"{n} requests cannot be stretched between two deadlines; at least 2")
    _require_range(low, high)
    drawn = rng.weibull(shape, size=n)
    least, most = drawn.min(), drawn.max()
    deadlines = low + (drawn - least) / (most - least) * (high - low)
    # The ends themselves, not what the last bit makes of them.
    return np.where(drawn == least, low, np.where(drawn == most, high, deadlines))


def published_deadlines(n: int, network: str) -> FloatArray:
    """DynaSplit's own workload of a network [s], shape (n,): one generator draws for all in turn.

    Args:
        n: Requests per network; published: 50 on the testbed, 10,000 simulated.
        network: One of `PUBLISHED_LIMITS`.

    Raises:
        DseError: If the network is none of the published ones.
    """
    if network not in PUBLISHED_LIMITS:
        raise DseError(f"network {network!r} is not one of {', '.join(PUBLISHED_LIMITS)}")
    rng = np.random.default_rng(PUBLISHED_SEED)
    drawn = {name: stretched_weibull(n, *ends, rng) for name, ends in PUBLISHED_LIMITS.items()}
    return drawn[network]


def weibull(
    n: int, low: float, scale: float, rng: np.random.Generator, *, shape: float = 1.0
) -> FloatArray:
    """Deadlines [s] of a stated scale, shape (n,): low + scale x Weibull(shape).

    Args:
        n: Requests.
        low: Least deadline [s], above 0.
        scale: Of what is added [s], above 0; for shape 1 its mean.
        rng: Source of randomness.
        shape: Of the distribution [1].

    Raises:
        DseError: If a limit is not positive.
    """
    _require_range(low, low + scale)
    return np.asarray(low + scale * rng.weibull(shape, size=n), dtype=np.float64)


def _require_range(low: float, high: float) -> None:
    if not 0 < low < high or not np.isfinite(high):
        raise DseError(f"deadlines from {low!r} to {high!r} s are no range above 0")


def poisson_arrivals(n: int, rate: float, rng: np.random.Generator) -> FloatArray:
    """Arrivals [s] that know nothing of each other, shape (n,).

    Args:
        n: Requests.
        rate: Mean requests per second [Hz], above 0.
        rng: Source of randomness.

    Raises:
        DseError: If the rate is not positive.
    """
    _require_rate(rate)
    return np.cumsum(rng.exponential(1.0 / rate, size=n))


@dataclass(frozen=True, slots=True)
class Bursts:
    """Two Poisson processes that take turns, each for an exponential time.

    Attributes:
        quiet_rate, busy_rate: Mean requests per second while quiet and while busy [Hz].
        quiet_time, busy_time: Mean length of either phase [s].

    Raises:
        DseError: If one of them is not positive.
    """

    quiet_rate: float
    busy_rate: float
    quiet_time: float
    busy_time: float

    def __post_init__(self) -> None:
        for value in (self.quiet_rate, self.busy_rate, self.quiet_time, self.busy_time):
            _require_rate(value)

    @classmethod
    def around(cls, rate: float, *, ratio: float = 10.0, busy_share: float = 0.1) -> "Bursts":
        """Bursts of a mean rate [Hz]: busy a share of the time at `ratio` times the quiet rate.

        A busy phase holds 20 requests in the mean.
        """
        _require_rate(rate)
        quiet = rate / (1 - busy_share + busy_share * ratio)
        busy_time = 20.0 / (quiet * ratio)
        return cls(quiet, quiet * ratio, busy_time * (1 - busy_share) / busy_share, busy_time)

    def arrivals(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Arrivals [s], shape (n,), beginning in a quiet phase."""
        found: list[FloatArray] = []
        count, begin, busy = 0, 0.0, False
        while count < n:
            rate = self.busy_rate if busy else self.quiet_rate
            length = float(rng.exponential(self.busy_time if busy else self.quiet_time))
            # Given their number, the arrivals of a Poisson process lie evenly in its phase.
            inside = begin + np.sort(rng.random(int(rng.poisson(rate * length)))) * length
            found.append(inside)
            count, begin, busy = count + len(inside), begin + length, not busy
        return np.concatenate(found)[:n]


def _require_rate(rate: float) -> None:
    if not (rate > 0 and np.isfinite(rate)):
        raise DseError(f"a rate or time of {rate!r} must be positive and finite")


@dataclass(frozen=True, slots=True, eq=False)
class BandwidthTrace:
    """Goodput over time: each value holds until the next one, and the first from the beginning.

    Attributes:
        time: Rising [s], shape (k,).
        bandwidth: Above 0 [bit/s], shape (k,).

    Raises:
        DseError: If times do not rise or a bandwidth is not positive.
    """

    time: FloatArray
    bandwidth: FloatArray

    def __post_init__(self) -> None:
        if not len(self.time) or self.time.shape != self.bandwidth.shape:
            raise DseError(
                f"a trace needs times and bandwidths of one shape (k,), got {self.time.shape} and "
                f"{self.bandwidth.shape}"
            )
        if not (np.diff(self.time) > 0).all() or not (self.bandwidth > 0).all():
            raise DseError("times of a trace must rise and its bandwidths be positive")

    @classmethod
    def drawn(
        cls, levels: FloatArray, dwell: float, end: float, rng: np.random.Generator
    ) -> "BandwidthTrace":
        """A link that jumps between levels, at each for an exponential time.

        Args:
            levels: Bandwidths [bit/s], shape (k,), at least two; each jump goes to another one.
            dwell: Mean time between jumps [s].
            end: How far the trace reaches at least [s].
            rng: Source of randomness.

        Raises:
            DseError: If there is one level only, or the time is not positive.
        """
        _require_rate(dwell)
        if len(levels) < 2:
            raise DseError(f"a link that changes needs two levels, got {len(levels)}")
        jumps = max(int(np.ceil(end / dwell)), 1) + 1
        time = [0.0]
        while time[-1] <= end:
            time.extend((time[-1] + np.cumsum(rng.exponential(dwell, size=jumps))).tolist())
        steps = rng.integers(1, len(levels), size=len(time))
        index = np.cumsum(steps) % len(levels)
        return cls(np.array(time), np.asarray(levels, dtype=np.float64)[index])

    def at(self, time: FloatArray) -> FloatArray:
        """Bandwidth [bit/s] at times [s], shape (n,)."""
        place = np.searchsorted(self.time, time, side="right") - 1
        return np.asarray(self.bandwidth[np.maximum(place, 0)], dtype=np.float64)


def read_trace(path: Path) -> BandwidthTrace:
    """A trace from a file with columns time_s and bandwidth_mbit_s.

    Raises:
        DseError: If it does not read; file, line and column are named.
    """
    columns = {
        "time": ColumnLayout(header="time_s", unit="s"),
        "bandwidth": ColumnLayout(header="bandwidth_mbit_s", unit="Mbit/s"),
    }
    found = read_columns(path, columns)
    return BandwidthTrace(found["time"], found["bandwidth"])


_REQUESTS = {
    "deadline": ColumnLayout(header="threshold_ms", unit="ms"),
    "arrival": ColumnLayout(header="arrival_s", unit="s", optional=True),
    "accuracy": ColumnLayout(unit="1", optional=True),
    "signal": ColumnLayout(unit="1", optional=True),
    "bandwidth": ColumnLayout(header="bandwidth_mbit_s", unit="Mbit/s", optional=True),
}


def read_requests(path: Path, network: str | None = None) -> Requests:
    """Requests of a file: threshold_ms; if there, arrival_s, accuracy, signal, bandwidth_mbit_s.

    Args:
        path: Ends in .csv or .parquet; a decision log can be replayed as well.
        network: Take only rows whose column `network` says so.

    Raises:
        DseError: If it does not read; file, line and column are named.
    """
    found = read_columns(path, _REQUESTS, {"network": network} if network else None)
    return Requests.of(
        found["deadline"],
        arrival=found.get("arrival"),
        accuracy=found.get("accuracy", 0.0),
        signal=found.get("signal"),
        bandwidth=found.get("bandwidth", np.inf),
    )
