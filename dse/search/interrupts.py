"""What ends a search from outside: Ctrl-C and SIGTERM, or a clock."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_DRAINING = b"\nfinishing what is being evaluated; press Ctrl-C again to stop at once\n"


class Stop:
    """Remembers which signal asked for an end. Mutable on purpose.

    The first Ctrl-C during a search only sets `wanted`. Everything else raises KeyboardInterrupt,
    for SIGTERM too: the one exception that libraries in the middle of a wait, Ray's among them,
    let through.

    Attributes:
        number: The signal that came, if one came.
        folder: The run that can be resumed; None while there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.folder: Path | None = None
        self._drains = False
        self._wanted = False

    def wanted(self) -> bool:
        """Whether nothing new shall be begun."""
        return self._wanted

    def arrive(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        first = self.number is None
        self.number = number
        if first and self._drains and number == signal.SIGINT:
            self._wanted = True
            os.write(2, _DRAINING)  # not through a console: its lock may be held right here
            return
        raise KeyboardInterrupt

    @contextmanager
    def draining(self) -> Iterator[None]:
        """While this is entered, somebody looks at `wanted` after every evaluation."""
        self._drains = True
        try:
            yield
        finally:
            self._drains = False


class Clock:
    """The time that a run may take, over all of its sessions. Mutable on purpose: it runs.

    It runs from `start` to `stop`; before and after, nothing is ever late.

    Args:
        spent: Seconds that earlier sessions took.
    """

    def __init__(self, spent: float = 0.0) -> None:
        self._spent = spent
        self._limit: float | None = None
        self._began = 0.0

    def start(self, limit: float | None) -> None:
        """Run until so many seconds are spent in all; None: without end."""
        self._limit, self._began = limit, time.monotonic()

    def stop(self) -> None:
        """What follows may take as long as it takes."""
        self._limit = None

    def expired(self) -> bool:
        """Whether the time is up."""
        if self._limit is None:
            return False
        return self._spent + time.monotonic() - self._began >= self._limit
