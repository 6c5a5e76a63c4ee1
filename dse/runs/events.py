"""What happened in a run and when: one JSON object a line, appended, for people and for checks."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dse.core.errors import RunDamaged
from dse.core.files import canonical_json
from dse.runs.lock import now

EVENTS = "events.jsonl"


class EventLog:
    """Appends lines to `events.jsonl`; a line that a crash tore is cut off first.

    A witness and not the truth: it is written after the trials are on the disk, and not synced.
    """

    def __init__(self, folder: Path) -> None:
        self._file = os.open(
            folder / EVENTS, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
        )
        size = os.fstat(self._file).st_size
        # A torn line is shorter than any event that this module writes is allowed to be.
        tail = os.pread(self._file, min(size, 1 << 20), max(0, size - (1 << 20)))
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            os.ftruncate(self._file, size - (len(tail) - whole))

    def add(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append one event; one write, so that lines are whole or torn at the very end."""
        line = canonical_json({"at": now(), "event": event, "v": 1, **facts}) + "\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All events in order; a torn last line is left out, no file is no events.

    Raises:
        RunDamaged: If the file or another line does not read.
    """
    path = folder / EVENTS
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise RunDamaged(f"{path} cannot be read: {error.strerror}") from error
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunDamaged(f"{path}, line {number} does not read as an event") from error
        events.append(event)
    return events


def acknowledged(folder: Path) -> int:
    """Trials that the events say are stored; a lower bound of what `run.sqlite` must hold."""
    least = 0
    for event in read_events(folder):
        if event["event"] == "trials":
            least = int(event["to"])
        elif event["event"] == "damaged":
            least = int(event["kept"])
    return least
