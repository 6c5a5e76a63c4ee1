"""`dse status` and `dse top`: how far a run is."""

import json
import time
from typing import Annotated, Literal

import typer

from dse.cli.arguments import RunPath
from dse.cli.terminal import print_data, table_console
from dse.results.text_table import TextTable
from dse.runs.status import RunStatus, run_status


def status(
    run: RunPath,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
) -> None:
    """Say how far a run is and who works on it; an answer at once, however long the run."""
    found = run_status(run)
    if format_ == "json":
        print_data(json.dumps(found.as_json(), indent=2) + "\n")
    else:
        table_console().print(_status_table(found))


def top(
    run: RunPath,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
) -> None:
    """Watch a run until it ends; it is not slowed down by it. Ctrl-C ends the watching only."""
    found = run_status(run)
    console = table_console()
    if not console.is_terminal:
        console.print(_status_table(found))
        return
    from rich.live import Live  # here and not above: `dse status` shows nothing live

    with Live(_status_table(found), console=console, auto_refresh=False) as live:
        while found.holder is not None:
            time.sleep(every)
            found = run_status(run)
            live.update(_status_table(found), refresh=True)


def _status_table(found: RunStatus) -> TextTable:
    table = TextTable(title=f"{found.study} in {found.folder}", left=True, headless=True)
    table.add_column(justify="right", style="bold")
    table.add_column()
    for name, text in found.lines().items():
        table.add_row(name, text)
    return table
