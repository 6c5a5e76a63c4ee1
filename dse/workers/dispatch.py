"""Who gets which row next, and what becomes of rows whose worker is lost or does not answer."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from dse.core.failure import Failure
from dse.core.space import Columns
from dse.workers.workers import NOT_BEGUN, Outcome

ATTEMPTS = 3
"""How often a row is tried whose process died; the row itself may be what kills it."""

START = 300.0
"""Seconds that a worker has to begin a row: a process starts, libraries and weights load."""

PATIENCE = 20.0
"""Seconds that a row waits for a starting worker while another has nothing to do."""

GLANCE = 0.1
"""Seconds between two looks at the clock and at whether somebody wants to stop."""

Slot = TypeVar("Slot")
News: TypeAlias = Outcome | Literal["begun", "lost"]


class WorkerSlots(Protocol[Slot]):
    """Processes that each evaluate one row at a time. A slot is one of them."""

    def start(self) -> Slot:
        """A new process; it may still be starting."""

    def give(self, slot: Slot, row: Columns) -> bool:
        """Let an idle process evaluate a row; returns at once, also if the process is dead.

        True if nothing stands between the process and the row; else the news tells when it began.
        """

    def wait(self, slots: Sequence[Slot], seconds: float) -> list[tuple[Slot, News]]:
        """News of busy processes: a row was begun, finished, or its process is lost."""

    def end(self, slot: Slot) -> None:
        """End a process at once, whatever it does."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Which row a process has, since when, for how long at most, and whether it has begun."""

    row: int
    since: float
    limit: float | None
    begun: bool


@dataclass(eq=False, slots=True)
class _Batch:
    """The rows of one call: who waits, who is done, who was lost how often."""

    done: Callable[[], None]
    waiting: deque[int]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    losses: Counter[int] = field(default_factory=Counter)

    def end(self, row: int, outcome: Outcome) -> None:
        """A row has its outcome."""
        self.outcomes[row] = outcome
        self.done()

    def lose(self, row: int) -> None:
        """The process of a row died: first in the queue again, but not for ever."""
        self.losses[row] += 1
        if self.losses[row] < ATTEMPTS:
            self.waiting.appendleft(row)
        else:
            why = f"the worker's process died {ATTEMPTS} times on this design"
            self.end(row, Outcome(None, Failure("crashed", why)))

    def stop(self) -> None:
        """Nothing more is begun."""
        self.outcomes.update({row: Outcome(None, NOT_BEGUN) for row in self.waiting})
        self.waiting.clear()


class Dispatcher(Generic[Slot]):
    """Rows to a crew, in order, each to the next free process.

    Only rows of lost processes are evaluated again. Mutable on purpose: it keeps idle processes
    for the next call.

    Args:
        crew: Starts and ends processes.
        most: Processes at once, at least 1.
        stopping: Whether nothing new shall be begun.
    """

    def __init__(self, crew: WorkerSlots[Slot], most: int, stopping: Callable[[], bool]) -> None:
        self._crew = crew
        self._most = most
        self._stopping = stopping
        self._idle: list[Slot] = []
        self._busy: dict[Slot, _Task] = {}

    def map(
        self, rows: Sequence[Columns], timeout: float | None, done: Callable[[], None]
    ) -> list[Outcome]:
        """One outcome per row; `timeout` [s] counts from the moment a row is begun."""
        batch = _Batch(done, deque(range(len(rows))))
        while batch.waiting or self._busy:
            if self._stopping():
                batch.stop()
            while batch.waiting and len(self._busy) < self._most:
                self._begin(batch.waiting.popleft(), rows, timeout)
            for slot, news in self._crew.wait(list(self._busy), GLANCE):
                self._hear(batch, slot, news, timeout)
            self._look_at_the_clock(batch)
        return [batch.outcomes[row] for row in range(len(rows))]

    def _hear(self, batch: "_Batch", slot: Slot, news: News, timeout: float | None) -> None:
        task = self._busy[slot]
        if isinstance(news, Outcome):
            del self._busy[slot]
            self._idle.append(slot)
            batch.end(task.row, news)
        elif news == "lost":
            self._drop(slot)
            batch.lose(task.row)
        else:
            self._busy[slot] = _Task(task.row, time.monotonic(), timeout, begun=True)

    def _begin(self, row: int, rows: Sequence[Columns], timeout: float | None) -> None:
        slot = self._idle.pop() if self._idle else self._crew.start()
        begun = self._crew.give(slot, rows[row])
        self._busy[slot] = _Task(row, time.monotonic(), timeout if begun else START, begun)

    def _look_at_the_clock(self, batch: "_Batch") -> None:
        moment = time.monotonic()
        for slot, task in list(self._busy.items()):
            waited = moment - task.since
            if task.limit is not None and waited > task.limit:
                self._drop(slot)
                why = f"no answer within {task.limit:g} s"
                batch.end(task.row, Outcome(None, Failure("timed out", why)))
            elif not task.begun and waited > PATIENCE and self._idle:
                # A cluster that has lost a node may have no room for who was hired last.
                self._drop(slot)
                batch.waiting.appendleft(task.row)

    def _drop(self, slot: Slot) -> None:
        del self._busy[slot]
        self._crew.end(slot)

    def close(self) -> None:
        """End every process at once."""
        for slot in [*self._idle, *self._busy]:
            self._crew.end(slot)
        self._idle.clear()
        self._busy.clear()
