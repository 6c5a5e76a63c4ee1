"""Cycles and traffic of a matrix product on a systolic array, against which other tools are held.

Array of R rows by C columns; product of M x K by K x N; tk = ceil(K/R), tn = ceil(N/C), `hidden`
weight loads overlap with computing, `exposed` ones do not (up to 1.7 times slower):

    weight-stationary, hidden    M tk tn
    weight-stationary, exposed   (2 R + C + M - 2) tk tn - 1
    output-stationary            (R + C + K - 2) ceil(M/R) ceil(N/C) - 1
    behind a port of bw          first + compute + refills + last + R + C - 2

The exposed and output-stationary forms are stall-free SCALE-Sim 3.0.0 (arXiv 1811.02883), cycle by
cycle. The last has the three phases of ZigZag 3.9.1 (IEEE TC 2021): load, compute, write back. tI,
tW, tO: times in which input, weights and result cross the port; c = clip(tI, tW/tiles, tW): of the
weights, what arrives beside the input:

    first    max(tI, c)                         before the first multiplication, both side by side
    refills  (1 - c/tW) max(tW - compute, 0)    weights that computing does not hide
    last     max(tO - spare, 0)                 results for which the port had no time meanwhile;
                                                spare = compute if c = tW, else max(compute - tW, 0)

R + C - 2 is the way of the last result through the array. Input and first weights share the port
and yet arrive side by side: so ZigZag counts, and it is the one place where a real port is slower.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from hw_models.columns import FloatArray, require_one_of

Dataflow: TypeAlias = Literal["weight_stationary", "output_stationary"]
"""What stays in the array while the rest passes."""

WeightLoad: TypeAlias = Literal["hidden", "exposed"]
"""Whether loading the next weights overlaps with computing on the present ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Matrix products; every array of shape (n,), whole numbers of at least 1.

    Attributes:
        rows: M, rows of the streamed operand and of the result [1].
        columns: N, columns of the weights and of the result [1].
        reduction: K, summed dimension [1].
    """

    rows: FloatArray
    columns: FloatArray
    reduction: FloatArray

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "reduction"):
            values = getattr(self, name)
            if not (values >= 1).all():
                raise ValueError(
                    f"{name} = {float(values[~(values >= 1)][0])!r} must be at least 1"
                )


@dataclass(frozen=True, slots=True)
class SystolicArray:
    """An array of multiply-accumulates with a fixed mapping; mappings are not searched.

    Attributes:
        rows: R, along the reduction (weight-stationary) or the result's rows [1], at least 1.
        columns: C, along the result's columns [1], at least 1.
        dataflow: What stays in the array.
        weight_load: Whether weight loads are hidden; output-stationary has none.
    """

    rows: int
    columns: int
    dataflow: Dataflow = "weight_stationary"
    weight_load: WeightLoad = "hidden"

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        require_one_of("dataflow", self.dataflow, get_args(Dataflow))
        require_one_of("weight_load", self.weight_load, get_args(WeightLoad))

    def cycles(self, product: Product) -> FloatArray:
        """Compute cycles with every operand at hand [cycle], shape (n,)."""
        m, n, k = product.rows, product.columns, product.reduction
        tn = np.ceil(n / self.columns)
        if self.dataflow == "output_stationary":
            tiles = np.ceil(m / self.rows) * tn
            return np.asarray((self.rows + self.columns + k - 2) * tiles - 1, dtype=np.float64)
        tiles = np.ceil(k / self.rows) * tn
        if self.weight_load == "hidden":
            return np.asarray(m * tiles, dtype=np.float64)
        return np.asarray((2 * self.rows + self.columns + m - 2) * tiles - 1, dtype=np.float64)

    def latency(self, product: Product, bits: float, bandwidth: FloatArray) -> FloatArray:
        """Cycles with every operand crossing an off-chip port once [cycle], shape (n,).

        The loads are those of weight-stationary arrays.

        Args:
            product: Matrix products.
            bits: Width of every operand and result [bit].
            bandwidth: Of the port [bit/cycle], shape (n,), above 0.
        """
        m, n, k = product.rows, product.columns, product.reduction
        compute, tiles = self.cycles(product), np.ceil(k / self.rows) * np.ceil(n / self.columns)
        inputs, weights, results = (words * bits / bandwidth for words in (m * k, k * n, m * n))
        chunk = np.minimum(np.maximum(inputs, weights / tiles), weights)
        refills = (1.0 - chunk / weights) * np.maximum(weights - compute, 0.0)
        spare = np.where(chunk >= weights, compute, np.maximum(compute - weights, 0.0))
        last = np.maximum(results - spare, 0.0)
        busy = np.maximum(inputs, chunk) + compute + refills + last
        return np.asarray(busy + (self.rows + self.columns - 2), dtype=np.float64)

    def buffer_words(self, product: Product) -> FloatArray:
        """Words read from and written to the buffer, weight-stationary [1], shape (n,).

        Inputs are read once per column of tiles, weights once; partial sums are written once per
        row of tiles and read back for all but the first; everything enters and leaves once.
        """
        m, n, k = product.rows, product.columns, product.reduction
        tk, tn = np.ceil(k / self.rows), np.ceil(n / self.columns)
        read = m * k * tn + k * n + m * n * (tk - 1) + m * n
        return np.asarray(read + (m * k + k * n + m * n * tk), dtype=np.float64)
