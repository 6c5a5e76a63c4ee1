"""What the chip of a joint system loads when power comes, beside the system's other prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dse.core.signature import Signature
from dse.core.space import Columns
from hw_models.startup import Startup
from studies.joint.chip import Chip, Layout
from studies.joint.device import Priced


@dataclass(frozen=True, slots=True, eq=False)
class PoweredOn:
    """Evaluator: the prices of a joint system whose device is a chip, power-on among them.

    Attributes:
        priced: The system.
        chip: Its device.
    """

    priced: Priced
    chip: Chip

    outputs: ClassVar[Mapping[str, str]] = {**Priced.outputs, **Startup.outputs}

    @property
    def signature(self) -> Signature:
        """As the system's and the chip's."""
        priced, startup = self.priced.signature, Startup(self.chip.whole).signature
        return Signature(priced.inputs, self.outputs, {**priced.evidence, **startup.evidence})

    def __call__(self, columns: Columns) -> Columns:
        """As `Priced`; image [byte], power-on energy [J] and time [s], 0 without a layer; (n,)."""
        layouts = self.chip.layouts(columns)
        found = {name: np.zeros(len(layouts)) for name in Startup.outputs}
        rows: dict[Layout, list[int]] = {}
        for row, layout in enumerate(layouts):
            if layout is not None:
                rows.setdefault(layout, []).append(row)
        for layout, places in rows.items():
            part = {name: columns[name][places] for name in Startup.inputs}
            for name, values in Startup(self.chip.machine(layout))(part).items():
                found[name][places] = values
        return {**self.priced(columns), **found}
