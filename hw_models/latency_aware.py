"""EdgeBERT's latency-aware inference on its accelerator: sentence-level DVFS over all exit layers.

For every exit layer l of the network, with the first p layers at the nominal supply V0:

    T(l) = T_input(V0) + p T_layer(V0) + t_switch + (l - p) T_layer(V)      V: lowest row, T(l) <= D
    E    = sum over l of share(l) [E_input(V0) + p E_layer(V0) + (l - p) E_layer(V)]

Exact for the accelerator's whole model, stalls on memory included, because every row of the voltage
table is tried. The predictor is taken as right; a wrong one costs accuracy or time, not modelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hw_models.accelerator import Accelerator, Stages, total
from hw_models.columns import Columns, FloatArray, in_chunks, pick, require_range
from hw_models.supply import Supply
from hw_models.table import Label, label, weakest

CHUNK = 640
"""Rows evaluated at a time [1]; each needs every row of the voltage table, all in one call."""

_DESIGN = ("pruning_ratio", "weight_bits", "envm_cell")


def share_column(layer: int) -> str:
    """Name of the column that holds the share of sentences that exit after this layer."""
    return f"exit_share_{layer}"


@dataclass(frozen=True, slots=True, eq=False)
class Exits:
    """What a sentence costs by exit layer; each array of shape (layers, n).

    Attributes:
        vdd: Supply after the early layers [V].
        energy: [J].
        latency: [s].
        feasible: Whether the deadline is met.
    """

    vdd: FloatArray
    energy: FloatArray
    latency: FloatArray
    feasible: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LatencyAware:
    """Evaluator: compression, memory, exit histogram and deadline to energy, latency and lateness.

    Attributes:
        accelerator: The machine.
        early_layers: Layers at nominal before the depth is known [1], 1 to the network's depth.
        supply: Regulator whose settling time is waited for.
    """

    accelerator: Accelerator
    early_layers: int = 1
    supply: Supply = field(default_factory=Supply)

    cost: ClassVar[Literal["closed form"]] = "closed form"
    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J",
        "latency_p95": "s",
        "late_share": "1",
        "area": "m^2",
    }

    def __post_init__(self) -> None:
        layers = self.accelerator.shape.layers
        if not 1 <= self.early_layers <= layers:
            raise ValueError(
                f"early_layers = {self.early_layers} is outside 1 to {layers}, the network's depth"
            )

    @property
    def inputs(self) -> Mapping[str, str]:
        """Design columns, the deadline, and one share per exit layer."""
        units = {name: self.accelerator.inputs[name] for name in _DESIGN}
        return units | {"deadline": "s"} | dict.fromkeys(self._shares, "1")

    @property
    def evidence(self) -> Mapping[str, Label]:
        """Output name -> its weakest link among the tables used."""
        machine = self.accelerator.evidence
        # What is late and on which voltage it runs hangs on the machine's times and the switching.
        timing = weakest(machine["latency_p95"], label(self.supply.table))
        return {
            "energy": weakest(machine["energy"], timing),
            "latency_p95": timing,
            "late_share": timing,
            "area": machine["area"],
        }

    @property
    def _shares(self) -> tuple[str, ...]:
        return tuple(share_column(i + 1) for i in range(self.accelerator.shape.layers))

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy [J], p95 latency [s], share of late sentences [1], area [m^2]; shape (n,).

        Args:
            columns: pruning_ratio [1], weight_bits [bit], envm_cell as for the accelerator;
                deadline [s], above 0; exit_share_1.. [1], at least 0, summing to 1.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        return in_chunks(self._means, columns, tuple(self.inputs), CHUNK)

    def _means(self, columns: Columns) -> dict[str, FloatArray]:
        exits, share = self.exits(columns), self._histogram(columns)
        nominal = np.full(share.shape[1], self.accelerator.points.nominal_vdd)
        depth = np.ones_like(nominal)
        machine = {"vdd": nominal, "mean_exit_layer": depth, "p95_exit_layer": depth}
        area = self.accelerator.parts({name: columns[name] for name in _DESIGN} | machine)["area"]
        return {
            "energy": _weighted(share, exits.energy),
            "latency_p95": weighted_quantile(share, exits.latency, 0.95),
            "late_share": _weighted(share, (~exits.feasible).astype(np.float64)),
            "area": total(area),
        }

    def exits(self, columns: Columns) -> Exits:
        """Voltage, energy, latency and feasibility for every exit layer of every design.

        Args:
            columns: As for the call; the shares are not read.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        (*_, deadline) = pick(columns, (*_DESIGN, "deadline"))
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("deadline", deadline, limits, "s", "time that a sentence can take")
        start, rows = self._prices(columns, deadline.shape)
        layers, early = self.accelerator.shape.layers, self.early_layers
        cells = [self._exit(start, rows, deadline, layer, early) for layer in range(1, layers + 1)]
        vdd, energy, latency = (np.stack(part) for part in zip(*cells, strict=True))
        return Exits(vdd, energy, latency, np.asarray(latency <= deadline, dtype=np.bool_))

    def _prices(self, columns: Columns, shape: tuple[int, ...]) -> tuple["_Price", "_Price"]:
        """Input and layer at nominal; and one layer on every row of the voltage table, (k, n)."""
        points = self.accelerator.points
        design = {name: columns[name] for name in _DESIGN}
        nominal = _price(
            self.accelerator.stages(design | {"vdd": np.full(shape, points.nominal_vdd)}),
            np.full(1, points.nominal_vdd),
            np.zeros(1),
        )
        vdd = points.table.columns["vdd"]
        settling = self.supply.switching_time(np.full_like(vdd, points.nominal_vdd), vdd)
        k, n = len(vdd), shape[0]
        every = {name: np.tile(column, k) for name, column in design.items()}
        each = self.accelerator.stages(every | {"vdd": np.repeat(vdd, n)})
        energy = total(each.energy_layer).reshape(k, n)
        time = total(each.time_layer).reshape(k, n)
        return nominal, replace(
            nominal, energy_layer=energy, time_layer=time, vdd=vdd, settling=settling
        )

    def _exit(
        self, start: "_Price", rows: "_Price", deadline: FloatArray, layer: int, early: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Voltage, energy and latency of one exit layer, shape (n,) each."""
        first, late = min(layer, early), max(layer - early, 0)
        energy = start.energy_input + first * start.energy_layer
        latency = start.time_input + first * start.time_layer
        if late == 0:
            return np.full_like(latency, float(start.vdd[0])), energy, latency
        candidates = latency + (rows.settling[:, np.newaxis] + late * rows.time_layer)
        fits = candidates <= deadline
        # The first row that fits; where none does, the last, which is the fastest.
        row = np.where(fits.any(axis=0), fits.argmax(axis=0), len(rows.vdd) - 1)
        columns = np.arange(len(row))
        return (
            rows.vdd[row],
            energy + late * rows.energy_layer[row, columns],
            candidates[row, columns],
        )

    def _histogram(self, columns: Columns) -> FloatArray:
        shares = pick(columns, self._shares)
        for name, share in zip(self._shares, shares, strict=True):
            require_range(name, share, (0.0, 1.0), "1", "a share of sentences")
        table = np.stack([np.asarray(share, dtype=np.float64) for share in shares])
        sums = _weighted(table, np.ones_like(table))
        if (np.abs(sums - 1.0) > 1e-9).any():
            bad = float(sums[np.abs(sums - 1.0) > 1e-9][0])
            raise ValueError(f"the exit shares of a design sum to {bad!r}, not to 1 within 1e-9")
        return table


@dataclass(frozen=True, slots=True, eq=False)
class _Price:
    """Totals of the stages: (n,) at nominal, (k, n) on the rows of the voltage table."""

    energy_input: FloatArray
    energy_layer: FloatArray
    time_input: FloatArray
    time_layer: FloatArray
    vdd: FloatArray
    settling: FloatArray


def _price(stages: Stages, vdd: FloatArray, settling: FloatArray) -> _Price:
    return _Price(
        total(stages.energy_input),
        total(stages.energy_layer),
        total(stages.time_input),
        total(stages.time_layer),
        vdd,
        settling,
    )


def _weighted(share: FloatArray, values: FloatArray) -> FloatArray:
    """Sum over layers [unit of values], shape (n,); layer by layer, so a batch equals its rows."""
    return total({str(i): s * v for i, (s, v) in enumerate(zip(share, values, strict=True))})


def weighted_quantile(share: FloatArray, values: FloatArray, level: float) -> FloatArray:
    """Smallest value that a share of at least `level` does not exceed.

    Args:
        share: Of the cases, each column summing to 1, shape (k, n).
        values: Of the cases, shape (k, n).
        level: 0 to 1.

    Returns:
        Shape (n,).
    """
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(np.take_along_axis(share, order, axis=0), axis=0) >= level - 1e-9
    first = reached.argmax(axis=0)[np.newaxis]
    ranked = np.take_along_axis(values, order, axis=0)
    return np.asarray(np.take_along_axis(ranked, first, axis=0)[0], dtype=np.float64)
