"""A cloud node that runs the remaining layers, with its GPU on or off.

    t(k, gpu) = tail(gpu, k)        E = P(gpu) t

The power is the whole node's, as DynaSplit (arXiv 2410.23881) charges it: 887 to 973 W while
computing, a hundred times an edge board, so one choice of accounting decides every comparison.
`idle` subtracts what the node would have drawn anyway.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import FloatArray

GPU = ("off", "on")
"""Values of the column that switches the node's GPU."""


@dataclass(frozen=True, slots=True, eq=False)
class CloudNode:
    """A node characterised for one network.

    Attributes:
        tail: Time of the layers after k, GPU off and on [s], shape (2, layers + 1); NaN: not
            characterised. Zero after the last layer.
        power: Of the whole node while computing, GPU off and on [W], shape (2,).
        idle: Power that is not charged [W], 0 to the lesser of `power`.
        founded: How well the numbers are founded; closed form: they are the user's.
    """

    tail: FloatArray
    power: FloatArray
    idle: float = 0.0
    founded: Label = "closed form"

    def __post_init__(self) -> None:
        if self.tail.ndim != 2 or len(self.tail) != 2 or self.power.shape != (2,):
            raise ValueError(
                f"tail must have shape (2, layers + 1), got {self.tail.shape}; "
                f"power must have shape (2,), got {self.power.shape}"
            )
        if not 0 <= self.idle <= self.power.min():
            raise ValueError(
                f"idle = {self.idle} W is outside 0 to {self.power.min():g} W, the node's power"
            )

    def latency(self, split: NDArray[Any], gpu: NDArray[Any]) -> FloatArray:
        """Time of the layers after the split [s], shape (n,).

        Args:
            split: Layers on the board [layer], whole, 0 to the network's, shape (n,).
            gpu: off or on, shape (n,).

        Raises:
            ValueError: If a switch is unknown or a split was not characterised.
        """
        time = self.tail[self._row(gpu), split.astype(np.intp)]
        if np.isnan(time).any():
            first = int(np.flatnonzero(np.isnan(time))[0])
            raise ValueError(
                f"split_layer = {int(split[first])} layer with cloud_gpu = {str(gpu[first])!r} was "
                "not characterised; the measured trials hold no such row"
            )
        return np.asarray(time, dtype=np.float64)

    def energy(self, latency: FloatArray, gpu: NDArray[Any]) -> FloatArray:
        """Energy of that long a tail [J], shape (n,).

        Raises:
            ValueError: If a switch is unknown.
        """
        return np.asarray((self.power[self._row(gpu)] - self.idle) * latency, dtype=np.float64)

    def _row(self, gpu: NDArray[Any]) -> NDArray[np.intp]:
        known = (gpu == GPU[0]) | (gpu == GPU[1])
        if not known.all():
            raise ValueError(f"cloud_gpu = {str(gpu[~known][0])!r} is not one of {list(GPU)}")
        return np.asarray(gpu == GPU[1], dtype=np.intp)
