"""A front as text: a table for people, CSV for spreadsheets."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import StudyError
from dse.core.parameters import Column
from dse.core.texts import printable
from dse.core.units import pretty, readable
from dse.results.front import Front
from dse.results.text_table import TextTable
from dse.runs.run_schema import Quantity


@dataclass(frozen=True, slots=True)
class _Shown:
    """A column of the table as text."""

    name: str
    unit: str
    texts: list[str]
    bold: bool = False

    @property
    def head(self) -> str:
        """The name over as few lines as the values' width allows, and the unit."""
        words = self.name.replace("_", " ")
        widest = max(map(len, [*self.texts, *words.split()]))
        lines = textwrap.wrap(words, widest) + [f"[{self.unit}]"] * bool(self.unit)
        return "\n".join(lines)

    @property
    def width(self) -> int:
        """Characters on the screen, with padding and border."""
        return max(map(len, [*self.texts, *self.head.split("\n")])) + 3

    @property
    def constant(self) -> bool:
        """Whether all rows shown have the same value."""
        return len(set(self.texts)) == 1 < len(self.texts)


def front_table(
    front: Front, most: int, *, width: int = 10_000, columns: Sequence[str] = ()
) -> TextTable:
    """The front with readable units, evenly thinned to `most` rows if it is longer.

    Where not all columns have room, the objectives and what was asked for stay first, then knobs
    that differ, then metrics that differ; the caption names what is left out. Handles never show.

    Args:
        front: What to show.
        most: Rows at most.
        width: Characters a line may have.
        columns: Names of columns to show beside the objectives before any other.

    Raises:
        StudyError: A column that the front does not have.
    """
    question = front.question
    rows = np.arange(len(front))
    if len(front) > most:
        rows = np.unique(np.linspace(0, len(front) - 1, most).round().astype(np.int64))
    shown = _columns(front, rows)
    unknown = sorted(set(columns) - {c.name for c in shown})
    if unknown:
        names = ", ".join(c.name for c in shown)
        raise StudyError((f"--columns: the front has no {unknown[0]!r}; it has {names}",))
    note = f", {len(rows)} of them shown evenly" if len(rows) < len(front) else ""
    table = TextTable(title=f"{question.study}: {len(front)} designs on the front{note}")
    numbers = _Shown("trial", "", [str(front.numbers[i]) for i in rows])
    fitting = _fitting(front, shown, width - numbers.width - 1, columns)
    kept = [numbers, *fitting]
    for column in kept:
        style = "bold" if column.bold else None
        table.add_column(column.head, justify="right", no_wrap=True, style=style)
    for row in zip(*(c.texts for c in kept), strict=True):
        table.add_row(*row)
    notes = [
        "; ".join(f"{o.name} ({o.direction}): {_label(front, o.name)}" for o in question.objectives)
    ]
    left = [c for c in shown if c not in fitting]
    same = [f"{c.name} {c.texts[0]} {c.unit}".rstrip() for c in left if c.constant]
    if same:
        notes.append("the same in all rows: " + ", ".join(same))
    other = [c.name for c in left if not c.constant]
    if other:
        notes.append("no room for (--columns, --format csv): " + ", ".join(other))
    notes += front.accepted
    table.add_caption("\n".join(notes))
    return table


def _columns(front: Front, rows: NDArray[np.int64]) -> list[_Shown]:
    """All columns but handles: knobs, metrics, what the designs reach on held-out data."""
    question = front.question
    wanted = {o.name for o in question.objectives}
    shown = []
    for quantity in (*question.knobs, *(q for q in question.metrics if q.unit != "handle")):
        source = front.trials.designs if quantity.role == "knob" else front.trials.metrics
        texts, unit = readable_texts(source[quantity.name][rows], quantity)
        shown.append(_Shown(quantity.name, unit, texts, quantity.name in wanted))
    for column in front.held_out_columns:
        texts, unit = _held_out(front, column, rows)
        shown.append(_Shown(column["name"], unit, texts))
    return shown


def _fitting(
    front: Front, shown: Sequence[_Shown], width: int, columns: Sequence[str]
) -> list[_Shown]:
    """The columns that have room side by side, the most important ones, in their usual order."""
    objectives = {o.name for o in front.question.objectives}
    knobs = {q.name for q in front.question.knobs}

    def rank(column: _Shown) -> tuple[bool, ...]:
        first = column.name in objectives or column.name in columns
        held_out = column.name.removeprefix("test_") in objectives
        return (not first, not held_out, column.constant, column.name not in knobs)

    kept, used = [], 0
    for column in sorted(shown, key=rank):
        if used + column.width <= width:
            used += column.width
            kept.append(column)
    return [c for c in shown if c in kept]


def _held_out(
    front: Front, column: Mapping[str, str], rows: NDArray[np.int64]
) -> tuple[list[str], str]:
    """Held-out values as short texts, empty where a design has none, and their readable unit."""
    found = [front.held_out.get(int(front.numbers[i]), {}).get(column["name"]) for i in rows]
    values, unit = readable(np.array([v for v in found if v is not None]), column["unit"])
    texts = iter(f"{value:.4g}" for value in values)
    return ["" if v is None else next(texts) for v in found], pretty(unit)


def _label(front: Front, name: str) -> str:
    return str(front.question[name].evidence)


def readable_texts(column: Column, quantity: Quantity) -> tuple[list[str], str]:
    """Values of a column as short texts and their readable unit; choices have none."""
    if column.dtype.kind == "U":
        return [printable(str(value)) for value in column], ""
    values, unit = readable(column.astype(np.float64), quantity.unit)
    return [f"{value:.4g}" for value in values], pretty(unit)


def front_csv(front: Front) -> str:
    """All rows of the front in SI units, the unit in each header, full precision."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    question = front.question
    extra = [f"{c['name']} [{c['unit']}]" for c in front.held_out_columns]
    writer.writerow(["trial", *(f"{q.name} [{q.unit}]" for q in question.quantities), *extra])
    for i, number in enumerate(front.numbers):
        row = front.row(i)
        values = [{**row["design"], **row["metrics"]}[q.name] for q in question.quantities]
        held = front.held_out.get(int(number), {})
        more = [held.get(c["name"], "") for c in front.held_out_columns]
        writer.writerow([int(number), *values, *more])
    return stream.getvalue()
