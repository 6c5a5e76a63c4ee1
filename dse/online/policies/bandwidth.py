"""Links whose bandwidth changes: rows repriced, one policy per bandwidth class, and traces.

    latency(B) = latency_floor + transfer_bits / B
    energy(B)  = energy_floor + transfer_power transfer_bits / B

A run that gives these four metrics can be repriced exactly; a study composes them from its models.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.policies.deadline import PerClass
from dse.online.requests import Policy, Request, Requests, State
from dse.online.rows import Rows
from dse.runs.store import Run

_COLUMNS = {
    "latency_floor": "s",
    "energy_floor": "J",
    "transfer_bits": "bit",
    "transfer_power": "W",
}


@dataclass(frozen=True, slots=True, eq=False)
class Transfers:
    """What of a row's price depends on the bandwidth, shape (k,) each.

    Attributes:
        latency_floor: With an endless bandwidth [s].
        energy_floor: With an endless bandwidth [J].
        bits: Sent per request [bit].
        power: While they are sent [W].
    """

    latency_floor: FloatArray
    energy_floor: FloatArray
    bits: FloatArray
    power: FloatArray

    @classmethod
    def of(cls, run: Run, choices: Rows) -> "Transfers":
        """The four metrics of a run's rows.

        Raises:
            DseError: If the run lacks one of them.
        """
        metrics = {q.name: q.unit for q in run.question.metrics}
        missing = [n for n, unit in _COLUMNS.items() if metrics.get(n) != unit]
        if missing:
            raise DseError(
                f"{run.folder} gives no {', '.join(missing)}: its rows cannot be repriced for "
                "another bandwidth"
            )
        return cls(*(run.trials.metrics[name][choices.numbers] for name in _COLUMNS))

    def price(self, rows: NDArray[np.intp], bandwidth: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Latency [s] and energy [J] of rows at bandwidths [bit/s], shape (n,) each."""
        sending = self.bits[rows] / bandwidth
        latency = self.latency_floor[rows] + sending
        return latency, self.energy_floor[rows] + self.power[rows] * sending

    def choices_at(self, choices: Rows, bandwidth: float) -> Rows:
        """The same rows at the price of one bandwidth [bit/s]; at 0, only rows that send nothing.

        Raises:
            DseError: If no row is left.
        """
        every = np.arange(len(choices))
        if bandwidth > 0:
            latency, energy = self.price(every, np.full(len(every), bandwidth))
            return choices.costing(energy, latency)
        return choices.costing(self.energy_floor, self.latency_floor).only(self.bits == 0)


@dataclass(frozen=True, slots=True)
class ByBandwidth:
    """Classes by the bandwidth measured last: each reaches from its floor to the next one.

    Attributes:
        floors: Rising [bit/s]; the first is 0, so that every bandwidth has a class.

    Raises:
        DseError: If they do not rise from 0.
    """

    floors: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.floors or self.floors[0] != 0 or list(self.floors) != sorted(set(self.floors)):
            raise DseError(f"bandwidth classes must rise from 0 bit/s, got {self.floors}")

    @property
    def count(self) -> int:
        """One per floor."""
        return len(self.floors)

    def of(self, request: Request, state: State) -> int:  # noqa: ARG002  (of the protocol)
        """The class of one request."""
        return bisect_right(self.floors, state.bandwidth) - 1

    def of_all(self, requests: Requests) -> NDArray[np.intp]:
        """The class of each request, shape (n,)."""
        found = np.searchsorted(np.array(self.floors), requests.bandwidth, side="right") - 1
        return np.asarray(found, dtype=np.intp)


def per_bandwidth(
    choices: Rows,
    transfers: Transfers,
    floors: Sequence[float],
    policy: Callable[[Rows], Policy],
) -> PerClass:
    """A policy whose table is that of the bandwidth class it finds itself in.

    A row is priced at the floor of its class, so its latency is never promised too low. Below the
    lowest floor only rows that send nothing are taken; if every row sends, those of the lowest.

    Args:
        choices: The rows.
        transfers: What depends on the bandwidth.
        floors: Rising, above 0 [bit/s].
        policy: Made once per class.

    Raises:
        DseError: If no floor is given, or they do not rise above 0.
    """
    if not floors or floors[0] <= 0:
        raise DseError(f"bandwidth classes need floors above 0 bit/s, got {tuple(floors)}")
    alone = 0.0 if (choices.open & (transfers.bits == 0)).any() else floors[0]
    tables = [transfers.choices_at(choices, floor) for floor in (alone, *floors)]
    return PerClass(ByBandwidth((0.0, *floors)), tuple(policy(table) for table in tables))
