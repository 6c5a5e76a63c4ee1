"""`dse new system`: a small package with a system, a study and a test, to begin from."""

import importlib.util
import keyword
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from dse.cli.command_table import Session
from dse.cli.terminal import say
from dse.core.errors import DseError
from dse.core.files import write_atomically

FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "{name}/__init__.py": "",
    "{name}/system.py": "system.py.txt",
    "{name}/study.yaml": "study.yaml.txt",
    "tests/test_{name}.py": "test_system.py.txt",
}
"""File of the package -> its template in `dse/cli/new_system`; empty: one line."""


def new_system(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the system and its package: letters, digits, _.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the package; must not exist. Default: NAME.")
    ] = None,
) -> None:
    """Write a small package: a system, a study, a README, and a test that runs the study."""
    session: Session = ctx.obj
    _require_free(name, session)
    folder = Path(name) if out is None else out
    if folder.exists():
        raise DseError(f"{folder} exists already; nothing was written. Name another with --out")
    for path, content in package(name).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
    say(f"package: {folder}   next: pip install --editable {folder}")


def package(name: str) -> dict[str, str]:
    """The files of a new package: path -> content.

    Args:
        name: Of the system, an identifier in small letters.
    """
    words = {"name": name, "distribution": name.replace("_", "-")}
    made = {}
    for path, template in FILES.items():
        text = f'"""The system {name} for Edge DSE."""\n'
        if template:
            source = files("dse.cli") / "new_system" / template
            text = Template(source.read_text(encoding="utf-8")).substitute(words)
        made[path.format(name=name)] = text
    return made


def _require_free(name: str, session: Session) -> None:
    """Refuse a name that a package cannot have, or that another has already."""
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        raise DseError(f"{name!r} is no name of a package: small letters, digits and _, as my_chip")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise DseError(f"{name!r} is a word or a module of Python; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise DseError(f"a package {name!r} is installed already; choose another name")
    if name in session.systems:
        raise DseError(f"a system {name!r} is installed already; choose another name")
