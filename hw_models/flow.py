"""What a batch of designs moves and keeps, and how long its stages take.

    T_read  = bits of a sentence's embeddings x time of a bit in their macros
    T_stage = cycles / f + stall        stall = max(T_weights - cycles / f, 0), or T_weights

T_weights: of the weights that a stage streams, at one bit of their store after the other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.memory import Held, Macros
from hw_models.plan import Plan
from hw_models.sram import Sram
from hw_models.storage import Storage

_NONE = np.array(0.0)


class Design(NamedTuple):
    """A batch, checked and looked up; every array of shape (n,)."""

    bits: FloatArray
    pruning: FloatArray
    stored: FloatArray
    embeddings: Held  # bits of all
    read: Held  # bits of one sentence's
    mixed_mac: FloatArray
    dense_vector: FloatArray
    macros: Macros
    vdd: FloatArray
    period: FloatArray
    energy_scale: FloatArray
    leakage_scale: FloatArray
    mean_layer: FloatArray
    p95_layer: FloatArray

    def on(self, rows: NDArray[np.intp]) -> "Design":
        """Of supplies in rows, shape (m, 1), each design on some, shape (k, n)."""
        return self._replace(
            vdd=self.vdd.take(rows),
            period=self.period.take(rows),
            energy_scale=self.energy_scale.take(rows),
            leakage_scale=self.leakage_scale.take(rows),
        )


class Stream(NamedTuple):
    """The weights that one stage brings to the datapath.

    Arrays have shape (n,), or (m, n) where every design is looked at on m supplies.
    """

    bits: FloatArray
    held: Held  # bits by kind of macro, if they lie in macros
    time: Held
    stall: FloatArray  # time that the datapath waits for them


class Flow(NamedTuple):
    """What a batch moves, keeps, and how long it takes; shapes as of `Stream`."""

    embedding_time: Held
    input_time: FloatArray
    layer_time: FloatArray
    projection: Stream | None
    layer: Stream
    macros: Held  # whole ones
    banks: FloatArray | None


def make_flow(plan: Plan, storage: Storage, sram: Sram, design: Design) -> Flow:
    """What the designs of one machine move and keep, and how long it takes.

    Args:
        plan: Of the machine.
        storage: Its stores.
        sram: Its banks.
        design: The designs.
    """
    macros, width = design.macros, design.bits
    macro_bit = macros.bit_time(design.period)
    reading, kept = design.read.times(macro_bit), design.embeddings
    stored = plan.prunable * design.stored + plan.dense * width
    bit_time: Held | FloatArray = macro_bit
    if storage.weights == "envm":
        kept = kept.plus(macros.held(stored, stored))
    else:
        bit_time = storage.bit_time(sram, design.period)
    busy, start = plan.layer.cycles * design.period, plan.input.cycles * design.period
    layer, projection = _layer(plan, storage, design, bit_time, busy), None
    if plan.projection is not None:
        projection = _stream(storage, macros, plan.projection * width, bit_time, start)
    return Flow(
        reading,
        of_sentence(start + reading.total, projection and projection.stall),
        busy + layer.stall,
        projection,
        layer,
        macros.count(kept),
        storage.banks(stored) if storage.weights == "sram" else None,
    )


def layer_time(plan: Plan, storage: Storage, sram: Sram, design: Design) -> FloatArray:
    """Time of one layer with its off-ramp [s], `Flow.layer_time`; arguments as `make_flow`."""
    in_macros = storage.weights == "envm"
    period, macros = design.period, design.macros
    bit_time = macros.bit_time(period) if in_macros else storage.bit_time(sram, period)
    busy = plan.layer.cycles * period
    return busy + _layer(plan, storage, design, bit_time, busy).stall


def _layer(
    plan: Plan, storage: Storage, design: Design, bit_time: Held | FloatArray, busy: FloatArray
) -> Stream:
    bits = plan.streamed * design.stored + plan.unpruned * design.bits
    return _stream(storage, design.macros, bits, bit_time, busy)


def _stream(
    storage: Storage,
    macros: Macros,
    bits: FloatArray,
    bit_time: Held | FloatArray,
    busy: FloatArray,
) -> Stream:
    """Streaming hides behind computing (the longer counts) or precedes it."""
    held = macros.held(bits, bits) if storage.weights == "envm" else Held(bits)
    time = held.times(bit_time)
    stall = np.maximum(time.total - busy, _NONE) if storage.overlap else time.total
    return Stream(bits, held, time, stall)


def of_sentence(layers: FloatArray, projection: FloatArray | None) -> FloatArray:
    """What all layers of a sentence take and, where there is one, the projection before them."""
    return layers if projection is None else layers + projection
