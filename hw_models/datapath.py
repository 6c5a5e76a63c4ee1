"""Cycles of EdgeBERT's accelerator: an n x n float datapath and special-function units beside it.

Sources: EdgeBERT's released RTL (input scheduling, decoders, state machines), arXiv 2011.14203.
Zeros are decoded back into dense vectors, so they save energy and memory and never a cycle.
"""

from dataclasses import astuple, dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from hw_models.attention_span import AttentionSpan
from hw_models.columns import FloatArray, require_one_of
from hw_models.silicon import Silicon
from hw_models.workload import EncoderShape, Matmul

ZeroGating: TypeAlias = Literal["element", "vector", "none"]
"""element: a zero weight stops its multiplier. vector: only n zeros in a row do. none: nothing."""

MAC_WIDTHS = (2, 4, 8, 16, 32)
"""Datapath sizes the design was studied for."""

WIDEST_FORMAT = 16.0
"""Of a number that the array computes with [bit]; the accumulators are as wide."""


def matmul_cycles(matmul: Matmul, width: int) -> FloatArray:
    """Cycles of one matrix product on width x width multiply-accumulates, pipeline fill left out.

    One n x n x n tile takes n cycles, so rows x reduction x columns / n^2, each dimension rounded
    up to whole tiles (a single row costs as much as n).

    Returns:
        [cycle], shape (n,), over all copies.
    """
    tiles = np.ceil(matmul.rows / width) * np.ceil(matmul.reduction / width)
    cycles = matmul.copies * tiles * np.ceil(matmul.columns / width) * width
    return np.asarray(cycles, dtype=np.float64)


def softmax_states(rows: FloatArray, length: FloatArray, width: int) -> FloatArray:
    """States of softmax and span mask on rows of `length` elements: rows (9 ceil(length/n) + 1)."""
    return rows * (9.0 * np.ceil(length / width) + 1.0)


def layer_norm_states(rows: FloatArray, length: FloatArray, width: int) -> FloatArray:
    """States of layer normalisation: rows (9 ceil(length/n) + 2)."""
    return rows * (9.0 * np.ceil(length / width) + 2.0)


def add_states(rows: FloatArray, length: FloatArray, width: int) -> FloatArray:
    """States of an element-wise addition: rows (6 ceil(length/n) + 1)."""
    return rows * (6.0 * np.ceil(length / width) + 1.0)


def entropy_states(rows: FloatArray, length: FloatArray, width: int) -> FloatArray:
    """States of the entropy of `length` logits: rows (4 ceil(length/n) + 2)."""
    return rows * (4.0 * np.ceil(length / width) + 2.0)


@dataclass(frozen=True, slots=True)
class InitiationIntervals:
    """Cycles per state of each special-function unit [cycle]; defaults as in the HLS scripts."""

    softmax: float = 3.0
    layer_norm: float = 3.0
    add: float = 1.0
    entropy: float = 4.0

    def __post_init__(self) -> None:
        for name in ("softmax", "layer_norm", "add", "entropy"):
            if not getattr(self, name) >= 1.0:
                raise ValueError(
                    f"{name} = {getattr(self, name)} cycle must be at least 1: one state a cycle"
                )


@dataclass(frozen=True, slots=True)
class Work:
    """What one stage (input, one layer, one off-ramp) asks of the datapath; constants of a design.

    Attributes:
        weight_macs: Multiply-accumulates with prunable weights [1].
        dense_macs: With weights that are never pruned [1].
        attention_macs: Between activations [1].
        weight_cycles: Matmul cycles that read prunable weights [cycle].
        dense_cycles: That read weights never pruned [cycle].
        attention_cycles: That read activations on both sides [cycle].
        sfu_states: States of the special-function units [1].
        sfu_cycles: The same times their initiation intervals [cycle].
    """

    weight_macs: float = 0.0
    dense_macs: float = 0.0
    attention_macs: float = 0.0
    weight_cycles: float = 0.0
    dense_cycles: float = 0.0
    attention_cycles: float = 0.0
    sfu_states: float = 0.0
    sfu_cycles: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Work of both stages."""
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def matmul_cycles(self) -> float:
        """All matmul cycles [cycle]."""
        return self.weight_cycles + self.dense_cycles + self.attention_cycles

    @property
    def cycles(self) -> float:
        """Matmul and special functions, one after the other [cycle]."""
        return self.matmul_cycles + self.sfu_cycles


@dataclass(frozen=True, slots=True)
class Datapath:
    """An n x n float datapath, its number formats, and what it does with zeros.

    Attributes:
        mac_width: n, side of the multiply-accumulate array [1]: 2, 4, 8, 16 or 32.
        exponent_bits: Exponent width of weights and activations [bit], 1 to 5.
        activation_bits: Width of an activation [bit], within exponent_bits + 1 to 16.
        zero_gating: When a zero weight saves the energy of its multiplication.
        initiation: Initiation intervals of the special-function units.
        silicon: Energy, area and leakage of the process.
    """

    mac_width: int = 16
    exponent_bits: int = 3
    activation_bits: int = 8
    zero_gating: ZeroGating = "element"
    initiation: InitiationIntervals = field(default_factory=InitiationIntervals)
    silicon: Silicon = field(default_factory=Silicon)

    def __post_init__(self) -> None:
        require_one_of("mac_width", self.mac_width, MAC_WIDTHS)
        if not 1 <= self.exponent_bits <= 5:
            raise ValueError(
                f"exponent_bits = {self.exponent_bits} bit is outside 1 to 5 bit, the width law"
            )
        low, high = self.bit_range
        if not low <= self.activation_bits <= high:
            raise ValueError(
                f"activation_bits = {self.activation_bits} bit is outside {low:g} to {high:g} bit, "
                f"sign and {self.exponent_bits} exponent bits at least"
            )
        require_one_of("zero_gating", self.zero_gating, get_args(ZeroGating))

    @property
    def bit_range(self) -> tuple[float, float]:
        """Narrowest and widest number format [bit]: sign and exponent, up to 16."""
        return self.exponent_bits + 1.0, WIDEST_FORMAT

    def active(self, sparsity: FloatArray) -> FloatArray:
        """Fraction of multiply-accumulates with weights that spend energy [1], shape (n,).

        Zeros are taken as independent, so n in a row have probability s^n; a gated multiplier is
        taken to spend nothing but leakage.

        Args:
            sparsity: Fraction of zero weights [1], shape (n,), 0 to 1.
        """
        if self.zero_gating == "none":
            return np.ones_like(sparsity)
        if self.zero_gating == "element":
            return 1.0 - sparsity
        # n is a power of two: repeated squaring rounds alike in a batch and in a row, pow need not.
        zeros = sparsity
        for _ in range(self.mac_width.bit_length() - 1):
            zeros = zeros * zeros
        return 1.0 - zeros

    def input_work(self, shape: EncoderShape, sequence: int) -> Work:
        """Sum of the three embeddings, their layer norm, and the projection where there is one."""
        rows, width = np.array([float(sequence)]), np.array([float(shape.embedding)])
        terms = 1.0 + float(shape.segments > 0)
        add = terms * add_states(rows, width, self.mac_width)
        norm = layer_norm_states(rows, width, self.mac_width)
        work = self._matmul_work(shape.projection_matmuls(rows), prunable=False)
        return self._with_sfu(work, softmax=0.0, norm=float(norm[0]), add=float(add[0]))

    def layer_work(
        self, shape: EncoderShape, sequence: int, span: AttentionSpan | None = None
    ) -> Work:
        """One encoder layer: six matrix products, softmax, two layer norms, two additions.

        Args:
            shape: The network.
            sequence: Tokens including padding [1].
            span: Keys of every head; all heads see everything if not given.

        Raises:
            ValueError: If there is not one span per head.
        """
        n, rows = self.mac_width, np.array([float(sequence)])
        width = np.array([float(shape.hidden)])
        if span is None:
            matmuls, softmax = (
                shape.layer_matmuls(rows),
                softmax_states(shape.heads * rows, rows, n),
            )
        else:
            matmuls, softmax = span.layer_matmuls(shape, rows), np.zeros(1)
            for keys in span.keys(rows):
                softmax += softmax_states(rows * (keys > 0), keys, n)
        norm = layer_norm_states(2.0 * rows, width, n)
        add = add_states(2.0 * rows, width, n)
        work = self._matmul_work(matmuls, prunable=True)
        return self._with_sfu(
            work, softmax=float(softmax[0]), norm=float(norm[0]), add=float(add[0])
        )

    def off_ramp_work(self, shape: EncoderShape, sequence: int) -> Work:
        """One off-ramp: pooler or mean over tokens, classifier, entropy."""
        n, one = self.mac_width, np.ones(1)
        entropy = entropy_states(one, shape.classes * one, n)
        pooled = sequence * one if shape.off_ramp == "mean_pool" else 0.0 * one
        add = add_states(pooled, shape.hidden * one, n)
        work = self._matmul_work(shape.off_ramp_matmuls(), prunable=False)
        return self._with_sfu(
            work, softmax=0.0, norm=0.0, add=float(add[0]), entropy=float(entropy[0])
        )

    def _matmul_work(self, matmuls: tuple[Matmul, ...], *, prunable: bool) -> Work:
        """MACs and cycles by kind of right operand; without gating every slot counts as a MAC."""
        macs = {"weight": 0.0, "dense": 0.0, "attention": 0.0}
        cycles = dict(macs)
        for matmul in matmuls:
            kind = ("weight" if prunable else "dense") if matmul.weighted else "attention"
            spent = float(matmul_cycles(matmul, self.mac_width)[0])
            slots = spent * self.mac_width**2
            macs[kind] += slots if self.zero_gating == "none" else float(matmul.macs[0])
            cycles[kind] += spent
        return Work(*macs.values(), *cycles.values())

    def _with_sfu(
        self, work: Work, *, softmax: float, norm: float, add: float, entropy: float = 0.0
    ) -> Work:
        ii = self.initiation
        cycles = softmax * ii.softmax + norm * ii.layer_norm + add * ii.add + entropy * ii.entropy
        return replace(work, sfu_states=softmax + norm + add + entropy, sfu_cycles=cycles)
