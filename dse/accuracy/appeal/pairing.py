"""Which pair: what a small network, its large one and the training between them are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dse.accuracy.address import computed_by
from dse.accuracy.appeal.losses import CloudAccess, require_beta
from dse.accuracy.appeal.two_heads import Schedule
from dse.accuracy.cache import key_of
from dse.accuracy.data.images import IMAGES
from dse.core.errors import DseError

TEXT_SCHEDULE = Schedule(warm=0, joint=10, batch=200, joint_rate=6e-4, decay=0.1)
"""Heads on finished states: the approximator starts as the off-ramp of its layer."""

IMAGE_SCHEDULE = Schedule()

DIGITS_SCHEDULE = Schedule(warm=40, joint=30, batch=25)
"""Two thousand images need more epochs than sixty thousand."""


SCHEDULES: Mapping[str, Schedule] = {"digits": DIGITS_SCHEDULE, "fashion-mnist": IMAGE_SCHEDULE}
"""By image task; every other task takes `TEXT_SCHEDULE`."""

_JOINT_ALONE = ("head_rate", "decay", "target")


@dataclass(frozen=True, slots=True)
class Pairing:
    """A small and a large network, and how they are brought together.

    Attributes:
        task: Image task, or a fetched task on sentences.
        edge_layers: Layers of the small network [layer]: of the encoder that the large one is, or
            convolutions (1: none, a linear answer to averaged pixels).
        cloud_network: For sentences the recipe of the encoder behind the link, for images
            cnn-small or cnn-large.
        beta: Price of an appeal in the joint loss, above 0.
        access: Whether the large network's losses are known in training.
        seed: Of first weights and of all orders.
        cloud_seed: The same of the large network on images.
        trunk: Recipe of the encoder whose first layers are the small network; images: not read.
        network: Pretrained encoder; images: not read.
        schedule: Of the trainings.
    """

    task: str
    edge_layers: int
    cloud_network: str
    beta: float
    access: CloudAccess = "white-box"
    seed: int = 1
    cloud_seed: int = 1
    trunk: str = "demo"
    network: str = "minilm-l6"
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        require_beta(self.beta)
        if self.edge_layers < 1:
            raise DseError(f"edge_layers = {self.edge_layers}; layers count from 1")

    @property
    def on_images(self) -> bool:
        """Whether the task is one on images."""
        return self.task in IMAGES

    @property
    def _computed_by(self) -> dict[str, object]:
        """Its pair's own module: the two import this one, so they are named as texts."""
        return computed_by(f"dse.accuracy.appeal.{'image' if self.on_images else 'text'}_pair")

    def kept(self, digests: Mapping[str, str], cache: Path) -> Path:
        """Where the part of the training lies that neither beta nor access nor target changes."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("beta", "access")}
        plain["schedule"] = {k: v for k, v in plain["schedule"].items() if k not in _JOINT_ALONE}
        same = {k: v for k, v in digests.items() if k != "cloud_sha256"}
        facts = {"kind": "small network", "computed_by": self._computed_by, **plain, **same}
        return cache / "networks" / f"{key_of(facts)}.safetensors"

    def facts(
        self, digests: Mapping[str, str], part: Literal["validation", "test"]
    ) -> dict[str, Any]:
        """Everything that an archive of this pair depends on.

        Args:
            digests: Of data and of networks that were trained before.
            part: Of the data.
        """
        return {
            "kind": "archive of a pair",
            "computed_by": self._computed_by,
            **asdict(self),
            **digests,
            "part": part,
        }
