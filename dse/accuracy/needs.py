"""What accuracy runs need that this machine does not have: libraries, a task, networks, room."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from dse.accuracy.cache import VARIABLE, cache_root
from dse.accuracy.data.images import IMAGES, is_fetched
from dse.accuracy.data.tasks import not_here, require_task, task_path
from dse.accuracy.networks.pretrained import NETWORKS, lacking
from dse.core.errors import DseError
from dse.core.extras import EXTRAS, shortage

ROOM = 500_000_000
"""Of a trained network, its checkpoints and the archives of a search, roughly [byte]."""


def accuracy_needs(who: str, task: str, networks: Sequence[str]) -> tuple[str, ...]:
    """One line for each thing that is missing here, with what to do.

    Args:
        who: Makes the accuracy runs, as a sentence begins with it.
        task: On sentences or on images.
        networks: Pretrained encoders that are read.
    """
    found = [shortage(who, "accuracy"), _task_shortage(task), _room_shortage(cache_root())]
    # What the extra brings, it has named already.
    brought = {n for n, known in NETWORKS.items() if known.module in EXTRAS["accuracy"].modules}
    found += [lacking(name) for name in dict.fromkeys(networks) if name not in brought]
    return tuple(line for line in found if line)


def _task_shortage(task: str) -> str:
    if task in IMAGES:
        return "" if is_fetched(task, cache_root()) else not_here(task)
    try:
        require_task(task)
    except DseError as error:
        return str(error)
    return "" if task_path(task, cache_root()).is_file() else not_here(task)


def _room_shortage(cache: Path) -> str:
    free = shutil.disk_usage(next(_there(cache))).free
    if free >= ROOM:
        return ""
    return (
        f"the cache {cache} has {free // 10**6} MB left, networks and archives need "
        f"{ROOM // 10**6} MB: make room, or let {VARIABLE} name another folder"
    )


def _there(path: Path) -> Iterator[Path]:
    """The nearest folder above a path that exists."""
    return (folder for folder in (path, *path.absolute().parents) if folder.exists())
