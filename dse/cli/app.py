"""The `dse` command: what users type and what they read."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

import dse.cli.commands.runs
from dse.cli.terminal import EXIT_FAILED_TRIALS, EXIT_NOTHING_FEASIBLE, Bars, guarded, notes
from dse.core.errors import DseError
from dse.results.front import Front
from dse.results.table import front_csv, front_table
from dse.runs.manifest import RESOLVED, read_manifest
from dse.runs.store import Run, read_run
from dse.search.interrupts import Stop
from dse.study.loader import Study, load_study
from dse.study.runner import EndedRun, grown, resume, run_study
from dse.study.schema import System, Wait

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file (YAML).")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override any key, e.g. search.seed=3."),
]
MaxWall = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="search.max_wall, over all sessions: 90s, 30min or 2h."),
]


def command_line(
    systems: Mapping[str, System],
    more: Sequence[Callable[[typer.Typer], None]],
    stop: Stop | None = None,
) -> typer.Typer:
    """The command, knowing the systems that a study file can name; `more` add their commands.

    `stop` is told when somebody wants a search to end.
    """
    stop = stop or Stop()
    app = typer.Typer(
        name="dse",
        help="Co-design of edge hardware, network and runtime in one multi-objective search.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    _add_study_commands(app, systems, stop)
    _add_resume(app, systems, stop)
    dse.cli.commands.runs.add_to(app)
    app.command("front", epilog="Example: dse front runs/demo --format csv > front.csv")(show_front)
    app.command("plot", epilog="Example: dse plot runs/demo")(plot)
    for add_to in more:
        add_to(app)
    return app


def main(systems: Mapping[str, System], more: Sequence[Callable[[typer.Typer], None]]) -> int:
    """Run the command line; the exit code says how it ended (see docs/cli.md)."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    stop = Stop()
    app = command_line(systems, more, stop)
    return guarded(lambda: app(args=arguments, prog_name="dse"), debug=debug, stop=stop)


def _add_study_commands(app: typer.Typer, systems: Mapping[str, System], stop: Stop) -> None:
    @app.command(epilog="Example: dse validate studies/edgebert/sentiment.yaml")
    def validate(study: StudyPath, set_: Setting = None) -> None:
        """Check a study file: every problem at once, nothing is run or written."""
        checked = load_study(study, systems, set_ or [])
        size = checked.space.size
        count = f"{size:,} designs" if size is not None else "a continuous space"
        notes.print(
            f"{study}: no problems; {count}, {checked.file.search.trials:,} trials", markup=False
        )

    @app.command(
        epilog="Example: dse run studies/edgebert/sentiment.yaml --trials 2000 --executor ray"
    )
    def run(  # noqa: PLR0913  (one argument per flag)
        study: StudyPath,
        out: Annotated[Path | None, typer.Option(help="Run folder; must not exist yet.")] = None,
        searcher: Annotated[str | None, typer.Option(help="search.searcher of the study.")] = None,
        trials: Annotated[int | None, typer.Option(help="search.trials of the study.")] = None,
        workers: Annotated[int | None, typer.Option(help="execution.workers.")] = None,
        executor: Annotated[
            str | None, typer.Option(help="execution.executor: serial, pool or ray.")
        ] = None,
        address: Annotated[
            str | None, typer.Option(help="execution.address of a Ray cluster.")
        ] = None,
        max_wall: MaxWall = None,
        warm_start: Annotated[
            str | None,
            typer.Option(
                metavar="RUN|TABLE",
                help="search.warm_start.path: designs to try first, of a run or of a CSV, Parquet "
                "or JSONL file.",
            ),
        ] = None,
        set_: Setting = None,
    ) -> None:
        """Search what a study asks; leaves a run folder."""
        flags = {
            "search.searcher": searcher,
            "search.trials": trials,
            "search.max_wall": _wall(max_wall),
            "search.warm_start.path": warm_start,
            "execution.workers": workers,
            "execution.executor": executor,
            "execution.address": address,
        }
        checked = load_study(study, systems, [*(set_ or []), *_given(flags)])
        with Bars(checked.file.search.trials) as bars:
            found = run_study(checked, out or _next_folder(checked), bars, stop)
        _report(found)


def _add_resume(app: typer.Typer, systems: Mapping[str, System], stop: Stop) -> None:
    @app.command("resume", epilog="Example: dse resume runs/demo --trials +500")
    def resume_run(  # noqa: PLR0913  (one argument per flag)
        run: RunPath,
        trials: Annotated[
            str | None, typer.Option(metavar="+N|N", help="So many more, or so many in all.")
        ] = None,
        workers: Annotated[int | None, typer.Option(help="execution.workers.")] = None,
        executor: Annotated[
            str | None, typer.Option(help="execution.executor: serial, pool or ray.")
        ] = None,
        address: Annotated[
            str | None, typer.Option(help="execution.address of a Ray cluster.")
        ] = None,
        max_wall: MaxWall = None,
        no_plateau: Annotated[
            bool, typer.Option("--no-plateau", help="Do not end at a plateau any more.")
        ] = False,
    ) -> None:
        """Go on with a run as if it had never stopped; workers may change, the question may not."""
        flags = {
            "execution.workers": workers,
            "execution.executor": executor,
            "execution.address": address,
        }
        asked = int(read_manifest(run)["trials_asked"])

        def load(count: int) -> Study:
            return load_study(run / RESOLVED, systems, [*_given(flags), f"search.trials={count}"])

        stopping: dict[str, object] = {"plateau": None} if no_plateau else {}
        if max_wall is not None:
            stopping["max_wall_s"] = waited(max_wall).seconds
        with Bars(grown(asked, trials)) as bars:
            found = resume(run, load, trials, bars, stop, stopping)
        _report(found)


def _given(flags: Mapping[str, object]) -> list[str]:
    """Flags as overrides of the study file."""
    return [f"{key}={value}" for key, value in flags.items() if value is not None]


def _wall(text: str | None) -> str | None:
    """A time as an override of the study file."""
    if text is None:
        return None
    wall = waited(text)
    return f"{{value: {wall.value}, unit: {wall.unit}}}"


def waited(text: str) -> Wait:
    """A time as a flag gives it: number and unit, as in `30min`.

    Raises:
        DseError: If it is none.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return Wait(value=float(number), unit=text[len(number) :])  # type: ignore[arg-type]
    except ValueError as error:
        raise DseError(
            f"--max-wall {text}: write a number above 0 and s, min or h, as in 30min"
        ) from error


def _next_folder(study: Study) -> Path:
    number = 1
    while (folder := Path("runs") / f"{study.file.study}-{number:03d}").exists():
        number += 1
    return folder


def _report(found: EndedRun) -> None:
    s = found.progress
    ending = f"{found.ending}: {found.why}" if found.why else found.ending
    stopped = f" {s.stopped:,} stopped early," if s.stopped else ""
    notes.print(
        f"{s.trials:,} distinct designs in {found.seconds:.1f} s ({ending}): {s.feasible:,} "
        f"feasible, {s.failed:,} failed,{stopped} {len(found.front):,} on the front; "
        f"{s.runs_made} real runs made, {s.runs_reused} reused",
        markup=False,
    )
    notes.print(f"run folder: {found.folder}   look: dse front {found.folder}", markup=False)
    if found.ending == "interrupted":
        return
    further = {"wall time": "--max-wall 2h (in all)", "plateau": "--no-plateau"}
    if found.ending in further:
        notes.print(
            f"to go on all the same: dse resume {found.folder} {further[found.ending]}",
            markup=False,
        )
    if s.failed > found.max_failed_share * s.trials:
        notes.print(
            f"{s.failed} of {s.trials} trials failed, more than search.max_failed_share = "
            f"{found.max_failed_share:g}",
            markup=False,
        )
        raise typer.Exit(EXIT_FAILED_TRIALS)
    if not s.feasible:
        notes.print("no feasible design was found: loosen a constraint or widen a knob")
        raise typer.Exit(EXIT_NOTHING_FEASIBLE)


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
    front = _front(read_run(run))
    if format_ == "json":
        sys.stdout.write(front.to_json() + "\n")
    elif format_ == "csv":
        sys.stdout.write(front_csv(front))
    else:
        console = Console(width=None if sys.stdout.isatty() else 280, highlight=False)
        first = [name.strip() for name in columns.split(",") if name.strip()]
        console.print(front_table(front, rows, width=console.width, columns=first))
    if not len(front):
        raise typer.Exit(EXIT_NOTHING_FEASIBLE)


def _front(run: Run) -> Front:
    return Front.of_run(run)


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
