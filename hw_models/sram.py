"""SRAM of the accelerator's process: runs of CACTI, interpolated and scaled to 12 nm.

A size that is characterised is answered as it is. Between two every quantity is a power law (a line
in log-log), between two words an energy is a line. CACTI picks another organisation from one size
to the next, so its numbers jump around any smooth law. Two rules follow:

    where it asks less for a larger size or a wider word than for a smaller one, both are charged
    halfway (the mean of running maximum and running minimum), so that cost never falls with size
    a gap across which a quantity grows by more than 21 % is refused: the organisation changes
    inside, and no line through it could be within 10 % = sqrt(1.21) - 1 on both sides of the change
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_models.columns import FloatArray, require_range
from hw_models.grid import Grid, Lines
from hw_models.table import Table, shipped

JUMP = 1.21
"""Growth of any quantity from one characterised capacity to the next [1], above which nothing is
answered between the two."""


@dataclass(frozen=True, slots=True, eq=False)
class WordEnergy:
    """Energy of one access to one array, over the width of its word.

    Attributes:
        words: Characterised words [bit], shape (k,), increasing.
        energies: Of one access [J], shape (k,), never decreasing.
    """

    words: FloatArray
    energies: FloatArray

    def at(self, bits: FloatArray) -> FloatArray:
        """Energy of one access [J], shape (n,); below the narrowest word it costs as much as that.

        Args:
            bits: Word [bit], shape (n,), at most the widest characterised one.

        Raises:
            ValueError: If a word is wider.
        """
        require_range("word", bits, (0.0, float(self.words[-1])), "bit", "the characterised words")
        return np.asarray(np.interp(bits, self.words, self.energies), dtype=np.float64)

    def lines(self) -> Lines:
        """As `at`, for who reads it often and never beyond the widest word."""
        # Level from no bits at all to the narrowest word.
        costs = np.append(self.energies[0], self.energies)
        return Lines(Grid(np.append(0.0, self.words)), costs)

    def of(self, bits: float) -> float:
        """Energy of one access [J]; as `at` for one word.

        Raises:
            ValueError: As `at`.
        """
        return float(self.at(np.array([bits]))[0])


@dataclass(frozen=True, slots=True)
class Sram:
    """Arrays of one port and one bank.

    Energies and leakage hold at the nominal supply; the caller scales them with its voltage. Area,
    time and leakage are those of a 128-bit word.

    Attributes:
        arrays: By capacity: area, access, leakage, and read_w and write_w for every word of w bit.
        scaling: One row: energy_scaling, area_scaling, delay_scaling, leakage_scaling from the
            process of `arrays` to the accelerator's.
    """

    arrays: Table = field(default_factory=partial(shipped, "sram_cacti_22nm"))
    scaling: Table = field(default_factory=partial(shipped, "sram_scaling_12nm"))
    _costs: Mapping[str, FloatArray] = field(init=False, repr=False, compare=False)
    _growth: FloatArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = self.arrays.columns
        costs = {n: _never_falling(column) for n, column in columns.items() if n != "capacity"}
        steps = np.stack([cost[1:] / cost[:-1] for cost in costs.values()])
        object.__setattr__(self, "_costs", costs)
        object.__setattr__(self, "_growth", np.append(1.0, steps.max(axis=0)))

    @property
    def tables(self) -> tuple[Table, Table]:
        """Both tables that every number rests on."""
        return self.arrays, self.scaling

    def read(self, capacity: float) -> WordEnergy:
        """Energy of reading a word, for an array of so many bytes.

        Raises:
            ValueError: If the capacity is not characterised.
        """
        return self._energy("read", capacity)

    def write(self, capacity: float) -> WordEnergy:
        """Energy of writing a word, for an array of so many bytes.

        Raises:
            ValueError: If the capacity is not characterised.
        """
        return self._energy("write", capacity)

    def area(self, capacity: float) -> float:
        """Area of one array [m^2]; errors as `read`."""
        return self._at("area", capacity) * self.scaling.constant("area_scaling")

    def access_time(self, capacity: float) -> float:
        """Time of one access [s]; errors as `read`."""
        return self._at("access", capacity) * self.scaling.constant("delay_scaling")

    def leakage(self, capacity: float) -> float:
        """Leakage power of one array at the nominal supply [W]; errors as `read`."""
        return self._at("leakage", capacity) * self.scaling.constant("leakage_scaling")

    def _energy(self, access: str, capacity: float) -> WordEnergy:
        names = [name for name in self.arrays.columns if name.startswith(f"{access}_")]
        energies = np.array([self._at(name, capacity) for name in names])
        scaled = _never_falling(energies) * self.scaling.constant("energy_scaling")
        return WordEnergy(np.array([float(name.rpartition("_")[2]) for name in names]), scaled)

    def _at(self, column: str, capacity: float) -> float:
        sizes = self.arrays.columns["capacity"]
        if not sizes[0] <= capacity <= sizes[-1]:
            raise ValueError(
                f"capacity = {capacity:g} byte is outside {sizes[0]:g} to {sizes[-1]:g} byte, "
                f"the range of table '{self.arrays.name}'"
            )
        row = int(np.searchsorted(sizes, capacity))
        if capacity != sizes[row] and self._growth[row] > JUMP:
            raise ValueError(
                f"capacity = {capacity:g} byte is between {sizes[row - 1]:g} and {sizes[row]:g} "
                f"byte, where the organisation changes; table '{self.arrays.name}' has both ends"
            )
        return float(
            np.exp(np.interp(np.log(capacity), np.log(sizes), np.log(self._costs[column])))
        )


def _never_falling(costs: FloatArray) -> FloatArray:
    """Costs between their running maximum and minimum, shape (k,); themselves where they rise."""
    least = np.minimum.accumulate(costs[::-1])[::-1]
    return np.asarray(np.sqrt(np.maximum.accumulate(costs) * least), dtype=np.float64)
