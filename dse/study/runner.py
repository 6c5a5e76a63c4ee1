"""From a checked study to a finished run folder, at one go or after any number of stops."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from dse.core.composition import modules_of
from dse.core.errors import CompositionError, DseError
from dse.core.evaluation import Cached, Evaluator
from dse.core.failure import one_line
from dse.core.files import canonical_json
from dse.core.problem import Problem, Trials
from dse.results.exports import write_views
from dse.results.front import Front
from dse.runs.events import read_events
from dse.runs.identity import identified_code, source_digest, versions
from dse.runs.lock import now
from dse.runs.manifest import read_resolved
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, read_run, require_free
from dse.search.interrupts import Clock, Stop
from dse.search.loop import explore, never_enough
from dse.search.progress import ProgressListener, ProgressRecorder, RunProgress, SearchStopped
from dse.search.termination import Plateau
from dse.searchers.registry import SEARCHERS, make_searcher
from dse.searchers.searcher import Searcher
from dse.study.loader import Study
from dse.study.plugins import absolute
from dse.study.preflight import require_runnable
from dse.study.reconcile import reconcile
from dse.study.schema import Execution
from dse.study.system import Composed, Spreader, Staged, Watcher
from dse.study.warm_start import InitialDesigns, initial_designs_of
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import Needs, Spread, Workers


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, by itself or because somebody asked it to.

    Attributes:
        folder, progress, front: Of the run.
        ending: `budget`, `exhausted`, `nothing new`, `plateau`, `wall time` or `interrupted`.
        seconds: Of this session.
        max_failed_share: What the study takes.
        why: More about the ending, if there is more to say.
    """

    folder: Path
    progress: RunProgress
    front: Front
    ending: str
    seconds: float
    max_failed_share: float
    why: str = ""


def run_study(
    study: Study[Any],
    folder: Path,
    listener: ProgressListener,
    stop: Stop,
    system_from: str = "",
) -> EndedRun:
    """Search what a study asks and leave the run in a folder.

    The folder is created only when everything that can be checked before the search has been.

    Args:
        study: Checked.
        folder: Must not exist, or be empty.
        listener: Is told how it goes.
        stop: Says when to stop.
        system_from: `FILE.py:NAME` of a system that no installed package offers; recorded.

    Raises:
        RunExists: If the folder holds something.
        MissingDependency: If a library, a task, a network or room is not here.
        DseError: If the parts do not fit.
    """
    require_free(folder)
    require_runnable(study)
    clock = Clock()
    with workers_of(study.file.execution, lambda: stop.wanted() or clock.expired()) as workers:
        job = _Job.of(study, workers, listener, stop, clock)
        opening = initial_designs_of(study, job.problem, job.identified)
        for note in opening.notes:
            listener.noting(note)
        identified = _opened(job.identified, opening)
        manifest = {
            "identity": sha256(canonical_json(identified).encode()).hexdigest(),
            "identified_by": identified,
            "facts": job.recorded_facts,
            "seed": study.file.search.seed,
            "searcher": study.file.search.searcher,
            "trials_asked": study.file.search.trials,
            "stopping": _stopping(study),
            **({"opening": opening.record} if opening.record else {}),
            "overrides": list(study.overrides),
            "export": _export(study),
            "system_from": absolute(system_from) if system_from else "",
            "requests": None if study.system.requests is None else asdict(study.system.requests),
            "versions": versions(),
            "sessions": [],
        }
        texts = {"study_text": study.text, "resolved": study.resolved()}
        with RunWriter(folder, job.question, **texts, manifest=manifest) as writer:
            return job.search(writer, folder, opening)


def _export(study: Study[Any]) -> dict[str, str]:
    """How a table is ordered; the first objective where the study does not say."""
    asked, first = study.file.export, study.objectives[0].name
    return {"sort_by": asked.sort_by or first, "fallback": asked.fallback or first}


def _stopping(study: Study[Any]) -> dict[str, Any]:
    """Rules other than the number of trials that end a search, as a manifest keeps them."""
    search = study.file.search
    return {
        "max_wall_s": None if search.max_wall is None else search.max_wall.seconds,
        "plateau": None if search.plateau is None else search.plateau.model_dump(),
    }


def _opened(identified: Mapping[str, Any], opening: InitialDesigns) -> dict[str, Any]:
    """What identifies a job, and which designs were given beforehand."""
    if not opening.record:
        return dict(identified)
    codes = canonical_json(opening.record["codes"])
    return {**identified, "opening": sha256(codes.encode()).hexdigest()}


def resume(  # noqa: PLR0913  (one argument per decision of the user)
    folder: Path,
    load: Callable[[int], Study[Any]],
    trials: str | None,
    listener: ProgressListener,
    stop: Stop,
    stopping: Mapping[str, Any] | None = None,
    accept: Sequence[str] = (),
) -> EndedRun:
    """Go on with a run as if it had never stopped, and with more trials if asked.

    The search is gone through again from its seed with the stored trials as answers, so whatever
    a searcher remembers is right without having been saved.

    Args:
        folder: Of the run.
        load: Gives the study of the run for a number of trials.
        trials: `+200` for so many more than last asked, `600` for so many in all; None for as many
            as last asked.
        listener: Is told how it goes.
        stop: Says when to stop.
        stopping: Rules that replace those that the run was begun with: `max_wall_s`, the seconds
            that all of its sessions may take together, and `plateau` (None: no such rule).
        accept: Fields that may differ from what the run was begun with, or names above them, as in
            `code.models`; never the study. Recorded in the manifest and shown in every view.

    Raises:
        RunHeld: If a living process works on the run.
        RunDiffers: If study, data, code, libraries, processor or files of the cache are not what
            the run was begun with, and that is not accepted; or if what is accepted is the same.
        RunDamaged: If manifest or study do not read.
        DseError: If fewer trials are asked than before.
    """
    with RunWriter.reopen(folder) as writer:
        if writer.repaired:
            listener.noting(writer.repaired)
        read_resolved(folder)  # verified before it is read again by `load`
        asked = int(writer.manifest["trials_asked"])
        wanted = grown(asked, trials)
        study = load(wanted)
        require_runnable(study, resumed=True)
        clock = Clock(_seconds_spent(folder))
        with workers_of(study.file.execution, lambda: stop.wanted() or clock.expired()) as workers:
            job = _Job.of(study, workers, listener, stop, clock)
            opening = InitialDesigns.recorded(writer.manifest, job.problem)
            there = job.artefacts(writer.known)
            identified = _opened(job.identified, opening)
            for line in reconcile(writer, identified, there, job.recorded_facts, accept):
                listener.noting(line)
            if wanted > asked:
                writer.note("grown", {"from": asked, "to": wanted})
                writer.record({"trials_asked": wanted})
            if stopping:
                writer.note("stopping", stopping)
                writer.record({"stopping": {**writer.manifest.get("stopping", {}), **stopping}})
            return job.search(writer, folder, opening)


def _seconds_spent(folder: Path) -> float:
    """What the batches of a run have taken so far, all sessions together, dead ones too."""
    return float(sum(e.get("seconds", 0.0) for e in read_events(folder) if e["event"] == "trials"))


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


@dataclass(frozen=True, eq=False)
class _Job:
    """A study with its parts composed, ready to be searched."""

    study: Study[Any]
    problem: Problem
    composed: Composed
    spread: Spreader
    answered: Callable[[], int]
    staged: Staged | None
    searcher: Searcher
    listener: ProgressListener
    stop: Stop
    clock: Clock

    @classmethod
    def of(
        cls,
        study: Study[Any],
        workers: Workers,
        listener: ProgressListener,
        stop: Stop,
        clock: Clock,
    ) -> "_Job":
        """Compose a study with its measured parts on the workers."""
        spread, answered = spread_over(study, workers)
        composed = composed_of(study, spread, listener.preparing)
        staged = _staged(study, composed)
        evaluator = composed.evaluator if staged is None else staged.evaluator
        problem = Problem(study.space, evaluator, study.objectives, study.constraints)
        if staged is not None:
            staged.early.follow(problem, staged.handle)
        # A searcher that cannot do with this problem says so before there is a folder.
        search = study.file.search
        searcher = make_searcher(search.searcher, problem, seed=search.seed, batch=search.batch)
        return cls(
            study, problem, composed, spread, answered, staged, searcher, listener, stop, clock
        )

    def count_runs(self) -> tuple[int, int]:
        """Real runs made and results reused so far."""
        return runs_made(self.composed, self.answered)

    @property
    def facts(self) -> dict[str, str]:
        """What the numbers depend on beside study and code: data, networks, tables."""
        return dict(self.composed.facts)

    @property
    def code(self) -> str:
        """Version and digest of the whole source; recorded, never compared."""
        return f"edge-dse {versions().get('edge-dse', '?')}, source {source_digest()[:16]}"

    @property
    def recorded_facts(self) -> dict[str, str]:
        """Facts as a manifest keeps them: for a reader, so the code is named among them."""
        return {**self.facts, "code": self.code}

    @property
    def identified(self) -> dict[str, Any]:
        """What is asked and all that the answers depend on: code, libraries, processor."""
        evaluators = [self.composed.evaluator, self.problem.evaluator]
        tables = [name.removeprefix("table ") for name in self.facts if name.startswith("table ")]
        code = identified_code(
            [*self.study.system.modules, *modules_of(evaluators)],
            [type(self.searcher).__module__],
            SEARCHERS[self.study.file.search.searcher].libraries,
            measured=self.composed.evaluator.signature.cost == "measured",
            covered=tables,
        )
        return {**self.study.identified_by(self.facts), **code}

    def artefacts(self, trials: Trials | None) -> Mapping[str, str]:
        """Files of the cache that trials rest on, those that are there, with their digests."""
        if self.composed.artefacts is None or trials is None:
            return {}
        return self.composed.artefacts(trials.rows(trials.ok).metrics)

    @property
    def question(self) -> Question:
        """What is asked."""
        return Question.of(self.study.file.study, self.study.file.question, self.problem)

    def search(self, writer: RunWriter, folder: Path, opening: InitialDesigns) -> EndedRun:
        """Search until a rule or somebody stops it; the views are left up to date."""
        began = time.monotonic()
        recorder = ProgressRecorder(writer, self.count_runs, self._over, self.listener)
        where = self.study.file.execution.model_dump(exclude_none=True)
        sessions = list(writer.manifest["sessions"])
        session = {"began": now(), "trials_before": writer.trials, "code": self.code, **where}
        self.stop.folder = folder
        writer.begin({**where, "sessions": len(sessions) + 1})
        end = _End("interrupted")
        try:
            with self.stop.draining():
                end = self._explored(writer, recorder, opening)
                if end.ending != "interrupted":
                    self._measure_held_out(writer, folder)
        except BaseException:
            end = _End("interrupted")
            raise
        finally:
            seconds = time.monotonic() - began
            made, reused = self.count_runs()
            session |= {"ended": now(), "ending": end.ending, "seconds": round(seconds, 3)}
            session |= {"trials_after": writer.trials, "runs_made": made, "runs_reused": reused}
            if self.staged is not None:
                names = ("runs_stopped", "sentences_passed", "sentences_whole")
                session |= zip(names, self.staged.tally(), strict=True)
            facts = _facts(recorder.progress(), end.repeats, [*sessions, session])
            writer.finish(end.ending, {**facts, **self._rested_on(writer, folder), "why": end.why})
            front = write_views(read_run(folder))
        share = self.study.file.search.max_failed_share
        return EndedRun(folder, recorder.progress(), front, end.ending, seconds, share, end.why)

    def _rested_on(self, writer: RunWriter, folder: Path) -> dict[str, Any]:
        """Digests of the files that all trials so far rest on; one that is known stays."""
        if self.composed.artefacts is None:
            return {}
        there = self.artefacts(read_run(folder).trials)
        return {"artefacts": {**there, **writer.manifest.get("artefacts", {})}}

    def _over(self) -> bool:
        """Whether nothing new shall be begun."""
        return self.stop.wanted() or self.clock.expired()

    def _explored(
        self, writer: RunWriter, recorder: ProgressRecorder, opening: InitialDesigns
    ) -> "_End":
        """Search until a rule or somebody stops it."""
        search, rules = self.study.file.search, writer.manifest.get("stopping", {})
        limit = rules.get("max_wall_s")
        self.clock.start(limit)
        late = _End("wall time", f"the {limit} s of search.max_wall are spent")
        if self.clock.expired():
            return late
        try:
            found = explore(
                self.problem,
                self.searcher,
                budget=search.trials,
                opening=opening.codes,
                on_batch=recorder.batch,
                known=writer.known,
                given=opening.given,
                enough=self._enough(rules),
            )
        except SearchStopped:
            return _End("interrupted") if self.stop.wanted() else late
        finally:
            self.clock.stop()
        return _End(found.ending, found.why, found.repeats)

    def _enough(self, rules: Mapping[str, Any]) -> Callable[[Trials], str]:
        """Tells each complete batch to the early stop and to the plateau, which may end it."""
        plateau = Plateau(**rules["plateau"]) if rules.get("plateau") else never_enough

        def enough(batch: Trials) -> str:
            if self.staged is not None:
                self.staged.early.saw(batch)
            return plateau(batch)

        return enough

    def _measure_held_out(self, writer: RunWriter, folder: Path) -> None:
        held_out = self.study.system.held_out
        if held_out is None:
            return
        self.listener.preparing("the front on held-out data", 0.0)
        front = Front.of(self.question, read_run(folder).trials)
        evaluator = held_out(self.study.settings, self.spread, self.listener.preparing)
        writer.record({"held_out": front.measured_on(evaluator)})
        self.listener.preparing("the front on held-out data", 1.0)


@dataclass(frozen=True, slots=True)
class _End:
    """How a search ended, why if there is more to say, and how many repeats it proposed."""

    ending: str
    why: str = ""
    repeats: int | None = None


def _staged(study: Study[Any], composed: Composed) -> Staged | None:
    rule = study.file.search.early_stop
    if rule is None:
        return None
    if composed.staged is None:
        raise DseError(
            f"search.early_stop: {study.file.system} has no real runs of which it is known what "
            "they can still give at best"
        )
    return composed.staged(rule)


def runs_made(composed: Composed, answered: Callable[[], int]) -> tuple[int, int]:
    """Real runs made and results reused so far.

    Args:
        composed: May count for itself.
        answered: Rows that the workers have answered; the runs of a system that does not count.
    """
    return (answered(), 0) if composed.count_runs is None else composed.count_runs()


def composed_of(study: Study[Any], spread: Spreader, watch: Watcher) -> Composed:
    """What a study's system makes of its settings.

    Raises:
        CompositionError: If the system's own code raises, or gives something else.
    """
    name = study.system.name
    try:
        composed = study.system.compose(study.settings, spread, watch)
    except (DseError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever the system's own code raises
        raise CompositionError(f"compose of the system {name!r}: {one_line(error)}") from error
    if not isinstance(composed, Composed):
        raise CompositionError(
            f"compose of the system {name!r} gave a {type(composed).__name__}; a dse.Composed is "
            "wanted, as dse.Composed(evaluator)"
        )
    return composed


def spread_over(study: Study[Any], workers: Workers) -> tuple[Spreader, Callable[[], int]]:
    """What puts a study's measured evaluators on the workers; and how many rows were answered."""
    execution = study.file.execution
    plain = Needs(execution.cpus, execution.gpus, execution.timeout_s)
    rows = [0]

    def one_more() -> None:
        rows[0] += 1

    def spread(evaluator: Evaluator, needs: Needs | None = None) -> Evaluator:
        # What a row costs is seconds at least; equal inputs give equal outputs, so they run once.
        return Cached(Spread(evaluator, workers, one_more, needs or plain))

    return spread, lambda: rows[0]


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


def _facts(
    progress: RunProgress, repeats: int | None, sessions: list[dict[str, Any]]
) -> dict[str, object]:
    return {
        "trials": progress.trials,
        "failed": progress.failed,
        "stopped_early": progress.stopped,
        "feasible": progress.feasible,
        "repeats_answered_from_memory": repeats,
        "real_runs_made": sum(s["runs_made"] for s in sessions),
        "real_runs_reused": sum(s["runs_reused"] for s in sessions),
        "seconds": round(sum(s["seconds"] for s in sessions), 3),
        "sessions": sessions,
    }
