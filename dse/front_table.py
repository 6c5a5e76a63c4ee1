"""A front as text: a table for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from dse.front import Front
from dse.parameters import Column
from dse.store import Quantity
from dse.units import pretty, readable


def front_table(front: Front, most: int) -> Table:
    """The front with readable units, evenly thinned to `most` rows if it is longer.

    Knobs that have one value on the whole front still show; intermediate handles do not.
    """
    question = front.question
    wanted = {o.name for o in question.objectives}
    shown = [*question.knobs, *(q for q in question.metrics if q.unit != "handle")]
    rows = np.arange(len(front))
    if len(front) > most:
        rows = np.unique(np.linspace(0, len(front) - 1, most).round().astype(np.int64))
    note = f", {len(rows)} of them shown evenly" if len(rows) < len(front) else ""
    table = Table(title=f"{question.study}: {len(front)} designs on the front{note}")
    table.add_column("trial", justify="right")
    columns = [[str(front.numbers[i]) for i in rows]]
    for quantity in shown:
        source = front.trials.designs if quantity.role == "knob" else front.trials.metrics
        texts, unit = readable_texts(source[quantity.name][rows], quantity)
        name = quantity.name.replace("_", " ")
        style = "bold" if quantity.name in wanted else None
        head = f"{name}\n[{unit}]" if unit else name
        table.add_column(head.replace("[", r"\["), justify="right", style=style)
        columns.append(texts)
    for column in front.held_out_columns:
        texts, unit = _held_out(front, column, rows)
        head = column["name"].replace("_", " ") + (f"\n[{unit}]" if unit else "")
        table.add_column(head.replace("[", r"\["), justify="right")
        columns.append(texts)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    table.caption = "; ".join(
        f"{o.name} ({o.direction}): {_label(front, o.name)}" for o in question.objectives
    )
    return table


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
        return [str(value) for value in column], ""
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
