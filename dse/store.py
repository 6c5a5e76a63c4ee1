"""A run on disk: a folder with manifest, study as given and as used, and one SQLite of trials."""

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.errors import RunError, RunExists
from dse.parameters import Column, Stage
from dse.problem import Constraint, Objective, Problem, Trials, judge

SCHEMA = 1
MANIFEST = "manifest.json"
DATABASE = "run.sqlite"

_CREATE = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    codes TEXT NOT NULL,
    design TEXT NOT NULL,
    metrics TEXT NOT NULL,
    failure TEXT NOT NULL
) STRICT
"""


def canonical_json(content: object) -> str:
    """JSON text with sorted keys and no spaces: equal contents are equal bytes.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half.

    Text is written as UTF-8. The file gets the permissions that the user's mask allows, as any
    other.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a column of a run is.

    Attributes:
        name: Column name.
        unit: Its unit.
        role: `knob` or `metric`.
        stage: Of a knob, when it can still change; None for a metric.
        evidence: Of a metric, how well it is founded; None for a knob.
    """

    name: str
    unit: str
    role: str
    stage: Stage | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a run asks: everything needed to judge its trials without its evaluators."""

    study: str
    question: str
    quantities: tuple[Quantity, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, study: str, question: str, problem: Problem) -> "Question":
        """The question that a problem puts."""
        knobs = tuple(
            Quantity(p.name, p.unit, "knob", stage=p.stage) for p in problem.space.parameters
        )
        evidence = problem.evaluator.evidence
        metrics = tuple(
            Quantity(name, unit, "metric", evidence=evidence[name])
            for name, unit in problem.evaluator.outputs.items()
        )
        return cls(study, question, knobs + metrics, problem.objectives, problem.constraints)

    @property
    def knobs(self) -> tuple[Quantity, ...]:
        """The knobs, in order."""
        return tuple(q for q in self.quantities if q.role == "knob")

    @property
    def metrics(self) -> tuple[Quantity, ...]:
        """The metrics, in order."""
        return tuple(q for q in self.quantities if q.role == "metric")

    def __getitem__(self, name: str) -> Quantity:
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        raise RunError(f"unknown column {name!r}; there are {[q.name for q in self.quantities]}")


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
    """Creates a run folder and adds trials to it, one transaction per batch.

    Mutable on purpose: it is an open file. A context manager.

    Args:
        folder: Must not exist, or be empty.
        question: What the run asks.
        study_text: The study file as given.
        resolved: The study as used, every default written out.
        manifest: Further facts (seeds, versions, searcher).

    Raises:
        RunExists: If the folder holds anything.
        RunError: If it cannot be created.
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
        self._folder = folder
        self._question = question
        self._next = 0
        self._manifest = {
            "schema": SCHEMA,
            "state": "running",
            "study_sha256": hashlib.sha256(resolved.encode()).hexdigest(),
            "asked": asdict(question),
            **manifest,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "study.yaml", study_text)
            write_atomically(folder / "study.resolved.yaml", resolved)
            self._database = sqlite3.connect(folder / DATABASE, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_CREATE)
            self._save_manifest()
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"{folder}: cannot create the run there: {error}") from error

    def add(self, trials: Trials) -> None:
        """Append a batch; when this returns, it is on the disk."""
        rows = [
            (self._next + i, json.dumps(trials.codes[i].tolist()), design, metrics, failure)
            for i, (design, metrics, failure) in enumerate(_texts(trials))
        ]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        self._next += len(rows)

    def finish(self, state: str, facts: Mapping[str, Any]) -> None:
        """Note how the run ended, and what it took."""
        self._manifest |= {"state": state, **facts}
        self._save_manifest()

    def _save_manifest(self) -> None:
        text = json.dumps(self._manifest, indent=2, sort_keys=True, allow_nan=False)
        write_atomically(self._folder / MANIFEST, text + "\n")

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file; an unfinished run stays readable up to its last batch."""
        if self._manifest["state"] == "running":
            self.finish("interrupted", {})
        # Back to a single file, so that a run can be read from a folder that nobody may write to.
        self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()


def require_free(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        RunExists: If the path is a file or a folder that is not empty.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise RunExists(
            f"{folder} holds something already; nothing was written. Name another folder with --out"
        )


def _texts(trials: Trials) -> list[tuple[str, str, str]]:
    designs = {k: v.tolist() for k, v in trials.designs.items()}
    metrics = {k: v.tolist() for k, v in trials.metrics.items()}
    texts = []
    for i, failure in enumerate(trials.failures):
        design = canonical_json({k: v[i] for k, v in designs.items()})
        measured = "{}" if failure else canonical_json({k: v[i] for k, v in metrics.items()})
        texts.append((design, measured, failure))
    return texts


def read_run(folder: Path) -> Run:
    """A run with all its trials.

    Raises:
        RunError: If the folder is no run, is of a newer schema, or does not read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise RunError(
                f"{folder}: schema {manifest['schema']}, this version reads schema {SCHEMA}"
            )
        question = _question(manifest["asked"])
        rows = _read_rows(folder / DATABASE)
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
        raise RunError(f"{folder} does not read as a run: {error!r}") from error
    return Run(folder, question, _trials(question, rows), manifest)


def _read_rows(path: Path) -> list[tuple[str, str, str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(
            "SELECT codes, design, metrics, failure FROM trials ORDER BY number"
        ).fetchall()
    finally:
        database.close()


def _question(asked: Mapping[str, Any]) -> Question:
    return Question(
        asked["study"],
        asked["question"],
        tuple(Quantity(**q) for q in asked["quantities"]),
        tuple(Objective(**o) for o in asked["objectives"]),
        tuple(Constraint(**c) for c in asked["constraints"]),
    )


def _trials(question: Question, rows: Sequence[tuple[str, str, str, str]]) -> Trials:
    codes = np.array([json.loads(row[0]) for row in rows], dtype=np.float64)
    codes = codes.reshape(len(rows), len(question.knobs))
    designs = [json.loads(row[1]) for row in rows]
    metrics = [json.loads(row[2]) for row in rows]
    failures = tuple(row[3] for row in rows)
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
