"""Sentence-level DVFS over all exit layers: EdgeBERT's latency-aware inference (arXiv 2011.14203).

For a sentence that leaves after layer l, with the first p layers at the nominal supply V0:

    T(l) = T_0(V0) + sum of T_j(V0), j <= p + t_switch + sum of T_j(V), p < j <= l
    V    = lowest row of the voltage table with T(l) <= deadline, else the highest
    E(l) = E_0(V0) + sum of E_j(V0), j <= p + sum of E_j(V), p < j <= l

Exact for the whole model of the machine, stalls on memory included, because every row of the
voltage table is tried. The predictor of the exit is taken as right; a wrong one costs accuracy or
time, which is not modelled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.cost.kernel import Demand, Operation, durations, operate, rail
from hw_models.cost.technology import Technology
from hw_models.supply import Supply


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


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Designs whose late layers run as slowly as a deadline allows.

    Attributes:
        asked: What the designs ask for.
        machine: The machine.
        early: Layers at the nominal supply [layer], 1 to L, shape (n,).
        nominal: Their stages on the nominal supply.
        settling: Wait for each row of the voltage table, shape (k, 1) [s].
        layers: Time of each row of layers on each supply [s], one array (k, n) for each.
    """

    asked: Demand
    machine: Technology
    early: FloatArray
    nominal: Operation
    settling: FloatArray
    layers: tuple[FloatArray, ...]

    @classmethod
    def of(
        cls, asked: Demand, machine: Technology, early: FloatArray, supply: Supply
    ) -> "Sentences":
        """Designs, with all times on all supplies worked out.

        Args:
            asked: What the designs ask for.
            machine: The machine.
            early: Layers at the nominal supply [layer], 1 to L, shape (n,).
            supply: Regulator whose settling is waited for.
        """
        points = machine.points
        start = np.asarray(points.nominal_vdd)  # one supply for all
        rows = np.asarray(points.table.columns["vdd"])[:, np.newaxis]
        on, stages = rail(machine, rows), len(asked.matmul)
        return cls(
            asked,
            machine,
            early,
            operate(asked, machine, rail(machine, start)),
            supply.switching_time(np.full(rows.shape, points.nominal_vdd), rows),
            tuple(
                np.broadcast_to(durations(asked, machine, on, stage), (len(rows), len(early)))
                for stage in range(1, stages)
            ),
        )

    def counts(self, depth: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        """How often each row of layers runs early and late until a depth [1], shape (n,) each."""
        if self.asked.repeated:
            first = np.minimum(depth, self.early)
            return [(first, depth - first)]
        found = []
        for layer in range(1, self.asked.layers + 1):
            run = np.asarray(depth >= layer, dtype=np.float64)
            early = run * (self.early >= layer)
            found.append((early, run - early))
        return found

    def leaving(
        self, depth: FloatArray, deadline: FloatArray
    ) -> tuple[NDArray[np.intp], FloatArray]:
        """Row of the voltage table and latency [s] of sentences that leave after a depth.

        A sentence without a late layer stays on the nominal supply; its row has no meaning.

        Args:
            depth: [layer], 1 to L, shape (n,).
            deadline: [s], shape (n,).
        """
        begun = np.zeros(depth.shape) + self.nominal.time[0]
        waited = None
        for row, (early, late) in enumerate(self.counts(depth)):
            begun += early * self.nominal.time[row + 1]
            if late.any():
                spent = late * self.layers[row]
                waited = spent if waited is None else np.add(waited, spent, out=waited)
        if waited is None:
            return np.zeros(depth.shape, dtype=np.intp), begun
        waited += self.settling
        waited += begun
        fits = waited <= deadline
        fits[-1] = True
        rows = fits.argmax(axis=0)
        late_ones = waited[rows, np.arange(len(depth))]
        return rows, np.where(depth > self.early, late_ones, begun)

    def supplies(self, rows: NDArray[np.intp], depth: FloatArray) -> FloatArray:
        """Supply after the early layers [V], shape (n,), for rows of `leaving`."""
        vdd: FloatArray = self.machine.points.table.columns["vdd"].take(rows)
        return np.where(depth > self.early, vdd, self.machine.points.nominal_vdd)

    def energy(self, depth: FloatArray, vdd: FloatArray) -> FloatArray:
        """Energy of sentences that leave after a depth [J], of the shape of `depth`.

        Args:
            depth: [layer], 1 to L, shape (n,) or (k, n).
            vdd: Supply of the late layers [V], likewise.
        """
        energy: FloatArray = np.zeros(depth.shape) + self.nominal.energy[0]
        on = None
        for row, (early, late) in enumerate(self.counts(depth), start=1):
            energy += early * self.nominal.energy[row]
            if late.any():
                on = on or rail(self.machine, vdd)
                energy += late * operate(self.asked, self.machine, on, row).energy
        return energy

    def exits(self, deadline: FloatArray) -> Exits:
        """Voltage, energy, latency and feasibility after every layer.

        Args:
            deadline: [s], shape (n,).
        """
        n, layers = len(deadline), self.asked.layers
        depth = np.repeat(np.arange(1.0, layers + 1)[:, np.newaxis], n, axis=1)
        vdd, latency = np.empty((2, layers, n))
        for row, one in enumerate(depth):
            rows, latency[row] = self.leaving(one, deadline)
            vdd[row] = self.supplies(rows, one)
        begin = int(self.early.min(initial=layers))  # no design has a late layer before
        energy = np.vstack([self.energy(d, v) for d, v in (
            (depth[:begin], vdd[:begin]), (depth[begin:], vdd[begin:])
        )])  # fmt: skip
        return Exits(vdd, energy, latency, latency <= deadline)

    def by_layer(
        self, deadline: FloatArray, share: FloatArray
    ) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Mean energy [J] and latency [s] by layer and component, shape (L + 1, n).

        A layer after the early ones is charged at the voltage of each exit that runs it; `settling`
        stands in the row of the first layer after the early ones.

        Args:
            deadline: [s], shape (n,).
            share: Weight of every exit layer [1], shape (L, n); need not sum to 1.
        """
        layers, n = share.shape
        start = rail(self.machine, np.full(n, self.machine.points.nominal_vdd))
        nominal = operate(self.asked, self.machine, start, parts=True)
        energy = {name: np.zeros((layers + 1, n)) for name in nominal.parts}
        time = {name: np.zeros((layers + 1, n)) for name in (*nominal.times, "settling")}
        for exit_layer in range(1, layers + 1):
            weight, depth = share[exit_layer - 1], np.full(n, float(exit_layer))
            rows, _ = self.leaving(depth, deadline)
            on = rail(self.machine, self.supplies(rows, depth))
            late = operate(self.asked, self.machine, on, slice(1, None), parts=True)
            slowed = np.where(depth > self.early, weight, 0.0)
            first = self.early.astype(np.intp) + (depth > self.early)
            time["settling"][first, np.arange(n)] += slowed * self.settling[rows, 0]
            for found, before, after in (
                (energy, nominal.parts, late.parts),
                (time, nominal.times, late.times),
            ):
                for name, stages in before.items():
                    found[name][0] += weight * stages[0]
                    for layer in range(1, exit_layer + 1):
                        row = 1 if self.asked.repeated else layer
                        cost = np.where(self.early >= layer, stages[row], after[name][row - 1])
                        found[name][layer] += weight * cost
        return energy, time
