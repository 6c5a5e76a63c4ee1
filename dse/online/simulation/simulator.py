"""Policies tried on requests: what is late and by how much, what it costs, how often rows change.

Vectorised over requests. Only a policy that is told how long a request has waited already has to
be asked one request after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.policies.switching_costs import Switching
from dse.online.requests import FRESH, Policy, Request, Requests, State, follow
from dse.online.simulation.outcome_models import Outcomes

Queue: TypeAlias = Literal["none", "blind", "aware"]
"""none: each request finds the device free, as published; blind: they wait in line, and the policy
does not know; aware: the policy is told what is left of the deadline."""

SOON = 1e-9
"""Deadline [s] that an aware policy is told of when all of it has been waited away."""


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """What became of n requests under one policy; every array of shape (n,).

    Attributes:
        rows: Set for each.
        latency: Waiting and switching included [s].
        energy: Switching included [J].
        accuracy: Of the row [1].
        late: Whether the deadline was missed.
        excess: Latency beyond the deadline [s]; 0 where it was met.
        switched: Whether a knob had to be set anew.
    """

    rows: NDArray[np.intp]
    latency: FloatArray
    energy: FloatArray
    accuracy: FloatArray
    late: NDArray[np.bool_]
    excess: FloatArray
    switched: NDArray[np.bool_]


def simulate(
    policy: Policy,
    requests: Requests,
    outcomes: Outcomes,
    switching: Switching,
    queue: Queue = "none",
    start: State = FRESH,
) -> Simulation:
    """Run a policy over requests.

    Outcomes happen at the bandwidth that a request meets; the policy knows that of the request
    before.

    Args:
        policy: Who decides.
        requests: In the order of arrival, with the bandwidths that they meet.
        outcomes: What a row does to a request.
        switching: What a change of rows costs; it is charged to the request that causes it.
        queue: Whether requests wait for each other.
        start: What the first request finds: the row that is set, and the bandwidth measured last.

    Raises:
        DseError: If there is no request, or the queue is of another kind.
    """
    if queue not in get_args(Queue):
        raise DseError(f"queue {queue!r} is not one of {', '.join(get_args(Queue))}")
    if not len(requests):
        raise DseError("there is no request to simulate")
    if queue == "aware":
        rows = _told_of_waiting(policy, requests, outcomes, switching, start)
    else:
        rows = follow(policy, requests, start)
    outcome = outcomes(rows, requests)
    before = np.concatenate([[start.row], rows[:-1]])
    time, energy = switching.price(before, rows)
    latency = outcome.latency + time
    if queue != "none":
        latency = latency + waiting(requests.arrival, latency)
    late = latency > requests.deadline
    return Simulation(
        rows,
        latency,
        outcome.energy + energy,
        outcome.accuracy,
        late,
        np.where(late, latency - requests.deadline, 0.0),
        switching.changes(before, rows),
    )


def waiting(arrival: FloatArray, service: FloatArray) -> FloatArray:
    """How long each request waits for those before it [s], shape (n,): first come, first served.

    Args:
        arrival: Not decreasing [s], shape (n,).
        service: How long each occupies the device [s], shape (n,).
    """
    # Request i begins at max over j <= i of arrival_j plus the service of j to i - 1.
    before = np.concatenate([[0.0], np.cumsum(service)[:-1]])
    begin = before + np.maximum.accumulate(arrival - before)
    return np.maximum(begin - arrival, 0.0)


def _told_of_waiting(
    policy: Policy, requests: Requests, outcomes: Outcomes, switching: Switching, start: State
) -> NDArray[np.intp]:
    """The single-request path, each request told how much of its deadline is left."""
    n = len(requests)
    rows = np.empty(n, dtype=np.intp)
    service: dict[int, list[float]] = {}
    prices: dict[tuple[int, int], float] = {}
    row, free = start.row, -np.inf
    measured = requests.told(start.bandwidth).bandwidth.tolist()
    for i in range(n):
        arrival = float(requests.arrival[i])
        begin = max(arrival, free)
        left = max(float(requests.deadline[i]) - (begin - arrival), SOON)
        asked = Request(left, float(requests.accuracy[i]), float(requests.signal[i]))
        after = policy.select(asked, State(row, measured[i]))
        if after not in service:
            every = outcomes(np.full(n, after, dtype=np.intp), requests)
            service[after] = every.latency.tolist()
        if (row, after) not in prices:
            time, _ = switching.price(np.array([row]), np.array([after]))
            prices[row, after] = float(time[0])
        free = begin + service[after][i] + prices[row, after]
        row = after
        rows[i] = row
    return rows


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a comparison of policies.

    Attributes:
        policy: Its name.
        requests: How many.
        late: Share of requests that missed their deadline [1].
        unavoidable: Share whose deadline no row would have met [1]; these are in `late`.
        excess: Mean excess of the late ones [s]; 0 if none is.
        energy: Mean per request [J].
        saving: Energy saved against the reference policy [1]; negative if it costs more.
        latency_p50, latency_p95, latency_p99: Quantiles of the latency [s].
        accuracy: Mean [1]; None where the run knows none.
        switches: Requests for which a knob had to be set anew.
        placement: Share of requests per place [1], such as edge, split and cloud.
    """

    policy: str
    requests: int
    late: float
    unavoidable: float
    excess: float
    energy: float
    saving: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    accuracy: float | None
    switches: int
    placement: Mapping[str, float]


def summary(
    name: str,
    run: Simulation,
    *,
    reference: float,
    hopeless: NDArray[np.bool_],
    places: Mapping[str, NDArray[np.bool_]],
) -> Summary:
    """One simulation in figures.

    Args:
        name: Of the policy.
        run: Its simulation.
        reference: Mean energy of the policy that savings are told against [J].
        hopeless: Requests that no row would have met, shape (n,).
        places: Name of a place -> rows that run there, shape (k,).
    """
    p50, p95, p99 = np.quantile(run.latency, [0.5, 0.95, 0.99])
    energy = float(run.energy.mean())
    return Summary(
        policy=name,
        requests=len(run.rows),
        late=float(run.late.mean()),
        unavoidable=float(hopeless.mean()),
        excess=float(run.excess[run.late].mean()) if run.late.any() else 0.0,
        energy=energy,
        saving=1.0 - energy / reference,
        latency_p50=float(p50),
        latency_p95=float(p95),
        latency_p99=float(p99),
        accuracy=float(run.accuracy.mean()) if run.accuracy.any() else None,
        switches=int(run.switched.sum()),
        placement={place: float(there[run.rows].mean()) for place, there in places.items()},
    )


def hopeless(requests: Requests, outcomes: Outcomes, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Requests whose deadline no row meets, were it set already and the device free, shape (n,).

    Args:
        requests: The requests.
        outcomes: What a row does to a request.
        rows: Rows to try; those that could be the fastest suffice.
    """
    best = np.full(len(requests), np.inf)
    for row in rows:
        taken = outcomes(np.full(len(requests), row, dtype=np.intp), requests)
        best = np.minimum(best, taken.latency)
    return np.asarray(best > requests.deadline, dtype=bool)


def with_bandwidth(requests: Requests, bandwidth: FloatArray) -> Requests:
    """The same requests over another link [bit/s], shape (n,)."""
    return replace(requests, bandwidth=bandwidth)
