"""Axes of a plot: values in a readable unit, the part that is shown, and the limits on them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dse.core.parameters import Column, FloatArray
from dse.core.problem import Constraint
from dse.core.units import notations, pretty, readable
from dse.runs.run_schema import Quantity

LOG_FROM = 100.0
"""Largest over smallest value from which an axis of positive values is logarithmic."""

_MARGIN = 0.04
_REACH = 0.5
"""Share of the data's span by which an axis is stretched, at most, to show a limit."""


@dataclass(frozen=True, slots=True)
class Notation:
    """How the values of one column are written everywhere in one plot.

    Attributes:
        label: The column's name in words.
        unit: As printed, with a prefix; empty for names and pure numbers.
        power: Power of ten of the prefix.
    """

    label: str
    unit: str
    power: int

    @classmethod
    def of(cls, quantity: Quantity, column: Column) -> "Notation":
        """The notation that suits the largest of finite SI values, shape (n,).

        Not the middle one: the ends of an axis are read, and so are the limits at its far end.
        """
        label = quantity.name.replace("_", " ")
        if column.dtype.kind == "U":
            return cls(label, "", 0)
        sizes = np.abs(column.astype(np.float64))
        _, name = readable(sizes[sizes == sizes.max(initial=0.0)], quantity.unit)
        return cls(label, pretty(name), notations(quantity.unit)[name])

    @property
    def title(self) -> str:
        """Label and unit, as they stand on an axis."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def scaled(self, values: FloatArray) -> FloatArray:
        """SI values, shape (n,), in this notation."""
        return np.asarray(values, dtype=np.float64) / 10.0**self.power

    def texts(self, column: Column) -> list[str]:
        """A column's values as printed, unit included, n texts."""
        if column.dtype.kind == "U":
            return [str(value) for value in column.tolist()]
        unit = f" {self.unit}" if self.unit else ""
        return [number_text(value) + unit for value in self.scaled(column).tolist()]


def number_text(value: float) -> str:
    """Four digits, or all of a whole number below a million."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Limit:
    """A constraint as drawn: where its bound lies on the axis, which side is allowed, in words."""

    value: float
    side: Literal["max", "min"]
    text: str

    @classmethod
    def of(cls, constraint: Constraint, notation: Notation) -> "Limit":
        """A constraint in the notation of its column."""
        sign = "≤" if constraint.side == "max" else "≥"
        bound = np.array([constraint.bound])
        text = f"{notation.label} {sign} {notation.texts(bound)[0]}"
        return cls(float(notation.scaled(bound)[0]), constraint.side, text)


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis of a panel.

    Attributes:
        title: Name and unit.
        better: Which end is wanted; None where none is.
        values: One per trial in the unit of the title, shape (n,); NaN where the trial failed.
        low, high: The part shown, low < high.
        log: Whether the axis is logarithmic (then low > 0).
        limits: Those that lie between low and high.
    """

    title: str
    better: Literal["lower", "higher"] | None
    values: FloatArray
    low: float
    high: float
    log: bool
    limits: tuple[Limit, ...] = ()

    @classmethod
    def of(
        cls,
        title: str,
        better: Literal["lower", "higher"] | None,
        values: FloatArray,
        limits: tuple[Limit, ...] = (),
    ) -> "Axis":
        """An axis that shows every finite value, and each limit that lies near the values."""
        finite = values[np.isfinite(values)]
        log = spans_decades(finite)
        near = _near(finite, limits, log)
        shown = np.concatenate([finite, [limit.value for limit in near]])
        low, high = span(shown, log=log)
        return cls(title, better, values, low, high, log, near)

    @property
    def heading(self) -> str:
        """The title and which end is wanted."""
        return f"{self.title}, {self.better} is better" if self.better else self.title


def _near(finite: FloatArray, limits: tuple[Limit, ...], log: bool) -> tuple[Limit, ...]:
    """Limits that the axis can show without squeezing the values."""
    if not len(finite):
        return limits
    scale = np.log10 if log else np.asarray
    values = scale(finite)
    low, high = float(values.min()), float(values.max())
    reach = _REACH * (high - low) if high > low else np.inf
    kept = []
    for limit in limits:
        if log and limit.value <= 0:
            continue
        place = float(scale(limit.value))
        if low - reach <= place <= high + reach:
            kept.append(limit)
    return tuple(kept)


def spans_decades(values: FloatArray) -> bool:
    """Whether finite values, shape (n,), are read better on a logarithmic scale."""
    return bool(len(values) and values.min() > 0 and values.max() >= LOG_FROM * values.min())


def span(values: FloatArray, *, log: bool = False) -> tuple[float, float]:
    """Ends of an axis around finite values, shape (n,), with a margin; low < high always."""
    if not len(values):
        return 0.0, 1.0
    places = np.log10(values) if log else values
    low, high = float(places.min()), float(places.max())
    margin = _MARGIN * (high - low) or _MARGIN * abs(high) or 1.0
    low, high = low - margin, high + margin
    return (10.0**low, 10.0**high) if log else (low, high)
