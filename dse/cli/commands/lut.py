"""The commands of the lookup tables: `dse export` and `dse lut`."""

from pathlib import Path
from typing import Annotated

import typer

from dse.cli.arguments import RunPath
from dse.cli.terminal import print_line, say
from dse.lut.build import Order, lookup_table
from dse.lut.error_codes import LutError
from dse.lut.exports import FILE_NAMES, Format, exported
from dse.lut.files import Form, read_table, write_within
from dse.lut.pretty_print import differences, shown
from dse.lut.sources import read_exit_predictor, read_operating_points
from dse.lut.table import LookupTable
from dse.runs.store import read_run

EXIT_DIFFERENT = 3
EXIT_DAMAGED = 5

TablePath = Annotated[Path, typer.Argument(metavar="FILE", help="A table: JSON, binary or CBOR.")]


def export(  # noqa: PLR0913  (one argument per flag)
    run: RunPath,
    format_: Annotated[Format, typer.Option("--format", help="Form of the table.")] = "json",
    out: Annotated[Path | None, typer.Option(help="File to write; default: in RUN/tables.")] = None,
    design: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB=VALUE", help="Fix a design knob; default: the best design."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB=VALUE", help="Keep trials with this run-time knob alone."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Most rows: corners and most hypervolume stay.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device that the table is for.")] = "",
    context: Annotated[str, typer.Option(help="What else it holds for: bandwidth=good.")] = "",
    hysteresis: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a range that a switch must gain.")
    ] = 0.0,
    exit_lut: Annotated[
        Path | None, typer.Option(help="CSV: entropy, predicted entropies of later layers [nat].")
    ] = None,
    exit_layer: Annotated[int, typer.Option(min=1, help="Layer that --exit-lut reads.")] = 1,
    points: Annotated[
        Path | None, typer.Option(help="CSV with columns vdd_V and f_max_Hz, _kHz, _MHz or _GHz.")
    ] = None,
) -> None:
    """Write the lookup table of one device: its fixed design and the settings to choose from."""
    read = read_run(run)
    order = Order(
        sort_by=read.manifest["export"]["sort_by"],
        fallback=read.manifest["export"]["fallback"],
        design=read.question.settings(design or [], "--design"),
        only=read.question.settings(only or [], "--only"),
        rows=rows,
        hysteresis=hysteresis,
        device=device,
        context=context,
        exit_predictor=read_exit_predictor(exit_lut, exit_layer) if exit_lut else None,
        operating_points=read_operating_points(points) if points else (),
    )
    table = lookup_table(read, order)
    default = run / "tables" / FILE_NAMES[format_]
    target = out or default
    path = write_within(target.parent, target.name, exported(table, format_))
    _say(table)
    typer.echo(path)


def _say(table: LookupTable) -> None:
    """For which device, and what it needs that is not in the table."""
    fixed = ", ".join(
        f"{k.name} = {k.choices[k.value] if k.choices else k.value / 10**k.decimals}"
        for k in table.design
    )
    with_design = f"with {fixed}" if fixed else "(every knob is free at run time)"
    say(f"{len(table.rows)} rows for the device {with_design}")
    for head in (name for name in table.depends_on if name.startswith("appeal_head")):
        said = "an appeal head is network weights and not in the table"
        say(f"{said}; {head}: {table.depends_on[head]}")


def verify(file: TablePath) -> None:
    """Check everything about a table file; exit code 5 and the fault if it is not to be trusted."""
    table, form = _sound(file)
    print_line(f"{file}: sound, {form}, {len(table.rows)} rows, device {table.valid_for.device!a}")


def show(file: TablePath) -> None:
    """Print a table with its units, its evidence and its default row; exit code as `verify`."""
    print_line(shown(_sound(file)[0]))


def diff(old: TablePath, new: TablePath) -> None:
    """Print where two tables differ, whatever their forms; exit code 3 if they do."""
    lines = differences(_sound(old)[0], _sound(new)[0])
    for line in lines:
        print_line(line)
    if lines:
        raise typer.Exit(EXIT_DIFFERENT)


def _sound(file: Path) -> tuple[LookupTable, Form]:
    """A table file; one that does not verify ends the command with its own code."""
    try:
        return read_table(file)
    except LutError as error:
        say(f"{file}: {error}")
        raise typer.Exit(EXIT_DAMAGED) from error
