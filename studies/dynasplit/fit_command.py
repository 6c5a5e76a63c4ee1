"""`dse trials fit`: board, link and node of a split network, fitted to measurements.

What is printed are the coefficients of `hw_models.fit`, how far each fitted quantity is from the
trials, and, before all of it, the coefficients that the trials cannot be trusted on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dse.cli.commands.trials_import import pairs
from dse.cli.terminal import print_data, say, table_console
from dse.core.errors import DseError
from dse.online.trials.evaluator import MeasuredTrials
from dse.online.trials.table_file import read_layout, read_trials
from dse.results.text_table import TextTable
from hw_models import SplitFit, fit_split
from hw_models.cloud import GPU


def show_fit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Measured trials: .csv or .parquet.")
    ],
    layout: Annotated[
        Path | None,
        typer.Option(help="Which column is what (TOML); default: the schema of docs/online.md."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="HEADER=TEXT", help="Take only these rows, e.g. network=vgg16."),
    ] = None,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
) -> None:
    """Fit board, link and cloud to measured trials; coefficients not to be trusted come first."""
    read = read_layout(layout)
    trials = MeasuredTrials.of(read_trials(file, read, pairs(where or [])), read.objectives)
    try:
        fit = fit_split(trials.columns())
    except ValueError as error:
        raise DseError(f"{file.name}: {error}") from error
    for text in fit.suspect:
        say(f"suspect: {file.name}: {text}: too few clocks or too much scatter")
    rows = list(coefficients(fit))
    if format_ == "json":
        residuals = {
            name: {"largest": r.largest, "rms": r.rms, "trials": r.trials}
            for name, r in fit.residuals.items()
        }
        known = [{"what": what, "value": value, "unit": unit} for what, value, unit in rows]
        found = {"suspect": list(fit.suspect), "coefficients": known, "residuals": residuals}
        print_data(json.dumps(found, indent=1) + "\n")
        return
    console = table_console(160)
    console.print(_table(rows))
    console.print(_residuals(fit))


def coefficients(fit: SplitFit) -> Iterator[tuple[str, float, str]]:
    """Name, value and SI unit of everything that a fit found.

    Args:
        fit: Of trials.
    """
    edge, link, cloud = fit.model.edge, fit.model.link, fit.model.cloud
    for i, mode in enumerate(edge.modes):
        yield f"static power, {mode}", float(edge.static[i]), "W"
        yield f"cubic power, {mode}", float(edge.cubic[i]), "W/Hz^3"
        for layer in np.flatnonzero(~np.isnan(edge.cycles[i])).tolist():
            yield f"cycles of {layer} layers, {mode}", float(edge.cycles[i, layer]), "cycle"
            yield f"fixed time of {layer} layers, {mode}", float(edge.fixed[i, layer]), "s"
    yield "waiting power", edge.waiting, "W"
    yield "fixed time of a transfer", link.fixed, "s"
    yield "goodput", fit.goodput, "bit/s"
    for i, switch in enumerate(GPU):
        yield f"node power, GPU {switch}", float(cloud.power[i]), "W"
        for layer in np.flatnonzero(~np.isnan(cloud.tail[i])).tolist():
            yield f"time after {layer} layers, GPU {switch}", float(cloud.tail[i, layer]), "s"


def _table(rows: list[tuple[str, float, str]]) -> TextTable:
    view = TextTable(
        "coefficient", title="fitted to the trials; agreement with them validates nothing"
    )
    view.add_column("value", justify="right")
    view.add_column("unit")
    for what, value, unit in rows:
        view.add_row(what, f"{value:.6g}", unit)
    return view


def _residuals(fit: SplitFit) -> TextTable:
    view = TextTable("quantity", title="distance from the trials, over the mean measured")
    for head in ("largest\n%", "rms\n%", "trials"):
        view.add_column(head, justify="right")
    for name, residual in fit.residuals.items():
        shares = f"{100 * residual.largest:.1f}", f"{100 * residual.rms:.2f}"
        view.add_row(name, *shares, str(residual.trials))
    return view
