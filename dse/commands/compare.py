"""The command that puts runs beside each other: `dse compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from dse.compare import Compared, compared
from dse.store import canonical_json, read_run

RunPaths = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more run folders.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog="Example: dse compare runs/nsga2 runs/grey")(compare)


def compare(
    runs: RunPaths,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
) -> None:
    """Compare the fronts of runs that ask the same: hypervolume, coverage, what is new."""
    rows = compared([read_run(run) for run in runs])
    if format_ == "json":
        typer.echo(canonical_json([_plain(row) for row in rows]))
        return
    table = Table("run", "trials", "front", "hypervolume", "kept", "new", "covers of the others")
    for row in rows:
        covered = "-" if row.covered != row.covered else f"{row.covered:.1%}"
        counts = str(row.trials), str(row.front), f"{row.hypervolume:.4f}"
        table.add_row(row.name, *counts, str(row.kept), str(row.new), covered)
    Console(highlight=False).print(table)


def _plain(row: Compared) -> dict[str, object]:
    """NaN has no place in JSON."""
    fields = asdict(row)
    return fields | {"covered": None if row.covered != row.covered else row.covered}
