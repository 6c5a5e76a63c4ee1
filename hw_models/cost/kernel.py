"""What a network asks of a machine (`demand`), and what that costs on a supply (`operate`).

For each stage d (0: before the first layer; l: layer l with its exit), with cycles c, streamed
bits s, switching energy K at the nominal supply V0, period 1/f(V):

    T_d(V) = c_d / f(V) + stall_d           stall = max(s_d t_bit(V) - c_d / f(V), 0), or s_d t_bit
    E_d(V) = K_d (V/V0)^2 + E_memory + P_leak(V) T_d(V)
    K      = products + reading of buffers + special functions + writing of the weight buffer

Only `operate` knows a voltage, so sentence-level DVFS tries all of them on one demand. Whatever is
not searched is an array of no dimension, and NumPy computes what depends on it alone once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.cost.array import KINDS
from hw_models.cost.coding import mask_bits, stored_bits
from hw_models.cost.operations import Knobs, Operations, at_rows
from hw_models.cost.technology import Technology
from hw_models.cost.templates import Templates
from hw_models.supply import Supply

SUPPLIED = ("mac", "buffer", "sfu", "logic_leakage", "bank_leakage")
"""Components that a regulator feeds; banks add `weight_read`, see `operate`."""

_NONE: FloatArray = np.zeros(())


class Place(NamedTuple):
    """A memory that designs use.

    Attributes:
        row: Of the memory table.
        bits: Kept in it [bit].
        macros: That hold them [1].
    """

    row: NDArray[np.intp]
    bits: FloatArray
    macros: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What designs ask of a machine, whatever its supply; D rows of stages, or of 0 and 1.

    Attributes:
        repeated: Whether row 1 stands for every layer.
        layers: L of the network.
        matmul: Cycles of the array by stage [cycle], shape (D, 1 or n).
        sfu: Cycles of the special functions by stage [cycle], likewise.
        energy: Switching energy at the nominal supply by stage [J]: mac, buffer, sfu.
        streamed: Bits of parameters that a stage streams [bit], shape (D, 1 or n).
        weights: Row of the memory they come from.
        reads: Memory row and bits that one input looks up in the embeddings.
        places: Memories with what they hold.
        image: Stored bits of embeddings and of parameters [bit].
        logic_area: Area of the accelerator [m^2].
        logic_leakage: Its leakage at the nominal supply [W].
    """

    repeated: bool
    layers: int
    matmul: FloatArray
    sfu: FloatArray
    energy: Mapping[str, FloatArray]
    streamed: FloatArray
    weights: NDArray[np.intp]
    reads: tuple[tuple[NDArray[np.intp], FloatArray], ...]
    places: tuple[Place, ...]
    image: tuple[FloatArray, FloatArray]
    logic_area: FloatArray
    logic_leakage: FloatArray

    def take(self, rows: NDArray[np.intp]) -> "Demand":
        """What some of the designs ask."""

        def some(column: NDArray[Any]) -> NDArray[Any]:
            one = column.ndim == 0 or column.shape[-1] == 1
            return column if one else column.take(rows, axis=-1)

        return replace(
            self,
            matmul=some(self.matmul),
            sfu=some(self.sfu),
            energy={name: some(part) for name, part in self.energy.items()},
            streamed=some(self.streamed),
            weights=some(self.weights),
            reads=tuple((some(row), some(bits)) for row, bits in self.reads),
            places=tuple(Place(*map(some, place)) for place in self.places),
            image=(some(self.image[0]), some(self.image[1])),
            logic_area=some(self.logic_area),
            logic_leakage=some(self.logic_leakage),
        )


def demand(
    plan: Templates,
    machine: Technology,
    knobs: Knobs,
    sums: dict[str, FloatArray] | None = None,
) -> Demand:
    """What designs of one network ask of a machine; nothing is checked here.

    Args:
        plan: The network; with `apart` where a knob is by group or by stage.
        machine: The machine.
        knobs: The designs.
        sums: `Operations.sums` of designs with the same array, activations and lengths, so that
            they are not worked out again.
    """
    ops = Operations(plan, machine, knobs, sums)
    streamed, energy = ops.energies()
    embeddings, mask, parameters = _image(plan, knobs)
    read, read_mask = _looked_up(plan, knobs)
    memory, data, store = machine.memory, knobs.cell, knobs.store
    single = memory.single.take(data)
    split, inside = np.asarray(single != data), np.asarray(store == 0)
    place = np.where(inside, single, machine.stores.take(store)).astype(np.intp)
    # Values, with mask and parameters unless these lie in cells of their own beside them.
    kept = [(data, (embeddings - mask * split) + parameters * (inside & ~split))]
    reads = [(data, read - read_mask * split)]
    if split.any():
        kept.append((single, (mask + parameters * inside) * split))
        reads.append((single, read_mask * split))
    if not inside.all():
        kept.append((place, parameters * ~inside))
    area = machine.logic_area + machine.unit_area * (knobs.side * knobs.side)
    return Demand(
        repeated=plan.repeated,
        layers=plan.layers,
        matmul=ops.sums["cycles"],
        sfu=ops.sums["sfu cycles"],
        energy=energy,
        streamed=streamed,
        weights=place,
        reads=tuple(reads),
        places=tuple(Place(row, bits, memory.macros(row, bits)) for row, bits in kept),
        image=(embeddings, parameters),
        logic_area=np.asarray(area),
        logic_leakage=np.asarray(machine.leakage_density * area),
    )


def _image(plan: Templates, knobs: Knobs) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stored bits of all embeddings, of their mask, and of the parameters held [bit]."""
    held, sparsity = knobs.held, knobs.embedding_sparsity
    embeddings = mask = parameters = _NONE
    for group in range(plan.groups):
        bits, zeros = at_rows(knobs.weight_bits, group), at_rows(knobs.pruning, group)
        elements = plan.embeddings[group] * (held > 0)
        embeddings = embeddings + elements * stored_bits(bits, sparsity)
        mask = mask + elements * mask_bits(bits, sparsity)
        weights, dense = plan.weights[:, group].take(held), plan.dense[:, group].take(held)
        parameters = parameters + (weights * stored_bits(bits, zeros) + dense * bits)
    return embeddings, mask, parameters


def _looked_up(plan: Templates, knobs: Knobs) -> tuple[FloatArray, FloatArray]:
    """Bits of the embeddings that one input reads, and mask bits among them [bit]."""
    whole = mask = _NONE
    for group, (base, symbol) in plan.reads:
        bits = at_rows(knobs.weight_bits, group)
        elements = base if symbol == "1" else base * at_rows(getattr(knobs, symbol), 0)
        whole = whole + elements * stored_bits(bits, knobs.embedding_sparsity)
        mask = mask + elements * mask_bits(bits, knobs.embedding_sparsity)
    return whole, mask


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What stages cost on a supply; of the shape that stages and supplies have together.

    Attributes:
        time: Of a stage [s].
        energy: Of a stage [J].
        parts: The energy by component [J]; empty unless asked for.
        times: The time by component [s]: embedding_read, matmul, sfu, stall; likewise.
    """

    time: FloatArray
    energy: FloatArray
    parts: Mapping[str, FloatArray]
    times: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Rail:
    """A supply: what the clock, switching and leakage become on it.

    Attributes:
        period: Of the clock [s].
        switching: Energy over that at the nominal supply [1].
        leakage: Power over that at the nominal supply [1].
        vdd: [V].
    """

    period: FloatArray
    switching: FloatArray
    leakage: FloatArray
    vdd: FloatArray


def rail(machine: Technology, vdd: FloatArray) -> Rail:
    """The machine on some supplies.

    Args:
        machine: The machine.
        vdd: [V], any shape.

    Raises:
        ValueError: If a voltage is outside the machine's table.
    """
    f_max, switching, leakage = machine.points.at(vdd)
    return Rail(1.0 / f_max, switching, leakage, vdd)


def durations(asked: Demand, machine: Technology, on: Rail, stage: int | slice) -> FloatArray:
    """Time of stages [s], without looking embeddings up.

    Args:
        asked: Of the designs.
        machine: The machine.
        on: Supplies, shape (n,); of one stage also (k, 1) or (k, n).
        stage: Rows of the demand.
    """
    busy, stall = _spent(asked, machine, on, stage)
    return busy + stall


def _spent(
    asked: Demand, machine: Technology, on: Rail, stage: int | slice
) -> tuple[FloatArray, FloatArray]:
    """Time of computing, and of waiting for parameters beyond it [s]."""
    busy = np.asarray((asked.matmul[stage] + asked.sfu[stage]) * on.period)
    stream = asked.streamed[stage] * machine.memory.bit_time(asked.weights, on.period)
    hidden = machine.overlap or KINDS[machine.array].streams
    return busy, np.maximum(stream - busy, 0.0) if hidden else stream


def operate(
    asked: Demand,
    machine: Technology,
    on: Rail,
    stage: int | slice = slice(None),
    *,
    parts: bool = False,
) -> Operation:
    """Time and energy of stages on a supply; embeddings are looked up where stage 0 is among them.

    Args:
        asked: Of the designs.
        machine: The machine.
        on: Supplies, shape (n,); of one stage also (k, 1) or (k, n).
        stage: Rows of the demand.
        parts: Whether components are told apart.
    """
    streamed, first = asked.streamed[stage], isinstance(stage, slice) and stage.start in (None, 0)
    energies = {name: energy[stage] for name, energy in asked.energy.items()}
    busy, stall = _spent(asked, machine, on, stage)
    time = busy + stall
    bit_read, bit_leak = _streamed_bit(asked, machine, on)
    reading, lookup, leaked = _embeddings(asked, machine, on) if first else 3 * (_NONE,)
    if first:
        time = time + np.zeros_like(reading)
        time[0] += reading
    own, banks = standby(asked, machine)
    powered = (asked.logic_leakage + banks) * on.leakage + own
    switched = (energies["mac"] + energies["buffer"] + energies["sfu"]) * on.switching
    energy = switched + (streamed * (bit_read + bit_leak) + time * powered)
    if first:
        energy[0] += lookup + leaked
    if not parts and machine.supply is None:
        return Operation(time, energy, {}, {})
    begin = np.zeros(np.broadcast_shapes(energy.shape, on.period.shape))
    none = begin.copy()
    begin[0] = 1.0
    split = {
        **{name: none + part * on.switching for name, part in energies.items()},
        "embedding_read": begin * lookup,
        "weight_read": none + streamed * bit_read,
        "logic_leakage": none + time * asked.logic_leakage * on.leakage,
        "envm_leakage": time * own + streamed * bit_leak + begin * leaked,
        "bank_leakage": none + time * banks * on.leakage,
    }
    if machine.supply is not None:
        split |= _supplied(asked, machine, machine.supply, on, split, time)
        energy = energy + (split["regulator"] + split["clock_generator"])
    matmul, sfu = (cycles[stage] * on.period for cycles in (asked.matmul, asked.sfu))
    times = {"matmul": none + matmul, "sfu": none + sfu, "stall": none + stall}
    return Operation(time, energy, split, {"embedding_read": begin * reading, **times})


def _streamed_bit(asked: Demand, machine: Technology, on: Rail) -> tuple[FloatArray, FloatArray]:
    """Energy of reading a streamed bit, and of the gated macro that is powered meanwhile [J]."""
    memory, row = machine.memory, asked.weights
    scale = np.where(memory.core.take(row) > 0, on.switching, 1.0)
    gated = memory.leakage - memory.standby
    return memory.read.take(row) * scale, memory.bit_time(row, on.period) * gated.take(row)


def _supplied(
    asked: Demand,
    machine: Technology,
    supply: Supply,
    on: Rail,
    parts: Mapping[str, FloatArray],
    time: FloatArray,
) -> dict[str, FloatArray]:
    """What regulator and clock generator draw beside the load of logic, buffers and banks [J]."""
    load = np.where(machine.memory.core.take(asked.weights) > 0, parts["weight_read"], 0.0)
    for name in SUPPLIED:
        load = load + parts[name]
    loss = 1.0 / supply.efficiency(on.vdd) - 1.0
    return {"regulator": load * loss, "clock_generator": supply.pll_power(1.0 / on.period) * time}


def _embeddings(
    asked: Demand, machine: Technology, on: Rail
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Time [s] and energy [J] of looking embeddings up, and leakage of gated macros meanwhile."""
    memory = machine.memory
    gated = memory.leakage - memory.standby
    time: FloatArray = _NONE
    energy: FloatArray = _NONE
    leaked: FloatArray = _NONE
    for row, bits in asked.reads:
        taken = bits * memory.bit_time(row, on.period)
        time = time + taken
        energy = energy + bits * memory.read.take(row)
        leaked = leaked + taken * gated.take(row)
    return time, energy, leaked


def standby(asked: Demand, machine: Technology) -> tuple[FloatArray, FloatArray]:
    """Leakage of memories that nothing reads [W].

    Args:
        asked: Of the designs.
        machine: The machine.

    Returns:
        Of macros on a supply of their own; of banks, at the nominal supply of the logic.
    """
    return _by_rail(asked, machine, machine.memory.standby)


def retention(asked: Demand, machine: Technology, on: Rail) -> FloatArray:
    """Leakage of all memories that nothing reads, on a supply [W]."""
    own, banks = standby(asked, machine)
    return np.asarray(own + banks * on.leakage)


def _by_rail(
    asked: Demand, machine: Technology, per_macro: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sums over macros of a quantity by memory row, of those on their own supply and of banks."""
    own: FloatArray = _NONE
    banks: FloatArray = _NONE
    for place in asked.places:
        amount = place.macros * per_macro.take(place.row)
        core = machine.memory.core.take(place.row)
        if core.any():
            banks = banks + amount * core
            amount = amount * (1.0 - core)
        own = own + amount
    return own, banks


def areas(asked: Demand, machine: Technology) -> dict[str, FloatArray]:
    """Area of the accelerator, of macros on a supply of their own, and of banks [m^2]."""
    envm, banks = _by_rail(asked, machine, machine.memory.area)
    return {"accelerator": asked.logic_area, "envm": envm, "banks": banks}
