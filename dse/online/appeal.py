"""Appeal under a deadline: keep an answer that is trusted, ask the cloud where there is time to.

After AppealNet (arXiv 2105.04104): an input stays on the edge if its score is at or above a
threshold. Ours is the deadline: an input that is not trusted is appealed only if the answer can be
back in time over the link as it is; otherwise the edge's answer stands. Both classes then take the
row of least energy in time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.errors import DseError
from dse.online.choices import Choices
from dse.online.outcomes import Outcome
from dse.online.policies import LeastEnergy, PerClass
from dse.online.requests import Request, Requests, State
from dse.parameters import FloatArray


@dataclass(frozen=True, slots=True)
class ByAppeal:
    """Two classes: 0 appeals, 1 keeps the edge's answer.

    Attributes:
        threshold: A score at or above keeps the answer [1].
        fastest: Least latency of an appeal at `bandwidth` [s], at least 0.
        bits: Sent by an appeal [bit], at least 0.
        bandwidth: At which `fastest` holds [bit/s], above 0.

    Raises:
        DseError: If a value is negative or NaN.
    """

    threshold: float
    fastest: float
    bits: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name, value, unit in (("fastest", self.fastest, "s"), ("bits", self.bits, "bit")):
            if not value >= 0:
                raise DseError(f"{name} = {value!r} {unit} of an appeal must be at least 0")
        if not self.bandwidth > 0:
            raise DseError(f"bandwidth = {self.bandwidth!r} bit/s of an appeal must be above 0")
        if self.threshold != self.threshold:
            raise DseError("the threshold of an appeal is NaN")

    @property
    def count(self) -> int:
        """Two."""
        return 2

    def of(self, request: Request, state: State) -> int:
        """The class of one request.

        Raises:
            DseError: If the network said nothing.
        """
        if request.signal != request.signal:  # NaN alone is unlike itself
            raise DseError("the request carries no score to decide on an appeal")
        back = self.fastest + (self.bits / state.bandwidth - self.bits / self.bandwidth)
        return int(request.signal >= self.threshold or back > request.deadline)

    def of_all(self, requests: Requests) -> NDArray[np.intp]:
        """The class of each request, shape (n,).

        Raises:
            DseError: If the network said nothing in one of them.
        """
        if np.isnan(requests.signal).any():
            raise DseError("a request carries no score to decide on an appeal")
        back = self.fastest + (self.bits / requests.bandwidth - self.bits / self.bandwidth)
        kept = (requests.signal >= self.threshold) | (back > requests.deadline)
        return np.asarray(kept, dtype=np.intp)


def appeal_policy(
    choices: Choices, appeals: NDArray[np.bool_], threshold: float, bits: float, bandwidth: float
) -> PerClass:
    """Appeal what is not trusted, if there is time; in both cases the least energy in time.

    Args:
        choices: Rows that keep and rows that appeal, each priced from the input's arrival on.
        appeals: Which rows appeal, shape (k,).
        threshold: A score at or above keeps the answer [1].
        bits: Sent by an appeal [bit].
        bandwidth: At which the appealing rows are priced [bit/s].

    Raises:
        DseError: If no row appeals, or none keeps.
    """
    far, near = choices.only(appeals), choices.only(~appeals)
    fastest = float(choices.latency[far.open].min())
    classifier = ByAppeal(threshold, fastest, bits, bandwidth)
    return PerClass(classifier, (LeastEnergy.of(far), LeastEnergy.of(near)))


@dataclass(frozen=True, slots=True, eq=False)
class AppealOutcomes:
    """What known inputs cost, and whether they are answered rightly; shape (n,) each.

    Attributes:
        choices: The rows, shape (k,).
        appeals: Which of them appeal, shape (k,).
        bits: Sent by an appeal [bit].
        bandwidth: At which the appealing rows are priced [bit/s].
        waiting: Power of the board during a transfer [W].
        edge_right: Whether the small network answers each input rightly [1].
        cloud_right: The same of the large one [1].
    """

    choices: Choices
    appeals: NDArray[np.bool_]
    bits: float
    bandwidth: float
    waiting: float
    edge_right: FloatArray
    cloud_right: FloatArray

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """Latency and energy at the bandwidth that each request meets, and its accuracy.

        Raises:
            DseError: If there are more or fewer requests than inputs.
        """
        if len(requests) != len(self.edge_right):
            raise DseError(f"{len(requests)} requests, {len(self.edge_right)} inputs")
        appealed = self.appeals[rows]
        later = self.bits / requests.bandwidth - self.bits / self.bandwidth
        longer = np.where(appealed, later, 0.0)
        return Outcome(
            self.choices.latency[rows] + longer,
            self.choices.energy[rows] + self.waiting * longer,
            np.where(appealed, self.cloud_right, self.edge_right),
        )
