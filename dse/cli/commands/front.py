"""`dse front` and `dse plot`: the non-dominated designs of a run, printed and drawn."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dse.cli.arguments import RunPath
from dse.cli.terminal import EXIT_NOTHING_FEASIBLE, print_data, table_console
from dse.results.front import Front
from dse.results.table import front_csv, front_table
from dse.runs.store import read_run


def show_front(
    run: RunPath,
    format_: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
    rows: Annotated[int, typer.Option(help="Most rows of a table.", min=2)] = 25,
    columns: Annotated[
        str,
        typer.Option(metavar="NAME,NAME", help="Shown first where a table has no room for all."),
    ] = "",
) -> None:
    """Print the front of a run: a table for people, CSV or JSON in SI units for programs."""
    front = Front.of_run(read_run(run))
    if format_ == "json":
        print_data(front.to_json() + "\n")
    elif format_ == "csv":
        print_data(front_csv(front))
    else:
        console = table_console(280)
        first = [name.strip() for name in columns.split(",") if name.strip()]
        console.print(front_table(front, rows, width=console.width, columns=first))
    if not len(front):
        raise typer.Exit(EXIT_NOTHING_FEASIBLE)


def plot(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; default: RUN/plots.")
    ] = None,
) -> None:
    """Draw a run: front.html (interactive, self-contained), front.png, and their data as CSV."""
    from dse.plots.files import write_plots

    for path in write_plots(read_run(run), out or run / "plots"):
        typer.echo(path)
