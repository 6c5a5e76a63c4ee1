"""Measured trials as an evaluator: several runs of one design stay a distribution."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Categorical, Column, FloatArray, Integer, Ordinal, Parameter
from dse.core.problem import Direction, Objective
from dse.core.signature import Cost, Signature
from dse.core.space import Columns
from dse.online.trials.table_file import RawTrials, TrialsLayout

FAR = 1.2
"""Ratio of neighbouring measurements of one design from which they count as two clusters."""

SUM_TOLERANCE = 1e-3
"""Relative difference between a total and the sum of its parts that rounding explains."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTrials:
    """Runs of a device, grouped by design.

    Attributes:
        raw: All runs, in the order of the file.
        objectives: Metric -> direction.
        designs: The distinct designs in order of appearance, knob columns of shape (k,).
        group: Design of each run, shape (runs,).
    """

    raw: RawTrials
    objectives: Mapping[str, Direction]
    designs: Mapping[str, Column]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, raw: RawTrials, objectives: Mapping[str, Direction]) -> "MeasuredTrials":
        """Group runs by their knobs; an objective that no run has drops out.

        Raises:
            DseError: If no objective is left, or a run of several lacks one.
        """
        kept = {name: d for name, d in objectives.items() if name in raw.metrics}
        kept = {name: d for name, d in kept.items() if not np.isnan(raw.metrics[name]).all()}
        if not kept:
            raise DseError(f"{raw.file}: none of the objectives {', '.join(objectives)} is in it")
        for name in kept:
            holes = np.flatnonzero(np.isnan(raw.metrics[name]))
            if len(holes):
                raise DseError(
                    f"{raw.file}: {name} is empty in line {raw.lines[holes[0]]} and {len(holes)} "
                    "runs in all, but not everywhere; an objective is measured in each run or none"
                )
        seen: dict[tuple[object, ...], int] = {}
        rows = zip(*(column.tolist() for column in raw.knobs.values()), strict=True)
        group = np.array([seen.setdefault(row, len(seen)) for row in rows], dtype=np.intp)
        first = np.array([int(np.flatnonzero(group == i)[0]) for i in range(len(seen))])
        designs = {name: column[first] for name, column in raw.knobs.items()}
        return cls(raw, kept, designs, group)

    def __len__(self) -> int:
        return len(self.group)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that every run has, the objectives among them."""
        return tuple(n for n, c in self.raw.metrics.items() if not np.isnan(c).any())

    def columns(self) -> dict[str, Column]:
        """Every run with knobs and metrics, shape (runs,) each: what a fit reads."""
        metrics = {name: self.raw.metrics[name] for name in self.metrics}
        return {**self.raw.knobs, **metrics}

    def samples(self, metric: str) -> tuple[FloatArray, ...]:
        """Measurements of each design [unit of the metric], sorted; one array a design."""
        values = self.raw.metrics[metric]
        return tuple(np.sort(values[self.group == i]) for i in range(int(self.group.max()) + 1))

    def estimates(self, quantile: float) -> dict[str, FloatArray]:
        """Each metric of each design at a quantile on its bad side, shape (k,) each.

        For a metric to be maximised that is the quantile 1 - q: 0.95 is pessimistic everywhere, 0.5
        the median. No interpolation: a value that was measured.

        Args:
            quantile: Share of runs at most that bad [1], above 0 and at most 1.
        """
        return {
            name: np.array(
                [
                    at_quantile(sorted_, quantile, self.objectives.get(name, "min"))
                    for sorted_ in self.samples(name)
                ]
            )
            for name in self.metrics
        }

    def parameters(self) -> tuple[Parameter, ...]:
        """The knobs with the values that were measured, all free at run time."""
        return tuple(self._parameter(name) for name in self.designs)

    def _parameter(self, name: str) -> Parameter:
        unit, values = self.raw.units[name], np.unique(self.designs[name])
        if unit == "choice":
            return Categorical(name, tuple(values.tolist()), "run")
        steps = np.unique(np.diff(values))
        if values.dtype.kind == "i" and len(steps) == 1:
            low, high = int(values[0]), int(values[-1])
            return Integer(name, low, high, unit, "run", step=int(steps[0]))
        return Ordinal(name, tuple(float(v) for v in values), unit, "run")


def at_quantile(sorted_: FloatArray, quantile: float, direction: Direction) -> float:
    """The measured value that at least a share `quantile` of the runs is no worse than.

    Args:
        sorted_: Measurements, increasing, shape (runs,), at least one.
        quantile: Above 0 and at most 1 [1].
        direction: Whether large is bad (`min`) or small is (`max`).

    Raises:
        DseError: If the quantile is out of range.
    """
    if not 0 < quantile <= 1:
        raise DseError(f"quantile = {quantile} is outside 0 (exclusive) to 1")
    # The smallest count of runs whose share reaches the quantile; a last bit is forgiven.
    count = max(int(np.ceil(quantile * len(sorted_) * (1 - 1e-12))), 1)
    return float(sorted_[count - 1] if direction == "min" else sorted_[len(sorted_) - count])


@dataclass(frozen=True, eq=False)
class Measured:
    """Evaluator that looks a design up among measured trials.

    Attributes:
        trials: What was measured.
        quantile: Of each design's runs, on the bad side of each metric [1]; 0.5: medians.
        cost: What a search shall take a look-up for; `measured` to try searchers on real numbers.
    """

    trials: MeasuredTrials
    quantile: float = 0.5
    cost: Cost = "closed form"

    @cached_property
    def signature(self) -> Signature:
        """Reads the knobs of the file, gives the metrics that every run has, all measured."""
        units = self.trials.raw.units
        reads = {name: units[name] for name in self.trials.designs}
        gives = {name: units[name] for name in self.trials.metrics}
        return Signature.uniform(reads, gives, "measured", self.cost)

    @cached_property
    def _rows(self) -> dict[tuple[object, ...], int]:
        rows = zip(*(column.tolist() for column in self.trials.designs.values()), strict=True)
        return {row: i for i, row in enumerate(rows)}

    @cached_property
    def _estimates(self) -> dict[str, FloatArray]:
        return self.trials.estimates(self.quantile)

    def __call__(self, columns: Columns) -> Columns:
        """The designs' estimates, shape (n,) each.

        Raises:
            ValueError: If a design was not measured.
        """
        designs = zip(*(columns[name].tolist() for name in self.signature.inputs), strict=True)
        found = [self._rows.get(design, -1) for design in designs]
        if -1 in found:
            row = found.index(-1)
            said = ", ".join(f"{n} = {columns[n][row]}" for n in self.signature.inputs)
            raise ValueError(
                f"{said} was not measured; {self.trials.raw.file} holds {len(self._rows)} designs"
            )
        index = np.array(found, dtype=np.intp)
        return {name: values[index] for name, values in self._estimates.items()}


def objectives_of(trials: MeasuredTrials) -> tuple[Objective, ...]:
    """The objectives that the trials can be judged by."""
    units = trials.raw.units
    return tuple(Objective(name, units[name], d) for name, d in trials.objectives.items())


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Runs that may be wrong; kept, because only their owner knows.

    Attributes:
        lines: Where they stand in the file.
        what: Design, metric and values.
    """

    lines: tuple[int, ...]
    what: str


def suspicions(trials: MeasuredTrials, layout: TrialsLayout) -> tuple[Suspicion, ...]:
    """What looks wrong.

    Totals unlike their parts, settings unlike the request, combinations that cannot be, the same
    numbers twice, and designs whose runs fall into two clusters.
    """
    return (
        *_sums(trials, layout),
        *_requests(trials),
        *_forbidden(trials, layout),
        *_doubles(trials),
        *_clusters(trials),
    )


def _sums(trials: MeasuredTrials, layout: TrialsLayout) -> list[Suspicion]:
    found = []
    for total, parts in layout.sums.items():
        if not {total, *parts} <= set(trials.metrics):
            continue
        stated = trials.raw.metrics[total]
        added = np.sum([trials.raw.metrics[part] for part in parts], axis=0)
        for row in np.flatnonzero(np.abs(stated - added) > SUM_TOLERANCE * np.abs(stated)):
            what = f"{total} = {stated[row]:g} is not {added[row]:g}, the sum of {', '.join(parts)}"
            found.append(Suspicion((int(trials.raw.lines[row]),), what))
    return found


def _requests(trials: MeasuredTrials) -> list[Suspicion]:
    found = []
    for knob, asked in trials.raw.requested.items():
        applied = trials.raw.knobs[knob]
        for row in np.flatnonzero(asked != applied):
            what = f"{knob} = {applied[row]:g} was applied where {asked[row]:g} was asked for"
            found.append(Suspicion((int(trials.raw.lines[row]),), what))
    return found


def _forbidden(trials: MeasuredTrials, layout: TrialsLayout) -> list[Suspicion]:
    found = []
    for rule in layout.forbidden:
        hit = np.ones(len(trials), dtype=bool)
        for knob, values in rule.items():
            hit &= np.isin(trials.raw.knobs[knob], np.array(values))
        for row in np.flatnonzero(hit):
            said = ", ".join(f"{knob} = {trials.raw.knobs[knob][row]}" for knob in rule)
            found.append(Suspicion((int(trials.raw.lines[row]),), f"{said} cannot have been run"))
    return found


def _doubles(trials: MeasuredTrials) -> list[Suspicion]:
    """A measurement repeated to the last digit is a row copied, not a run repeated."""
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for line, *row in zip(trials.raw.lines, *trials.columns().values(), strict=True):
        first = seen.setdefault(tuple(row), int(line))
        if first != int(line):
            found.append(Suspicion((first, int(line)), "the same knobs and the same measurements"))
    return found


def _clusters(trials: MeasuredTrials) -> list[Suspicion]:
    found = []
    for name in trials.objectives:
        for design in range(int(trials.group.max()) + 1):
            rows = np.flatnonzero(trials.group == design)
            rows = rows[np.argsort(trials.raw.metrics[name][rows], kind="stable")]
            values = trials.raw.metrics[name][rows]
            cut = two_clusters(values)
            if cut is None:
                continue
            # The smaller side is the one to look at; of equal ones, the lower.
            side = rows[:cut] if cut <= len(rows) - cut else rows[cut:]
            said = ", ".join(f"{k} = {c[design]}" for k, c in trials.designs.items())
            what = (
                f"{name} of {said}: {cut} runs at {values[0]:.4g} to {values[cut - 1]:.4g}, "
                f"{len(rows) - cut} at {values[cut]:.4g} to {values[-1]:.4g}"
            )
            found.append(Suspicion(tuple(int(line) for line in trials.raw.lines[side]), what))
    return found


def two_clusters(values: FloatArray) -> int | None:
    """Where increasing positive measurements fall apart: size of the lower cluster, or None.

    They do where the widest step between neighbours is a factor of at least `FAR` and three times
    (in logarithms) the spread of either side. A lone run far away is a cluster of one.

    Args:
        values: Measurements, increasing, shape (runs,).
    """
    if len(values) < 2 or not values[0] > 0:
        return None
    logs = np.log(values)
    cut = int(np.argmax(np.diff(logs))) + 1
    step = logs[cut] - logs[cut - 1]
    spread = max(logs[cut - 1] - logs[0], logs[-1] - logs[cut])
    return cut if step >= np.log(FAR) and step >= 3 * spread else None
