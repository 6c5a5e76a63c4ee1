"""Exits on a device, and a cloud behind it, replayed on archives: accuracy and who answers where.

The device holds s of L layers. Sentence i, with scores of the exit rule after each layer:

    leaves          after the first layer l whose score is below the limit
                    (foretold exit: after layer p its entropy names the layer, which is waited for)
    not left by s   none    the exit after layer s answers
                    state   the state after layer s crosses, and the last layer answers
                    input   the exit after layer s answers if its trust >= threshold; else the
                            sentence itself crosses and the network there answers

With s = L the last exit is where a sentence stands that has not left. With s = 0 all are sent.
Exact for the sentences of the archive, whatever the thresholds (arXiv 2011.14203, 2105.04104).

A head that is asked about the sentences which taught it looks better than it is, and a search
finds just that. So these are cross-fitted: each is judged by a head that the other folds taught.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.appeal.exit_appeal import ExitHead, Signal, routed_exit
from dse.accuracy.appeal.routers import Routed
from dse.accuracy.archive import read_archive, rows_of
from dse.accuracy.exits import FloatArray, Rule, entropy, limits, scores
from dse.accuracy.predictor import ExitTable, fitted
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


class _Key(NamedTuple):
    """What decides for all sentences but for the thresholds."""

    cache: Path
    archive: str
    rule: Rule
    split: int
    predict: int  # 0: nothing is foretold
    foretold_by: str
    offload: str
    signal: Signal | Literal[""]
    beta: float
    cloud: Cloud | None


@dataclass(frozen=True, slots=True)
class OffloadReplay:
    """Evaluator: archive, exits, split and appeal to accuracy and shares of sentences.

    Attributes:
        cache: Cache folder that holds the archives.
        layers: L of the network.
        clouds: Networks behind the link, by name.
        foretold_by: Handle of the archive to which the table of exits is fitted; empty: no exit is
            foretold, and `dvfs` and `predict_layer` are not read.
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
            DseError: If a threshold is none of its rule, or archives do not fit together.
        """
        found = np.empty((len(columns["archive"]), self.layers + 2))
        appeal = np.asarray(columns["appeal_threshold"], dtype=np.float64)
        groups: dict[tuple[Any, ...], list[int]] = {}
        for row, said in enumerate(self._said(columns)):
            groups.setdefault(said, []).append(row)
        for said, rows in groups.items():
            found[rows] = _standing(*self._key(*said)).at(appeal[rows])
        return dict(zip(self.signature.outputs, found.T, strict=True))

    def _said(self, columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
        """What decides, row by row, but for the threshold of trust."""
        names = ("archive", "exit_rule", "split_layer", "offload", "appeal_signal", "beta",
                 "cloud_network")  # fmt: skip
        limit = self._limits(columns).tolist()
        predict = [0] * len(limit)
        if self.foretold_by:
            foretold = np.asarray(columns["dvfs"]) == "sentence"
            predict = np.where(foretold, columns["predict_layer"], 0).tolist()
        return zip(*(columns[name].tolist() for name in names), predict, limit, strict=True)

    def _key(  # noqa: PLR0913  (a row)
        self, archive: str, rule: Rule, split: float, offload: str, signal: Signal, beta: float,
        cloud: str, predict: float, limit: float,
    ) -> tuple["_Key", float]:  # fmt: skip
        """What decides, with everything out that has no say."""
        appeals = offload == "input"
        heard: Signal | Literal[""] = signal if appeals else ""
        key = _Key(
            self.cache,
            archive,
            rule,
            int(split),
            int(predict),
            self.foretold_by if predict else "",
            offload,
            heard,
            float(beta) if appeals and signal == "appeal" else 0.0,
            self._cloud(cloud) if appeals else None,
        )
        return key, limit

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


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """One exit limit: what is settled, and what hangs on the threshold of trust.

    Attributes:
        settled: Right answers, then answers after each layer, then sentences sent; shape (L + 2,).
        last: Layer after which the rest is answered if it is trusted.
        trust: Of the sentences that may be appealed, rising, shape (m,).
        device: Right answers of the device among the first so many of them, shape (m + 1,).
        cloud: Right answers of the cloud among them, shape (m + 1,).
        count: Sentences in all.
    """

    settled: NDArray[np.int64]
    last: int
    trust: FloatArray
    device: NDArray[np.int64]
    cloud: NDArray[np.int64]
    count: int

    def at(self, thresholds: FloatArray) -> FloatArray:
        """Accuracy, answers after each layer and sentences sent, as shares; shape (n, L + 2)."""
        sent = np.searchsorted(self.trust, thresholds, side="left")
        found = np.tile(self.settled, (len(thresholds), 1))
        found[:, 0] += self.cloud[sent] + self.device[-1] - self.device[sent]
        if self.last:
            found[:, self.last] += len(self.trust) - sent
        found[:, -1] += sent
        return np.asarray(found / self.count, dtype=np.float64)


@lru_cache(maxsize=8192)
def _standing(key: _Key, limit: float) -> _Standing:
    """Content-addressed, so remembering it can never be stale."""
    exits, right, layers = _exits(key, limit)
    n, s = len(right), key.split
    stays = exits > s if s < layers else exits == layers
    left = exits[~stays]
    settled = np.zeros(layers + 2, dtype=np.int64)
    settled[0] = right[~stays, left - 1].sum()
    settled[1:-1] = np.bincount(left, minlength=layers + 1)[1:]
    none = np.zeros(0), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    waiting = int(stays.sum())
    if key.offload == "state":
        settled[0] += right[stays, layers - 1].sum()
        settled[-1] += waiting
        return _Standing(settled, 0, *none, n)
    if key.offload == "none":
        settled[0] += right[stays, s - 1].sum()
        settled[s] += waiting
        return _Standing(settled, 0, *none, n)
    assert key.cloud is not None
    asked = (key.cache, key.archive, key.cloud)
    if s == 0:
        settled[0] += _routed(*asked, layers, "max-softmax", 0.0).cloud_right.sum()
        settled[-1] += waiting
        return _Standing(settled, 0, *none, n)
    routed = _routed(*asked, s, key.signal, key.beta)
    order = np.flatnonzero(stays)
    order = order[np.argsort(routed.score[order], kind="stable")]
    device, cloud = (
        np.concatenate([[0], answers[order].cumsum()])
        for answers in (routed.edge_right, routed.cloud_right)
    )
    return _Standing(settled, s, routed.score[order], device, cloud, n)


def _exits(key: _Key, limit: float) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Layer after which each sentence leaves, L if it never does; right answers; L."""
    values, right = _scored(key.cache, key.archive, key.rule)
    layers = right.shape[1]
    least = np.minimum.accumulate(values[:, : layers - 1], axis=1)
    exits = 1 + (least >= limit).sum(axis=1)
    if not key.predict:
        return exits, right, layers
    table = _table(key.cache, key.foretold_by, key.predict)
    foretold = table.exits(values[:, key.predict - 1], np.array([limit]))[0]
    return np.where(exits <= key.predict, exits, foretold), right, layers


@lru_cache(maxsize=512)
def _scored(cache: Path, handle: str, rule: Rule) -> tuple[FloatArray, NDArray[np.bool_]]:
    archive = read_archive(cache, handle)
    right = archive.logits.argmax(axis=2) == archive.labels[:, np.newaxis]
    return scores(rule, archive.logits), right


@lru_cache(maxsize=64)
def _table(cache: Path, handle: str, predict: int) -> ExitTable:
    return fitted(entropy(read_archive(cache, handle).logits), predict)


@lru_cache(maxsize=2048)
def _head(
    cache: Path, taught: tuple[str, str], layer: int, beta: float, fold: int, folds: int
) -> ExitHead:
    """Taught by all folds but this one; by everything where there is one fold."""
    device, cloud = (read_archive(cache, handle) for handle in taught)
    if folds > 1:
        others = np.flatnonzero(np.arange(len(cloud.labels)) % folds != fold)
        device, cloud = rows_of(device, others), rows_of(cloud, others)
    return ExitHead.fitted(device, cloud, layer, beta=beta)


@lru_cache(maxsize=2048)
def _routed(
    cache: Path, archive: str, cloud: Cloud, layer: int, signal: Signal, beta: float
) -> Routed:
    device, expert = read_archive(cache, archive), read_archive(cache, cloud.archive)
    if signal != "appeal":
        return routed_exit(device, expert, layer, signal)
    heads = [_head(cache, cloud.taught, layer, beta, i, cloud.folds) for i in range(cloud.folds)]
    parts = [routed_exit(device, expert, layer, "appeal", head) for head in heads]
    # The draws of faults follow one another, each with all sentences.
    fold = np.arange(len(device.labels)) % len(expert.labels) % cloud.folds
    score = np.choose(fold, [part.score for part in parts])
    return replace(parts[0], score=score)
