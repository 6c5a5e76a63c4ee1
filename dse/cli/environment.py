"""What this machine and this installation offer, and what each missing part disables."""

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from dse.core.extras import EXTRAS, extra_of, install, installed
from dse.searchers.registry import SEARCHERS

NOT_HERE = "not installed"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that some feature needs.

    Attributes:
        name: What it is.
        here: Its version or state, or that it is missing.
        purpose: What works only with it.
    """

    name: str
    here: str
    purpose: str


def parts() -> list[Part]:
    """Everything that is looked at, in a fixed order; nothing heavy is loaded for it."""
    found = [
        Part(
            "python", f"{platform.python_version()} ({sys.executable})", "everything; 3.11 or newer"
        ),
        Part("edge-dse", _version("edge-dse"), "everything"),
        Part("processors", f"{usable_processors()} usable of {os.cpu_count()}", "workers at once"),
        Part("memory", _memory(), "each worker holds a copy of the network"),
        Part("bf16", _bf16(), "fast half-width arithmetic of accuracy runs; slower without"),
    ]
    return found + _extras() + _searchers() + _tasks()


def usable_processors() -> int:
    """Processors that this process may run on; all of them where the platform does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return NOT_HERE


def _extras() -> list[Part]:
    """What each extra brings, and how to bring it."""
    found = []
    for name, extra in EXTRAS.items():
        missing = [module for module in extra.modules if not installed(module)]
        here = ", ".join(f"{m} {_version(m)}" for m in extra.modules if m not in missing)
        state = ", ".join([here] * bool(here) + [f"{m} {NOT_HERE}" for m in missing])
        found.append(Part(f"extra {name}", state, f"{extra.purpose}: {install(name)}"))
    return found


def _searchers() -> list[Part]:
    """Libraries that searchers stand on and that no extra brings."""
    users: dict[str, list[str]] = {}
    for name, row in SEARCHERS.items():
        for library in row.libraries:
            users.setdefault(library, []).append(name)
    return [
        Part(library, _version(library), f"searchers: {', '.join(names)}")
        for library, names in users.items()
        if extra_of(library) is None
    ]


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return "not known here"
    return f"{size / 2**30:.1f} GiB"


def _bf16() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "not known here"
    flags = {
        flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()
    }
    units = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    return ", ".join(units) if units else "no unit for it"


def _tasks() -> list[Part]:
    from dse.accuracy.cache import cache_root
    from dse.accuracy.data.tasks import list_tasks

    root = cache_root()
    room = "writable" if os.access(_existing(root), os.W_OK) else "NOT writable"
    found = [Part("cache", f"{root} ({room})", "tasks, trained networks, archives of real runs")]
    for task in list_tasks(root):
        here = "fetched" if task.fetched else "not fetched"
        found.append(Part(f"task {task.name}", here, f"dse data fetch {task.name}"))
    return found


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
