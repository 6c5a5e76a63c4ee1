"""A system of 2,250 designs that costs microseconds and goes wrong where it is told to.

    python tests/faults/toy.py run STUDY --out RUN

It stands behind the real `dse`. `settings.faults` says what happens where; `settings.marks` is a
folder in which an evaluator that dies leaves a file, so that it knows that it has.
"""

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from dse.cli.app import main as run_command_line
from dse.core.errors import RowsFailed
from dse.core.evaluation import Cached, Chain
from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.signature import Signature
from dse.core.space import Columns
from dse.study.system import Composed, Section, Spreader, System, Watcher

XS = tuple(k / 50 for k in range(50))

HOSTILE = (
    "int8[sym]",
    "[/nope]",
    "[red]x[/red]",
    ":warning:",
    "\x1b]0;owned\x07",
    "\x9b2J",
    "\u202elive",
)
"""Labels that a terminal, or whoever writes to it, could read as more than a name."""


class Settings(Section):
    """Which fault an evaluator has at which k of x = k / 50 s; who pauses leaves a mark first."""

    faults: dict[str, list[int]] = Field({})
    marks: str = ""
    pause: float = 0.0


def die(marks: str) -> None:
    """The death of the process, by the kernel's hand."""
    (Path(marks) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marks: str) -> None:
    """The death of the first process that comes here."""
    if not any(Path(marks).iterdir()):
        die(marks)


def fail(_: str) -> None:
    """An exception."""
    raise ValueError("x is where this fails")


def devour(_: str) -> None:
    """More memory than there is."""
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
    np.ones(2**40)


def hang(_: str) -> None:
    """No answer."""
    time.sleep(3600)


def chatter(_: str) -> None:
    """Too many words."""
    sys.stdout.write("x" * 1_000_000)
    sys.stderr.write("y" * 1_000_000)


def raising(text: str) -> Callable[[str], None]:
    """An exception that says this."""

    def fault(_: str) -> None:
        raise ValueError(text)

    return fault


def refusing(text: str) -> Callable[[str], None]:
    """The engine's own exception, with a text of the evaluator's."""

    def fault(_: str) -> None:
        raise RowsFailed({0: text}, {"rate": np.zeros(1)})

    return fault


class Mute(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def be_mute(_: str) -> None:
    """An exception whose own text raises."""
    raise Mute


def wrong(rate: np.ndarray) -> Callable[[str], dict[str, np.ndarray]]:
    """An answer that is none."""
    return lambda _: {"rate": rate}


FAULTS: dict[str, Callable[[str], dict[str, np.ndarray] | None]] = {
    "kill": die,
    "kill once": die_once,
    "raise": fail,
    "memory": devour,
    "hang": hang,
    "chatter": chatter,
    "nan": wrong(np.array([math.nan])),
    "shape": wrong(np.zeros((1, 2))),
    "huge": wrong(np.zeros(20_000_000)),
    "surrogate": raising("caf\udce9"),
    "endless": raising("x" * 2_000_000),
    "escape": raising("\x1b]0;owned\x07\x1b[2J\x9b2J \u202elive\nnext line\ttab"),
    "markup": raising("[/nope] int8[sym] :warning:"),
    "mute": be_mute,
    "says finite": raising("the sensor's reading is not a finite number"),
    "says lost": refusing("worker lost: its process died 3 times on this design"),
    "says stopped": refusing("stopped before it began"),
    "says stopped early": refusing("stopped early after 1 of 2 sentences"),
    "wide": wrong(np.ones(1, np.longdouble)),
    "beyond": wrong(np.full(1, 2**63, np.uint64)),
}


@dataclass(frozen=True)
class Measured:
    """A rate that is measured one row at a time."""

    faults: tuple[tuple[str, tuple[int, ...]], ...]
    marks: str
    pause: float
    signature: ClassVar[Signature] = Signature(
        {"x": "s", "kind": "choice"}, {"rate": "Hz"}, {"rate": "measured"}, "measured"
    )

    def __call__(self, columns: Columns) -> Columns:
        if self.pause:
            if self.marks:
                (Path(self.marks) / f"begun-{os.getpid()}").touch()
            time.sleep(self.pause * len(columns["x"]))
        for fault, places in self.faults:
            if np.isin(np.rint(columns["x"] * 50), places).any():
                answer = FAULTS[fault](self.marks)
                if answer:
                    return answer
        shift = np.where(columns["kind"] == "b", 0.25, 0.0)
        return {"rate": np.sqrt(1.0 + columns["x"] + shift)}


@dataclass(frozen=True)
class Priced:
    """What is arithmetic once the rate is known; refuses one of its 15 counts."""

    signature: ClassVar[Signature] = Signature(
        {"x": "s", "count": "1", "rate": "Hz"},
        {"energy": "J", "delay": "s"},
        {"energy": "unverified", "delay": "closed form"},
    )

    def __call__(self, columns: Columns) -> Columns:
        count, rate = columns["count"], columns["rate"]
        if (count == 13).any():
            raise ValueError("count = 13 is not characterised")
        energy = rate * count + np.sin(40 * columns["x"]) ** 2
        return {"energy": energy, "delay": 1 / (rate * count) + columns["x"]}


def compose(settings: Settings, spread: Spreader, watch: Watcher) -> Composed:
    """The measured rate on the workers, then the arithmetic."""
    watch("composing", 1.0)
    faults = tuple((fault, tuple(places)) for fault, places in settings.faults.items())
    measured = Measured(faults, settings.marks, settings.pause)
    stages = (Cached(spread(measured)), Priced())
    return Composed(Chain(stages), {"data": "none"}, lambda: (0, 0))


TOY = System(
    name="toy",
    knobs=(
        Ordinal("x", XS, "s"),
        Integer("count", 1, 15, "1", stage="run"),
        Categorical("kind", ("a", "b", "c", *HOSTILE)),
    ),
    metrics={"rate": "Hz", "energy": "J", "delay": "s"},
    compose=compose,
    settings=Settings,
)

STUDY = """\
study: toy
question: Which of 2,250 designs is best?
system: toy
knobs:
  x: {start: 0.0, stop: 0.98, unit: s}
  count: {start: 1, stop: 15, unit: 1}
  kind: {values: [a, b, c]}
objectives:
  energy: min
  delay: min
constraints:
  delay: {max: 1.5, unit: s}
search: {searcher: nsga2, trials: 200, batch: 10, seed: 1, max_failed_share: 1.0}
execution: {executor: serial, workers: 2}
export: {sort_by: energy, fallback: delay}
"""

SYSTEMS = {"toy": TOY}


if __name__ == "__main__":
    sys.exit(run_command_line(SYSTEMS))
