"""Small convolutional networks for the edge, larger ones for the cloud, and their arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dse.accuracy.appeal.two_heads import TwoHeads
from dse.accuracy.data.images import ImageSource, require_images
from dse.core.errors import DseError

CLOUD_WIDTHS = {"cnn-small": 8, "cnn-large": 16}
"""Channels of the first convolutions."""

DEEPEST = 3
"""Most layers of an edge network on images."""


def edge_trunk(source: ImageSource, layers: int) -> tuple[torch.nn.Module, int]:
    """Trunk of the small network and the number of its features.

    1 layer: pixels averaged to 7 x 7 or 4 x 4. 2: convolutions of 4 and 8 channels with stride 2.
    3: of 8, 16 and 16, the last with stride 1.

    Raises:
        DseError: If there are more layers than that.
    """
    if not 1 <= layers <= DEEPEST:
        raise DseError(f"edge_layers = {layers}; on images 1 to {DEEPEST}")
    nn = torch.nn
    if layers == 1:
        size = source.side // 4 if source.side % 4 == 0 and source.side > 8 else source.side // 2
        return nn.Sequential(nn.AvgPool2d(source.side // size), nn.Flatten()), size * size
    width = 4 if layers == 2 else 8
    parts: list[torch.nn.Module] = [
        nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
    ]  # fmt: skip
    if layers == 3:
        parts += [nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU()]
    side = (source.side + 3) // 4
    return nn.Sequential(*parts, nn.Flatten()), 2 * width * side * side


def edge_network(source: ImageSource, layers: int, hidden: int = 32) -> TwoHeads:
    """The small network with its heads, untrained."""
    trunk, width = edge_trunk(source, layers)
    return TwoHeads(trunk, width, source.classes, hidden=hidden)


def cloud_network(source: ImageSource, name: str) -> torch.nn.Module:
    """The large network, untrained.

    Raises:
        DseError: If the name is unknown.
    """
    if name not in CLOUD_WIDTHS:
        raise DseError(f"cloud_network = {name!r}; on images {', '.join(CLOUD_WIDTHS)}")
    nn, w = torch.nn, CLOUD_WIDTHS[name]
    parts: list[torch.nn.Module] = []
    for read, written in ((1, w), (w, w), (w, 2 * w), (2 * w, 2 * w)):
        parts += [
            nn.Conv2d(read, written, 3, padding=1, bias=False), nn.BatchNorm2d(written), nn.ReLU()
        ]  # fmt: skip
        if read == written:
            parts.append(nn.MaxPool2d(2))
    side = source.side // 4
    head = nn.Linear(2 * w * side * side, source.classes)
    return nn.Sequential(*parts, nn.Flatten(), nn.Dropout(0.3), head)


def macs(network: torch.nn.Module, inputs: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers for one input, shape (1, ...)."""
    counted = [0]

    def count(layer: torch.nn.Module, _given: object, found: torch.Tensor) -> None:
        if isinstance(layer, torch.nn.Conv2d):
            counted[0] += found[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, torch.nn.Linear):
            counted[0] += layer.weight.numel()

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    was = network.training
    try:
        with torch.inference_mode():
            network.eval()(inputs)
    finally:
        network.train(was)
        for hook in hooks:
            hook.remove()
    return counted[0]


@dataclass(frozen=True, slots=True)
class Work:
    """What the networks of a task compute for one image, and what an appeal sends.

    Attributes:
        edge: Multiply-accumulates of the small network of k layers, heads included, 0 for none.
        cloud: The same of each large network.
        pixels: Of an image; one byte each [byte].
    """

    edge: tuple[int, ...]
    cloud: Mapping[str, int]
    pixels: float


def work_of(task: str) -> Work:
    """The work of all networks of an image task.

    Raises:
        DseError: If there is no such task.
    """
    source = require_images(task)
    one = torch.zeros(1, 1, source.side, source.side)
    edge = (macs(edge_network(source, k), one) for k in range(1, DEEPEST + 1))
    cloud = {name: macs(cloud_network(source, name), one) for name in CLOUD_WIDTHS}
    return Work((0, *edge), cloud, float(source.side**2))
