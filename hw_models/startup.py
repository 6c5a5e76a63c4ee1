"""What an accelerator has to load when power comes; formulas in `hw_models.systems.power_on`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dse.core.signature import Signature
from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray
from hw_models.systems.power_on import OUTPUTS, power_on, require_written


@dataclass(frozen=True, slots=True)
class Startup:
    """Evaluator: the parameter image of an accelerator, and energy and time of loading it.

    Attributes:
        chip: The machine; its macros need write_energy and write_latency in their table.
    """

    chip: Accelerator

    inputs: ClassVar[Mapping[str, str]] = {
        "pruning_ratio": "1",
        "weight_bits": "bit",
        "envm_cell": "choice",
        "vdd": "V",
    }
    outputs: ClassVar[Mapping[str, str]] = OUTPUTS

    def __post_init__(self) -> None:
        require_written(self.chip.storage.envm.table)

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        known = self.chip.chip.evidence
        return Signature(self.inputs, self.outputs, {name: known[name] for name in OUTPUTS})

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Size of the image [byte], energy [J] and time [s] of a power-on, each of shape (n,).

        Args:
            columns: As those of `Accelerator`, each of shape (n,).

        Raises:
            ValueError: If a column is missing or out of range.
        """
        chip = self.chip.chip
        design = chip.design(columns)
        found = power_on(chip.demand(design), chip.machine.technology, chip.on(design.vdd))
        return {name: values + 0.0 * design.vdd for name, values in found.items()}
