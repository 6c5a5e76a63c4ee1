"""A run that is stopped on one executor and resumed on another: as if it had never stopped."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from injector import Acknowledging, go, rows_of, study_file

from dse.search.interrupts import Stop

HOSTS = ("serial:1", "pool:2", "serial:1", "pool:4")
SEARCHERS = ("nsga2", "grey_box")


class _Seeing(Acknowledging):
    """A listener that remembers how many trials there are."""

    def __init__(self) -> None:
        super().__init__()
        self.trials = 0

    def searching(self, progress) -> None:
        """The trials so far."""
        self.trials = progress.trials


class _StopAfter(Stop):
    """Somebody presses Ctrl-C a few looks after so many trials, in a batch or between two."""

    def __init__(self, listener: _Seeing, trials: int, looks: int) -> None:
        super().__init__()
        self._onlooker, self._trials, self._looks = listener, trials, looks

    def wanted(self) -> bool:
        """Serial looks before each row, a pool at each news, the loop after each batch."""
        self._looks -= self._onlooker.trials >= self._trials
        return self._looks < 0


def moves(seeds: int, root: Path, hosts: Sequence[str], searchers: Sequence[str]) -> dict[str, Any]:
    """Stop runs on the way and resume them elsewhere, the last host to the end.

    Args:
        seeds: Runs per searcher.
        root: Where they lie.
        hosts: Executor and workers of one session after the other, as `pool:2`.
        searchers: Of the runs.
    """
    # What is spawned imports the script that it is of; this one takes seconds.
    if not any(host.startswith("ray") for host in hosts):
        vars(sys.modules["__main__"]).pop("__file__", None)
    found: dict[str, Any] = {"runs": 0, "stops": 0, "stopped_at": [], "differing": []}
    for searcher in searchers:
        for seed in range(1, seeds + 1):
            asked = (f"search.searcher={searcher}", f"search.seed={seed}", *SIZE)
            load = study_file(root, "study", *asked)
            peace, folder = root / f"{searcher}-{seed}-peace", root / f"{searcher}-{seed}"
            go(peace, load)
            found["runs"] += 1
            same = _moved(found, folder, root, asked, hosts, rows_of(peace))
            for view in ("front.json", "trials.csv"):
                same = same and (folder / view).read_bytes() == (peace / view).read_bytes()
            if not same:
                found["differing"].append(f"{searcher}, seed {seed}")
    return found


SIZE = ("search.trials=60", "search.batch=6")


def _moved(
    found: dict, folder: Path, root: Path, asked: tuple, hosts: Sequence[str], truth: list
) -> bool:
    """One run from host to host; whether it was always the beginning of the truth."""
    rng = random.Random(repr(asked))
    same = True
    for number, host in enumerate(hosts):
        executor, _, workers = host.partition(":")
        where = (f"execution.executor={executor}", f"execution.workers={workers}")
        load = study_file(root, "study", *asked, *where)
        if number == len(hosts) - 1:
            go(folder, load, where=where)
            break
        have, step = len(rows_of(folder)), len(truth) // len(hosts)
        seen = _Seeing()
        stop = _StopAfter(seen, have + rng.randint(1, step), rng.randint(0, 5))
        ended = go(folder, load, seen, stop, where=where).ending
        rows = rows_of(folder)
        assert ended == "interrupted"
        found["stops"] += 1
        found["stopped_at"].append(len(rows))
        same = same and have < len(rows) < len(truth) and rows == truth[: len(rows)]
    return same and rows_of(folder) == truth
