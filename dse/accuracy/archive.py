"""What a forward pass leaves behind: logits of each sentence at each layer, content-addressed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dse.accuracy.cache import write_whole
from dse.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """Answers of one network to one split, in the order of the split.

    Attributes:
        logits: Shape (sentences, layers, classes), float32.
        labels: Class of each sentence, shape (sentences,), int64.
        tokens: Length of each sentence, special tokens included, shape (sentences,), int64.
        provenance: What the network, the data and the run were.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    tokens: NDArray[np.int64]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        n = len(self.logits)
        if self.logits.ndim != 3 or self.labels.shape != (n,) or self.tokens.shape != (n,):
            raise DseError(
                "an archive holds logits (sentences, layers, classes), labels and tokens "
                f"(sentences,); got {self.logits.shape}, {self.labels.shape}, {self.tokens.shape}"
            )
        if not np.isfinite(self.logits).all():
            raise DseError("an archive holds finite logits only")


def archive_path(cache: Path, handle: str) -> Path:
    """Where an archive lies or would lie.

    Raises:
        DseError: If the handle is not 64 hex digits: it becomes part of a path.
    """
    if len(handle) != 64 or not set(handle) <= set("0123456789abcdef"):
        raise DseError(f"{handle!r} is not the handle of an archive (64 hex digits)")
    return cache / "archives" / handle[:2] / f"{handle}.safetensors"


def write_archive(cache: Path, handle: str, archive: Archive) -> None:
    """Store an archive under its handle: whole or not at all."""
    # safetensors writes the memory as it lies: a transposed view would come back scrambled.
    tensors: dict[str, NDArray[Any]] = {
        "logits": np.ascontiguousarray(archive.logits),
        "labels": np.ascontiguousarray(archive.labels),
        "tokens": np.ascontiguousarray(archive.tokens),
    }
    provenance = json.dumps(dict(archive.provenance), sort_keys=True)
    content = save(tensors, metadata={"handle": handle, "provenance": provenance})
    write_whole(archive_path(cache, handle), content)


def read_archive(cache: Path, handle: str) -> Archive:
    """Read an archive.

    Raises:
        DseError: If it is missing, damaged, or not the one that the handle names.
    """
    path = archive_path(cache, handle)
    try:
        content = path.read_bytes()
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        if metadata["handle"] != handle:
            raise ValueError(f"it says that it is {metadata['handle']}")
        provenance = json.loads(metadata["provenance"])
        return Archive(tensors["logits"], tensors["labels"], tensors["tokens"], provenance)
    except FileNotFoundError as error:
        raise DseError(f"archive {handle} is not in {cache}") from error
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DseError(f"archive {handle} in {cache} is damaged: {error}") from error
