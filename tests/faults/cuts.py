"""Files of a run cut at every byte: the run reads whole, or says what is wrong, or is healed."""

import shutil
from pathlib import Path

from injector import Forked, cut, go, rows_of, study_file

from dse.errors import RunError
from dse.store import read_run

FINISHED = ("manifest.json", "study.resolved.yaml", "events.jsonl", "run.sqlite", "run.lock")
KILLED = ("manifest.json", "events.jsonl", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm")


def cuts(step: int, resume_every: int, root: Path) -> dict[str, object]:
    """Cut the last 4 KiB of each file of a finished and of a killed run, `step` bytes apart.

    Each cut run is read; every `resume_every`-th is resumed as well and must come out as if
    nothing had happened, or be refused with an error of ours.
    """
    load = study_file(root, "cut", "search.trials=60", "search.batch=20")
    finished, killed = root / "finished", root / "killed"
    assert Forked(lambda _: go(finished, load)).end() == 0
    # Dies after its last batch: the table is in the write-ahead log, the views are not made.
    assert Forked(lambda _: go(killed, load, _DiesAt(60))).end() < 0
    found = {"cuts": 0, "read_whole": 0, "refused": 0, "silently_wrong": 0, "other_errors": 0}
    found |= {"resumed": 0, "healed": 0, "resume_refused": 0, "resume_wrong": 0}
    truth = rows_of(finished)
    for folder, names in ((finished, FINISHED), (killed, KILLED)):
        assert (folder / names[3]).is_file()
        for name in names:
            for number, length in enumerate(list(cut(folder / name))[::step]):
                copy = root / "copy"
                shutil.copytree(folder, copy)
                with (copy / name).open("r+b") as file:
                    file.truncate(length)
                _look(found, copy, truth)
                if number % resume_every == 0:
                    _heal(found, copy, load, truth)
                shutil.rmtree(copy)
    return found


class _DiesAt:
    def __init__(self, trials: int) -> None:
        self._trials = trials

    def preparing(self, what: str, share: float) -> None:
        """Live on."""

    def noting(self, what: str) -> None:
        """Live on."""

    def searching(self, standing) -> None:
        """Live on, or not."""
        if standing.trials >= self._trials:
            import os

            os.kill(os.getpid(), 9)


def _look(found: dict[str, int], folder: Path, truth: list) -> None:
    found["cuts"] += 1
    try:
        run = read_run(folder)
    except RunError as error:
        found["refused" if "\n" not in str(error) else "other_errors"] += 1
    except Exception:
        found["other_errors"] += 1
    else:
        whole = len(run.trials) == len(truth) and rows_of(folder) == truth
        found["read_whole" if whole else "silently_wrong"] += 1


def _heal(found: dict[str, int], folder: Path, load, truth: list) -> None:
    found["resumed"] += 1
    try:
        go(folder, load)
    except RunError:
        found["resume_refused"] += 1
    else:
        found["healed" if rows_of(folder) == truth else "resume_wrong"] += 1
