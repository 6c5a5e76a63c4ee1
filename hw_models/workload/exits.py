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
    answer (EdgeBERT, arXiv 2011.14203). Its parameters are never pruned, and they belong to the
    group of the layer's own parameters.

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
    groups = {stage: t.group for t in network.tensors for stage in t.stages}
    products, vectors, tensors = [*network.products], [*network.vectors], [*network.tensors]
    for layer in layers:
        cut = network.cuts[layer]
        width, group = cut.base, groups.get(layer, 0)
        elements, name = (width + 1) * classes, f"exit.{layer}"
        if off_ramp == "pooler":
            hidden = Size(width)
            products.append(Product(layer, "pooler", "dense", ONE, hidden, hidden, tensor=name))
            elements += width * width + width
        else:
            vectors.append(Vector(layer, "add", Size(1.0, cut.symbol), Size(width)))
        answer = Size(float(classes))
        products.append(Product(layer, "classifier", "dense", ONE, Size(width), answer, ONE, name))
        vectors.append(Vector(layer, "entropy", ONE, answer))
        tensors.append(Tensor(name, elements, "dense", group, (layer,)))
    return replace(
        network,
        products=tuple(products),
        vectors=tuple(vectors),
        tensors=tuple(tensors),
        exits=tuple(sorted({*network.exits, *layers})),
    )
