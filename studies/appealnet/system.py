"""Composes AppealNet: a trained pair, its replay over thresholds, and board, link and node."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field

from dse.accuracy.archive import files_of
from dse.accuracy.cache import cache_root
from dse.accuracy.needs import accuracy_needs
from dse.core.errors import SpaceError
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.parameters import Categorical, Parameter
from dse.core.space import SearchSpace
from dse.study.system import Composed, Requests, Section, Spreader, System, Watcher
from hw_models.appeal import Appealing
from search_spaces.appealnet import DEFAULTS, DOMAIN, FOR_IMAGES, FOR_SENTENCES, require_networks
from studies.appealnet.testbed import Surroundings, priced_appeal, surroundings, text_macs
from studies.dynasplit.testbed import ASSUMED
from studies.provenance import table_facts

if TYPE_CHECKING:
    from dse.accuracy.appeal.pairing import Pairing

IMAGE_TASKS = ("digits", "fashion-mnist")
"""Tasks on images; every other one is on sentences."""


Large: TypeAlias = Literal["small", "demo", "full", "frozen", "cnn-small", "cnn-large"]
"""A network behind the link: an encoder by its recipe, or one on images."""


class Settings(Section):
    """What stays fixed in an AppealNet study.

    Attributes:
        task: digits or fashion-mnist, or a fetched task on sentences.
        network: Pretrained encoder of tasks on sentences.
        trunk: Recipe of the encoder whose first layers are the small network.
        clouds: Large networks that `cloud_network` chooses among: encoders by recipe, or networks
            on images; None: demo, or cnn-small.
        router: Who decides; all but `appeal` are scored on a plainly trained small network.
        cloud_access: Whether the large network's losses are known in training.
        target: What the head is fitted to: the losses, as published, or mistakes.
        seed: Of the small network's training.
        sequence_length: Tokens that are charged per sentence.
        bandwidth_mbit_s: Goodput of the link [Mbit/s]; None takes the published testbed's 592.
        radio_fixed_mj: Energy of waking the radio for one transfer [mJ].
        radio_nj_per_byte: Energy of a byte on the radio [nJ].
        waiting_w: Power of the board while it waits for link and cloud [W].
        cloud_idle_w: Power of the node that is not charged to the input [W].
        cloud_cpu_slowdown: Arithmetic time of the node with its GPU off over on [1]; assumed.
    """

    task: str = "tweet3"
    network: str = "minilm-l6"
    trunk: Literal["small", "demo", "full", "frozen"] = "demo"
    clouds: Annotated[list[Large], Field(min_length=1)] | None = None
    router: Literal["appeal", "max-softmax", "margin", "entropy", "learning-to-exit"] = "appeal"
    cloud_access: Literal["white-box", "black-box"] = "white-box"
    target: Literal["losses", "mistakes"] = "losses"
    seed: Annotated[int, Field(ge=0)] = 1
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 64
    bandwidth_mbit_s: Annotated[float, Field(gt=0)] | None = None
    radio_fixed_mj: Annotated[float, Field(ge=0)] = 0.0
    radio_nj_per_byte: Annotated[float, Field(ge=0)] = 0.0
    waiting_w: Annotated[float, Field(ge=0)] = ASSUMED("board_idle")
    cloud_idle_w: Annotated[float, Field(ge=0, le=887)] = 0.0
    cloud_cpu_slowdown: Annotated[float, Field(ge=1)] = ASSUMED("cpu_slowdown")

    @property
    def on_images(self) -> bool:
        """Whether the task is one on images."""
        return self.task in IMAGE_TASKS

    @property
    def large(self) -> tuple[str, ...]:
        """The large networks, each once."""
        return tuple(dict.fromkeys(self.clouds or ["cnn-small" if self.on_images else "demo"]))


METRICS: Mapping[str, str] = {
    "accuracy": "1",
    "appeal_rate": "1",
    "edge_accuracy": "1",
    "cloud_accuracy": "1",
    "mean_trust": "1",
    **Appealing.outputs,
}


def compose(settings: Settings, spread: Spreader, watch: Watcher) -> Composed:
    """Train what all pairs start from, then chain training of heads, replay and cost."""
    # Here and not above: torch takes seconds that `dse validate` need not wait.
    from dse.accuracy.appeal.appeal_run import AppealReplay, PairRun

    cache = cache_root()
    networks = network_facts(settings, cache, watch)
    run = PairRun(pairing_of(settings), cache)
    counted = Counted(spread(run), run.handles, run.exist)
    stages = (
        Cached(counted),
        InBatches(AppealReplay(cache, settings.router)),
        InBatches(priced(settings)),
    )
    facts = {"task": settings.task, **networks, "router": settings.router, **table_facts()}
    return Composed(
        Chain(stages),
        facts,
        counted.counts,
        artefacts=lambda metrics: files_of(cache, metrics["archive"]),
    )


def _held_out(settings: Settings, spread: Spreader, _watch: Watcher) -> Evaluator:
    """Training of heads and replay on the test split."""
    from dse.accuracy.appeal.appeal_run import AppealReplay, PairRun

    cache = cache_root()
    test = PairRun(pairing_of(settings), cache, "test")
    replay = AppealReplay(cache, settings.router, prefix="test_")
    return Chain((Cached(spread(test)), InBatches(replay)))


def _space(settings: Settings, parameters: tuple[Parameter, ...]) -> SearchSpace:
    """The designs of the task's kind."""
    asked = Categorical("cloud_network", settings.large)
    require_networks((*parameters, asked), on_images=settings.on_images)
    for parameter in parameters:
        if isinstance(parameter, Categorical) and parameter.name == "cloud_network":
            strange = [name for name in parameter.values if name not in settings.large]
            if strange:
                raise SpaceError(
                    f"cloud_network = {strange[0]!r} is not among settings.clouds, "
                    f"{', '.join(settings.large)}"
                )
    return SearchSpace(parameters)


def _needs(settings: Settings) -> tuple[str, ...]:
    """What training and measuring the pairs of these settings lacks here."""
    networks = [] if settings.on_images else [settings.network]
    return accuracy_needs("appealnet", settings.task, networks)


def pairing_of(own: Settings) -> "Pairing":
    """The pair of a study; its knobs are overwritten row by row."""
    from dse.accuracy.appeal.pairing import SCHEDULES, TEXT_SCHEDULE, Pairing

    schedule = replace(SCHEDULES.get(own.task, TEXT_SCHEDULE), target=own.target)
    return Pairing(
        own.task,
        1,
        FOR_IMAGES[0] if own.on_images else own.trunk,
        1.0,
        access=own.cloud_access,
        seed=own.seed,
        trunk=own.trunk,
        network=own.network,
        schedule=schedule,
    )


def network_facts(own: Settings, cache: Path, watch: Watcher) -> dict[str, str]:
    """Digests of data and of the networks that heads are trained between; trains what is missing.

    `network_sha256` is the encoder whose first layers are the small network, before any head is
    trained; on images a small network belongs to its pair, so there is none. `cloud_NAME` is the
    large network of that name.

    Raises:
        DseError: If the task is not fetched, or no sentence is left to learn mistakes from.
    """
    from dse.accuracy.appeal.image_pair import image_digests
    from dse.accuracy.appeal.text_pair import text_digests

    facts: dict[str, str] = {}
    for name in own.large:
        pairing = replace(pairing_of(own), cloud_network=name)
        found = (image_digests if own.on_images else text_digests)(pairing, cache, watch)
        facts[f"cloud_{name}"] = found.pop("cloud_sha256")
        if "edge_sha256" in found:
            facts["network_sha256"] = found.pop("edge_sha256")
        facts.update(found)
    return facts


def around_of(own: Settings) -> Surroundings:
    """Link, waiting and node of a study."""
    return surroundings(
        own.bandwidth_mbit_s and own.bandwidth_mbit_s * 1e6,
        own.waiting_w,
        own.cloud_idle_w,
        own.cloud_cpu_slowdown,
        own.radio_fixed_mj * 1e-3,
        own.radio_nj_per_byte * 1e-9,
    )


def priced(own: Settings) -> Appealing:
    """Board, link and node of a study."""
    around = around_of(own)
    return _priced_images(own, around) if own.on_images else _priced_sentences(own, around)


def _priced_sentences(own: Settings, around: Surroundings) -> Appealing:
    from dse.accuracy.data.tasks import task_classes

    classes = len(task_classes(own.task, cache_root()))
    macs = text_macs(own.sequence_length, classes, hidden=32)
    clouds = dict.fromkeys(FOR_SENTENCES, float(macs[-1]))
    return priced_appeal("vit", macs, clouds, 4.0 * own.sequence_length, around)


def _priced_images(own: Settings, around: Surroundings) -> Appealing:
    from dse.accuracy.appeal.image_networks import work_of

    work = work_of(own.task)
    clouds = {name: float(macs) for name, macs in work.cloud.items()}
    return priced_appeal(
        "vgg16", np.array(work.edge, dtype=np.float64), clouds, work.pixels, around
    )


SYSTEM = System(
    name="appealnet",
    knobs=DOMAIN,
    metrics=METRICS,
    compose=compose,
    settings=Settings,
    defaults=DEFAULTS,
    space=_space,
    needs=_needs,
    held_out=_held_out,
    requests=Requests("latency", "energy"),
)
"""A small network with two heads, one of which says when to ask the large network."""
