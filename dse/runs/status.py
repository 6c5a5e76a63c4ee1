"""How far a run is, from its manifest and events alone: at once, however many trials it has."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dse.runs.database import DATABASE, count_rows
from dse.runs.differences import accepted_lines
from dse.runs.events import read_events
from dse.runs.failures import CommonFailure, common_failures_of
from dse.runs.lock import Holder, holder
from dse.runs.manifest import PYTHON, began_in_python, read_manifest, resumed_by

RECENT = 20
"""Batches over which the speed of a run is taken."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        folder: Of the run.
        study: What it answers.
        state: `running`, `interrupted`, `killed`, or how it ended: `budget`, `exhausted`,
            `nothing new`, `plateau`, `wall time`.
        why: More about how it ended; empty if there is no more to say.
        trials: Stored.
        asked: Wanted.
        failed: Of the stored, by kind of failure.
        reasons: The commonest ones, with count and kind.
        sessions: How often somebody began to work on it.
        speed: Trials per second over the last batches; 0 if nothing is known.
        last: When the last event came, ISO 8601 in UTC; empty if there is none.
        holder: Who works on it; None if nobody does.
        accepted: What a user has accepted as different, a line for each time.
        way_on: The call that continues it.
    """

    folder: Path
    study: str
    state: str
    why: str
    trials: int
    asked: int
    failed: dict[str, int]
    reasons: tuple[CommonFailure, ...]
    sessions: int
    speed: float
    last: str
    holder: Holder | None
    accepted: tuple[str, ...] = ()
    way_on: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "folder": str(self.folder)}

    def lines(self) -> dict[str, str]:
        """What a person wants to know, label by label."""
        share = self.trials / self.asked if self.asked else 1.0
        failed = ", ".join(f"{n:,} {name}" for name, n in self.failed.items())
        lines = {
            "state": f"{self.state}: {self.why}" if self.why else self.state,
            "trials": f"{self.trials:,} of {self.asked:,} ({share:.0%})",
            "failed": failed or "none",
            **({"most often": "\n".join(map(str, self.reasons))} if self.reasons else {}),
            "speed": f"{self.speed:.3g} trials/s" if self.speed else "not known",
            "sessions": str(self.sessions),
            "last event": self.last or "none",
            "worked on by": str(self.holder) if self.holder else "nobody",
        }
        if self.accepted:
            lines["accepted"] = "\n".join(self.accepted)
        if self.holder is None and self.state in ("interrupted", "killed"):
            lines["go on with"] = self.way_on
        return lines


def run_status(folder: Path) -> RunStatus:
    """Where a run stands.

    Raises:
        RunError: If the folder is no run.
        RunDamaged: If manifest, events or table do not read.
    """
    # In this order, a run that ends meanwhile is at worst reported as it was a moment ago.
    who = holder(folder)
    manifest = read_manifest(folder)
    events = read_events(folder)
    batches = [e for e in events if e["event"] == "trials"]
    state = str(manifest["state"])
    if state == "running" and who is None:
        state = "killed"
    elif who is not None:
        state = "running"
    trials = count_rows(folder / DATABASE)
    return RunStatus(
        folder,
        manifest["asked"]["study"],
        state,
        "" if state in ("running", "killed") else str(manifest.get("why", "")),
        trials,
        int(manifest.get("trials_asked", trials)),
        dict(sum((Counter(e.get("failures", {})) for e in batches), Counter())),
        common_failures_of(folder),
        sum(e["event"] == "began" for e in events),
        _speed(batches[-RECENT:]),
        events[-1]["at"] if events else "",
        who,
        accepted_lines(manifest),
        _way_on(folder, manifest),
    )


def _way_on(folder: Path, manifest: Mapping[str, Any]) -> str:
    if began_in_python(manifest):
        return f"the same call of {PYTHON}"
    return f"dse resume {resumed_by(folder, manifest)}"


def _speed(batches: list[dict[str, Any]]) -> float:
    seconds = sum(e.get("seconds", 0.0) for e in batches)
    return sum(e["to"] - e["from"] for e in batches) / seconds if seconds else 0.0
