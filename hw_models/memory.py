"""Arrays on the chip: whole embedded macros (SRAM or non-volatile), and SRAM buffers and banks."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.table import Table, shipped

IdleMacros: TypeAlias = Literal["powered", "gated"]
"""powered: all macros leak all the time. gated: a non-volatile one leaks only while it is read."""

MACRO_BYTES = 2 * 2**20
"""Capacity of the one macro that the eNVM table characterises [byte]."""

MACRO_WORD_BITS = 64
"""Word of that macro [bit]."""


def _shipped_envm() -> Table:
    return shipped("envm_nvsim_22nm")


def _shipped_sram() -> Table:
    return shipped("sram_cacti_22nm")


@dataclass(frozen=True, slots=True, eq=False)
class Macro:
    """One 2 MiB macro per design row, looked up by cell.

    Attributes:
        area: [m^2], shape (n,).
        read_energy: Per 64-bit word [J], shape (n,).
        read_latency: Per 64-bit word [s], shape (n,).
        leakage: While powered [W], shape (n,).
        volatile: 1 where the cell forgets without power, else 0; shape (n,).
    """

    area: FloatArray
    read_energy: FloatArray
    read_latency: FloatArray
    leakage: FloatArray
    volatile: FloatArray


@dataclass(frozen=True, slots=True)
class Envm:
    """Embedded memory built from whole 2 MiB macros of one cell, on a supply of its own.

    Only the 2 MiB point is characterised, so any other capacity is a number of such macros; what
    the last one has left stays unused and is paid for in area and leakage. Macros share one 64-bit
    port and are not interleaved.

    Attributes:
        table: Columns cell (key), area, read_latency, read_energy, leakage, volatile (SI).
        idle: Whether macros that are not being read stay powered.
    """

    table: Table = field(default_factory=_shipped_envm)
    idle: IdleMacros = "powered"

    def __post_init__(self) -> None:
        if self.idle not in get_args(IdleMacros):
            raise ValueError(f"idle = {self.idle!r} is not one of {list(get_args(IdleMacros))}")

    def at(self, cell: NDArray[Any]) -> Macro:
        """The macro of each design.

        Args:
            cell: Cell names, shape (n,).

        Raises:
            ValueError: If a name is not in the table; the message lists the names.
        """
        return Macro(
            *self.table.at(cell, "area", "read_energy", "read_latency", "leakage", "volatile")
        )

    def leakage_energy(
        self, macro: Macro, macros: FloatArray, time: FloatArray, read_time: FloatArray
    ) -> FloatArray:
        """Leakage of all macros over one sentence [J], shape (n,).

        Args:
            macro: One macro per design.
            macros: Number of macros [1], shape (n,).
            time: Duration of the sentence [s], shape (n,).
            read_time: Part of it in which one macro is being read [s], shape (n,), at most `time`.
        """
        always = macros * time
        if self.idle == "powered":
            return macro.leakage * always
        return macro.leakage * np.where(macro.volatile > 0, always, read_time)


def macros_needed(bits: FloatArray) -> FloatArray:
    """Whole 2 MiB macros that hold so many bits [1], shape (n,)."""
    return np.ceil(bits / (8.0 * MACRO_BYTES))


@dataclass(frozen=True, slots=True)
class Sram:
    """On-chip SRAM of the accelerator's process: closed forms fitted to CACTI, scaled to 12 nm.

    Energies hold at the nominal supply; the caller scales them with the square of the voltage.

    Attributes:
        table: One row of fit coefficients, with the range in which they were fitted.
    """

    table: Table = field(default_factory=_shipped_sram)

    def access_energy(self, capacity: float, word_bits: FloatArray) -> FloatArray:
        """Energy of reading, or of writing, one word [J], shape (n,).

        A word narrower than the narrowest fitted one costs as much as that; one wider than the
        widest takes several accesses.

        Args:
            capacity: Array size [byte], within the fitted range.
            word_bits: Bits of the word [bit], shape (n,).

        Raises:
            ValueError: If the capacity is outside the fitted range.
        """
        c = self.table.constant
        kib = self._kib(capacity)
        scale = c("read_scale") * kib ** c("read_exponent") * c("energy_scaling")
        widest = c("widest")
        bits = np.maximum(word_bits, c("narrowest"))
        if bits.size and bits.max() > widest:
            accesses = np.ceil(bits / widest)
            return np.asarray(scale * (accesses * c("word_offset") + bits), dtype=np.float64)
        return np.asarray(scale * (c("word_offset") + bits), dtype=np.float64)

    def area(self, capacity: float) -> float:
        """Area of one array [m^2]; capacity [byte] within the fitted range."""
        c = self.table.constant
        growth = self._kib(capacity) ** c("area_exponent")
        return float(c("area_scale") * growth * c("area_scaling"))

    def access_time(self, capacity: float) -> float:
        """Time of one access [s]; capacity [byte] within the fitted range."""
        c = self.table.constant
        growth = self._kib(capacity) ** c("access_exponent")
        return float(c("access_scale") * growth * c("delay_scaling"))

    @property
    def bank_leakage(self) -> float:
        """Leakage of one 1 MiB bank at the nominal supply [W]."""
        return self.table.constant("bank_leakage")

    def _kib(self, capacity: float) -> float:
        low, high = self.table.constant("smallest"), self.table.constant("largest")
        if not low <= capacity <= high:
            raise ValueError(
                f"capacity = {capacity:g} byte is outside {low:g} to {high:g} byte, "
                f"the range of table '{self.table.name}'"
            )
        return capacity / 2**10
