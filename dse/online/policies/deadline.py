"""Policies over rows: DynaSplit's rule (arXiv 2410.23881), its baselines, and ours.

DynaSplit: rows by energy, ties by accuracy; the first whose latency meets the deadline, else the
fastest. Ours keep that rule and change what it is told: a quantile instead of a mean, the price of
switching, a least accuracy, one table per bandwidth.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.online.requests import Policy, Request, Requests, State
from dse.online.rows import Rows, Staircase, by_energy


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same row.

    Attributes:
        row: Which.
    """

    row: int

    @property
    def remembers(self) -> bool:
        """No."""
        return False

    def select(self, request: Request, state: State) -> int:  # noqa: ARG002  (of the protocol)
        """The row."""
        return self.row

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:  # noqa: ARG002
        """The row, shape (n,)."""
        return np.full(len(requests), self.row, dtype=np.intp)


def fastest(choices: Rows) -> Fixed:
    """Always the fastest row; of equally fast ones, the least energy."""
    order = by_energy(choices)
    return Fixed(int(order[np.argmin(choices.latency[order])]))


def least_energy(choices: Rows) -> Fixed:
    """Always the row of least energy; of equal ones, the more accurate."""
    return Fixed(int(by_energy(choices)[0]))


@dataclass(frozen=True, slots=True, eq=False)
class LeastEnergy:
    """The row of least energy that meets the deadline, else the fastest: DynaSplit's rule.

    Where a request asks for an accuracy, only rows at or above it count, also for the fastest; if
    no row is that accurate, the most accurate ones do. Without such a request it is exactly the
    published rule.

    Attributes:
        levels: Accuracies that rows have, rising [1].
        stairs: Of the rows at or above each level.
    """

    levels: tuple[float, ...]
    stairs: tuple[Staircase, ...]

    @classmethod
    def of(cls, choices: Rows) -> "LeastEnergy":
        """The policy over all open rows."""
        levels = np.unique(choices.accuracy[choices.open])
        order = by_energy(choices)
        stairs = [
            Staircase.of(order[choices.accuracy[order] >= level], choices.latency)
            for level in levels
        ]
        return cls(tuple(levels.tolist()), tuple(stairs))

    @property
    def remembers(self) -> bool:
        """No: the published rule does not look at what is set."""
        return False

    def select(self, request: Request, state: State) -> int:  # noqa: ARG002  (of the protocol)
        """The row for one request; about a microsecond."""
        level = bisect_left(self.levels, request.accuracy)
        return self.stairs[min(level, len(self.stairs) - 1)].first(request.deadline)

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:  # noqa: ARG002
        """The row for each request, shape (n,)."""
        level = np.searchsorted(np.array(self.levels), requests.accuracy, side="left")
        level = np.minimum(level, len(self.stairs) - 1)
        rows = np.empty(len(requests), dtype=np.intp)
        for i in np.unique(level):
            of_level = level == i
            rows[of_level] = self.stairs[i].first_all(requests.deadline[of_level])
        return rows


class Classifier(Protocol):
    """Sorts requests into classes that have a policy each."""

    @property
    def count(self) -> int:
        """How many classes there are."""

    def of(self, request: Request, state: State) -> int:
        """The class of one request, 0 to `count` - 1."""

    def of_all(self, requests: Requests) -> NDArray[np.intp]:
        """The class of each request, shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class PerClass:
    """A policy for each class of requests: by bandwidth, by predicted exit, by an appeal score.

    Attributes:
        classifier: Which class a request is of.
        policies: One per class; all number the same rows.

    Raises:
        DseError: If there are more classes than policies, or fewer.
    """

    classifier: Classifier
    policies: tuple[Policy, ...]

    def __post_init__(self) -> None:
        if self.classifier.count != len(self.policies):
            raise DseError(
                f"{self.classifier.count} classes of requests need as many policies, "
                f"got {len(self.policies)}"
            )

    @property
    def remembers(self) -> bool:
        """If any of them does."""
        return any(policy.remembers for policy in self.policies)

    def select(self, request: Request, state: State) -> int:
        """The row that the request's class gives it."""
        return self.policies[self.classifier.of(request, state)].select(request, state)

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:
        """The row for each request, shape (n,)."""
        classes = self.classifier.of_all(requests)
        rows = np.empty(len(requests), dtype=np.intp)
        for i in np.unique(classes):
            of_class = classes == i
            rows[of_class] = self.policies[i].select_all(requests.take(of_class), row)
        return rows


@dataclass(frozen=True, slots=True)
class BySignal:
    """Classes by what the network said: below the first edge, from it to the second, and so on.

    With one edge, the appeal threshold, this routes as AppealNet does (arXiv 2105.04104): class 1
    trusts the little network, class 0 appeals to the big one.

    Attributes:
        edges: Rising; a signal equal to an edge is above it.

    Raises:
        DseError: If the edges do not rise.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if list(self.edges) != sorted(set(self.edges)):
            raise DseError(f"edges of a signal must rise, got {self.edges}")

    @property
    def count(self) -> int:
        """One more than edges."""
        return len(self.edges) + 1

    def of(self, request: Request, state: State) -> int:  # noqa: ARG002  (of the protocol)
        """The class of one request.

        Raises:
            DseError: If the network said nothing.
        """
        if not request.signal == request.signal:  # NaN alone is unlike itself
            raise DseError("the request carries no signal to sort it by")
        # Edges at or below the signal: that is bisect from the right.
        return sum(edge <= request.signal for edge in self.edges)

    def of_all(self, requests: Requests) -> NDArray[np.intp]:
        """The class of each request, shape (n,).

        Raises:
            DseError: If the network said nothing in one of them.
        """
        if np.isnan(requests.signal).any():
            raise DseError("a request carries no signal to sort it by")
        found = np.searchsorted(np.array(self.edges), requests.signal, side="right")
        return np.asarray(found, dtype=np.intp)
