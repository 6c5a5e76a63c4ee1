"""A pretrained encoder with an off-ramp after every layer, and sentences in the form it reads."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

LONGEST = 64
"""Tokens per sentence at most, special tokens included; longer ones are cut."""

LONGEST_PAIR = 128
"""Tokens per pair of sentences at most; the length at which EdgeBERT's tasks are run."""

BATCH = 64
"""Sentences per forward pass; fixed, because padding is part of the arithmetic."""


class Tokens(NamedTuple):
    """A sentence, or a pair of sentences, as the encoder reads it.

    Attributes:
        ids: Token numbers, special tokens included.
        types: 0 for the first sentence and 1 for the second, as many; empty where there is one.
    """

    ids: list[int]
    types: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An encoder and its off-ramps.

    Attributes:
        encoder: A transformers model that gives hidden states.
        weight: Of the off-ramps, shape (layers, classes, hidden).
        bias: Of the off-ramps, shape (layers, classes).
        reach: Learned reach of each head [token], shape (layers, heads); None: every token.
        ramp: Soft edge of a learned reach [token].
    """

    encoder: torch.nn.Module
    weight: torch.Tensor
    bias: torch.Tensor
    reach: torch.Tensor | None = None
    ramp: float = 1.0

    def logits(self, means: torch.Tensor) -> torch.Tensor:
        """Answers of all off-ramps, shape (b, layers, classes), to states (b, layers, hidden)."""
        return torch.einsum("blh,lch->blc", means, self.weight) + self.bias


def load_encoder(folder: Path) -> torch.nn.Module:
    """The pretrained encoder, float32, from local files only."""
    with _quiet():
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return model.eval()  # type: ignore[no-any-return]  # transformers' Auto classes are untyped


def empty_encoder(folder: Path) -> torch.nn.Module:
    """An encoder of the same shape, to be filled with trained weights."""
    with _quiet():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_config(config, dtype=torch.float32)
    return model.eval()  # type: ignore[no-any-return]  # transformers' Auto classes are untyped


def load_trained(path: Path, folder: Path, *, shared: bool = False) -> Network:
    """A trained network from its safetensors file.

    Args:
        path: The file.
        folder: Of the pretrained network.
        shared: Whether the weights stay in the file, mapped into memory: all processes of a node
            then read the same pages, and only what one writes to becomes its own. A product whose
            factor lies where the file has it may differ in its last bit from one of a copy, so
            this is for who makes other weights out of these.
    """
    tensors = load_file(path)  # mapped privately: what is read is the page cache
    encoder = empty_encoder(folder)
    prefix = "encoder."
    encoder.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
        assign=shared,
    )
    reach, ramp = tensors.get("spans.reach"), tensors.get("spans.ramp")
    return Network(
        encoder,
        tensors["off_ramps.weight"],
        tensors["off_ramps.bias"],
        reach,
        1.0 if ramp is None else float(ramp),
    )


def with_own_parameters(encoder: torch.nn.Module) -> torch.nn.Module:
    """An encoder whose parameters can be replaced one by one, and meanwhile are the given one's.

    Not a weight is copied: those that nobody replaces stay shared.
    """
    own = {
        id(p): torch.nn.Parameter(p.data, requires_grad=p.requires_grad)
        for p in encoder.parameters()
    }
    return deepcopy(encoder, own)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own progress bars, which would cut through ours."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


def tokenised(folder: Path, sentences: Sequence[str], seconds: Sequence[str] = ()) -> list[Tokens]:
    """Each sentence, or pair of sentences, as tokens; longer ones are cut.

    Args:
        folder: Of the network, whose tokenizer is used.
        sentences: First sentences.
        seconds: Second sentences of pairs, as many; none for a task on sentences.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = (list(sentences), list(seconds)) if seconds else (list(sentences),)
    found = tokenizer(*texts, truncation=True, max_length=LONGEST_PAIR if seconds else LONGEST)
    types = found.get("token_type_ids") if seconds else None
    kinds = types if types is not None else [[]] * len(sentences)
    return [Tokens(*row) for row in zip(found["input_ids"], kinds, strict=True)]


def padded(tokens: Sequence[Tokens]) -> dict[str, torch.Tensor]:
    """What the encoder reads of a batch: numbers, mask and kinds, shape (b, longest of it)."""
    longest = max(len(t.ids) for t in tokens)
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * bool(tokens[0].types)
    batch = {n: torch.zeros((len(tokens), longest), dtype=torch.long) for n in names}
    for row, sentence in enumerate(tokens):
        length = len(sentence.ids)
        batch["input_ids"][row, :length] = torch.tensor(sentence.ids)
        batch["attention_mask"][row, :length] = 1
        if sentence.types:
            batch["token_type_ids"][row, :length] = torch.tensor(sentence.types)
    return batch


def batches_by_length(tokens: Sequence[Tokens], size: int) -> list[NDArray[np.int64]]:
    """Rows in batches of similar length; equal lengths keep their order."""
    order = np.argsort([len(t.ids) for t in tokens], kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def layer_means(encoder: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean state of a sentence's tokens after every layer, shape (b, layers, hidden)."""
    outputs: Any = encoder(**batch, output_hidden_states=True)
    words = batch["attention_mask"][:, :, None]
    counts = words.sum(dim=1)
    means = [(states * words).sum(dim=1) / counts for states in outputs.hidden_states[1:]]
    return torch.stack(means, dim=1)


def all_means(
    encoder: torch.nn.Module,
    tokens: Sequence[Tokens],
    done: Callable[[float], None] | None = None,
    *,
    bfloat16: bool = False,
) -> torch.Tensor:
    """`layer_means` of many sentences in their own order, without gradients, float32.

    Args:
        encoder: In evaluation mode.
        tokens: Sentences.
        done: Is told which share is done.
        bfloat16: Whether matrix products are made in bfloat16.
    """
    parts: dict[int, torch.Tensor] = {}
    batches = batches_by_length(tokens, BATCH)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for number, rows in enumerate(batches):
            means = layer_means(encoder, padded([tokens[i] for i in rows])).float()
            parts.update(zip(rows.tolist(), means, strict=True))
            if done is not None:
                done((number + 1) / len(batches))
    return torch.stack([parts[i] for i in range(len(tokens))])


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; elsewhere it only costs time."""
    probe = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(probe()) if callable(probe) else False
