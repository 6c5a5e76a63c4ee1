"""Of which system a run is, for commands that know one system alone."""

from pathlib import Path

from ruamel.yaml import YAML

from dse.core.errors import DseError
from dse.runs.manifest import read_resolved


def require_system(folder: Path, wanted: str, instead: str = "") -> None:
    """Refuse the run of another system.

    Args:
        folder: Of the run.
        wanted: The system that the command knows.
        instead: What to do with a run of another one.

    Raises:
        DseError: If the run is of another system, or its study cannot be read.
    """
    found = YAML(typ="safe").load(read_resolved(folder)).get("system")
    if found != wanted:
        said = f"{folder} is a run of the system {found}; this command reads runs of {wanted}"
        raise DseError(f"{said}; {instead}" if instead else said)
