"""SIGKILL at random moments: nothing acknowledged is lost, changed or doubled."""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from injector import Acknowledging, Forked, go, rows_of, study_file

from dse.checks import check_run
from dse.store import read_run


def kills(
    count: int, seed: int, root: Path, searchers: Sequence[str], reach: float = 1.0
) -> dict[str, object]:
    """SIGKILL drivers at random moments, resume, kill again; compare with a run left in peace.

    Moments are drawn from the time that a run in peace takes, times `reach`: far below 1 hardly any
    run ends, so that most kills hit its last step; above 1 more runs end unhurt.
    """
    rng = random.Random(seed)
    found = {"kills": 0, "runs": 0, "lost": 0, "changed": 0, "unreadable": 0, "differing": 0}
    found |= {"acknowledged": 0, "killed_before_the_run_began": 0}
    while found["kills"] < count:
        name = f"run{found['runs']}"
        searcher = searchers[found["runs"] % len(searchers)]
        trials = 25 if searcher == "tpe" else 80
        load = study_file(
            root, name, f"search.searcher={searcher}", f"search.trials={trials}",
            f"search.seed={rng.randrange(2**31)}", f"search.batch={rng.choice([2, 5])}",
        )  # fmt: skip
        peace, folder = root / f"{name}-peace", root / name
        began = time.monotonic()
        assert Forked(lambda _, f=peace, s=load: go(f, s)).end() == 0
        horizon = time.monotonic() - began
        truth = rows_of(peace)
        ended = False
        while not ended and found["kills"] < count:
            child = Forked(lambda pipe, f=folder, s=load: go(f, s, Acknowledging(pipe)))
            ended = not child.kill_after(rng.uniform(0.0, reach * horizon))
            _compare(found, folder, truth, child.acknowledged())
            found["kills"] += not ended
        if not ended:
            assert Forked(lambda _, f=folder, s=load: go(f, s)).end() == 0
        found["runs"] += 1
        for view in ("front.json", "trials.csv"):
            found["differing"] += (peace / view).read_bytes() != (folder / view).read_bytes()
        found["differing"] += rows_of(folder) != truth
        found["unreadable"] += any(finding.wrong for finding in check_run(folder))
        found["acknowledged"] += len(truth)
    return found


def _compare(found: dict[str, int], folder: Path, truth: list, acknowledged: int) -> None:
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
