"""`dse survive`: which designs of a run's front outlive the doubt about the models' constants."""

import json
from typing import Annotated, Literal

import numpy as np
import typer

from dse.cli.arguments import RunPath, SystemFrom
from dse.cli.command_table import Session
from dse.cli.terminal import print_data, table_console
from dse.core.parameters import FloatArray
from dse.core.units import notations, pretty, readable
from dse.results.text_table import TextTable
from dse.study.survival import Survival, survival


def show_survival(  # noqa: PLR0913  (one argument per flag)
    ctx: typer.Context,
    run: RunPath,
    draws: Annotated[int, typer.Option(min=1, help="Sets of constants.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Most rows of a table, the surest first.")] = 25,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print; JSON has all rows.")
    ] = "table",
    system_from: SystemFrom = None,
) -> None:
    """Ask which designs of a front survive if the constants of the models are drawn anew."""
    session: Session = ctx.obj
    found = survival(run, session.systems_of_run(run, system_from), draws, seed)
    if format_ == "json":
        print_data(json.dumps(_as_json(found, draws, seed), indent=1) + "\n")
        return
    table_console(160).print(_table(found, draws, seed, rows))


def _as_json(found: Survival, draws: int, seed: int) -> dict[str, object]:
    recorded = found.front.trials.metrics
    spreads = {name: found.spread(name) for name in found.drawn}
    lines = [
        {
            "trial": int(number),
            "survives": float(found.share[i]),
            "within_limits": float(found.allowed[i]),
            "metrics": {
                name: {
                    "nominal": float(recorded[name][i]),
                    "p5": float(low[i]),
                    "p95": float(high[i]),
                }
                for name, (low, high) in spreads.items()
            },
        }
        for i, number in enumerate(found.front.numbers)
    ]
    return {"draws": draws, "seed": seed, "tables": list(found.tables), "rows": lines}


def _table(found: Survival, draws: int, seed: int, most: int) -> TextTable:
    """Surest designs first; behind each figure its 5th and 95th percentile over the draws."""
    front, order = found.front, np.argsort(-found.share, kind="stable")[:most]
    shown = f", the {most} surest" if most < len(front) else ""
    view = TextTable(title=f"{front.question.study}: {len(front)} designs on the front{shown}")
    view.add_column("trial", justify="right")
    view.add_column("survives\n%", justify="right")
    if (found.allowed < 1).any():
        view.add_column("in limits\n%", justify="right")
    cells: list[list[str]] = []
    names = [o.name for o in front.question.objectives]
    for name in [*names, *(n for n in found.drawn if n not in names)]:
        unit = front.question[name].unit
        values, notation = readable(front.trials.metrics[name].astype(np.float64), unit)
        head = name.replace("_", " ") + (f"\n[{pretty(notation)}]" if pretty(notation) else "")
        view.add_column(head, justify="right")
        texts = [f"{value:.4g}" for value in values]
        if name in found.drawn:
            low, high = (_in(ends, notation, unit) for ends in found.spread(name))
            ends = zip(texts, low, high, strict=True)
            texts = [f"{text} ({a:.3g} to {b:.3g})" for text, a, b in ends]
        cells.append(texts)
    for i in order:
        shares = [f"{100 * found.share[i]:.1f}"]
        if (found.allowed < 1).any():
            shares.append(f"{100 * found.allowed[i]:.1f}")
        view.add_row(str(front.numbers[i]), *shares, *(texts[i] for texts in cells))
    view.add_caption(
        f"{draws} draws, seed {seed}; in brackets the 5th and 95th percentile. Drawn: "
        + ", ".join(found.tables)
    )
    return view


def _in(values: FloatArray, notation: str, unit: str) -> FloatArray:
    """Values in another notation of their SI unit, for showing only."""
    return np.asarray(values / 10.0 ** notations(unit).get(notation, 0), dtype=np.float64)
