"""Energy, area and leakage of the accelerator's logic, calibrated on one published operating point.

The width law gives the shape, the anchor the size:

    law(w, a, e, n) = q (w + 1)(a + 1) + l [(e + 1) + W]
    W               = (w + 1) + (a + 1) + 2 (2^e - 1) + log2 n
    E_mac           = k law,  k so that E_mac + buffers + leakage = anchor power / (n^2 f)

w and a are the mantissa widths of weight and activation without the hidden one, e the exponent
width, W the accumulator that holds every product of n lanes without loss: a wide exponent is paid
for in alignment, not in the exponent adder. q and l come from Horowitz's 32-bit integer multiplier
(quadratic) and adder (linear), 45 nm. The factor k is above 1 although the process is smaller: it
carries registers, clock and control, which the bare operators lack. So the law is trusted for
ratios between widths, the anchor for the absolute value.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_models.columns import FloatArray
from hw_models.sram import Sram, WordEnergy
from hw_models.table import Table, shipped

LANE_BITS = 16
"""Fixed-point width of a special-function lane [bit]: 6 integer, 10 fraction bits, EdgeBERT RTL."""


@dataclass(frozen=True, slots=True)
class Silicon:
    """The accelerator's process: what one operation, one square metre and one second cost.

    All energies hold at `nominal_vdd`.

    Attributes:
        anchor: One row: power, area, size, formats, supply, clock and buffers of a known design.
        operators: One row: energy of an integer multiply and add, and their width.
        sram: Buffers of the accelerator.
        calibration: Factor k from the bare 45 nm operators to the anchor [1]; computed.
    """

    anchor: Table = field(default_factory=partial(shipped, "datapath_12nm"))
    operators: Table = field(default_factory=partial(shipped, "arithmetic_45nm"))
    sram: Sram = field(default_factory=Sram)
    calibration: float = field(init=False)

    def __post_init__(self) -> None:
        calibration = self._calibrate()
        if not calibration > 0:
            raise ValueError(
                f"calibration = {calibration:g} must be positive: buffers and leakage alone exceed "
                f"the power of table '{self.anchor.name}' ({self.anchor.bound})"
            )
        object.__setattr__(self, "calibration", calibration)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table an energy or an area rests on."""
        return self.anchor, self.operators, *self.sram.tables

    @property
    def nominal_vdd(self) -> float:
        """Supply [V] of the anchor."""
        return self.anchor.constant("vdd")

    @property
    def buffer_bytes(self) -> float:
        """Capacity of the weight buffer and of the input buffer, each [byte]."""
        return self.anchor.constant("buffer")

    def _calibrate(self) -> float:
        c = self.anchor.constant
        n, bits, exponent = c("mac_width"), c("bits"), int(c("exponent_bits"))
        slot = c("power") / (n**2 * c("frequency"))
        leakage = c("leakage_density") * c("area") / (n**2 * c("frequency"))
        buffers = 2.0 * self.buffer_read().of(n * bits) / n**2
        mantissa = np.array([bits - 1.0 - exponent])
        bare = self._operators(mantissa, mantissa, exponent, int(n))
        return (slot - leakage - buffers) / float(bare[0])

    def mac_energy(
        self, weight_bits: FloatArray, activation_bits: FloatArray, exponent_bits: int, width: int
    ) -> FloatArray:
        """Dynamic energy of one float multiply-accumulate, with its registers, clock and control.

        Args:
            weight_bits: Sign, exponent and mantissa of one operand [bit], shape (n,).
            activation_bits: The same of the other operand [bit], shape (n,).
            exponent_bits: Exponent width of both [bit].
            width: Lanes summed by one adder tree [1].

        Returns:
            [J], shape (n,), increasing with every argument.
        """
        w = weight_bits - 1.0 - exponent_bits
        a = activation_bits - 1.0 - exponent_bits
        return self.calibration * self._operators(w, a, exponent_bits, width)

    def lane_energy(self) -> float:
        """One 16-bit fixed-point multiply-add of a special-function lane [J]."""
        q, line = self._coefficients()
        return self.calibration * (q * LANE_BITS**2 + line * LANE_BITS)

    def buffer_read(self) -> WordEnergy:
        """Reading a vector from the weight or the input buffer [J] over its bits."""
        return self.sram.read(self.buffer_bytes)

    def buffer_write(self) -> WordEnergy:
        """Writing a word into the weight or the input buffer [J] over its bits."""
        return self.sram.write(self.buffer_bytes)

    def auxiliary_read(self) -> WordEnergy:
        """One access to the auxiliary buffer of the special-function units [J] over its bits."""
        return self.sram.read(self.anchor.constant("auxiliary"))

    def area(self, width: int) -> float:
        """Area of an accelerator with width^2 multiply-accumulates [m^2].

        Buffers as in the anchor; the rest of the anchor's area is taken as datapath and grows with
        width^2, whatever the number formats.
        """
        c = self.anchor.constant
        buffers = 2.0 * self.sram.area(self.buffer_bytes) + self.sram.area(c("auxiliary"))
        return buffers + (c("area") - buffers) * (width / c("mac_width")) ** 2

    def leakage(self, width: int) -> float:
        """Leakage power of the accelerator [W]: the anchor's density times the area."""
        return self.anchor.constant("leakage_density") * self.area(width)

    def _coefficients(self) -> tuple[float, float]:
        c = self.operators.constant
        return c("multiply") / c("width") ** 2, c("add") / c("width")

    def _operators(
        self, w: FloatArray, a: FloatArray, exponent_bits: int, width: int
    ) -> FloatArray:
        """Energy of the bare operators [J], shape (n,); the width law of the module."""
        q, line = self._coefficients()
        accumulator = (w + 1.0) + (a + 1.0) + 2.0 * (2.0**exponent_bits - 1.0) + np.log2(width)
        adders = (exponent_bits + 1.0) + accumulator
        return np.asarray(q * (w + 1.0) * (a + 1.0) + line * adders, dtype=np.float64)
