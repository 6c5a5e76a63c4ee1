"""The named policies over one run, and where its rows run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.online.policies.bandwidth import Transfers, per_bandwidth
from dse.online.policies.deadline import Fixed, LeastEnergy, fastest, least_energy
from dse.online.policies.switching_costs import Switching, SwitchingAware
from dse.online.requests import Policy
from dse.online.rows import Rows

NAMES: Mapping[str, str] = {
    "cloud": "fastest row that leaves all layers to the cloud",
    "edge": "fastest row that keeps all layers on the edge",
    "fastest": "fastest row of all",
    "least-energy": "row of least energy",
    "dynasplit": "least energy within the deadline, else the fastest (arXiv 2410.23881)",
    "quantile": "dynasplit, deadlines held against a quantile of the latency",
    "switching": "dynasplit, the price of changing rows weighed, with hysteresis",
    "bandwidth": "dynasplit, one table per bandwidth class",
    "table": "an exported lookup table, as its reader obeys it",
    "combined": "quantile, switching and bandwidth together, as far as the run has them",
}
"""Policy -> what it does."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicySet:
    """Everything the named policies are made of.

    Attributes:
        choices: The rows at their nominal price.
        switching: What a change of rows costs.
        hysteresis: Share of energy that a change must save beyond its cost [1].
        cut: Knob that counts the layers on the edge; None if the run has none.
        pessimist: Rows -> the same rows with the latency that deadlines are held against.
        transfers: What of the price depends on the bandwidth; None if the link is constant.
        floors: Bandwidth classes [bit/s]; none if the link is constant.
        table: Of an exported lookup table; None if none is given.
    """

    choices: Rows
    switching: Switching
    hysteresis: float
    cut: str | None
    pessimist: Callable[[Rows], Rows] | None
    transfers: Transfers | None
    floors: tuple[float, ...]
    table: Policy | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Policies that this run, workload and link can tell apart."""
        here = ["cloud", "edge"] if self.cut else []
        here += ["fastest", "least-energy", "dynasplit"]
        here += ["quantile"] if self.pessimist else []
        here += ["switching"]
        here += ["bandwidth"] if self.floors else []
        here += ["table"] if self.table else []
        return (*here, "combined") if self.pessimist or self.floors else tuple(here)

    def policy(self, name: str) -> Policy:
        """A policy by its name.

        Raises:
            DseError: If there is no such policy, or this run cannot have it.
        """
        if name not in NAMES:
            raise DseError(f"no policy {name!r}; there are {', '.join(NAMES)}")
        if name not in self.names:
            raise DseError(f"policy {name}: {_WANTED[name]}")
        if name in ("cloud", "edge"):
            return Fixed(self._end(name))
        if name == "table" and self.table is not None:
            return self.table
        if name == "fastest":
            return fastest(self.choices)
        if name == "least-energy":
            return least_energy(self.choices)
        return self._told(
            quantile=name in ("quantile", "combined"),
            switching=name in ("switching", "combined"),
            bandwidth=name in ("bandwidth", "combined"),
        )

    def places(self) -> dict[str, NDArray[np.bool_]]:
        """Where rows run: edge, split, cloud; nothing if no knob counts the layers. (k,) each."""
        if self.cut is None:
            return {}
        layers = self.choices.settings[self.cut]
        ends = {"edge": layers == layers.max(), "cloud": layers == layers.min()}
        return {
            "edge": ends["edge"],
            "split": ~(ends["edge"] | ends["cloud"]),
            "cloud": ends["cloud"],
        }

    def _end(self, name: str) -> int:
        return self.choices.fastest_at(str(self.cut), "lowest" if name == "cloud" else "highest")

    def _told(self, *, quantile: bool, switching: bool, bandwidth: bool) -> Policy:
        """DynaSplit's rule, told more than the published one."""

        def rule(table: Rows) -> Policy:
            told = self.pessimist(table) if quantile and self.pessimist else table
            if switching:
                return SwitchingAware(told, self.switching, self.hysteresis)
            return LeastEnergy.of(told)

        if bandwidth and self.transfers is not None and self.floors:
            return per_bandwidth(self.choices, self.transfers, self.floors, rule)
        return rule(self.choices)


_WANTED = {
    "cloud": "the run has no knob that counts the layers on the edge; name one with --cut",
    "edge": "the run has no knob that counts the layers on the edge; name one with --cut",
    "quantile": "needs measured repeats in the run, or --noise",
    "bandwidth": "needs a link that changes; give --bandwidth",
    "table": "needs a table; give --table",
    "combined": "needs measured repeats or --noise, or a link that changes",
}
