"""What a small network and an appeal cost on DynaSplit's testbed: board, link and node.

Times follow multiply-accumulates as in `studies.dynasplit.testbed`: sentences at the board's speed
on ViT, images at that on VGG16. So appeal, split and both ends are priced alike, and every output
is labelled unverified until trials of one's own replace it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw_models import CloudNode, EdgeDevice, Link
from hw_models.appeal import Appealing
from hw_models.columns import FloatArray
from hw_models.link import lan_testbed
from search_spaces.dynasplit import CLOCKS
from studies.dynasplit.testbed import (
    ASSUMED,
    CALL,
    FASTEST,
    IMAGE_LOADING,
    NODE_POWER,
    VIT_SLOWEST,
    Priced,
    cuts_of,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for every pair.

    Attributes:
        bandwidth: Goodput of the link [bit/s].
        link: Fixed and per-byte cost of a transfer.
        waiting: Power of the board while it waits [W].
        idle: Power of the node that is not charged [W].
        cpu_slowdown: Arithmetic time of the node without its GPU over that with it [1].
    """

    bandwidth: float
    link: Link
    waiting: float = ASSUMED("board_idle")
    idle: float = 0.0
    cpu_slowdown: float = ASSUMED("cpu_slowdown")


def surroundings(
    bandwidth: float | None,
    waiting: float,
    idle: float,
    cpu_slowdown: float,
    radio_fixed: float,
    radio_byte: float,
) -> Surroundings:
    """The testbed's link, or another bandwidth, with the energy of a radio [J], [J/byte]."""
    lan, goodput = lan_testbed()
    link = Link(lan.fixed, byte_energy=radio_byte, tail_energy=radio_fixed)
    return Surroundings(bandwidth or goodput, link, waiting, idle, cpu_slowdown)


def priced_appeal(
    like: Priced,
    edge_macs: FloatArray,
    cloud_macs: Mapping[str, float],
    payload: float,
    around: Surroundings,
) -> Appealing:
    """Board, link and node for a family of small networks.

    Args:
        like: Network whose published runs say how fast board and node multiply: vit or vgg16.
        edge_macs: Multiply-accumulates of the small network of k layers, its head included [1],
            shape (layers + 1,), 0 at 0.
        cloud_macs: The same of each large network [1].
        payload: Bytes of an input [byte].
        around: What else there is.
    """
    whole = EdgeDevice.pi4_vgg16()
    reference = cuts_of(like, 0)
    total = float(reference.macs[-1])
    slowest = VIT_SLOWEST - IMAGE_LOADING
    cycles = CLOCKS[0] * slowest if like == "vit" else float(whole.cycles[0, -1])
    per_input = (edge_macs * cycles / total)[np.newaxis]
    edge = EdgeDevice(
        ("off",),
        per_input,
        np.zeros_like(per_input),
        whole.static[:1],
        whole.cubic[:1],
        around.waiting,
        (CLOCKS[0], CLOCKS[-1]),
    )
    link, goodput = lan_testbed()
    sent = float(link.latency(reference.sizes[:1], np.full(1, goodput))[0])
    per_mac = (FASTEST[like] - sent - reference.loading - CALL) / total
    clouds = {
        name: CloudNode(_tail(macs * per_mac, around), np.array(NODE_POWER), around.idle)
        for name, macs in cloud_macs.items()
    }
    return Appealing(edge, around.link, clouds, payload, around.bandwidth, "unverified")


def _tail(arithmetic: float, around: Surroundings) -> FloatArray:
    """GPU off and on, whole network and nothing left [s]."""
    return np.array([[CALL + around.cpu_slowdown * arithmetic, 0.0], [CALL + arithmetic, 0.0]])


def text_macs(sequence: int, classes: int, hidden: int, width: int = 384) -> FloatArray:
    """Small networks of k layers of MiniLM-L6 with off-ramps and predictor head, shape (7,).

    Args:
        sequence: Tokens of a sentence.
        classes: Of the task.
        hidden: Width of the predictor's hidden layer.
        width: Of a state.
    """
    layers = cuts_of("minilm-l6", sequence).macs
    k = np.arange(len(layers), dtype=np.float64)
    ramps = k * width * classes
    read = width + (k - 1) * classes + 2 * classes + 1
    found = layers + ramps + np.where(k > 0, (read + 1) * hidden, 0.0)
    return np.asarray(found, dtype=np.float64)
