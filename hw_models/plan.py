"""What a machine works out once: everything that no design column but the number format changes.

A column of weight widths is whole numbers, so whatever depends on nothing else is a row of a small
table, looked up and not calculated. Constants are arrays of no dimension: on a thousand designs
NumPy takes as long over the type of a Python number as over the arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from hw_models.attention_span import AttentionSpan
from hw_models.columns import FloatArray
from hw_models.datapath import Datapath, Work
from hw_models.grid import Lines
from hw_models.silicon import LANE_BITS
from hw_models.sram import WordEnergy
from hw_models.storage import BANK_BYTES, PORT_BITS, Storage
from hw_models.workload import EncoderShape, mask_bits, stored_bits


@dataclass(frozen=True, slots=True, eq=False)
class StagePlan:
    """Constants of one stage, each of shape ().

    Attributes:
        matmul_cycles: Of all matrix products [cycle].
        sfu_cycles: Of the special functions [cycle].
        cycles: Of both, one after the other [cycle].
        sfu_energy: Of the special functions [J].
    """

    matmul_cycles: FloatArray
    sfu_cycles: FloatArray
    cycles: FloatArray
    sfu_energy: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Constants of one machine, of shape () unless stated; elements are parameters.

    Energies hold at the nominal supply.

    Attributes:
        input: The input stage.
        layer: One layer with its off-ramp.
        projection: Elements that the input stage streams, none of them prunable [1]; None, as the
            next two, if embedding and hidden layer are equally wide.
        projection_macs: Multiply-accumulates with them [1].
        projection_cycles: Cycles that read them [cycle].
        unpruned: Elements of a layer that are never pruned: biases, layer norms, off-ramp [1].
        unpruned_macs: Multiply-accumulates with them [1].
        unpruned_cycles: Cycles that read them [cycle].
        streamed: Prunable elements that one layer streams [1]: one pass per buffer-full of rows.
        prunable: All distinct prunable elements, as they are stored [1].
        dense: All distinct elements that are never pruned [1].
        weight_macs: Multiply-accumulates of a layer with prunable weights [1].
        weight_cycles: Cycles of a layer that read them [cycle].
        products: Energy of a layer's products of two activations [J].
        activation_reads: Energy of a layer's reading of activations [J].
        by_format: Shape (6, 17), column b for weights of b bit, NaN where that is no format:
            stored bits of all embeddings and of those one sentence reads [bit]; a
            multiply-accumulate of weight and activation [J]; reading a vector of unpruned weights
            and one of activations [J]; mask bits of all embeddings, and of those read [bit].
        weight_read: Reading a vector from the weight buffer [J] over the bits of one element, up
            to the widest format.
        buffered_bit: Writing one streamed bit into the weight buffer [J].
        weight_bit: Reading one bit from a bank or DRAM [J]; zero if weights lie in macros.
        bank_area: Of one bank [m^2].
        bank_leakage: Of one bank [W].
        logic_area: Of the accelerator [m^2].
        logic_leakage: Of the accelerator [W].
    """

    input: StagePlan
    layer: StagePlan
    projection: FloatArray | None
    projection_macs: FloatArray | None
    projection_cycles: FloatArray | None
    unpruned: FloatArray
    unpruned_macs: FloatArray
    unpruned_cycles: FloatArray
    streamed: FloatArray
    prunable: FloatArray
    dense: FloatArray
    weight_macs: FloatArray
    weight_cycles: FloatArray
    products: FloatArray
    activation_reads: FloatArray
    by_format: FloatArray
    weight_read: Lines
    buffered_bit: FloatArray
    weight_bit: FloatArray
    bank_area: FloatArray
    bank_leakage: FloatArray
    logic_area: FloatArray
    logic_leakage: FloatArray


def make_plan(
    shape: EncoderShape, sequence: int, path: Datapath, storage: Storage, span: AttentionSpan | None
) -> Plan:
    """The constants of one machine; arguments as the attributes of `Accelerator`."""
    silicon, sram, n = path.silicon, path.silicon.sram, path.mac_width
    activation = np.full(1, float(path.activation_bits))
    read = silicon.buffer_read()
    once = path.input_work(shape, sequence)
    each = path.layer_work(shape, sequence, span) + path.off_ramp_work(shape, sequence)
    state = n * silicon.lane_energy() + silicon.auxiliary_read().of(n * LANE_BITS)
    product = float(silicon.mac_energy(activation, activation, path.exponent_bits, n)[0])
    vector = read.of(n * path.activation_bits)
    projection = shape.projection_parameters
    stored = shape.groups * shape.layer_vectors + shape.layers * shape.off_ramp_parameters
    return Plan(
        input=_stage(once, state),
        layer=_stage(each, state),
        projection=_one(projection) if projection else None,
        projection_macs=_one(once.dense_macs) if projection else None,
        projection_cycles=_one(once.dense_cycles) if projection else None,
        unpruned=_one(shape.layer_vectors + shape.off_ramp_parameters),
        unpruned_macs=_one(each.dense_macs),
        unpruned_cycles=_one(each.dense_cycles),
        streamed=_one(_streamed(shape, sequence, path, span)),
        prunable=_one(shape.groups * shape.layer_weights),
        dense=_one(stored + projection),
        weight_macs=_one(each.weight_macs),
        weight_cycles=_one(each.weight_cycles),
        products=_one(product * each.attention_macs),
        activation_reads=_one((each.weight_cycles + 2.0 * each.attention_cycles) * vector),
        by_format=_by_format(shape, sequence, path, storage),
        # n is a power of two, so this division and the product it stands for are exact.
        weight_read=WordEnergy(read.words / n, read.energies).lines(),
        buffered_bit=_one(silicon.buffer_write().of(PORT_BITS) / PORT_BITS),
        weight_bit=_one(0.0 if storage.weights == "envm" else storage.bit_energy(sram)),
        bank_area=_one(sram.area(BANK_BYTES)),
        bank_leakage=_one(sram.leakage(BANK_BYTES)),
        logic_area=_one(silicon.area(n)),
        logic_leakage=_one(silicon.leakage(n)),
    )


def _one(value: float) -> FloatArray:
    return np.array(float(value))


def _stage(work: Work, state: float) -> StagePlan:
    return StagePlan(
        matmul_cycles=_one(work.matmul_cycles),
        sfu_cycles=_one(work.sfu_cycles),
        cycles=_one(work.cycles),
        sfu_energy=_one(state * work.sfu_states),
    )


def _by_format(shape: EncoderShape, sequence: int, path: Datapath, storage: Storage) -> FloatArray:
    """What the width of a weight alone decides; rows and columns as `Plan.by_format`."""
    silicon, n = path.silicon, path.mac_width
    low, high = (int(bits) for bits in path.bit_range)
    formats, sparsity = np.arange(low, high + 1.0), np.full(1, storage.embedding_sparsity)
    activation, read = np.full(1, float(path.activation_bits)), silicon.buffer_read()
    # A sentence reads a token row and a position row per token, and one segment row.
    elements = (2 * sequence + (shape.segments > 0)) * shape.embedding
    element, mask = stored_bits(formats, sparsity), mask_bits(formats, sparsity)
    table = np.full((6, high + 1), np.nan)
    table[:, low:] = (
        shape.embedding_parameters * element,
        elements * element,
        silicon.mac_energy(formats, activation, path.exponent_bits, n),
        read.at(n * formats) + read.of(n * path.activation_bits),
        shape.embedding_parameters * mask,
        elements * mask,
    )
    return table


def _streamed(
    shape: EncoderShape, sequence: int, path: Datapath, span: AttentionSpan | None
) -> float:
    """Weight elements of one layer, each once per buffer-full of rows of the other operand [1]."""
    streamed, rows = 0.0, np.array([float(sequence)])
    spanned = span.layer_matmuls(shape, rows) if span else None
    for matmul in spanned or shape.layer_matmuls(rows):
        operand = float((matmul.rows * matmul.reduction)[0]) * path.activation_bits / 8.0
        streamed += float(matmul.weights[0]) * float(np.ceil(operand / path.silicon.buffer_bytes))
    return streamed
