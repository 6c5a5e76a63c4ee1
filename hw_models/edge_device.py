"""An edge board that runs the first layers of a split network, over clock and accelerator mode.

    t(k, f, mode) = cycles(mode, k) / f + fixed(mode, k)          P(f, mode) = static + cubic f^3

k layers run on the board. `fixed` is time that the clock does not change (memory, accelerator,
loading an input). Form and coefficients: least squares on DynaSplit's runs (arXiv 2410.23881); both
are to be refitted for another board or network, see `fit`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import FloatArray, require_range, require_whole
from hw_models.table import Table, label, shipped


@dataclass(frozen=True, slots=True, eq=False)
class EdgeDevice:
    """A board characterised for one network.

    Attributes:
        modes: Accelerator modes, such as off, std, max.
        cycles: Of the first k layers [cycle], shape (modes, layers + 1); NaN: not characterised.
        fixed: Time of the first k layers that no clock changes [s], same shape.
        static: Power while computing at clock zero [W], shape (modes,).
        cubic: Power over the clock cubed [W/Hz^3], shape (modes,).
        waiting: Power while the cloud or the link is waited for [W].
        frequencies: Lowest and highest clock characterised [Hz].
        founded: How well the numbers are founded; closed form: they are the user's.
    """

    modes: tuple[str, ...]
    cycles: FloatArray
    fixed: FloatArray
    static: FloatArray
    cubic: FloatArray
    waiting: float
    frequencies: tuple[float, float]
    founded: Label = "closed form"

    def __post_init__(self) -> None:
        wanted = (len(self.modes), *self.cycles.shape[1:])
        for name, shape in (("cycles", wanted), ("fixed", wanted), ("static", wanted[:1]),
                            ("cubic", wanted[:1])):  # fmt: skip
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} must have shape (modes, layers + 1) or (modes,) = {shape}, "
                    f"got {getattr(self, name).shape}"
                )

    @classmethod
    def pi4_vgg16(cls, table: Table | None = None, *, waiting: float = 2.7) -> "EdgeDevice":
        """A Raspberry Pi 4 that runs VGG16 whole (layer 22) or not at all, without accelerator.

        Args:
            table: One row per mode; the shipped one if not given.
            waiting: Power of the idle board [W]; web figures run from 1.2 to 2.7 W.
        """
        table = table or shipped("edge_pi4_vgg16")
        rows = table.columns
        whole = 22
        cycles = np.full((len(rows["mode"]), whole + 1), np.nan)
        fixed = cycles.copy()
        cycles[:, 0] = fixed[:, 0] = 0.0
        cycles[:, whole], fixed[:, whole] = rows["cycles"], rows["fixed"]
        modes = tuple(str(mode) for mode in rows["mode"])
        limits = (0.6e9, 1.8e9)
        power = rows["static_power"], rows["cubic_power"]
        return cls(modes, cycles, fixed, *power, waiting, limits, label(table))

    @property
    def layers(self) -> int:
        """Deepest split [layer]: everything on the board."""
        return int(self.cycles.shape[1]) - 1

    def latency(self, split: NDArray[Any], frequency: FloatArray, mode: NDArray[Any]) -> FloatArray:
        """Time of the layers on the board [s], shape (n,).

        Args:
            split: Layers on the board [layer], whole, 0 to `layers`, shape (n,).
            frequency: Clock [Hz], within the characterised range, shape (n,).
            mode: Accelerator mode, shape (n,).

        Raises:
            ValueError: If a value is out of range or a split was not characterised in its mode.
        """
        authority = "the layers this board was characterised for"
        require_range("split_layer", split, (0.0, float(self.layers)), "layer", authority)
        require_whole("split_layer", split, "layer", "a place to cut")
        require_range(
            "cpu_frequency", frequency, self.frequencies, "Hz", "the clocks it was measured at"
        )
        row, column = self._mode(mode), split.astype(np.intp)
        time = self.cycles[row, column] / frequency + self.fixed[row, column]
        if np.isnan(time).any():
            first = int(np.flatnonzero(np.isnan(time))[0])
            raise ValueError(
                f"split_layer = {int(split[first])} layer with tpu_mode = {str(mode[first])!r} was "
                "not characterised; the measured trials hold no such row"
            )
        return np.asarray(time, dtype=np.float64)

    def power(self, frequency: FloatArray, mode: NDArray[Any]) -> FloatArray:
        """Power while computing [W], shape (n,); arguments as `latency`.

        Raises:
            ValueError: If a mode is unknown.
        """
        row = self._mode(mode)
        return np.asarray(self.static[row] + self.cubic[row] * frequency**3, dtype=np.float64)

    def _mode(self, mode: NDArray[Any]) -> NDArray[np.intp]:
        rows = np.full(mode.shape, -1, dtype=np.intp)
        for i, name in enumerate(self.modes):
            rows[mode == name] = i
        if (rows < 0).any():
            bad = str(mode[rows < 0][0])
            raise ValueError(f"tpu_mode = {bad!r} is not one of {list(self.modes)}, of this board")
        return rows
