"""DynaSplit's choices (arXiv 2410.23881): where a network is cut, clock, accelerator, cloud GPU."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from dse.core.errors import SpaceError
from dse.core.parameters import Categorical, Integer, Ordinal, Parameter, Value, ends
from dse.core.space import Forbidden, SearchSpace

NetworkName: TypeAlias = Literal[
    "vgg16", "resnet50", "mobilenetv2", "vit", "bert-base", "minilm-l6"
]
"""Networks that can be cut; the first four are the published ones."""

CLOCKS = (0.6e9, 0.8e9, 1.0e9, 1.2e9, 1.4e9, 1.6e9, 1.8e9)
"""Clocks of the edge board [Hz]: a Raspberry Pi 4 under the userspace governor."""

CPU_FREQUENCY = Ordinal("cpu_frequency", CLOCKS, "Hz", stage="run")
"""Clock of the edge board."""

TPU_MODE = Categorical("tpu_mode", ("off", "std", "max"), stage="run")
"""Edge accelerator: port without power, standard clock, highest clock."""

CLOUD_GPU = Categorical("cloud_gpu", ("off", "on"), stage="run")
"""GPU of the cloud node."""


@dataclass(frozen=True, slots=True)
class Cuttable:
    """A network as the space sees it.

    Attributes:
        layers: Deepest cut [layer]: cut 0 leaves all to the cloud, this one all to the edge.
        on_tpu: Whether the edge accelerator can run its layers.
    """

    layers: int
    on_tpu: bool


NETWORKS: dict[NetworkName, Cuttable] = {
    "vgg16": Cuttable(22, on_tpu=True),
    "resnet50": Cuttable(40, on_tpu=True),
    "mobilenetv2": Cuttable(75, on_tpu=True),
    "vit": Cuttable(19, on_tpu=False),
    "bert-base": Cuttable(12, on_tpu=False),
    "minilm-l6": Cuttable(6, on_tpu=False),
}
"""Transformers never use the accelerator (published: ViT); an encoder is cut after each block."""

DEEPEST = max(network.layers for network in NETWORKS.values())

DOMAIN: tuple[Parameter, ...] = (
    Integer("split_layer", 0, DEEPEST, "layer", stage="run"),
    CPU_FREQUENCY,
    TPU_MODE,
    CLOUD_GPU,
)
"""Every knob, as wide as the deepest network."""


def dynasplit_space(network: NetworkName) -> SearchSpace:
    """All configurations of a network that exist: 917 for VGG16, 273 for ViT, 175 for BERT-base."""
    layers = Integer("split_layer", 0, NETWORKS[network].layers, "layer", stage="run")
    return SearchSpace((layers, *DOMAIN[1:]), forbidden=rules(network))


def rules(network: NetworkName) -> tuple[Forbidden, ...]:
    """What never exists together: accelerator without layers to run, GPU without a tail."""
    active, deepest = ("std", "max"), NETWORKS[network].layers
    nothing_left = Forbidden(
        {"split_layer": (deepest,), "cloud_gpu": ("on",)}, "the cloud has no layer to run"
    )
    if not NETWORKS[network].on_tpu:
        never = Forbidden({"tpu_mode": active}, f"the accelerator cannot run {network}")
        return (never, nothing_left)
    nothing_yet = Forbidden(
        {"split_layer": (0,), "tpu_mode": active}, "the edge has no layer to run"
    )
    return (nothing_yet, nothing_left)


def narrowed(network: NetworkName, parameters: tuple[Parameter, ...]) -> SearchSpace:
    """The configurations that exist among narrower knobs; a rule about absent values drops out.

    Raises:
        SpaceError: If a cut is deeper than the network.
    """
    levels = {p.name: _levels(p) for p in parameters}
    deepest = NETWORKS[network].layers
    cuts = [cut for cut in levels["split_layer"] if isinstance(cut, float | int)]
    if max(cuts) > deepest:
        raise SpaceError(
            f"split_layer = {max(cuts):g} layer is deeper than {network}, "
            f"which has {deepest} to cut after"
        )
    kept = []
    for rule in rules(network):
        values = {
            name: tuple(v for v in given if v in levels[name])
            for name, given in rule.combination.items()
        }
        if all(values.values()):
            kept.append(Forbidden(values, rule.reason))
    return SearchSpace(parameters, forbidden=tuple(kept))


def _levels(parameter: Parameter) -> list[Value]:
    if parameter.count is None:
        raise SpaceError(f"{parameter.name} is continuous; every knob here is a list")
    levels: list[Value] = parameter.decode(np.arange(float(parameter.count))).tolist()
    return levels


def corners(space: SearchSpace) -> Mapping[str, Mapping[str, Value]]:
    """All in the cloud, and all on the edge with and without its accelerator, at full clock."""
    cuts, clocks = ends(space["split_layer"]), ends(space["cpu_frequency"])
    off, fast = _has(space["tpu_mode"], "off"), _has(space["tpu_mode"], "max")
    dark, lit = _has(space["cloud_gpu"], "off"), _has(space["cloud_gpu"], "on")
    clock = clocks[1]
    cloud = {"split_layer": cuts[0], "cpu_frequency": clock, "tpu_mode": off, "cloud_gpu": lit}
    edge = {"split_layer": cuts[1], "cpu_frequency": clock, "tpu_mode": off, "cloud_gpu": dark}
    return {
        "all cloud": cloud,
        "all edge": edge,
        "all edge, accelerator": {**edge, "tpu_mode": fast},
    }


def _has(parameter: Parameter, name: str) -> Value:
    """The name where the study has it, otherwise its first value."""
    levels = _levels(parameter)
    return name if name in levels else levels[0]


def budget(size: int, share: float = 0.2) -> int:
    """Trials of a search that may look at a share of the space: ceil(share size) [1]."""
    # Ceiling of the product as written: 0.2 times 5 is 1, and no float may make it 2.
    return math.ceil(round(share * size, 9))
