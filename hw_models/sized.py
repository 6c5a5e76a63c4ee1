"""The accelerator with its array size and the sequence length as columns.

Both change everything that `Accelerator` works out once, so rows are grouped by the distinct pairs;
a search space has few of them (five arrays, a handful of lengths).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Signature
from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray, pick, require_range, require_whole
from hw_models.datapath import MAC_WIDTHS
from hw_models.stages import Stages
from hw_models.workload import EncoderShape


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

    @property
    def signature(self) -> Signature:
        """Evidence as the accelerator's."""
        return Signature(self.inputs, self.outputs, self.accelerator.signature.evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per sentence [J], p95 latency [s] and chip area [m^2], each of shape (n,).

        Args:
            columns: As for `Accelerator`; mac_width [1], 2, 4, 8, 16 or 32; sequence_length
                [token], padding included, whole, 1 to the network's positions.

        Raises:
            ValueError: If a column is missing or a value is out of range.
        """
        rows, machines = self._machines(columns)
        return _gathered(rows, [machine(part) for machine, part in machines])

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """The outputs by component, as those of `Accelerator.parts`; arguments as for the call.

        Raises:
            ValueError: As the call.
        """
        rows, machines = self._machines(columns)
        found = [machine.parts(part) for machine, part in machines]
        return {name: _gathered(rows, [parts[name] for parts in found]) for name in self.outputs}

    def stages(self, columns: Columns) -> Stages:
        """What the input stage and one layer cost, as `Accelerator.stages`; arrays of shape (n,).

        Args:
            columns: As for the call; the two depth columns are not read.

        Raises:
            ValueError: As the call.
        """
        ones = np.ones(np.shape(columns.get("vdd", ())))
        whole = {**columns, "mean_exit_layer": ones, "p95_exit_layer": ones}
        rows, machines = self._machines(whole)
        found = [machine.stages(part) for machine, part in machines]
        plain = [{"duration": each.duration, "retention": each.retention} for each in found]
        return Stages(
            energy_input=_gathered(rows, [each.energy_input for each in found]),
            energy_layer=_gathered(rows, [each.energy_layer for each in found]),
            time_input=_gathered(rows, [each.time_input for each in found]),
            time_layer=_gathered(rows, [each.time_layer for each in found]),
            area=_gathered(rows, [each.area for each in found]),
            **_gathered(rows, plain),
        )

    @property
    def shape(self) -> EncoderShape:
        """Of the network."""
        return self.accelerator.shape

    def _machines(
        self, columns: Columns
    ) -> tuple[list[NDArray[np.intp]], list[tuple[Accelerator, Columns]]]:
        """Rows that share a machine, and the machine with their columns."""
        taken = dict(zip(self.inputs, pick(columns, tuple(self.inputs)), strict=True))
        width, length = taken.pop("mac_width"), taken.pop("sequence_length")
        require_whole("mac_width", width, "1", "a count")
        require_whole("sequence_length", length, "token", "a count")
        require_range("mac_width", width, (1, max(MAC_WIDTHS)), "1", "the datapath's sizes")
        limits = (1, self.accelerator.shape.longest)
        require_range("sequence_length", length, limits, "token", "the position embedding")
        # Counted, not sorted: both columns are small whole numbers.
        size = width.astype(np.intp) * (limits[1] + 1) + length.astype(np.intp)
        if not len(size):
            return [np.arange(0)], [(self.accelerator, taken)]
        present = np.flatnonzero(np.bincount(size)).tolist()
        rows = [np.flatnonzero(size == one) for one in present]
        machines = [_machine(self.accelerator, *divmod(one, limits[1] + 1)) for one in present]
        parts = [{name: column[where] for name, column in taken.items()} for where in rows]
        return rows, list(zip(machines, parts, strict=True))


def _gathered(
    rows: list[NDArray[np.intp]], found: Sequence[Mapping[str, FloatArray]]
) -> dict[str, FloatArray]:
    """Columns of all rows from those of each machine, shape (n,)."""
    results = {name: np.empty(sum(map(len, rows))) for name in found[0]}
    for where, columns in zip(rows, found, strict=True):
        for name, values in columns.items():
            results[name][where] = values
    return results


@lru_cache(maxsize=256)
def _machine(accelerator: Accelerator, mac_width: int, sequence_length: int) -> Accelerator:
    datapath = replace(accelerator.datapath, mac_width=mac_width)
    return replace(accelerator, datapath=datapath, sequence_length=sequence_length)
