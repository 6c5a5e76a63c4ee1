"""`dse workload show`: a network as a table of layers, from a configuration or a torch module."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from dse.accuracy.networks.pretrained import NETWORKS, pretrained
from dse.cli.terminal import print_data, print_line, table_console
from dse.core.errors import DseError
from dse.core.failure import one_line
from dse.results.text_table import TextTable
from dse.workers.transport import import_file
from hw_models.workload import Size, Workload, encoder, from_config, trace, with_exits
from hw_models.workload.encoder import EncoderShape
from hw_models.workload.exits import OffRamp
from hw_models.workload.table import product_of

_TOKENS = 128
"""Of an input, where the command is not told."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of the command; None and () where one is not given."""

    tokens: int | None
    classes: int
    off_ramp: OffRamp | None
    blocks: str | None
    free: tuple[str, ...]
    without: tuple[str, ...]


def show_workload(  # noqa: PLR0913  (one argument per flag)
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="minilm-l6, hub:NAME, local:FOLDER, a folder or its config.json; or "
            "FILE.py:NAME, a function that gives a torch module and an example of what it is "
            "called with, or a Workload. The code of the file is run.",
        ),
    ],
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Length of an input, padding included; default: 128, or what the network takes. "
            "Of FILE.py: the size of the token dimension in its example, 1 for none.",
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Outputs of an exit.")] = 2,
    off_ramp: Annotated[
        Literal["pooler", "mean_pool"] | None,
        typer.Option(
            help="What an exit behind each layer computes. Default: pooler; of FILE.py: no exits."
        ),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(help="Of FILE.py: names of the modules that are layers: 'encoder.layer.*'."),
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option(help="Of FILE.py: an unknown operation that counts for nothing; repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Of FILE.py: names of modules that are left out; repeatable."),
    ] = None,
    format_: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="json: the whole table, as Workload.from_json reads it."),
    ] = "table",
) -> None:
    """Print what a network asks of hardware: products, vector work, weights and cuts by layer."""
    asked = _Asked(tokens, classes, off_ramp, blocks, tuple(free or ()), tuple(without or ()))
    try:
        workload = _workload(network, asked)
    except ValueError as error:
        raise DseError(f"{network}: {error}") from error
    if format_ == "json":
        print_data(workload.to_json())
        return
    console = table_console()
    console.print(_operations(workload))
    console.print(_stages(workload))
    for line in _totals(workload):
        print_line(line)


def _workload(network: str, asked: _Asked) -> Workload:
    path, colon, name = network.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), name, asked)
    only_traced = {"--blocks": asked.blocks, "--free": asked.free, "--without": asked.without}
    if given := [flag for flag, value in only_traced.items() if value]:
        raise DseError(
            f"{', '.join(given)}: only for a network that is traced, FILE.py:NAME; the layers of "
            f"{network} follow from its configuration"
        )
    config = _configuration(network)
    off_ramp = asked.off_ramp or "pooler"
    if asked.tokens is not None:
        return from_config(
            config, tokens=asked.tokens, classes=asked.classes, off_ramp=off_ramp, name=network
        )
    shape = EncoderShape.from_config(config, classes=asked.classes, off_ramp=off_ramp)
    return encoder(shape, min(_TOKENS, shape.longest), name=network)


def _configuration(network: str) -> dict[str, Any]:
    """The parsed config.json that a name or a path stands for."""
    place = Path(network.removeprefix("local:")).expanduser()
    if network in NETWORKS or network.startswith("hub:"):
        place = pretrained(network).folder
    file = place / "config.json" if place.is_dir() else place
    if not file.is_file():
        raise DseError(
            f"{network} is no network: neither {', '.join(NETWORKS)} nor hub:NAME, local:FOLDER, a "
            "folder with a config.json, such a file, or FILE.py:NAME"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DseError(f"{file} is no configuration: {one_line(error)}") from error
    if not isinstance(config, dict):
        raise DseError(f"{file} is no configuration: a mapping is wanted")
    return config


def _from_file(path: Path, name: str, asked: _Asked) -> Workload:
    made = _called(path, name)
    if isinstance(made, Workload):
        if given := [v for v in (asked.tokens, asked.blocks, *asked.free, *asked.without) if v]:
            raise DseError(
                f"{name} of {path} gives a Workload, so there is nothing to trace: {given}"
            )
        workload = made
    elif isinstance(made, tuple) and len(made) == 2 and hasattr(made[0], "named_modules"):
        workload = trace(
            *made,
            blocks=asked.blocks or "",
            free=asked.free,
            without=asked.without,
            tokens=asked.tokens,
        )
    else:
        raise DseError(
            f"{name} of {path} gives a {type(made).__name__}; wanted are a tuple (torch.nn.Module, "
            "example of what it is called with) or a hw_models.workload.Workload"
        )
    if asked.off_ramp is None:
        return workload
    return with_exits(workload, asked.classes, asked.off_ramp)


def _called(path: Path, name: str) -> object:
    """What a function of a file gives."""
    found = vars(import_file(path)).get(name)
    if not callable(found):
        raise DseError(f"{path} has no function {name!r} that can be called without arguments")
    function: Callable[[], object] = found
    try:
        return function()
    except Exception as error:  # whatever the user's own code raises
        raise DseError(f"{name} of {path} raises {one_line(error)}") from error


class _Line(NamedTuple):
    """A product or vectors of one layer, as a reader compares them with those of another."""

    kind: str
    name: str
    sizes: tuple[Size, ...]
    macs: float = 0.0
    weights: float = 0.0
    elements: float = 0.0


def _lines(workload: Workload, stage: int) -> tuple[_Line, ...]:
    sizes = workload.sizes
    products = (
        _Line(
            row.kind,
            row.name,
            row.shape,
            macs=product_of(row.shape, sizes),
            weights=product_of(row.shape[1:], sizes) if row.tensor else 0.0,
        )
        for row in workload.products
        if row.stage == stage
    )
    vectors = (
        _Line(
            "vector",
            row.kind,
            (row.rows, Size(1.0), row.length, row.copies),
            elements=product_of(row.shape, sizes),
        )
        for row in workload.vectors
        if row.stage == stage
    )
    return (*products, *vectors)


def _ranges(workload: Workload, key: Callable[[int], object]) -> list[tuple[str, int]]:
    """Neighbouring stages with one key: '0', '1 to 6', and the first of each."""
    named = []
    for _, group in groupby(range(workload.layers + 1), key=key):
        stages = list(group)
        named.append((f"{stages[0]} to {stages[-1]}" if stages[1:] else str(stages[0]), stages[0]))
    return named


def _operations(workload: Workload) -> TextTable:
    view = TextTable("layer", "kind", "name", title=f"{workload.name}: operations of each layer")
    for head in ("M", "K", "N", "copies", "MACs", "weights", "vector elements"):
        view.add_column(head, justify="right")
    for where, stage in _ranges(workload, lambda stage: _lines(workload, stage)):
        for line in _lines(workload, stage):
            sizes = [*map(_size, line.sizes)]
            if line.kind == "vector":
                sizes[1] = ""
            counts = (line.macs, line.weights, line.elements)
            view.add_row(where, line.kind, line.name, *sizes, *map(_count, counts))
            where = ""
    return view


def _stages(workload: Workload) -> TextTable:
    view = TextTable("layer", title="by layer; what crosses the cut behind it at 8 bit")
    heads = ("MACs", "parameters", "vector elements", "crosses behind", "bytes", "exit")
    for head in heads:
        view.add_column(head, justify="right")
    for where, stage in _ranges(workload, lambda stage: _summary(workload, stage)):
        view.add_row(where, *_summary(workload, stage))
    return view


def _summary(workload: Workload, stage: int) -> Sequence[str]:
    lines, cut = _lines(workload, stage), workload.cuts[stage]
    return (
        _count(workload.macs(stage)),
        _count(workload.parameters(stage)),
        _count(sum(line.elements for line in lines)),
        _size(cut),
        _count(cut.at(workload.sizes)),
        "yes" if stage in workload.exits else "",
    )


def _totals(workload: Workload) -> list[str]:
    symbols = [f"{name} {value:g}" for name, value in workload.sizes.items() if value != 1]
    roles = {role: workload.parameters(role=role) for role in ("embedding", "weight", "dense")}
    named = {"embedding": "looked up", "weight": "prunable", "dense": "others"}
    parts = ", ".join(f"{count:,.0f} {named[role]}" for role, count in roles.items() if count)
    return [
        f"layers: {workload.layers}; at {', '.join(symbols) or 'a fixed size'}",
        f"multiply-accumulates: {workload.macs():,.0f}",
        f"parameters: {workload.parameters():,.0f} ({parts}); a layer lists those that it is the "
        "first to use",
    ]


def _size(size: Size) -> str:
    """A size with all of its digits."""
    if size.symbol == "1":
        return f"{size.base:,.12g}"
    return size.symbol if size.base == 1 else f"{size.base:,.12g} {size.symbol}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number else ""
