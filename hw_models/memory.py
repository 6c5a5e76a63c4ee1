"""Non-volatile memory on the chip: whole 2 MiB macros, masks and weights in single-level cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray, require_one_of
from hw_models.table import Table, shipped

IdleMacros: TypeAlias = Literal["powered", "gated"]
"""powered: all macros leak all the time. gated: a non-volatile one leaks only while it is read."""

MaskCell: TypeAlias = Literal["single_level", "same"]
"""Cell of the bit mask of multi-level data, and of weights: single-level, of the same technology;
or the same."""

MACRO_BYTES = 2 * 2**20
"""Capacity of the one macro that the eNVM table characterises [byte]."""

MACRO_WORD_BITS = 64
"""Word of that macro [bit]."""

# Of what one bit is a part; NumPy is quicker with an array of no dimension than with a number.
_WORD: FloatArray = np.array(1.0 / MACRO_WORD_BITS)
_MACRO: FloatArray = np.array(1.0 / (8.0 * MACRO_BYTES))

SINGLE_LEVEL: Mapping[str, str] = {
    "rram_mlc2": "rram", "rram_mlc3": "rram", "fefet_mlc2": "fefet"
}  # fmt: skip
"""Multi-level cell -> the single-level one of the same technology."""


@dataclass(frozen=True, slots=True, eq=False)
class Macro:
    """One 2 MiB macro per design row, looked up by cell; every array of shape (n,).

    Attributes:
        area: [m^2].
        read_energy: Per bit of a word [J].
        read_latency: Per 64-bit word [s].
        leakage: While powered [W].
        volatile: 1 where the cell forgets without power, else 0.
    """

    area: FloatArray
    read_energy: FloatArray
    read_latency: FloatArray
    leakage: FloatArray
    volatile: FloatArray

    def bit_time(self, period: FloatArray) -> FloatArray:
        """Time of one bit of a word, at the slower of macro and clock [s], shape (n,)."""
        return np.maximum(period, self.read_latency) * _WORD


class Held(NamedTuple):
    """What a batch keeps in macros, or reads from them; every array of shape (n,).

    A tuple, since a call makes many and a frozen dataclass takes twice as long.

    Attributes:
        data: Data, and the mask where it shares their macros.
        mask: What must not be misread (bit masks, weights) in macros of its own; None if it never
            has any.
    """

    data: FloatArray
    mask: FloatArray | None = None

    def plus(self, other: "Held") -> "Held":
        """Both together."""
        if self.mask is None or other.mask is None:
            return Held(self.data + other.data)
        return Held(self.data + other.data, self.mask + other.mask)

    def times(self, factor: "Held | FloatArray") -> "Held":
        """Data and mask each times its factor, or both times one."""
        data, mask = (factor.data, factor.mask) if isinstance(factor, Held) else (factor, factor)
        own = None if self.mask is None or mask is None else self.mask * mask
        return Held(self.data * data, own)

    def row(self, index: int) -> "Held":
        """One row of both, where they have shape (k, n)."""
        return Held(self.data[index], None if self.mask is None else self.mask[index])

    @property
    def total(self) -> FloatArray:
        """Data and mask, shape (n,)."""
        return self.data if self.mask is None else self.data + self.mask


@dataclass(frozen=True, slots=True, eq=False)
class Macros:
    """The macros of a batch: of the data, and of the bit mask where that lies in other cells.

    Attributes:
        data: Macro of the data.
        mask: Single-level macro of what must not be misread; None if that shares the macros of the
            data in every design.
        apart: Whether a design has such macros beside those of its data, shape (n,); None with
            `mask`.
    """

    data: Macro
    mask: Macro | None = None
    apart: NDArray[np.bool_] | None = None

    @property
    def split(self) -> bool:
        """Whether any design keeps something in macros other than those of its data."""
        return self.mask is not None

    def held(self, bits: FloatArray, mask: FloatArray) -> Held:
        """Bits by kind of macro.

        Args:
            bits: All together [bit], shape (n,).
            mask: Part of it that must not be misread [bit], shape (n,).
        """
        if self.apart is None:
            return Held(bits)
        own = mask * self.apart
        return Held(bits - own, own)

    def count(self, bits: Held) -> Held:
        """Whole macros that hold so many bits [1]."""
        mask = None if bits.mask is None else macros_needed(bits.mask)
        return Held(macros_needed(bits.data), mask)

    def area(self, count: Held) -> FloatArray:
        """Area of so many macros [m^2], shape (n,)."""
        return self._sum("area", count)

    def leakage(self, count: Held) -> FloatArray:
        """Leakage power of so many macros, all powered [W], shape (n,)."""
        return self._sum("leakage", count)

    def read_energy(self, bits: Held) -> FloatArray:
        """Energy of reading so many bits [J], shape (n,)."""
        return self._sum("read_energy", bits)

    def bit_time(self, period: FloatArray) -> Held:
        """Time of reading one bit of either kind [s]; they share one port, so times add up.

        Args:
            period: Clock period [s], shape (n,).
        """
        mask = None if self.mask is None else self.mask.bit_time(period)
        return Held(self.data.bit_time(period), mask)

    def leakage_energy(
        self, idle: IdleMacros, count: Held, duration: FloatArray, reading: Held
    ) -> FloatArray:
        """Leakage of all macros over one sentence [J], shape (n,).

        Args:
            idle: Whether macros that are not being read stay powered.
            count: Macros.
            duration: Of the sentence [s], shape (n,).
            reading: Part of it in which one macro is being read [s].
        """
        if idle == "powered":
            return self.leakage(count) * duration
        energy = _gated(self.data, count.data, duration, reading.data)
        if self.mask is None or count.mask is None or reading.mask is None:
            return energy
        return energy + _gated(self.mask, count.mask, duration, reading.mask)

    def retention(self, idle: IdleMacros, count: Held) -> FloatArray:
        """Leakage power of macros that nobody reads and that must not forget [W], shape (n,)."""
        second = np.ones_like(count.data)
        return self.leakage_energy(idle, count, second, count.times(np.zeros_like(second)))

    def _sum(self, quantity: str, amount: Held) -> FloatArray:
        data: FloatArray = getattr(self.data, quantity) * amount.data
        if self.mask is None or amount.mask is None:
            return data
        return np.asarray(data + getattr(self.mask, quantity) * amount.mask, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Envm:
    """Embedded memory built from whole 2 MiB macros of one cell, on a supply of its own.

    Only the 2 MiB point is characterised, so any other capacity is a number of such macros; what
    the last one has left stays unused and is paid for in area and leakage. Macros share one 64-bit
    port and are not interleaved.

    A fault in the bit mask of a sparse tensor shifts every value after it, so EdgeBERT (arXiv
    2011.14203) keeps the mask in single-level cells and only the values in multi-level ones. So it
    is here, in macros of their own, unless `mask` puts it with the data at that risk. Weights go
    with the mask: no accuracy run passes faults through them.

    Attributes:
        table: Columns cell (key), area, read_latency, read_energy, leakage, volatile (SI).
        idle: Whether macros that are not being read stay powered.
        mask: Where the mask of multi-level data lies, and weights if they are in macros.
    """

    table: Table = field(default_factory=partial(shipped, "envm_nvsim_22nm"))
    idle: IdleMacros = "powered"
    mask: MaskCell = "single_level"
    _quantities: FloatArray = field(init=False, repr=False, compare=False)
    _single: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    _several: NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_one_of("idle", self.idle, get_args(IdleMacros))
        require_one_of("mask", self.mask, get_args(MaskCell))
        known = self.table.columns[self.table.key].tolist()
        single = [SINGLE_LEVEL.get(cell, cell) for cell in known]
        rows = [known.index(cell) if cell in known else -1 for cell in single]
        columns = dict(self.table.columns)
        columns["read_energy"] = columns["read_energy"] * _WORD  # exact: a power of two
        quantities = np.array([columns[f.name] for f in fields(Macro)])
        object.__setattr__(self, "_quantities", quantities)
        object.__setattr__(self, "_single", np.array(rows, dtype=np.intp))
        object.__setattr__(self, "_several", np.array(known) != np.array(single))

    def at(self, cell: NDArray[Any]) -> Macros:
        """The macros of each design.

        Args:
            cell: Cell names, shape (n,).

        Raises:
            ValueError: If a name is not in the table; the message lists the names.
        """
        rows = self.table.rows(cell)
        several = self._several.take(rows)
        if self.mask == "same" or not np.count_nonzero(several):
            return Macros(self._macro(rows))
        single = self._single.take(rows)
        if (single < 0).any():
            self.table.rows(mask_cell(cell))  # says which single-level cell is not there
        return Macros(self._macro(rows), self._macro(single), several)

    def _macro(self, rows: NDArray[np.intp]) -> Macro:
        """The macros of some rows of the table."""
        return Macro(*self._quantities.take(rows, axis=1))


def mask_cell(cell: NDArray[Any]) -> NDArray[Any]:
    """Cell in which the bit mask belongs [choice], shape (n,): the single-level one."""
    return renamed(cell, SINGLE_LEVEL)


def renamed(cell: NDArray[Any], names: Mapping[str, str]) -> NDArray[Any]:
    """The cells named by a mapping, themselves where it names none; shape (n,)."""
    longest = max([cell.dtype.itemsize // 4, *map(len, names.values())])
    other = cell.astype(f"U{longest}")
    for name, substitute in names.items():
        other[cell == name] = substitute
    return other


def macros_needed(bits: FloatArray) -> FloatArray:
    """Whole 2 MiB macros that hold so many bits [1], shape (n,)."""
    return np.ceil(bits * _MACRO)


def _gated(
    macro: Macro, count: FloatArray, duration: FloatArray, reading: FloatArray
) -> FloatArray:
    powered = np.where(macro.volatile > 0, count * duration, reading)
    return np.asarray(macro.leakage * powered, dtype=np.float64)
