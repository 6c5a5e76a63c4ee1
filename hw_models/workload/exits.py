"""Exits as rows of the stages they stand behind: they belong to a study, not to a network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from hw_models.columns import require_one_of
from hw_models.workload.table import ONE, Product, Size, Tensor, Vector, Workload

OffRamp: TypeAlias = Literal["pooler", "mean_pool"]
"""Before the classifier: pooler, dense + tanh on the first token; mean_pool, mean over tokens."""


def with_exits(
    network: Workload,
    classes: int,
    off_ramp: OffRamp = "mean_pool",
    behind: Sequence[int] | None = None,
) -> Workload:
    """A network with an exit behind some layers; an exit is counted with the layer before it.

    An exit pools what crosses the cut behind its layer, classifies it and takes the entropy of the
    answer (EdgeBERT, arXiv 2011.14203). What crosses is one vector a token, or one vector where the
    cut has no tokens: an exit behind a feature map of an image reads all of it. Parameters of an
    exit are never pruned, and they belong to the group of the layer's own parameters.

    Args:
        network: Without exits behind these layers.
        classes: Outputs of an exit [1], at least 2.
        off_ramp: What an exit computes before its classifier.
        behind: Layers; None: all.

    Raises:
        ValueError: If there are fewer than two classes, a layer would have two exits, or there is
            no such layer.
    """
    require_one_of("off_ramp", off_ramp, get_args(OffRamp))
    if classes < 2:
        raise ValueError(f"classes = {classes} must be at least 2: an exit decides between them")
    layers = tuple(range(1, network.layers + 1) if behind is None else behind)
    strange = [layer for layer in layers if not 1 <= layer <= network.layers]
    if strange:
        raise ValueError(f"behind = {strange} is outside 1 to {network.layers}, the layers")
    twice = sorted({layer for layer in layers if (*layers, *network.exits).count(layer) > 1})
    if twice:
        raise ValueError(
            f"layers {twice} of {network.name!r} have an exit already, or are named twice"
        )
    found = [_exit(network, layer, classes, off_ramp) for layer in layers]
    return replace(
        network,
        products=(*network.products, *(row for products, _, _ in found for row in products)),
        vectors=(*network.vectors, *(row for _, vectors, _ in found for row in vectors)),
        tensors=(*network.tensors, *(tensor for _, _, tensor in found)),
        exits=tuple(sorted({*network.exits, *layers})),
    )


def _exit(
    network: Workload, layer: int, classes: int, off_ramp: OffRamp
) -> tuple[list[Product], list[Vector], Tensor]:
    """Rows of one exit, and its parameters."""
    cut, answer, name = network.cuts[layer], Size(float(classes)), f"exit.{layer}"
    width, elements = Size(cut.base), (cut.base + 1) * classes
    groups = [t.group for t in network.tensors if layer in t.stages]
    products = [Product(layer, "classifier", "dense", ONE, width, answer, ONE, name)]
    vectors = [Vector(layer, "entropy", ONE, answer)]
    if off_ramp == "pooler":
        products.insert(0, Product(layer, "pooler", "dense", ONE, width, width, ONE, name))
        elements += cut.base * cut.base + cut.base
    else:
        vectors.insert(0, Vector(layer, "add", Size(1.0, cut.symbol), width))
    return products, vectors, Tensor(name, elements, "dense", [0, *groups][-1], (layer,))
