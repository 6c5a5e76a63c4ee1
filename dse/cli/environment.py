"""What this machine and this installation offer, and what each missing part disables."""

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

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


_LIBRARIES = (
    ("torch", "accuracy runs: pip install 'edge-dse[accuracy]'"),
    ("transformers", "accuracy runs: pip install 'edge-dse[accuracy]'"),
    ("botorch", "the searcher botorch: pip install 'edge-dse[botorch]'"),
    ("ray", "--executor ray: pip install 'edge-dse[ray]'; serial and pool need nothing"),
    ("pymoo", "the searchers nsga2, nsga3"),
    ("optuna", "the searcher tpe"),
    ("pyarrow", "trials.parquet: pip install 'edge-dse[parquet]'; the CSV needs nothing"),
)


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
    found += [Part(name, _version(name), purpose) for name, purpose in _LIBRARIES]
    return found + _tasks()


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return NOT_HERE


def _memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
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
