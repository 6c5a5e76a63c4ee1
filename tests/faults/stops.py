"""Stops at many points: what is resumed equals what was never stopped, for every searcher."""

import random
import time
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from injector import go, rows_of, study_file

from dse.search.interrupts import Stop
from dse.study.schema import Search

SEARCHERS = typing.get_args(Search.model_fields["searcher"].annotation)


class _StopAfter(Stop):
    """Somebody presses Ctrl-C before the so-many-th evaluation, in a batch or between two."""

    def __init__(self, evaluations: int) -> None:
        super().__init__()
        self._left = evaluations

    def wanted(self) -> bool:
        """Counts the looks; `Serial` looks before each row, the loop after each batch."""
        self._left -= 1
        return self._left < 0


def stops(count: int, seed: int, root: Path, searchers: Sequence[str]) -> dict[str, Any]:
    """Stop each searcher `count` times on its way and resume it each time."""
    found: dict[str, Any] = {"searchers": {}, "stops": 0, "differing": []}
    for searcher in searchers or SEARCHERS:
        rng = random.Random(seed)  # so that a searcher stops alike, whoever stands beside it
        began = time.monotonic()
        overrides = (f"search.searcher={searcher}", *OVERRIDES.get(searcher, PLAIN))
        load = study_file(root, searcher, *overrides)
        peace, folder = root / f"{searcher}-peace", root / searcher
        go(peace, load)
        truth = rows_of(peace)
        same = True
        stopped = 0
        while stopped < count:
            left = len(truth) - len(rows_of(folder))
            room = left // (count - stopped + 1)
            ended = go(folder, load, stop=_StopAfter(rng.randint(0, room))).ending
            rows = rows_of(folder)
            same = same and rows == truth[: len(rows)]
            assert ended == "interrupted"
            stopped += 1
        go(folder, load)
        same = same and rows_of(folder) == truth
        for view in ("front.json", "trials.csv"):
            same = same and (folder / view).read_bytes() == (peace / view).read_bytes()
        found["stops"] += stopped
        found["searchers"][searcher] = round(time.monotonic() - began, 1)
        if not same:
            found["differing"].append(searcher)
    return found


PLAIN = ("search.trials=120", "search.batch=10")
OVERRIDES = {
    "tpe": ("search.trials=60", "search.batch=5"),
    "gp": ("search.trials=14", "search.batch=3"),
    "botorch": ("search.trials=24", "search.batch=2"),
}
