"""What the products and vectors of a network take on a machine, summed by layer.

macs     copies M K N, or all slots of the array where nothing is gated
words    accesses to the buffers, each to as many elements as one side of the array
streams  copies K N, once for each input-buffer-full of rows: ceil(M K a / 8 / buffer)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.cost.array import KINDS, Work
from hw_models.cost.coding import stored_bits
from hw_models.cost.multiply import active
from hw_models.cost.technology import Technology
from hw_models.cost.templates import Template, Templates, VectorTemplate, Where
from hw_models.workload.table import Size

_BY_SLOT = ("weight macs", "weight words", "dense macs", "dense words", "inputs", "streams")
_BY_STAGE = ("activation macs", "activation words", "cycles", "states", "sfu cycles")


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


class Operations:
    """Sums over the products and vectors of every stage; a constant stays one column.

    Attributes:
        sums: By slot for products with parameters, else by stage. Of each kind of product
            (`Product.kind`): macs [1], words read for the right operand [1]; words of inputs and
            partial sums [1]; `streams`, prunable elements streamed, one pass per buffer-full of
            rows [1]; cycles of the array [cycle]; states of the special-function units [1] and
            their cycles [cycle].
    """

    def __init__(
        self,
        plan: Templates,
        machine: Technology,
        knobs: Knobs,
        sums: dict[str, FloatArray] | None = None,
    ) -> None:
        """Sum the rows of a network, or take sums of the same array, formats and lengths."""
        self.plan, self.machine, self.knobs = plan, machine, knobs
        if sums is not None:
            self.sums = sums
            return
        slots, stages = len(plan.slot_stage), plan.depth
        self.sums = {name: np.zeros((slots, 1)) for name in _BY_SLOT}
        self.sums |= {name: np.zeros((stages, 1)) for name in _BY_STAGE}
        for template in plan.products:
            self._product(template)
        for vector in plan.vectors:
            self._vector(vector)

    def _add(self, name: str, rows: Where, value: FloatArray) -> None:
        """Add to some rows of a sum; columns appear when a value has them."""
        total = self.sums[name]
        n = value.shape[-1] if value.ndim else 1
        if n != 1 and total.shape[1] == 1:
            total = self.sums[name] = np.repeat(total, n, axis=1)
        total[rows] += value

    def _size(self, size: Size, stages: NDArray[np.intp]) -> FloatArray:
        """A size of some stages: () or (n,), or (stages, n) where it differs between them."""
        if size.symbol == "1":
            return np.asarray(size.base)
        return np.asarray(size.base * at_rows(getattr(self.knobs, size.symbol), stages))

    def _product(self, template: Template) -> None:
        knobs, machine, kind = self.knobs, self.machine, template.kind
        m, k, n, copies = (self._size(size, template.stages) for size in template.shape)
        some = np.asarray(m * k * n > 0)
        if not some.all():  # a product of heads that are off, or of no keys, takes nothing
            m, k, n = (np.where(some, size, 1.0) for size in (m, k, n))
            copies = copies * some
        inputs, side = at_rows(knobs.activation_bits, template.stages), knobs.side
        weights = inputs if kind == "activation" else self.stored(template.groups)
        work = Work(m, k, n, side, side, weights, inputs, np.asarray(machine.port))
        each = KINDS[machine.array].counts(work)
        cycles, slots = copies * each.cycles, template.slots
        macs = copies * (each.slots if machine.gating == "none" else m * k * n)
        self._add("cycles", template.rows, cycles)
        self._add(f"{kind} macs", slots, macs)
        if kind == "activation":
            self._add("activation words", slots, copies * (each.weights + each.inputs))
            return
        self._add(f"{kind} words", slots, copies * each.weights)
        self._add("inputs", slots, copies * each.inputs)
        if each.results is not None:
            self._add("inputs", slots, copies * each.results)
        if kind == "weight":
            passes = np.ceil(m * k * inputs / (8.0 * machine.buffer_bytes))
            self._add("streams", slots, copies * (k * n) * passes)

    def _vector(self, template: VectorTemplate) -> None:
        unit = self.machine.units.get(template.kind)
        if unit is None:
            if template.kind.startswith("activation:"):
                return
            raise ValueError(
                f"vector work {template.kind!r} has no unit on this machine; it has "
                f"{sorted(self.machine.units)}"
            )
        rows, length, copies = (self._size(size, template.stages) for size in template.shape)
        states = copies * unit.states(rows, length, self.knobs.side)
        self._add("states", template.rows, states)
        self._add("sfu cycles", template.rows, states * unit.interval)

    def stored(self, groups: NDArray[np.intp]) -> FloatArray:
        """Mean stored width of a prunable element of some groups [bit]."""
        return stored_bits(
            at_rows(self.knobs.weight_bits, groups), at_rows(self.knobs.pruning, groups)
        )

    def energies(self) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Streamed bits [bit], and switching energy by component [J], by stage."""
        plan, machine, knobs, sums = self.plan, self.machine, self.knobs, self.sums
        groups, side = plan.slot_group, knobs.side
        bits, stored = at_rows(knobs.weight_bits, groups), self.stored(groups)
        wide, whole = at_rows(knobs.activation_bits, plan.slot_stage), knobs.activation_bits
        spent = active(machine.gating, at_rows(knobs.pruning, groups), side)

        def word(width: FloatArray) -> FloatArray:
            return machine.read.at(np.asarray(side * width))

        def multiply(weight: FloatArray, activation: FloatArray) -> FloatArray:
            return machine.multiply.energy(weight, activation, knobs.exponent_bits, side)

        streamed = sums["streams"] * stored + plan.loads * bits
        mixed = multiply(bits, wide)
        mac = sums["weight macs"] * (spent * mixed) + sums["dense macs"] * mixed
        buffer = sums["weight words"] * word(stored) + sums["dense words"] * word(bits)
        buffer = buffer + sums["inputs"] * word(wide) + streamed * machine.write_bit
        state = side * machine.lane + machine.auxiliary.at(np.asarray(side * machine.lane_bits))
        between = sums["activation macs"] * multiply(whole, whole)
        return self._by_stage(streamed), {
            "mac": self._by_stage(mac) + between,
            "buffer": self._by_stage(buffer) + sums["activation words"] * word(whole),
            "sfu": sums["states"] * state,
        }

    def _by_stage(self, slots: FloatArray) -> FloatArray:
        """Sums over the slots of each stage, shape (D, 1 or n)."""
        plan = self.plan
        if np.array_equal(plan.slot_stage, np.arange(plan.depth)):
            return slots
        total = np.zeros((plan.depth, slots.shape[1]))
        for slot, stage in enumerate(plan.slot_stage.tolist()):
            total[stage] += slots[slot]
        return total


def at_rows(column: FloatArray, rows: NDArray[np.intp] | int) -> FloatArray:
    """Rows of a column by group or stage; the column itself where it has no such rows."""
    return column if column.ndim < 2 else column[rows]
