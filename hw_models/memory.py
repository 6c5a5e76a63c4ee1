"""Non-volatile memory on the chip: whole 2 MiB macros, masks and weights in single-level cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray, require_one_of
from hw_models.cost.memory import MemoryRows
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

SINGLE_LEVEL: Mapping[str, str] = {
    "rram_mlc2": "rram", "rram_mlc3": "rram", "fefet_mlc2": "fefet"
}  # fmt: skip
"""Multi-level cell -> the single-level one of the same technology."""


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
    _rows: MemoryRows = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_one_of("idle", self.idle, get_args(IdleMacros))
        require_one_of("mask", self.mask, get_args(MaskCell))
        object.__setattr__(self, "_rows", self._built())

    def _built(self) -> MemoryRows:
        columns = self.table.columns
        names = tuple(columns[self.table.key].tolist())
        single = {name: SINGLE_LEVEL.get(name, name) for name in names}
        if self.mask == "same":
            single = {name: name for name in names}
        forgets = columns["volatile"]
        unknown = np.full(len(names), np.nan)
        return MemoryRows(
            names=names,
            read=columns["read_energy"] / MACRO_WORD_BITS,
            latency=columns["read_latency"],
            per_word=np.full(len(names), 1.0 / MACRO_WORD_BITS),
            leakage=columns["leakage"],
            standby=columns["leakage"] * (1.0 if self.idle == "powered" else forgets > 0),
            per_bit=np.full(len(names), 1.0 / (8.0 * MACRO_BYTES)),
            area=columns["area"],
            core=np.zeros(len(names)),
            single=np.array(
                [names.index(cell) if cell in names else -1 for cell in single.values()], np.intp
            ),
            volatile=forgets,
            write=columns.get("write_energy", unknown) / MACRO_WORD_BITS,
            write_latency=columns.get("write_latency", unknown),
        )

    def rows(self) -> MemoryRows:
        """The macros of each cell of the table, in its order."""
        return self._rows

    def cell_rows(self, cell: NDArray[Any]) -> NDArray[np.intp]:
        """Row of each cell, shape (n,).

        Args:
            cell: Cell names, shape (n,).

        Raises:
            ValueError: If a name, or the single-level cell that its mask needs, is not in the
                table; the message lists the names.
        """
        rows = self.table.rows(cell)
        if (self._rows.single.take(rows) < 0).any():
            self.table.rows(mask_cell(cell))  # says which single-level cell is not there
        return rows


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
    """Whole 2 MiB macros that hold a number of bits [1], shape (n,)."""
    return np.asarray(np.ceil(bits / (8.0 * MACRO_BYTES)))
