"""What memory cells do to the numbers in them: bits per cell and misreadings, from the tables."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dse.accuracy.compression.cell_errors import Cells
from dse.core.signature import Signature
from dse.core.space import Columns
from hw_models import shipped
from hw_models.faults import level_misreads


@dataclass(frozen=True, slots=True)
class CellBits:
    """Evaluator: bits per cell of a memory, so that memories alike to the network share a run."""

    signature: ClassVar[Signature] = Signature(
        {"envm_cell": "choice"}, {"cell_bits": "bit"}, {"cell_bits": "closed form"}
    )

    def __call__(self, columns: Columns) -> Columns:
        """Bits per cell [bit], shape (n,); SRAM stores one."""
        table = shipped("envm_cells").columns
        known = {"sram": 1.0, **dict(zip(table["cell"], table["cell_bits"], strict=True))}
        return {"cell_bits": np.array([float(known[cell]) for cell in columns["envm_cell"]])}


def misread_cells() -> tuple[Cells, ...]:
    """Misreadings of resistive cells of 2 and 3 bits; those of 1 bit are below 1e-16 (table)."""
    levels = shipped("rram_levels").columns
    down: dict[int, tuple[float, ...]] = {}
    up: dict[int, tuple[float, ...]] = {}
    for bits in (1, 2, 3):
        rows = levels["cell_bits"] == bits
        lower, upper = level_misreads(levels["mean"][rows], levels["deviation"][rows])
        down[bits], up[bits] = tuple(lower.tolist()), tuple(upper.tolist())
    return tuple(
        Cells(bits, {b: down[b] for b in down if b <= bits}, {b: up[b] for b in up if b <= bits})
        for bits in (2, 3)
    )
