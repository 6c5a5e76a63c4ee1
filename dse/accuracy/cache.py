"""The cache folder of this machine, and how a file gets into it whole or not at all."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import platformdirs

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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it, so that whoever reads it sees all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
