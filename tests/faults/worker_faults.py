"""Evaluators that die, hang, raise and answer nonsense, on a pool and on Ray."""

import tempfile
from pathlib import Path
from typing import Any

from injector import study_file

from dse.runs.store import read_run
from dse.search.interrupts import Stop
from dse.study.runner import run_study

KINDS = {
    "kill": "crashed",
    "memory": "raised",
    "hang": "timed out",
    "raise": "raised",
    "nan": "not finite",
    "shape": "not as declared",
    "huge": "not as declared",
    "kill once": "",
    "chatter": "",
}
"""Fault -> kind of the failure; empty where the trial succeeds after all."""


class _Quiet:
    def preparing(self, what: str, share: float) -> None:
        """Say nothing."""

    def searching(self, progress) -> None:
        """Say nothing."""

    def noting(self, what: str) -> None:
        """Say nothing."""


def worker_faults(rounds: int, executor: str, root: Path) -> dict[str, Any]:
    """Runs of 60 designs of which each fault has a few; counts the faults that ended as told."""
    found: dict[str, Any] = {"faults": 0, "right_kind": 0, "wrong": [], "runs": 0, "runs_ended": 0}
    for number in range(rounds):
        marks = tempfile.mkdtemp(dir=root)
        places = {fault: [3 + 5 * k] for k, fault in enumerate(KINDS)}
        listed = ", ".join(f"{fault}: {where}" for fault, where in places.items())
        load = study_file(
            root,
            f"w{number}",
            *(
                f"settings.faults={{{listed}}}",
                f"settings.marks={marks}",
                "knobs.x={start: 0, stop: 0.98, step: 0.02, unit: s}",
                "knobs.kind.values=[a]",
                "knobs.count={values: [1], unit: 1}",
                "search.searcher=exhaustive",
                "search.batch=60",
                f"execution.executor={executor}",
                "execution.timeout_s=1.5",
            ),
        )
        folder = root / f"run{number}"
        ended = run_study(load(), folder, _Quiet(), Stop()).ending
        found["runs"] += 1
        found["runs_ended"] += ended == "exhausted"
        trials = read_run(folder).trials
        at = {
            round(50 * x): why for x, why in zip(trials.designs["x"], trials.failures, strict=True)
        }
        for fault, (place,) in places.items():
            why = at.pop(place)
            found["faults"] += 1
            got = why.kind if why else ""
            if got == KINDS[fault]:
                found["right_kind"] += 1
            else:
                found["wrong"].append(f"{fault}: {why}")
        found["wrong"] += [f"x = {k} / 50: {why}" for k, why in at.items() if why]
    return found
