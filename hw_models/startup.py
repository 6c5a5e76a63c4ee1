"""What a chip has to load when power comes: volatile memories get their parameters from DRAM.

    image  = bits of embeddings, weights and masks, as they are stored
    lost   = part of it in memories that forget: SRAM macros, SRAM banks
    E      = lost E_dram + macros E_write/64 + banks E_write(1 MiB) (V/V0)^2
    t      = macros max(period, t_write)/64 + banks max(period/64, max(period, t_access)/128)

Non-volatile macros, and weights that stay in DRAM, load nothing: that difference, times the
power-ons, is what a non-volatile memory is worth (EdgeBERT, arXiv 2011.14203). DRAM start-up, its
refresh, and writing a non-volatile image for the first time are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dse.core.signature import Label, Signature
from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray, pick, require_range, require_whole
from hw_models.memory import MACRO_WORD_BITS
from hw_models.storage import BANK_BYTES, BANK_WORD_BITS, PORT_BITS
from hw_models.table import label
from hw_models.workload import stored_bits


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
    outputs: ClassVar[Mapping[str, str]] = {
        "image_bytes": "byte",
        "power_on_energy": "J",
        "power_on_time": "s",
    }

    def __post_init__(self) -> None:
        table = self.chip.storage.envm.table
        lacking = {"write_energy", "write_latency"} - table.columns.keys()
        if lacking:
            raise ValueError(
                f"table '{table.name}' has no column {min(lacking)}; loading macros needs it"
            )

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        chip = self.chip
        sram = chip.datapath.silicon.sram.tables
        moved = (chip.points.table, chip.storage.envm.table, chip.storage.dram, *sram)
        evidence: dict[str, Label] = {
            "image_bytes": "closed form",
            "power_on_energy": label(*moved),
            "power_on_time": label(*moved),
        }
        return Signature(self.inputs, self.outputs, evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Size of the image [byte], energy [J] and time [s] of a power-on, each of shape (n,).

        Args:
            columns: As those of `Accelerator`, each of shape (n,).

        Raises:
            ValueError: If a column is missing or out of range.
        """
        pruning, bits, cell, vdd = pick(columns, tuple(self.inputs))
        require_range("pruning_ratio", pruning, (0.0, 1.0), "1", "a fraction")
        require_range("weight_bits", bits, self.chip.datapath.bit_range, "bit", "the formats")
        require_whole("weight_bits", bits, "bit", "a number format")
        storage, sram = self.chip.storage, self.chip.datapath.silicon.sram
        f_max, energy_scale, _ = self.chip.points.at(np.asarray(vdd, dtype=np.float64))
        period = 1.0 / f_max
        embeddings, weights = self._image(np.asarray(pruning, np.float64), bits)
        volatile, write, latency = storage.envm.table.at(
            cell, "volatile", "write_energy", "write_latency"
        )
        macros = (embeddings + weights if storage.weights == "envm" else embeddings) * volatile
        banks = weights if storage.weights == "sram" else np.zeros_like(weights)
        (transfer,) = storage.dram.at(np.array([storage.dram_technology]), "transfer_energy")
        bank_write = sram.write(BANK_BYTES).of(BANK_WORD_BITS) / BANK_WORD_BITS
        bank_time = np.maximum(period, sram.access_time(BANK_BYTES)) / BANK_WORD_BITS
        return {
            "image_bytes": (embeddings + weights) / 8.0,
            "power_on_energy": (macros + banks) * transfer
            + macros * write / MACRO_WORD_BITS
            + banks * bank_write * energy_scale,
            "power_on_time": macros * np.maximum(period, latency) / MACRO_WORD_BITS
            + banks * np.maximum(period / PORT_BITS, bank_time),
        }

    def _image(self, pruning: FloatArray, bits: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Stored bits of the embeddings and of the weights [bit], shape (n,) each."""
        plan, width = self.chip.plan, np.asarray(bits, dtype=np.float64)
        embeddings = plan.by_format[0].take(bits.astype(np.intp))
        weights = plan.prunable * stored_bits(width, pruning) + plan.dense * width
        return embeddings, weights
