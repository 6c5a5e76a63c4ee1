"""The command that puts runs beside each other: `dse compare`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from dse.cli.terminal import notes
from dse.core.files import canonical_json
from dse.results.compare import ATTAINED_BY, Attained, Compared, attained, compared
from dse.runs.differences import accepted_lines
from dse.runs.store import read_run

RunPaths = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more run folders.")]


def compare(
    runs: RunPaths,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw what the runs attain.")
    ] = None,
) -> None:
    """Compare the fronts of runs that ask the same: hypervolume, coverage, what is new.

    Runs that differ in their seed alone are also taken together: what any, half and all of them
    attain.
    """
    read = [read_run(run) for run in runs]
    rows, groups = compared(read), attained(read)
    if plot is not None:
        from dse.plots.attainment import attainment_figure
        from dse.plots.static import write_png

        write_png(attainment_figure(read), plot)
    if format_ == "json":
        together = [_group(group) for group in groups]
        typer.echo(canonical_json({"runs": [_plain(row) for row in rows], "seeds": together}))
        return
    table = Table("run", "trials", "front", "hypervolume", "kept", "new", "covers of the others")
    for row in rows:
        covered = "-" if row.covered != row.covered else f"{row.covered:.1%}"
        counts = str(row.trials), str(row.front), f"{row.hypervolume:.4f}"
        table.add_row(row.name, *counts, str(row.kept), str(row.new), covered)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    if groups:
        console.print(_attained_table(groups))
    for run in read:
        for line in accepted_lines(run.manifest):
            notes.print(f"{run.folder}: {line}", markup=False)


def _attained_table(groups: Sequence[Attained]) -> Table:
    headings = [f"by {who}" for who in ATTAINED_BY]
    table = Table("search", "runs", *headings, title="hypervolume attained over seeds")
    for group in groups:
        volumes = [f"{volume:.4f}" for volume in group.hypervolumes]
        table.add_row(group.name, str(len(group.runs)), *volumes)
    return table


def _group(group: Attained) -> dict[str, object]:
    volumes = dict(zip(ATTAINED_BY, group.hypervolumes, strict=True))
    return {"search": group.name, "runs": list(group.runs), "hypervolume": volumes}


def _plain(row: Compared) -> dict[str, object]:
    """NaN has no place in JSON."""
    fields = asdict(row)
    return fields | {"covered": None if row.covered != row.covered else row.covered}
