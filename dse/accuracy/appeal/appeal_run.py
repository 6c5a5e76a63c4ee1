"""The measured stage: a pair is trained, answers both splits once, and the answers are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dse.accuracy.appeal.archive import PairArchive, read_pair, write_pair
from dse.accuracy.appeal.curve import RoutingCurve
from dse.accuracy.appeal.image_pair import image_digests, image_pair
from dse.accuracy.appeal.pairing import Pairing
from dse.accuracy.appeal.routers import FloatArray, Router, degenerate
from dse.accuracy.appeal.text_pair import text_digests, text_pair
from dse.accuracy.archive import archive_path
from dse.accuracy.cache import CacheUnsafe, Watch, key_of, make_folder, unwatched
from dse.core.errors import DseError
from dse.core.signature import Signature

KNOBS: Mapping[str, str] = {"edge_layers": "layer", "cloud_network": "choice", "beta": "1"}
"""Name and unit of what a pair is trained for."""


def handles_of(pairing: Pairing, cache: Path, watch: Watch = unwatched) -> dict[str, str]:
    """Content addresses of a pair's archives, `validation` and `test`.

    Trains the networks that the pair starts from, if they are not trained yet.

    Raises:
        DseError: If a name is unknown or the task is not fetched.
    """
    find = image_digests if pairing.on_images else text_digests
    digests = find(pairing, cache, watch)
    return {
        "validation": key_of(pairing.facts(digests, "validation")),
        "test": key_of(pairing.facts(digests, "test")),
    }


def archived(pairing: Pairing, cache: Path, watch: Watch = unwatched) -> dict[str, str]:
    """As `handles_of`, with the archives made if they are not there.

    Two processes that need the same pair train it once: the second waits and finds it.

    Raises:
        DseError: If a name is unknown or the task is not fetched.
    """
    handles = handles_of(pairing, cache, watch)
    path = archive_path(cache, handles["validation"])
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock")):
        if all(_is_sound(cache, handle) for handle in handles.values()):
            return handles
        made = (image_pair if pairing.on_images else text_pair)(pairing, cache, watch)
        find = image_digests if pairing.on_images else text_digests
        digests = find(pairing, cache, watch)
        for part in ("validation", "test"):
            which: Literal["validation", "test"] = "test" if part == "test" else "validation"
            archive = replace(made[part], provenance=pairing.facts(digests, which))
            write_pair(cache, handles[part], archive)
    return handles


def _is_sound(cache: Path, handle: str) -> bool:
    if not archive_path(cache, handle).is_file():
        return False
    try:
        read_pair(cache, handle)
    except CacheUnsafe:
        raise
    except DseError:
        return False  # damaged: made again
    return True


@dataclass(frozen=True, slots=True)
class PairRun:
    """Evaluator: what a pair is trained for to the archive of its answers.

    Attributes:
        pairing: Everything that is no knob; its knobs are overwritten row by row.
        cache: Cache folder.
        part: Whose archive is handed on.
    """

    pairing: Pairing
    cache: Path
    part: Literal["validation", "test"] = "validation"

    signature: ClassVar[Signature] = Signature(
        KNOBS, {"archive": "handle"}, {"archive": "measured"}, "measured"
    )

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Handles of the archives, shape (n,); trains what is not there.

        Raises:
            DseError: If a pair does not exist, or the task is not fetched.
        """
        found = [archived(pairing, self.cache)[self.part] for pairing in self._pairings(columns)]
        return {"archive": np.array(found, dtype="<U64")}

    def handles(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
        """Content addresses, shape (n,), known before anything is run."""
        found = [handles_of(p, self.cache)[self.part] for p in self._pairings(columns)]
        return np.array(found, dtype="<U64")

    def exist(self, handles: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which archives are in the cache, shape (n,)."""
        return np.array([archive_path(self.cache, str(h)).is_file() for h in handles], dtype=bool)

    def _pairings(self, columns: Mapping[str, NDArray[Any]]) -> list[Pairing]:
        rows = zip(*(columns[name] for name in KNOBS), strict=True)
        return [
            replace(
                self.pairing, edge_layers=int(layers), cloud_network=str(cloud), beta=float(beta)
            )
            for layers, cloud, beta in rows
        ]


@dataclass(frozen=True, slots=True)
class AppealReplay:
    """Evaluator: archive and threshold to appealing rate and system accuracy.

    Attributes:
        cache: Cache folder that holds the archives.
        router: Who decides.
        prefix: Of the output names; tells one split from another.
    """

    cache: Path
    router: Router = "appeal"
    prefix: str = ""

    @property
    def signature(self) -> Signature:
        """Gives accuracy, appeal_rate, edge_accuracy, cloud_accuracy, mean_trust; with the prefix.

        `mean_trust` above 0.98 marks a head that stopped learning.
        """
        names = ("accuracy", "appeal_rate", "edge_accuracy", "cloud_accuracy", "mean_trust")
        return Signature.uniform(
            {"archive": "handle", "appeal_threshold": "1"},
            {f"{self.prefix}{name}": "1" for name in names},
            "measured",
        )

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """Every output [1], shape (n,) each.

        Raises:
            DseError: If an archive is missing or damaged.
        """
        thresholds = np.asarray(columns["appeal_threshold"], dtype=np.float64)
        handles = columns["archive"]
        names = tuple(self.signature.outputs)
        results = {name: np.empty(len(thresholds)) for name in names}
        for handle in np.unique(handles):
            rows = np.flatnonzero(handles == handle)
            curve, trust = _curve(self.cache, str(handle), self.router)
            rate, accuracy = curve.at(thresholds[rows])
            ends = curve.edge_accuracy, curve.cloud_accuracy, trust
            flat = (np.full(len(rows), end) for end in ends)
            for name, values in zip(names, (accuracy, rate, *flat), strict=True):
                results[name][rows] = values
        return results


@lru_cache(maxsize=256)
def _curve(cache: Path, handle: str, router: Router) -> tuple[RoutingCurve, float]:
    """Content-addressed, so remembering it can never be stale."""
    archive: PairArchive = read_pair(cache, handle)
    return RoutingCurve.of(archive.routed(router)), float(archive.trust.mean())


def is_degenerate(archive: PairArchive) -> bool:
    """Whether the predictor head of a pair trusts everything; see `routers.degenerate`."""
    return degenerate(archive.trust)
