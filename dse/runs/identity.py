"""What numbers depend on beside a study: code, libraries and processor, by layer; and a record."""

import contextlib
import hashlib
import importlib.metadata
import platform
import struct
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from dse.core.errors import CompositionError
from dse.core.installed import PROJECT, python_version
from dse.core.processor import processor
from dse.core.source_code import import_closure

BEGAN = time.time()
"""About when this process began to import [s]; a file written later may have been edited."""

LIBRARIES = (
    "edge-dse", "numpy", "moocore", "pymoo", "optuna", "botorch", "gpytorch", "torch",
    "transformers", "ray",
)  # fmt: skip
COMPUTING = (".py", ".csv", ".toml")
"""Endings of the files that a number may come from: code, and the tables that it reads."""


SEARCH = (
    "dse.pareto.dominance", "dse.pareto.hypervolume", "dse.search.initial_designs",
    "dse.search.loop", "dse.search.termination",
)  # fmt: skip
"""Modules that every search goes through beside its searcher."""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that numbers may depend on."""
    here = {"python": platform.python_version(), "machine": platform.machine()}
    return {**here, **_installed(LIBRARIES)}


def identified_code(
    models: Sequence[str],
    search: Sequence[str],
    libraries: Sequence[str] = (),
    *,
    measured: bool,
    covered: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """What binds a run beside its study and its facts, by layer; no library is imported for it.

    Args:
        models: Modules that evaluate designs: roots of a closure of imports.
        search: Modules that propose them, beside `SEARCH`.
        libraries: Distributions that the searcher stands on.
        measured: Whether real runs are made.
        covered: Names, without ending, of data files of which the facts of the run have a digest.

    Returns:
        `code` -> `models` and `search` -> module or data file -> digest; `libraries` -> the same ->
        distribution -> version, Python's among them; `processor` -> part -> what it can. What both
        layers have is listed under `models` alone.
    """
    evaluates = import_closure(models)
    _require_loaded(evaluates.sources)
    proposes = import_closure([*SEARCH, *search])
    data = {k: v for k, v in evaluates.data().items() if PurePath(k).stem not in covered}
    code = {**evaluates.digests(), **data}
    versions_of_models = {**evaluates.versions(), "python": python_version()}
    versions_of_search = {**_installed(libraries), **proposes.versions()}
    return {
        "code": {"models": code, "search": _beyond(proposes.digests(), code)},
        "libraries": {
            "models": versions_of_models,
            "search": _beyond(versions_of_search, versions_of_models),
        },
        "processor": processor(torch=measured and "torch" in versions_of_models),
    }


def _require_loaded(sources: Mapping[str, Path]) -> None:
    """Refuse a module whose file was edited after this process imported it.

    What runs would be the old code, and what identifies it the new one. Python notes in the
    compiled file beside a module which source it was made of.

    Raises:
        CompositionError: With the module.
    """
    for name, path in sources.items():
        compiled = Path(getattr(sys.modules.get(name), "__cached__", None) or "")
        there = path.stat()
        if there.st_mtime < BEGAN or not compiled.is_file():
            continue
        flags, mtime, size = struct.unpack("<3I", compiled.read_bytes()[4:16])
        if not flags and (mtime, size) != (int(there.st_mtime) & 0xFFFFFFFF, there.st_size):
            raise CompositionError(
                f"{path} was edited after {name} was imported, so the code that runs is not the "
                "code that is there: importlib.reload the module, or begin a new process"
            )


def _beyond(found: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name not in known}


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@lru_cache(maxsize=1)
def source_digest() -> str:
    """SHA-256 of all installed source: recorded, never compared; read once."""
    return tree_digest(Path(__file__).parents[2])


def tree_digest(root: Path) -> str:
    """SHA-256 over names and bytes of all code and table files of our packages in a folder.

    Neither where the folder lies nor the order of its files counts, nor what Python compiled.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for package in PROJECT
        for path in (root / package).rglob("*")
        if path.suffix in COMPUTING and path.is_file()
    }
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
