"""Exits on a device, and a cloud behind it, replayed on archives: accuracy and who answers where.

The device holds s of L layers. Sentence i, with scores of the exit rule after each layer:

    leaves          after the first layer l whose score is below the limit
                    (predicted exit: after layer p its entropy names the layer, which is waited for)
    not left by s   none    the exit after layer s answers
                    state   the state after layer s crosses, and the last layer answers
                    input   the exit after layer s answers if its trust >= threshold; else the
                            sentence itself crosses and the network there answers

With s = L the last exit is where a sentence stands that has not left. With s = 0 all are sent.
Exact for the sentences of the archive, whatever the thresholds (arXiv 2011.14203, 2105.04104).

All but the appeals are the step functions of `exit_counts`. There, M_l is the least score of layers
1 to l. Where the exit is predicted, M_l of a layer after p is the smaller of M_p and the least
entropy predicted for layers p + 1 to l. An appeal depends on two orders of the sentences, by M_s
and by trust (`prefix_counts`).

A head that is asked about the sentences which taught it looks better than it is, and a search
finds just that. So these are cross-fitted: each is judged by a head that the other folds taught.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.appeal.exit_appeal import ExitHead, Signal, readings, routed_exit
from dse.accuracy.archive import Archive, read_archive, rows_of
from dse.accuracy.exit_counts import ExitCounts
from dse.accuracy.exits import FloatArray, Rule, entropy, limits, scores
from dse.accuracy.predictor import ExitTable, fitted
from dse.accuracy.prefix_counts import IntArray, Order, sums_between
from dse.core.errors import DseError
from dse.core.signature import Signature

Offload: TypeAlias = Literal["none", "state", "input"]
"""What is sent of a sentence that has not left by the device's last layer."""

THRESHOLDS: Mapping[str, tuple[Rule, str]] = {
    "exit_entropy": ("entropy", "nat"),
    "exit_probability": ("max-probability", "1"),
    "exit_patience": ("patience", "layer"),
}
"""Column with the threshold of each rule, and its unit."""


FOLDS = 5
"""Of the sentences that teach a head and are judged by it."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Answers of the network behind the link.

    Where the split that is replayed is the one that teaches, heads are cross-fitted.

    Attributes:
        archive: Its answers to the split that is replayed.
        taught: Handles of the archives of device and cloud on which a head learns whom to trust;
            the device's is of the uncompressed network.
    """

    archive: str
    taught: tuple[str, str]

    @property
    def folds(self) -> int:
        """In which the sentences are cross-fitted; 1: those that teach are others."""
        return FOLDS if self.archive == self.taught[1] else 1


@dataclass(frozen=True, slots=True)
class OffloadReplay:
    """Evaluator: archive, exits, split and appeal to accuracy and shares of sentences.

    Attributes:
        cache: Cache folder that holds the archives.
        layers: L of the network.
        clouds: Networks behind the link, by name.
        foretold_by: Handle of the archive to which the table of exits is fitted; empty: no exit is
            predicted, and `dvfs` and `predict_layer` are not read.
        prefix: Of the output names; tells one split from another.
    """

    cache: Path
    layers: int
    clouds: Mapping[str, Cloud] = field(default_factory=dict)
    foretold_by: str = ""
    prefix: str = ""

    @property
    def signature(self) -> Signature:
        """Reads an archive, exits, and what is sent where.

        Gives accuracy, answered_1 .. answered_L (on the device), offloaded; each with the prefix.
        """
        foretelling = {"dvfs": "choice", "predict_layer": "layer"} if self.foretold_by else {}
        reads = {
            "archive": "handle",
            "split_layer": "layer",
            "offload": "choice",
            "exit_rule": "choice",
            **{name: unit for name, (_, unit) in THRESHOLDS.items()},
            **foretelling,
            "cloud_network": "choice",
            "appeal_signal": "choice",
            "beta": "1",
            "appeal_threshold": "1",
        }
        names = ("accuracy", *(f"answered_{i + 1}" for i in range(self.layers)), "offloaded")
        return Signature.uniform(reads, {f"{self.prefix}{n}": "1" for n in names}, "measured")

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """Accuracy [1] and shares of sentences [1], shape (n,) each.

        Raises:
            DseError: If a threshold is none of its rule, the device holds more layers than there
                are, nothing can answer, or archives do not fit together.
        """
        said = self._said(columns)
        found = np.empty((len(said["split"]), self.layers + 2))
        for (archive, rule, predict), rows in _grouped(said, "archive", "rule", "predict"):
            mine = {name: column[rows] for name, column in said.items()}
            table = self.foretold_by if predict else ""
            exits = _exits(self.cache, archive, rule, predict, table)
            found[rows] = self._replayed(archive, exits, mine)
        return dict(zip(self.signature.outputs, found.T, strict=True))

    def _said(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What decides, with everything out that has no say; shape (n,) each."""
        offload, split = np.asarray(columns["offload"]), columns["split_layer"].astype(np.int64)
        good = np.isin(offload, get_args(Offload)) & (split >= (offload == "none"))
        good &= split <= self.layers
        if not good.all():
            first = f"split_layer = {split[~good][0]} and offload = {str(offload[~good][0])!r}"
            raise DseError(
                f"{first}; a device holds 0 to {self.layers} layers, and offload is none, state or "
                "input; a device without a layer must offload. Change either knob"
            )
        predict = np.zeros(len(split), dtype=np.int64)
        if self.foretold_by:
            predict[:] = np.where(columns["dvfs"] == "sentence", columns["predict_layer"], 0)
        # Where the device holds no layer, it has no answer that could be trusted.
        signal = np.where(split > 0, columns["appeal_signal"], "max-softmax")
        return {
            "archive": columns["archive"],
            "rule": columns["exit_rule"],
            "limit": self._limits(columns),
            "predict": predict,
            "split": split,
            "offload": offload,
            "cloud": columns["cloud_network"],
            "signal": signal,
            "beta": np.where(signal == "appeal", columns["beta"], 0.0),
            "threshold": np.asarray(columns["appeal_threshold"], dtype=np.float64),
        }

    def _replayed(
        self, archive: str, exits: ExitCounts, said: Mapping[str, NDArray[Any]]
    ) -> FloatArray:
        """Accuracy and shares of designs with these exits, shape (n, L + 2)."""
        split, offload = said["split"], said["offload"]
        left = exits.left(said["limit"])
        right, answered = exits.unsent(left, split)
        gone = left[np.arange(len(split)), exits.last(split)]
        moved = np.where(offload[:, np.newaxis] == "state", exits.crossing(gone, split), 0)
        asking = np.flatnonzero(offload == "input")
        appeals = {name: said[name][asking] for name in ("split", "cloud", "signal", "beta")}
        for (held, cloud, signal, beta), some in _grouped(appeals, *appeals):
            rows = asking[some]
            trust, weights = _appeal(self.cache, archive, self._cloud(cloud), held, signal, beta)
            doubted = trust.below(said["threshold"][rows])
            stays = exits.orders[exits.last(held)]
            moved[rows] = sums_between(stays, gone[rows], trust, doubted, weights)
        sent, gained = moved.T
        answered[np.arange(len(split)), split] -= sent
        counts = np.column_stack([right + gained, answered[:, 1:], sent])
        return np.asarray(counts / left[0, -1], dtype=np.float64)

    def _cloud(self, name: str) -> Cloud:
        if name not in self.clouds:
            raise DseError(f"cloud_network = {name!r}; there are {', '.join(self.clouds)}")
        return self.clouds[name]

    def _limits(self, columns: Mapping[str, NDArray[Any]]) -> FloatArray:
        """Score below which a sentence leaves, by the row's own rule; shape (n,)."""
        rules = columns["exit_rule"]
        below = np.full(len(rules), np.nan)
        for name, (rule, _) in THRESHOLDS.items():
            mine = rules == rule
            below[mine] = limits(rule, np.asarray(columns[name], dtype=np.float64)[mine])
        if np.isnan(below).any():
            raise DseError(f"exit_rule = {str(rules[np.isnan(below)][0])!r} is no rule")
        return below


def _grouped(
    columns: Mapping[str, NDArray[Any]], *names: str
) -> Iterator[tuple[tuple[Any, ...], IntArray]]:
    """Values of the named columns that occur together, in order, and their rows."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, values in enumerate(zip(*(columns[name].tolist() for name in names), strict=True)):
        found.setdefault(values, []).append(row)
    for values in sorted(found):
        yield values, np.array(found[values])


@lru_cache(maxsize=128)
def _exits(cache: Path, archive: str, rule: Rule, predict: int, foretold_by: str) -> ExitCounts:
    """Content-addressed, so remembering it can never be stale; the same holds below."""
    values, right = _scored(cache, archive, rule)
    least = np.minimum.accumulate(values[:, :-1], axis=1)
    if predict:
        predicted = _table(cache, foretold_by, predict).least(values[:, predict - 1])
        least = least[:, :predict]
        least = np.hstack([least, np.minimum(least[:, -1:], predicted)])
    return ExitCounts.of(least, right)


@lru_cache(maxsize=16)
def _read(cache: Path, handle: str) -> Archive:
    return read_archive(cache, handle)


@lru_cache(maxsize=16)
def _scored(cache: Path, handle: str, rule: Rule) -> tuple[FloatArray, NDArray[np.bool_]]:
    archive = _read(cache, handle)
    right = archive.logits.argmax(axis=2) == archive.labels[:, np.newaxis]
    return scores(rule, archive.logits), right


@lru_cache(maxsize=64)
def _table(cache: Path, handle: str, predict: int) -> ExitTable:
    return fitted(entropy(_read(cache, handle).logits), predict)


@lru_cache(maxsize=2048)
def _head(
    cache: Path, taught: tuple[str, str], layer: int, beta: float, fold: int, folds: int
) -> ExitHead:
    """Taught by all folds but this one; by everything where there is one fold."""
    device, cloud = (_read(cache, handle) for handle in taught)
    if folds > 1:
        others = np.flatnonzero(np.arange(len(cloud.labels)) % folds != fold)
        device, cloud = rows_of(device, others), rows_of(cloud, others)
    return ExitHead.fitted(device, cloud, layer, beta=beta)


@lru_cache(maxsize=16)
def _readings(cache: Path, handle: str, layer: int) -> FloatArray:
    return readings(_read(cache, handle), layer)


@lru_cache(maxsize=1024)
def _appeal(
    cache: Path, archive: str, cloud: Cloud, layer: int, signal: Signal, beta: float
) -> tuple[Order, NDArray[np.int8]]:
    """Order by trust; of each sentence 1, and what is gained if it is appealed, shape (n, 2)."""
    device, expert = _read(cache, archive), _read(cache, cloud.archive)
    learned = signal == "appeal"
    routed = routed_exit(device, expert, max(layer, 1), "max-softmax" if learned else signal)
    if learned:
        said = _readings(cache, archive, layer)
        heads = [
            _head(cache, cloud.taught, layer, beta, i, cloud.folds) for i in range(cloud.folds)
        ]
        # The draws of faults follow one another, each with all sentences.
        fold = np.arange(len(device.labels)) % len(expert.labels) % cloud.folds
        routed = replace(routed, score=np.choose(fold, [head.trust_of(said) for head in heads]))
    answers = routed.edge_right & (layer > 0)
    score = routed.score if layer else np.full(len(answers), -np.inf)
    gained = routed.cloud_right.astype(np.int8) - answers
    return Order.of(score), np.stack([np.ones_like(gained), gained], axis=1)
