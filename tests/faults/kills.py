"""SIGKILL at random moments: nothing acknowledged is lost, changed or doubled."""

import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from injector import Acknowledging, Forked, go, rows_of, study_file

from dse.checks import check_run
from dse.store import read_run

MARK = "EDGE_DSE_FAULTS_DRIVER"
"""Environment variable that whatever a driver starts inherits."""

GONE_WITHIN = 20.0
"""Seconds in which all that a killed driver had started must have ended by itself."""

WORKERS = ("spawn_main", "ray::")
"""What the command line of a worker says, of the pool's and of Ray's."""


def kills(
    count: int,
    seed: int,
    root: Path,
    searchers: Sequence[str],
    reach: float = 1.0,
    executor: str = "serial",
) -> dict[str, object]:
    """SIGKILL drivers at random moments, resume, kill again; compare with a run left in peace.

    Moments are drawn from the time that a run in peace takes, times `reach`: far below 1 hardly any
    run ends, so that most kills hit its last step; above 1 more runs end unhurt. What a run must
    come to is told by one that is serial, whoever works for the killed drivers.
    """
    rng = random.Random(seed)
    found = {"kills": 0, "runs": 0, "lost": 0, "changed": 0, "unreadable": 0, "differing": 0}
    found |= {"acknowledged": 0, "killed_before_the_run_began": 0}
    if executor != "serial":
        found |= {"workers_killed": 0, "orphans": 0, "orphans_gone_after_s": 0.0}
    while found["kills"] < count:
        name = f"run{found['runs']}"
        asked = _asked(searchers[found["runs"] % len(searchers)], rng)
        peace, folder = root / f"{name}-peace", root / name
        horizon = _seconds(peace, study_file(root, name, *asked, *EXECUTORS["serial"]))
        truth = rows_of(peace)
        load = study_file(root, name, *asked, *EXECUTORS[executor])
        if executor != "serial":
            horizon = _seconds(root / f"{name}-spread", load)
            found["differing"] += rows_of(root / f"{name}-spread") != truth
        ended = False
        while not ended and found["kills"] < count:
            moment = rng.uniform(0.0, reach * horizon)
            with _Marked(lambda pipe, f=folder, s=load: go(f, s, Acknowledging(pipe))) as child:
                if executor != "serial":
                    moment -= _rob(found, child, moment, rng)
                ended = not child.kill_after(moment)
                _compare(found, folder, truth, child.acknowledged())
                if executor != "serial":
                    child.count_orphans(found)
            found["kills"] += not ended
        if not ended:
            assert Forked(lambda _, f=folder, s=load: go(f, s)).end() == 0
        _compare_the_end(found, folder, peace)
    return found


EXECUTORS = {
    "serial": (),
    "pool": ("execution.executor=pool",),
    "ray": ("execution.executor=ray",),
}


def _asked(searcher: str, rng: random.Random) -> tuple[str, ...]:
    trials = 25 if searcher == "tpe" else 80
    return (
        f"search.searcher={searcher}", f"search.trials={trials}",
        f"search.seed={rng.randrange(2**31)}", f"search.batch={rng.choice([2, 5])}",
    )  # fmt: skip


def _seconds(folder: Path, load: Callable[[], object]) -> float:
    """That a run takes which is left in peace."""
    began = time.monotonic()
    assert Forked(lambda _: go(folder, load)).end() == 0
    return time.monotonic() - began


class _Marked(Forked):
    """A driver whose workers, and whatever else it starts, can be told from all other processes."""

    def __init__(self, work: Callable[[int], object]) -> None:
        self._mark = f"{MARK}={uuid.uuid4().hex}".encode()

        def marked(pipe: int) -> None:
            name, _, value = self._mark.decode().partition("=")
            os.environ[name] = value
            work(pipe)

        super().__init__(marked)

    def __enter__(self) -> "_Marked":
        return self

    def __exit__(self, *exc: object) -> None:
        """Whoever is left is ended, so that one law broken is not all laws broken."""
        for pid in self._started():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _started(self) -> list[int]:
        """Living processes that the driver has started, or those have."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile, or somebody else's
                marked = self._mark in (folder / "environ").read_bytes().split(b"\0")
                if marked and int(folder.name) != self.pid:
                    found.append(int(folder.name))
        return found

    def kill_a_worker_after(self, seconds: float, rng: random.Random) -> bool:
        """SIGKILL one of the workers after a while; False if there was none."""
        time.sleep(seconds)
        workers = []
        for pid in self._started():
            with suppress(OSError):
                said = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                if any(name in said for name in WORKERS):
                    workers.append(pid)
        if not workers:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(workers)), signal.SIGKILL)
        return True

    def count_orphans(self, found: dict) -> None:
        """Wait for the end of all that the driver had started; count who does not end."""
        began = time.monotonic()
        while self._started() and time.monotonic() - began < GONE_WITHIN:
            time.sleep(0.02)
        for pid in self._started():
            found["orphans"] += 1
            said = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            sys.stderr.write(f"orphan {pid}: {said}\n")
        took = round(time.monotonic() - began, 2)
        found["orphans_gone_after_s"] = max(found["orphans_gone_after_s"], took)


def _rob(found: dict, child: _Marked, moment: float, rng: random.Random) -> float:
    """Every other driver loses a worker before it is killed; gives the seconds that this took."""
    if not found["kills"] % 2:
        return 0.0
    seconds = rng.uniform(0.0, moment)
    found["workers_killed"] += child.kill_a_worker_after(seconds, rng)
    return seconds


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
    found["unreadable"] += any(finding.wrong for finding in check_run(folder))
    found["acknowledged"] += len(truth)
