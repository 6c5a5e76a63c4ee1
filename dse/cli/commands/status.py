"""`dse status` and `dse top`: how far a run is."""

import json
import sys
import time
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dse.cli.arguments import RunPath
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
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    else:
        _console().print(_status_table(found))


def top(
    run: RunPath,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
) -> None:
    """Watch a run until it ends; it is not slowed down by it. Ctrl-C ends the watching only."""
    found = run_status(run)
    console = _console()
    if not console.is_terminal:
        console.print(_status_table(found))
        return
    from rich.live import Live  # here and not above: `dse status` shows nothing live

    with Live(_status_table(found), console=console, auto_refresh=False) as live:
        while found.holder is not None:
            time.sleep(every)
            found = run_status(run)
            live.update(_status_table(found), refresh=True)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _status_table(found: RunStatus) -> Table:
    table = Table(
        show_header=False, title=escape(f"{found.study} in {found.folder}"), title_justify="left"
    )
    table.add_column(justify="right", style="bold")
    table.add_column()
    for name, text in found.lines().items():
        table.add_row(name, escape(text))
    return table
