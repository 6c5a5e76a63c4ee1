"""The rows that a runtime may set, and a staircase that finds the cheapest in time at once."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Column, FloatArray, Value
from dse.core.problem import Trials
from dse.runs.run_schema import Question


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is known of k rows before a request is run, shape (k,) each.

    Attributes:
        energy: Of one request [J].
        latency: Of one request [s]; what a deadline is held against, a quantile if one wants.
        accuracy: [1]; zero where none is known.
        settings: Knob -> value that a row sets, in SI units.
        numbers: Trial number of each row in its run.
        open: Rows that may be picked; the others keep their numbers and are never taken.
    """

    energy: FloatArray
    latency: FloatArray
    accuracy: FloatArray
    settings: Mapping[str, Column]
    numbers: NDArray[np.int64]
    open: NDArray[np.bool_]

    def __post_init__(self) -> None:
        k = len(self)
        columns = {"energy": self.energy, "latency": self.latency, "accuracy": self.accuracy}
        for name, column in columns.items():
            if column.shape != (k,):
                raise DseError(f"{name} must have shape (k,) = ({k},), got {column.shape}")
            if not np.isfinite(column[self.open]).all():
                raise DseError(f"{name} of an open row is not finite")
        if not self.open.any():
            raise DseError("there is no row to choose: no trial is feasible")

    @classmethod
    def of(
        cls,
        question: Question,
        trials: Trials,
        *,
        energy: str = "energy",
        latency: str = "latency",
        accuracy: str = "accuracy",
        design: Mapping[str, Value] | None = None,
    ) -> "Rows":
        """Every feasible trial of one device, in the order of the run.

        A device has one design: what is not a run-time knob cannot change from request to request.

        Args:
            question: What the run asks.
            trials: Its trials, all of them.
            energy: Metric that is to be kept small [J].
            latency: Metric that a deadline is held against [s].
            accuracy: Metric that must not fall below what a request asks [1]; need not exist.
            design: Values of knobs that are settled before run time, as far as trials differ there.

        Raises:
            DseError: If a metric does not exist or has another unit, no trial is feasible, or the
                trials left are of more than one design.
        """
        rows = np.flatnonzero(trials.feasible & _of_design(question, trials, design or {}))
        metrics = {q.name: q.unit for q in question.metrics}
        for name, unit in ((energy, "J"), (latency, "s")):
            if metrics.get(name) != unit:
                there = ", ".join(n for n, u in metrics.items() if u == unit)
                raise DseError(f"no metric {name} in {unit}; there are {there or 'none'}")
        known = metrics.get(accuracy) == "1"
        values = trials.metrics[accuracy][rows] if known else np.zeros(len(rows))
        return cls(
            trials.metrics[energy][rows].astype(np.float64),
            trials.metrics[latency][rows].astype(np.float64),
            np.asarray(values, dtype=np.float64),
            {name: column[rows] for name, column in trials.designs.items()},
            rows.astype(np.int64),
            np.ones(len(rows), dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def promising(self, latency: FloatArray) -> "Rows":
        """The same rows with another latency [s], such as a quantile of measured ones."""
        return replace(self, latency=latency)

    def costing(self, energy: FloatArray, latency: FloatArray) -> "Rows":
        """The same rows at another price, such as that of another bandwidth."""
        return replace(self, energy=energy, latency=latency)

    def only(self, which: NDArray[np.bool_]) -> "Rows":
        """The same rows, of which only some may be picked.

        Raises:
            DseError: If none is left.
        """
        return replace(self, open=self.open & which)

    def fastest_at(self, knob: str, end: str) -> int:
        """The fastest row among those with the lowest or highest value of a knob.

        Of equally fast ones, the last: knobs count upwards, so it is the one with the highest
        clock and the accelerators on, as DynaSplit's baselines have it.

        Args:
            knob: A knob that is a number.
            end: `lowest` or `highest`.

        Raises:
            DseError: If there is no such knob.
        """
        if knob not in self.settings or self.settings[knob].dtype.kind not in "fi":
            raise DseError(f"no knob {knob} that is a number; there are {', '.join(self.settings)}")
        values = self.settings[knob]
        best = values[self.open].min() if end == "lowest" else values[self.open].max()
        rows = np.flatnonzero(self.open & (values == best))
        return int(rows[::-1][np.argmin(self.latency[rows][::-1])])


def _of_design(
    question: Question, trials: Trials, design: Mapping[str, Value]
) -> NDArray[np.bool_]:
    """Trials of one device, shape (n,)."""
    settled = [q.name for q in question.knobs if q.stage != "run"]
    unknown = [name for name in design if name not in settled]
    if unknown:
        raise DseError(f"{unknown[0]} is no design knob; there are {', '.join(settled) or 'none'}")
    hit = np.ones(len(trials), dtype=bool)
    for name, value in design.items():
        hit &= trials.designs[name] == value
    if not hit.any():
        raise DseError(f"no trial has the design {dict(design)}")
    several = [name for name in settled if len(np.unique(trials.designs[name][hit])) > 1]
    if several:
        raise DseError(
            f"the trials are of several devices: a device has one value of {', '.join(several)}; "
            "give --design knob=value for each (dse export names the most useful design)"
        )
    return hit


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """Rows in order of preference, thinned to those that are faster than all before them.

    The first row in that order whose latency meets a deadline is always one of these, and their
    latencies fall, so a search by halves finds it.

    Attributes:
        rows: Row numbers, best first, shape (s,).
        falling: Their latencies, negated: they rise, shape (s,) [-s].
    """

    rows: NDArray[np.intp]
    falling: FloatArray
    _rows: list[int]
    _falling: list[float]

    @classmethod
    def of(cls, preferred: NDArray[np.intp], latency: FloatArray) -> "Staircase":
        """The staircase of at least one row.

        Args:
            preferred: Rows, best first, shape (r,).
            latency: Of every row [s], shape (k,).
        """
        values = latency[preferred]
        before = np.minimum.accumulate(values)
        steps = np.ones(len(values), dtype=bool)
        steps[1:] = values[1:] < before[:-1]
        rows, falling = preferred[steps], -values[steps]
        return cls(rows, falling, rows.tolist(), falling.tolist())

    def first(self, deadline: float) -> int:
        """The first row in time; if none is, the fastest."""
        step = bisect_left(self._falling, -deadline)
        return self._rows[step] if step < len(self._rows) else self._rows[-1]

    def first_all(self, deadline: FloatArray) -> NDArray[np.intp]:
        """The same for every deadline [s], shape (n,)."""
        steps = np.searchsorted(self.falling, -deadline, side="left")
        return np.asarray(self.rows[np.minimum(steps, len(self.rows) - 1)], dtype=np.intp)


def by_energy(choices: Rows, energy: FloatArray | None = None) -> NDArray[np.intp]:
    """Open rows by energy, ties by higher accuracy, then in the order of the run.

    Args:
        choices: The rows.
        energy: What to sort by [J], shape (k,); their own if not given.
    """
    energy = choices.energy if energy is None else energy
    order = np.lexsort((-choices.accuracy, energy))
    return np.asarray(order[choices.open[order]], dtype=np.intp)
