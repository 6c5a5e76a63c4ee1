"""The accuracy run: compress a trained network, pass every sentence once, keep the logits."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from dse.accuracy.adaptivfloat import Format, quantised
from dse.accuracy.archive import Archive, archive_path, read_archive, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.network import Network, all_means, load_trained, tokenised
from dse.accuracy.pruning import pruned
from dse.accuracy.tasks import Split, read_split
from dse.accuracy.training import Trained
from dse.errors import DseError

VERSION = 1
"""Counts changes of this file that change the logits."""


@dataclass(frozen=True, slots=True)
class AccuracyRun:
    """Evaluator: pruning ratio and float width to the archive of a real forward pass.

    Pruned: every matrix of the encoder layers. Quantised: these, the embedding tables and the
    off-ramps; vectors (biases, layer norms; 0.3 % of the parameters) and activations stay float32.
    A pass whose archive is in the cache is not made again.

    Attributes:
        trained: The dense network.
        task: Name of a fetched task.
        cache: Cache folder.
        split: Sentences that are passed through.
        sentences: The first so many of the split; None takes all.
        exponent_bits: Of an AdaptivFloat weight [bit].
    """

    trained: Trained
    task: str
    cache: Path
    split: Split = "validation"
    sentences: int | None = None
    exponent_bits: int = 3

    inputs: ClassVar[Mapping[str, str]] = {"pruning_ratio": "1", "weight_bits": "bit"}
    outputs: ClassVar[Mapping[str, str]] = {"archive": "handle"}
    evidence: ClassVar[Mapping[str, str]] = {"archive": "measured"}
    cost: ClassVar[Literal["measured"]] = "measured"

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Handles of the archives, shape (n,).

        Raises:
            DseError: If a ratio or a width does not exist, or the task is not fetched.
        """
        handles = self.handles(columns)
        for row, handle in enumerate(handles):
            if not self._is_there(str(handle)):
                ratio = float(columns["pruning_ratio"][row])
                self._run_once(str(handle), ratio, int(columns["weight_bits"][row]))
        return {"archive": handles}

    def handles(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
        """Content addresses, shape (n,), known before anything is run."""
        settings = zip(columns["pruning_ratio"], columns["weight_bits"], strict=True)
        return np.array([key_of(self._facts(float(r), int(b))) for r, b in settings], dtype="<U64")

    def exist(self, handles: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which archives are in the cache, shape (n,)."""
        return np.array([archive_path(self.cache, str(h)).is_file() for h in handles], dtype=bool)

    def facts(self) -> dict[str, str]:
        """What every archive of this evaluator depends on, beside the knobs."""
        return {
            "network_sha256": self.trained.sha256,
            "task": self.task,
            "task_sha256": _examples(self.task, self.cache, self.split)[2],
            "split": self.split,
            "torch": importlib.metadata.version("torch"),
        }

    def _facts(self, ratio: float, bits: int) -> dict[str, object]:
        return {
            **self.facts(),
            "kind": "archive of logits",
            "version": VERSION,
            "sentences": self.sentences,
            "pruning_ratio": ratio,
            "weight_bits": bits,
            "exponent_bits": self.exponent_bits,
            "precision": "float32",
        }

    def _is_there(self, handle: str) -> bool:
        if not archive_path(self.cache, handle).is_file():
            return False
        try:
            read_archive(self.cache, handle)
        except DseError:
            return False  # damaged: made again
        return True

    def _run_once(self, handle: str, ratio: float, bits: int) -> None:
        """Two workers that need the same pass make it once: the second waits and finds it."""
        path = archive_path(self.cache, handle)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not self._is_there(handle):
                self._run(handle, ratio, bits)

    def _run(self, handle: str, ratio: float, bits: int) -> None:
        form = Format(bits, self.exponent_bits)
        sentences, labels, _ = _examples(self.task, self.cache, self.split)
        count = len(sentences) if self.sentences is None else self.sentences
        if count > len(sentences):
            raise DseError(f"sentences = {count}; the split {self.split} has {len(sentences)}")
        tokens = _tokens(self.trained.folder, sentences[:count])
        with _one_thread():
            network = compressed(_dense(self.trained), ratio, form)
            logits = network.logits(all_means(network.encoder, tokens))
        archive = Archive(
            logits.numpy().astype(np.float32),
            np.array(labels[:count], dtype=np.int64),
            np.array([len(t) for t in tokens], dtype=np.int64),
            self._facts(ratio, bits),
        )
        write_archive(self.cache, handle, archive)


def compressed(network: Network, ratio: float, form: Format) -> Network:
    """A copy of a network with pruned encoder matrices and quantised matrices."""
    encoder = deepcopy(network.encoder)
    for name, parameter in encoder.named_parameters():
        if parameter.dim() < 2:
            continue
        matrix = parameter.data
        if "embeddings" not in name.split("."):
            matrix = pruned(matrix, ratio)
        parameter.data = quantised(matrix, form)
    off_ramps = torch.stack([quantised(layer, form) for layer in network.weight])
    return Network(encoder, off_ramps, network.bias)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: the order of a sum must not depend on who computes it, or fronts would differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _dense(trained: Trained) -> Network:
    """Read once per process: 90 MB. Keyed by content hash, so it cannot be stale."""
    return load_trained(trained.path, trained.folder)


@lru_cache(maxsize=2)
def _tokens(folder: Path, sentences: tuple[str, ...]) -> list[list[int]]:
    """Tokenised once per process."""
    return tokenised(folder, sentences)


@lru_cache(maxsize=4)
def _examples(task: str, cache: Path, split: Split) -> tuple[tuple[str, ...], tuple[int, ...], str]:
    """Read once per process: a handle needs the digest, and a thousand handles are asked for."""
    examples = read_split(task, cache, split)
    return examples.sentences, examples.labels, examples.digest
