"""SIGKILL at random moments: nothing acknowledged is lost, changed or doubled."""

import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector import Acknowledging, Forked, go, rows_of, study_file
from orphans import Marked

from dse.results.checks import check_run
from dse.runs.events import EVENTS, read_events
from dse.runs.manifest import read_manifest
from dse.runs.store import read_run
from dse.study.loader import Study

GONE_WITHIN = {"serial": 0.0, "pool": 60.0, "ray": 120.0}
"""Seconds in which all that a killed driver had started must have ended by itself.

A process that Ray was just starting looks for its dead node for the better part of a minute.
"""


def kills(
    count: int,
    seed: int,
    root: Path,
    searchers: Sequence[str],
    reach: float = 1.0,
    executor: str = "serial",
) -> dict[str, Any]:
    """SIGKILL drivers at random moments, resume, kill again; compare with a run left in peace.

    Moments are drawn from the time that a run in peace takes, times `reach`: far below 1 hardly any
    run ends, so that most kills hit its last step; above 1 more runs end unhurt. Ray takes most of
    that time to start, so three of four of its drivers are let begin to search first. What a run
    must come to is told by one that is serial, whoever works for the killed drivers.
    """
    rng = random.Random(seed)
    if executor == "pool":
        # What is spawned imports the script that it is of; this one takes seconds.
        vars(sys.modules["__main__"]).pop("__file__", None)
    found: dict[str, Any] = {
        "kills": 0,
        "runs": 0,
        "lost": 0,
        "changed": 0,
        "unreadable": 0,
        "differing": 0,
    }
    found |= {"acknowledged": 0, "killed_before_the_run_began": 0, "ended_by_an_error": 0}
    if executor != "serial":
        found |= {"workers_killed": 0, "orphans": 0, "orphans_gone_after_s": 0.0}
    while found["kills"] < count:
        name = f"run{found['runs']}"
        asked = _asked(searchers[found["runs"] % len(searchers)], rng)
        peace, folder = root / f"{name}-peace", root / name
        seconds = _in_peace(peace, study_file(root, name, *asked))
        truth = rows_of(peace)
        load = study_file(root, name, *asked, f"execution.executor={executor}")
        searching = 0.0
        if executor != "serial":
            spread = root / f"{name}-spread"
            seconds = _in_peace(spread, load)
            searching = float(read_manifest(spread)["seconds"])
            found["differing"] += rows_of(spread) != truth
        run = _Victim(folder, load, executor, reach * seconds, reach * searching)
        ended = False
        while not ended and found["kills"] < count:
            ended = run.live_and_die(found, truth, rng)
        if not ended:
            _in_peace(folder, load)
        _compare_the_end(found, folder, peace)
    return found


def _asked(searcher: str, rng: random.Random) -> tuple[str, ...]:
    trials = 25 if searcher == "tpe" else 80
    return (
        f"search.searcher={searcher}", f"search.trials={trials}",
        f"search.seed={rng.randrange(2**31)}", f"search.batch={rng.choice([2, 5])}",
    )  # fmt: skip


def _in_peace(folder: Path, load: Callable[[], Study]) -> float:
    """Run or resume to the end, in three attempts, for Ray may be too slow; the seconds of one."""
    for _ in range(3):
        began = time.monotonic()
        if Forked(lambda _: go(folder, load)).end() == 0:
            return time.monotonic() - began
    raise AssertionError(f"{folder} does not come to its end")


@dataclass(frozen=True)
class _Victim:
    """A run whose drivers are killed, within so many seconds of their start or of the search's."""

    folder: Path
    load: Callable[[], Study]
    executor: str
    seconds: float
    searching: float

    def live_and_die(self, found: dict, truth: list, rng: random.Random) -> bool:
        """One driver; whether it brought the run to its end before it was killed."""
        before = self._begun()
        with Marked(lambda pipe: go(self.folder, self.load, Acknowledging(pipe))) as driver:
            moment = rng.uniform(0.0, self.seconds)
            if self.executor == "ray" and rng.randrange(4):
                self._wait_for_the_search(before)
                moment *= self.searching / self.seconds
            if self.executor != "serial" and found["kills"] % 2:
                earlier = rng.uniform(0.0, moment)
                time.sleep(earlier)
                found["workers_killed"] += driver.kill_a_worker(rng)
                moment -= earlier
            driver.kill_after(moment)
            if self.executor != "serial":
                left, took = driver.orphans(GONE_WITHIN[self.executor])
                found["orphans"] += left
                found["orphans_gone_after_s"] = max(found["orphans_gone_after_s"], round(took, 2))
            found["kills"] += driver.code == -signal.SIGKILL
            found["ended_by_an_error"] += driver.code > 0
            _compare(found, self.folder, truth, driver.acknowledged())
            return driver.code == 0

    def _begun(self) -> int:
        """How often somebody began to search."""
        there = (self.folder / EVENTS).is_file()
        return there and sum(e["event"] == "began" for e in read_events(self.folder))

    def _wait_for_the_search(self, before: int) -> None:
        deadline = time.monotonic() + 120.0
        while self._begun() == before and time.monotonic() < deadline:
            time.sleep(0.02)


def _compare(found: dict, folder: Path, truth: list, acknowledged: int) -> None:
    if not (folder / "manifest.json").is_file():
        found["killed_before_the_run_began"] += 1
        found["lost"] += acknowledged
        return
    try:
        read_run(folder)
    except Exception as error:
        sys.stderr.write(f"{error}\n")
        found["unreadable"] += 1
    rows = rows_of(folder)
    found["lost"] += max(0, acknowledged - len(rows))
    found["changed"] += rows != truth[: len(rows)]


def _compare_the_end(found: dict, folder: Path, peace: Path) -> None:
    truth = rows_of(peace)
    found["runs"] += 1
    for view in ("front.json", "trials.csv"):
        found["differing"] += (peace / view).read_bytes() != (folder / view).read_bytes()
    found["differing"] += rows_of(folder) != truth
    found["unreadable"] += any(finding.wrong for finding in check_run(folder, folder))
    found["acknowledged"] += len(truth)
