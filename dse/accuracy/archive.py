"""What a forward pass leaves behind: logits of each sentence at each layer, content-addressed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.address import address_of
from dse.accuracy.cache import CacheUnsafe, require_own, write_whole
from dse.core.errors import DseError
from dse.core.files import sha256_of


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
    """Store an archive under its handle, the address of its provenance: whole or not at all."""
    # safetensors writes the memory as it lies: a transposed view would come back scrambled.
    tensors: dict[str, NDArray[Any]] = {
        "logits": np.ascontiguousarray(archive.logits),
        "labels": np.ascontiguousarray(archive.labels),
        "tokens": np.ascontiguousarray(archive.tokens),
    }
    record = {
        "handle": handle,
        "provenance": dict(archive.provenance),
        "draws": archive.draws,
    }
    write_whole(archive_path(cache, handle), sealed(tensors, "archive", record))


def found_archive(cache: Path, handle: str) -> Path:
    """Path of an existing archive that only its owner may write to.

    Raises:
        CacheUnsafe: If others may write to it, or to a folder in which it lies.
        DseError: If it is missing.
    """
    path = archive_path(cache, handle)
    if not path.is_file():
        raise DseError(f"archive {handle} is not in {cache}")
    require_own(cache, path)
    return path


def reads(cache: Path, handle: str) -> bool:
    """Whether an archive is there and whole; a damaged one is to be made again.

    Raises:
        CacheUnsafe: If others may write to it, or to a folder in which it lies.
    """
    if not archive_path(cache, handle).is_file():
        return False
    try:
        read_archive(cache, handle)
    except CacheUnsafe:
        raise
    except DseError:
        return False
    return True


def files_of(cache: Path, handles: NDArray[Any], more: Sequence[Path] = ()) -> dict[str, str]:
    """Files that results rest on: path in the cache -> SHA-256, of those that are there.

    Args:
        cache: Cache folder.
        handles: Of archives; any number of times each, an empty one names none.
        more: Further files in the cache: networks.
    """
    archives = [archive_path(cache, str(h)) for h in np.unique(handles) if h]
    there = [path for path in (*more, *archives) if path.is_file()]
    return {path.relative_to(cache).as_posix(): sha256_of(path) for path in there}


def require_address(record: Mapping[str, Any]) -> None:
    """Refuse a record whose own words are those of another address than its handle.

    Raises:
        ValueError: With both addresses.
    """
    found = address_of(record["provenance"])
    if found != record["handle"]:
        raise ValueError(
            f"what it says of itself belongs to the address {found}, not to {record['handle']}"
        )


def read_archive(cache: Path, handle: str) -> Archive:
    """Read an archive.

    Raises:
        CacheUnsafe: If others may write to it, or to a folder in which it lies.
        DseError: If it is missing, damaged, or not the one that the handle names.
    """
    path = found_archive(cache, handle)
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

    try:
        tensors, record = unsealed(path.read_bytes(), "archive")
        require_address(record)
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


def sealed(tensors: Mapping[str, NDArray[Any]], kind: str, record: Mapping[str, Any]) -> bytes:
    """Tensors as a safetensors file, with a record and a digest of the values as its metadata.

    Args:
        tensors: C-contiguous arrays.
        kind: Name of the metadata entry.
        record: Content for JSON.
    """
    from safetensors.numpy import save  # here and not above: an extra brings it

    # One entry only: safetensors writes several in an order that differs from process to process,
    # and equal archives must be equal bytes.
    whole = {**record, "digest": tensors_digest(tensors)}
    return save(dict(tensors), metadata={kind: json.dumps(whole, sort_keys=True)})


def unsealed(content: bytes, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Tensors and record of what `sealed` wrote.

    Raises:
        SafetensorError: If it is not a safetensors file.
        KeyError: If it has no such record.
        ValueError: If its values are not those that were written.
    """
    from safetensors.numpy import load

    tensors = load(content)
    size = int.from_bytes(content[:8], "little")
    record = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][kind])
    if record["digest"] != tensors_digest(tensors):
        raise ValueError("its values are not those that were written")
    return tensors, record


def tensors_digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, types, shapes and values: safetensors itself has no checksum."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        total.update(f"{name} {tensor.dtype.str} {tensor.shape};".encode())
        total.update(tensor.tobytes())
    return total.hexdigest()
