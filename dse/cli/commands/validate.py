"""`dse validate`, and how the commands that take a study file load it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from dse.cli.arguments import Setting, StudyPath, SystemFrom
from dse.cli.command_table import Session
from dse.cli.terminal import EXIT_USAGE, say
from dse.core.errors import StudyError
from dse.study.loader import Study, load_study
from dse.study.preflight import shortages


def validate(
    ctx: typer.Context, study: StudyPath, set_: Setting = None, system_from: SystemFrom = None
) -> None:
    """Check a study file: every problem at once, nothing is run or written.

    What it needs and this machine lacks is said as well: library, task, network, room.
    """
    checked = loaded_study(ctx.obj, study, set_ or [], system_from)
    size = checked.space.size
    count = f"{size:,} designs" if size is not None else "a continuous space"
    say(f"{study}: no problems; {count}, {checked.file.search.trials:,} trials")
    missing = shortages(checked)
    for line in missing:
        say(line)
    if missing:
        raise typer.Exit(EXIT_USAGE)


def loaded_study(
    session: Session, path: Path, overrides: Sequence[str], system_from: str | None = None
) -> Study[Any]:
    """The study of a file, checked.

    Raises:
        StudyError: With every problem found; with the studies that come along if there is no file.
    """
    if session.studies is not None and not path.exists():
        files = sorted(session.studies.rglob("*.yaml"))
        names = ", ".join(file.relative_to(session.studies).as_posix() for file in files)
        said = f"{path}: does not exist; studies that come along, in {session.studies}: {names}"
        raise StudyError((said,))
    return load_study(path, session.systems_with(system_from), overrides)
