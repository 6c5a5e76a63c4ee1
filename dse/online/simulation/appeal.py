"""Appeal under a deadline: keep an answer that is trusted, ask the cloud where there is time to.

After AppealNet (arXiv 2105.04104): an input stays on the edge if its score is at or above a
threshold. Ours is the deadline: an input that is not trusted is appealed only if the answer can be
back in time over the link as it was measured last; otherwise the edge's answer stands.

The score is what the edge network says, so whatever that network runs at is set before there is
one. The clock therefore follows from deadline and link alone, and only the branch from the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.requests import Request, Requests, State
from dse.online.rows import Rows, Staircase, by_energy
from dse.online.simulation.outcome_models import Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """Rows that keep the edge's answer and rows that appeal, shape (k,).

    Attributes:
        choices: All of them, each priced from the input's arrival on.
        appeals: Which of them appeal, shape (k,).
        kept: The row that keeps the answer of the same edge network at the same settings; a row
            that keeps is its own, shape (k,).
        bits: Sent by an appeal [bit].
        bandwidth: At which the appealing rows are priced [bit/s].
    """

    choices: Rows
    appeals: NDArray[np.bool_]
    kept: NDArray[np.intp]
    bits: float
    bandwidth: float

    @classmethod
    def of(
        cls,
        choices: Rows,
        appeals: NDArray[np.bool_],
        settled: Sequence[str],
        bits: float,
        bandwidth: float,
    ) -> "Branches":
        """The branches of rows that say what is set before the score is known.

        Args:
            choices: Rows that keep and rows that appeal.
            appeals: Which rows appeal, shape (k,).
            settled: Knobs of `choices` that the edge network runs at.
            bits: Sent by an appeal [bit], at least 0.
            bandwidth: At which the appealing rows are priced [bit/s], above 0.

        Raises:
            DseError: If a value is out of range, no row appeals, or an appeal has not exactly one
                row that keeps in its stead.
        """
        if not bits >= 0:
            raise DseError(f"bits = {bits!r} bit of an appeal must be at least 0")
        if not bandwidth > 0:
            raise DseError(f"bandwidth = {bandwidth!r} bit/s of an appeal must be above 0")
        missing = [name for name in settled if name not in choices.settings]
        if missing:
            raise DseError(f"no knob {missing[0]}; there are {', '.join(choices.settings)}")
        if not (appeals & choices.open).any():
            raise DseError("no row appeals")
        kept = np.arange(len(choices), dtype=np.intp)
        for row in np.flatnonzero(appeals & choices.open):
            kept[row] = _kept(choices, ~appeals & choices.open, settled, int(row))
        return cls(choices, appeals, kept, bits, bandwidth)

    def later(self, bandwidth: FloatArray) -> FloatArray:
        """How much longer an appeal takes over another link [s], shape (n,); negative if shorter.

        Args:
            bandwidth: [bit/s], shape (n,).
        """
        return self.bits / bandwidth - self.bits / self.bandwidth


def _kept(choices: Rows, keeps: NDArray[np.bool_], settled: Sequence[str], row: int) -> int:
    """The one row that keeps the answer of the edge network as an appealing row sets it."""
    at = {name: choices.settings[name][row].item() for name in settled}
    for name, value in at.items():
        keeps = keeps & (choices.settings[name] == value)
    if keeps.sum() != 1:
        raise DseError(
            f"{keeps.sum()} rows keep the answer at {at}, where row {row} appeals; one must stand "
            "in its stead"
        )
    return int(np.flatnonzero(keeps)[0])


@dataclass(frozen=True, slots=True, eq=False)
class EdgeFirst:
    """The edge's settings before the score is known, the branch after it.

    Before: the settings of the appeal of least energy that can be back in time; if none can, those
    of the row of least energy in time among the rows that keep, else of the fastest of them. After:
    a score at or above the threshold keeps the answer, and so does an appeal that cannot be back.

    What rows say of their accuracy is not asked: the score decides whom to ask.

    Attributes:
        branches: The rows.
        threshold: A score at or above keeps the answer [1].
        far: Rows that appeal.
        near: Rows that keep, for where no appeal can be back; None to appeal all the same, fastest.
    """

    branches: Branches
    threshold: float
    far: Staircase
    near: Staircase | None

    @property
    def remembers(self) -> bool:
        """No."""
        return False

    def select(self, request: Request, state: State) -> int:
        """The row for one request.

        Raises:
            DseError: If the network said nothing.
        """
        told = (request.deadline, request.signal, state.bandwidth)
        return int(self._decided(*(np.array([value]) for value in told))[0])

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:  # noqa: ARG002
        """The row for each request, shape (n,).

        Raises:
            DseError: If the network said nothing in one of them.
        """
        return self._decided(requests.deadline, requests.signal, requests.bandwidth)

    def _decided(
        self, deadline: FloatArray, signal: FloatArray, bandwidth: FloatArray
    ) -> NDArray[np.intp]:
        if np.isnan(signal).any():
            raise DseError("a request carries no score to decide on an appeal")
        ready = self._ready(deadline, bandwidth)
        return np.where(signal >= self.threshold, self.branches.kept[ready], ready)

    def _ready(self, deadline: FloatArray, bandwidth: FloatArray) -> NDArray[np.intp]:
        """The row that an input which is not trusted takes, shape (n,): no score needed."""
        latency = self.branches.later(bandwidth)[:, np.newaxis] - self.far.falling
        back = latency <= deadline[:, np.newaxis]
        appeal = self.far.rows[np.where(back.any(axis=1), back.argmax(axis=1), -1)]
        if self.near is None:
            return appeal
        return np.where(back.any(axis=1), appeal, self.near.first_all(deadline))


def appeal_policy(branches: Branches, threshold: float, *, in_time: bool = True) -> EdgeFirst:
    """Appeal what is not trusted, the edge network prepared for it.

    Args:
        branches: The rows.
        threshold: A score at or above keeps the answer [1].
        in_time: Whether the edge's answer stands where an appeal cannot be back in time.

    Raises:
        DseError: If the threshold is NaN.
    """
    if threshold != threshold:  # NaN alone is unlike itself
        raise DseError("the threshold of an appeal is NaN")
    choices = branches.choices
    far, near = (
        Staircase.of(by_energy(choices.only(which)), choices.latency)
        for which in (branches.appeals, ~branches.appeals)
    )
    return EdgeFirst(branches, threshold, far, near if in_time else None)


@dataclass(frozen=True, slots=True, eq=False)
class AppealOutcomes:
    """What known inputs cost, and whether they are answered rightly; shape (n,) each.

    Attributes:
        branches: The rows.
        waiting: Power of the board during a transfer [W].
        edge_right: Whether the small network answers each input rightly [1].
        cloud_right: The same of the large one [1].
    """

    branches: Branches
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
        appealed, choices = self.branches.appeals[rows], self.branches.choices
        longer = np.where(appealed, self.branches.later(requests.bandwidth), 0.0)
        return Outcome(
            choices.latency[rows] + longer,
            choices.energy[rows] + self.waiting * longer,
            np.where(appealed, self.cloud_right, self.edge_right),
        )
