"""`dse tables`: the constants that the cost models read, and where they come from."""

from typing import Annotated, Literal

import typer

from dse.cli.terminal import print_line, table_console
from dse.core.errors import DseError
from dse.results.text_table import TextTable
from dse.study.schema import UnknownName
from hw_models import Table, shipped, shipped_csv, shipped_names


def show_tables(
    name: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="One table, whole; default: the list.")
    ] = None,
    bound: Annotated[
        Literal["low", "nominal", "high"],
        typer.Option(help="Which end of the sources' disagreement to print."),
    ] = "nominal",
    format_: Annotated[
        Literal["table", "csv"],
        typer.Option("--format", help="csv: one table's file as it is, all bounds, for programs."),
    ] = "table",
) -> None:
    """Print the constants of the hardware models in SI units, with source and evidence."""
    console = table_console()
    if name is None:
        if format_ == "csv":
            raise DseError("--format csv prints one table: name it, as in dse tables dvfs_12nm")
        console.print(_listed([shipped(table) for table in shipped_names()]))
        return
    if name not in shipped_names():
        raise UnknownName(name, shipped_names())
    if format_ == "csv":
        typer.echo(shipped_csv(name), nl=False)
        return
    table = shipped(name, bound)
    console.print(_rows(table))
    origin = table.origin
    for field in ("source", "process", "conditions", "evidence", "bounds", "note"):
        if getattr(origin, field):
            print_line(f"{field}: {getattr(origin, field)}")


def _listed(tables: list[Table]) -> TextTable:
    view = TextTable("table", "rows", "evidence", "source", title="tables of the hardware models")
    for table in tables:
        rows = str(len(table.columns[table.key]))
        view.add_row(table.name, rows, table.origin.evidence, table.origin.source)
    return view


def _rows(table: Table) -> TextTable:
    view = TextTable(title=f"{table.name} ({table.bound})")
    for column in table.columns:
        unit = table.units[column]
        head = column if unit in ("choice", "1") else f"{column}\n[{unit}]"
        view.add_column(head, justify="left" if unit == "choice" else "right")
    for row in zip(*table.columns.values(), strict=True):
        view.add_row(*(str(v) if isinstance(v, str) else f"{v:.6g}" for v in row))
    return view
