"""How far a search is: batches are stored as they come, and somebody is told."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.problem import Trials
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.runs.failures import failure_counts
from dse.runs.store import RunWriter


class SearchStopped(Exception):
    """Somebody asked for an end, or the time is up, and everything that was begun is stored."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is.

    Attributes:
        trials: Distinct designs evaluated.
        failed: Of these.
        stopped: Of these, those whose real run was broken off on purpose.
        feasible: Of these.
        hypervolume: Of the feasible ones, as a share of the box that the first feasible batch spans
            (above 1 where later designs lie beyond it); 0 while there is none.
        runs_made: Real runs of measured evaluators.
        runs_reused: Answers of measured evaluators that an earlier run had left behind.
    """

    trials: int
    failed: int
    stopped: int
    feasible: int
    hypervolume: float
    runs_made: int
    runs_reused: int


class ProgressListener(Protocol):
    """Sees a study being answered."""

    def preparing(self, what: str, share: float) -> None:
        """A long preparation: what, and which share of it is done."""

    def searching(self, progress: RunProgress) -> None:
        """After each batch."""

    def noting(self, what: str) -> None:
        """Something that a person should know and that stops nothing."""


class ProgressRecorder:
    """Stores each batch and reports where the run stands. Mutable on purpose.

    Args:
        writer: Of the run.
        count_runs: Real runs made and reused so far.
        ended: Whether nothing new shall be begun.
        listener: Is told how it goes.
    """

    def __init__(
        self,
        writer: RunWriter,
        count_runs: Callable[[], tuple[int, int]],
        ended: Callable[[], bool],
        listener: ProgressListener,
    ) -> None:
        self._writer, self._count_runs = writer, count_runs
        self._ended, self._onlooker = ended, listener
        self._losses: FloatArray | None = None
        self._reference: Reference | None = None
        if "reference" in writer.manifest:
            box = writer.manifest["reference"]
            self._reference = Reference(tuple(box["ideal"]), tuple(box["nadir"]))
        self._counts = [0, 0, 0, 0]
        self._before = time.monotonic()
        if writer.known is not None:
            self._count(writer.known)

    def batch(self, trials: Trials) -> None:
        """Take a batch of new trials; of one that was broken off, the first that are complete.

        Raises:
            SearchStopped: If nothing new shall be begun.
        """
        cut = [i for i, why in enumerate(trials.failures) if why and why.kind == "not begun"]
        done = trials.rows(np.arange(cut[0])) if cut else trials
        if len(done):
            seconds, self._before = time.monotonic() - self._before, time.monotonic()
            classes = failure_counts(done.failures)
            self._writer.add(done, {"seconds": round(seconds, 4), "failures": classes})
            self._count(done)
            self._onlooker.searching(self.progress())
        if self._ended():
            raise SearchStopped

    def _count(self, trials: Trials) -> None:
        good = trials.losses[trials.feasible]
        self._counts[0] += len(trials)
        self._counts[1] += int(trials.failed.sum())
        self._counts[2] += int(trials.stopped.sum())
        self._counts[3] += len(good)
        if not len(good):
            return
        if self._reference is None:
            self._reference = Reference.of(good)
            self._writer.record({"reference": asdict(self._reference)})
        known = good if self._losses is None else np.concatenate([self._losses, good])
        self._losses = known[non_dominated(known)]

    def progress(self) -> RunProgress:
        """Where the run stands."""
        volume = 0.0
        if self._reference is not None and self._losses is not None:
            volume = hypervolume(self._losses, self._reference)
        made, reused = self._count_runs()
        trials, failed, stopped, feasible = self._counts
        return RunProgress(trials, failed, stopped, feasible, volume, made, reused)
