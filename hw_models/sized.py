"""The accelerator with its array size and the sequence length as columns.

Both change everything that `Accelerator` works out once, so rows are grouped by the distinct pairs;
a search space has few of them (five arrays, a handful of lengths).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray, pick, require_range, require_whole
from hw_models.datapath import MAC_WIDTHS
from hw_models.table import Label


@dataclass(frozen=True, slots=True)
class SizedAccelerator:
    """Evaluator: as `Accelerator`, and mac_width and sequence_length read per design.

    Attributes:
        accelerator: Everything else; its own width and length are not used.
    """

    accelerator: Accelerator

    inputs: ClassVar[Mapping[str, str]] = {
        **Accelerator.inputs,
        "mac_width": "1",
        "sequence_length": "token",
    }
    outputs: ClassVar[Mapping[str, str]] = Accelerator.outputs
    cost: ClassVar[Literal["closed form"]] = "closed form"

    @property
    def evidence(self) -> Mapping[str, Label]:
        """Output name -> its weakest link among the tables used."""
        return self.accelerator.evidence

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per sentence [J], p95 latency [s] and chip area [m^2], each of shape (n,).

        Args:
            columns: As for `Accelerator`; mac_width [1], 2, 4, 8, 16 or 32; sequence_length
                [token], padding included, whole, 1 to the network's positions.

        Raises:
            ValueError: If a column is missing or a value is out of range.
        """
        taken = dict(zip(self.inputs, pick(columns, tuple(self.inputs)), strict=True))
        width, length = taken.pop("mac_width"), taken.pop("sequence_length")
        require_whole("mac_width", width, "1", "a count")
        require_whole("sequence_length", length, "token", "a count")
        require_range("mac_width", width, (1, max(MAC_WIDTHS)), "1", "the datapath's sizes")
        limits = (1, self.accelerator.shape.positions)
        require_range("sequence_length", length, limits, "token", "the position embedding")
        results = {name: np.empty(len(width)) for name in self.outputs}
        # Counted, not sorted: both columns are small whole numbers.
        size = width.astype(np.intp) * (limits[1] + 1) + length.astype(np.intp)
        for present in np.flatnonzero(np.bincount(size)):
            rows = np.flatnonzero(size == present)
            machine = _machine(self.accelerator, *divmod(int(present), limits[1] + 1))
            for name, values in machine({k: c[rows] for k, c in taken.items()}).items():
                results[name][rows] = values
        return results


@lru_cache(maxsize=256)
def _machine(accelerator: Accelerator, mac_width: int, sequence_length: int) -> Accelerator:
    datapath = replace(accelerator.datapath, mac_width=mac_width)
    return replace(accelerator, datapath=datapath, sequence_length=sequence_length)
