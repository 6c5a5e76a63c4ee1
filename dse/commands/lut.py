"""The commands of the lookup tables: `dse export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dse.errors import DseError
from dse.lut.table import lookup_table
from dse.parameters import Value
from dse.store import Run, read_run, write_atomically
from dse.terminal import notes

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("export", epilog="Example: dse export runs/demo --format json")(export)


def export(
    run: RunPath,
    format_: Annotated[Literal["json"], typer.Option("--format", help="Table format.")] = "json",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: RUN/tables/lut.json.")
    ] = None,
    design: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB=VALUE", help="Fix a design knob; default: the best design."),
    ] = None,
) -> None:
    """Write the lookup table of one device: its fixed design and the settings to choose from."""
    read = read_run(run)
    order = read.manifest["export"]
    table = lookup_table(
        read,
        sort_by=order["sort_by"],
        fallback=order["fallback"],
        design=_design(read, design or []) or None,
    )
    path = out or run / "tables" / f"lut.{format_}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, table.to_json() + "\n")
    except OSError as error:
        raise DseError(f"{path} cannot be written: {error.strerror}") from error
    fixed = ", ".join(f"{d['name']} = {d['value']}" for d in table.content["design"])
    notes.print(f"{len(table.content['rows'])} rows for the device with {fixed}", markup=False)
    typer.echo(path)


def _design(run: Run, texts: list[str]) -> dict[str, Value]:
    design: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise DseError(f"--design {text}: write --design knob=value")
        unit = run.question[name].unit
        try:
            design[name] = value if unit == "choice" else float(value)
        except ValueError as error:
            raise DseError(f"--design {text}: {value!r} is not a number in {unit}") from error
    return design
