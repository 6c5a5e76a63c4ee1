"""Which layer each operation of a traced network belongs to, and what is one row of vector work."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from typing import NamedTuple

from hw_models.workload.aten import CLASSES
from hw_models.workload.events import Call, Event, Work
from hw_models.workload.table import Size

LEFT_OUT = -1
"""Stage of what the caller leaves out."""

_ROOTS = frozenset({"rsqrt", "sqrt", "std", "std_mean", "linalg_vector_norm", "norm"})
"""With one of these and a reduction, a module of elementwise operations is a normalisation."""


class Place(NamedTuple):
    """Where an event runs.

    Attributes:
        stage: 0 to L, or `LEFT_OUT`.
        block: Name of the block's module; "" outside.
        prunable: Whether weights of products are prunable there.
    """

    stage: int
    block: str
    prunable: bool


class Row(NamedTuple):
    """Work of an event, with its sizes as symbols.

    Attributes:
        place: Where it runs.
        event: That it is of.
        work: With the sizes of the example.
        sizes: The same sizes, as a table has them.
    """

    place: Place
    event: Event
    work: Work
    sizes: tuple[Size, ...]


def matches(name: str, pattern: str) -> bool:
    """Whether a dotted name fits a pattern, part by part; `*` stands for text without a dot."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def left_out(event: Event, without: Iterable[str]) -> set[str]:
    """Those of some patterns of module names in whose modules an event runs."""
    return {pattern for pattern in without for c in event.calls if matches(c.module, pattern)}


def chosen_class(events: Sequence[Event], without: Collection[str]) -> str:
    """Class of the modules that are layers; "" if every product is one.

    Of the classes called twice or more, with two products a call, those with nine tenths of the
    multiply-accumulates of the largest, and of these the one called most often.
    """
    macs: dict[str, float] = defaultdict(float)
    calls: dict[str, set[int]] = defaultdict(set)
    products: dict[str, int] = defaultdict(int)
    for event in events:
        if left_out(event, without):
            continue
        # The outermost call of a class: calls of one class may be inside each other.
        kinds = {call.kind: call for call in reversed(event.calls)}.values()
        for work in (work for work in event.work if work.kind == "product"):
            rows, reduction, columns, copies = work.sizes
            for call in kinds:
                macs[call.kind] += float(rows) * reduction * columns * copies
                calls[call.kind].add(call.number)
                products[call.kind] += 1
    holders = {c.kind for e in events for c in e.calls if c.container or c.leaf}
    able = [k for k in macs if k not in holders and products[k] >= 2 * len(calls[k]) >= 4]
    most = max((macs[kind] for kind in able), default=0.0)
    holding = [kind for kind in able if macs[kind] >= 0.9 * most]
    return max(holding, key=lambda kind: (len(calls[kind]), macs[kind]), default="")


def places_of(
    events: Sequence[Event], blocks: str, chosen: str, without: Collection[str]
) -> list[Place]:
    """Where each event of a pass runs.

    Args:
        events: In their order.
        blocks: Pattern of the names of the modules that are layers; "": those of the class.
        chosen: Name of that class; "" too: every product is a layer.
        without: Patterns of the names of modules that are left out.

    Raises:
        ValueError: If a pattern names no module that is called, or there are no layers.
    """
    places, seen, used = [], set[int](), set[str]()
    stage = 0
    for event in events:
        out = left_out(event, without)
        used |= out
        block = next((call for call in event.calls if _is_block(call, blocks, chosen)), None)
        if out:
            places.append(Place(LEFT_OUT, "", False))
            continue
        if block is not None:
            stage += block.number not in seen
            seen.add(block.number)
        elif not blocks and not chosen:
            stage += any(work.kind == "product" for work in event.work)
        alone = not blocks and not chosen
        places.append(Place(stage, block.module if block else "", alone or block is not None))
    _refuse_unused("without", {*without} - used, events)
    if not stage:
        _refuse_unused("blocks", {blocks} if blocks else set(), events)
        raise ValueError("the network has no matrix product: there is nothing to make layers of")
    return places


def _is_block(call: Call, blocks: str, chosen: str) -> bool:
    return matches(call.module, blocks) if blocks else bool(chosen) and call.kind == chosen


def _refuse_unused(argument: str, patterns: Collection[str], events: Iterable[Event]) -> None:
    if patterns:
        names = list(dict.fromkeys(c.module for e in events for c in e.calls if c.module))
        raise ValueError(
            f"{argument} = {', '.join(sorted(patterns))} names no module that is called; such are "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        )


def whole_modules(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows, with the elementwise work of a module without parts as one row."""
    for call, group in groupby(rows, key=_leaf):
        found = list(group)
        yield from found if call < 0 else _one_row(found)


def _leaf(row: Row) -> int:
    """Number of the call of a module without parts that a row belongs to; -1 for other rows."""
    inside = row.event.calls[-1]
    return inside.number if inside.leaf else -1


def _one_row(rows: list[Row]) -> list[Row]:
    """What one call of a module without parts does, as one row if it is elementwise work only."""
    operations = {row.event.operation for row in rows}
    classes = {CLASSES.get(operation) for operation in operations}
    if not all(row.work.kind.startswith(("add", "activation:")) for row in rows):
        return rows
    if operations & _ROOTS and "reduction" in classes:
        kind = "norm"
    elif "function" in classes:
        kind = f"activation:{rows[0].event.calls[-1].kind.lower().removesuffix('activation')}"
    else:
        return rows
    largest = max(rows, key=lambda row: math.prod(row.work.sizes))
    return [largest._replace(work=largest.work._replace(kind=kind))]


def groups_of(stages: Mapping[str, set[int]]) -> dict[str, int]:
    """Group of each parameter: 0 before the first layer, then counted by the first that uses it."""
    first = {name: min(used) for name, used in stages.items()}
    ranks = {stage: rank for rank, stage in enumerate(sorted({*first.values()} - {0}), 1)}
    return {name: ranks.get(stage, 0) for name, stage in first.items()}
