"""What DynaSplit's testbed spends on a network cut at a layer: board, link and node, closed form.

Published runs (arXiv 2410.23881) fix whole networks: a Raspberry Pi 4 that runs VGG16 in
2.855 Gcycles, an accelerator that runs it in 434 or 424.5 ms, a cloud behind 592 Mbit/s. Cuts
between are shares of these by multiply-accumulates (processors) or weights (the accelerator, which
streams what its 8 MB do not hold). Another network scales by its own counts. All of that is
inference, so every output is labelled unverified until trials of one's own replace it. The numbers
stand in `hw_models/tables/testbed_dynasplit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hw_models import CloudNode, EdgeDevice, EncoderShape, SplitComputing, shipped
from hw_models.columns import FloatArray
from hw_models.link import lan_testbed
from search_spaces.dynasplit import CLOCKS, NETWORKS

Priced: TypeAlias = Literal["vgg16", "vit", "bert-base", "minilm-l6"]
"""Networks whose layers are counted here."""

_BED = shipped("testbed_dynasplit").constant

ASSUMED = shipped("assumptions").constant
"""Values without a source, with an interval: chip_idle and board_idle [W], cpu_slowdown [1]."""

IMAGE_LOADING = _BED("image_loading")
"""Of one image on the board [s]."""

CALL = _BED("call")
"""Of one remote inference beside its arithmetic [s]: assumed. It keeps what is cut behind the
accelerator near VGG16's fastest published latency, as published."""

TPU_WHOLE_VGG16 = {"std": _BED("tpu_std"), "max": _BED("tpu_max")}
"""Latency of VGG16 on the accelerator at 1.8 GHz [s]."""

TPU_STATIC_POWER = {"std": _BED("tpu_std_power"), "max": _BED("tpu_max_power")}
"""Board and accelerator at clock zero [W]."""

VIT_SLOWEST = _BED("vit_slowest")
"""Slowest published latency of ViT [s]: taken as all on the board at 600 MHz."""

FASTEST: Mapping[str, float] = {"vgg16": _BED("vgg16_fastest"), "vit": _BED("vit_fastest")}
"""Fastest published latency [s]: taken as all in the cloud with its GPU."""

NODE_POWER = (_BED("node_cpu_power"), _BED("node_gpu_power"))
"""Of the whole node while computing [W], GPU off and on."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Counts of a network by cut; every array of shape (layers + 1,), 0 at cut 0.

    Attributes:
        macs: Multiply-accumulates up to the cut [1].
        weights: Weight elements up to the cut [1].
        sizes: Sent when cut there [byte]; 0 after the last layer.
        loading: Of an input on the board, wherever the cut is [s].
    """

    macs: FloatArray
    weights: FloatArray
    sizes: FloatArray
    loading: float


def cuts_of(network: Priced, sequence: int) -> Cuts:
    """Counts of a network.

    Args:
        network: Which.
        sequence: Tokens of an encoder's sentence; images do not read it.
    """
    if network == "vgg16":
        return _vgg16()
    if network == "vit":
        return _vit()
    return _encoder(ENCODERS[network], sequence)


ENCODERS: Mapping[str, Mapping[str, str | int]] = {
    "bert-base": {
        "model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768,
        "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
        "max_position_embeddings": 512, "type_vocab_size": 2,
    },
    "minilm-l6": {
        "model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384,
        "num_attention_heads": 12, "intermediate_size": 1536, "vocab_size": 30522,
        "max_position_embeddings": 512, "type_vocab_size": 2,
    },
    "vit": {
        "model_type": "vit", "num_hidden_layers": 12, "hidden_size": 768,
        "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224, "patch_size": 16,
    },
}  # fmt: skip
"""Sizes of the encoders, as their transformers configurations state them."""


def _vgg16() -> Cuts:
    """Keras' VGG16: 0 input, 18 last pool, 19 flatten, 20 to 22 dense; one byte per activation."""
    macs, weights, sizes = [0.0], [0.0], [224.0 * 224 * 3 * 4]
    side, channels = 224, 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            kernel = 9.0 * channels * width
            macs.append(kernel * side**2)
            weights.append(kernel)
            sizes.append(float(side**2 * width))
            channels = width
        side //= 2
        macs.append(0.0)
        weights.append(0.0)
        sizes.append(float(side**2 * width))
    macs.append(0.0)
    weights.append(0.0)
    sizes.append(float(side**2 * channels))
    for rows, columns in ((side**2 * channels, 4096), (4096, 4096), (4096, 1000)):
        macs.append(float(rows * columns))
        weights.append(float(rows * columns))
        sizes.append(float(columns))
    sizes[-1] = 0.0
    return Cuts(np.cumsum(macs), np.cumsum(weights), np.array(sizes), IMAGE_LOADING)


def _vit() -> Cuts:
    """ViT-B/16: 1 patch embedding, 5 to 16 blocks, 18 token pick, 19 head; float32."""
    shape = EncoderShape.from_config(ENCODERS["vit"], classes=1000)
    patches = shape.positions - 1
    macs, weights = np.zeros(20), np.zeros(20)
    macs[1], weights[1] = patches * 768.0**2, 768.0**2
    macs[5:17] = shape.layer_macs(np.array([float(patches + 1)]))[0]
    weights[5:17] = shape.layer_weights
    macs[19] = weights[19] = 768.0 * 1000
    sizes = np.full(20, (patches + 1) * 768 * 4.0)
    sizes[:3] = patches * 768 * 4.0
    sizes[18], sizes[19] = 768 * 4.0, 0.0
    return Cuts(np.cumsum(macs), np.cumsum(weights), sizes, IMAGE_LOADING)


def _encoder(config: Mapping[str, str | int], sequence: int) -> Cuts:
    """A text encoder cut after each block: token numbers go out at cut 0, float32 states else."""
    shape = EncoderShape.from_config(config)
    depth = np.arange(shape.layers + 1.0)
    sizes = np.full(shape.layers + 1, sequence * shape.hidden * 4.0)
    sizes[0], sizes[-1] = sequence * 4.0, 0.0
    macs = depth * shape.layer_macs(np.array([float(sequence)]))[0]
    return Cuts(macs, depth * shape.layer_weights, sizes, 0.0)


def priced_testbed(
    network: Priced, sequence: int, *, waiting: float, idle: float, cpu_slowdown: float
) -> SplitComputing:
    """Board, link and node for a network.

    Args:
        network: Which.
        sequence: Tokens of an encoder's sentence.
        waiting: Power of the board while it waits [W].
        idle: Power of the node that is not charged [W].
        cpu_slowdown: Arithmetic time of the node without its GPU over that with it [1].
    """
    cuts = cuts_of(network, sequence)
    link, _ = lan_testbed()
    edge = _board(network, cuts, waiting)
    return SplitComputing(
        edge, link, _node(network, cuts, idle, cpu_slowdown), cuts.sizes, "unverified"
    )


def _board(network: Priced, cuts: Cuts, waiting: float) -> EdgeDevice:
    whole = EdgeDevice.pi4_vgg16()
    share = cuts.macs / cuts.macs[-1]
    clocks = (CLOCKS[0], CLOCKS[-1])
    if not NETWORKS[network].on_tpu:
        per_cycle = float(cuts_of("vit", 0).macs[-1]) / (CLOCKS[0] * (VIT_SLOWEST - IMAGE_LOADING))
        cycles = (cuts.macs / per_cycle)[np.newaxis]
        fixed = np.full_like(cycles, cuts.loading)
        return EdgeDevice(("off",), cycles, fixed, whole.static, whole.cubic, waiting, clocks)
    streamed = cuts.weights / cuts.weights[-1]
    beyond = float(whole.fixed[0, -1]) - cuts.loading
    modes = ("off", *TPU_WHOLE_VGG16)
    cycles = np.zeros((len(modes), len(share)))
    cycles[0] = share * whole.cycles[0, -1]
    fixed = np.stack(
        [
            cuts.loading + streamed * beyond,
            *(cuts.loading + streamed * (t - cuts.loading) for t in TPU_WHOLE_VGG16.values()),
        ]
    )
    static = np.array([float(whole.static[0]), *TPU_STATIC_POWER.values()])
    cubic = np.full(len(modes), float(whole.cubic[0]))
    return EdgeDevice(modes, cycles, fixed, static, cubic, waiting, clocks)


def _node(network: Priced, cuts: Cuts, idle: float, cpu_slowdown: float) -> CloudNode:
    left = cuts.macs[-1] - cuts.macs
    like: Priced = "vgg16" if network == "vgg16" else "vit"
    reference = cuts_of(like, 0)
    link, goodput = lan_testbed()
    sent = link.latency(reference.sizes[:1], np.full(1, goodput))[0]
    arithmetic = FASTEST[like] - float(sent) - reference.loading - CALL
    per_mac = arithmetic / float(reference.macs[-1])
    tail = np.stack([CALL + cpu_slowdown * per_mac * left, CALL + per_mac * left])
    tail[:, -1] = 0.0
    return CloudNode(tail, np.array(NODE_POWER), idle)
