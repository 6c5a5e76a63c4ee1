"""What an accuracy result depends on beside its inputs: the code, libraries and processor."""

import importlib.metadata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dse.accuracy.cache import key_of
from dse.core.installed import PROJECT
from dse.core.processor import torch_capability
from dse.core.source_code import digest_of, import_closure

LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")
"""Distributions that compute a network or its answers, or read what they are computed from."""

ENDING = "finetune_ending"
"""What a result says of itself that is no part of its address: it is known only afterwards."""

PART = "first_and_last"
"""What a part of a result names beside the whole: its first sentence and the one after its last."""


def computed_by(module: str) -> dict[str, object]:
    """The part of an address that says what computes the result.

    Args:
        module: That computes it; the modules of this project that it imports count too, by syntax.

    Returns:
        `code`, a digest; `libraries` -> version; `processor`, what torch's kernels use.
    """
    libraries = dict(_versions())
    return {"code": _code(module), "libraries": libraries, "processor": torch_capability()}


@lru_cache(maxsize=32)
def _code(module: str) -> str:
    digests = import_closure([module]).digests()
    ours = {name: d for name, d in digests.items() if name.partition(".")[0] in PROJECT}
    return digest_of(ours)


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, importlib.metadata.version(name)) for name in LIBRARIES)


def address_of(said: Mapping[str, Any]) -> str:
    """Address of a result by what it says of itself, 64 hexadecimal digits."""
    facts = {name: value for name, value in said.items() if name not in (ENDING, PART)}
    whole = key_of(facts)
    return part_address(whole, *said[PART]) if PART in said else whole


def part_address(whole: str, first: int, last: int) -> str:
    """Address of the sentences from `first` to before `last` of the order of a run."""
    return key_of({"kind": "part of an archive", "of": whole, "first": first, "last": last})
