"""Supply voltage to frequency, energy and leakage, from a table that never extrapolates."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_models.columns import FloatArray
from hw_models.grid import Lines
from hw_models.table import Table, shipped


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Voltage/frequency pairs of a design and what they do to its energy and leakage.

    Clocks are those of the table, whatever chip it describes. Energy and leakage are ratios to the
    supply at which the user of these points is characterised, so a table whose leakage_scale is 1
    at another voltage serves too.

    Attributes:
        table: Columns vdd [V] (key), f_max [Hz] increasing, leakage_scale [1] to any voltage.
        nominal_vdd: Supply [V] at which energies are characterised, within the table.
    """

    table: Table = field(default_factory=partial(shipped, "dvfs_12nm"))
    nominal_vdd: float = 0.8
    _lines: Lines = field(init=False, repr=False, compare=False)
    _nominal: FloatArray = field(init=False, repr=False, compare=False)  # supply, shape ()
    _nominal_leakage: FloatArray = field(init=False, repr=False, compare=False)  # shape ()

    def __post_init__(self) -> None:
        f_max = self.table.columns["f_max"]
        if not (f_max[:-1] < f_max[1:]).all():
            raise ValueError(
                f"f_max = {f_max.tolist()} Hz must strictly increase with vdd, "
                f"table '{self.table.name}'"
            )
        lines = self.table.lines("f_max", "leakage_scale")
        nominal = np.array([float(self.nominal_vdd)])
        scale = float(lines.at(self.table.inside(nominal))[1][0])
        if not scale > 0:
            raise ValueError(
                f"leakage_scale = {scale:g} at nominal_vdd = {self.nominal_vdd} V must be "
                f"positive, table '{self.table.name}'"
            )
        object.__setattr__(self, "_lines", lines)
        object.__setattr__(self, "_nominal", nominal.reshape(()))
        object.__setattr__(self, "_nominal_leakage", np.array(scale))

    def at(self, vdd: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Frequency limit, energy scale and leakage scale: exact on rows, linear between.

        Args:
            vdd: Supply [V], shape (n,), within the table.

        Returns:
            f_max [Hz]; dynamic energy relative to nominal, (vdd/nominal)^2 [1]; leakage power
            relative to nominal [1]; each of shape (n,).

        Raises:
            ValueError: If a voltage lies outside the table.
        """
        f_max, leakage = self._lines.at(self.table.inside(vdd))
        relative = vdd / self._nominal
        return f_max, relative * relative, leakage / self._nominal_leakage

    def lowest_vdd(self, frequency: FloatArray) -> FloatArray:
        """Lowest row of the table whose f_max suffices: a regulator has steps, so rows only.

        Args:
            frequency: Wanted clock [Hz], shape (n,), above 0 and at most the table's highest f_max.

        Returns:
            Supply [V], shape (n,).

        Raises:
            ValueError: If no row is fast enough, or a frequency is not positive.
        """
        f_max = self.table.columns["f_max"]
        if frequency.size and not (frequency.min() > 0 and frequency.max() <= f_max[-1]):
            bad = float(frequency[~((frequency > 0) & (frequency <= f_max[-1]))][0])
            raise ValueError(
                f"frequency = {bad!r} Hz is outside 0 (exclusive) to {f_max[-1]:g} Hz, "
                f"the fastest row of table '{self.table.name}'"
            )
        rows = np.searchsorted(f_max, frequency, side="left")
        return np.asarray(self.table.columns["vdd"][rows], dtype=np.float64)
