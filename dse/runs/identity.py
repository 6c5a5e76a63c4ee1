"""What numbers may depend on beside a study: this project's own source, and versions."""

import contextlib
import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

LIBRARIES = (
    "edge-dse", "numpy", "moocore", "pymoo", "optuna", "botorch", "gpytorch", "torch",
    "transformers", "ray",
)  # fmt: skip
PACKAGES = ("dse", "hw_models", "search_spaces", "studies")
COMPUTING = (".py", ".csv", ".toml")
"""Endings of the files that a number may come from: code, and the tables that it reads."""

_SEARCH = ("moocore",)
_MODELS = ("numpy",)
_MEASURED = ("torch", "transformers")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that numbers may depend on."""
    here = {"python": platform.python_version(), "machine": platform.machine()}
    return {**here, **_installed(LIBRARIES)}


def used_libraries(search: Sequence[str], *, measured: bool) -> dict[str, dict[str, str]]:
    """Versions of the libraries that the numbers of a run come from; none is imported.

    Args:
        search: Distributions that the searcher stands on.
        measured: Whether real runs are made.

    Returns:
        `models` and `search` -> library -> version: what evaluates designs, and what proposes them.
    """
    return {
        "models": _installed((*_MODELS, *(_MEASURED if measured else ()))),
        "search": _installed((*_SEARCH, *search)),
    }


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@lru_cache(maxsize=1)
def source_digest() -> str:
    """SHA-256 of the source that this process runs, in hexadecimal; read once."""
    return tree_digest(Path(__file__).parents[2])


def tree_digest(root: Path) -> str:
    """SHA-256 over names and bytes of all code and table files of our packages in a folder.

    Neither where the folder lies nor the order of its files counts, nor what Python compiled.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.suffix in COMPUTING and path.is_file()
    }
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
