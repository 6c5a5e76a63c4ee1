"""A sparse tensor in non-volatile memory: non-zeros in any cell, the bit mask in single-level ones.

A fault in the mask shifts every value after it, so EdgeBERT (arXiv 2011.14203) keeps the mask in
single-level cells and only the values in multi-level ones. Whole 2 MiB macros, as characterised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import FloatArray, require_range
from hw_models.faults import value_faults
from hw_models.memory import MACRO_WORD_BITS, Envm, mask_cell, renamed
from hw_models.sram import Sram
from hw_models.table import Table, label, shipped

Places: TypeAlias = tuple[tuple[NDArray[np.intp], FloatArray], tuple[NDArray[np.intp], FloatArray]]
"""Memory row and bits kept there: of the data, and of the mask."""

_REST_CELL: Mapping[str, str] = {
    "rram_mlc2": "rram",
    "rram_mlc3": "rram_mlc2",
    "fefet_mlc2": "fefet",
}
"""Multi-level cell -> the one that takes the bits left over; 8 bits at 3 leave 2, 7 leave 1."""


def _array_model() -> Envm:
    return Envm(shipped("envm_array_22nm"))


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """What keeping one sparse tensor costs; every array of shape (n,).

    Attributes:
        data_bits: Non-zero values [bit].
        mask_bits: Bit mask [bit]; zero where dense storage is smaller.
        macros: Whole 2 MiB macros of both kinds [1].
        area: [m^2].
        leakage: While all are powered [W].
        write_energy: Of writing everything once [J].
        write_time: The same, word after word [s].
        writes: Times everything may be rewritten before cells fail [1].
        retention: Time without power until it is forgotten [s].
        faulty: Expected values with a faulty cell [1].
    """

    data_bits: FloatArray
    mask_bits: FloatArray
    macros: FloatArray
    area: FloatArray
    leakage: FloatArray
    write_energy: FloatArray
    write_time: FloatArray
    writes: FloatArray
    retention: FloatArray
    faulty: FloatArray


@dataclass(frozen=True, slots=True)
class SparseStore:
    """Non-volatile memory for bit-mask sparse tensors.

    Attributes:
        envm: Macros, with write_energy and write_latency in their table: envm_array_22nm (array
            model) or envm_macro (published macros); which one is a statement about trust, so
            results should be shown with both.
        cells: Bits, endurance and retention of a cell.
        faults: Fault rate of a cell.
    """

    envm: Envm = field(default_factory=_array_model)
    cells: Table = field(default_factory=partial(shipped, "envm_cells"))
    faults: Table = field(default_factory=partial(shipped, "envm_faults"))

    @property
    def evidence(self) -> Label:
        """Weakest link of everything that `keep` returns."""
        return label(self.envm.table, self.cells, self.faults)

    def keep(
        self, cell: NDArray[Any], elements: FloatArray, sparsity: FloatArray, bits: FloatArray
    ) -> StoredTensor:
        """Size, area, leakage, writing and soundness of a stored tensor.

        Args:
            cell: Cell of the non-zeros, a row of all three tables, shape (n,).
            elements: Elements of the tensor [1], at least 1, shape (n,).
            sparsity: Fraction of zeros [1], 0 to 1, shape (n,).
            bits: Width of a value [bit], 1 to 16, shape (n,).

        Raises:
            ValueError: If a cell is unknown to a table, or a value is out of range.
        """
        data, mask = _image(elements, sparsity, bits)
        places = self._places(cell, data, mask)
        rows = self.envm.rows()
        counts = [rows.macros(row, kept) for row, kept in places]
        energy, latency = self._write(cell)
        guard_energy, guard_latency = self._write(mask_cell(cell) if self._apart else cell)
        words, mask_words = data / MACRO_WORD_BITS, mask / MACRO_WORD_BITS
        writes, retention = self.cells.at(cell, "endurance", "retention")
        return StoredTensor(
            data,
            mask,
            counts[0] + counts[1],
            _each(rows.area, places, counts),
            _each(rows.leakage, places, counts),
            words * energy + mask_words * guard_energy,
            words * latency + mask_words * guard_latency,
            writes,
            retention,
            data / bits * self._value_faults(cell, bits),
        )

    def read(
        self, cell: NDArray[Any], elements: FloatArray, sparsity: FloatArray, bits: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Energy [J] and time [s], word after word, of reading some elements; arguments as `keep`.

        Raises:
            ValueError: As `keep`.
        """
        data, mask = _image(elements, sparsity, bits)
        places, rows = self._places(cell, data, mask), self.envm.rows()
        read = [kept for _, kept in places]
        times = [kept * rows.bit_time(row, np.zeros(1)) for row, kept in places]
        return _each(rows.read, places, read), times[0] + times[1]

    def _places(self, cell: NDArray[Any], data: FloatArray, mask: FloatArray) -> Places:
        """Macros of the values, with the mask where it is not apart, and macros of the mask."""
        row = self.envm.cell_rows(cell)
        single = self.envm.rows().single.take(row)
        own = mask * (single != row)
        return (row, (data + mask) - own), (single, own)

    @property
    def _apart(self) -> bool:
        return self.envm.mask == "single_level"

    def _write(self, cell: NDArray[Any]) -> tuple[FloatArray, ...]:
        return self.envm.table.at(cell, "write_energy", "write_latency")

    def _value_faults(self, cell: NDArray[Any], bits: FloatArray) -> FloatArray:
        (cell_bits,) = self.cells.at(cell, "cell_bits")
        (rate,) = self.faults.at(cell, "fault_rate")
        rest = np.where(bits % cell_bits == 1, mask_cell(cell), renamed(cell, _REST_CELL))
        (rest_rate,) = self.faults.at(rest, "fault_rate")
        return value_faults(bits, cell_bits, rate, rest_rate)


@dataclass(frozen=True, slots=True)
class PowerOn:
    """What it takes to have parameters on chip after power-on if they are kept in DRAM.

    Non-volatile memory needs none of it: that difference, times the power-ons, is its worth.

    Attributes:
        dram: Transfer energy by technology.
        technology: Row of that table.
        sram: Banks that the parameters are written into.
        bank_bytes: Capacity of one bank [byte], within the characterised ones.
    """

    dram: Table = field(default_factory=lambda: shipped("dram"))
    technology: str = "lpddr4"
    sram: Sram = field(default_factory=Sram)
    bank_bytes: float = 2.0**20

    def load(self, bits: FloatArray, bandwidth: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energy [J] and time [s] of loading, shape (n,); DRAM start-up and refresh left out.

        Args:
            bits: Bits to load [bit], shape (n,).
            bandwidth: Of the DRAM port [bit/s], shape (n,), above 0.

        Raises:
            ValueError: If a bandwidth is not positive.
        """
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("bandwidth", bandwidth, limits, "bit/s", "a port that moves something")
        (transfer,) = self.dram.at(np.array([self.technology]), "transfer_energy")
        word = self.sram.write(self.bank_bytes).of(MACRO_WORD_BITS)
        return bits * (transfer + word / MACRO_WORD_BITS), bits / bandwidth


def _each(quantity: FloatArray, places: Places, amounts: list[FloatArray]) -> FloatArray:
    """Sum over both kinds of macro of a quantity times an amount, shape (n,)."""
    (data, _), (mask, _) = places
    return np.asarray(quantity.take(data) * amounts[0] + quantity.take(mask) * amounts[1])


def _image(
    elements: FloatArray, sparsity: FloatArray, bits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Data and mask bits: sparse, or dense where that is smaller, as `cost.coding.stored_bits`."""
    require_range("elements", elements, (1.0, np.inf), "1", "a tensor")
    require_range("sparsity", sparsity, (0.0, 1.0), "1", "a fraction")
    require_range("bits", bits, (1.0, 16.0), "bit", "the number formats")
    packed = (1.0 - sparsity) * bits
    sparse = packed + 1.0 < bits
    return elements * np.where(sparse, packed, bits), elements * sparse
