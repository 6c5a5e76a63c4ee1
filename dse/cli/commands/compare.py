"""The command that puts runs beside each other: `dse compare`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from dse.cli.terminal import print_data, say, table_console
from dse.core.files import canonical_json
from dse.results.compare import ATTAINED_BY, Attained, Compared, attained, compared
from dse.results.text_table import TextTable
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
        content = {"runs": [_plain(row) for row in rows], "seeds": together}
        print_data(canonical_json(content) + "\n")
        return
    table = TextTable(
        "run", "trials", "front", "hypervolume", "kept", "new", "covers of the others"
    )
    for row in rows:
        covered = "-" if row.covered != row.covered else f"{row.covered:.1%}"
        counts = str(row.trials), str(row.front), f"{row.hypervolume:.4f}"
        table.add_row(row.name, *counts, str(row.kept), str(row.new), covered)
    console = table_console(160)
    console.print(table)
    if groups:
        console.print(_attained_table(groups))
    for run in read:
        for line in accepted_lines(run.manifest):
            say(f"{run.folder}: {line}")


def _attained_table(groups: Sequence[Attained]) -> TextTable:
    headings = [f"by {who}" for who in ATTAINED_BY]
    table = TextTable("search", "runs", *headings, title="hypervolume attained over seeds")
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
