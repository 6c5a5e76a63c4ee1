"""The `dse` command: what users type and what they read."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli.command_table import Command, Session, add_commands
from dse.cli.terminal import guarded
from dse.search.interrupts import Stop

if TYPE_CHECKING:
    from dse.study.system import AnySystem

_HERE = "dse.cli.commands"

COMMANDS = (
    Command(
        "validate",
        f"{_HERE}.validate:validate",
        "Check a study file: every problem at once, nothing is run or written.",
        "dse validate studies/edgebert/sentiment.yaml",
    ),
    Command(
        "run",
        f"{_HERE}.run:run",
        "Search what a study asks; leaves a run folder.",
        "dse run studies/edgebert/sentiment.yaml --trials 2000 --executor ray",
    ),
    Command(
        "resume",
        f"{_HERE}.run:resume",
        "Go on with a run as if it had never stopped; workers may change, the question may not.",
        "dse resume runs/demo --trials +500",
    ),
    Command(
        "status",
        f"{_HERE}.status:status",
        "Say how far a run is and who works on it; an answer at once, however long the run.",
        "dse status runs/demo",
    ),
    Command(
        "top",
        f"{_HERE}.status:top",
        "Watch a run until it ends; it is not slowed down by it. Ctrl-C ends the watching only.",
        "dse top runs/demo",
    ),
    Command(
        "front",
        f"{_HERE}.front:show_front",
        "Print the front of a run: a table for people, CSV or JSON in SI units for programs.",
        "dse front runs/demo --format csv > front.csv",
    ),
    Command(
        "plot",
        f"{_HERE}.front:plot",
        "Draw a run: front.html (interactive, self-contained), front.png, and their data as CSV.",
        "dse plot runs/demo",
    ),
    Command(
        "compare",
        f"{_HERE}.compare:compare",
        "Compare the fronts of runs that ask the same: hypervolume, coverage, what is new.",
        "dse compare runs/nsga2 runs/grey",
    ),
    Command(
        "check",
        f"{_HERE}.runs:check",
        "Verify everything that must hold of a run; says what is wrong.",
        "dse check runs/demo",
    ),
    Command(
        "export",
        f"{_HERE}.lut:export",
        "Write the lookup table of one device: its fixed design and the settings to choose from.",
        "dse export runs/demo --format json",
    ),
    Command(
        "simulate",
        f"{_HERE}.online:simulate",
        "Try policies on a stream of requests: deadlines missed, energy, latency, switches.",
        "dse simulate runs/demo --requests 10000",
    ),
    Command(
        "survive",
        f"{_HERE}.survive:show_survival",
        "Ask which designs of a front survive if the constants of the models are drawn anew.",
        "dse survive runs/demo --draws 500",
    ),
    Command(
        "train",
        f"{_HERE}.accuracy:train",
        "Train a network on a task, or find it trained; accuracy of every exit on both splits.",
        "dse train rt-sentiment --recipe full",
    ),
    Command(
        "replay",
        f"{_HERE}.accuracy:replay",
        "Replay early exit: where sentences leave, and how often they are right.",
        "dse replay entropies.txt --threshold 0.3 --predictor lut.csv --predict-layer 1 "
        "--format json",
    ),
    Command(
        "predictor",
        f"{_HERE}.accuracy:predictor",
        "Learn an exit table: entropies of the later layers out of that of an early one.",
        "dse predictor HANDLE --predict-layer 1 --out lut.csv",
    ),
    Command(
        "new system",
        f"{_HERE}.new:new_system",
        "Write a small package: a system, a study, a README, and a test that runs the study.",
        "dse new system my_chip",
    ),
    Command(
        "doctor",
        f"{_HERE}.doctor:doctor",
        "Say what this machine and this installation can do, and what each missing part disables.",
        "dse doctor",
    ),
    Command(
        "trials list",
        f"{_HERE}.runs:list_trials",
        "Print trials: a table for people, CSV or JSON in SI units for programs.",
        "dse trials list runs/demo --format csv > trials.csv",
    ),
    Command(
        "trials import",
        f"{_HERE}.trials_import:trials_import",
        "Make a run of measured trials: front, plot, export and simulate then work on it.",
        "dse trials import trials.csv --out runs/measured",
    ),
    Command(
        "data list",
        f"{_HERE}.accuracy:list_data",
        "Tasks with their source, licence and whether they are here.",
        "dse data list",
    ),
    Command(
        "data fetch",
        f"{_HERE}.accuracy:fetch_data",
        "Bring a task into the user's cache; afterwards it works offline.",
        "dse data fetch rt-sentiment",
    ),
    Command(
        "lut verify",
        f"{_HERE}.lut:verify",
        "Check everything about a table file; exit code 5 and the fault if it is not to be "
        "trusted.",
        "dse lut verify runs/demo/tables/lut.bin",
    ),
    Command(
        "lut show",
        f"{_HERE}.lut:show",
        "Print a table with its units, its evidence and its default row; exit code as `verify`.",
        "dse lut show runs/demo/tables/lut.json",
    ),
    Command(
        "lut diff",
        f"{_HERE}.lut:diff",
        "Print where two tables differ, whatever their forms; exit code 3 if they do.",
        "dse lut diff old.json runs/demo/tables/lut.bin",
    ),
)
"""Commands of the engine."""

GROUPS = {
    "new": "Begin something of your own.",
    "trials": "The trials of a run.",
    "data": "Labelled tasks: list them, bring them once.",
    "lut": "Look at lookup tables and check them.",
    "workload": "Networks as tables of layers.",
}
"""First word of commands of two words -> what they are about."""


def command_line(
    systems: Mapping[str, "AnySystem"],
    more: Sequence[Command] = (),
    stop: Stop | None = None,
    studies: Path | None = None,
) -> typer.Typer:
    """The command, knowing the systems that a study file can name.

    Args:
        systems: Name -> system; may import a system when it is asked for it.
        more: Commands beyond those of the engine.
        stop: Ends the search when it is set, as by Ctrl-C.
        studies: Folder of the study files that come along.
    """
    app = typer.Typer(
        name="dse",
        help="Co-design of edge hardware, network and runtime in one multi-objective search.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"obj": Session(systems, stop or Stop(), studies)},
    )
    app.callback()(_options)
    add_commands(app, (*COMMANDS, *more), GROUPS)
    return app


def main(
    systems: Mapping[str, "AnySystem"], more: Sequence[Command] = (), studies: Path | None = None
) -> int:
    """Run the command line; the exit code says how it ended (see docs/cli.md)."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    stop = Stop()
    app = command_line(systems, more, stop, studies)
    return guarded(lambda: app(args=arguments, prog_name="dse"), debug=debug, stop=stop)


def _say_version(asked: bool) -> None:
    if asked:
        from dse.runs.identity import source_digest, versions

        typer.echo(f"edge-dse {versions().get('edge-dse', '?')}, source {source_digest()[:16]}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    """Options that stand before a command."""
