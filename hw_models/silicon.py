"""Energy, area and leakage of the accelerator's logic, calibrated on one published operating point.

The width law (`hw_models.cost.multiply`) gives the shape, the anchor the size: the factor k is such
that E_mac + buffers + leakage = anchor power / (n^2 f). q and l come from Horowitz's 32-bit integer
multiplier (quadratic) and adder (linear), 45 nm. The factor k is above 1 although the process is
smaller: it carries registers, clock and control, which the bare operators lack. So the law is
trusted for ratios between widths, the anchor for the absolute value.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_models.columns import FloatArray
from hw_models.cost.multiply import FloatLaw
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
        bare = self._bare(1.0).energy(*(np.array(x) for x in (bits, bits, exponent, n)))
        return (slot - leakage - buffers) / float(bare)

    def _bare(self, scale: float) -> FloatLaw:
        """The width law with the bare operators' energies, times a factor."""
        c = self.operators.constant
        return FloatLaw(scale, c("multiply") / c("width") ** 2, c("add") / c("width"))

    def law(self) -> FloatLaw:
        """Energy of a multiply-accumulate, calibrated on the anchor."""
        return self._bare(self.calibration)

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
        return self.law().energy(
            weight_bits, activation_bits, np.asarray(exponent_bits), np.asarray(float(width))
        )

    def lane_energy(self) -> float:
        """One 16-bit fixed-point multiply-add of a special-function lane [J]."""
        law = self.law()
        return law.scale * (law.quadratic * LANE_BITS**2 + law.linear * LANE_BITS)

    def buffer_read(self) -> WordEnergy:
        """Reading a vector from the weight or the input buffer [J] over its bits."""
        return self.sram.read(self.buffer_bytes)

    def buffer_write(self) -> WordEnergy:
        """Writing a word into the weight or the input buffer [J] over its bits."""
        return self.sram.write(self.buffer_bytes)

    def auxiliary_read(self) -> WordEnergy:
        """One access to the auxiliary buffer of the special-function units [J] over its bits."""
        return self.sram.read(self.anchor.constant("auxiliary"))

    @property
    def logic_area(self) -> float:
        """Area of the buffers [m^2], as in the anchor."""
        buffers = 2.0 * self.sram.area(self.buffer_bytes)
        return buffers + self.sram.area(self.anchor.constant("auxiliary"))

    @property
    def unit_area(self) -> float:
        """Area of one multiply-accumulate with all that is not a buffer [m^2]."""
        c = self.anchor.constant
        return (c("area") - self.logic_area) / c("mac_width") ** 2

    def area(self, width: int) -> float:
        """Area of an accelerator with width^2 multiply-accumulates [m^2].

        Buffers as in the anchor; the rest of the anchor's area is taken as datapath and grows with
        width^2, whatever the number formats.
        """
        return self.logic_area + self.unit_area * width**2

    def leakage(self, width: int) -> float:
        """Leakage power of the accelerator [W]: the anchor's density times the area."""
        return self.anchor.constant("leakage_density") * self.area(width)
