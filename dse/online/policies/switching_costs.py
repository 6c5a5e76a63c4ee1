"""What it costs to change rows, and a policy that weighs it.

From the set row c, row r costs E(r) + E_switch(c, r) and takes t(r) + t_switch(c, r). The policy
takes the cheapest in time, but stays on c, if c is in time, unless another saves more than a share.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Column, FloatArray
from dse.online.requests import UNSET, Request, Requests, State
from dse.online.rows import Rows, Staircase, by_energy


@dataclass(frozen=True, slots=True, eq=False)
class Switching:
    """Price of a change of rows: once for any change, and once for each knob that differs.

    Nothing is charged where nothing was set before, and for a row that equals the set one.

    Attributes:
        settings: Knob -> value that each row sets, shape (k,) each.
        time: For any change [s], at least 0; DynaSplit's commands take 0.137 s in the median, to be
            sent alone.
        energy: For any change [J], at least 0.
        knob_time: Knob -> time on top if it differs [s].
        knob_energy: Knob -> energy on top [J].

    Raises:
        DseError: If a price is negative or a knob does not exist.
    """

    settings: Mapping[str, Column]
    time: float = 0.0
    energy: float = 0.0
    knob_time: Mapping[str, float] = field(default_factory=dict)
    knob_energy: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        prices = {"time": self.time, "energy": self.energy, **self.knob_time, **self.knob_energy}
        for name, price in prices.items():
            if not (price >= 0 and np.isfinite(price)):
                raise DseError(f"price {price!r} of switching {name} must be finite, at least 0")
        for knob in (*self.knob_time, *self.knob_energy):
            if knob not in self.settings:
                raise DseError(f"no knob {knob} to switch; there are {', '.join(self.settings)}")

    def price(self, before: NDArray[np.intp], after: NDArray[np.intp]) -> tuple[FloatArray, ...]:
        """Time [s] and energy [J] of going from one row to another, shape (n,) each.

        Args:
            before: Rows or `UNSET`, shape (n,).
            after: Rows, shape (n,).
        """
        differs = {k: c[before] != c[after] for k, c in self.settings.items()}
        changes = np.zeros(len(after), dtype=bool)
        for different in differs.values():
            changes |= different
        time, energy = changes * self.time, changes * self.energy
        for knob, price in self.knob_time.items():
            time = time + differs[knob] * price
        for knob, price in self.knob_energy.items():
            energy = energy + differs[knob] * price
        known = before != UNSET
        return np.where(known, time, 0.0), np.where(known, energy, 0.0)

    def changes(self, before: NDArray[np.intp], after: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether any knob has to be set anew, shape (n,); from nothing, it has."""
        changes = before == UNSET
        for column in self.settings.values():
            changes = changes | (column[before] != column[after])
        return np.asarray(changes, dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class SwitchingAware:
    """Least energy under a deadline, switching included, with hysteresis.

    A request's accuracy counts as in `LeastEnergy`. Mutable on purpose: it remembers the staircases
    of rows that were set before; that changes how fast it answers, never what.

    Attributes:
        choices: The rows.
        switching: What a change costs.
        hysteresis: Share of energy that a change must save beyond its own cost [1], at least 0.

    Raises:
        DseError: If the hysteresis is negative.
    """

    choices: Rows
    switching: Switching
    hysteresis: float = 0.0
    _views: dict[tuple[int, int], "_View"] = field(default_factory=dict, init=False, repr=False)
    _levels: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.hysteresis >= 0:
            raise DseError(f"hysteresis = {self.hysteresis!r} must be at least 0")
        self._levels.extend(np.unique(self.choices.accuracy[self.choices.open]).tolist())

    @property
    def remembers(self) -> bool:
        """Yes: what a change costs depends on the row that is set."""
        return True

    def select(self, request: Request, state: State) -> int:
        """The row for one request."""
        level = min(bisect_left(self._levels, request.accuracy), len(self._levels) - 1)
        view = self._view(state.row, level)
        best = view.stairs.first(request.deadline)
        stays = view.stay_latency <= request.deadline and view.stays_for[best]
        return state.row if stays else best

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:
        """The row for each request, shape (n,), were `row` set when it arrives."""
        levels = np.searchsorted(np.array(self._levels), requests.accuracy, side="left")
        levels = np.minimum(levels, len(self._levels) - 1)
        rows = np.empty(len(requests), dtype=np.intp)
        for level in np.unique(levels):
            of_level, view = levels == level, self._view(row, int(level))
            deadline = requests.deadline[of_level]
            best = view.stairs.first_all(deadline)
            stays = (view.stay_latency <= deadline) & np.array(view.stays_for)[best]
            rows[of_level] = np.where(stays, row, best)
        return rows

    def _view(self, row: int, level: int) -> "_View":
        if (row, level) not in self._views:
            self._views[row, level] = self._viewed(row, self._levels[level])
        return self._views[row, level]

    def _viewed(self, row: int, accuracy: float) -> "_View":
        choices, k = self.choices, len(self.choices)
        time, energy = self.switching.price(np.full(k, row, dtype=np.intp), np.arange(k))
        latency, cost = choices.latency + time, choices.energy + energy
        order = by_energy(choices, cost)
        stairs = Staircase.of(order[choices.accuracy[order] >= accuracy], latency)
        eligible = row != UNSET and choices.open[row] and choices.accuracy[row] >= accuracy
        worth = choices.energy[row] <= (1.0 + self.hysteresis) * cost
        stays = worth if eligible else np.zeros(k, dtype=bool)
        stay_latency = float(choices.latency[row]) if eligible else np.inf
        return _View(stairs, stay_latency, stays.tolist())


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """All rows as seen from one: the staircase, and for which best rows it is kept instead."""

    stairs: Staircase
    stay_latency: float
    stays_for: list[bool]
