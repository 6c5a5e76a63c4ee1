"""What a trained pair said about one split: both networks and the heads, content-addressed.

The layout of `dse.accuracy.archive`, with a small network and a large one. Whatever routes reads
this and no network, so thresholds, routers and costs are free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.appeal.routers import (
    CONFIDENCES,
    FloatArray,
    Routed,
    Router,
    confidence,
    oracle_score,
    random_score,
    sigmoid,
)
from dse.accuracy.archive import (
    archive_path,
    found_archive,
    require_address,
    sealed,
    unsealed,
)
from dse.accuracy.cache import write_whole
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class PairArchive:
    """Answers of a pair to n inputs of one split, in its order.

    Two small networks, because joint training spoils the probabilities that the other routers
    read: these are scored on a network that was trained plainly, on the same data for as long.

    Attributes:
        labels: Class of each input, shape (n,), int64.
        plain: Logits of the plainly trained small network, shape (n, classes), float32.
        exit_logit: Of the learning-to-exit head on it: high where it is wrong, shape (n,).
        joint: Logits of the jointly trained small network, shape (n, classes), float32.
        trust_logit: Of its predictor head: high where it may be trusted, shape (n,), float32.
        cloud: Logits of the large network, shape (n, classes), float32.
        provenance: What networks, data and training were.
    """

    labels: NDArray[np.int64]
    plain: NDArray[np.float32]
    exit_logit: NDArray[np.float32]
    joint: NDArray[np.float32]
    trust_logit: NDArray[np.float32]
    cloud: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        n = len(self.labels)
        wide = {self.plain.shape, self.joint.shape, self.cloud.shape}
        flat = {self.labels.shape, self.exit_logit.shape, self.trust_logit.shape}
        if flat != {(n,)} or len(wide) != 1 or len(self.plain) != n or self.plain.ndim != 2:
            raise DseError(
                "an archive of a pair holds logits (n, classes) of three networks and labels and "
                f"two heads (n,); got {sorted(wide)} and {sorted(flat)}"
            )
        if not all(np.isfinite(t).all() for t in self.tensors().values()):
            raise DseError("an archive of a pair holds finite values only")

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        names = ("labels", "plain", "exit_logit", "joint", "trust_logit", "cloud")
        return {name: np.ascontiguousarray(getattr(self, name)) for name in names}

    @property
    def trust(self) -> FloatArray:
        """Trust q that the predictor head gives [1], shape (n,)."""
        return sigmoid(self.trust_logit)

    def routed(self, router: Router) -> Routed:
        """The split as a router sees it: the appeal head on its own network, the others plain.

        Raises:
            DseError: If the router is unknown.
        """
        cloud_right = self.cloud.argmax(axis=1) == self.labels
        if router == "appeal":
            return Routed(self.trust, self.joint.argmax(axis=1) == self.labels, cloud_right)
        edge_right = self.plain.argmax(axis=1) == self.labels
        if router == "learning-to-exit":
            score = sigmoid(-self.exit_logit)
        elif router == "oracle":
            score = oracle_score(edge_right, cloud_right)
        elif router == "random":
            score = random_score(len(self.labels))
        elif router in CONFIDENCES:
            score = confidence(router, self.plain)
        else:
            raise DseError(f"there is no router {router!r}")
        return Routed(score, edge_right, cloud_right)


def write_pair(cache: Path, handle: str, archive: PairArchive) -> None:
    """Store an archive under its handle, the address of its provenance: whole or not at all."""
    tensors = archive.tensors()
    record = {"handle": handle, "provenance": dict(archive.provenance)}
    write_whole(archive_path(cache, handle), sealed(tensors, "pair", record))


def read_pair(cache: Path, handle: str) -> PairArchive:
    """Read an archive.

    Raises:
        CacheUnsafe: If others may write to it, or to a folder in which it lies.
        DseError: If it is missing, damaged, or not the one that the handle names.
    """
    path = found_archive(cache, handle)
    from safetensors import SafetensorError

    try:
        tensors, record = unsealed(path.read_bytes(), "pair")
        if record["handle"] != handle:
            raise ValueError(f"it says that it is {record['handle']}")
        require_address(record)
        return PairArchive(**tensors, provenance=record["provenance"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DseError(f"the archive {path} is damaged: {error}") from error
