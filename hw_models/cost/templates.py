"""Equal rows of a workload put together, so that the kernel takes each of them once.

Products of one form are one template over all stages that have it. Where all layers are alike and
no knob differs between them, stage 1 stands for all of them: the cost of l layers is then that of
stage 0 and l times that of stage 1.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.workload.table import Kind, Role, Size, Tensor, Workload

Where: TypeAlias = slice | NDArray[np.intp]
"""Rows of an array: a slice where they follow one another, since NumPy then makes no copy."""


class Template(NamedTuple):
    """Matrix products of one form.

    Attributes:
        kind: What their right operand is.
        shape: M, K, N and copies.
        rows: Stages that have it, as rows of an array.
        slots: Slots that have it, as rows of an array; stages for two activations.
        stages: Stage of each slot.
        groups: Group of each slot.
    """

    kind: Kind
    shape: tuple[Size, ...]
    rows: Where
    slots: Where
    stages: NDArray[np.intp]
    groups: NDArray[np.intp]


class VectorTemplate(NamedTuple):
    """Vector work of one form.

    Attributes:
        kind: As `Vector.kind`.
        shape: Rows, length and copies.
        rows: Stages, as rows of an array.
        stages: Stage of each.
    """

    kind: str
    shape: tuple[Size, ...]
    rows: Where
    stages: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """A workload as the kernel reads it. A slot is a stage with a group of parameters it uses.

    Attributes:
        layers: L of the network.
        groups: Of parameters; 1 where no knob differs between them.
        depth: Rows of the results, D: L + 1, or 2 where stage 1 stands for every layer.
        products: Forms of products.
        vectors: Forms of vector work.
        slot_stage: Stage of each slot, shape (S,).
        slot_group: Group of each slot, shape (S,).
        loads: Elements that are never pruned and that a slot streams [1], shape (S, 1).
        weights: Prunable elements kept by a device that holds 0 to L layers, by group [1], shape
            (L + 1, groups).
        dense: The same of parameters that are never pruned [1].
        embeddings: Elements of all embeddings by group [1], shape (groups,).
        reads: Elements that one input looks up: group, and count with its symbol.
    """

    layers: int
    groups: int
    depth: int
    products: tuple[Template, ...]
    vectors: tuple[VectorTemplate, ...]
    slot_stage: NDArray[np.intp]
    slot_group: NDArray[np.intp]
    loads: FloatArray
    weights: FloatArray
    dense: FloatArray
    embeddings: FloatArray
    reads: tuple[tuple[int, Size], ...]

    @property
    def repeated(self) -> bool:
        """Whether stage 1 stands for every layer."""
        return self.depth < self.layers + 1


def templates(workload: Workload, *, apart: bool = False) -> Templates:
    """The templates of a workload.

    Args:
        workload: The network.
        apart: Whether some knob differs between layers or groups, so that every layer is a row of
            its own even where all are alike.
    """
    last = 1 if not apart and alike(workload) else workload.layers
    group_of = {t.name: t.group if apart else 0 for t in workload.tensors}
    loads: dict[tuple[int, int], float] = defaultdict(float)
    for stage in range(last + 1):
        loads[stage, 0 if not apart else _first_group(workload, stage)] += 0.0
    for stage, tensor, streamed in _uses(workload):
        if stage <= last:
            loads[stage, group_of[tensor.name]] += streamed
    slots = sorted(loads)
    place = {pair: i for i, pair in enumerate(slots)}
    products = _forms(
        (p.kind, p.shape, p.stage, group_of[p.tensor] if p.tensor else -1)
        for p in workload.products
        if p.stage <= last
    )
    vectors = _forms((v.kind, v.shape, v.stage, -1) for v in workload.vectors if v.stage <= last)
    return Templates(
        layers=workload.layers,
        groups=workload.groups if apart else 1,
        depth=last + 1,
        products=tuple(_product(form, place) for form in products),
        vectors=tuple(
            VectorTemplate(form.kind, form.shape, _rows(form.stages), _whole(form.stages))
            for form in vectors
        ),
        slot_stage=_whole([stage for stage, _ in slots]),
        slot_group=_whole([group for _, group in slots]),
        loads=np.array([[loads[pair]] for pair in slots]),
        weights=_kept(workload, "weight", group_of),
        dense=_kept(workload, "dense", group_of),
        embeddings=_kept(workload, "embedding", group_of)[-1],
        reads=_reads(workload, group_of),
    )


def _product(form: "_Form", place: dict[tuple[int, int], int]) -> Template:
    slots = [
        stage if group < 0 else place[stage, group]
        for stage, group in zip(form.stages, form.groups, strict=True)
    ]
    where = _whole(form.stages), _whole(form.groups)
    return Template(form.kind, form.shape, _rows(form.stages), _rows(slots), *where)


def alike(workload: Workload) -> bool:
    """Whether all layers do the same work and stream as much."""
    forms: dict[int, Counter[Hashable]] = defaultdict(Counter)
    loads: dict[int, float] = defaultdict(float)
    for product in workload.products:
        forms[product.stage][product.kind, product.shape] += 1
    for vector in workload.vectors:
        forms[vector.stage][vector.kind, vector.shape] += 1
    for stage, _, streamed in _uses(workload):
        loads[stage] += streamed
    return all(
        forms[stage] == forms[1] and loads[stage] == loads[1]
        for stage in range(2, workload.layers + 1)
    )


def _uses(workload: Workload) -> Iterator[tuple[int, Tensor, float]]:
    """Stages with the parameters they use, and elements among these that are never pruned.

    Of embeddings those that a product multiplies with (tied ones); rows that are looked up are no
    use of the array.
    """
    multiplied = {(product.stage, product.tensor) for product in workload.products}
    for tensor in workload.tensors:
        for stage in tensor.stages:
            if tensor.role != "embedding" or (stage, tensor.name) in multiplied:
                yield stage, tensor, 0.0 if tensor.role == "weight" else tensor.elements


def _first_group(workload: Workload, stage: int) -> int:
    """Group of some parameters that a stage uses; 0 if it uses none."""
    return min((t.group for t in workload.tensors if stage in t.stages), default=0)


class _Form(NamedTuple):
    """Rows of one form: kind, sizes with copies, and where they are, no stage twice."""

    kind: Any
    shape: tuple[Size, ...]
    stages: list[int]
    groups: list[int]


def _forms(rows: Iterable[tuple[str, tuple[Size, ...], int, int]]) -> list[_Form]:
    """Equal rows put together; those that one stage and group has several of are copies."""
    found: dict[Hashable, _Form] = {}
    for (kind, (*sizes, copies), stage, group), count in sorted(
        Counter(rows).items(), key=lambda item: item[0][2:]
    ):
        shape, again = (*sizes, Size(copies.base * count, copies.symbol)), 0
        while stage in found.setdefault((kind, shape, again), _Form(kind, shape, [], [])).stages:
            again += 1
        found[kind, shape, again].stages.append(stage)
        found[kind, shape, again].groups.append(group)
    return [*found.values()]


def _whole(values: list[int]) -> NDArray[np.intp]:
    return np.array(values, dtype=np.intp)


def _rows(places: list[int]) -> Where:
    rows = _whole(places)
    return slice(places[0], places[-1] + 1) if (np.diff(rows) == 1).all() else rows


def _kept(workload: Workload, role: Role, group_of: dict[str, int]) -> FloatArray:
    """Elements of a role by layers held and by group [1], shape (L + 1, groups)."""
    first = np.zeros((workload.layers + 1, 1 + max(group_of.values(), default=0)))
    for tensor in workload.tensors:
        if tensor.role == role:
            first[tensor.stages[0], group_of[tensor.name]] += tensor.elements
    return np.asarray(np.cumsum(first, axis=0), dtype=np.float64)


def _reads(workload: Workload, group_of: dict[str, int]) -> tuple[tuple[int, Size], ...]:
    """Elements that one input looks up, summed by group and symbol."""
    total: dict[tuple[int, Any], float] = defaultdict(float)
    for tensor in workload.tensors:
        total[group_of[tensor.name], tensor.read.symbol] += tensor.read.base
    return tuple((group, Size(base, symbol)) for (group, symbol), base in total.items() if base)
