"""Clock limit over supply voltage by the alpha-power law, and its fit to measured pairs.

    f(V) = f_anchor ((V - vt)/(V_anchor - vt))^alpha V_anchor / V

Delay is proportional to V/(V - vt)^alpha (Sakurai and Newton, IEEE JSSC 1990). Near the threshold
the law is wrong by more than its fit says, so nothing at or below vt + 50 mV is answered.
"""

from dataclasses import dataclass

import numpy as np

from hw_models.columns import FloatArray, require_range
from hw_models.table import Origin, Table

GUARD = 0.05
"""Distance from the threshold voltage below which the law is refused [V]."""


@dataclass(frozen=True, slots=True)
class AlphaPower:
    """The law through one anchor.

    Attributes:
        vt: Effective threshold voltage [V], at least 0.
        alpha: Velocity-saturation exponent [1], above 0; 2 for a long channel.
        anchor_vdd: Supply of the anchor [V], more than 50 mV above vt.
        anchor_frequency: Clock limit there [Hz], above 0.
    """

    vt: float
    alpha: float
    anchor_vdd: float
    anchor_frequency: float

    def __post_init__(self) -> None:
        if not self.vt >= 0:
            raise ValueError(f"vt = {self.vt} V must not be negative")
        for name, unit in (("alpha", "1"), ("anchor_frequency", "Hz")):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} {unit} must be positive")
        require_range("anchor_vdd", np.array([self.anchor_vdd]), self._limits, "V", self._authority)

    @property
    def _limits(self) -> tuple[float, float]:
        return self.vt + GUARD, np.inf

    @property
    def _authority(self) -> str:
        return f"the alpha-power law: 50 mV above its threshold {self.vt:g} V"

    def frequency(self, vdd: FloatArray) -> FloatArray:
        """Clock limit [Hz], shape (n,), increasing with vdd where alpha > 1 - vt/vdd.

        Args:
            vdd: Supply [V], shape (n,), at least vt + 50 mV.

        Raises:
            ValueError: If a voltage is too near the threshold.
        """
        require_range("vdd", vdd, self._limits, "V", self._authority)
        drive = ((vdd - self.vt) / (self.anchor_vdd - self.vt)) ** self.alpha
        return np.asarray(self.anchor_frequency * drive * self.anchor_vdd / vdd, dtype=np.float64)

    def table(self, name: str, vdd: FloatArray, leakage: FloatArray, origin: Origin) -> Table:
        """The law sampled as a table for `OperatingPoints`.

        Args:
            name: Named in every refusal of the table.
            vdd: Rows [V], shape (k,), strictly increasing.
            leakage: Leakage power relative to the nominal supply [1], shape (k,).
            origin: Where the law comes from.
        """
        rows = {"vdd": vdd.copy(), "f_max": self.frequency(vdd), "leakage_scale": leakage.copy()}
        return Table(name, "vdd", rows, {"vdd": "V", "f_max": "Hz", "leakage_scale": "1"}, origin)


@dataclass(frozen=True, slots=True)
class AlphaPowerFit:
    """A fitted law and how far it is from the pairs.

    Attributes:
        law: Anchored on the highest pair's supply.
        largest_error: Largest |fitted / measured - 1| over the pairs [1].
    """

    law: AlphaPower
    largest_error: float


def fit_alpha_power(
    vdd: FloatArray, f_max: FloatArray, *, alpha: float | None = None
) -> AlphaPowerFit:
    """The law nearest to measured pairs in log f, found over a grid of vt that is refined thrice.

    For one vt, log(f V) is a straight line in log(V - vt); its slope is alpha.

    Args:
        vdd: Supplies [V], shape (k,), distinct and positive.
        f_max: Clock limits [Hz], shape (k,), positive.
        alpha: Exponent to hold fixed [1]; two pairs cannot tell it from vt.

    Raises:
        ValueError: If there are fewer pairs than unknowns.
    """
    unknowns = 3 if alpha is None else 2
    if len(np.unique(vdd)) < unknowns or vdd.shape != f_max.shape:
        raise ValueError(
            f"vdd has {len(np.unique(vdd))} distinct supplies, f_max {len(f_max)} values; "
            f"{unknowns} unknowns need as many pairs"
        )
    low, high = 0.0, float(vdd.min()) - GUARD
    for _ in range(4):
        grid = np.linspace(low, high, 401)
        slopes, offsets, errors = _lines(grid, vdd, f_max, alpha)
        best = int(np.argmin(errors))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 400)])
    vt, slope, offset = float(grid[best]), float(slopes[best]), float(offsets[best])
    top = float(vdd.max())
    law = AlphaPower(vt, slope, top, float(np.exp(offset) * (top - vt) ** slope / top))
    return AlphaPowerFit(law, float(np.abs(law.frequency(vdd) / f_max - 1.0).max()))


def _lines(
    vt: FloatArray, vdd: FloatArray, f_max: FloatArray, alpha: float | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slope, offset and squared error of log(f V) over log(V - vt), one line per vt."""
    x, y = np.log(vdd - vt[:, np.newaxis]), np.log(f_max * vdd)
    spread = x - x.mean(axis=1, keepdims=True)
    slope = (spread @ y) / (spread * spread).sum(axis=1)
    slope = slope if alpha is None else np.full_like(vt, alpha)
    offset = y.mean() - slope * x.mean(axis=1)
    miss = y - slope[:, np.newaxis] * x - offset[:, np.newaxis]
    return slope, offset, (miss * miss).sum(axis=1)


def leakage_scale(
    vdd: FloatArray, nominal_vdd: float, *, slope: float = 1.5, thermal: float = 0.02585
) -> FloatArray:
    """Leakage power relative to the nominal supply: (V/V0) exp((V - V0)/(slope vT)) [1].

    The exponent stands for drain-induced barrier lowering: `slope` is the ideality over the
    lowering coefficient, a parameter of the process that the user supplies.

    Args:
        vdd: Supply [V], shape (n,).
        nominal_vdd: Supply at which the scale is 1 [V].
        slope: Volts of supply per e-fold, in units of `thermal` [1], above 0.
        thermal: Thermal voltage [V]; 25.85 mV at 300 K.

    Raises:
        ValueError: If slope or thermal is not positive.
    """
    if not (slope > 0 and thermal > 0):
        raise ValueError(f"slope = {slope} 1 and thermal = {thermal} V must be positive")
    ratio = vdd / nominal_vdd * np.exp((vdd - nominal_vdd) / (slope * thermal))
    return np.asarray(ratio, dtype=np.float64)


def temperature_scale(kelvin: FloatArray, reference: float, doubling: float) -> FloatArray:
    """Leakage relative to a reference temperature: 2^((T - T0)/doubling) [1], shape (n,).

    CACTI 7 at 22 nm rises 4.4 times (lstp), 28 times (lop), 1.8 times (hp) from 300 to 350 K:
    doubling every 23.4, 10.4 and 59 K.

    Args:
        kelvin: Temperature [K], shape (n,).
        reference: Temperature at which the scale is 1 [K].
        doubling: Rise that doubles the leakage [K], above 0.

    Raises:
        ValueError: If doubling is not positive.
    """
    if not doubling > 0:
        raise ValueError(f"doubling = {doubling} K must be positive")
    return np.asarray(2.0 ** ((kelvin - reference) / doubling), dtype=np.float64)
