"""Systems of installed packages, found through their entry points, and systems of a user's file."""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dse.core.errors import CompositionError, DseError

if TYPE_CHECKING:
    from dse.study.system import AnySystem

GROUP = "edge_dse.systems"
"""Entry points of this group name a `System` each."""


class InstalledSystems(Mapping[str, "AnySystem"]):
    """Name -> system of every installed package; a system is imported when it is asked for.

    Args:
        found: Entry points; None: those of the group `edge_dse.systems`.
    """

    def __init__(self, found: tuple[EntryPoint, ...] | None = None) -> None:
        self._points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=GROUP) if found is None else found:
            self._points.setdefault(point.name, []).append(point)

    def __getitem__(self, name: str) -> "AnySystem":
        """The system of a name.

        Raises:
            KeyError: If no package offers one.
            CompositionError: If two packages do, or the one that does cannot be imported or does
                not give a system of this name.
        """
        point, *others = self._points[name]
        for other in others:
            if other.value != point.value:
                raise CompositionError(
                    f"two packages offer a system {name!r}: {_giver(point)} and {_giver(other)}; "
                    "uninstall one of them"
                )
        # Here and below and not above: the list of systems alone needs no numerical library.
        from dse.core.failure import one_line

        try:
            found = point.load()
        except Exception as error:  # whatever the package's own code raises
            raise CompositionError(
                f"the system {name!r} of {_giver(point)} cannot be imported: {one_line(error)}"
            ) from error
        return _system(found, name, f"{point.value} of {_giver(point)}")

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)


def _giver(point: EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else point.value


def system_from(text: str) -> "AnySystem":
    """The system that a file defines.

    Args:
        text: `FILE.py:NAME`, NAME being that of a variable of the file.

    Raises:
        CompositionError: If the text is of another form, the file cannot be imported, or the
            variable is missing or no `dse.System`.
    """
    from dse.study.system import System
    from dse.workers.transport import import_file

    path, colon, name = text.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise CompositionError(
            f"--system-from {text}: write FILE.py:NAME, NAME being a variable of the file that "
            "holds a dse.System"
        )
    module = import_file(Path(path))
    if name not in vars(module):
        there = [key for key, value in vars(module).items() if type(value) is System]
        raise CompositionError(
            f"--system-from {text}: {path} has no variable {name!r}; systems there: "
            f"{', '.join(there) or 'none'}"
        )
    return _system(vars(module)[name], None, f"{name} of {path}")


def systems_with(system: "AnySystem | None") -> "Mapping[str, AnySystem]":
    """The systems of every installed package, or the given system alone."""
    return InstalledSystems() if system is None else {system.name: system}


def systems_of(
    manifest: Mapping[str, Any], system: "AnySystem | None" = None
) -> "Mapping[str, AnySystem]":
    """The systems with which the study of a run can be read again.

    Args:
        manifest: Of the run.
        system: Of the run, where no installed package offers it.

    Raises:
        DseError: If the run was begun by dse.minimize and no system is given.
    """
    from dse.runs.manifest import PYTHON

    asked = manifest.get("identified_by", {}).get("study", {}).get("system")
    if system is None and asked == PYTHON:
        raise DseError(
            "the run was begun by dse.minimize and has no system, which would say what its metrics "
            "consist of and which of its constants are uncertain; a run of a study file "
            "(dse.run_study) has one"
        )
    return systems_with(system)


def absolute(text: str) -> str:
    """`FILE.py:NAME` with the whole path of the file, as a manifest keeps it."""
    path, _, name = text.rpartition(":")
    return f"{Path(path).expanduser().resolve()}:{name}"


def _system(found: object, name: str | None, where: str) -> "AnySystem":
    """What a package or a file offers, as long as it is a system."""
    from dse.study.system import System

    if not isinstance(found, System):
        raise CompositionError(f"{where} is a {type(found).__name__}; a dse.System is wanted")
    if name is not None and found.name != name:
        raise CompositionError(
            f"{where} calls itself {found.name!r}; its entry point calls it {name!r}"
        )
    return found
