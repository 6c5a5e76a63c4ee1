"""Knobs: what may be chosen, in which unit, and who may still change it when.

Every parameter knows two notations of its values. The *code* is what searchers see: a float64,
the index of a level for the finite kinds, a position in [0, 1] for `Real`. The *value* is what
evaluators see: a float, an integer or a string, in the declared unit.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import SpaceError

FloatArray: TypeAlias = NDArray[np.float64]
Column: TypeAlias = NDArray[Any]
Value: TypeAlias = float | int | str

Stage: TypeAlias = Literal["design", "deploy", "run"]
"""When a knob can still change: `design` needs silicon or training, `deploy` a flash of the device,
`run` is free per request."""

STAGES: tuple[Stage, ...] = ("design", "deploy", "run")


def _check_header(name: str, unit: str, stage: str) -> None:
    if not name.isidentifier():
        raise SpaceError(f"parameter name {name!r} is not an identifier (letters, digits, _)")
    if not unit:
        raise SpaceError(f"{name}: unit is empty; a quantity without dimension has the unit '1'")
    if stage not in STAGES:
        raise SpaceError(f"{name}: stage {stage!r} is not one of {', '.join(STAGES)}")


def _levels_of(codes: FloatArray, levels: Column, name: str) -> Column:
    return np.asarray(levels[_index_of(codes, len(levels), name)])


def _index_of(codes: FloatArray, count: int, name: str) -> NDArray[np.int64]:
    # Compared before the cast: a NaN or an infinity has no integer.
    bad = ~((codes >= 0) & (codes < count) & (np.floor(codes) == codes))
    if bad.any():
        raise SpaceError(
            f"{name}: code {codes[bad][0]:g} is not one of the levels 0 to {count - 1}"
        )
    return codes.astype(np.int64)


def _codes_of(values: Column, levels: Column, name: str) -> FloatArray:
    order = np.argsort(levels)
    position = np.clip(np.searchsorted(levels, values, sorter=order), 0, len(levels) - 1)
    index = order[position]
    bad = levels[index] != values
    if bad.any():
        allowed = ", ".join(str(v) for v in levels.tolist())
        raise SpaceError(f"{name} = {np.asarray(values)[bad][0]} is not one of {allowed}")
    return index.astype(np.float64)


def _numbers(values: Column) -> Column:
    """The values themselves if they are numbers, else NaN, which lies in no range."""
    return values if values.dtype.kind in "fiu" else np.full(values.shape, np.nan)


@dataclass(frozen=True, slots=True)
class Real:
    """A continuous knob between two bounds, searched evenly or evenly in its logarithm.

    Args:
        name: Identifier of the column.
        low: Smallest value, in `unit`.
        high: Largest value, in `unit`, above `low`.
        unit: Unit of the values.
        stage: When the knob can still change.
        scale: `linear`, or `log` (both bounds positive).

    Raises:
        SpaceError: If the bounds are not finite, not increasing, or not positive on a log scale.
    """

    name: str
    low: float
    high: float
    unit: str
    stage: Stage = "design"
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        _check_header(self.name, self.unit, self.stage)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SpaceError(f"{self.name}: the range {self.low} to {self.high} is empty")
        if self.scale == "log" and self.low <= 0:
            raise SpaceError(f"{self.name}: a log scale needs low > 0, got {self.low}")
        if self.scale not in ("linear", "log"):
            raise SpaceError(f"{self.name}: scale {self.scale!r} is not one of linear, log")

    @property
    def count(self) -> None:
        """Uncountable."""
        return None

    def decode(self, codes: FloatArray) -> Column:
        """Values [unit] of codes in [0, 1], shape (n,)."""
        bad = ~((codes >= 0) & (codes <= 1))
        if bad.any():
            raise SpaceError(f"{self.name}: code {codes[bad][0]:g} is outside 0 to 1")
        if self.scale == "log":
            values = np.exp(np.log(self.low) + codes * (np.log(self.high) - np.log(self.low)))
        else:
            values = self.low + codes * (self.high - self.low)
        # Rounding may step over a bound by its last bit, and tables do not reach further; the end
        # codes stand for the bounds themselves.
        values = np.clip(values, self.low, self.high)
        return np.where(codes == 1.0, self.high, np.where(codes == 0.0, self.low, values))

    def encode(self, values: Column) -> FloatArray:
        """Codes in [0, 1] of values [unit], shape (n,)."""
        given = np.asarray(values)
        numbers = _numbers(given)
        bad = ~((numbers >= self.low) & (numbers <= self.high))
        if bad.any():
            raise SpaceError(
                f"{self.name} = {given[bad][0]} {self.unit} is outside {self.low} to {self.high}"
            )
        if self.scale == "log":
            low, high = np.log(self.low), np.log(self.high)
            return np.asarray(np.clip((np.log(numbers) - low) / (high - low), 0.0, 1.0))
        return np.asarray((numbers - self.low) / (self.high - self.low), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole-number knob: `low`, `low + step`, ... up to `high`.

    Raises:
        SpaceError: If the range is empty or `step` does not lead from `low` to `high`.
    """

    name: str
    low: int
    high: int
    unit: str
    stage: Stage = "design"
    step: int = 1

    def __post_init__(self) -> None:
        _check_header(self.name, self.unit, self.stage)
        if self.low > self.high:
            raise SpaceError(f"{self.name}: the range {self.low} to {self.high} is empty")
        if self.step < 1 or (self.high - self.low) % self.step:
            raise SpaceError(
                f"{self.name}: step {self.step} does not lead from {self.low} to {self.high}"
            )

    @property
    def count(self) -> int:
        """Number of levels."""
        return (self.high - self.low) // self.step + 1

    def decode(self, codes: FloatArray) -> Column:
        """Whole numbers [unit] of level indices, shape (n,), int64."""
        return self.low + self.step * _index_of(codes, self.count, self.name)

    def encode(self, values: Column) -> FloatArray:
        """Level indices of whole numbers [unit], shape (n,)."""
        given = np.asarray(values)
        numbers = _numbers(given)
        inside = (numbers >= self.low) & (numbers <= self.high)
        whole = np.where(inside, numbers, 0).astype(np.int64)
        bad = ~inside | (whole != numbers) | ((whole - self.low) % self.step != 0)
        if bad.any():
            raise SpaceError(f"{self.name} = {given[bad][0]} is not one of {self._levels()}")
        return ((whole - self.low) // self.step).astype(np.float64)

    def _levels(self) -> str:
        if self.count <= 20:
            return ", ".join(map(str, range(self.low, self.high + 1, self.step)))
        return f"{self.low} to {self.high} in steps of {self.step}"


@dataclass(frozen=True, slots=True)
class Ordinal:
    """A knob with a finite, strictly increasing list of numbers; its code is the index."""

    name: str
    values: tuple[float, ...]
    unit: str
    stage: Stage = "design"

    def __post_init__(self) -> None:
        _check_header(self.name, self.unit, self.stage)
        if not self.values or not all(math.isfinite(v) for v in self.values):
            raise SpaceError(
                f"{self.name}: needs at least one value, all finite; got {self.values}"
            )
        if not all(a < b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise SpaceError(f"{self.name}: values must strictly increase, got {self.values}")

    @property
    def count(self) -> int:
        """Number of levels."""
        return len(self.values)

    def decode(self, codes: FloatArray) -> Column:
        """Numbers [unit] of level indices, shape (n,), float64."""
        return _levels_of(codes, np.asarray(self.values, dtype=np.float64), self.name)

    def encode(self, values: Column) -> FloatArray:
        """Level indices of numbers [unit], shape (n,)."""
        return _codes_of(values, np.asarray(self.values, dtype=np.float64), self.name)


@dataclass(frozen=True, slots=True)
class Categorical:
    """A knob with a finite list of names and no order; its code is the index, its unit `choice`."""

    name: str
    values: tuple[str, ...]
    stage: Stage = "design"

    def __post_init__(self) -> None:
        _check_header(self.name, self.unit, self.stage)
        if not self.values or "" in self.values:
            raise SpaceError(f"{self.name}: needs at least one name, none empty; got {self.values}")
        if len(set(self.values)) != len(self.values):
            raise SpaceError(f"{self.name}: a name stands twice in {self.values}")

    @property
    def unit(self) -> str:
        """Always `choice`."""
        return "choice"

    @property
    def count(self) -> int:
        """Number of names."""
        return len(self.values)

    def decode(self, codes: FloatArray) -> Column:
        """Names of level indices, shape (n,), fixed-width strings."""
        return _levels_of(codes, np.asarray(self.values, dtype=np.str_), self.name)

    def encode(self, values: Column) -> FloatArray:
        """Level indices of names, shape (n,)."""
        return _codes_of(values, np.asarray(self.values, dtype=np.str_), self.name)


Parameter: TypeAlias = Real | Integer | Ordinal | Categorical


def ends(parameter: Parameter) -> tuple[Value, Value]:
    """First and last value [unit]; of a `Categorical`, in the order in which they are listed."""
    if isinstance(parameter, Real | Integer):
        return parameter.low, parameter.high
    return parameter.values[0], parameter.values[-1]
