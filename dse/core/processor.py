"""What this processor lets the numeric libraries do: it decides the last bits of their results."""

import importlib
import platform

import numpy as np


def processor(*, torch: bool) -> dict[str, str]:
    """Kind of processor, and which of its instructions the libraries use, by library.

    Args:
        torch: Whether torch is asked too; loading it takes seconds if nobody has yet.

    Returns:
        `machine`, `numpy` and, if asked for, `torch`. `numpy` names its baseline and the dispatched
        sets that it found and may use (NPY_DISABLE_CPU_FEATURES); `torch` its capability
        (ATEN_CPU_CAPABILITY).
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    sets = [*found.get("baseline", ()), *found.get("found", ())]
    plain = {"machine": platform.machine(), "numpy": " ".join(sets)}
    return {**plain, "torch": torch_capability()} if torch else plain


def torch_capability() -> str:
    """Instructions that torch's own kernels use here, as it names them."""
    # By name: torch is not loaded by who never asks, and its homes are elsewhere.
    return str(importlib.import_module("torch").backends.cpu.get_cpu_capability())
