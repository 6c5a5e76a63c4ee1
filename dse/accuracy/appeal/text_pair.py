"""Pairs on sentences: the first k layers of an encoder, and a whole encoder behind a link.

The encoder is trained as `dse.accuracy.networks.training` has it and stays as it is; mean states
of its layers are computed once and kept, so training a pair of heads costs seconds. The predictor
also reads the log-probabilities of the off-ramps below layer k, which the edge has passed anyway.

Heads learn from mistakes, so from sentences that neither network was fitted on. A frozen encoder
has seen none, but its off-ramps are fitted on all: for the heads' sake they are fitted anew on the
other sentences. The small network keeps those; behind the link answers the network as it is.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import load_file, save

from dse.accuracy.address import computed_by
from dse.accuracy.appeal.archive import PairArchive
from dse.accuracy.appeal.pairing import Pairing
from dse.accuracy.appeal.two_heads import Lesson, TwoHeads, answers, trained_pair
from dse.accuracy.cache import Watch, key_of, make_folder, require_own, write_whole
from dse.accuracy.data.tasks import Split, read_split
from dse.accuracy.networks.loop import Rows
from dse.accuracy.networks.network import all_means, load_trained, native_bfloat16, tokenised
from dse.accuracy.networks.training import (
    RECIPES,
    Trained,
    repeatable,
    share_of,
    train_off_ramps,
    trained_network,
)
from dse.core.errors import DseError


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
        "kind": "mean states", "computed_by": computed_by(__name__), "split": split,
        "network_sha256": trained.sha256, "task_sha256": examples.digest, "bfloat16": bfloat16,
    }  # fmt: skip
    path = cache / "features" / f"{key_of(facts)}.safetensors"
    make_folder(path.parent)
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
    require_own(cache, path)
    return _loaded(path, examples.labels)


@lru_cache(maxsize=6)
def _loaded(path: Path, labels: tuple[int, ...]) -> States:
    """Content-addressed, so remembering it can never be stale."""
    found = load_file(path)
    return States(found["means"].float(), found["logits"], torch.tensor(labels))


def _networks(pairing: Pairing, cache: Path, watch: Watch) -> tuple[Trained, Trained]:
    # Before anything is trained for a pair that cannot be.
    held_back(pairing, len(read_split(pairing.task, cache, "train").labels))
    edge, cloud = (
        trained_network(pairing.network, pairing.task, recipe, cache, watch)
        for recipe in (pairing.trunk, pairing.cloud_network)
    )
    return edge, cloud


def text_digests(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, str]:
    """What a pair on sentences depends on beside its own description.

    Raises:
        DseError: As `held_back`.
    """
    edge, cloud = _networks(pairing, cache, watch)
    digest = read_split(pairing.task, cache, "validation").digest
    precision = "bfloat16" if native_bfloat16() else "float32"
    return {
        "task_sha256": digest, "edge_sha256": edge.sha256, "cloud_sha256": cloud.sha256,
        "precision": precision, **held_back_facts(pairing),
    }  # fmt: skip


def held_back_facts(pairing: Pairing) -> dict[str, str]:
    """How sentences are held back, where more than the trunk's recipe decides it; else nothing.

    So pairs to which the large network's recipe makes no difference keep their address.
    """
    trunk, cloud = RECIPES[pairing.trunk], RECIPES[pairing.cloud_network]
    beyond = (
        trunk.sentences is not None
        and cloud.sentences is not None
        and cloud.sentences > trunk.sentences
    )
    moved = beyond or not trunk.epochs or not cloud.epochs
    return {"held_back": "by both recipes, frozen off-ramps anew"} if moved else {}


def fitted_on(recipe: str, count: int) -> int:
    """Training sentences, the first ones, on which a recipe tunes the encoder; 0 if it is frozen.

    Args:
        recipe: Of the encoder.
        count: Sentences of the training split.
    """
    how = RECIPES[recipe]
    if not how.epochs:
        return 0
    return count if how.sentences is None else min(how.sentences, count)


def held_back(pairing: Pairing, count: int) -> tuple[Rows, Rows]:
    """Training sentences that networks may be fitted on, and those for the heads.

    The heads get what neither encoder was tuned on; if both are frozen, every second sentence by
    lot. A black-box head does not read the large network's answers, so it does not ask more of a
    large network that was tuned on everything.

    Args:
        pairing: Its recipes, its access and its seed.
        count: Sentences of the training split.

    Raises:
        DseError: If a recipe is unknown, or no sentence is left to learn mistakes from.
    """
    for name in (pairing.trunk, pairing.cloud_network):
        if name not in RECIPES:
            raise DseError(f"{name!r} is no recipe of an encoder; there are {', '.join(RECIPES)}")
    leave = ", ".join(name for name in RECIPES if fitted_on(name, count) < count)
    trunk, cloud = (fitted_on(name, count) for name in (pairing.trunk, pairing.cloud_network))
    if trunk == count:
        raise DseError(
            f"trunk = {pairing.trunk} is fitted on all {count:,} training sentences, so none is "
            f"left to show a head the small network's mistakes; take {leave}"
        )
    if cloud == count:
        if pairing.access == "white-box":
            raise DseError(
                f"cloud_network = {pairing.cloud_network} is fitted on all {count:,} training "
                "sentences, so none is left to show a white-box head the large network's "
                f"mistakes; take cloud_access = black-box, or {leave} for the cloud"
            )
        cloud = 0
    first = max(trunk, cloud)
    if first:
        return np.arange(first), np.arange(first, count)
    shuffled = np.random.default_rng(pairing.seed).permutation(count)
    return np.sort(shuffled[: count // 2]), np.sort(shuffled[count // 2 :])


@dataclass(frozen=True, slots=True, eq=False)
class Ramps:
    """Off-ramps of all layers.

    Attributes:
        weight: Shape (layers, classes, hidden).
        bias: Shape (layers, classes).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def of(self, found: States) -> States:
        """The states with the answers of these off-ramps."""
        logits = torch.einsum("blh,lch->blc", found.means, self.weight) + self.bias
        return replace(found, logits=logits)


def ramps_for(found: States, recipe: str, seen: Rows) -> Ramps | None:
    """Off-ramps of a frozen encoder, fitted anew on some sentences; None for a tuned one.

    A tuned encoder's off-ramps are fitted on what it was tuned on, so they have seen no more.

    Args:
        found: States of the training split.
        recipe: Of the encoder.
        seen: Sentences to fit on.
    """
    how = RECIPES[recipe]
    if how.epochs:
        return None
    with repeatable(1, how.seed):
        fitted = train_off_ramps(
            found.means[seen], found.labels[seen], found.logits.shape[2], how.head_steps
        )
    return Ramps(*fitted)


def text_pair(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, PairArchive]:
    """Train a pair of heads and let it answer validation and test; archives without provenance.

    Raises:
        DseError: As `held_back`, or if the encoder has not as many layers.
    """
    edge, cloud = _networks(pairing, cache, watch)
    train = states(edge, pairing.task, "train", cache, watch)
    layers, k = train.means.shape[1], pairing.edge_layers
    if k > layers:
        raise DseError(f"edge_layers = {k}; the encoder has {layers}")
    seen, apart = held_back(pairing, len(train.labels))
    far = None
    if pairing.access == "white-box":
        there = states(cloud, pairing.task, "train", cache, watch)
        anew = ramps_for(there, pairing.cloud_network, seen)
        far = (there if anew is None else anew.of(there)).logits[:, -1]
    fresh = ramps_for(train, pairing.trunk, seen)
    train = train if fresh is None else fresh.of(train)
    lesson = Lesson(_inputs(train, k), train.labels, far, seen, apart)
    start = None if pairing.schedule.warm else fresh or _own_ramps(edge)
    with repeatable(1, pairing.seed):
        plain, joint = trained_pair(
            lambda: _two_heads(pairing, train, start),
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
            inputs = _inputs(here if fresh is None else fresh.of(here), k)
            behind = states(cloud, pairing.task, part, cache, watch)
            logits, _, wrong = answers(plain, inputs)
            joint_logits, trust, _ = answers(joint, inputs)
            archives[part] = PairArchive(
                here.labels.numpy(), logits.numpy(), wrong.numpy(), joint_logits.numpy(),
                trust.numpy(), behind.logits[:, -1].contiguous().numpy(), {},
            )  # fmt: skip
    return archives


def _own_ramps(trained: Trained) -> Ramps:
    network = load_trained(trained.path, trained.folder)
    return Ramps(network.weight, network.bias)


def _inputs(found: States, layer: int) -> torch.Tensor:
    """State after layer k, then log-probabilities of the off-ramps below it."""
    below = torch.log_softmax(found.logits[:, : layer - 1], dim=2).flatten(1)
    return torch.cat([found.means[:, layer - 1], below], dim=1)


def _two_heads(pairing: Pairing, train: States, start: Ramps | None) -> TwoHeads:
    """Untrained heads; the approximator starts as the off-ramp of its layer."""
    width, classes = train.means.shape[2], train.logits.shape[2]
    k = pairing.edge_layers
    network = TwoHeads(
        torch.nn.Identity(),
        width,
        classes,
        beside=(k - 1) * classes,
        hidden=pairing.schedule.hidden,
    )
    if start is not None:
        with torch.no_grad():
            network.approximator.weight.copy_(start.weight[k - 1])
            network.approximator.bias.copy_(start.bias[k - 1])
    return network
