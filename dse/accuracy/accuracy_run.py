"""The accuracy run: compress a trained network, pass every sentence once, keep the logits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dse.accuracy.address import ENDING, computed_by
from dse.accuracy.archive import Archive, archive_path, reads, write_archive
from dse.accuracy.cache import key_of, make_folder
from dse.accuracy.compression.cell_errors import Cells
from dse.accuracy.compression.pipeline import Compressed, Compression, compressed
from dse.accuracy.data.tasks import Examples, Split, read_split
from dse.accuracy.networks.finetune_early_stopping import FinetuneStop
from dse.accuracy.networks.network import Tokens, all_means, native_bfloat16, tokenised
from dse.accuracy.networks.training import Trained, repeatable
from dse.accuracy.networks.tuning import Tuning, ending_of, tuned_network
from dse.core.signature import Signature

CALIBRATION = 64
"""Training sentences that fix the exponents of activations."""

KNOBS: Mapping[str, str] = {
    "pruning_ratio": "1",
    "embedding_sparsity": "1",
    "pruning_method": "choice",
    "finetune_steps": "step",
    "span_penalty": "1/token",
    "attention_span": "token",
    "weight_bits": "bit",
    "activation_bits": "bit",
    "exponent_bits": "bit",
    "cell_bits": "bit",
    "link_layer": "layer",
    "link_bits": "bit",
}
"""Name and unit of every knob that an accuracy run can read: the fields of `Compression`."""


@dataclass(frozen=True, slots=True)
class AccuracyRun:
    """Evaluator: compression knobs to the archive of a real forward pass.

    A pass whose archive is in the cache is not made again.

    Attributes:
        trained: The dense network.
        task: Name of a fetched task.
        cache: Cache folder.
        split: Sentences that are passed through.
        sentences: The first so many of the split; None takes all.
        knobs: Names of the columns that it reads, out of `KNOBS`.
        fixed: Value of every other knob.
        cells: Misreadings of the memory that holds the embeddings, by bits per cell; a width that
            is not named is never misread.
        draws: Fault patterns that are passed through where cells can be misread.
        precision: Of the matrix products; `auto` takes bfloat16 where the processor has it.
        finetune_stop: When a tuning may end before its last step; None: never.
    """

    trained: Trained
    task: str
    cache: Path
    split: Split = "validation"
    sentences: int | None = None
    knobs: tuple[str, ...] = ("pruning_ratio", "weight_bits")
    fixed: Compression = field(default_factory=Compression)
    cells: tuple[Cells, ...] = ()
    draws: int = 3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    finetune_stop: FinetuneStop | None = None

    @property
    def signature(self) -> Signature:
        """Reads the chosen knobs, gives the handle of an archive."""
        reads = {name: KNOBS[name] for name in self.knobs}
        return Signature.uniform(reads, {"archive": "handle"}, "measured", "measured")

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Handles of the archives, shape (n,).

        Raises:
            DseError: If a knob's value does not exist, or the task is not fetched.
        """
        hows = self.compressions(columns)
        handles = [self._handle(how) for how in hows]
        for how, handle in zip(hows, handles, strict=True):
            if not reads(self.cache, handle):
                self._run_once(handle, how)
        return {"archive": np.array(handles, dtype="<U64")}

    def handles(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
        """Content addresses, shape (n,), known before anything is run."""
        return np.array([self._handle(how) for how in self.compressions(columns)], dtype="<U64")

    def exist(self, handles: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which archives are in the cache, shape (n,)."""
        return np.array([archive_path(self.cache, str(h)).is_file() for h in handles], dtype=bool)

    def facts(self) -> dict[str, str]:
        """What every archive of this evaluator depends on, beside the knobs."""
        return {
            "network_sha256": self.trained.sha256,
            "task": self.task,
            "task_sha256": _examples(self.task, self.cache, self.split).digest,
            "split": self.split,
            "precision": self._precision(),
        }

    def _precision(self) -> str:
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if native_bfloat16() else "float32"

    def compressions(self, columns: Mapping[str, NDArray[Any]]) -> list[Compression]:
        """One per row, said in one way, so that equal networks get equal handles."""
        kinds = {f.name: type(getattr(self.fixed, f.name)) for f in fields(Compression)}
        rows = zip(*(columns[name] for name in self.knobs), strict=True)
        found = []
        for row in rows:
            values = {n: kinds[n](v) for n, v in zip(self.knobs, row, strict=True)}
            found.append(replace(self.fixed, **values).canonical())
        return found

    def _cells(self, how: Compression) -> Cells | None:
        return next((cells for cells in self.cells if cells.bits == how.cell_bits), None)

    def _handle(self, how: Compression) -> str:
        return key_of(self.archive_facts(how))

    def archive_facts(self, how: Compression) -> dict[str, object]:
        """What the archive of a compression depends on: its address, and what it says of itself."""
        cells = self._cells(how)
        stored = replace(how, cell_bits=1) if cells is None else how
        return {
            **self._stop_facts(how),
            **self.facts(),
            "kind": "archive of logits",
            "computed_by": computed_by(__name__),
            "sentences": self.sentences,
            "compression": _said(stored),
            "cells": None if cells is None else asdict(cells),
            "draws": 1 if cells is None else self.draws,
        }

    def _stop_facts(self, how: Compression) -> dict[str, object]:
        """The rule where there is something to end: what is not tuned is the same without it."""
        if self.finetune_stop is None or not how.finetune_steps:
            return {}
        return {"finetune_stop": asdict(self.finetune_stop)}

    def _run_once(self, handle: str, how: Compression) -> None:
        """Two workers that need the same pass make it once: the second waits and finds it."""
        path = archive_path(self.cache, handle)
        make_folder(path.parent)
        with FileLock(path.with_suffix(".lock")):
            if not reads(self.cache, handle):
                self._run(handle, how)

    def _run(self, handle: str, how: Compression) -> None:
        write_archive(self.cache, handle, self.passed(how))

    @property
    def total(self) -> int:
        """Sentences that a run passes."""
        return len(self._examples().sentences)

    def _examples(self) -> Examples:
        return _examples(self.task, self.cache, self.split).first(self.sentences)

    def passed(self, how: Compression, rows: NDArray[np.int64] | None = None) -> Archive:
        """A real pass of the sentences, or of some of them.

        Args:
            how: What is done to the network.
            rows: Numbers of the sentences; None: all of them.
        """
        examples = self._examples()
        tokens = _tokens(self.trained.folder, examples)
        labels = np.array(examples.labels, dtype=np.int64)
        if rows is not None:
            tokens, labels = [tokens[row] for row in rows], labels[rows]
        trained, said = self.trained, self.archive_facts(how)
        if how.finetune_steps:
            trained = tuned_network(
                trained, self.task, Tuning.of(how), self.cache, stop=self.finetune_stop
            )
            ending = ending_of(trained)
            said |= {} if ending is None else {ENDING: ending.facts()}
        draws = self._passes(trained, how, tokens)
        return Archive(
            np.concatenate(draws).astype(np.float32),
            np.tile(labels, len(draws)),
            np.tile(np.array([len(t.ids) for t in tokens], dtype=np.int64), len(draws)),
            said,
            draws=len(draws),
        )

    def _passes(
        self, trained: Trained, how: Compression, tokens: list[Tokens]
    ) -> list[NDArray[np.float32]]:
        """Logits of each draw; a draw in which no cell was misread costs no pass of its own."""
        cells = self._cells(how)
        train = _examples(self.task, self.cache, "train")
        few = train.first(min(CALIBRATION, len(train.sentences)))
        calibration = _tokens(self.trained.folder, few)
        clean: NDArray[np.float32] | None = None
        found = []
        # One thread: the order of a sum must not depend on who computes it, or fronts would differ.
        with repeatable(1, 0):
            for draw in range(1 if cells is None else self.draws):
                made = compressed(trained, how, calibration, cells, draw)
                if made.misread or clean is None:
                    logits = self._pass(made, tokens)
                    clean = clean if made.misread else logits
                    found.append(logits)
                else:
                    found.append(clean)
        return found

    def _pass(self, made: Compressed, tokens: list[Tokens]) -> NDArray[np.float32]:
        with made.running() as encoder:
            means = all_means(encoder, tokens, bfloat16=self._precision() == "bfloat16")
        logits: NDArray[np.float32] = made.network.logits(means).numpy()
        return logits


def _said(how: Compression) -> dict[str, object]:
    """A compression as an archive's record has it; a network that is not cut names no link."""
    said: dict[str, object] = asdict(how)
    return said if how.link_layer else {k: v for k, v in said.items() if k not in _LINK}


_LINK = ("link_layer", "link_bits")


@lru_cache(maxsize=4)
def _tokens(folder: Path, examples: Examples) -> list[Tokens]:
    """Tokenised once per process."""
    return tokenised(folder, examples.sentences, examples.seconds)


@lru_cache(maxsize=4)
def _examples(task: str, cache: Path, split: Split) -> Examples:
    """Read once per process: a handle needs the digest, and a thousand handles are asked for."""
    return read_split(task, cache, split)
