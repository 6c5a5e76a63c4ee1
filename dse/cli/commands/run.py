"""`dse run` and `dse resume`: from a study file to a run folder, or on with one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dse.cli.arguments import (
    Address,
    Executor,
    MaxWall,
    RunPath,
    Setting,
    StudyPath,
    SystemFrom,
    Workers,
)
from dse.cli.command_table import Session
from dse.cli.commands.validate import loaded_study
from dse.cli.terminal import EXIT_FAILED_TRIALS, EXIT_NOTHING_FEASIBLE, Bars, say
from dse.core.errors import DseError
from dse.runs.failures import common_failures_of
from dse.runs.manifest import RESOLVED, read_manifest
from dse.searchers.registry import SEARCHERS
from dse.study import runner
from dse.study.loader import Study, load_study
from dse.study.schema import Wait


def run(  # noqa: PLR0913  (one argument per flag)
    ctx: typer.Context,
    study: StudyPath,
    out: Annotated[Path | None, typer.Option(help="Run folder; must not exist yet.")] = None,
    searcher: Annotated[
        str | None, typer.Option(help=f"search.searcher: {', '.join(SEARCHERS)}.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="search.trials of the study.")] = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
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
    system_from: SystemFrom = None,
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
    session: Session = ctx.obj
    checked = loaded_study(session, study, [*(set_ or []), *_given(flags)], system_from)
    with Bars(checked.file.search.trials) as bars:
        folder = out or _next_folder(checked)
        found = runner.run_study(checked, folder, bars, session.stop, system_from or "")
    _report(found)


def resume(  # noqa: PLR0913  (one argument per flag)
    ctx: typer.Context,
    run: RunPath,
    trials: Annotated[
        str | None, typer.Option(metavar="+N|N", help="So many more, or so many in all.")
    ] = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
    max_wall: MaxWall = None,
    no_plateau: Annotated[
        bool, typer.Option("--no-plateau", help="Do not end at a plateau any more.")
    ] = False,
    system_from: SystemFrom = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Go on although this differs, e.g. code.models; at your own risk, shown in every "
            "view. May be given again.",
        ),
    ] = None,
) -> None:
    """Go on with a run as if it had never stopped; workers may change, the question may not."""
    flags = {
        "execution.workers": workers,
        "execution.executor": executor,
        "execution.address": address,
    }
    session: Session = ctx.obj
    asked = int(read_manifest(run)["trials_asked"])
    systems = session.systems_of_run(run, system_from)

    def load(count: int) -> Study[Any]:
        return load_study(run / RESOLVED, systems, [*_given(flags), f"search.trials={count}"])

    stopping: dict[str, object] = {"plateau": None} if no_plateau else {}
    if max_wall is not None:
        stopping["max_wall_s"] = waited(max_wall).seconds
    with Bars(runner.grown(asked, trials)) as bars:
        found = runner.resume(run, load, trials, bars, session.stop, stopping, accept or ())
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


def _next_folder(study: Study[Any]) -> Path:
    number = 1
    while (folder := Path("runs") / f"{study.file.study}-{number:03d}").exists():
        number += 1
    return folder


def _report(found: runner.EndedRun) -> None:
    s = found.progress
    ending = f"{found.ending}: {found.why}" if found.why else found.ending
    stopped = f" {s.stopped:,} stopped early," if s.stopped else ""
    say(
        f"{s.trials:,} distinct designs in {found.seconds:.1f} s ({ending}): {s.feasible:,} "
        f"feasible, {s.failed:,} failed,{stopped} {len(found.front):,} on the front; "
        f"{s.runs_made} real runs made, {s.runs_reused} reused"
    )
    reasons = common_failures_of(found.folder)
    if reasons:
        say(f"{s.failed:,} failed: " + "; ".join(map(str, reasons)))
    say(f"run folder: {found.folder}   look: dse front {found.folder}")
    if found.ending == "interrupted":
        return
    further = {"wall time": "--max-wall 2h (in all)", "plateau": "--no-plateau"}
    if found.ending in further:
        say(f"to go on all the same: dse resume {found.folder} {further[found.ending]}")
    if s.failed > found.max_failed_share * s.trials:
        say(
            f"{s.failed} of {s.trials} trials failed, more than search.max_failed_share = "
            f"{found.max_failed_share:g}"
        )
        raise typer.Exit(EXIT_FAILED_TRIALS)
    if not s.feasible:
        say("no feasible design was found: loosen a constraint or widen a knob")
        raise typer.Exit(EXIT_NOTHING_FEASIBLE)
