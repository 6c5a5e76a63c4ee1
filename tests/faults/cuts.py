"""Files of a run cut at every byte: each cut run opens again, and ends as if nothing had been."""

import os
import shutil
from collections import Counter
from pathlib import Path

from injector import Acknowledging, Forked, cut, go, rows_of, study_file

from dse.core.errors import RunError
from dse.runs.manifest import GIVEN, MANIFEST, RESOLVED, read_manifest
from dse.runs.status import run_status
from dse.runs.store import RunWriter, read_run

TEXTS = (MANIFEST, GIVEN, RESOLVED)
LOGS = ("events.jsonl", "run.lock")
FINISHED = (*TEXTS, *LOGS, "run.sqlite", "front.json", "trials.csv", "trials.parquet")
KILLED = (*TEXTS, *LOGS, "run.sqlite", "run.sqlite-wal", "run.sqlite-shm")
OUTCOMES = (
    "cuts", "read_whole", "refused", "silently_wrong", "other_errors",
    "resumed", "healed", "resume_refused", "resume_wrong", "text_differs", "notes",
    "most_trials_lost",
)  # fmt: skip


def cuts(step: int, resume_every: int, root: Path) -> dict[str, object]:
    """Cut the last 4 KiB of each file of a finished and of a killed run, `step` bytes apart.

    Each cut run is read; every `resume_every`-th is resumed as well and must come out as if
    nothing had happened. Outcomes are counted file by file.
    """
    load = study_file(root, "cut", "search.trials=60", "search.batch=20")
    finished, killed = root / "finished", root / "killed"
    assert Forked(lambda _: go(finished, load)).end() == 0
    # Dies after its last batch: the table is in the write-ahead log, the views are not made.
    assert Forked(lambda _: go(killed, load, _DiesAt(60))).end() < 0
    truth = rows_of(finished)
    files: dict[str, dict[str, int]] = {}
    for folder, names in ((finished, FINISHED), (killed, KILLED)):
        whole = {name: (folder / name).read_bytes() for name in TEXTS}
        manifest = read_manifest(folder)
        for name in names:
            found = files[f"{folder.name}/{name}"] = dict.fromkeys(OUTCOMES, 0)
            for number, length in enumerate(list(cut(folder / name))[::step]):
                copy = root / "copy"
                shutil.copytree(folder, copy)
                with (copy / name).open("r+b") as file:
                    file.truncate(length)
                _look(found, copy, truth, manifest)
                if number % resume_every == 0:
                    _reopen(found, copy, truth, whole)
                    _heal(found, copy, load, truth)
                shutil.rmtree(copy)
    total = sum((Counter(found) for found in files.values()), Counter())
    total["most_trials_lost"] = max(found["most_trials_lost"] for found in files.values())
    return {**{name: total[name] for name in OUTCOMES}, "files": files}


class _DiesAt(Acknowledging):
    def __init__(self, trials: int) -> None:
        super().__init__()
        self._trials = trials

    def searching(self, progress) -> None:
        """Live on, or not."""
        if progress.trials >= self._trials:
            os.kill(os.getpid(), 9)


def _look(found: dict[str, int], folder: Path, truth: list, manifest: object) -> None:
    """As every command does that only reads: all of it, as it was, or an error with a remedy."""
    found["cuts"] += 1
    try:
        run_status(folder)
    except RunError as error:
        found["other_errors"] += not _says_what_to_do(error, folder)
    try:
        run = read_run(folder)
    except RunError as error:
        found["refused" if _says_what_to_do(error, folder) else "other_errors"] += 1
    except Exception:
        found["other_errors"] += 1
    else:
        whole = len(run.trials) == len(truth) and rows_of(folder) == truth
        whole = whole and run.manifest == manifest
        found["read_whole" if whole else "silently_wrong"] += 1


def _says_what_to_do(error: RunError, folder: Path) -> bool:
    """In one line, which command mends the run."""
    return f"dse resume {folder} " in str(error) and "\n" not in str(error)


def _reopen(found: dict[str, int], folder: Path, truth: list, texts: dict[str, bytes]) -> None:
    """As a driver does first: in a copy, so that the folder stays cut."""
    copy = folder.with_name("reopened")
    shutil.copytree(folder, copy)
    try:
        writer = RunWriter.reopen(copy)
    except RunError:
        shutil.rmtree(copy)
        return  # counted when it is resumed
    found["notes"] += bool(writer.repaired)
    lost = len(truth) - writer.trials
    found["most_trials_lost"] = max(found["most_trials_lost"], lost)
    # Where trials are lost the manifest says so; the texts are otherwise what they were.
    same = all(
        (copy / name).read_bytes() == text
        for name, text in texts.items()
        if not (lost and name == MANIFEST)
    )
    found["text_differs"] += not same
    writer.__exit__(None)
    found["resume_wrong"] += rows_of(copy) != truth[: len(truth) - lost]
    shutil.rmtree(copy)


def _heal(found: dict[str, int], folder: Path, load, truth: list) -> None:
    found["resumed"] += 1
    try:
        go(folder, load)
    except RunError:
        found["resume_refused"] += 1
    else:
        found["healed" if rows_of(folder) == truth else "resume_wrong"] += 1
