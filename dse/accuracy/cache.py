"""The cache folder of this machine, and how a file gets into it whole or not at all."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import platformdirs

from dse.core.errors import DseError
from dse.core.files import write_atomically

Watch: TypeAlias = Callable[[str, float], None]
"""Is told what is being done and which share of it, 0 to 1."""

VARIABLE = "EDGE_DSE_CACHE"
"""Environment variable that moves the cache folder."""


def cache_root() -> Path:
    """The user's cache folder, or the one that EDGE_DSE_CACHE names; read here and nowhere else."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("edge-dse")


def unwatched(_what: str, _share: float) -> None:
    """The `watch` of those who do not."""


def key_of(content: Mapping[str, object]) -> str:
    """Content address: SHA-256 of the canonical JSON of what a result depends on, 64 digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, whichever are missing; none that others may write to."""
    for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
        missing.mkdir(mode=0o755, exist_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it, so that whoever reads it sees all or nothing."""
    make_folder(path.parent)
    write_atomically(path, content, mode=0o644)


class CacheUnsafe(DseError):
    """A file or folder of the cache can be changed by others, so its content proves nothing."""


def require_own(cache: Path, path: Path) -> None:
    """Refuse to read what others than its owner may have written.

    Args:
        cache: Cache folder.
        path: A file in it.

    Raises:
        CacheUnsafe: If the file, the cache folder or a folder between them can be written to by
            its group or by everybody.
    """
    if os.name != "posix":
        return
    between = [folder for folder in path.parents if folder.is_relative_to(cache)]
    for place in (*reversed(between), path):
        if place.exists() and (mode := place.stat().st_mode & 0o777) & 0o022:
            raise CacheUnsafe(
                f"{place} may be written to by others (mode {mode:o}), who could change results: "
                f"chmod -R go-w {cache}, or name a folder of your own by {VARIABLE}"
            )
