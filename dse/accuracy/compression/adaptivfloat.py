"""AdaptivFloat: floats whose exponent range follows each tensor (arXiv 1909.13271, algorithm 1).

n bits hold a sign, e exponent bits and n - 1 - e mantissa bits. The exponent offset is chosen per
tensor so that its largest magnitude is just representable. There are no denormals; the code of the
smallest value stands for zero.
"""

import math
from dataclasses import dataclass

import torch

from dse.core.errors import DseError


@dataclass(frozen=True, slots=True)
class Format:
    """Widths of the fields.

    Attributes:
        bits: Total width n [bit], sign included.
        exponent_bits: Width e [bit].

    Raises:
        DseError: If nothing is left for the sign and e exponent bits.
    """

    bits: int
    exponent_bits: int

    def __post_init__(self) -> None:
        if self.exponent_bits < 1 or self.mantissa_bits < 0 or self.bits > 16:
            raise DseError(
                f"AdaptivFloat with {self.bits} bits and {self.exponent_bits} exponent bits does "
                "not exist: sign and at least 1 exponent bit must fit; 16 bits are the most"
            )

    @property
    def mantissa_bits(self) -> int:
        """Width of the stored mantissa [bit]."""
        return self.bits - 1 - self.exponent_bits


def top_exponent(values: torch.Tensor) -> int | None:
    """Exponent of a tensor's largest magnitude, E = floor(log2 max|w|); None if all are zero.

    Raises:
        DseError: If an element is not finite.
    """
    least, most = map(float, values.aminmax()) if values.numel() else (0.0, 0.0)
    largest = max(-least, most)
    if not largest < float("inf"):
        raise DseError("AdaptivFloat needs finite values; the tensor holds NaN or infinity")
    return math.frexp(largest)[1] - 1 if largest else None


def quantised(tensor: torch.Tensor, form: Format, top: int | None = None) -> torch.Tensor:
    """The representable value nearest to each element; the tensor's shape, float32.

    The paper's form: exponents run from E - (2^e - 1) to E with E = floor(log2 max|w|); magnitudes
    below half of the smallest value v0 = 2^(E - 2^e + 1) (1 + 2^-m) become 0, from there to v0
    they become v0; magnitudes above the largest value 2^E (2 - 2^-m) become that; mantissas are
    rounded to nearest, ties to even.

    Args:
        tensor: Any shape.
        form: Widths.
        top: Largest exponent E where it was fixed beforehand, as activations need; None takes the
            tensor's own.

    Raises:
        DseError: If an element is not finite.
    """
    values = tensor.detach().to(torch.float32).contiguous()
    own = top_exponent(values)
    if own is None:
        return torch.zeros_like(values)
    top = own if top is None else top
    m = form.mantissa_bits
    smallest = 2.0 ** (top - (2**form.exponent_bits - 1)) * (1 + 2.0**-m)
    # Binary words of positive floats are ordered as the floats are.
    words = values.view(torch.int32)
    magnitude = words & ~_SIGN
    kept = magnitude >= _word(smallest / 2)
    rounded = _rounded_mantissas(magnitude, m)
    rounded.clamp_(_word(smallest), _word(2.0**top * (2 - 2.0**-m)))
    rounded |= words & _SIGN
    rounded *= kept  # a negative zero is a zero
    return rounded.view(torch.float32)


def encoded(values: torch.Tensor, form: Format, top: int) -> torch.Tensor:
    """Code words of representable values: sign, exponent offset, mantissa; int32, zero is 0.

    Args:
        values: As `quantised` gives them for this format and largest exponent, any shape.
        form: Widths.
        top: Largest exponent E.
    """
    m = form.mantissa_bits
    words = values.abs().to(torch.float32).contiguous().view(torch.int32)
    offset = (words >> 23) - 127 - (top - (2**form.exponent_bits - 1))
    mantissa = (words >> (23 - m)) & (2**m - 1)
    codes = (offset << m) | mantissa | ((values < 0).to(torch.int32) << (form.bits - 1))
    return torch.where(values == 0, torch.zeros((), dtype=torch.int32), codes)


def decoded(codes: torch.Tensor, form: Format, top: int) -> torch.Tensor:
    """Values of code words, float32; the inverse of `encoded`, defined for every word.

    Exponent and mantissa of zero mean zero, whatever the sign.
    """
    m = form.mantissa_bits
    offset = (codes >> m) & (2**form.exponent_bits - 1)
    mantissa = (codes & (2**m - 1)).to(torch.float32)
    exponent = (offset + (top - (2**form.exponent_bits - 1))).to(torch.float32)
    magnitude = torch.exp2(exponent) * (1.0 + mantissa * 2.0**-m)
    sign = 1.0 - 2.0 * ((codes >> (form.bits - 1)) & 1).to(torch.float32)
    empty = (codes & (2 ** (form.bits - 1) - 1)) == 0
    return torch.where(empty, torch.zeros(()), sign * magnitude)


_SIGN = -(2**31)
"""The sign bit of a binary word."""


def _word(value: float) -> int:
    """Binary word of a float32."""
    return int(torch.tensor(value, dtype=torch.float32).view(torch.int32))


def _rounded_mantissas(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Binary words of positive floats, all but `bits` mantissa bits rounded away, ties to even.

    Adding half of the last kept place, less one where that place is even, carries into the exponent
    exactly as rounding up to the next power of two must. New words, changed in place: a pass over
    activations is memory traffic.
    """
    dropped = 23 - bits
    rounded = words >> dropped
    rounded &= 1
    rounded += words
    rounded += 2 ** (dropped - 1) - 1
    rounded &= -(2**dropped)
    return rounded
