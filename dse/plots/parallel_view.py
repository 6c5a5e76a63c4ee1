"""A front on parallel axes, and the rows between the brushes on them.

plotly tells only the ranges of a brush, never the rows (plotly.py #2149), and takes the wrong ones
where a range is a single value (plotly.js #5593): here the rows are computed from the ranges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Column, FloatArray
from dse.plots.axes import Notation, number_text, span, spans_decades
from dse.results.front import Front, Limits
from dse.runs.run_schema import Quantity

Ranges: TypeAlias = Sequence[tuple[float, float]]
"""Stretches of one axis that are brushed, both ends included; a row in any of them stays."""

MOST_LEVELS = 9
"""Distinct numbers of a column up to which each gets a tick of its own."""

_HALF = 0.3
"""How far a brush reaches to either side of a name, names standing 1 apart."""

_SLACK = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ParallelAxis:
    """One column of the front as an upright axis.

    Attributes:
        name: Of the column.
        title: Name and unit.
        better: Which end is wanted; None for a knob.
        places: Where each row crosses the axis, shape (n,): its value in the unit of the title, the
            decimal logarithm of that if `log`, or the position of its name.
        low, high: Ends of the axis, low < high.
        log: Whether places are logarithms.
        ticks: Place and text; none where round numbers serve.
        names: Of a choice, in the order of their positions; else none.
        power: Power of ten of the prefix in the title.
    """

    name: str
    title: str
    better: Literal["lower", "higher"] | None
    places: FloatArray
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]
    names: tuple[str, ...]
    power: int

    @classmethod
    def of(
        cls, quantity: Quantity, column: Column, better: Literal["lower", "higher"] | None = None
    ) -> "ParallelAxis":
        """The axis of a column, shape (n,) with n > 0."""
        how = Notation.of(quantity, column)
        if column.dtype.kind == "U":
            names, positions = np.unique(column, return_inverse=True)
            places = positions.ravel().astype(np.float64)
            ticks = tuple((float(i), str(name)) for i, name in enumerate(names))
            return cls(quantity.name, how.title, better, places, -0.5, len(names) - 0.5, False,
                       ticks, tuple(map(str, names)), 0)  # fmt: skip
        values = how.scaled(column.astype(np.float64))
        log = spans_decades(values)
        places = np.log10(values) if log else values
        low, high = span(places)
        ticks = _decades(low, high) if log else () if better else _levels(values)
        return cls(quantity.name, how.title, better, places, low, high, log, ticks, (), how.power)

    def inside(self, ranges: Ranges) -> NDArray[np.bool_]:
        """Rows in any of the ranges, shape (n,); all of them without a range.

        Exact for numbers. A browser snaps brushes to names and misses their whole places by
        rounding, -5.6e-17 for 0, so names have a little slack.
        """
        if not len(ranges):
            return np.ones(len(self.places), dtype=bool)
        slack = _SLACK if self.names else 0.0
        inside = [
            (self.places >= low - slack) & (self.places <= high + slack) for low, high in ranges
        ]
        return np.asarray(np.any(inside, axis=0), dtype=bool)

    def ranges(self, limits: Limits) -> Ranges:
        """The stretches of the axis that limits in SI units, or names, stand for."""
        if self.names:
            places = [self.names.index(str(name)) for name in limits if str(name) in self.names]
            return [(place - _HALF, place + _HALF) for place in places]
        low, high = (float(limit) for limit in limits)
        return [(self._place(low, self.low), self._place(high, self.high))]

    def _place(self, limit: float, end: float) -> float:
        if not np.isfinite(limit) or (self.log and limit <= 0):
            return end
        value = limit / 10.0**self.power
        return float(np.log10(value)) if self.log else value


def _levels(values: FloatArray) -> tuple[tuple[float, str], ...]:
    """A tick for each of few values that stand well apart; else none."""
    levels = np.unique(values)
    gap = np.diff(levels).min(initial=np.inf)
    if len(levels) > MOST_LEVELS or gap < (levels[-1] - levels[0]) / MOST_LEVELS / 2:
        return ()
    return tuple((level, number_text(level)) for level in levels.tolist())


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Round numbers of a logarithmic axis."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    numbers = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    shown = [number for number in numbers if low <= np.log10(number) <= high]
    return tuple((float(np.log10(number)), number_text(number)) for number in shown)


@dataclass(frozen=True, slots=True, eq=False)
class ParallelView:
    """A front on parallel axes.

    Attributes:
        front: Its rows are the lines.
        axes: From left to right.
    """

    front: Front
    axes: tuple[ParallelAxis, ...]

    @classmethod
    def of(cls, front: Front, columns: Sequence[str] | None = None) -> "ParallelView":
        """The view of a front.

        Args:
            front: Not empty.
            columns: Knobs and metrics, left to right; without them, the knobs that differ on the
                front, then the objectives.

        Raises:
            DseError: If the front is empty, or a column is a handle.
            RunError: If there is no such column.
        """
        if not len(front):
            raise DseError("the front is empty: no trial is feasible")
        question = front.question
        values = {**front.trials.designs, **front.trials.metrics}
        wanted = {o.name: o.direction for o in question.objectives}
        if columns is None:
            free = [q.name for q in question.knobs if len(np.unique(values[q.name])) > 1]
            columns = [*free, *wanted]
        axes = []
        for name in columns:
            quantity = question[name]
            if quantity.unit == "handle":
                raise DseError(f"{name} is a handle, which has no place on an axis")
            ends: dict[str, Literal["lower", "higher"]] = {"min": "lower", "max": "higher"}
            better = ends[wanted[name]] if name in wanted else None
            axes.append(ParallelAxis.of(quantity, values[name], better))
        return cls(front, tuple(axes))

    def rows_between(self, brushes: Mapping[str, Ranges]) -> NDArray[np.intp]:
        """Rows that every brushed axis keeps, ascending.

        Args:
            brushes: Column -> stretches of its axis, in places.

        Raises:
            DseError: If there is no such axis.
        """
        known = {axis.name: axis for axis in self.axes}
        kept = np.ones(len(self.front), dtype=bool)
        for name, ranges in brushes.items():
            if name not in known:
                raise DseError(f"no axis {name!r}; there are {', '.join(known)}")
            kept &= known[name].inside(ranges)
        return np.flatnonzero(kept)

    def chosen(self, figure: Any) -> Front:  # noqa: ANN401  (plotly ships no types)
        """The rows of the front between the brushes of a figure as they stand now.

        Args:
            figure: What `parallel.parallel_figure` made, or a FigureWidget of it, whose brushes a
                person moves in the browser.

        Raises:
            DseError: If the figure was not made of this view.
        """
        return self.front.rows(self.rows_between(self.brushes(figure)))

    def brushes(self, figure: Any) -> dict[str, Ranges]:  # noqa: ANN401
        """Column -> brushed stretches of a figure; only the axes that are brushed.

        Raises:
            DseError: If the figure was not made of this view.
        """
        dimensions = [d for trace in figure.data if trace.type == "parcoords"
                      for d in trace.dimensions]  # fmt: skip
        shown = [dimension.name for dimension in dimensions]
        if shown != [axis.name for axis in self.axes]:
            raise DseError(f"the figure shows {', '.join(shown) or 'no axes'}: of another view")
        found: dict[str, Ranges] = {}
        for axis, dimension in zip(self.axes, dimensions, strict=True):
            if dimension.constraintrange:
                pairs = np.asarray(dimension.constraintrange, dtype=np.float64).reshape(-1, 2)
                found[axis.name] = [(float(low), float(high)) for low, high in pairs]
        return found
