"""What a machine works out once: everything that no design column but the number format changes.

A column of weight widths is whole numbers, so whatever depends on nothing else is a row of a small
table, looked up and not calculated. What several quantities have in common stands in rows of one
array: a call of NumPy on a thousand numbers costs as much as the arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from hw_models.attention_span import AttentionSpan
from hw_models.columns import FloatArray
from hw_models.datapath import Datapath, Work
from hw_models.silicon import LANE_BITS
from hw_models.sram import WordEnergy
from hw_models.storage import BANK_BYTES, PORT_BITS, Storage
from hw_models.workload import EncoderShape, mask_bits, stored_bits


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Constants of one machine; elements are parameters, energies hold at the nominal supply.

    Attributes:
        input: Work of the input stage.
        layer: Work of one layer with its off-ramp.
        prunable: Elements of encoder matrices [1], shape (3, 1): streamed once, that is none;
            streamed per layer, one pass per buffer-full of rows; all distinct ones that are stored.
        dense: Elements never pruned [1], shape (3, 1): the projection; biases, layer norms and
            off-ramp of a layer; all that are stored.
        cycles: Of the input stage and of one layer with its off-ramp [cycle], shape (2, 1).
        input_cycles: Of matmul and special functions in the input stage [cycle], shape (2, 1).
        layer_cycles: The same in one layer [cycle], shape (2, 1).
        input_terms: Shape (3, 1): cycles that read unpruned weights [cycle], energy of the
            special-function units [J], products of two activations [J], in the input stage.
        layer_terms: The same in one layer.
        by_format: Shape (6, 17), column b for weights of b bit, NaN where that is no format:
            stored bits of all embeddings and of those one sentence reads [bit]; a
            multiply-accumulate of weight and activation [J]; reading a vector of unpruned weights
            and one of activations [J]; mask bits of all embeddings, and of those read [bit].
        vector: Reading a vector of activations [J].
        buffer: Reading a vector from the weight buffer, over the bits of one element.
        buffered_bit: Writing one streamed bit into the weight buffer [J].
        weight_bit: Reading one bit from a bank or DRAM [J]; zero if weights lie in macros.
        bank_area: Of one bank [m^2].
        bank_leakage: Of one bank [W].
        logic_area: Of the accelerator [m^2].
        logic_leakage: Of the accelerator [W].
    """

    input: Work
    layer: Work
    prunable: FloatArray
    dense: FloatArray
    cycles: FloatArray
    input_cycles: FloatArray
    layer_cycles: FloatArray
    input_terms: FloatArray
    layer_terms: FloatArray
    by_format: FloatArray
    vector: float
    buffer: WordEnergy
    buffered_bit: float
    weight_bit: float
    bank_area: float
    bank_leakage: float
    logic_area: float
    logic_leakage: float


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
    streamed = _streamed(shape, sequence, path, span)
    stored = shape.groups * shape.layer_vectors + shape.layers * shape.off_ramp_parameters
    return Plan(
        input=once,
        layer=each,
        prunable=_rows(0.0, streamed, shape.groups * shape.layer_weights),
        dense=_rows(
            shape.projection_parameters,
            shape.layer_vectors + shape.off_ramp_parameters,
            stored + shape.projection_parameters,
        ),
        cycles=_rows(once.cycles, each.cycles),
        input_cycles=_rows(once.matmul_cycles, once.sfu_cycles),
        layer_cycles=_rows(each.matmul_cycles, each.sfu_cycles),
        input_terms=_rows(once.dense_cycles, state * once.sfu_states, 0.0),
        layer_terms=_rows(
            each.dense_cycles, state * each.sfu_states, product * each.attention_macs
        ),
        by_format=_by_format(shape, sequence, path, storage),
        vector=read.of(n * path.activation_bits),
        # n is a power of two, so this division and the product it stands for are exact.
        buffer=WordEnergy(read.words / n, read.energies),
        buffered_bit=silicon.buffer_write().of(PORT_BITS) / PORT_BITS,
        weight_bit=0.0 if storage.weights == "envm" else storage.bit_energy(sram),
        bank_area=sram.area(BANK_BYTES),
        bank_leakage=sram.leakage(BANK_BYTES),
        logic_area=silicon.area(n),
        logic_leakage=silicon.leakage(n),
    )


def _rows(*values: float) -> FloatArray:
    return np.array([[float(value)] for value in values])


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
