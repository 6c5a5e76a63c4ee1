"""Designs that somebody wrote into a table: CSV, Parquet, or one JSON object a line."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import Parameter
from dse.core.parquet import read_parquet
from dse.core.space import SearchSpace
from dse.core.units import notations, to_si

ENDINGS = (".csv", ".parquet", ".jsonl")
"""What is read."""

Cells: TypeAlias = Mapping[str, list[Any]]
"""Header -> what stands below it, row for row; None where nothing does."""


def read_designs(path: Path, space: SearchSpace) -> dict[str, list[float | str | None]]:
    """Knob -> values in SI units, row for row; None where a cell is empty.

    Whether the space has a value is not looked at. A header is the knob's name, or name and unit as
    in `vdd [mV]`; without a unit the values are in SI units. Columns that are no knobs (objectives,
    notes) are passed over. In a line of JSON the knobs may stand below the key `design`.

    Args:
        path: Of the table; its ending says what it is.
        space: Whose knobs are looked for; one of a single value may be missing.

    Raises:
        DseError: If the file does not read, a knob is missing, a unit does not measure its knob, or
            a cell holds a text where a number is wanted.
    """
    cells = _cells(path)
    headers = {header.partition(" [")[0]: header for header in cells}
    rows = max(map(len, cells.values()), default=0)
    missing = [p.name for p in space.parameters if p.name not in headers and p.count != 1]
    if missing:
        raise DseError(
            f"{path} has no column for {', '.join(missing)}, of which the study has several "
            f"values; it has {', '.join(cells) or 'none'}"
        )
    designs: dict[str, list[float | str | None]] = {}
    for parameter in space.parameters:
        header = headers.get(parameter.name)
        if header is None:
            only: list[float | str | None] = parameter.decode(np.zeros(1)).tolist()
            designs[parameter.name] = only * rows
        else:
            designs[parameter.name] = _values(path, header, cells[header], parameter)
    return designs


def _values(
    path: Path, header: str, cells: list[Any], parameter: Parameter
) -> list[float | str | None]:
    if parameter.unit == "choice":
        return [None if cell is None else str(cell) for cell in cells]
    given = header.partition(" [")[2].removesuffix("]") or parameter.unit
    if given not in notations(parameter.unit):
        allowed = ", ".join(notations(parameter.unit))
        raise DseError(f"{path}: {header}: {given!r} does not measure it; allowed: {allowed}")
    values: list[float | str | None] = []
    for row, cell in enumerate(cells, 1):
        try:
            values.append(None if cell is None else to_si(float(cell), given, parameter.unit))
        except (TypeError, ValueError) as error:
            raise DseError(f"{path}: {header}: row {row} holds {cell!r}, no number") from error
    return values


def _cells(path: Path) -> Cells:
    if path.suffix not in ENDINGS:
        raise DseError(
            f"{path} is neither a run folder nor a table of designs ({', '.join(ENDINGS)})"
        )
    try:
        if path.suffix == ".parquet":
            return read_parquet(path, str(path))
        text = path.read_text(encoding="utf-8-sig")
        return _csv(text) if path.suffix == ".csv" else _jsonl(text)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DseError(f"{path} does not read as a table of designs: {error}") from error


def _csv(text: str) -> Cells:
    header, *rows = csv.reader(text.splitlines()) if text.strip() else [[]]
    ragged = next((i for i, row in enumerate(rows, 2) if row and len(row) != len(header)), None)
    if ragged is not None:
        raise ValueError(f"line {ragged} has another number of cells than the header")
    whole = [row for row in rows if row]
    return {name.strip(): [row[i] or None for row in whole] for i, name in enumerate(header)}


def _jsonl(text: str) -> Cells:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            row = row.get("design", row) if isinstance(row, dict) else row
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
