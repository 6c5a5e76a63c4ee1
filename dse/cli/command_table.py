"""Commands as rows of a table: the module of a command is imported when it is called."""

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from dse.search.interrupts import Stop

if TYPE_CHECKING:
    from dse.study.system import AnySystem


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or with two words as its name one of a group.

    Attributes:
        name: As users type it.
        path: `module:function`; flags, arguments and help are the function's.
        help: First line of the function's docstring, told without importing it.
        example: A call that shows what it is for.
    """

    name: str
    path: str
    help: str
    example: str


@dataclass(frozen=True, slots=True)
class Session:
    """What the commands of a process are told beside their arguments, as `typer.Context.obj`.

    Attributes:
        systems: What the `system` key of a study file chooses from.
        stop: Ends the search when it is set, as by Ctrl-C.
        studies: Folder of the study files that come along.
    """

    systems: Mapping[str, "AnySystem"]
    stop: Stop
    studies: Path | None = None

    def systems_with(self, system_from: str | None) -> Mapping[str, "AnySystem"]:
        """The systems of the session, and that of a file if one is named (`FILE.py:NAME`).

        Raises:
            CompositionError: If the file does not give a system, or gives one of a name that an
                installed package has.
        """
        if system_from is None:
            return self.systems
        from dse.core.errors import CompositionError
        from dse.study.plugins import system_from as load

        system = load(system_from)
        if system.name in self.systems:
            raise CompositionError(
                f"--system-from {system_from}: an installed package has a system {system.name!r} "
                "already; uninstall that package, or give yours another name"
            )
        return {system.name: system}

    def systems_of_run(self, folder: Path, system_from: str | None) -> Mapping[str, "AnySystem"]:
        """The systems with which a run's study can be read again.

        Args:
            folder: Of the run.
            system_from: As given now; code is never run because a run folder names it.

        Raises:
            DseError: If the run's system came from a file and none is named now.
        """
        from dse.core.errors import DseError
        from dse.runs.manifest import began_in_python, read_manifest

        manifest = read_manifest(folder)
        if began_in_python(manifest):
            raise DseError(
                f"{folder} was begun in Python: call dse.minimize again with the same problem and "
                "out, and a larger budget for more trials"
            )
        if manifest["state"] == "imported":
            raise DseError(
                f"{folder} holds imported measurements: no system made them, so none can go on "
                "with them or price them again"
            )
        before = manifest.get("system_from", "")
        if before and system_from is None:
            raise DseError(
                f"{folder} was begun with a system of a file: add --system-from {before}"
            )
        return self.systems_with(system_from)


def add_commands(app: typer.Typer, commands: Sequence[Command], groups: Mapping[str, str]) -> None:
    """Add commands to an app; nothing of them is imported.

    Args:
        app: Takes them in their order, groups last.
        commands: Rows.
        groups: First word of a command of two words -> help of the group.
    """
    made = {name: typer.Typer(help=help_, no_args_is_help=True) for name, help_ in groups.items()}
    for command in commands:
        group, _, word = command.name.rpartition(" ")
        place = made[group] if group else app
        place.command(word, help=command.help, cls=_called_later(command))(_nothing)
    for name, group_app in made.items():
        if group_app.registered_commands:
            app.add_typer(group_app, name=name)


def loaded(command: Command) -> TyperCommand:
    """A command with its own flags, arguments and help; imports its module."""
    app = typer.Typer(add_completion=False)
    app.command(epilog=f"Example: {command.example}")(pkgutil.resolve_name(command.path))
    found = typer.main.get_command(app)
    assert isinstance(found, TyperCommand)  # an app of one command and no callback
    return found


def _nothing() -> None:
    """Stands for a command until it is called."""


def _called_later(command: Command) -> type[TyperCommand]:
    class Later(TyperCommand):
        """Shows its line of help; replaced by the command itself as soon as it is called."""

        def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (typer's)
            return loaded(command).make_context(*args, **kwargs)

    return Later
