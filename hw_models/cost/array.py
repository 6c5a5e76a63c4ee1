"""Kinds of multiply-accumulate arrays: cycles of a matrix product, and accesses to the buffers.

Array of R rows by C columns; product of M x K by K x N; tk = ceil(K/R), tn = ceil(N/C). `hidden`
weight loads overlap with computing, `exposed` ones do not (up to 1.7 times slower):

    adder_tree                  ceil(M/C) ceil(K/R) tn C          EdgeBERT's n x n x n tiles
    weight_stationary           M tk tn                           loads hidden
    weight_stationary_exposed   (2 R + C + M - 2) tk tn - 1
    output_stationary           (R + C + K - 2) ceil(M/R) tn - 1
    behind_port                 first + compute + refills + last + R + C - 2

Sources: adder_tree is EdgeBERT's released RTL (arXiv 2011.14203). The exposed and
output-stationary forms are stall-free SCALE-Sim 3.0.0 (arXiv 1811.02883), cycle by cycle. The last
has the three phases of ZigZag 3.9.1 (IEEE TC 2021): load, compute, write back. tI, tW, tO: times in
which input, weights and result cross the port; c = clip(tI, tW/tiles, tW): of the weights, what
arrives beside the input:

    first    max(tI, c)                         before the first multiplication, both side by side
    refills  (1 - c/tW) max(tW - compute, 0)    weights that computing does not hide
    last     max(tO - spare, 0)                 results for which the port had no time meanwhile;
                                                spare = compute if c = tW, else max(compute - tW, 0)

R + C - 2 is the way of the last result through the array. Input and first weights share the port
and yet arrive side by side: so ZigZag counts, and it is the one place where a real port is slower.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hw_models.columns import FloatArray

ArrayKind: TypeAlias = Literal[
    "adder_tree",
    "weight_stationary",
    "weight_stationary_exposed",
    "output_stationary",
    "behind_port",
]
"""A fixed mapping of a product to an array; mappings are not searched."""


class Work(NamedTuple):
    """A product on an array; fields are broadcast against each other, and m, k, n at least 1.

    Attributes:
        m: Rows of the streamed operand and of the result [1].
        k: Summed dimension [1].
        n: Columns of the weights and of the result [1].
        rows: R, along the reduction (weights stay) or the result's rows (results stay) [1].
        columns: C, along the result's columns [1].
        weight_bits: Width of an element of the right operand [bit].
        input_bits: Width of an element of the left operand and of the result [bit].
        port: Width of the port behind which the array stands [bit/cycle].
    """

    m: FloatArray
    k: FloatArray
    n: FloatArray
    rows: FloatArray
    columns: FloatArray
    weight_bits: FloatArray
    input_bits: FloatArray
    port: FloatArray


class Counts(NamedTuple):
    """What a product takes on an array; accesses are to words as wide as one side of the array.

    Attributes:
        cycles: [cycle].
        slots: Multiply-accumulates that pass through the array, those of padded tiles too [1].
        weights: Reads of R elements of the right operand from its buffer [1].
        inputs: Reads of R elements of the left operand [1].
        results: Reads and writes of C partial sums [1]; None where they stay in the array and
            leave once, which is left out.
    """

    cycles: FloatArray
    slots: FloatArray
    weights: FloatArray
    inputs: FloatArray
    results: FloatArray | None


class Kind(NamedTuple):
    """What is known of a kind of array.

    Attributes:
        counts: Of a product.
        streams: Whether its cycles hold the loading of weights through the port already, so that
            only what takes longer than they do is waited for.
    """

    counts: Callable[[Work], Counts]
    streams: bool = False


def _tiles(w: Work) -> FloatArray:
    return np.asarray(np.ceil(w.k / w.rows) * np.ceil(w.n / w.columns))


def _adder_tree(w: Work) -> Counts:
    """One tile takes C cycles, each dimension rounded up to tiles; both operands every cycle."""
    cycles = np.asarray(np.ceil(w.m / w.columns) * _tiles(w) * w.columns)
    return Counts(cycles, cycles * (w.rows * w.columns), cycles, cycles, None)


def _weights_stay(cycles: FloatArray, w: Work) -> Counts:
    """Inputs once per column of tiles, weights once, partial sums once a row of tiles and back."""
    tiles = _tiles(w)
    sums = w.m * (2.0 * tiles - np.ceil(w.n / w.columns))
    slots = w.m * tiles * (w.rows * w.columns)
    return Counts(cycles, slots, tiles * w.columns, w.m * tiles, np.asarray(sums))


def _hidden(w: Work) -> Counts:
    return _weights_stay(w.m * _tiles(w), w)


def _exposed(w: Work) -> Counts:
    return _weights_stay((2.0 * w.rows + w.columns + w.m - 2.0) * _tiles(w) - 1.0, w)


def _output_stationary(w: Work) -> Counts:
    """Both operands once for each tile of the result, which leaves once."""
    wide = np.ceil(w.n / w.columns)
    tiles = np.ceil(w.m / w.rows) * wide
    cycles = (w.rows + w.columns + w.k - 2.0) * tiles - 1.0
    steps = w.k * tiles
    slots = steps * (w.rows * w.columns)
    return Counts(cycles, slots, steps * w.columns / w.rows, steps, np.asarray(w.m * wide))


def _behind_port(w: Work) -> Counts:
    tiles = _tiles(w)
    compute = w.m * tiles
    inputs = w.m * w.k * w.input_bits / w.port
    weights = w.k * w.n * w.weight_bits / w.port
    results = w.m * w.n * w.input_bits / w.port
    chunk = np.minimum(np.maximum(inputs, weights / tiles), weights)
    refills = (1.0 - chunk / weights) * np.maximum(weights - compute, 0.0)
    spare = np.where(chunk >= weights, compute, np.maximum(compute - weights, 0.0))
    last = np.maximum(results - spare, 0.0)
    busy = np.maximum(inputs, chunk) + compute + refills + last + (w.rows + w.columns - 2.0)
    return _weights_stay(busy, w)


KINDS: Mapping[ArrayKind, Kind] = {
    "adder_tree": Kind(_adder_tree),
    "weight_stationary": Kind(_hidden),
    "weight_stationary_exposed": Kind(_exposed),
    "output_stationary": Kind(_output_stationary),
    "behind_port": Kind(_behind_port, streams=True),
}
"""Every kind of array that a machine can have."""
