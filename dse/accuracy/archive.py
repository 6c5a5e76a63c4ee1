"""What a forward pass leaves behind: logits of each sentence at each layer, content-addressed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.cache import write_whole
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """Answers of one network to one split, in the order of the split.

    Where memory cells can be misread, the split is answered once per fault pattern; the draws
    follow one another, n = draws x sentences.

    Attributes:
        logits: Shape (n, layers, classes), float32.
        labels: Class of each sentence, shape (n,), int64.
        tokens: Length of each sentence, special tokens included, shape (n,), int64.
        provenance: What the network, the data and the run were.
        draws: Fault patterns, at least 1.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    tokens: NDArray[np.int64]
    provenance: Mapping[str, Any]
    draws: int = 1

    def __post_init__(self) -> None:
        n = len(self.logits)
        if self.logits.ndim != 3 or self.labels.shape != (n,) or self.tokens.shape != (n,):
            raise DseError(
                "an archive holds logits (sentences, layers, classes), labels and tokens "
                f"(sentences,); got {self.logits.shape}, {self.labels.shape}, {self.tokens.shape}"
            )
        if self.draws < 1 or n % self.draws:
            raise DseError(f"{n} answers are not {self.draws} draws of one split")
        if not np.isfinite(self.logits).all():
            raise DseError("an archive holds finite logits only")


def rows_of(archive: Archive, rows: NDArray[np.int64]) -> Archive:
    """Some sentences of an archive, in each draw, in the order given."""
    n = len(archive.labels) // archive.draws
    index = np.concatenate([draw * n + rows for draw in range(archive.draws)])
    return Archive(
        archive.logits[index],
        archive.labels[index],
        archive.tokens[index],
        archive.provenance,
        draws=archive.draws,
    )


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
    from safetensors.numpy import save  # here and not above: an extra brings it

    # safetensors writes the memory as it lies: a transposed view would come back scrambled.
    tensors: dict[str, NDArray[Any]] = {
        "logits": np.ascontiguousarray(archive.logits),
        "labels": np.ascontiguousarray(archive.labels),
        "tokens": np.ascontiguousarray(archive.tokens),
    }
    record = {
        "handle": handle,
        "digest": tensors_digest(tensors),
        "provenance": dict(archive.provenance),
        "draws": archive.draws,
    }
    # One entry only: safetensors writes several in an order that differs from process to process,
    # and equal archives must be equal bytes.
    content = save(tensors, metadata={"archive": json.dumps(record, sort_keys=True)})
    write_whole(archive_path(cache, handle), content)


def read_archive(cache: Path, handle: str) -> Archive:
    """Read an archive.

    Raises:
        DseError: If it is missing, damaged, or not the one that the handle names.
    """
    path = archive_path(cache, handle)
    if not path.is_file():
        raise DseError(f"archive {handle} is not in {cache}")
    found, archive = _read(path)
    if found != handle:
        raise DseError(f"archive {handle} in {cache} is damaged: it says that it is {found}")
    return archive


def read_archive_file(path: Path) -> Archive:
    """Read an archive wherever it lies.

    Raises:
        DseError: If it is missing or damaged.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[str, Archive]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        record = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["archive"])
        if record["digest"] != tensors_digest(tensors):
            raise ValueError("its values are not those that were written")
        archive = Archive(
            tensors["logits"],
            tensors["labels"],
            tensors["tokens"],
            record["provenance"],
            record.get("draws", 1),
        )
        return str(record["handle"]), archive
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DseError(f"the archive {path} is damaged or missing: {error}") from error


def tensors_digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, types, shapes and values: safetensors itself has no checksum."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        total.update(f"{name} {tensor.dtype.str} {tensor.shape};".encode())
        total.update(tensor.tobytes())
    return total.hexdigest()
