"""Equal rows of a workload put together, so that the kernel takes each of them once.

Products of one form are one template over all stages that have it. Where all layers are alike and
no knob differs between them, stage 1 stands for all of them: the cost of l layers is then that of
stage 0 and l times that of stage 1.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.workload.table import Kind, Role, Size, Workload

Where = slice | NDArray[np.intp]
"""Rows of an array: a slice where they follow one another, since NumPy then makes no copy."""


Shape = tuple[Size, Size, Size, Size]


class Template(NamedTuple):
    """Matrix products of one form.

    Attributes:
        kind: What their right operand is.
        shape: M, K, N and copies.
        rows: Stages that have it, as rows of an array.
        slots: Slots that have it, as rows of an array; stages for two activations.
        stages: Stage of each slot.
        groups: Group of each of these; none for two activations.
    """

    kind: Kind
    shape: Shape
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
    shape: tuple[Size, Size, Size]
    rows: Where
    stages: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """A workload as the kernel reads it.

    A slot is a stage with the parameters of one group that it uses.

    Attributes:
        layers: L of the network.
        groups: Of parameters.
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
        reads: Elements that one input looks up, by group: a count and its symbol.
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
    def one_slot_a_stage(self) -> bool:
        """Whether slots are stages."""
        return len(self.slot_stage) == self.depth

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
    short = not apart and alike(workload)
    last = 1 if short else workload.layers
    group_of = {tensor.name: 0 if short else tensor.group for tensor in workload.tensors}
    used = {(p.stage, group_of[p.tensor]) for p in workload.products if p.tensor}
    loads: Counter[tuple[int, int]] = Counter()
    for tensor in workload.tensors:
        if tensor.role == "dense":
            for stage in tensor.stages:
                loads[stage, group_of[tensor.name]] += tensor.elements  # type: ignore[assignment]
    idle = {(stage, 0) for stage in range(last + 1)} - {(stage, 0) for stage, _ in used | {*loads}}
    slots = sorted(pair for pair in used | {*loads} | idle if pair[0] <= last)
    place = {pair: i for i, pair in enumerate(slots)}
    products: dict[tuple[Kind, Shape], Counter[tuple[int, int]]] = defaultdict(Counter)
    for row in workload.products:
        if row.stage <= last:
            group = group_of[row.tensor] if row.tensor else -1
            products[row.kind, row.shape][row.stage, group] += 1
    vectors: dict[tuple[str, tuple[Size, Size, Size]], Counter[tuple[int, int]]]
    vectors = defaultdict(Counter)
    for vector in workload.vectors:
        if vector.stage <= last:
            vectors[vector.kind, vector.shape][vector.stage, -1] += 1
    return Templates(
        layers=workload.layers,
        groups=workload.groups,
        depth=last + 1,
        products=tuple(
            Template(
                kind,
                (m, k, n, _times(copies, count)),
                _rows([stage for stage, _ in pairs]),
                _rows([stage if group < 0 else place[stage, group] for stage, group in pairs]),
                _whole(stage for stage, _ in pairs),
                _whole(group for _, group in pairs),
            )
            for (kind, (m, k, n, copies)), pairs_of in products.items()
            for count, pairs in _by_count(pairs_of)
        ),
        vectors=tuple(
            VectorTemplate(
                kind,
                (rows, length, _times(copies, count)),
                _rows([stage for stage, _ in pairs]),
                _whole(stage for stage, _ in pairs),
            )
            for (kind, (rows, length, copies)), pairs_of in vectors.items()
            for count, pairs in _by_count(pairs_of)
        ),
        slot_stage=_whole(stage for stage, _ in slots),
        slot_group=_whole(group for _, group in slots),
        loads=np.array([[float(loads[pair])] for pair in slots]).reshape(len(slots), 1),
        weights=_kept(workload, "weight"),
        dense=_kept(workload, "dense"),
        embeddings=_kept(workload, "embedding")[-1],
        reads=_reads(workload),
    )  # fmt: skip


def alike(workload: Workload) -> bool:
    """Whether all layers do the same work and stream as much."""
    forms: dict[int, Counter[Hashable]] = defaultdict(Counter)
    for product in workload.products:
        forms[product.stage][product.kind, product.shape] += 1
    for vector in workload.vectors:
        forms[vector.stage][vector.kind, vector.shape] += 1
    for tensor in workload.tensors:
        if tensor.role == "dense":
            for stage in tensor.stages:
                forms[stage]["load"] += tensor.elements  # type: ignore[assignment]
    return all(forms[stage] == forms[1] for stage in range(2, workload.layers + 1))


def _by_count(
    places: "Counter[tuple[int, int]]",
) -> Iterable[tuple[int, list[tuple[int, int]]]]:
    """Stages and groups by how often a form occurs there, no stage twice in one list."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    seen: Counter[tuple[int, int]] = Counter()
    for (stage, group), count in sorted(places.items()):
        found[count, seen[count, stage]].append((stage, group))
        seen[count, stage] += 1
    return [(count, pairs) for (count, _), pairs in found.items()]


def _times(copies: Size, count: int) -> Size:
    """Copies of a form that occurs so often in one place."""
    return Size(copies.base * count, copies.symbol)


def _whole(values: Iterable[int]) -> NDArray[np.intp]:
    return np.array([*values], dtype=np.intp)


def _rows(places: list[int]) -> Where:
    rows = _whole(places)
    return slice(places[0], places[-1] + 1) if (np.diff(rows) == 1).all() else rows


def _kept(workload: Workload, role: Role) -> FloatArray:
    """Elements of a role by layers held and by group [1], shape (L + 1, groups)."""
    first = np.zeros((workload.layers + 1, workload.groups))
    for tensor in workload.tensors:
        if tensor.role == role:
            first[tensor.stages[0], tensor.group] += tensor.elements
    return np.asarray(np.cumsum(first, axis=0), dtype=np.float64)


def _reads(workload: Workload) -> tuple[tuple[int, Size], ...]:
    total: Counter[tuple[int, str]] = Counter()
    for tensor in workload.tensors:
        if tensor.role == "embedding" and tensor.read.base:
            total[tensor.group, tensor.read.symbol] += tensor.read.base  # type: ignore[assignment]
    return tuple(
        (group, Size(base, symbol))  # type: ignore[arg-type]
        for (group, symbol), base in total.items()
    )
