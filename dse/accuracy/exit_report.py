"""How well each exit of a trained network answers, on both splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.archive import Archive, read_archive
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.data.tasks import Split
from dse.accuracy.networks.training import Trained


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """A network on one split.

    Attributes:
        accuracy: Of each exit [1], shape (layers,).
        macro_f1: Unweighted mean over the classes of the F1 score, of each exit [1]; tells where
            a class that is rare is never answered.
        majority: Accuracy of always answering the most frequent class [1].
    """

    accuracy: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    majority: float

    @classmethod
    def of(cls, archive: Archive) -> "Marks":
        """From the answers of an archive."""
        answers, classes = archive.logits.argmax(axis=-1), archive.logits.shape[2]
        labels = archive.labels[:, None]
        right = (answers == labels).mean(axis=0)
        scores = []
        for c in range(classes):
            hit = ((answers == c) & (labels == c)).sum(axis=0)
            claimed, present = (answers == c).sum(axis=0), (labels == c).sum()
            scores.append(2.0 * hit / np.maximum(claimed + present, 1))
        counts = np.bincount(archive.labels, minlength=classes)
        return cls(right, np.mean(scores, axis=0), float(counts.max() / len(archive.labels)))


def marks(
    trained: Trained, task: str, cache: Path, split: Split, how: Compression | None = None
) -> Marks:
    """Pass a split through a network, or find the pass, and mark it.

    Args:
        trained: Dense network.
        task: That it was trained on.
        cache: Cache folder.
        split: Which sentences.
        how: Compression; None: float32, nothing pruned.
    """
    fixed = Compression(weight_bits=32) if how is None else how
    run = AccuracyRun(trained, task, cache, split, knobs=("pruning_ratio",), fixed=fixed)
    handle = run({"pruning_ratio": np.array([fixed.pruning_ratio])})["archive"][0]
    return Marks.of(read_archive(cache, str(handle)))
