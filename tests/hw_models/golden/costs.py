"""What the golden of the hardware models asks of a case, through their public methods.

Every function returns quantities by name, such as `energy.mac`; a part that a machine lacks is
absent and counts as zero.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from machines import Cases, design, exit_shares, latency_aware, machine, share_columns
from numpy.typing import NDArray

from hw_models import Accelerator
from hw_models.breakdown import Breakdown, break_down, executed_shares
from hw_models.columns import total
from hw_models.startup import Startup

EXITS = ("vdd", "feasible", "energy", "latency")
"""Fields of `hw_models.latency_aware.Exits`."""


def sentence(cases: Cases, case: int) -> dict[str, float]:
    """Parts of energy, latency and area; what a power-on loads; input stage and layer in total."""
    chip, columns = machine(cases, case), design(cases, case)
    found = {
        f"{output}.{part}": float(value[0])
        for output, parts in chip.parts(columns).items()
        for part, value in parts.items()
    }
    found |= {f"startup.{name}": float(v[0]) for name, v in Startup(chip)(columns).items()}
    stages = chip.stages(columns)
    for name in ("energy_input", "energy_layer", "time_input", "time_layer"):
        found[f"stages.{name}"] = float(total(getattr(stages, name))[0])
    return found | {"stages.retention": float(stages.retention[0])}


def deadline(cases: Cases, case: int) -> dict[str, float]:
    """Means of a design with a deadline, and what it costs by exit layer: `exit_energy.3`."""
    chip = machine(cases, case)
    aware, columns = latency_aware(cases, case, chip), timed(cases, case, chip)
    found = {name: float(value[0]) for name, value in aware(columns).items()}
    exits = aware.exits(columns)
    for name in EXITS:
        by_layer = getattr(exits, name)[:, 0]
        found |= {f"exit_{name}.{i + 1}": float(value) for i, value in enumerate(by_layer)}
    return found


def timed(cases: Cases, case: int, chip: Accelerator) -> dict[str, NDArray[Any]]:
    """Columns of `LatencyAware`, shape (1,) each."""
    layers = chip.shape.layers
    due = {"deadline": cases["deadline"][case : case + 1]}
    return design(cases, case) | due | share_columns(exit_shares(cases, case, layers))


def layers(cases: Cases, case: int) -> dict[str, float]:
    """Both breakdowns by component, as the sum of row times its number, the input stage being 1."""
    chip = machine(cases, case)
    executed = executed_shares(exit_shares(cases, case, chip.shape.layers))
    plain = break_down(chip, design(cases, case), np.minimum(executed, 1.0))
    aware = latency_aware(cases, case, chip).break_down(timed(cases, case, chip))
    return _weighted("break_down", plain) | _weighted("latency_aware", aware)


def _weighted(name: str, found: Breakdown) -> dict[str, float]:
    halves: Mapping[str, Mapping[str, NDArray[np.float64]]] = {
        "energy": found.energy,
        "latency": found.latency,
    }
    return {
        f"{name}.{half}.{component}": float((np.arange(1, len(rows) + 1) * rows[:, 0]).sum())
        for half, components in halves.items()
        for component, rows in components.items()
    }
