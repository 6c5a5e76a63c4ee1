"""Memories as rows of one table; embeddings, their mask and the parameters each name a row.

time of a bit    max(period, latency) / word
macros           ceil(bits / macro)
leakage          all the time, or only while a macro is read where it is gated and remembers
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MemoryRows:
    """Memories of a machine; every array of shape (rows,).

    Attributes:
        names: Of the rows.
        read: Energy of reading a bit [J].
        latency: Of reading a word [s].
        per_word: One over the bits of a word [1/bit].
        leakage: Of a macro that is powered [W].
        standby: The same while it is not read [W]: 0 where idle macros are gated and remember.
        per_bit: Macros that a bit takes [1/bit]; 0 for a memory off the chip.
        area: Of a macro [m^2].
        core: 1 where the memory is on the supply of the logic, so that its energy scales with V^2
            and its leakage with the logic's; else 0.
        single: Row of the memory that holds what must not be misread (masks, weights beside
            multi-level data).
        volatile: 1 where it forgets without power, else 0.
        write: Energy of writing a bit [J]; NaN where it is not characterised.
        write_latency: Of writing a word [s]; likewise.
    """

    names: tuple[str, ...]
    read: FloatArray
    latency: FloatArray
    per_word: FloatArray
    leakage: FloatArray
    standby: FloatArray
    per_bit: FloatArray
    area: FloatArray
    core: FloatArray
    single: NDArray[np.intp]
    volatile: FloatArray
    write: FloatArray
    write_latency: FloatArray

    def followed_by(self, other: "MemoryRows") -> "MemoryRows":
        """These rows and then the others, whose `single` counts from the first of these."""
        columns = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
            if f.name != "names"
        }
        return MemoryRows(names=(*self.names, *other.names), **columns)

    def bit_time(self, row: NDArray[np.intp], period: FloatArray) -> FloatArray:
        """Time of a bit at the slower of memory and clock [s].

        Args:
            row: Of the memory, any shape.
            period: Of the clock [s], broadcast against it.
        """
        slower = np.maximum(period, self.latency.take(row))
        return np.asarray(slower * self.per_word.take(row))

    def macros(self, row: NDArray[np.intp], bits: FloatArray) -> FloatArray:
        """Whole macros that hold a number of bits [1]; 0 off the chip."""
        return np.asarray(np.ceil(bits * self.per_bit.take(row)))
