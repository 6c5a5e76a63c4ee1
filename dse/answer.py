"""From a checked study to a finished run folder."""

import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dse.config import Composed, Execution, Watcher
from dse.errors import DseError
from dse.explore import Exploration, explore
from dse.front import Front
from dse.indicators import Reference, hypervolume
from dse.parameters import FloatArray
from dse.pareto import non_dominated
from dse.problem import Problem, Trials
from dse.searchers.of_study import searcher_of
from dse.store import Question, RunWriter, read_run, require_free, write_atomically
from dse.study import Study
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import Spread, Workers

LIBRARIES = ("edge-dse", "numpy", "moocore", "pymoo", "optuna", "torch", "transformers", "ray")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run is.

    Attributes:
        trials: Distinct designs evaluated.
        failed: Of these.
        feasible: Of these.
        hypervolume: Of the feasible ones, as a share of the box that the first feasible batch spans
            (above 1 where later designs lie beyond it); 0 while there is none.
        runs_made: Real runs of measured evaluators.
        runs_reused: Answers of measured evaluators that an earlier run had left behind.
    """

    trials: int
    failed: int
    feasible: int
    hypervolume: float
    runs_made: int
    runs_reused: int


class Onlooker(Protocol):
    """Sees a study being answered."""

    def preparing(self, what: str, share: float) -> None:
        """A long preparation: what, and which share of it is done."""

    def searching(self, standing: Standing) -> None:
        """After each batch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished run."""

    folder: Path
    standing: Standing
    front: Front
    ending: str
    seconds: float


def answer(study: Study, folder: Path, onlooker: Onlooker) -> Answer:
    """Search what a study asks and leave the run in a folder.

    The folder is created only when everything that can be checked before the search has been.

    Args:
        study: Checked.
        folder: Must not exist, or be empty.
        onlooker: Is told how it goes.

    Raises:
        RunExists: If the folder holds something.
        DseError: If a task is not fetched, a library is missing, or the parts do not fit.
    """
    require_free(folder)
    began = time.monotonic()
    with workers_of(study.file.execution) as workers:
        composed = compose(study, workers, onlooker.preparing)
        problem = Problem(study.space, composed.evaluator, study.objectives, study.constraints)
        question = Question.of(study.file.study, study.file.question, problem)
        searcher = searcher_of(study.file.search, problem)
        manifest = {
            "identity": study.identity(composed.facts),
            "facts": dict(composed.facts),
            "seed": study.file.search.seed,
            "searcher": study.file.search.searcher,
            "trials_asked": study.file.search.trials,
            "overrides": list(study.overrides),
            "export": study.file.export.model_dump(),
            "versions": versions(),
        }
        with RunWriter(
            folder, question, study_text=study.text, resolved=study.resolved(), manifest=manifest
        ) as writer:
            watch = _Watch(writer, composed, onlooker, len(problem.objectives))
            found = explore(
                problem, searcher, budget=study.file.search.trials, on_batch=watch.batch
            )
            standing, seconds = watch.standing(), time.monotonic() - began
            writer.finish(found.ending, _facts(found, standing, seconds))
    front = write_front(folder)
    return Answer(folder, standing, front, found.ending, seconds)


def compose(study: Study, workers: Workers, watch: Watcher) -> Composed:
    """The study's evaluator with its measured parts on the workers."""
    return study.system.compose(study.settings, lambda evaluator: Spread(evaluator, workers), watch)


def write_front(folder: Path) -> Front:
    """Write the view `front.json` of a run folder anew and return the front."""
    run = read_run(folder)
    front = Front.of(run.question, run.trials)
    write_atomically(folder / "front.json", front.to_json() + "\n")
    return front


def workers_of(execution: Execution) -> contextlib.AbstractContextManager[Workers]:
    """The workers that a study asks for, not yet entered."""
    if execution.address is not None and execution.executor != "ray":
        raise DseError(f"execution.address is for the executor 'ray'; got {execution.executor!r}")
    if execution.executor == "serial":
        return Serial()
    if execution.executor == "pool":
        return ProcessPool(execution.workers)
    return RayWorkers(execution.workers, address=execution.address)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that numbers may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _facts(found: Exploration, standing: Standing, seconds: float) -> dict[str, object]:
    return {
        "trials": standing.trials,
        "failed": standing.failed,
        "feasible": standing.feasible,
        "repeats_answered_from_memory": found.repeats,
        "real_runs_made": standing.runs_made,
        "real_runs_reused": standing.runs_reused,
        "seconds": round(seconds, 3),
    }


class _Watch:
    """Stores each batch and reports where the run stands. Mutable on purpose."""

    def __init__(
        self, writer: RunWriter, composed: Composed, onlooker: Onlooker, objectives: int
    ) -> None:
        self._writer = writer
        self._count_runs: Callable[[], tuple[int, int]] = composed.count_runs
        self._onlooker = onlooker
        self._losses: FloatArray = np.empty((0, objectives))
        self._reference: Reference | None = None
        self._counts = [0, 0, 0]

    def batch(self, trials: Trials) -> None:
        """Take a batch of new trials."""
        self._writer.add(trials)
        good = trials.losses[trials.feasible]
        self._counts[0] += len(trials)
        self._counts[1] += int((~trials.ok).sum())
        self._counts[2] += len(good)
        if len(good):
            self._grow(good)
        self._onlooker.searching(self.standing())

    def _grow(self, losses: FloatArray) -> None:
        if self._reference is None:
            self._reference = Reference.of(losses)
        known = np.concatenate([self._losses, losses])
        self._losses = known[non_dominated(known)]

    def standing(self) -> Standing:
        """Where the run stands."""
        volume = 0.0
        if self._reference is not None:
            volume = hypervolume(self._losses, self._reference)
        made, reused = self._count_runs()
        trials, failed, feasible = self._counts
        return Standing(trials, failed, feasible, volume, made, reused)
