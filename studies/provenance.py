"""What a study's numbers depend on beside the study file: every constant that the models read."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from hw_models import shipped_names


def table_facts(folder: Traversable | None = None) -> dict[str, str]:
    """Digest of each characterisation table with its sources, by name.

    All of them and not only those that a model reads today: a run that goes on under another
    constant would mix two answers in one front.

    Args:
        folder: Of the tables; the package's own if None.
    """
    place = folder or files("hw_models") / "tables"
    return {f"table {name}": _digest(place, name) for name in shipped_names()}


def _digest(folder: Traversable, name: str) -> str:
    digest = hashlib.sha256()
    for ending in ("csv", "toml"):
        content = (folder / f"{name}.{ending}").read_bytes()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]
