"""The commands that look at runs: `dse status`, `top`, `trials`, `check`, and `dse doctor`."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from dse.cli.environment import parts
from dse.cli.terminal import EXIT_FAILED_TRIALS, notes
from dse.results.checks import check_run
from dse.results.exports import trial_table, trials_csv, trials_json, write_views
from dse.runs.database import DATABASE, read_texts
from dse.runs.lock import holder
from dse.runs.manifest import restore_files
from dse.runs.status import RunStatus, run_status
from dse.runs.store import read_run

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status", epilog="Example: dse status runs/demo")(status)
    app.command("top", epilog="Example: dse top runs/demo")(top)
    app.add_typer(trials_commands(), name="trials")
    app.command("check", epilog="Example: dse check runs/demo")(check)
    app.command("doctor", epilog="Example: dse doctor")(doctor)


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


def trials_commands() -> typer.Typer:
    """`dse trials`: the trials of a run."""
    app = typer.Typer(help="The trials of a run.", no_args_is_help=True)

    @app.command("list", epilog="Example: dse trials list runs/demo --format csv > trials.csv")
    def list_trials(
        run: RunPath,
        format_: Annotated[
            Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")
        ] = "table",
        rows: Annotated[int, typer.Option(help="Most rows of a table, the newest.", min=1)] = 25,
    ) -> None:
        """Print trials: a table for people, CSV or JSON in SI units for programs."""
        read = read_run(run)
        if format_ == "csv":
            sys.stdout.write(trials_csv(read.question, read.trials))
        elif format_ == "json":
            sys.stdout.write(trials_json(read.question, read.trials) + "\n")
        else:
            _console().print(trial_table(read.question, read.trials, rows))

    return app


def check(
    run: RunPath,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make front.json, trial files, torn texts again first."),
    ] = False,
) -> None:
    """Verify everything that must hold of a run; says what is wrong."""
    if rebuild:
        write_views(read_run(run))
        if holder(run) is None:  # who works on it keeps them up to date
            restore_files(run, read_texts(run / DATABASE).found)
    findings = check_run(run)
    for finding in findings:
        typer.echo(f"{'FAIL' if finding.wrong else 'ok  '}  {finding.name}")
        if finding.wrong:
            typer.echo(f"      {finding.wrong}")
    wrong = sum(bool(finding.wrong) for finding in findings)
    if wrong:
        notes.print(f"{wrong} of {len(findings)} checks failed", markup=False)
        raise typer.Exit(EXIT_FAILED_TRIALS)


def doctor() -> None:
    """Say what this machine and this installation can do, and what each missing part disables."""
    table = Table("part", "here", "what it is for")
    for part in parts():
        table.add_row(part.name, escape(part.here), escape(part.purpose))
    _console().print(table)
