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
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Signature
from hw_models.accelerator import Accelerator
from hw_models.breakdown import Breakdown, executed_shares
from hw_models.columns import Columns, FloatArray, in_chunks, pick, require_range
from hw_models.flow import Design
from hw_models.stages import Stages, total
from hw_models.supply import Supply
from hw_models.table import label, weakest

CHUNK = 4_096
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
    def signature(self) -> Signature:
        """Reads design columns, the deadline, and one share per exit layer."""
        reads = {name: self.accelerator.inputs[name] for name in _DESIGN}
        reads |= {"deadline": "s", **dict.fromkeys(self._shares, "1")}
        machine = self.accelerator.signature.evidence
        # What is late and on which voltage it runs hangs on the machine's times and the switching.
        timing = weakest(machine["latency_p95"], label(self.supply.table))
        evidence = {
            "energy": weakest(machine["energy"], timing),
            "latency_p95": timing,
            "late_share": timing,
            "area": machine["area"],
        }
        return Signature(reads, self.outputs, evidence)

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
        return in_chunks(self._means, columns, tuple(self.signature.inputs), CHUNK)

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

    def _layers(self, exits: Exits, start: Stages, design: Design, share: FloatArray) -> Breakdown:
        early, late = self.early_layers, self.accelerator.stages_of(design)
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

    def _run(self, columns: Columns) -> tuple[Exits, Stages, Design]:
        """The exits; stages at nominal; the designs at the supplies of late exits, (layers, n)."""
        *_, deadline = pick(columns, (*_DESIGN, "deadline"))
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("deadline", deadline, limits, "s", "time that a sentence can take")
        machine, early = self.accelerator, self.early_layers
        design = machine.at_nominal({name: columns[name] for name in _DESIGN})
        start = machine.stages_of(design)
        depth = np.arange(1.0, machine.shape.layers + 1)[:, np.newaxis]
        first = np.minimum(depth, early)
        energy = total(start.energy_input) + first * total(start.energy_layer)
        latency = total(start.time_input) + first * start.duration
        vdd = np.full(latency.shape, machine.points.nominal_vdd)
        supplies = machine.on(design, machine.points.table.columns["vdd"][:, np.newaxis])
        rows, latency[early:] = self._slowest(supplies, deadline, latency[early:])
        late = supplies.on(rows)
        vdd[early:] = late.vdd
        energy[early:] += (depth - early)[early:] * total(machine.layer_energy(late))
        return Exits(vdd, energy, latency, latency <= deadline), start, late

    def _slowest(
        self, supplies: Design, deadline: FloatArray, early: FloatArray
    ) -> tuple[NDArray[np.intp], FloatArray]:
        """First row of the voltage table in time, else the last, and the latency [s] there.

        Args:
            supplies: The designs on every row.
            deadline: [s], shape (n,).
            early: Time of the early layers, for exits after 1, 2 and more late ones [s], (k, n).
        """
        nominal = np.full_like(supplies.vdd, self.accelerator.points.nominal_vdd)
        settling = self.supply.switching_time(nominal, supplies.vdd)
        layer = self.accelerator.layer_duration(supplies)  # (rows, n), as all that follows
        chosen, rows = np.empty_like(early), np.empty(early.shape, dtype=np.intp)
        columns = np.arange(len(deadline))
        for late, begun in enumerate(early):
            latency = (late + 1.0) * layer
            latency += settling
            latency += begun
            fits = latency <= deadline
            fits[-1] = True
            rows[late] = fits.argmax(axis=0)
            chosen[late] = latency[rows[late], columns]
        return rows, chosen

    def _histogram(self, columns: Columns) -> FloatArray:
        shares = pick(columns, self._shares)
        for name, share in zip(self._shares, shares, strict=True):
            require_range(name, share, (0.0, 1.0), "1", "a share of sentences")
        table = np.stack([np.asarray(share, dtype=np.float64) for share in shares])
        sums = total(dict(zip(self._shares, table, strict=True)))
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
    columns = np.arange(values.shape[1])
    ranked = np.argsort(values, axis=0, kind="stable") * len(columns) + columns
    reached = share.take(ranked)
    for below, here in pairwise(reached):
        here += below
    first = (reached >= level - 1e-9).argmax(axis=0)
    return np.asarray(values.take(ranked[first, columns]), dtype=np.float64)
