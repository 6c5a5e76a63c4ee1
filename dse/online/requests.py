"""What a runtime is asked, what it knows when it decides, and what every policy promises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray

UNSET = -1
"""Row of a device on which nothing has been set yet."""


@dataclass(frozen=True, slots=True)
class Request:
    """One input to answer.

    Attributes:
        deadline: Latency that is wanted [s], above 0; meeting it exactly is in time.
        accuracy: Least accuracy of the row that answers [1]; 0: any.
        signal: What the network itself said about the input so far, such as the entropy after its
            early layers or the score of an appeal head; NaN where it said nothing.
    """

    deadline: float
    accuracy: float = 0.0
    signal: float = math.nan

    def __post_init__(self) -> None:
        if not self.deadline > 0:
            raise DseError(f"deadline = {self.deadline!r} s must be positive")


@dataclass(frozen=True, slots=True)
class State:
    """What the device is in when it decides.

    Attributes:
        row: Row that is set, or `UNSET`.
        bandwidth: Goodput of the link as measured last [bit/s]: what the request before met, and
            before the first one whatever else was measured. What the request itself will meet,
            nobody knows when it is decided.
    """

    row: int = UNSET
    bandwidth: float = math.inf


FRESH = State()
"""A device on which nothing has been set, with an endless link."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Many requests in the order of their arrival, shape (n,) each; fields as `Request`.

    Attributes:
        arrival: [s], not decreasing.
        deadline: [s] after the arrival, above 0.
        accuracy: [1].
        signal: Whatever unit the network speaks in; NaN where it said nothing.
        bandwidth: Goodput of the link [bit/s], above 0: to outcomes what each request meets, to a
            policy what was measured last before it, see `told`.
    """

    arrival: FloatArray
    deadline: FloatArray
    accuracy: FloatArray
    signal: FloatArray
    bandwidth: FloatArray

    def __post_init__(self) -> None:
        shapes = {name: np.shape(column) for name, column in self.columns().items()}
        n = len(self)
        if set(shapes.values()) != {(n,)}:
            raise DseError(f"requests need columns of one shape (n,) = ({n},), got {shapes}")
        if n and not (np.diff(self.arrival) >= 0).all():
            raise DseError("arrival must not decrease from request to request")
        for name, least in (("deadline", 0.0), ("bandwidth", 0.0)):
            bad = np.flatnonzero(~(self.columns()[name] > least))
            if len(bad):
                value = self.columns()[name][bad[0]]
                raise DseError(f"{name} = {value!r} of request {bad[0]} must be positive")
        if np.isnan(self.accuracy).any():
            raise DseError("accuracy is NaN in some request; 0 asks for nothing")

    @classmethod
    def of(
        cls,
        deadline: FloatArray,
        *,
        arrival: FloatArray | None = None,
        accuracy: float | FloatArray = 0.0,
        signal: FloatArray | None = None,
        bandwidth: float | FloatArray = math.inf,
    ) -> "Requests":
        """Requests of which only the deadlines are special.

        Args:
            deadline: [s], shape (n,).
            arrival: [s], shape (n,); one a second if not given.
            accuracy: [1], of all or of each.
            signal: Shape (n,); none if not given.
            bandwidth: [bit/s], of all or of each; an endless one if not given.
        """
        n = len(deadline)
        return cls(
            np.arange(float(n)) if arrival is None else arrival,
            np.asarray(deadline, dtype=np.float64),
            np.broadcast_to(np.asarray(accuracy, dtype=np.float64), (n,)),
            np.full(n, np.nan) if signal is None else signal,
            np.broadcast_to(np.asarray(bandwidth, dtype=np.float64), (n,)),
        )

    def __len__(self) -> int:
        return len(self.arrival)

    def columns(self) -> Mapping[str, FloatArray]:
        """All columns by name."""
        return {
            "arrival": self.arrival,
            "deadline": self.deadline,
            "accuracy": self.accuracy,
            "signal": self.signal,
            "bandwidth": self.bandwidth,
        }

    def request(self, i: int) -> Request:
        """One of them, as the single-request path takes it."""
        return Request(float(self.deadline[i]), float(self.accuracy[i]), float(self.signal[i]))

    def told(self, before: float) -> "Requests":
        """The same requests as a policy is told of them: the bandwidth is that of the one before.

        Args:
            before: Measured before the first one [bit/s], above 0.
        """
        last = np.concatenate([[before], self.bandwidth])[: len(self)]
        return replace(self, bandwidth=last)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Requests":
        """Some of them, by mask or by index, in order."""
        return Requests(*(column[which] for column in self.columns().values()))


class Policy(Protocol):
    """Picks a row for a request.

    Laws: both ways agree to the bit, request by request; a policy changes nothing, what is
    remembered between requests is the state alone. The bandwidth of a request is the one measured
    last before it, in the state and in the column alike.
    """

    @property
    def remembers(self) -> bool:
        """Whether the row that is set changes the decision."""

    def select(self, request: Request, state: State) -> int:
        """The row to set for one request."""

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:
        """The row for each request, shape (n,), were `row` set when it arrives."""


def follow(policy: Policy, requests: Requests, start: State = FRESH) -> NDArray[np.intp]:
    """The rows that a policy sets one after the other, shape (n,): the loop over a state.

    A policy that looks at the row that is set is asked request by request: with many rows, almost
    every request finds another one, and there is nothing to share between them.

    Args:
        policy: Who decides; it learns the bandwidth of a request after that request.
        requests: In the order of arrival, with the bandwidths that they meet.
        start: What the first one finds: the row that is set, and the bandwidth measured last.
    """
    told, row = requests.told(start.bandwidth), start.row
    if not policy.remembers:
        return policy.select_all(told, row)
    columns = (told.deadline, told.accuracy, told.signal, told.bandwidth)
    rows = np.empty(len(told), dtype=np.intp)
    for i, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        deadline, accuracy, signal, bandwidth = values
        row = policy.select(Request(deadline, accuracy, signal), State(row, bandwidth))
        rows[i] = row
    return rows
