"""Early exit, replayed on an archive of logits: exact, for any column of thresholds.

A rule gives every sentence a score at each layer; the sentence leaves at the first layer whose
score is *strictly* below the threshold, and the last layer always answers.

    entropy          H = ln sum e^x - sum x e^x / sum e^x < T     EdgeBERT (arXiv 2011.14203)
    max probability  max softmax > T                              BranchyNet (arXiv 1709.01686)
    patience         the last T answers up to layer l are equal   PABEE (arXiv 2006.04152)

With M_l the least score of layers 1 to l, a sentence has left by layer l if and only if M_l is
below the threshold. So everything that a threshold decides changes only where it passes one of the
values M_l: sorted once, these values make accuracy and depth a table, and a threshold one binary
search in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.archive import read_archive
from dse.core.errors import DseError
from dse.core.signature import Signature

FloatArray = NDArray[np.float64]

Rule: TypeAlias = Literal["entropy", "max-probability", "patience"]
"""Which score decides; see the formulas above."""


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


def scores(rule: Rule, logits: NDArray[np.floating[Any]]) -> FloatArray:
    """Score of each sentence at each layer, shape (n, layers); it leaves below the threshold.

    Args:
        rule: Which.
        logits: Shape (n, layers, classes).
    """
    if rule == "entropy":
        return entropy(logits)
    if rule == "max-probability":
        x = np.asarray(logits, dtype=np.float64)
        x = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(-(x.max(axis=-1) / x.sum(axis=-1)))
    answers = logits.argmax(axis=-1)
    alike = np.ones(answers.shape)
    for layer in range(1, answers.shape[1]):
        same = answers[:, layer] == answers[:, layer - 1]
        alike[:, layer] = np.where(same, alike[:, layer - 1] + 1.0, 1.0)
    return -alike


def limits(rule: Rule, thresholds: NDArray[np.floating[Any]]) -> FloatArray:
    """Scores below which a sentence leaves, shape (n,), for thresholds as the user says them.

    Args:
        rule: Which.
        thresholds: Entropy [nat], probability [1] or number of equal answers [layer].

    Raises:
        DseError: If a threshold is none of the rule.
    """
    values = np.asarray(thresholds, dtype=np.float64)
    fit = np.isfinite(values) & (values >= 0)
    if rule == "patience":
        fit &= (values >= 1) & (values == np.floor(values))
    if not fit.all():
        kinds = {
            "entropy": "an entropy threshold is 0 nat or more",
            "max-probability": "a probability is 0 or more",
            "patience": "patience is a whole number of layers, 1 or more",
        }
        raise DseError(f"exit_threshold = {values[~fit][0]}; {kinds[rule]}, finite")
    if rule == "entropy":
        return values
    return -values if rule == "max-probability" else 0.5 - values


@dataclass(frozen=True, slots=True, eq=False)
class ExitCurve:
    """What each threshold does to one archive.

    Between two breakpoints nothing changes: row i holds for limits above `breakpoints[i - 1]`
    and up to `breakpoints[i]` inclusive (the rule is strict).

    Attributes:
        breakpoints: Sorted distinct prefix minima of the scores, shape (k,).
        correct: Answers that are right, in each draw, shape (k + 1, draws).
        left_by: Sentences that have left by each layer, all draws, shape (k + 1, layers).
    """

    breakpoints: FloatArray
    correct: NDArray[np.int64]
    left_by: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        logits: NDArray[np.floating[Any]],
        labels: NDArray[np.integer[Any]],
        rule: Rule = "entropy",
        draws: int = 1,
    ) -> "ExitCurve":
        """The curve of an archive.

        Args:
            logits: Shape (n, layers, classes), finite.
            labels: Class of each sentence, shape (n,).
            rule: Which score decides.
            draws: Fault patterns, one after another in the rows.
        """
        right = logits.argmax(axis=-1) == labels[:, None]
        n, layers = right.shape
        minima = np.minimum.accumulate(scores(rule, logits)[:, : layers - 1], axis=1)
        breakpoints, place = np.unique(minima, return_inverse=True)
        place = place.reshape(minima.shape)
        # Above M_l one more sentence has left by layer l: that is from row place + 1 on.
        left_by = np.zeros((len(breakpoints) + 1, layers), dtype=np.int64)
        for layer in range(layers - 1):
            np.add.at(left_by[:, layer], place[:, layer] + 1, 1)
        left_by = left_by.cumsum(axis=0)
        left_by[:, -1] = n
        # Minima fall with l, so a limit passes them from the last layer to the first, and at M_l
        # the sentence's answer changes from that of layer l + 1 to that of layer l.
        gain = right[:, :-1].astype(np.int64) - right[:, 1:]
        draw = np.repeat(np.arange(draws), n // draws)[:, None]
        steps = np.zeros((len(breakpoints) + 1, draws), dtype=np.int64)
        np.add.at(steps, (place + 1, draw), gain)
        correct = right[:, -1].reshape(draws, -1).sum(axis=1) + steps.cumsum(axis=0)
        return cls(breakpoints, correct, left_by)

    def at(self, limits: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Replay a column of limits.

        Args:
            limits: Scores below which a sentence leaves, shape (n,); see `limits`.

        Returns:
            accuracy [1], mean exit layer [layer], p95 exit layer [layer] (the smallest layer by
            which at least 95 % of the sentences have left) and the accuracy of the worst draw [1],
            each shape (n,); layers count from 1.
        """
        row = np.searchsorted(self.breakpoints, limits, side="left")
        n, layers = self.left_by[0, -1], self.left_by.shape[1]
        accuracy = self.correct.sum(axis=1) / n
        worst = self.correct.min(axis=1) / (n / self.correct.shape[1])
        # A sentence that leaves at layer d stays beyond d - 1 layers: mean = 1 + sum of shares.
        mean = 1.0 + (n - self.left_by[:, : layers - 1]).sum(axis=1) / n
        p95 = 1.0 + (100 * self.left_by < 95 * n).sum(axis=1)
        return accuracy[row], mean[row], p95[row], worst[row]


OUTPUTS: Mapping[str, str] = {
    "accuracy": "1",
    "mean_exit_layer": "layer",
    "p95_exit_layer": "layer",
    "accuracy_worst_draw": "1",
}
"""What a replay gives, in the order of `ExitCurve.at`."""


@dataclass(frozen=True, slots=True)
class ExitReplay:
    """Evaluator: archive and threshold to accuracy and depth.

    Attributes:
        cache: Cache folder that holds the archives.
        rule: Which score decides.
        prefix: Of the output names; tells one split from another.
    """

    cache: Path
    rule: Rule = "entropy"
    prefix: str = ""

    @property
    def signature(self) -> Signature:
        """Reads an archive and a threshold in the unit of the rule.

        Gives accuracy, mean_exit_layer, p95_exit_layer, accuracy_worst_draw, each with the prefix.
        """
        units = {"entropy": "nat", "max-probability": "1", "patience": "layer"}
        return Signature.uniform(
            {"archive": "handle", "exit_threshold": units[self.rule]},
            {f"{self.prefix}{name}": unit for name, unit in OUTPUTS.items()},
            "measured",
        )

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """Accuracy [1], mean and p95 exit layer [layer], worst accuracy [1], each shape (n,).

        Raises:
            DseError: If a threshold is none of the rule, or an archive is missing or damaged.
        """
        thresholds = limits(self.rule, columns["exit_threshold"])
        handles = columns["archive"]
        names = tuple(self.signature.outputs)
        results = {name: np.empty(len(thresholds)) for name in names}
        # All rows of a batch often share one archive; comparing is cheaper than sorting strings.
        same = len(handles) > 0 and bool((handles == handles[0]).all())
        for handle in handles[:1] if same else np.unique(handles):
            rows = slice(None) if same else np.flatnonzero(handles == handle)
            curve = _curve(self.cache, str(handle), self.rule)
            for name, values in zip(names, curve.at(thresholds[rows]), strict=True):
                results[name][rows] = values
        return results


@lru_cache(maxsize=256)
def _curve(cache: Path, handle: str, rule: Rule) -> ExitCurve:
    """Content-addressed, so remembering it can never be stale."""
    archive = read_archive(cache, handle)
    return ExitCurve.of(archive.logits, archive.labels, rule, archive.draws)
