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
from hw_models.cost.array import KINDS, Work
from hw_models.cost.coding import mask_bits, stored_bits
from hw_models.cost.multiply import active
from hw_models.cost.technology import Technology
from hw_models.cost.templates import Template, Templates, Where
from hw_models.supply import Supply
from hw_models.workload.table import Size

PARTS = (
    "mac", "buffer", "sfu", "embedding_read", "weight_read", "logic_leakage", "envm_leakage",
    "bank_leakage",
)  # fmt: skip
"""Components of the energy; with a supply, regulator and clock_generator follow."""

SUPPLIED = ("mac", "buffer", "sfu", "logic_leakage", "bank_leakage")
"""Components that a regulator feeds; banks add `weight_read`, see `operate`."""

_NONE: FloatArray = np.zeros(())


class Knobs(NamedTuple):
    """What a design decides: () for a constant, (n,) by design; some also by group or by stage.

    Attributes:
        side: n of an n x n array [1].
        exponent_bits: Of every number [bit].
        activation_bits: Width of an activation [bit]; also (L + 1, n) by stage.
        weight_bits: Width of a parameter [bit]; also (groups, n).
        pruning: Zeros among prunable weights [1]; also (groups, n).
        embedding_sparsity: Zeros of the embeddings [1].
        tokens: Of an input [token]; also (L + 1, n), as `keys` and `heads`.
        keys: Keys that a query sees [token].
        heads: Heads that are on [1].
        held: Layers that the device holds [layer], whole, 0 to L.
        cell: Row of the memory table in which the embeddings lie.
        store: Where the parameters lie: 0 with the embeddings, 1 banks, 2 off the chip.
    """

    side: FloatArray
    exponent_bits: FloatArray
    activation_bits: FloatArray
    weight_bits: FloatArray
    pruning: FloatArray
    embedding_sparsity: FloatArray
    tokens: FloatArray
    keys: FloatArray
    heads: FloatArray
    held: NDArray[np.intp]
    cell: NDArray[np.intp]
    store: NDArray[np.intp]

    @property
    def apart(self) -> bool:
        """Whether a knob differs between layers or groups."""
        return any(np.ndim(column) > 1 for column in self)


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


def demand(plan: Templates, machine: Technology, knobs: Knobs) -> Demand:
    """What designs of one network ask of a machine; nothing is checked here.

    Args:
        plan: The network; with `apart` where a knob is by group or by stage.
        machine: The machine.
        knobs: The designs.
    """
    ops = Operations(plan, machine, knobs)
    streamed, energy = ops.energies()
    embeddings, mask, parameters = _image(plan, knobs)
    memory = machine.memory
    data, single = knobs.cell, memory.single.take(knobs.cell)
    split = np.asarray(single != data)
    place = np.where(knobs.store > 0, machine.stores.take(knobs.store), single).astype(np.intp)
    apart = mask * split
    reads = _looked_up(plan, knobs)
    own = reads[1] * split
    # The data's macros, the single-level ones beside them, and banks or DRAM.
    beside = np.where((knobs.store == 0) & split, parameters, 0.0)
    within = np.where((knobs.store == 0) & ~split, parameters, 0.0)
    kept = [(data, (embeddings - apart) + within)]
    if split.any():
        kept.append((single, apart + beside))
    if (knobs.store > 0).any():
        kept.append((place, np.where(knobs.store > 0, parameters, 0.0)))
    area = machine.logic_area + machine.unit_area * (knobs.side * knobs.side)
    return Demand(
        repeated=plan.repeated,
        layers=plan.layers,
        matmul=ops.cycles,
        sfu=ops.sfu_cycles,
        energy=energy,
        streamed=streamed,
        weights=place,
        reads=((data, reads[0] - own), (single, own)) if split.any() else ((data, reads[0]),),
        places=tuple(Place(row, bits, memory.macros(row, bits)) for row, bits in kept),
        image=(embeddings, parameters),
        logic_area=np.asarray(area),
        logic_leakage=np.asarray(machine.leakage_density * area),
    )


class Operations:
    """Sums over the products and vectors of every stage; a constant stays one column.

    Attributes:
        cycles: Of the array, by stage [cycle].
        sfu_cycles: Of the special-function units, by stage [cycle].
        states: Of these units, by stage [1].
        weight_macs: Multiply-accumulates with prunable weights, by slot [1].
        dense_macs: With weights that are never pruned, by slot [1].
        activation_macs: Between activations, by stage [1].
        streams: Prunable elements streamed, one pass per buffer-full of rows, by slot [1].
    """

    def __init__(self, plan: Templates, machine: Technology, knobs: Knobs) -> None:
        self.plan, self.machine, self.knobs = plan, machine, knobs
        slots = len(plan.slot_stage)
        self.cycles, self.sfu_cycles, self.states = np.zeros((3, plan.depth, 1))
        self.activation_macs, self.activation_words = np.zeros((2, plan.depth, 1))
        self.weight_macs, self.dense_macs, self.streams = np.zeros((3, slots, 1))
        self.weight_words, self.dense_words, self.input_words = np.zeros((3, slots, 1))
        self.result_words = np.zeros((slots, 1))
        for template in plan.products:
            self._product(template)
        self._vectors()

    def size(self, size: Size, stages: NDArray[np.intp]) -> FloatArray:
        """A size of some stages: () or (n,), or (stages, n) where it differs between them."""
        if size.symbol == "1":
            return np.asarray(size.base)
        column: FloatArray = getattr(self.knobs, size.symbol)
        return np.asarray(size.base * _at(column, stages))

    def _product(self, template: Template) -> None:
        """Add the products of one form."""
        knobs, machine, stages = self.knobs, self.machine, template.stages
        m, k, n, copies = (self.size(size, stages) for size in template.shape)
        inputs = _at(knobs.activation_bits, stages)
        weights = inputs if template.kind == "activation" else self.stored(template.groups)
        side = knobs.side
        work = Work(m, k, n, side, side, weights, inputs, np.asarray(machine.port))
        each = KINDS[machine.array].counts(work)
        cycles = copies * each.cycles
        macs = cycles * (side * side) if machine.gating == "none" else copies * (m * k * n)
        self.cycles = _added(self.cycles, template.rows, cycles)
        slots = template.slots
        if template.kind == "activation":
            self.activation_macs = _added(self.activation_macs, slots, macs)
            words = copies * (each.weights + each.inputs)
            self.activation_words = _added(self.activation_words, slots, words)
            return
        self.input_words = _added(self.input_words, slots, copies * each.inputs)
        if each.results is not None:
            self.result_words = _added(self.result_words, slots, copies * each.results)
        if template.kind == "dense":
            self.dense_macs = _added(self.dense_macs, slots, macs)
            self.dense_words = _added(self.dense_words, slots, copies * each.weights)
            return
        self.weight_macs = _added(self.weight_macs, slots, macs)
        self.weight_words = _added(self.weight_words, slots, copies * each.weights)
        passes = np.ceil(m * k * inputs / (8.0 * machine.buffer_bytes))
        self.streams = _added(self.streams, slots, copies * (k * n) * passes)

    def _vectors(self) -> None:
        """Add the states of the special-function units."""
        for template in self.plan.vectors:
            unit = self.machine.units.get(template.kind)
            if unit is None:
                if template.kind.startswith("activation:"):
                    continue
                raise ValueError(
                    f"vector work {template.kind!r} has no unit on this machine; it has "
                    f"{sorted(self.machine.units)}"
                )
            rows, length, copies = (self.size(size, template.stages) for size in template.shape)
            states = copies * unit.states(rows, length, self.knobs.side)
            self.states = _added(self.states, template.rows, states)
            self.sfu_cycles = _added(self.sfu_cycles, template.rows, states * unit.interval)

    def stored(self, groups: NDArray[np.intp]) -> FloatArray:
        """Mean stored width of a prunable element of some groups [bit]."""
        knobs = self.knobs
        bits, zeros = _at(knobs.weight_bits, groups), _at(knobs.pruning, groups)
        return stored_bits(bits, zeros)

    def energies(self) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Streamed bits [bit], and switching energy by component [J], by stage."""
        plan, machine, knobs = self.plan, self.machine, self.knobs
        stages, groups, side = plan.slot_stage, plan.slot_group, knobs.side
        bits = _at(knobs.weight_bits, groups)
        stored = self.stored(groups)
        wide = _at(knobs.activation_bits, stages)
        spent = active(machine.gating, _at(knobs.pruning, groups), side)
        mixed = machine.multiply.energy(bits, wide, knobs.exponent_bits, side)
        vector = machine.read.at(np.asarray(side * wide))
        streamed = self.streams * stored + plan.loads * bits
        mac = self.weight_macs * (spent * mixed) + self.dense_macs * mixed
        buffer = (
            self.weight_words * machine.read.at(np.asarray(side * stored))
            + self.dense_words * machine.read.at(np.asarray(side * bits))
            + self.input_words * vector
            + streamed * machine.write_bit
        )
        if self.machine.array != "adder_tree":
            buffer = buffer + self.result_words * vector
        whole = knobs.activation_bits
        product = machine.multiply.energy(whole, whole, knobs.exponent_bits, side)
        read = machine.read.at(np.asarray(side * whole))
        state = side * machine.lane + machine.auxiliary.at(np.asarray(side * machine.lane_bits))
        return self.by_stage(streamed), {
            "mac": self.by_stage(mac) + self.activation_macs * product,
            "buffer": self.by_stage(buffer) + self.activation_words * read,
            "sfu": self.states * state,
        }

    def by_stage(self, slots: FloatArray) -> FloatArray:
        """Sums over the slots of each stage, shape (D, 1 or n)."""
        plan = self.plan
        if plan.one_slot_a_stage:
            return slots
        total = np.zeros((plan.depth, slots.shape[1]))
        for slot, stage in enumerate(plan.slot_stage.tolist()):
            total[stage] += slots[slot]
        return total


def _at(column: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
    """Rows of a column by group or stage; the column itself where it has no such rows."""
    return column if column.ndim < 2 else column[rows]


def _added(total: FloatArray, rows: Where, value: FloatArray) -> FloatArray:
    """The sums with a value added to some rows, in place; columns appear when a value has them."""
    n = value.shape[-1] if value.ndim else 1
    if n != 1 and total.shape[1] == 1:
        total = np.repeat(total, n, axis=1)
    total[rows] += value
    return total


def _image(plan: Templates, knobs: Knobs) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stored bits of all embeddings, of their mask, and of the parameters held [bit]."""
    sparsity, held = knobs.embedding_sparsity, knobs.held
    some = np.asarray(held > 0)
    embeddings: FloatArray = _NONE
    mask: FloatArray = _NONE
    parameters: FloatArray = _NONE
    apart = knobs.weight_bits.ndim > 1 or knobs.pruning.ndim > 1
    for group in range(plan.groups) if apart else (slice(None),):
        bits, zeros = (_group(c, group) for c in (knobs.weight_bits, knobs.pruning))
        elements = plan.embeddings[group].sum() * some
        embeddings = embeddings + elements * stored_bits(bits, sparsity)
        mask = mask + elements * mask_bits(bits, sparsity)
        weights, dense = (_summed(t, group).take(held) for t in (plan.weights, plan.dense))
        parameters = parameters + (weights * stored_bits(bits, zeros) + dense * bits)
    return np.asarray(embeddings), np.asarray(mask), np.asarray(parameters)


def _group(column: FloatArray, group: int | slice) -> FloatArray:
    return column if column.ndim < 2 or isinstance(group, slice) else column[group]


def _summed(table: FloatArray, group: int | slice) -> FloatArray:
    """Elements by layers held [1], shape (L + 1,)."""
    if not isinstance(group, slice):
        return table[:, group]
    return np.asarray(table.sum(axis=1), dtype=np.float64)


def _looked_up(plan: Templates, knobs: Knobs) -> tuple[FloatArray, FloatArray]:
    """Bits of the embeddings that one input reads, and mask bits among them [bit]."""
    whole: FloatArray = _NONE
    mask: FloatArray = _NONE
    for group, size in plan.reads:
        bits = _group(knobs.weight_bits, group)
        elements = np.asarray(size.base)
        if size.symbol != "1":
            elements = size.base * _group(getattr(knobs, size.symbol), 0)
        whole = whole + elements * stored_bits(bits, knobs.embedding_sparsity)
        mask = mask + elements * mask_bits(bits, knobs.embedding_sparsity)
    return np.asarray(whole), np.asarray(mask)


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
    if KINDS[machine.array].streams:
        return busy, np.zeros_like(stream)
    return busy, np.maximum(stream - busy, 0.0) if machine.overlap else stream


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
    memory, streamed = machine.memory, asked.streamed[stage]
    first = isinstance(stage, slice) and stage.start in (None, 0)
    energies = {name: energy[stage] for name, energy in asked.energy.items()}
    busy, stall = _spent(asked, machine, on, stage)
    time = busy + stall
    core = np.asarray(memory.core.take(asked.weights) > 0)
    per_bit = memory.read.take(asked.weights) * np.where(core, on.switching, 1.0)
    gated = memory.leakage - memory.standby
    bit_leak = memory.bit_time(asked.weights, on.period) * gated.take(asked.weights)
    reading, lookup, leaked = _embeddings(asked, machine, on, gated) if first else 3 * (_NONE,)
    if first:
        time = time + np.zeros_like(reading)
        time[0] += reading
    own, banks = standby(asked, machine)
    powered = (asked.logic_leakage + banks) * on.leakage + own
    switched = (energies["mac"] + energies["buffer"] + energies["sfu"]) * on.switching
    energy = switched + (streamed * (per_bit + bit_leak) + time * powered)
    if first:
        energy[0] += lookup + leaked
    if not parts and machine.supply is None:
        return Operation(time, energy, {}, {})
    none = np.zeros(np.broadcast_shapes(energy.shape, on.period.shape))
    begin = none.copy()
    begin[0] = 1.0
    split = {
        **{name: none + part * on.switching for name, part in energies.items()},
        "embedding_read": begin * lookup,
        "weight_read": none + streamed * per_bit,
        "logic_leakage": none + time * asked.logic_leakage * on.leakage,
        "envm_leakage": time * own + streamed * bit_leak + begin * leaked,
        "bank_leakage": none + time * banks * on.leakage,
    }
    if machine.supply is not None:
        split |= _supplied(machine.supply, on, split, core, time)
        energy = energy + (split["regulator"] + split["clock_generator"])
    matmul, sfu = (cycles[stage] * on.period for cycles in (asked.matmul, asked.sfu))
    times = {"matmul": none + matmul, "sfu": none + sfu, "stall": none + stall}
    return Operation(time, energy, split, {"embedding_read": begin * reading, **times})


def _supplied(
    supply: Supply,
    on: Rail,
    parts: Mapping[str, FloatArray],
    core: NDArray[np.bool_],
    time: FloatArray,
) -> dict[str, FloatArray]:
    """What regulator and clock generator draw beside the load of logic, buffers and banks [J]."""
    load = np.where(core, parts["weight_read"], 0.0)
    for name in SUPPLIED:
        load = load + parts[name]
    loss = 1.0 / supply.efficiency(on.vdd) - 1.0
    return {"regulator": load * loss, "clock_generator": supply.pll_power(1.0 / on.period) * time}


def _embeddings(
    asked: Demand, machine: Technology, on: Rail, gated: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Time [s] and energy [J] of looking embeddings up, and leakage of gated macros meanwhile."""
    memory = machine.memory
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
