"""Files of measured trials, CSV or Parquet, read by a layout that says header, unit and role."""

import csv
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dse.core.errors import DseError
from dse.core.parameters import Column
from dse.core.parquet import read_parquet
from dse.core.units import notations

_SI = ("V", "s", "J", "W", "Hz", "B", "B/s", "bit/s", "m^2", "1")
_BINARY = {"KiB": 1024.0, "MiB": 1024.0**2}
_SHOWN = 10
"""Malformed cells named in one error."""


class _Part(BaseModel):
    """A part of a layout: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnLayout(_Part):
    """One column of the file; either a unit or a list of names."""

    header: str | None = None
    unit: str | None = None
    names: dict[str, str] | None = None
    optional: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _number_or_name(self) -> "ColumnLayout":
        if (self.unit is None) == (self.names is None):
            raise ValueError("give either unit (a number) or names (a choice)")
        return self


class TrialsLayout(_Part):
    """How a file of trials reads; see trials_layout.toml, which is the layout used by default."""

    knobs: Annotated[dict[str, ColumnLayout], Field(min_length=1)]
    metrics: Annotated[dict[str, ColumnLayout], Field(min_length=1)]
    objectives: Annotated[dict[str, Literal["min", "max"]], Field(min_length=1)]
    sums: dict[str, list[str]] = {}
    requested: dict[str, str] = {}
    where: dict[str, str] = {}
    forbidden: list[dict[str, list[float | str]]] = []

    @model_validator(mode="after")
    def _names_exist(self) -> "TrialsLayout":
        both = sorted(set(self.knobs) & set(self.metrics))
        if both:
            raise ValueError(f"{both[0]} is a knob and a metric; a column is one of them")
        totals = [*self.sums, *(part for parts in self.sums.values() for part in parts)]
        for name in (*self.objectives, *totals):
            if name not in self.metrics:
                raise ValueError(f"{name} is no metric; there are {', '.join(self.metrics)}")
        for name, column in self.metrics.items():
            if column.unit is None:
                raise ValueError(f"metric {name} needs a unit: it is a number")
        for name in (*self.requested, *(name for rule in self.forbidden for name in rule)):
            if name not in self.knobs:
                raise ValueError(f"{name} is no knob; there are {', '.join(self.knobs)}")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class RawTrials:
    """A file's trials as columns in SI units, one row per measured run, shape (k,) each.

    Attributes:
        knobs: Name -> values.
        metrics: Name -> numbers; NaN where an optional cell is empty.
        requested: Knob -> the values asked for, where the file has them.
        units: Knob or metric -> SI unit, `choice` for names.
        lines: Line (CSV) or row (Parquet) of each trial.
        file: Name of the file, for messages.
    """

    knobs: Mapping[str, Column]
    metrics: Mapping[str, Column]
    requested: Mapping[str, Column]
    units: Mapping[str, str]
    lines: Column
    file: str

    def __len__(self) -> int:
        return len(self.lines)


def read_layout(path: Path | None = None) -> TrialsLayout:
    """The layout of a TOML file, or the one that the package ships.

    Raises:
        DseError: If the file does not read, or a key or name does not exist.
    """
    source = path or files("dse.online.trials") / "trials_layout.toml"
    name = path.name if path else "trials_layout.toml"
    try:
        return TrialsLayout.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise DseError(f"{name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DseError(f"{name} is no TOML in UTF-8: {error}") from error
    except ValidationError as error:
        said = [f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise DseError("\n".join(said)) from error


def read_trials(
    path: Path, layout: TrialsLayout, where: Mapping[str, str] | None = None
) -> RawTrials:
    """Trials of a CSV file (comma-separated, one header line) or a Parquet file.

    Args:
        path: Ends in .csv or .parquet.
        layout: Which column is what.
        where: Header -> text; only rows with exactly that text are taken, beside `layout.where`.

    Raises:
        DseError: If the file does not read, a column is missing, or a cell is not what its column
            holds; file, line and column are named.
        MissingDependency: If a Parquet file is given and pyarrow is not installed.
    """
    wanted = {**layout.where, **(where or {})}
    table, keep = _taken(path, {**layout.knobs, **layout.metrics}, wanted)
    return _Cells(table, keep).raw(layout)


def read_columns(
    path: Path, columns: Mapping[str, ColumnLayout], where: Mapping[str, str] | None = None
) -> dict[str, Column]:
    """Columns of a CSV or Parquet file in SI units, shape (k,) each; optional ones may be absent.

    Args:
        path: Ends in .csv or .parquet.
        columns: Name -> header, unit or names.
        where: Header -> text; only rows with exactly that text are taken.

    Raises:
        DseError: As `read_trials`.
    """
    table, keep = _taken(path, columns, where or {})
    cells = _Cells(table, keep)
    found = {
        name: cells.column(name, column)
        for name, column in columns.items()
        if (column.header or name) in table.columns
    }
    cells.refuse()
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _TextTable:
    """Cells as the file holds them, with what a row is called."""

    file: str
    columns: Mapping[str, list[Any]]
    lines: list[int]
    counted: str


def _taken(
    path: Path, columns: Mapping[str, ColumnLayout], wanted: Mapping[str, str]
) -> tuple[_TextTable, list[int]]:
    """The file's cells and the rows to take of it."""
    table = _read_table(path)
    needed = [c.header or n for n, c in columns.items() if not c.optional] + list(wanted)
    missing = [header for header in needed if header not in table.columns]
    if missing:
        raise DseError(
            f"{path.name}: no column {', '.join(missing)}; there are {', '.join(table.columns)}"
        )
    keep = [
        row
        for row in range(len(table.lines))
        if all(str(table.columns[header][row]) == text for header, text in wanted.items())
    ]
    if not keep:
        said = ", ".join(f"{k} = {v}" for k, v in wanted.items())
        raise DseError(f"{path.name}: no row" + (f" with {said}" if said else " in it"))
    return table, keep


def _read_table(path: Path) -> _TextTable:
    try:
        if path.suffix == ".csv":
            return _read_csv(path)
        if path.suffix == ".parquet":
            return _read_parquet(path)
    except OSError as error:
        raise DseError(f"{path} cannot be read: {error.strerror or error}") from error
    raise DseError(f"{path.name}: trials are read from .csv and .parquet")


def _read_csv(path: Path) -> _TextTable:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            doubled = sorted({name for name in header if header.count(name) > 1})
            if not header or doubled:
                why = f"column {doubled[0]} stands twice" if doubled else "the file is empty"
                raise DseError(f"{path.name}: line 1: {why}")
            rows, lines = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DseError(
                        f"{path.name}: line {reader.line_num}: {len(row)} cells, the header has "
                        f"{len(header)}"
                    )
                rows.append(row)
                lines.append(reader.line_num)
        except UnicodeDecodeError as error:
            raise DseError(f"{path.name} is not UTF-8: {error.reason}") from error
        except csv.Error as error:
            raise DseError(f"{path.name}: line {reader.line_num}: {error}") from error
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    return _TextTable(path.name, columns, lines, "line")


def _read_parquet(path: Path) -> _TextTable:
    try:
        columns = read_parquet(path, path.name)
    except ValueError as error:
        raise DseError(f"{path.name} is no Parquet file: {error}") from error
    count = len(next(iter(columns.values()), []))
    return _TextTable(path.name, columns, list(range(1, count + 1)), "row")


def si_unit(unit: str) -> tuple[str, float]:
    """The SI unit that a unit measures, and how many of it one is."""
    if unit in _BINARY:
        return "B", _BINARY[unit]
    for si in _SI:
        if unit in notations(si):
            return si, 10.0 ** notations(si)[unit]
    return unit, 1.0


_Found: TypeAlias = list[float] | list[str]


class _Cells:
    """Turns cells into columns and collects what is wrong with them. Mutable on purpose."""

    def __init__(self, table: _TextTable, keep: Sequence[int]) -> None:
        self._table = table
        self._keep = keep
        self._problems: list[str] = []

    def raw(self, layout: TrialsLayout) -> RawTrials:
        """All columns, or one error about everything malformed."""
        described = {**layout.knobs, **layout.metrics}
        present = {n: c for n, c in described.items() if (c.header or n) in self._table.columns}
        columns = {name: self.column(name, column) for name, column in present.items()}
        asked = {
            knob: self.column(header, layout.knobs[knob].model_copy(update={"header": header}))
            for knob, header in layout.requested.items()
            if header in self._table.columns
        }
        self.refuse()
        units = {n: si_unit(c.unit)[0] if c.unit else "choice" for n, c in present.items()}
        return RawTrials(
            {n: columns[n] for n in layout.knobs if n in columns},
            {n: columns[n] for n in layout.metrics if n in columns},
            asked,
            units,
            np.array([self._table.lines[row] for row in self._keep]),
            self._table.file,
        )

    def refuse(self) -> None:
        """Raise if anything was malformed."""
        if self._problems:
            more = len(self._problems) - _SHOWN
            rest = [f"... and {more} more"] if more > 0 else []
            raise DseError("\n".join([*self._problems[:_SHOWN], *rest]))

    def column(self, name: str, layout: ColumnLayout) -> Column:
        """One column; what is wrong in it is kept for `refuse`."""
        header = layout.header or name
        cells = [self._table.columns[header][row] for row in self._keep]
        if layout.names is not None:
            return np.array([self._name(c, layout.names, i, header) for i, c in enumerate(cells)])
        numbers = [self._number(c, layout, i, header) for i, c in enumerate(cells)]
        return np.array(numbers, dtype=np.int64 if layout.whole else np.float64)

    def _name(self, cell: object, names: Mapping[str, str], row: int, header: str) -> str:
        text = str(cell)
        if text not in names:
            self._say(row, header, f"got {text!r}; allowed: {', '.join(names)}")
        return names.get(text, "")

    def _number(self, cell: object, layout: ColumnLayout, row: int, header: str) -> float:
        if cell is None or cell == "":
            if not layout.optional:
                self._say(row, header, f"is empty; a number in {layout.unit} is wanted")
            return math.nan if layout.optional else 0.0
        try:
            value = float(str(cell))
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or isinstance(cell, bool):
            self._say(row, header, f"got {cell!r}; a finite number in {layout.unit} is wanted")
            return 0.0
        if value < 0:
            self._say(row, header, f"got {cell!r}; it cannot be negative")
        if layout.whole and not value.is_integer():
            self._say(row, header, f"got {cell!r}; a whole number is wanted")
            return 0.0
        factor = si_unit(str(layout.unit))[1]
        # In decimal where the factor is a power of ten, so that 600 MHz is the very float 6e8.
        if layout.unit in _BINARY:
            return value * factor
        return float(Decimal(str(cell)).scaleb(round(math.log10(factor))))

    def _say(self, row: int, header: str, what: str) -> None:
        place = f"{self._table.counted} {self._table.lines[self._keep[row]]}"
        self._problems.append(f"{self._table.file}: {place}: {header}: {what}")
