"""What a chip has to load when power comes: volatile memories get their parameters from DRAM.

    image  = bits of embeddings, weights and masks, as they are stored
    lost   = part of it in memories that forget: SRAM macros, SRAM banks
    E      = lost (E_dram + E_write), with (V/V0)^2 where the memory is on the logic's supply
    t      = lost max(period/port, max(period, t_write)/word)

Non-volatile macros, and weights that stay in DRAM, load nothing: that difference, times the
power-ons, is what a non-volatile memory is worth (EdgeBERT, arXiv 2011.14203). DRAM start-up, its
refresh, and writing a non-volatile image for the first time are left out.
"""

from collections.abc import Mapping

import numpy as np

from hw_models.columns import FloatArray
from hw_models.cost.kernel import Demand, Rail
from hw_models.cost.technology import Technology
from hw_models.table import Table

OUTPUTS: Mapping[str, str] = {
    "image_bytes": "byte",
    "power_on_energy": "J",
    "power_on_time": "s",
}
"""Name and unit of what a power-on costs."""


def require_written(table: Table) -> None:
    """Refuse a table of macros that does not say what writing them costs.

    Raises:
        ValueError: If a column is missing.
    """
    lacking = {"write_energy", "write_latency"} - table.columns.keys()
    if lacking:
        raise ValueError(
            f"table '{table.name}' has no column {min(lacking)}; loading macros needs it"
        )


def power_on(asked: Demand, machine: Technology, on: Rail) -> dict[str, FloatArray]:
    """Size of the image [byte], energy [J] and time [s] of a power-on.

    Args:
        asked: What the designs ask for.
        machine: The machine.
        on: Their supply.

    Raises:
        ValueError: If a memory that forgets is not characterised for writing.
    """
    memory, dram = machine.memory, machine.stores[-1]
    energy: FloatArray = np.zeros(())
    time: FloatArray = np.zeros(())
    for place in asked.places:
        row = place.row
        lost = np.where(memory.volatile.take(row) > 0, place.bits, 0.0)
        unknown = (lost > 0) & np.isnan(memory.write.take(row) + memory.write_latency.take(row))
        if unknown.any():
            named = memory.names[int(np.broadcast_to(row, unknown.shape)[unknown][0])]
            raise ValueError(
                f"memory {named!r} forgets without power, and its table has no write_energy and "
                "write_latency: what loading it costs is unknown"
            )
        scale = np.where(memory.core.take(row) > 0, on.switching, 1.0)
        written = memory.write.take(row) * scale
        energy = energy + np.where(lost > 0, lost * (memory.read[dram] + written), 0.0)
        word = np.maximum(on.period, memory.write_latency.take(row)) * memory.per_word.take(row)
        slower = np.maximum(on.period / machine.port, word)
        time = time + np.where(lost > 0, lost * slower, 0.0)
    embeddings, parameters = asked.image
    return {
        "image_bytes": (embeddings + parameters) / 8.0,
        "power_on_energy": energy,
        "power_on_time": time,
    }
