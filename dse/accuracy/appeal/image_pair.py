"""Pairs on images: the large network is trained once per seed, small ones as often as asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import load_file, save

from dse.accuracy.address import computed_by
from dse.accuracy.appeal.archive import PairArchive
from dse.accuracy.appeal.image_networks import cloud_network, edge_network
from dse.accuracy.appeal.pairing import Pairing
from dse.accuracy.appeal.two_heads import Lesson, TwoHeads, answers, trained_pair
from dse.accuracy.cache import Watch, key_of, make_folder, require_own, write_whole
from dse.accuracy.data.images import IMAGES, Part, read_images
from dse.accuracy.networks.loop import Rows, fit
from dse.accuracy.networks.training import repeatable, share_of
from dse.core.files import sha256_of

CLOUD_EPOCHS: Mapping[str, int] = {"digits": 25, "fashion-mnist": 3}
CLOUD_RATE = 3e-3
CLOUD_BATCH: Mapping[str, int] = {"digits": 50, "fashion-mnist": 100}
THREADS = 1
"""Threads of a training: their number is part of the arithmetic."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A trained large network in the cache.

    Attributes:
        path: Its safetensors file.
        sha256: Of that file.
    """

    path: Path
    sha256: str


def cloud_trained(task: str, name: str, seed: int, cache: Path, watch: Watch) -> Cloud:
    """Train a large network on the part that all networks see, or find it trained.

    Without checkpoints: they hold parameters, and batch normalisation has statistics beside them.

    Raises:
        DseError: If a name is unknown or the task is not fetched.
    """
    images = read_images(task, cache, "train")
    network = cloud_network(IMAGES[task], name)
    facts = {
        "kind": "cloud network on images",
        "computed_by": computed_by(__name__),
        "task_sha256": images.digest,
        "name": name,
        "seed": seed,
        "epochs": CLOUD_EPOCHS[task],
        "rate": CLOUD_RATE,
        "batch": CLOUD_BATCH[task],
    }
    path = cache / "networks" / f"{key_of(facts)}.safetensors"
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
            rows = _batches(task, len(labels), seed)
            with repeatable(THREADS, seed):
                network = cloud_network(IMAGES[task], name)
                _train_cloud(network, pixels, labels, rows, watch)
            content = save(dict(network.state_dict()), {"facts": json.dumps(facts, sort_keys=True)})
            write_whole(path, content)
    require_own(cache, path)
    return Cloud(path, sha256_of(path))


def _batches(task: str, n: int, seed: int) -> list[Rows]:
    """Rows of each step of a cloud network's training."""
    rng, size = np.random.default_rng(seed), CLOUD_BATCH[task]
    return [
        rows
        for _ in range(CLOUD_EPOCHS[task])
        for rows in np.split(rng.permutation(n)[: n // size * size], n // size)
    ]


def _train_cloud(
    network: torch.nn.Module,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    order: list[Rows],
    watch: Watch,
) -> None:
    network.train()
    fit(
        [{"params": list(network.parameters()), "lr": CLOUD_RATE}],
        lambda rows, _: torch.nn.functional.cross_entropy(network(pixels[rows]), labels[rows]),
        order,
        done=share_of(watch, "training the cloud network"),
    )
    network.eval()


def cloud_answers(task: str, name: str, cloud: Cloud, cache: Path, part: Part) -> torch.Tensor:
    """Logits of a large network on a part, shape (n, classes), float32; kept in the cache."""
    images = read_images(task, cache, part)
    facts = {
        "kind": "cloud logits", "computed_by": computed_by(__name__), "part": part,
        "network_sha256": cloud.sha256, "task_sha256": images.digest,
    }  # fmt: skip
    path = cache / "features" / f"{key_of(facts)}.safetensors"
    if not path.is_file():
        network = cloud_network(IMAGES[task], name)
        network.load_state_dict(load_file(cloud.path))
        network.eval()
        pixels = torch.from_numpy(images.pixels)
        with repeatable(THREADS, 0), torch.inference_mode():
            found = torch.cat([network(batch) for batch in torch.split(pixels, 500)])
        write_whole(path, save({"logits": found}))
    require_own(cache, path)
    return load_file(path)["logits"]


def image_pair(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, PairArchive]:
    """Train a pair and let it answer validation and test; archives without provenance."""
    task = pairing.task
    cloud = cloud_trained(task, pairing.cloud_network, pairing.cloud_seed, cache, watch)
    plain, joint = _edge_networks(pairing, cloud, cache, watch)
    archives: dict[str, PairArchive] = {}
    parts: tuple[Part, ...] = ("validation", "test")
    for part in parts:
        images = read_images(task, cache, part)
        pixels = torch.from_numpy(images.pixels)
        with repeatable(THREADS, 0):
            logits, _, wrong = answers(plain, pixels)
            joint_logits, trust, _ = answers(joint, pixels)
        far = cloud_answers(task, pairing.cloud_network, cloud, cache, part)
        archives[part] = PairArchive(
            images.labels, logits.numpy(), wrong.numpy(), joint_logits.numpy(), trust.numpy(),
            far.numpy(), {},
        )  # fmt: skip
    return archives


def image_digests(pairing: Pairing, cache: Path, watch: Watch) -> dict[str, str]:
    """What a pair on images depends on beside its own description."""
    cloud = cloud_trained(pairing.task, pairing.cloud_network, pairing.cloud_seed, cache, watch)
    digest = read_images(pairing.task, cache, "validation").digest
    return {"task_sha256": digest, "cloud_sha256": cloud.sha256}


def _edge_networks(
    pairing: Pairing, cloud: Cloud, cache: Path, watch: Watch
) -> tuple[TwoHeads, TwoHeads]:
    task = pairing.task
    seen, apart = (read_images(task, cache, part) for part in ("train", "apart"))
    far = None
    if pairing.access == "white-box":
        # The first stage reads no cloud logits; zeros keep the rows aligned.
        there = cloud_answers(task, pairing.cloud_network, cloud, cache, "apart")
        far = torch.cat([torch.zeros(len(seen.labels), there.shape[1]), there])
    n = len(seen.labels)
    lesson = Lesson(
        torch.from_numpy(np.concatenate([seen.pixels, apart.pixels])),
        torch.from_numpy(np.concatenate([seen.labels, apart.labels])),
        far,
        np.arange(n),
        np.arange(n, n + len(apart.labels)),
    )
    source = IMAGES[task]
    with repeatable(THREADS, pairing.seed):
        return trained_pair(
            lambda: edge_network(source, pairing.edge_layers, pairing.schedule.hidden),
            lesson,
            pairing.schedule,
            beta=pairing.beta,
            seed=pairing.seed,
            kept=pairing.kept(image_digests(pairing, cache, watch), cache),
        )
