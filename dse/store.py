"""A run on disk: a folder with manifest, study as given and as used, and one SQLite of trials."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.errors import RunDamaged, RunError, RunExists, RunUnwritable
from dse.events import EVENTS, EventLog, acknowledged
from dse.files import canonical_json as canonical_json  # known by this address to its users
from dse.files import write_atomically as write_atomically
from dse.parameters import Column
from dse.problem import Trials, judge
from dse.question import Quantity as Quantity
from dse.question import Question as Question
from dse.run_lock import LOCK, RunLock
from dse.trial_table import DATABASE, Row, TrialTable, sound_rows

SCHEMA = 2
MANIFEST = "manifest.json"
GIVEN = "study.yaml"
RESOLVED = "study.resolved.yaml"
VIEWS = ("front.json", "trials.csv", "trials.parquet")
"""Files that are made from the truth and can be made again."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run as read from its folder."""

    folder: Path
    question: Question
    trials: Trials
    manifest: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Digest of what was asked: the study as used, without how many trials or workers."""
        return str(self.manifest["identity"])


class RunWriter:
    """A run folder that this process alone writes to: trials in transactions, and events.

    Mutable on purpose: it is an open file. A context manager. Constructing it makes a new folder;
    `reopen` goes on with one.

    Attributes:
        known: The trials that were there when it was opened; None if there were none.
        repaired: What was damaged then and is no more; empty if nothing was.

    Args:
        folder: Must not exist, or be empty.
        question: What the run asks.
        study_text: The study file as given.
        resolved: The study as used, every default written out.
        manifest: Further facts (identity, seeds, versions, searcher).

    Raises:
        RunExists: If the folder holds anything.
        RunHeld: If another process is making a run there.
        RunUnwritable: If it cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        question: Question,
        *,
        study_text: str,
        resolved: str,
        manifest: Mapping[str, Any],
    ) -> None:
        require_free(folder)
        content = {
            "schema": SCHEMA,
            "state": "running",
            "study_sha256": _sha256(resolved),
            "asked": asdict(question),
            **manifest,
        }
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = RunLock(folder)
            try:
                _clear_stillborn(folder)
                write_atomically(folder / GIVEN, study_text)
                write_atomically(folder / RESOLVED, resolved)
                table = TrialTable(folder / DATABASE, _genesis(content))
                self._open(folder, content, lock, table)
                # Last: a folder without manifest is a run that never began.
                self._save_manifest()
            except BaseException:
                lock.release()
                raise

    def _open(
        self, folder: Path, manifest: dict[str, Any], lock: RunLock, table: TrialTable
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._lock = lock
        self._table = table
        self._events = EventLog(folder)
        self.known: Trials | None = None
        self.repaired = ""

    @classmethod
    def reopen(cls, folder: Path) -> "RunWriter":
        """Go on with a run; a damaged table is put aside and its sound rows are kept.

        Raises:
            RunHeld: If a living process works on it.
            RunError: If the folder is no run, or is of another schema.
            RunDamaged: If the manifest or the study does not read.
        """
        read_manifest(folder)
        lock = RunLock(folder)
        try:
            manifest = read_manifest(folder)
            sound = sound_rows(folder / DATABASE, _genesis(manifest))
            with _writing(folder):
                if sound.damage:
                    _put_aside(folder)
                    table = TrialTable(folder / DATABASE, _genesis(manifest))
                    table.add(sound.rows)
                else:
                    held = (len(sound.rows), sound.head)
                    table = TrialTable(folder / DATABASE, _genesis(manifest), held)
                kept = len(sound.rows)
                lost = max(0, max(acknowledged(folder), manifest.get("trials", 0)) - kept)
                writer = cls.__new__(cls)
                writer._open(folder, manifest, lock, table)
                if kept:
                    writer.known = trials_of(Question.read(manifest["asked"]), sound.rows)
                if sound.damage or lost:
                    why = sound.damage or "the end is missing"
                    writer.repaired = (
                        f"{DATABASE} was damaged ({why}); the first {kept} trials are sound and "
                        f"kept, {lost} acknowledged ones will be computed again"
                    )
                    writer.note("damaged", {"why": why, "kept": kept, "lost": lost})
        except BaseException:
            lock.release()
            raise
        return writer

    @property
    def trials(self) -> int:
        """How many trials are stored."""
        return self._table.count

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What `manifest.json` says."""
        return self._manifest

    def add(self, trials: Trials, facts: Mapping[str, Any] | None = None) -> None:
        """Append a batch; when this returns, it is on the disk. `facts` go to the events."""
        begin = self._table.count
        self._table.add(_rows(trials))
        failed = int(trials.failed.sum())
        span = {"from": begin, "to": self._table.count, "failed": failed}
        self.note("trials", {**span, **(facts or {})})

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Note that trials will come from now on; views of what was there are removed."""
        with _writing(self._folder):
            for name in VIEWS:
                (self._folder / name).unlink(missing_ok=True)
        self.note("began", {"trials": self._table.count, **facts})
        self._manifest.pop("trials", None)  # until it ends, nobody knows how many there will be
        self.record({"state": "running"})

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append an event; a disk without room costs the note, never the run."""
        with contextlib.suppress(OSError):
            self._events.add(event, facts)

    def record(self, facts: Mapping[str, Any]) -> None:
        """Add facts to the manifest."""
        self._manifest |= facts
        with _writing(self._folder):
            self._save_manifest()

    def finish(self, state: str, facts: Mapping[str, Any]) -> None:
        """Note how the run ended, and what it took."""
        self.note("ended", {"state": state, "trials": self._table.count})
        self.record({"state": state, **facts})

    def _save_manifest(self) -> None:
        text = json.dumps(self._manifest, indent=2, sort_keys=True, allow_nan=False)
        write_atomically(self._folder / MANIFEST, text + "\n")

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close the files; an unfinished run stays readable up to its last batch."""
        try:
            if self._manifest["state"] == "running":
                # What ended the run is worth more to the user than that its end was not noted.
                with contextlib.suppress(*([RunUnwritable] if kind else [])):
                    self.finish("interrupted", {})
        finally:
            self._table.close()
            self._events.close()
            self._lock.release()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunUnwritable(f"{folder}: cannot write the run there: {error.strerror}") from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _genesis(manifest: Mapping[str, Any]) -> bytes:
    """What the first trial's seal continues: rows of another run do not fit on it."""
    return str(manifest.get("identity", "")).encode()


def _put_aside(folder: Path) -> None:
    number = 1
    while (folder / f"{DATABASE}.damaged-{number}").exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        file = folder / f"{DATABASE}{ending}"
        if file.exists():
            file.rename(folder / f"{DATABASE}.damaged-{number}{ending}")


_BEFORE_MANIFEST = {LOCK, GIVEN, RESOLVED, EVENTS} | {
    f"{DATABASE}{end}" for end in ("", "-wal", "-shm", "-journal")
}


def _stillborn(folder: Path) -> bool:
    """Whether nothing is there but what a driver left that died before its run began."""
    names = {path.name for path in folder.iterdir()}
    scraps = {
        name for name in names if name.startswith((f".{GIVEN}.", f".{RESOLVED}.", f".{MANIFEST}."))
    }
    return LOCK in names and names - scraps <= _BEFORE_MANIFEST


def _clear_stillborn(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.name != LOCK:
            path.unlink()


def require_free(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        RunExists: If the path is a file or a folder that is not empty.
    """
    if folder.is_dir() and (not any(folder.iterdir()) or _stillborn(folder)):
        return
    if folder.exists() or folder.is_symlink():
        hint = f"; go on with: dse resume {folder}" if (folder / MANIFEST).is_file() else ""
        raise RunExists(
            f"{folder} holds something already; nothing was written. Name another folder with "
            f"--out{hint}"
        )


def _rows(trials: Trials) -> list[Row]:
    codes = trials.codes.tolist()
    designs = {k: v.tolist() for k, v in trials.designs.items()}
    metrics = {k: v.tolist() for k, v in trials.metrics.items()}
    rows = []
    for i, failure in enumerate(trials.failures):
        design = canonical_json({k: v[i] for k, v in designs.items()})
        measured = "{}" if failure else canonical_json({k: v[i] for k, v in metrics.items()})
        rows.append(Row(json.dumps(codes[i]), design, measured, failure))
    return rows


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        RunError: If the folder is no run, or of another schema.
        RunDamaged: If the manifest does not read.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{folder} does not read as a run: it has no {MANIFEST}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunDamaged(f"{path} does not read as a run's manifest: {error}") from error
    try:
        manifest = json.loads(text)
        schema = manifest["schema"]
        if schema == SCHEMA:
            Question.read(manifest["asked"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunDamaged(f"{path} does not read as a run's manifest: {error!r}") from error
    if schema != SCHEMA:
        raise RunError(f"{folder}: schema {schema}, this version reads schema {SCHEMA}")
    return dict(manifest)


def read_resolved(folder: Path) -> str:
    """The study of a run as used, verified.

    Raises:
        RunDamaged: If it is missing or is not what the run was begun with.
    """
    path = folder / RESOLVED
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunDamaged(f"{path} cannot be read: {error}") from error
    if _sha256(text) != read_manifest(folder)["study_sha256"]:
        raise RunDamaged(f"{path} is not the study that the run was begun with: its digest differs")
    return text


def read_run(folder: Path) -> Run:
    """A run with all its trials, each verified.

    Raises:
        RunError: If the folder is no run, or is of another schema.
        RunDamaged: If its files do not verify: cut, changed, or fewer trials than acknowledged.
    """
    manifest = read_manifest(folder)
    # Before the trials: a driver at work acknowledges what it has stored, so there are never fewer.
    least = max(acknowledged(folder), manifest.get("trials", 0))
    question = Question.read(manifest["asked"])
    sound = sound_rows(folder / DATABASE, _genesis(manifest))
    why = sound.damage
    if not why and len(sound.rows) < least:
        why = f"it holds {len(sound.rows)} trials, {least} were acknowledged"
    if why:
        raise RunDamaged(
            f"{folder / DATABASE} is damaged ({why}); dse resume {folder} keeps the first "
            f"{len(sound.rows)} trials and computes the others again"
        )
    return Run(folder, question, trials_of(question, sound.rows), manifest)


def trials_of(question: Question, rows: Sequence[Row]) -> Trials:
    """Stored rows as trials, judged again."""
    codes = np.array([json.loads(row.codes) for row in rows], dtype=np.float64)
    codes = codes.reshape(len(rows), len(question.knobs))
    designs = [json.loads(row.design) for row in rows]
    metrics = [json.loads(row.metrics) for row in rows]
    failures = tuple(row.failure for row in rows)
    knob_columns = {q.name: _column([d[q.name] for d in designs], q) for q in question.knobs}
    metric_columns = {
        q.name: _column([m.get(q.name) for m in metrics], q) for q in question.metrics
    }
    return judge(
        question.objectives, question.constraints, codes, knob_columns, metric_columns, failures
    )


def _column(values: list[Any], quantity: Quantity) -> Column:
    if quantity.unit in ("choice", "handle"):
        return np.array(["" if v is None else v for v in values], dtype=np.str_)
    if any(v is None for v in values):
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.array(values) if values else np.empty(0)
