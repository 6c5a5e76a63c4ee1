"""What a person sees while a study is being answered, and how a command ends."""

import shlex
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from dse.core.errors import (
    DseError,
    MissingDependency,
    RunDamaged,
    RunRefused,
    RunUnwritable,
    StudyError,
)
from dse.core.extras import extra_of, shortage
from dse.core.texts import printable
from dse.search.interrupts import Stop

if TYPE_CHECKING:
    from rich.progress import TaskID

    from dse.search.progress import RunProgress

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_FAILED_TRIALS = 3
EXIT_NOTHING_FEASIBLE = 4
EXIT_DAMAGED = 5
EXIT_REFUSED = 6

notes = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Where `say` and the bars write."""


def say(text: str) -> None:
    """Tell a person something on stderr, as it is: no markup, and no control character passes."""
    notes.print(printable(text))


def print_line(text: str) -> None:
    """Print what a person reads on stdout; no control character passes."""
    typer.echo(printable(text))


def print_data(text: str) -> None:
    """Print what programs read: exactly as it is, unless stdout is a terminal."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)


def table_console(width: int = 200) -> Console:
    """Where a table is printed: stdout, `width` characters wide if it is no terminal."""
    wide = None if sys.stdout.isatty() else width
    return Console(width=wide, highlight=False, markup=False, emoji=False)


class Bars:
    """Progress with time left: bars on a terminal, lines elsewhere. A context manager."""

    def __init__(self, trials: int = 0) -> None:
        # Here and not above: most commands show no progress.
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._trials = trials
        self._live = notes.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=notes,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}
        self._began: dict[str, float] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def preparing(self, what: str, share: float) -> None:
        """One bar for each `what`."""
        self._show(what, share, f"{share:.0%}")

    def searching(self, progress: "RunProgress") -> None:
        """The search, with hypervolume so far."""
        state = (
            f"{progress.trials}/{self._trials} trials, {progress.feasible} feasible, "
            f"hypervolume {progress.hypervolume:.4f}, {progress.runs_made} real runs"
        )
        self._show("searching", progress.trials / max(self._trials, 1), state)

    def noting(self, what: str) -> None:
        """A line of its own."""
        say(what)

    def _show(self, what: str, share: float, state: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(printable(what), total=1.0, state="")
        self._progress.update(self._tasks[what], completed=share, state=state)
        tenth = int(10 * share)
        began = self._began.setdefault(what, time.monotonic())
        if not self._live and tenth > self._tenths.get(what, -1):
            self._tenths[what] = tenth
            passed = time.monotonic() - began
            # A first report says nothing about speed: nobody saw when its work began.
            told = 0 < share < 1 and passed > 0.5
            left = f", {passed * (1 - share) / share:.0f} s left" if told else ""
            say(f"{what}: {state}{left}")


def guarded(command: Callable[[], object], *, debug: bool, stop: Stop | None = None) -> int:
    """Run a command; turn every ending into an exit code and at most a few lines on stderr.

    Where a run can be resumed, the command that does it is the last line. Tracebacks are shown
    only with `debug`. Usage errors are typer's to show: it ends with SystemExit.
    """
    stop = stop or Stop()
    signal.signal(signal.SIGINT, stop.arrive)
    signal.signal(signal.SIGTERM, stop.arrive)
    code = 0
    try:
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        stop.number = stop.number or signal.SIGINT
    except Exception as error:
        # After a signal, whatever a library makes of being torn out of a wait is no bug.
        if stop.number is None:
            if debug:
                raise
            code = _told(error)
            _say_resume(stop)
    if stop.number is None:
        return code
    said = "interrupted" if stop.number == signal.SIGINT else "terminated"
    where = "every trial reported so far is in the run folder" if stop.folder else "nothing was run"
    say(f"{said}; {where}")
    _say_resume(stop)
    return 128 + stop.number


def _say_resume(stop: Stop) -> None:
    if stop.folder is not None:
        say(f"dse resume {shlex.quote(str(stop.folder))}")


def _told(error: Exception) -> int:
    extra = extra_of(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if extra is not None:
        error = MissingDependency(shortage("this", extra))
    if not isinstance(error, DseError):
        text = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"internal error: {text}; --debug shows where")
        return EXIT_BUG
    for line in error.problems if isinstance(error, StudyError) else (str(error),):
        say(line)
    if isinstance(error, RunRefused):
        return EXIT_REFUSED
    return EXIT_DAMAGED if isinstance(error, RunDamaged | RunUnwritable) else EXIT_USAGE
