"""From a checked study to a finished run folder, at one go or after any number of stops."""

import contextlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dse.config import Composed, Execution, Watcher
from dse.errors import DseError, RunDiffers
from dse.evaluation import Evaluator
from dse.explore import explore
from dse.failures import failure_counts
from dse.files import canonical_json
from dse.front import Front
from dse.indicators import Reference, hypervolume
from dse.parameters import FloatArray
from dse.pareto import non_dominated
from dse.problem import Problem, Trials
from dse.run_lock import now
from dse.searchers.of_study import searcher_of
from dse.stopping import Stop
from dse.store import Question, RunWriter, read_resolved, read_run, require_free
from dse.study import Study
from dse.views import write_views
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import STOPPED, Needs, Spread, Workers

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

    def noting(self, what: str) -> None:
        """Something that a person should know and that stops nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A run that has ended, by itself or because somebody asked it to."""

    folder: Path
    standing: Standing
    front: Front
    ending: str
    seconds: float
    max_failed_share: float


def answer(study: Study, folder: Path, onlooker: Onlooker, stop: Stop) -> Answer:
    """Search what a study asks and leave the run in a folder.

    The folder is created only when everything that can be checked before the search has been.

    Args:
        study: Checked.
        folder: Must not exist, or be empty.
        onlooker: Is told how it goes.
        stop: Says when to stop.

    Raises:
        RunExists: If the folder holds something.
        DseError: If a task is not fetched, a library is missing, or the parts do not fit.
    """
    require_free(folder)
    with workers_of(study.file.execution, stop.wanted) as workers:
        job = _Job.of(study, workers, onlooker, stop)
        manifest = {
            "identity": study.identity(job.facts),
            "identified_by": study.identified_by(job.facts),
            "facts": dict(job.facts),
            "seed": study.file.search.seed,
            "searcher": study.file.search.searcher,
            "trials_asked": study.file.search.trials,
            "overrides": list(study.overrides),
            "export": study.file.export.model_dump(),
            "versions": versions(),
            "sessions": [],
        }
        texts = {"study_text": study.text, "resolved": study.resolved()}
        with RunWriter(folder, job.question, **texts, manifest=manifest) as writer:
            return job.search(writer, folder)


def resume(
    folder: Path, load: Callable[[int], Study], trials: str | None, onlooker: Onlooker, stop: Stop
) -> Answer:
    """Go on with a run as if it had never stopped, and with more trials if asked.

    The search is gone through again from its seed with the stored trials as answers, so whatever
    a searcher remembers is right without having been saved.

    Args:
        folder: Of the run.
        load: Gives the study of the run for a number of trials.
        trials: `+200` for so many more than last asked, `600` for so many in all; None for as many
            as last asked.
        onlooker: Is told how it goes.
        stop: Says when to stop.

    Raises:
        RunHeld: If a living process works on the run.
        RunDiffers: If study, data or code are not what the run was begun with.
        RunDamaged: If manifest or study do not read.
        DseError: If fewer trials are asked than before.
    """
    with RunWriter.reopen(folder) as writer:
        if writer.repaired:
            onlooker.noting(writer.repaired)
        read_resolved(folder)  # verified before it is read again by `load`
        asked = int(writer.manifest["trials_asked"])
        wanted = grown(asked, trials)
        study = load(wanted)
        with workers_of(study.file.execution, stop.wanted) as workers:
            job = _Job.of(study, workers, onlooker, stop)
            _require_same(writer.manifest, study.identified_by(job.facts))
            if wanted > asked:
                writer.note("grown", {"from": asked, "to": wanted})
                writer.record({"trials_asked": wanted})
            return job.search(writer, folder)


def grown(asked: int, trials: str | None) -> int:
    """How many trials a run is to have that was asked for `asked`.

    Raises:
        DseError: If the text is neither `+N` nor `N`, or the run would shrink.
    """
    if trials is None:
        return asked
    digits = trials.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise DseError(f"--trials {trials}: write +200 for 200 more, or 600 for 600 in all")
    wanted = int(digits) + (asked if trials.startswith("+") else 0)
    if wanted < asked:
        raise DseError(f"--trials {trials}: the run was asked for {asked}; a run only grows")
    return wanted


def _require_same(manifest: Mapping[str, Any], now_is: Mapping[str, Any]) -> None:
    """Refuse to continue what would be another run, naming every field that differs."""
    before = _flat(manifest["identified_by"])
    after = _flat(json.loads(canonical_json(now_is)))  # as the manifest has been through JSON
    differing = [
        f"{name}: was {before.get(name, 'absent')!r}, is {after.get(name, 'absent')!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if differing:
        raise RunDiffers(
            "the run was begun with something else and is left as it is: " + "; ".join(differing)
        )


def _flat(content: object, above: str = "") -> dict[str, object]:
    if not isinstance(content, Mapping):
        return {above: content}
    flat: dict[str, object] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{above}.{key}" if above else str(key))
    return flat


class _Drained(Exception):
    """Somebody asked for an end, and everything that was begun is stored."""


@dataclass(frozen=True, eq=False)
class _Job:
    """A study with its parts composed, ready to be searched."""

    study: Study
    problem: Problem
    composed: Composed
    onlooker: Onlooker
    stop: Stop

    @classmethod
    def of(cls, study: Study, workers: Workers, onlooker: Onlooker, stop: Stop) -> "_Job":
        """Compose a study with its measured parts on the workers."""
        composed = compose(study, workers, onlooker.preparing)
        problem = Problem(study.space, composed.evaluator, study.objectives, study.constraints)
        return cls(study, problem, composed, onlooker, stop)

    @property
    def facts(self) -> dict[str, str]:
        """What the numbers depend on beside the study: data, networks, tables, code."""
        return {**self.composed.facts, "code": f"edge-dse {versions().get('edge-dse', '?')}"}

    @property
    def question(self) -> Question:
        """What is asked."""
        return Question.of(self.study.file.study, self.study.file.question, self.problem)

    def search(self, writer: RunWriter, folder: Path) -> Answer:
        """Search until the budget is spent or somebody stops it; the views are left up to date."""
        began = time.monotonic()
        searcher = searcher_of(self.study.file.search, self.problem)
        watch = _Watch(writer, self)
        where = self.study.file.execution.model_dump(exclude_none=True)
        sessions = list(writer.manifest["sessions"])
        session = {"began": now(), "trials_before": writer.trials, **where}
        self.stop.folder = folder
        writer.begin({**where, "sessions": len(sessions) + 1})
        ending, repeats = "interrupted", None
        try:
            with self.stop.draining(), contextlib.suppress(_Drained):
                found = explore(
                    self.problem,
                    searcher,
                    budget=self.study.file.search.trials,
                    on_batch=watch.batch,
                    known=writer.known,
                )
                if self.composed.held_out is not None:
                    self.onlooker.preparing("the front on held-out data", 0.0)
                    front = Front.of(self.question, found.trials)
                    writer.record({"held_out": front.measured_on(self.composed.held_out)})
                    self.onlooker.preparing("the front on held-out data", 1.0)
                ending, repeats = found.ending, found.repeats
        finally:
            seconds = time.monotonic() - began
            made, reused = self.composed.count_runs()
            session |= {"ended": now(), "ending": ending, "seconds": round(seconds, 3)}
            session |= {"trials_after": writer.trials, "runs_made": made, "runs_reused": reused}
            writer.finish(ending, _facts(watch.standing(), repeats, [*sessions, session]))
            front = write_views(read_run(folder))
        share = self.study.file.search.max_failed_share
        return Answer(folder, watch.standing(), front, ending, seconds, share)


def compose(study: Study, workers: Workers, watch: Watcher) -> Composed:
    """The study's evaluator with its measured parts on the workers."""
    execution = study.file.execution
    plain = Needs(execution.cpus, execution.gpus, execution.timeout_s)

    def spread(evaluator: Evaluator, needs: Needs | None = None) -> Evaluator:
        return Spread(evaluator, workers, needs=needs or plain)

    return study.system.compose(study.settings, spread, watch)


def workers_of(
    execution: Execution, stopping: Callable[[], bool]
) -> contextlib.AbstractContextManager[Workers]:
    """The workers that a study asks for, not yet entered."""
    if execution.address is not None and execution.executor != "ray":
        raise DseError(f"execution.address is for the executor 'ray'; got {execution.executor!r}")
    if execution.executor == "serial":
        return Serial(stopping)
    if execution.executor == "pool":
        return ProcessPool(execution.workers, stopping)
    return RayWorkers(execution.workers, address=execution.address, stopping=stopping)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that numbers may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _facts(
    standing: Standing, repeats: int | None, sessions: list[dict[str, Any]]
) -> dict[str, object]:
    return {
        "trials": standing.trials,
        "failed": standing.failed,
        "feasible": standing.feasible,
        "repeats_answered_from_memory": repeats,
        "real_runs_made": sum(s["runs_made"] for s in sessions),
        "real_runs_reused": sum(s["runs_reused"] for s in sessions),
        "seconds": round(sum(s["seconds"] for s in sessions), 3),
        "sessions": sessions,
    }


class _Watch:
    """Stores each batch and reports where the run stands. Mutable on purpose."""

    def __init__(self, writer: RunWriter, job: _Job) -> None:
        self._writer = writer
        self._job = job
        self._losses: FloatArray = np.empty((0, len(job.problem.objectives)))
        self._reference: Reference | None = None
        if "reference" in writer.manifest:
            box = writer.manifest["reference"]
            self._reference = Reference(tuple(box["ideal"]), tuple(box["nadir"]))
        self._counts = [0, 0, 0]
        self._before = time.monotonic()
        if writer.known is not None:
            self._count(writer.known)

    def batch(self, trials: Trials) -> None:
        """Take a batch of new trials; of one that was broken off, the first that are complete."""
        stopped = [row for row, why in enumerate(trials.failures) if why == STOPPED]
        done = trials.rows(np.arange(stopped[0])) if stopped else trials
        if len(done):
            seconds, self._before = time.monotonic() - self._before, time.monotonic()
            classes = failure_counts(done.failures)
            self._writer.add(done, {"seconds": round(seconds, 4), "failures": classes})
            self._count(done)
            self._job.onlooker.searching(self.standing())
        if self._job.stop.wanted():
            raise _Drained

    def _count(self, trials: Trials) -> None:
        good = trials.losses[trials.feasible]
        self._counts[0] += len(trials)
        self._counts[1] += int((~trials.ok).sum())
        self._counts[2] += len(good)
        if not len(good):
            return
        if self._reference is None:
            self._reference = Reference.of(good)
            self._writer.record({"reference": asdict(self._reference)})
        known = np.concatenate([self._losses, good])
        self._losses = known[non_dominated(known)]

    def standing(self) -> Standing:
        """Where the run stands."""
        volume = 0.0
        if self._reference is not None:
            volume = hypervolume(self._losses, self._reference)
        made, reused = self._job.composed.count_runs()
        trials, failed, feasible = self._counts
        return Standing(trials, failed, feasible, volume, made, reused)
