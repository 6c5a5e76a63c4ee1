"""Constants drawn from the disagreement between their sources: which designs survive it?

Every constant of a table with low, nominal and high rows is drawn with its nominal as median,
log-uniform towards either end (linear where an end is zero). Constants are independent, but the
rows of a table over a numeric key (a voltage curve) move together, so that a curve stays monotone.
No source states a distribution: this one is ours, the widest that keeps the median.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray
from hw_models.table import Table, shipped, shipped_names


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


def sample_accelerators(
    accelerator: Accelerator, count: int, rng: np.random.Generator
) -> tuple[Accelerator, ...]:
    """The same machine with every shipped constant drawn from its interval, in one call.

    A table of the user's own has no interval and stays as it is. A draw that contradicts itself
    (buffers and leakage above the power of the whole) is refused by `Silicon` and drawn again, at
    most ten times over in all.

    Args:
        accelerator: The machine at its nominal constants.
        count: How many machines, at least 1.
        rng: Source of randomness.

    Raises:
        ValueError: If count is below 1, or nearly every draw contradicts itself.
    """
    machines: list[Accelerator] = []
    refused = ""
    for _ in range(10):
        anchors, srams, envms, points = (_draw(table, count, rng) for table in _tables(accelerator))
        for drawn in zip(anchors, srams, envms, points, strict=True):
            try:
                machines.append(_rebuilt(accelerator, *drawn))
            except ValueError as error:
                refused = str(error)
        if len(machines) >= count:
            return tuple(machines[:count])
    raise ValueError(f"of {10 * count} draws only {len(machines)} are consistent; last: {refused}")


def evaluate_each(accelerators: tuple[Accelerator, ...], columns: Columns) -> dict[str, FloatArray]:
    """Outputs of every machine for every design: name -> array, shape (machines, n).

    Args:
        accelerators: Machines, as from `sample_accelerators`.
        columns: Designs, shape (n,).

    Raises:
        ValueError: If a column is missing or out of range.
    """
    results = [machine(columns) for machine in accelerators]
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


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


def _tables(accelerator: Accelerator) -> tuple[Table, Table, Table, Table]:
    silicon = accelerator.datapath.silicon
    envm, points = accelerator.storage.envm.table, accelerator.points.table
    return silicon.anchor, silicon.sram.scaling, envm, points


def _draw(table: Table, count: int, rng: np.random.Generator) -> tuple[Table, ...]:
    if not _is_shipped(table):
        return (table,) * count
    return Interval.shipped(table.name).draw(count, rng)


def _is_shipped(table: Table) -> bool:
    """Whether name and numbers are ours: an edited copy must not be drawn from our interval."""
    if table.name not in shipped_names():
        return False
    ours = shipped(table.name, table.bound).columns
    return ours.keys() == table.columns.keys() and all(
        np.array_equal(ours[name], column) for name, column in table.columns.items()
    )


def _rebuilt(
    accelerator: Accelerator, anchor: Table, sram: Table, envm: Table, points: Table
) -> Accelerator:
    datapath, storage = accelerator.datapath, accelerator.storage
    buffers = replace(datapath.silicon.sram, scaling=sram)
    silicon = replace(datapath.silicon, anchor=anchor, sram=buffers)
    return replace(
        accelerator,
        datapath=replace(datapath, silicon=silicon),
        storage=replace(storage, envm=replace(storage.envm, table=envm)),
        points=replace(accelerator.points, table=points),
    )
