"""Sentence-level voltage and frequency: late layers as slow as the deadline allows.

For a sentence of N1 early cycles, N remaining ones and the deadline T (EdgeBERT, arXiv 2011.14203,
latency-aware inference):

    f' = clip(N / (T - N1/f_nom - t_switch), f_low, f_high)    V' = lowest row with f_max(V) >= f'

The early layers run at nominal, because the depth is known only after them. At the lowest row the
energy of switching cannot fall further: a longer deadline saves nothing (plateau), and where the
clock may fall below what that row allows, or idle logic stays powered, leakage makes slower worse.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray, require_one_of
from hw_models.operating_points import OperatingPoints
from hw_models.supply import Supply

Idle: TypeAlias = Literal["gated", "powered"]
"""Between the end of a sentence and its deadline. powered: it leaks at the voltage it ended on."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Sentences to run; every array of shape (n,).

    Attributes:
        early: Cycles until the depth is known [cycle], at least 0.
        predicted: Cycles then expected to remain [cycle], at least 0.
        executed: Cycles that do run after the early ones [cycle], at most `predicted`.
        deadline: Wanted latency [s], above 0.
        cycle_energy: Switching energy of a cycle at the nominal supply [J].
        leakage: Leakage power at the nominal supply [W].
    """

    early: FloatArray
    predicted: FloatArray
    executed: FloatArray
    deadline: FloatArray
    cycle_energy: FloatArray
    leakage: FloatArray

    def __post_init__(self) -> None:
        if (self.executed > self.predicted).any():
            bad = float(self.executed[self.executed > self.predicted][0])
            raise ValueError(
                f"executed = {bad:g} cycle is above the predicted cycles, for which time was kept"
            )
        if not (self.deadline > 0).all():
            bad = float(self.deadline[~(self.deadline > 0)][0])
            raise ValueError(f"deadline = {bad!r} s must be positive")


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """What became of them; every array of shape (n,).

    Attributes:
        vdd: Supply after the early layers [V].
        frequency: Clock after the early layers [Hz].
        latency: From the first cycle to the last, the voltage switch included [s].
        energy: Switching and leakage [J]; nothing of regulator or clock generator.
        feasible: Whether the predicted cycles fit the deadline at the highest clock.
    """

    vdd: FloatArray
    frequency: FloatArray
    latency: FloatArray
    energy: FloatArray
    feasible: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SentenceDvfs:
    """Chooses voltage and clock per sentence.

    Attributes:
        points: Voltage/frequency table; its nominal supply runs the early layers.
        supply: Regulator whose settling time is waited for after the early layers.
        slowest: Lowest clock [Hz] that may be chosen, at most the lowest row's limit; None: that.
        idle: What happens between the last cycle and the deadline.
    """

    points: OperatingPoints = field(default_factory=OperatingPoints)
    supply: Supply = field(default_factory=Supply)
    slowest: float | None = None
    idle: Idle = "gated"

    def __post_init__(self) -> None:
        limit = float(self.points.table.columns["f_max"][0])
        if self.slowest is not None and not 0 < self.slowest <= limit:
            raise ValueError(
                f"slowest = {self.slowest} Hz is outside 0 (exclusive) to {limit:g} Hz, "
                f"the lowest row of table '{self.points.table.name}'"
            )
        require_one_of("idle", self.idle, get_args(Idle))

    def run(self, load: Load) -> Sentences:
        """Voltage, clock, latency and energy of each sentence; infeasible ones run at full clock.

        Args:
            load: Sentences, shape (n,) each.
        """
        nominal = np.full_like(load.deadline, self.points.nominal_vdd)
        f_nominal = self.points.at(nominal)[0]
        vdd, frequency, feasible = self._choose(load, load.early / f_nominal)
        _, energy_scale, leakage_scale = self.points.at(vdd)
        settling = np.where(load.predicted > 0, self.supply.switching_time(nominal, vdd), 0.0)
        late = settling + load.executed / frequency
        latency = load.early / f_nominal + late
        if self.idle == "powered":
            late = late + np.maximum(load.deadline - latency, 0.0)
        switching = load.early + load.executed * energy_scale
        leaking = load.early / f_nominal + late * leakage_scale
        energy = load.cycle_energy * switching + load.leakage * leaking
        return Sentences(vdd, frequency, latency, energy, feasible)

    def _choose(
        self, load: Load, elapsed: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        rows = self.points.table.columns
        slowest = float(rows["f_max"][0]) if self.slowest is None else self.slowest
        nominal, fastest = np.full(1, self.points.nominal_vdd), float(rows["f_max"][-1])
        # The switch whose length is not yet known is taken as the longest one of the table.
        switch = float(self.supply.switching_time(nominal, rows["vdd"]).max())
        left = load.deadline - elapsed - switch
        with np.errstate(divide="ignore", over="ignore"):
            wanted = np.where(left > 0, load.predicted / left, np.inf)
        wanted = np.where(load.predicted > 0, wanted, 0.0)
        frequency = np.minimum(np.maximum(wanted, slowest), fastest)
        vdd = self.points.lowest_vdd(frequency)
        settling = np.where(load.predicted > 0, self.supply.switching_time(nominal, vdd), 0.0)
        # A quotient may round up by a last bit; the deadline itself is inclusive.
        late = elapsed + settling + load.predicted / frequency
        return vdd, frequency, np.asarray(late <= load.deadline * (1 + 1e-12), dtype=np.bool_)
