"""Versions that numbers may depend on."""

import contextlib
import importlib.metadata
import platform
from functools import lru_cache

LIBRARIES = (
    "edge-dse", "numpy", "moocore", "pymoo", "optuna", "botorch", "gpytorch", "torch",
    "transformers", "ray",
)  # fmt: skip


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that numbers may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
