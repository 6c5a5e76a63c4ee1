"""The commands that look at runs: `dse trials list`, `dse check`."""

from typing import Annotated, Literal

import typer

from dse.accuracy.cache import cache_root
from dse.cli.arguments import RunPath
from dse.cli.terminal import EXIT_FAILED_TRIALS, print_data, print_line, say, table_console
from dse.results.checks import check_run
from dse.results.exports import trial_table, trials_csv, trials_json, write_views
from dse.runs.database import DATABASE, read_texts
from dse.runs.differences import accepted_lines
from dse.runs.lock import holder
from dse.runs.manifest import restore_files
from dse.runs.store import read_run


def list_trials(
    run: RunPath,
    format_: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")
    ] = "table",
    rows: Annotated[int, typer.Option(help="Most rows of a table, the newest.", min=1)] = 25,
) -> None:
    """Print trials: a table for people, CSV or JSON in SI units for programs."""
    read = read_run(run)
    for line in accepted_lines(read.manifest):
        say(line)
    if format_ == "csv":
        print_data(trials_csv(read.question, read.trials))
    elif format_ == "json":
        print_data(trials_json(read.question, read.trials) + "\n")
    else:
        console = table_console()
        console.print(trial_table(read.question, read.trials, rows))


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
    findings = check_run(run, cache_root())
    for finding in findings:
        print_line(f"{'FAIL' if finding.wrong else 'ok  '}  {finding.name}")
        if finding.wrong:
            print_line(f"      {finding.wrong}")
        for line in finding.notes:
            print_line(f"      note: {line}")
    wrong = sum(bool(finding.wrong) for finding in findings)
    if wrong:
        say(f"{wrong} of {len(findings)} checks failed")
        raise typer.Exit(EXIT_FAILED_TRIALS)
