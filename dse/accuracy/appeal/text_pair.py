"""Pairs on sentences: the first k layers of an encoder, and a whole encoder behind a link.

The encoder is trained as `dse.accuracy.training` has it and stays as it is; mean states of its
layers are computed once and kept, so training a pair of heads costs seconds. The predictor also
reads the log-probabilities of the off-ramps below layer k, which the edge has passed anyway.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import load_file, save

from dse.accuracy.appeal.archive import PairArchive
from dse.accuracy.appeal.pairing import Pairing
from dse.accuracy.appeal.two_heads import Lesson, TwoHeads, answers, trained_pair
from dse.accuracy.cache import Watch, key_of, write_whole
from dse.accuracy.network import all_means, load_trained, native_bfloat16, tokenised
from dse.accuracy.tasks import Split, read_split
from dse.accuracy.training import RECIPES, Trained, repeatable, share_of, trained_network
from dse.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """What an encoder makes of one split.

    Attributes:
        means: Mean state of a sentence's tokens after each layer, shape (n, layers, hidden).
        logits: Answers of the off-ramps to them, shape (n, layers, classes), float32.
        labels: Class of each sentence, shape (n,).
    """

    means: torch.Tensor
    logits: torch.Tensor
    labels: torch.Tensor


def states(trained: Trained, task: str, split: Split, cache: Path, watch: Watch) -> States:
    """Pass a split through an encoder once, or find what it made of it.

    Raises:
        DseError: If the task is not fetched.
    """
    examples = read_split(task, cache, split)
    bfloat16 = native_bfloat16()
    facts = {
        "kind": "mean states", "version": 1, "network_sha256": trained.sha256, "split": split,
        "task_sha256": examples.digest, "bfloat16": bfloat16, "torch": torch.__version__,
    }  # fmt: skip
    path = cache / "features" / f"{key_of(facts)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            network = load_trained(trained.path, trained.folder)
            tokens = tokenised(trained.folder, examples.sentences, examples.seconds)
            with repeatable(1, 0):
                means = all_means(
                    network.encoder, tokens, share_of(watch, "computing states"), bfloat16=bfloat16
                )
                logits = network.logits(means)
            write_whole(path, save({"means": means.half(), "logits": logits.contiguous()}))
    return _loaded(path, examples.labels)


@lru_cache(maxsize=6)
def _loaded(path: Path, labels: tuple[int, ...]) -> States:
    """Content-addressed, so remembering it can never be stale."""
    found = load_file(path)
    return States(found["means"].float(), found["logits"], torch.tensor(labels))


def _networks(pairing: Pairing, cache: Path, watch: Watch) -> tuple[Trained, Trained]:
    for name in (pairing.trunk, pairing.cloud_network):
        if name not in RECIPES:
            raise DseError(f"{name!r} is no recipe of an encoder; there are {', '.join(RECIPES)}")
    edge, cloud = (
        trained_network(pairing.network, pairing.task, recipe, cache, watch)
        for recipe in (pairing.trunk, pairing.cloud_network)
    )
    return edge, cloud


def text_digests(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, str]:
    """What a pair on sentences depends on beside its own description."""
    edge, cloud = _networks(pairing, cache, watch)
    digest = read_split(pairing.task, cache, "validation").digest
    precision = "bfloat16" if native_bfloat16() else "float32"
    return {
        "task_sha256": digest, "edge_sha256": edge.sha256, "cloud_sha256": cloud.sha256,
        "precision": precision,
    }  # fmt: skip


def held_back(recipe: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training sentences that an encoder was fitted on, and those for the predictor head.

    An encoder that was fitted on all of them, or on none, leaves every second one to the head.

    Args:
        recipe: Of the encoder.
        count: Sentences of the training split.
        seed: Of the halves.
    """
    used = RECIPES[recipe].sentences
    if RECIPES[recipe].epochs and used is not None and used < count:
        return np.arange(used), np.arange(used, count)
    shuffled = np.random.default_rng(seed).permutation(count)
    return np.sort(shuffled[: count // 2]), np.sort(shuffled[count // 2 :])


def text_pair(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, PairArchive]:
    """Train a pair of heads and let it answer validation and test; archives without provenance.

    Raises:
        DseError: If the encoder has not as many layers, or a recipe is unknown.
    """
    edge, cloud = _networks(pairing, cache, watch)
    train = states(edge, pairing.task, "train", cache, watch)
    layers, k = train.means.shape[1], pairing.edge_layers
    if k > layers:
        raise DseError(f"edge_layers = {k}; the encoder has {layers}")
    far = None
    if pairing.access == "white-box":
        far = states(cloud, pairing.task, "train", cache, watch).logits[:, -1]
    seen, apart = held_back(pairing.trunk, len(train.labels), pairing.seed)
    lesson = Lesson(_inputs(train, k), train.labels, far, seen, apart)
    # An off-ramp that was fitted on everything is no fresh start for a head that needs mistakes.
    ramp = None if pairing.schedule.warm else load_trained(edge.path, edge.folder)
    with repeatable(1, pairing.seed):
        plain, joint = trained_pair(
            lambda: _two_heads(pairing, train, None if ramp is None else (ramp.weight, ramp.bias)),
            lesson,
            pairing.schedule,
            beta=pairing.beta,
            seed=pairing.seed,
            kept=pairing.kept(text_digests(pairing, cache, watch), cache),
        )
        parts: tuple[Split, ...] = ("validation", "test")
        archives: dict[str, PairArchive] = {}
        for part in parts:
            here = states(edge, pairing.task, part, cache, watch)
            there = states(cloud, pairing.task, part, cache, watch)
            logits, _, wrong = answers(plain, _inputs(here, k))
            joint_logits, trust, _ = answers(joint, _inputs(here, k))
            archives[part] = PairArchive(
                here.labels.numpy(), logits.numpy(), wrong.numpy(), joint_logits.numpy(),
                trust.numpy(), there.logits[:, -1].contiguous().numpy(), {},
            )  # fmt: skip
    return archives


def _inputs(found: States, layer: int) -> torch.Tensor:
    """State after layer k, then log-probabilities of the off-ramps below it."""
    below = torch.log_softmax(found.logits[:, : layer - 1], dim=2).flatten(1)
    return torch.cat([found.means[:, layer - 1], below], dim=1)


def _two_heads(
    pairing: Pairing, train: States, ramp: tuple[torch.Tensor, torch.Tensor] | None
) -> TwoHeads:
    width, classes = train.means.shape[2], train.logits.shape[2]
    k = pairing.edge_layers
    network = TwoHeads(
        torch.nn.Identity(),
        width,
        classes,
        beside=(k - 1) * classes,
        hidden=pairing.schedule.hidden,
    )
    if ramp is not None:
        with torch.no_grad():
            network.approximator.weight.copy_(ramp[0][k - 1])
            network.approximator.bias.copy_(ramp[1][k - 1])
    return network
