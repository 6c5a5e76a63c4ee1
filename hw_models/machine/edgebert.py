"""EdgeBERT's accelerator (arXiv 2011.14203) from the tables that characterise it.

Left out: pipeline fill, result writes of the adder tree (1/reduction of the reads), spills of
activations that exceed the input buffer (their weights are streamed once per buffer-full of rows
instead), DRAM standby; regulator and clock generator unless `supply` is given.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import require_one_of
from hw_models.cost.array import KINDS, ArrayKind
from hw_models.cost.memory import MemoryRows
from hw_models.cost.multiply import ZeroGating
from hw_models.cost.technology import Technology, Unit
from hw_models.memory import Envm
from hw_models.operating_points import OperatingPoints
from hw_models.silicon import LANE_BITS, Silicon
from hw_models.storage import WeightStore
from hw_models.supply import Supply
from hw_models.table import Table, label, shipped

PORT_BITS = 64
"""Data port of the accelerator [bit per cycle]: 64-bit AXI master, EdgeBERT RTL."""

BANK_BYTES = 2**20
"""Capacity of one SRAM bank for resident weights [byte]."""

BANK_WORD_BITS = 128
"""Word of that bank [bit]."""

STORES: tuple[str, ...] = get_args(WeightStore)
"""Where parameters live."""


@dataclass(frozen=True, slots=True)
class InitiationIntervals:
    """Cycles per state of each special-function unit [cycle]; defaults as in the HLS scripts."""

    softmax: float = 3.0
    layer_norm: float = 3.0
    add: float = 1.0
    entropy: float = 4.0

    def __post_init__(self) -> None:
        for name in ("softmax", "layer_norm", "add", "entropy"):
            if not getattr(self, name) >= 1.0:
                raise ValueError(
                    f"{name} = {getattr(self, name)} cycle must be at least 1: one state a cycle"
                )

    def units(self) -> Mapping[str, Unit]:
        """States of each unit, from EdgeBERT's state machines, with its interval."""
        return {
            "softmax": Unit(9.0, 1.0, self.softmax),
            "norm": Unit(9.0, 2.0, self.layer_norm),
            "add": Unit(6.0, 1.0, self.add),
            "entropy": Unit(4.0, 2.0, self.entropy),
        }


@dataclass(frozen=True, slots=True)
class ArrayChip:
    """An array, special-function units, buffers and memories, characterised by tables.

    Attributes:
        silicon: Energy, area and leakage of the process.
        envm: Macros of the embeddings.
        points: Voltage/frequency table; each design runs at the limit of its vdd.
        dram: Transfer energies by technology.
        dram_technology: Row of that table.
        supply: Regulator and clock generator whose draw is added to the energy; None: the load
            alone, as the published energies count it.
        array: Kind of array; EdgeBERT's is the adder tree.
        gating: When a zero weight saves the energy of its multiplication.
        initiation: Initiation intervals of the special-function units.
        overlap: Whether streaming hides behind computing (the longer counts) or precedes it.
    """

    silicon: Silicon = field(default_factory=Silicon)
    envm: Envm = field(default_factory=Envm)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    dram: Table = field(default_factory=partial(shipped, "dram"))
    dram_technology: str = "lpddr4"
    supply: Supply | None = None
    array: ArrayKind = "adder_tree"
    gating: ZeroGating = "element"
    initiation: InitiationIntervals = field(default_factory=InitiationIntervals)
    overlap: bool = True
    technology: Technology = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_one_of("array", self.array, tuple(KINDS))
        require_one_of("gating", self.gating, get_args(ZeroGating))
        characterised = self.silicon.nominal_vdd
        if self.points.nominal_vdd != characterised:
            raise ValueError(
                f"nominal_vdd = {self.points.nominal_vdd} V of table '{self.points.table.name}' is "
                f"not {characterised} V, at which the silicon's energies are characterised"
            )
        object.__setattr__(self, "technology", self._built())

    def _built(self) -> Technology:
        silicon = self.silicon
        read, memory = silicon.buffer_read(), self._memory()
        rows = len(memory.names)
        return Technology(
            array=self.array,
            multiply=silicon.law(),
            gating=self.gating,
            units=self.initiation.units(),
            lane=silicon.lane_energy(),
            lane_bits=float(LANE_BITS),
            read=read.lines(),
            auxiliary=silicon.auxiliary_read().lines(),
            write_bit=silicon.buffer_write().of(PORT_BITS) / PORT_BITS,
            buffer_bytes=silicon.buffer_bytes,
            port=float(PORT_BITS),
            overlap=self.overlap,
            memory=memory,
            stores=np.array([-1, rows - 2, rows - 1], dtype=np.intp),
            logic_area=silicon.logic_area,
            unit_area=silicon.unit_area,
            leakage_density=silicon.anchor.constant("leakage_density"),
            points=self.points,
            supply=self.supply,
        )

    def _memory(self) -> MemoryRows:
        """The macros of the table, then a bank, then DRAM behind the port."""
        sram, macros = self.silicon.sram, self.envm.rows()
        (transfer,) = self.dram.at(np.array([self.dram_technology]), "transfer_energy")
        bank_read, bank_write = sram.read(BANK_BYTES), sram.write(BANK_BYTES)
        access, leakage = sram.access_time(BANK_BYTES), sram.leakage(BANK_BYTES)
        bank, away = len(macros.names), len(macros.names) + 1
        return macros.followed_by(
            MemoryRows(
                names=("sram bank", self.dram_technology),
                read=np.array([bank_read.of(BANK_WORD_BITS) / BANK_WORD_BITS, transfer[0]]),
                latency=np.array([access, 0.0]),
                per_word=np.array([1.0 / BANK_WORD_BITS, 1.0 / PORT_BITS]),
                leakage=np.array([leakage, 0.0]),
                standby=np.array([leakage, 0.0]),
                per_bit=np.array([1.0 / (8.0 * BANK_BYTES), 0.0]),
                area=np.array([sram.area(BANK_BYTES), 0.0]),
                core=np.array([1.0, 0.0]),
                volatile=np.array([1.0, 0.0]),
                write=np.array([bank_write.of(BANK_WORD_BITS) / BANK_WORD_BITS, 0.0]),
                write_latency=np.array([access, 0.0]),
                single=np.array([bank, away], dtype=np.intp),
            )
        )

    def cells(self, names: NDArray[np.str_]) -> NDArray[np.intp]:
        """Memory row of each cell, shape (n,).

        Raises:
            ValueError: If a name is not in the macro table; the message lists the names.
        """
        return self.envm.cell_rows(names)

    def evidence(self, stores: Collection[str] = STORES) -> dict[str, Label]:
        """Weakest link of energy, latency, area and power-on among the tables they rest on.

        Args:
            stores: Where parameters may lie, among `STORES`.
        """
        silicon, points, envm = self.silicon, self.points.table, self.envm.table
        loading = label(points, envm, self.dram, *silicon.sram.tables)
        banks = silicon.sram.tables if "sram" in stores else ()
        dram = (self.dram,) if "dram" in stores else ()
        supply = (self.supply.table,) if self.supply else ()
        return {
            "energy": label(*silicon.tables, points, envm, *dram, *supply),
            "latency": label(silicon.anchor, *banks, points, envm),
            "area": label(*silicon.tables, envm),
            "image_bytes": "closed form",
            "power_on_energy": loading,
            "power_on_time": loading,
        }


def edgebert_12nm_first_edition() -> ArrayChip:
    """EdgeBERT's accelerator as the first edition of these models priced it.

    Every physical choice is that edition's, and the numbers of its golden file are reproduced
    within 1e-12, relative.
    """
    return ArrayChip()
