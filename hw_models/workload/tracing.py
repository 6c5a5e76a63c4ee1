"""The workload of any torch module, from one forward pass on the meta device.

torch is imported when a network is traced. `hw_models.workload.record` writes the pass down, and
this module makes the table of it: stages, symbols, parameters and cuts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hw_models.workload.events import Event, Record
from hw_models.workload.stages import (
    LEFT_OUT,
    Place,
    Row,
    chosen_class,
    groups_of,
    matches,
    places_of,
    whole_modules,
)
from hw_models.workload.table import Kind, Product, Role, Size, Tensor, Vector, Workload

_ALONE = "tokens=1 makes a table of this one length"


def trace(  # noqa: PLR0913  (one argument per thing that a caller may have to say)
    module: Any,  # noqa: ANN401  (a torch.nn.Module; torch is not imported here)
    example: Any,  # noqa: ANN401  (what the module is called with)
    *,
    name: str = "",
    blocks: str = "",
    free: Collection[str] = (),
    without: Collection[str] = (),
    rows: Mapping[str, int] | None = None,
    tokens: int | None = None,
    longest: int | None = None,
    cpu: bool = False,
) -> Workload:
    """The workload of a module at inference, on an input of the example's size.

    Nothing is computed: the pass runs on the meta device, and the module is not changed. Each call
    of a repeated block is a layer, also where calls share their weights. What runs before the
    first is stage 0; what runs behind one belongs to it, a head behind the last too, unless
    `without` names it.

    Weights of products inside blocks are prunable (kind `weight`), without blocks all of them;
    those of other products, and of tied embeddings, are `dense`. Biases, norms and scales are dense
    parameters; in stage 0 of a network that looks rows up, they are kept with the rows. Sums of two
    tensors, functions of each element, norms and softmax are vector work; products with a number,
    masks, and the addition of biases are not counted. A module without parts that holds
    elementwise work only is one row. What depends on no input is made once, and is not counted.

    The example has a token dimension if it holds integers of shape (1, S). It is then traced at a
    second length, too, and what grows with the length gets a symbol: `tokens`, in attention `keys`
    and `heads`.

    Args:
        module: A torch.nn.Module.
        example: What it is called with: a tensor, a tuple of arguments, or a mapping by name; one
            input, not a batch. Values do not matter, unless `cpu` is given.
        name: Of the workload; else the class of the module and, if they were chosen, its blocks.
        blocks: Names of the modules that are layers, with `*` for a part: `encoder.layer.*`. Else
            they are chosen: of the classes called twice or more, with two products a call, those
            with nine tenths of the multiply-accumulates of the largest, and of these the one
            called most often. Without such a class, every product is a layer.
        free: Operations that count for nothing though they are not known, such as `roll`.
        without: Names of modules that are left out, as those of `blocks`: a pooler, a classifier.
        rows: Name of a table (`*` for a part) -> rows of it that one input looks up [1], where
            they are fewer than its tokens: those of segments.
        tokens: The size of the token dimension in the example, where it is not of integers; 1: the
            network has none.
        longest: Most tokens that the network takes; else those of the example.
        cpu: Compute with the module's own tensors, where its path depends on values. All of its
            intermediate results are kept until the end of the pass.

    Raises:
        ValueError: If an operation is unknown, values decide on the path, `blocks`, `without`,
            `rows` or `tokens` name nothing, or a size neither stays nor grows with the tokens.
    """
    from hw_models.workload.record import arguments_of, record_pass, shortened, token_dimension

    call = arguments_of(example)
    title = name or type(module).__name__
    length = token_dimension(call) if tokens is None else tokens
    first = record_pass(module, call, free, cpu)
    _refuse_unknown(first, title)
    second, other = first, length
    if length > 1:
        other = length // 2 if length % 2 == 0 else length - 1
        shorter = shortened(call, length, other)
        try:
            second = record_pass(module, shorter, free, cpu)
        except ValueError as error:
            raise ValueError(f"at {other} instead of {length} tokens: {error}; {_ALONE}") from error
        _refuse_other(first, second, length, other)
    chosen = "" if blocks else chosen_class(first.events, without)
    places = places_of(first.events, blocks, chosen, without)
    passes = _Passes(first, second, length, other, tuple(places))
    found = _parameters(passes, rows or {})
    products, vectors = [], []
    for row in whole_modules(passes.rows()):
        if row.work.kind == "product":
            products.append(_product(passes.first, row, found))
        else:
            vectors.append(_vector(row, found.heads))
    return Workload(
        name=name or (f"{title} by {chosen}" if chosen else title),
        layers=passes.layers,
        tokens=float(length),
        heads=float(max(found.heads, 1)),
        products=tuple(products),
        vectors=tuple(vectors),
        tensors=_tensors(passes, found),
        cuts=_cuts(passes),
        exits=(),
        longest=float(length if longest is None else longest),
    )


def _refuse_unknown(record: Record, title: str) -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for (operation, inside), times in record.unknown.items():
        where[operation].append(f"{inside or title} ({times} times)")
    if where:
        listed = "; ".join(f"{name} in {', '.join(at[:3])}" for name, at in sorted(where.items()))
        raise ValueError(
            f"{title} computes with operations that hw_models.workload.aten does not know: "
            f"{listed}. If they cost nothing on your hardware, or you count them elsewhere, say "
            f"so: free={sorted(where)}"
        )


def _refuse_other(first: Record, second: Record, length: int, other: int) -> None:
    """Refuse a network that does something else at another length."""
    one, two = ([(e.operation, len(e.work)) for e in r.events] for r in (first, second))
    if one != two:
        raise ValueError(
            f"the network runs other operations at {length} tokens than at {other} ({len(one)} and "
            f"{len(two)} of them); {_ALONE}"
        )


@dataclass(frozen=True, slots=True)
class _Passes:
    """Passes at two lengths, or one pass twice, and where its events run."""

    first: Record
    second: Record
    length: int
    other: int
    places: tuple[Place, ...]

    @property
    def layers(self) -> int:
        return max(place.stage for place in self.places)

    def size(self, here: float, there: float, what: str) -> Size:
        """A size that is `here` at the first length and `there` at the second.

        Raises:
            ValueError: If it neither stays nor grows in proportion to the tokens.
        """
        if here == there:
            return Size(float(here))
        if here * self.other == there * self.length:
            return Size(here / self.length, "tokens")
        raise ValueError(
            f"{what} is {here:g} at {self.length} tokens and {there:g} at {self.other}: it neither "
            f"stays nor grows in proportion; {_ALONE}"
        )

    def events(self) -> Iterator[tuple[Place, Event, Event]]:
        """Of the passes at both lengths, without what is left out."""
        both = zip(self.places, self.first.events, self.second.events, strict=True)
        yield from (triple for triple in both if triple[0].stage != LEFT_OUT)

    def rows(self) -> Iterator[Row]:
        """Products and vector work in order of execution."""
        for place, event, again in self.events():
            what = f"a size of {event.operation} in {event.calls[-1].module or 'the network'}"
            for one, two in zip(event.work, again.work, strict=True):
                if one.kind != "lookup":
                    both = zip(one.sizes, two.sizes, strict=True)
                    yield Row(place, event, one, tuple(self.size(a, b, what) for a, b in both))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a network does with its parameters, and how its attention is put together.

    Attributes:
        users: Parameter -> stages that use it.
        roles: Parameter -> its role.
        read: Table -> elements of it that an inference looks up.
        heads: Heads of every attention over the tokens; 0 if there is none, or if they differ.
        before_attention: Numbers of the products whose results are operands of an attention.
    """

    users: Mapping[str, set[int]]
    roles: Mapping[str, Role]
    read: Mapping[str, Size]
    heads: int
    before_attention: frozenset[int]


def _parameters(passes: _Passes, rows: Mapping[str, int]) -> _Found:
    users: dict[str, set[int]] = defaultdict(set)
    prunable: dict[str, bool] = {}
    beside_products: set[str] = set()
    for place, event, _ in passes.events():
        for name in event.parameters:
            users[name].add(place.stage)
        for work in (work for work in event.work if work.kind == "product"):
            beside_products |= event.parameters
            if work.tensor:
                prunable.setdefault(work.tensor, place.prunable)
    read, buffers = _read(passes, rows), passes.first.buffers
    # Of buffers, those that are multiplied with or looked up: running means of a norm are folded.
    kept = (users.keys() - buffers) | prunable.keys() | read.keys()
    used = {name: users[name] for name in users if name in kept}
    roles: dict[str, Role] = dict.fromkeys(used, "dense")
    roles |= {name: "weight" for name, is_ in prunable.items() if is_ and name not in buffers}
    if read:
        alone = used.keys() - beside_products
        roles |= {name: "embedding" for name in alone if used[name] == {0}}
        roles |= dict.fromkeys(read, "embedding")
    return _Found(used, roles, read, _heads(passes), _before_attention(passes.first))


def _read(passes: _Passes, rows: Mapping[str, int]) -> dict[str, Size]:
    """Elements that an inference looks up of each table, at most the table's own."""
    looked_up: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, event, again in passes.events():
        for one, two in zip(event.work, again.work, strict=True):
            if one.kind == "lookup":
                looked_up[one.tensor].append((one.sizes[0], two.sizes[0]))
    read, used = {}, set[str]()
    for name, sizes in looked_up.items():
        here, there = (sum(column) for column in zip(*sizes, strict=True))
        whole = passes.first.elements[name]
        fits = {p for p in rows if matches(name.removesuffix(".weight"), p)}
        if fits:
            read[name] = Size(float(rows[min(fits)] * passes.first.widths[name]))
        elif here > whole:
            read[name] = Size(float(whole))
        else:
            read[name] = passes.size(here, there, f"what is read of {name}")
        used |= fits
    if unused := sorted(set(rows) - used):
        tables = ", ".join(name.removesuffix(".weight") for name in looked_up) or "none"
        raise ValueError(f"rows = {unused} names no table; looked up are {tables}")
    return read


def _heads(passes: _Passes) -> int:
    copies = {
        row.work.sizes[3]
        for row in passes.rows()
        if row.work.number in passes.first.scores
        and not row.work.tensor
        and row.sizes[2].symbol == "tokens"
    }
    return copies.pop() if len(copies) == 1 else 0


def _product(record: Record, row: Row, found: _Found) -> Product:
    work = row.work
    rows, reduction, columns, copies = row.sizes
    if work.tensor:
        kind: Kind = "weight" if found.roles[work.tensor] == "weight" else "dense"
        name = work.tensor.removeprefix(f"{row.place.block}.").removesuffix(".weight")
        if work.number in found.before_attention:
            columns = _by_head(columns, found.heads)
        return Product(row.place.stage, name, kind, rows, reduction, columns, copies, work.tensor)
    name = "product"
    if work.number in record.contexts:
        name, reduction = "context", _as_keys(reduction)
    elif work.number in record.scores:
        name, columns = "scores", _as_keys(columns)
    if name != "product":
        copies = _by_head(copies, found.heads)
    return Product(row.place.stage, name, "activation", rows, reduction, columns, copies)


def _before_attention(record: Record) -> frozenset[int]:
    of = [record.feeds.get(number, ()) for number in record.scores | record.contexts]
    return frozenset(number for numbers in of for number in numbers)


def _vector(row: Row, heads: int) -> Vector:
    rows, length, copies = row.sizes
    if length.symbol == "tokens" and rows.symbol == "tokens":
        length, copies = _as_keys(length), _by_head(copies, heads)
    return Vector(row.place.stage, row.work.kind, rows, length, copies)


def _as_keys(size: Size) -> Size:
    return Size(size.base, "keys") if size.symbol == "tokens" else size


def _by_head(size: Size, heads: int) -> Size:
    divides = heads and size.symbol == "1" and size.base % heads == 0
    return Size(size.base / heads, "heads") if divides else size


def _tensors(passes: _Passes, found: _Found) -> tuple[Tensor, ...]:
    """Parameters that the network uses, those of the first groups first."""
    groups, elements = groups_of(found.users), passes.first.elements
    return tuple(
        Tensor(
            name, float(elements[name]), found.roles[name], groups[name],
            tuple(sorted(found.users[name])), found.read.get(name, Size(0.0)),
        )
        for name in sorted((n for n in elements if n in found.users), key=groups.__getitem__)
    )  # fmt: skip


_Spans: TypeAlias = list[tuple[int, int, int, int]]
"""Stage that makes a value, last stage that reads it, its elements at both lengths."""


def _cuts(passes: _Passes) -> tuple[Size, ...]:
    """Elements that cross behind each stage: what a later stage reads, each tensor whole.

    Behind the last stage that is the largest tensor that is given back, or that is read by what is
    left out. Masks and positions are not counted: they follow from the length of the input.
    """
    behind = passes.layers + 1
    last: dict[int, int] = dict.fromkeys(passes.first.returned, behind)
    for place, event in zip(passes.places, passes.first.events, strict=True):
        stage = behind if place.stage == LEFT_OUT else place.stage
        for index in event.reads:
            last[index] = max(last.get(index, 0), stage)
    spans: _Spans = []
    for index, read in last.items():
        value, again = passes.first.values[index], passes.second.values[index]
        made = 0 if value.event < 0 else passes.places[value.event].stage
        if value.data and made != LEFT_OUT:
            spans.append((made, read, value.elements, again.elements))
    return tuple(_crossing(passes, spans, stage) for stage in range(behind))


def _crossing(passes: _Passes, spans: _Spans, stage: int) -> Size:
    here = [(a, b) for made, read, a, b in spans if made <= stage < read]
    if stage == passes.layers:
        here = sorted(here)[-1:]
    total, other = sum(a for a, _ in here), sum(b for _, b in here)
    what = f"what crosses behind stage {stage}"
    if not any(place.block for place in passes.places):
        what += " (blocks=... would name the layers; without them every product is one)"
    return passes.size(total, other, what)
