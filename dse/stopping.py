"""What Ctrl-C and SIGTERM ask of a run: finish what is begun, or leave at once."""

import os
import signal
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
