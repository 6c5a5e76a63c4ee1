"""`dse trials import`: measurements of a device become a run."""

from pathlib import Path
from typing import Annotated

import typer

from dse.cli.terminal import say
from dse.core.errors import DseError
from dse.online.trials.evaluator import MeasuredTrials, suspicions
from dse.online.trials.store import import_trials
from dse.online.trials.table_file import read_layout, read_trials
from dse.results.exports import write_views
from dse.runs.store import read_run

_SHOWN = 20


def trials_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Measured trials: .csv or .parquet.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder; must not exist yet.")],
    layout: Annotated[
        Path | None,
        typer.Option(help="Which column is what (TOML); default: the schema of docs/online.md."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="HEADER=TEXT", help="Take only these rows, e.g. network=vgg16."),
    ] = None,
    quantile: Annotated[
        float, typer.Option(help="Of repeated runs, on the bad side; 0.5: medians.")
    ] = 0.5,
) -> None:
    """Make a run of measured trials: front, plot, export and simulate then work on it.

    Every single measurement is kept beside the estimates. Rows that look wrong are reported and
    kept.
    """
    read = read_layout(layout)
    trials = MeasuredTrials.of(read_trials(file, read, pairs(where or [])), read.objectives)
    found = suspicions(trials, read)
    for suspicion in found[:_SHOWN]:
        lines = ", ".join(map(str, suspicion.lines))
        say(f"suspicious: {file.name}: {lines}: {suspicion.what}")
    if len(found) > _SHOWN:
        say(f"... and {len(found) - _SHOWN} more suspicions")
    import_trials(trials, read, out, quantile=quantile)
    front = write_views(read_run(out))
    say(
        f"{len(trials):,} runs of {int(trials.group.max()) + 1:,} designs, {len(front):,} on the "
        f"front; {len(found):,} suspicions"
    )
    typer.echo(out)


def pairs(texts: list[str]) -> dict[str, str]:
    """What `--where` says: header -> text.

    Raises:
        DseError: If one has no equals sign.
    """
    found = {}
    for text in texts:
        header, equals, value = text.partition("=")
        if not equals:
            raise DseError(f"--where {text}: write --where header=text")
        found[header] = value
    return found
