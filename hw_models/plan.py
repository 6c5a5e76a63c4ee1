"""What a machine works out once: everything that no design column but the number format changes.

A column of weight widths is whole numbers, so whatever depends on nothing else is a row of a small
table, looked up and not calculated.
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
        prunable: Elements of all distinct encoder matrices [1].
        dense: Elements never pruned: biases, layer norms, off-ramps, projection [1].
        layer_prunable: Elements streamed per layer, one pass per buffer-full of rows [1].
        layer_dense: Streamed with it: biases, layer norms, the off-ramp [1].
        input_dense: Streamed once: the projection [1].
        narrowest: Weight bits of row 0 of the tables by format [bit].
        kept_embeddings: All embeddings, by format [bit], shape (k,), and their mask.
        read_embeddings: Those that one sentence reads, by format [bit], shape (k,), and their mask.
        mixed_mac: Multiply-accumulate of weight and activation, by format [J], shape (k,).
        same_mac: Of two activations [J].
        dense_vector: Reading a vector of unpruned weights and one of activations [J], shape (k,).
        vector: Reading a vector of activations [J].
        buffer: Reading a vector from the weight buffer.
        buffered_bit: Writing one streamed bit into the weight buffer [J].
        state: One state of the special-function units [J].
        weight_bit: Reading one bit from a bank or DRAM [J]; zero if weights lie in macros.
        bank_area: Of one bank [m^2].
        bank_leakage: Of one bank [W].
        logic_area: Of the accelerator [m^2].
        logic_leakage: Of the accelerator [W].
    """

    input: Work
    layer: Work
    prunable: float
    dense: float
    layer_prunable: float
    layer_dense: float
    input_dense: float
    narrowest: int
    kept_embeddings: tuple[FloatArray, FloatArray]
    read_embeddings: tuple[FloatArray, FloatArray]
    mixed_mac: FloatArray
    same_mac: float
    dense_vector: FloatArray
    vector: float
    buffer: WordEnergy
    buffered_bit: float
    state: float
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
    low, high = (int(bits) for bits in path.bit_range)
    formats, sparsity = np.arange(low, high + 1.0), np.full(1, storage.embedding_sparsity)
    activation = np.full(1, float(path.activation_bits))
    read = silicon.buffer_read()
    vector = read.of(n * path.activation_bits)
    off_ramps = shape.layers * shape.off_ramp_parameters
    # A sentence reads a token row and a position row per token, and one segment row.
    rows = 2 * sequence + (shape.segments > 0)
    element, mask = stored_bits(formats, sparsity), mask_bits(formats, sparsity)
    lanes = n * silicon.lane_energy() + silicon.auxiliary_read().of(n * LANE_BITS)
    return Plan(
        input=path.input_work(shape, sequence),
        layer=path.layer_work(shape, sequence, span) + path.off_ramp_work(shape, sequence),
        prunable=float(shape.groups * shape.layer_weights),
        dense=float(shape.groups * shape.layer_vectors + off_ramps + shape.projection_parameters),
        layer_prunable=_streamed(shape, sequence, path, span),
        layer_dense=float(shape.layer_vectors + shape.off_ramp_parameters),
        input_dense=float(shape.projection_parameters),
        narrowest=low,
        kept_embeddings=(shape.embedding_parameters * element, shape.embedding_parameters * mask),
        read_embeddings=(rows * shape.embedding * element, rows * shape.embedding * mask),
        mixed_mac=silicon.mac_energy(formats, activation, path.exponent_bits, n),
        same_mac=float(silicon.mac_energy(activation, activation, path.exponent_bits, n)[0]),
        dense_vector=read.at(n * formats) + vector,
        vector=vector,
        buffer=read,
        buffered_bit=silicon.buffer_write().of(PORT_BITS) / PORT_BITS,
        state=lanes,
        weight_bit=0.0 if storage.weights == "envm" else storage.bit_energy(sram),
        bank_area=sram.area(BANK_BYTES),
        bank_leakage=sram.leakage(BANK_BYTES),
        logic_area=silicon.area(n),
        logic_leakage=silicon.leakage(n),
    )


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
