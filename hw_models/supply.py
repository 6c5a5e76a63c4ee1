"""Between the supply rail and the logic: an on-chip linear regulator and a clock generator."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_models.columns import FloatArray, require_range
from hw_models.table import Table, shipped


@dataclass(frozen=True, slots=True)
class Supply:
    """A linear regulator fed from a fixed rail, and a phase-locked loop.

    A linear regulator passes the load's current on, so what the load saves by a lower voltage is
    partly burnt in the regulator: input energy falls with V, not with V^2. EdgeBERT's figures count
    the load alone; so does everything here unless the efficiency is divided out.

    Attributes:
        table: One row: current_efficiency, settling per settling_step, pll_power at pll_frequency,
            largest_load.
        rail: Input of the regulator [V], above 0.
    """

    table: Table = field(default_factory=partial(shipped, "supply_12nm"))
    rail: float = 0.8

    def __post_init__(self) -> None:
        if not self.rail > 0:
            raise ValueError(f"rail = {self.rail} V must be positive")

    def efficiency(self, vdd: FloatArray) -> FloatArray:
        """Load energy over input energy: current efficiency times V_out/V_in [1], shape (n,).

        Args:
            vdd: Output [V], shape (n,), 0 to `rail`; dropout is left out.

        Raises:
            ValueError: If a voltage is above the rail.
        """
        require_range("vdd", vdd, (0.0, self.rail), "V", "the regulator's rail")
        return self.table.constant("current_efficiency") * (vdd / self.rail)

    def switching_time(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """Time until the output has settled on another voltage [s], shape (n,); whole steps.

        Args:
            before: Voltage left [V], shape (n,).
            after: Voltage wanted [V], shape (n,).
        """
        step = self.table.constant("settling_step")
        # A difference of decimal voltages may exceed a whole number of steps by rounding alone.
        steps = np.ceil(np.abs(after - before) / step - 1e-9)
        return np.asarray(steps * self.table.constant("settling"), dtype=np.float64)

    def pll_power(self, frequency: FloatArray) -> FloatArray:
        """Power of the clock generator [W], shape (n,), proportional to the clock [Hz]."""
        c = self.table.constant
        return np.asarray(frequency * (c("pll_power") / c("pll_frequency")), dtype=np.float64)
