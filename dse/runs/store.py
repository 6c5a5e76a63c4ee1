"""A run on disk: a folder with one SQLite that holds all of it, and files beside it for people."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.core.errors import RunDamaged, RunExists, RunUnwritable
from dse.core.files import canonical_json, write_atomically
from dse.core.parameters import Column
from dse.core.problem import Trials, judge
from dse.runs.database import (
    DATABASE,
    Row,
    Sound,
    TrialTable,
    count_rows,
    finish_change,
    make_table,
    read_texts,
    sound_rows,
    unsound,
)  # fmt: skip
from dse.runs.events import EVENTS, EventLog, acknowledged
from dse.runs.failures import stored_failure
from dse.runs.lock import LOCK, RunLock
from dse.runs.manifest import (
    GIVEN,
    MANIFEST,
    RESOLVED,
    SCHEMA,
    digest_of,
    file_texts,
    manifest_text,
    read_manifest,
    restore_files,
)  # fmt: skip
from dse.runs.run_schema import Quantity, Question

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
            "study_sha256": digest_of(resolved),
            "asked": asdict(question),
            **manifest,
        }
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = RunLock(folder)
            try:
                _clear_stillborn(folder)
                texts = {GIVEN: study_text, RESOLVED: resolved, MANIFEST: manifest_text(content)}
                head = make_table(folder / DATABASE, _genesis(content), texts)
                for name, text in texts.items():  # the manifest last: then the run has begun
                    write_atomically(folder / name, text)
                self._open(folder, content, lock, TrialTable(folder / DATABASE, (0, head)))
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
        """Go on with a run; what is damaged is made again from what is sound.

        A damaged database is put aside and its sound rows are kept; a text file that is missing or
        torn is written anew from the database, or the database's from the file.

        Raises:
            RunHeld: If a living process works on it.
            RunError: If the folder is no run, or is of another schema.
            RunDamaged: If neither the database nor the file has a manifest that reads.
        """
        read_manifest(folder)
        lock = RunLock(folder)
        try:
            finish_change(folder / DATABASE)
            manifest = read_manifest(folder)
            kept = read_texts(folder / DATABASE)
            sound = _whatever_is_sound(folder / DATABASE, _genesis(manifest))
            damage = sound.damage or kept.damage or unsound(folder / DATABASE)
            texts = {**file_texts(folder, manifest), **kept.found}
            with _writing(folder):
                restored = restore_files(folder, kept.found)
                if damage:
                    _rebuild(folder, _genesis(manifest), texts, sound.rows)
                table = TrialTable(folder / DATABASE, (len(sound.rows), sound.head))
                if texts.keys() - kept.found.keys() and not damage:
                    table.keep(texts)
                writer = cls.__new__(cls)
                writer._open(folder, manifest, lock, table)
                if sound.rows:
                    writer.known = trials_of(Question.read(manifest["asked"]), sound.rows)
                writer._say_what_was_repaired(damage, restored)
        except BaseException:
            lock.release()
            raise
        return writer

    def _say_what_was_repaired(self, damage: str, restored: list[str]) -> None:
        said = []
        if restored:
            said.append(f"{', '.join(restored)} was torn and is written anew from {DATABASE}")
            self.note("restored", {"files": restored})
        kept = self._table.count
        lost = max(0, max(acknowledged(self._folder), self._manifest.get("trials", 0)) - kept)
        if damage or lost:
            why = damage or "the end is missing"
            said.append(
                f"{DATABASE} was damaged ({why}); the first {kept} trials are sound and "
                f"kept, {lost} acknowledged ones will be computed again"
            )
            self.note("damaged", {"why": why, "kept": kept, "lost": lost})
        if lost:  # it has not ended, and holds what it holds, even if nobody goes on
            self._manifest.pop("trials", None)
            self.record({"state": "interrupted"})
        self.repaired = "; ".join(said)

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self._folder

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
        text = manifest_text(self._manifest)
        self._table.keep({MANIFEST: text})
        write_atomically(self._folder / MANIFEST, text)

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


def _genesis(manifest: Mapping[str, Any]) -> bytes:
    """What the first trial's seal continues: rows of another run do not fit on it."""
    return str(manifest.get("identity", "")).encode()


def _whatever_is_sound(path: Path, genesis: bytes) -> Sound:
    """The sound rows of a database, none of one that is gone."""
    return sound_rows(path, genesis) if path.is_file() else Sound([], genesis, "it is missing")


def _rebuild(folder: Path, genesis: bytes, texts: Mapping[str, str], rows: Sequence[Row]) -> None:
    """Make the database again of what is sound; the damaged one is put aside once that is done."""
    made = folder / f"{DATABASE}.new"
    for ending in ("", "-journal"):  # of one who died here
        (folder / f"{made.name}{ending}").unlink(missing_ok=True)
    make_table(made, genesis, texts, rows)
    number = 1
    while (folder / f"{DATABASE}.damaged-{number}").exists():
        number += 1
    # The log first: beside the new file it would be taken for that file's own.
    for ending in ("-wal", "-shm", "-journal", ""):
        file = folder / f"{DATABASE}{ending}"
        if file.exists():
            file.rename(folder / f"{DATABASE}.damaged-{number}{ending}")
    made.rename(folder / DATABASE)


_BEFORE_MANIFEST = {LOCK, GIVEN, RESOLVED, EVENTS} | {
    f"{DATABASE}{end}" for end in ("", "-wal", "-shm", "-journal")
}


def _stillborn(folder: Path) -> bool:
    """Whether nothing is there but what a driver left that died before its first trial."""
    names = {path.name for path in folder.iterdir()}
    scraps = {
        name for name in names if name.startswith((f".{GIVEN}.", f".{RESOLVED}.", f".{MANIFEST}."))
    }
    left = LOCK in names and names - scraps <= _BEFORE_MANIFEST
    return left and not _holds_trials(folder / DATABASE)


def _holds_trials(path: Path) -> bool:
    """Whether a database has trials, or may have: nobody knows of one that does not read."""
    if not path.is_file() or not path.stat().st_size:
        return path.with_name(f"{path.name}-wal").exists()
    try:
        return count_rows(path) > 0
    except RunDamaged as error:
        return "no such table" not in str(error)


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
        known = (folder / MANIFEST).is_file() or read_texts(folder / DATABASE).found
        hint = f"; go on with: dse resume {folder}" if known else ""
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
        code, design = json.dumps(codes[i]), canonical_json({k: v[i] for k, v in designs.items()})
        if failure is None:
            measured = canonical_json({k: v[i] for k, v in metrics.items()})
            rows.append(Row(code, design, measured, "", ""))
        else:
            rows.append(Row(code, design, "{}", failure.kind, failure.reason))
    return rows


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
    failures = tuple(stored_failure(row.failure_kind, row.failure) for row in rows)
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
