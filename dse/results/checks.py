"""Named checks of a run folder: everything that must hold of it, and what does not."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.core.errors import RunError
from dse.core.files import sha256_of
from dse.results.exports import stale_views
from dse.runs.database import DATABASE, read_texts, reading
from dse.runs.differences import accepted_lines
from dse.runs.events import acknowledged
from dse.runs.lock import holder
from dse.runs.manifest import differing_files, read_manifest, read_resolved
from dse.runs.store import Run, read_run


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        name: What must hold.
        wrong: What is wrong; empty where nothing is.
        notes: What a reader should know though nothing is wrong, a line each.
    """

    name: str
    wrong: str = ""
    notes: tuple[str, ...] = ()


def check_run(folder: Path, cache: Path) -> list[Finding]:
    """All checks of a run, in an order in which the first that fails explains the most.

    Args:
        folder: Of the run.
        cache: Folder in which the files lie that its trials rest on.

    Raises:
        RunError: If the folder is no run at all.
    """
    manifest = read_manifest(folder)
    findings = [
        Finding("the study is that of the manifest", _error(lambda: read_resolved(folder))),
        Finding("the events read", _error(lambda: acknowledged(folder))),
        Finding("SQLite finds its file in order", _sqlite(folder / DATABASE)),
        Finding("differences are on record", notes=accepted_lines(manifest)),
        _cached(manifest.get("artefacts", {}), cache),
    ]
    name = "every trial verifies and none that was acknowledged is missing"
    try:
        run = read_run(folder)
    except RunError as error:
        return [*findings, Finding(name, str(error))]
    findings += [
        Finding(name),
        Finding("no design was tried twice", _repeated(run)),
        Finding("a trial has all metrics, or none and a reason", _incomplete(run)),
        Finding("there are no more trials than asked", _too_many(run)),
    ]
    ended = manifest["state"] not in ("running", "interrupted")
    if ended and manifest["trials"] != len(run.trials):
        wrong = f"it says {manifest['trials']}, there are {len(run.trials)}"
        findings.append(Finding("the manifest counts the trials", wrong))
    if holder(folder) is None:
        name = "the texts beside the database say what it says"
        findings.append(Finding(name, _differing(folder)))
    if ended and holder(folder) is None:
        findings.append(Finding("the views say what the trials say", "; ".join(stale_views(run))))
    return findings


def _cached(artefacts: Mapping[str, str], cache: Path) -> Finding:
    """Files of the cache against the digests that a manifest has of them; one may be gone."""
    there = [name for name in sorted(artefacts) if (cache / name).is_file()]
    other = [name for name in there if sha256_of(cache / name) != artefacts[name]]
    gone = len(artefacts) - len(there)
    return Finding(
        "files of the cache are those that it rests on",
        f"of another content in {cache}: {', '.join(other)}" if other else "",
        (f"{gone} of {len(artefacts)} are not in {cache}",) if gone else (),
    )


def _differing(folder: Path) -> str:
    found = differing_files(folder, read_texts(folder / DATABASE).found)
    wrong = "; ".join(f"{name}: {what}" for name, what in found.items())
    return f"{wrong}; written anew by: dse check {folder} --rebuild" if found else ""


def _error(look: Callable[[], object]) -> str:
    try:
        look()
    except RunError as error:
        return str(error)
    return ""


def _sqlite(path: Path) -> str:
    try:
        with reading(path) as database:
            said = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as error:
        return str(error)
    return "" if said == ["ok"] else "; ".join(said)


def _repeated(run: Run) -> str:
    seen: dict[bytes, int] = {}
    for number, code in enumerate(run.trials.codes):
        first = seen.setdefault(code.tobytes(), number)
        if first != number:
            return f"trials {first} and {number} are the same design"
    return ""


def _incomplete(run: Run) -> str:
    ok = run.trials.ok
    for name, column in run.trials.metrics.items():
        if column.dtype.kind == "f" and not np.isfinite(column[ok]).all():
            row = int(np.flatnonzero(ok)[~np.isfinite(column[ok])][0])
            return f"trial {row} has {name} = {column[row]}"
    return ""


def _too_many(run: Run) -> str:
    asked = run.manifest.get("trials_asked", len(run.trials))
    return f"{len(run.trials)}, asked were {asked}" if len(run.trials) > asked else ""
