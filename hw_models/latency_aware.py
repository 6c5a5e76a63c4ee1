"""EdgeBERT's latency-aware inference on its accelerator: sentence-level DVFS over all exit layers.

For every exit layer l of the network, with the first p layers at the nominal supply V0:

    T(l) = T_input(V0) + p T_layer(V0) + t_switch + (l - p) T_layer(V)      V: lowest row, T(l) <= D
    E    = sum over l of share(l) [E_input(V0) + p E_layer(V0) + (l - p) E_layer(V)]

Exact for the accelerator's whole model, stalls on memory included, because every row of the voltage
table is tried: times on all rows, energies on the one that is taken. The predictor is taken as
right; a wrong one costs accuracy or time, not modelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hw_models.accelerator import Accelerator
from hw_models.breakdown import Breakdown, executed_shares
from hw_models.columns import Columns, FloatArray, in_chunks, pick, require_range
from hw_models.stages import Stages, total
from hw_models.supply import Supply
from hw_models.table import Label, label, weakest

CHUNK = 2_048
"""Rows evaluated at a time [1]; times are wanted for each row of the voltage table."""

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
        exits, start, _ = self._run(columns)
        share = self._histogram(columns)
        return {
            "energy": _weighted(share, exits.energy),
            "latency_p95": weighted_quantile(share, exits.latency, 0.95),
            "late_share": _weighted(share, (~exits.feasible).astype(np.float64)),
            "area": total(start.area),
        }

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Energy, latency and area by component; lateness is a share and has no parts.

        Args:
            columns: As for the call.

        Returns:
            energy [J] and area [m^2]: components of the accelerator; latency_p95 [s]: of the
            sentence that takes so long, with `settling` of the supply beside the accelerator's.
            Area sums to the output bit for bit, the others up to rounding (1e-12).

        Raises:
            ValueError: As the call.
        """
        exits, start, late = self._run(columns)
        share = self._histogram(columns)
        slow = weighted_quantile(share, exits.latency, 0.95)
        row = (exits.latency == slow).argmax(axis=0)
        whole = self._layers(exits, start, late, np.eye(len(share))[:, row])
        energy = self._layers(exits, start, late, share).energy
        return {
            "energy": {name: part.sum(axis=0) for name, part in energy.items()},
            "latency_p95": {name: part.sum(axis=0) for name, part in whole.latency.items()},
            "area": dict(start.area),
        }

    def break_down(self, columns: Columns, share: FloatArray | None = None) -> Breakdown:
        """Mean energy and latency of each design by layer and component.

        A layer after the early ones is charged at the voltage of each exit that runs it.

        Args:
            columns: As for the call; the shares are not read where `share` is given.
            share: Weight of every exit layer [1], shape (layers, n), in place of the shares; need
                not sum to 1.

        Returns:
            Parts that sum, over layers and components, to energy and mean latency, up to rounding;
            `settling` stands in the row of the first layer after the early ones.

        Raises:
            ValueError: As the call.
        """
        return self._layers(
            *self._run(columns), self._histogram(columns) if share is None else share
        )

    def _layers(self, exits: Exits, start: Stages, late: Stages, share: FloatArray) -> Breakdown:
        early = self.early_layers
        energy = _by_layer(start.energy_input, start.energy_layer, late.energy_layer, share, early)
        latency = _by_layer(start.time_input, start.time_layer, late.time_layer, share, early)
        settling = np.zeros_like(latency["stall"])
        if early < len(share):
            nominal = np.full_like(exits.vdd, self.accelerator.points.nominal_vdd)
            waited = self.supply.switching_time(nominal, exits.vdd)
            settling[early + 1] = (share * waited)[early:].sum(axis=0)
        return Breakdown(energy, {**latency, "settling": settling})

    def exits(self, columns: Columns) -> Exits:
        """Voltage, energy, latency and feasibility for every exit layer of every design.

        Args:
            columns: As for the call; the shares are not read.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        return self._run(columns)[0]

    def _run(self, columns: Columns) -> tuple[Exits, Stages, Stages]:
        """The exits; stages at nominal; stages of late exits at their supplies, (layers, n)."""
        *_, deadline = pick(columns, (*_DESIGN, "deadline"))
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("deadline", deadline, limits, "s", "time that a sentence can take")
        design = {name: columns[name] for name in _DESIGN}
        machine, early = self.accelerator, self.early_layers
        nominal = np.full(deadline.shape, machine.points.nominal_vdd)
        start = machine.stages(design | {"vdd": nominal})
        depth = np.arange(1.0, machine.shape.layers + 1)[:, np.newaxis]
        first = np.minimum(depth, early)
        energy = total(start.energy_input) + first * total(start.energy_layer)
        latency = total(start.time_input) + first * start.duration
        vdd = np.tile(nominal, (len(depth), 1))
        rows, latency[early:] = self._slowest(design, deadline, latency[early:])
        vdd[early:] = machine.points.table.columns["vdd"][rows]
        late = machine.stages(design, vdd[early:])
        energy[early:] += (depth - early)[early:] * total(late.energy_layer)
        return Exits(vdd, energy, latency, latency <= deadline), start, late

    def _slowest(
        self, design: Columns, deadline: FloatArray, early: FloatArray
    ) -> tuple[NDArray[np.intp], FloatArray]:
        """First row of the voltage table in time, else the last, and the latency [s] there.

        Args:
            design: Columns of the machine, but for its supply.
            deadline: [s], shape (n,).
            early: Time of the early layers, for exits after 1, 2 and more late ones [s], (k, n).
        """
        vdd = self.accelerator.points.table.columns["vdd"]
        nominal = np.full_like(vdd, self.accelerator.points.nominal_vdd)
        settling = self.supply.switching_time(nominal, vdd)
        layer = self.accelerator.layer_duration(design, vdd[:, np.newaxis])
        late = np.arange(1.0, len(early) + 1)[:, np.newaxis]
        chosen, rows = np.empty_like(early), np.empty(early.shape, dtype=np.intp)
        # From the fastest row down; a slower one takes the place of those before where it fits.
        for row in reversed(range(len(vdd))):
            latency = early + (settling[row] + late * layer[row])
            fits = latency <= deadline if row < len(vdd) - 1 else np.ones(early.shape, dtype=bool)
            np.copyto(chosen, latency, where=fits)
            np.copyto(rows, row, where=fits)
        return rows, chosen

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


def _by_layer(
    once: Mapping[str, FloatArray],
    nominal: Mapping[str, FloatArray],
    late: Mapping[str, FloatArray],
    share: FloatArray,
    early: int,
) -> dict[str, FloatArray]:
    """Input stage and layers by component, shape (layers + 1, n); late ones per exit, (k, n)."""
    executed = executed_shares(share)
    found = {}
    for name, start in once.items():
        # A component that no voltage touches has one row for all exits.
        each = np.broadcast_to(late[name], share[early:].shape) * share[early:]
        found[name] = np.vstack(
            [executed[:1] * start, executed[:early] * nominal[name], executed_shares(each)]
        )
    return found


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
