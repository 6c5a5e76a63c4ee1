"""Where modules lie and who brought them, found without running any."""

import contextlib
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PROJECT = ("dse", "hw_models", "search_spaces", "studies")
"""Packages of this project; they count by source wherever they are installed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module lies.

    Attributes:
        file: Its file; None of a package without `__init__`.
        installed: Whether a distribution that is no link to a working copy brought it.
    """

    file: Path | None
    installed: bool


def locate(name: str) -> Place | None:
    """Where a module lies, found without running any; None if it is not found."""
    loaded = sys.modules.get(name)
    known = getattr(loaded, "__file__", None)
    if known:
        return _placed(Path(known))
    if name == "__main__":
        return None
    parent, _, _ = name.rpartition(".")
    try:
        if parent:
            folders = _folders(parent)
            spec = PathFinder.find_spec(name, folders) if folders else None
        else:
            spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return None if spec is None else place_of(spec)


def _folders(package: str) -> tuple[str, ...]:
    """Where the modules of a package are looked for."""
    loaded = sys.modules.get(package)
    known = getattr(loaded, "__path__", None)
    if known is not None:
        return tuple(known)
    parent, _, _ = package.rpartition(".")
    if parent:
        folders = _folders(parent)
        spec = PathFinder.find_spec(package, folders) if folders else None
    else:
        spec = importlib.util.find_spec(package)
    return tuple((spec and spec.submodule_search_locations) or ())


def place_of(spec: ModuleSpec) -> Place:
    """Where a module lies that has been found."""
    if spec.has_location and spec.origin:
        return _placed(Path(spec.origin))
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return Place(None, bool(folders) and all(_is_installed(folder) for folder in folders))


def _placed(file: Path) -> Place:
    return Place(file, _is_installed(file))


def _is_installed(path: Path) -> bool:
    return str(path).startswith(_site_folders())


@lru_cache(maxsize=1)
def _site_folders() -> tuple[str, ...]:
    known = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    known += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({f"{folder}{os.sep}" for folder in known if folder})


STANDARD = frozenset(sys.stdlib_module_names)
"""Top-level names of the standard library."""


def is_counted(module: str) -> bool:
    """Whether a module counts by its source: of this project, or of a user's own code.

    A script does not: its functions count by their own source, as those of a notebook.
    """
    top = module.partition(".")[0]
    if top in STANDARD or module == "__main__":
        return False
    place = locate(module)
    return place is not None and place.file is not None and (top in PROJECT or not place.installed)


def installed_version(module: str) -> str:
    """Version of what brought a module: of its distribution, or of Python; empty if unknown."""
    top = module.partition(".")[0]
    return python_version() if top in STANDARD else distribution_of(top)[1]


def python_version() -> str:
    """Major and minor version of Python: releases of one minor version compute the same."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@lru_cache(maxsize=256)
def distribution_of(package: str) -> tuple[str, str]:
    """Name and version of the distribution that brought a package; no version if none did."""
    name = _ALIASES.get(package, package)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return name, importlib.metadata.version(name)
    # Reads the lists of all distributions: only for those whose name says nothing.
    names = importlib.metadata.packages_distributions().get(package, ())
    return (names[0], importlib.metadata.version(names[0])) if names else (package, "")


_ALIASES = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "PyYAML", "cv2": "opencv-python"}
"""Packages that are not called as their distribution."""
