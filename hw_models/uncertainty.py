"""Constants drawn from the disagreement between their sources: which designs survive it?

Every constant of a table with low, nominal and high rows is drawn with its nominal as median,
log-uniform towards either end (linear where an end is zero). Constants are independent, but the
rows of a table over a numeric key (a voltage curve) move together, so that a curve stays monotone.
No source states a distribution: this one is ours, the widest that keeps the median.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import Columns, FloatArray
from hw_models.table import Table, shipped, shipped_names

Model = TypeVar("Model")


class Evaluator(Protocol):
    """Columns of designs to columns of outputs."""

    def __call__(self, columns: Columns) -> Mapping[str, FloatArray]:
        """Outputs, each of shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """The three sets of one table: same keys and columns, low <= nominal <= high."""

    low: Table
    nominal: Table
    high: Table

    @classmethod
    def shipped(cls, name: str) -> "Interval":
        """Of a shipped table.

        Raises:
            ValueError: If there is no such table.
        """
        return cls(shipped(name, "low"), shipped(name), shipped(name, "high"))

    @property
    def open(self) -> bool:
        """Whether low and high differ anywhere."""
        low, high = self.low.columns, self.high.columns
        return any(not np.array_equal(low[name], high[name]) for name in low)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Table, ...]:
        """Tables with constants drawn from the interval.

        Args:
            count: How many tables, at least 1.
            rng: Source of randomness.

        Raises:
            ValueError: If count is below 1.
        """
        if count < 1:
            raise ValueError(f"count = {count} must be at least 1")
        names = [n for n, column in self.nominal.columns.items() if column.dtype.kind != "U"]
        names = [n for n in names if n != self.nominal.key]
        rows = len(self.nominal.columns[self.nominal.key])
        together = self.nominal.units[self.nominal.key] != "choice"
        u = rng.random((len(names), count, 1 if together else rows))
        drawn = {
            name: _between(
                self.low.columns[name], self.nominal.columns[name], self.high.columns[name], u[i]
            )
            for i, name in enumerate(names)
        }
        return tuple(
            replace(
                self.nominal,
                columns=dict(self.nominal.columns) | {n: drawn[n][i].copy() for n in names},
            )
            for i in range(count)
        )


def sample_models(model: Model, count: int, rng: np.random.Generator) -> tuple[Model, ...]:
    """The same evaluator, every shipped constant inside it drawn from its interval, in one call.

    A table of the user's own has no interval and stays as it is; a table that stands in several
    places is drawn once for all of them. Tables are found in the fields of dataclasses inside
    dataclasses and nowhere else, not in a function that reads them. A draw that contradicts itself
    (buffers and leakage above the power of the whole) is refused by the model and drawn again, at
    most ten times over in all.

    Args:
        model: An evaluator at its nominal constants: `Accelerator`, `LatencyAware`, ...
        count: How many, at least 1.
        rng: Source of randomness.

    Raises:
        ValueError: If count is below 1, no table inside the model has an interval, or nearly every
            draw contradicts itself.
    """
    tables = [table for table in tables_in(model) if _is_shipped(table)]
    if not any(Interval.shipped(table.name).open for table in tables):
        held = sorted({table.name for table in tables_in(model)})
        what = f"tables {held}, none shipped with low and high rows" if held else "no table"
        raise ValueError(
            f"nothing to draw: {type(model).__name__} holds {what}, so every draw would be the "
            "same; fields hold tables, as those of Accelerator do"
        )
    models: list[Model] = []
    refused = ""
    for _ in range(10):
        draws = [Interval.shipped(table.name).draw(count, rng) for table in tables]
        for i in range(count):
            drawn = {id(t): draw[i] for t, draw in zip(tables, draws, strict=True)}
            try:
                models.append(with_tables(model, drawn))
            except ValueError as error:
                refused = str(error)
        if len(models) >= count:
            return tuple(models[:count])
    raise ValueError(f"of {10 * count} draws only {len(models)} are consistent; last: {refused}")


def evaluate_each(models: Sequence[Evaluator], columns: Columns) -> dict[str, FloatArray]:
    """Outputs of every model for every design: name -> array, shape (models, n).

    Args:
        models: As from `sample_models`.
        columns: Designs, shape (n,).

    Raises:
        ValueError: If a column is missing or out of range.
    """
    results = [model(columns) for model in models]
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def surviving(
    model: Evaluator, columns: Columns, losses: Sequence[str], count: int, rng: np.random.Generator
) -> FloatArray:
    """Share of the draws of the constants in which a design is dominated by no other [1], (n,).

    Args:
        model: The evaluator at its nominal constants.
        columns: A front, shape (n,); every pair of its designs is compared.
        losses: Outputs to be minimised, or columns of `columns` that no constant changes.
        count: How many draws, at least 1.
        rng: Source of randomness.

    Raises:
        ValueError: As `sample_models`, or if a loss is neither an output nor a column.
    """
    results = evaluate_each(sample_models(model, count, rng), columns)
    known = {n: np.broadcast_to(c, (count, len(c))) for n, c in columns.items()} | results
    missing = [name for name in losses if name not in known]
    if missing:
        raise ValueError(f"losses {missing} are neither outputs {sorted(results)} nor columns")
    return survival(np.stack([np.asarray(known[name], np.float64) for name in losses], axis=2))


def survival(losses: FloatArray) -> FloatArray:
    """Share of the draws in which a design is dominated by no other [1], shape (n,).

    Compares every pair of designs, so it is meant for a front, not for a search space.

    Args:
        losses: To be minimised, shape (machines, n, m).
    """
    kept = np.zeros(losses.shape[1])
    for draw in losses:
        kept += ~_dominated(draw)
    return kept / len(losses)


def _dominated(losses: FloatArray) -> NDArray[np.bool_]:
    one, other = losses[:, np.newaxis], losses[np.newaxis]
    beaten = np.logical_and((other <= one).all(axis=2), (other < one).any(axis=2))
    return np.asarray(np.any(beaten, axis=1), dtype=np.bool_)


def _between(low: FloatArray, nominal: FloatArray, high: FloatArray, u: FloatArray) -> FloatArray:
    """Quantile u, shape (count, k or 1), of the distribution of the module; shape (count, k)."""
    below = _mix(low, nominal, np.minimum(2.0 * u, 1.0))
    above = _mix(nominal, high, np.maximum(2.0 * u - 1.0, 0.0))
    return np.where(u < 0.5, below, above)


def _mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    positive = (a > 0) & (b > 0)
    safe_a, safe_b = np.where(positive, a, 1.0), np.where(positive, b, 1.0)
    mixed = np.where(positive, safe_a * (safe_b / safe_a) ** share, a + (b - a) * share)
    # A power may round past its end by a last bit.
    return np.asarray(np.clip(mixed, a, b), dtype=np.float64)


def _is_shipped(table: Table) -> bool:
    """Whether name and numbers are ours: an edited copy must not be drawn from our interval."""
    if table.name not in shipped_names():
        return False
    ours = shipped(table.name, table.bound).columns
    return ours.keys() == table.columns.keys() and all(
        np.array_equal(ours[name], column) for name, column in table.columns.items()
    )


def tables_in(model: object) -> list[Table]:
    """Every distinct table inside a tree of dataclasses, in the order of the fields."""
    found: dict[int, Table] = {}
    for name in _given(model):
        value = getattr(model, name)
        inside = [value] if isinstance(value, Table) else tables_in(value)
        found |= {id(table): table for table in inside}
    return list(found.values())


def with_tables(model: Model, drawn: Mapping[int, Table]) -> Model:
    """The same tree with some of its tables exchanged."""
    changes: dict[str, Any] = {}
    for name in _given(model):
        value = getattr(model, name)
        new = drawn.get(id(value), value) if isinstance(value, Table) else with_tables(value, drawn)
        if new is not value:
            changes[name] = new
    return replace(model, **changes) if changes else model  # type: ignore[type-var]


def _given(model: object) -> tuple[str, ...]:
    """Fields that a dataclass takes; nothing for any other value."""
    if not is_dataclass(model) or isinstance(model, type):
        return ()
    return tuple(field.name for field in fields(model) if field.init)
