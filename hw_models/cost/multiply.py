"""Energy of one multiply-accumulate over the widths of its operands.

    law(w, a, e, n) = q (w + 1)(a + 1) + l [(e + 1) + W]
    W               = (w + 1) + (a + 1) + 2 (2^e - 1) + log2 n
    E_mac           = k law

w and a are the mantissa widths of weight and activation without the hidden one, e the exponent
width, W the accumulator that holds every product of n lanes without loss: a wide exponent is paid
for in alignment, not in the exponent adder.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hw_models.columns import FloatArray

ZeroGating: TypeAlias = Literal["element", "vector", "none"]
"""element: a zero weight stops its multiplier. vector: only n zeros in a row do. none: nothing."""


class FloatLaw(NamedTuple):
    """Floating-point multiply-accumulates.

    Attributes:
        scale: k, from bare operators to a datapath with registers, clock and control [1].
        quadratic: q, of the multiplier [J/bit^2].
        linear: l, of the adders [J/bit].
    """

    scale: float
    quadratic: float
    linear: float

    def energy(
        self,
        weight_bits: FloatArray,
        activation_bits: FloatArray,
        exponent_bits: FloatArray,
        lanes: FloatArray,
    ) -> FloatArray:
        """Of one multiply-accumulate [J]; increasing with every argument.

        Args:
            weight_bits: Sign, exponent and mantissa of one operand [bit].
            activation_bits: The same of the other operand [bit].
            exponent_bits: Exponent width of both [bit], whole.
            lanes: Summed by one adder tree [1], at least 1.
        """
        w = weight_bits - exponent_bits
        a = activation_bits - exponent_bits
        alignment = np.ldexp(2.0, np.asarray(exponent_bits).astype(np.intc)) - 2.0
        rest = (exponent_bits + 1.0) + alignment + np.log2(lanes)
        bare = self.quadratic * (w * a) + self.linear * ((w + a) + rest)
        return np.asarray(self.scale * bare)


def active(gating: ZeroGating, sparsity: FloatArray, lanes: FloatArray) -> FloatArray:
    """Multiply-accumulates with weights that spend energy [1].

    Zeros are taken as independent, so n in a row have probability s^n; a gated multiplier is taken
    to spend nothing but leakage.

    Args:
        gating: When a zero saves its multiplication.
        sparsity: Fraction of zero weights [1], 0 to 1.
        lanes: n, a power of two [1].
    """
    if gating == "none":
        return np.ones(())
    if gating == "element":
        return np.asarray(1.0 - sparsity)
    # Repeated squaring rounds alike in a batch and in a row, pow need not.
    zeros, reached = sparsity, 1.0
    while (lanes > reached).any():
        zeros = np.where(lanes > reached, zeros * zeros, zeros)
        reached *= 2.0
    return np.asarray(1.0 - zeros)
