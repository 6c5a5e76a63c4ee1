"""Early exit by entropy, replayed on an archive of logits: exact, for any column of thresholds.

Rule (EdgeBERT, arXiv 2011.14203, early exit by entropy): a sentence leaves at the first layer l
whose entropy H_l is *strictly* below the threshold T; the last layer always answers.

With M_l = min(H_1 ... H_l), a sentence has left by layer l if and only if M_l < T. So everything
that a threshold decides changes only where T passes one of the values M_l: sorted once, these
values make accuracy and depth a table, and a threshold one binary search in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.archive import read_archive
from dse.errors import DseError

FloatArray = NDArray[np.float64]


def entropy(logits: NDArray[np.floating[Any]]) -> FloatArray:
    """Entropy of the class distribution [nat], natural logarithm, 0 to ln(classes).

    Args:
        logits: Unnormalised log probabilities, shape (..., classes).
    """
    x = np.asarray(logits, dtype=np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    weights = np.exp(x)
    total = weights.sum(axis=-1)
    values = np.log(total) - (weights * x).sum(axis=-1) / total
    # Rounding may leave -1e-17 for a certain answer; an entropy is not negative.
    return np.asarray(np.maximum(values, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class ExitCurve:
    """What each threshold does to one archive.

    Between two breakpoints nothing changes: row i holds for thresholds above `breakpoints[i - 1]`
    and up to `breakpoints[i]` inclusive (the rule is strict).

    Attributes:
        breakpoints: Sorted distinct prefix minima of the entropies [nat], shape (k,).
        correct: Sentences answered rightly, shape (k + 1,).
        left_by: Sentences that have left by each layer, shape (k + 1, layers).
    """

    breakpoints: FloatArray
    correct: NDArray[np.int64]
    left_by: NDArray[np.int64]

    @classmethod
    def of(cls, logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> "ExitCurve":
        """The curve of an archive.

        Args:
            logits: Shape (sentences, layers, classes), finite.
            labels: Class of each sentence, shape (sentences,).
        """
        right = logits.argmax(axis=-1) == labels[:, None]
        sentences, layers = right.shape
        minima = np.minimum.accumulate(entropy(logits)[:, : layers - 1], axis=1)
        breakpoints, place = np.unique(minima, return_inverse=True)
        place = place.reshape(minima.shape)
        # Above M_l one more sentence has left by layer l: that is from row place + 1 on.
        left_by = np.zeros((len(breakpoints) + 1, layers), dtype=np.int64)
        for layer in range(layers - 1):
            np.add.at(left_by[:, layer], place[:, layer] + 1, 1)
        left_by = left_by.cumsum(axis=0)
        left_by[:, -1] = sentences
        # Minima fall with l, so T passes them from the last layer to the first, and at M_l the
        # sentence's answer changes from that of layer l + 1 to that of layer l.
        gain = right[:, :-1].astype(np.int64) - right[:, 1:]
        steps = np.zeros(len(breakpoints) + 1, dtype=np.int64)
        np.add.at(steps, place + 1, gain)
        correct = right[:, -1].sum() + steps.cumsum()
        return cls(breakpoints, correct, left_by)

    def at(self, thresholds: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Replay a column of thresholds.

        Args:
            thresholds: [nat], shape (n,).

        Returns:
            accuracy [1], mean exit layer [layer] and p95 exit layer [layer] (the smallest layer by
            which at least 95 % of the sentences have left), each shape (n,); layers count from 1.
        """
        row = np.searchsorted(self.breakpoints, thresholds, side="left")
        sentences, layers = self.left_by[0, -1], self.left_by.shape[1]
        accuracy = self.correct / sentences
        # A sentence that leaves at layer d stays beyond d - 1 layers: mean = 1 + sum of shares.
        mean = 1.0 + (sentences - self.left_by[:, : layers - 1]).sum(axis=1) / sentences
        p95 = 1.0 + (100 * self.left_by < 95 * sentences).sum(axis=1)
        return accuracy[row], mean[row], p95[row]


@dataclass(frozen=True, slots=True)
class ExitReplay:
    """Evaluator: archive and threshold to accuracy and depth.

    Attributes:
        cache: Cache folder that holds the archives.
    """

    cache: Path

    inputs: ClassVar[Mapping[str, str]] = {"archive": "handle", "exit_threshold": "nat"}
    outputs: ClassVar[Mapping[str, str]] = {
        "accuracy": "1",
        "mean_exit_layer": "layer",
        "p95_exit_layer": "layer",
    }
    evidence: ClassVar[Mapping[str, str]] = dict.fromkeys(outputs, "measured")
    cost: ClassVar[Literal["closed form"]] = "closed form"

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """Accuracy [1], mean and p95 exit layer [layer], each shape (n,).

        Raises:
            DseError: If a threshold is negative or not finite, or an archive is missing or damaged.
        """
        thresholds = np.asarray(columns["exit_threshold"], dtype=np.float64)
        fit = np.isfinite(thresholds) & (thresholds >= 0)
        if not fit.all():
            bad = thresholds[~fit][0]
            raise DseError(f"exit_threshold = {bad} nat; an entropy threshold is 0 or more, finite")
        handles = columns["archive"]
        results = {name: np.empty(len(thresholds)) for name in self.outputs}
        # All rows of a batch often share one archive; comparing is cheaper than sorting strings.
        same = len(handles) > 0 and bool((handles == handles[0]).all())
        for handle in handles[:1] if same else np.unique(handles):
            rows = slice(None) if same else np.flatnonzero(handles == handle)
            curve = _curve(self.cache, str(handle))
            for name, values in zip(self.outputs, curve.at(thresholds[rows]), strict=True):
                results[name][rows] = values
        return results


@lru_cache(maxsize=256)
def _curve(cache: Path, handle: str) -> ExitCurve:
    """Content-addressed, so remembering it can never be stale."""
    archive = read_archive(cache, handle)
    return ExitCurve.of(archive.logits, archive.labels)
