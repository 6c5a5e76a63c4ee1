"""What a table may carry beside its rows, read from CSV: exit predictor and operating points."""

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from dse.core.errors import DseError
from dse.lut.table import ExitPredictor, OperatingPoint

MICRO = 6
"""Decimals of an entropy [nat] in a table."""

_CLOCKS = {"f_max_Hz": 0, "f_max_kHz": 3, "f_max_MHz": 6, "f_max_GHz": 9}
_MOST_BYTES = 2**20


def read_exit_predictor(path: Path, layer: int) -> ExitPredictor:
    """An exit LUT as EdgeBERT writes it: no header, column 0 the entropy, then later layers [nat].

    Column 0 must be i * step to the micronat. The other numbers are rounded to the nearest
    micronat; `-0` counts as 0.

    Args:
        path: The CSV.
        layer: Layer whose entropy column 0 is, from 1.

    Raises:
        DseError: If a number does not read, column 0 is no grid from 0, or an entropy is negative.
    """
    rows = [[_decimal(path, cell) for cell in row] for row in _read(path)]
    if len(rows) < 2 or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        raise DseError(f"{path}: two or more rows of two or more equally many columns are expected")
    inputs = [_steps(row[0], MICRO) for row in rows]
    step = inputs[1]
    if inputs != [i * step for i in range(len(rows))]:
        raise DseError(f"{path}: column 0 must be 0, step, 2 step ... in micronats")
    entropies = tuple(tuple(_steps(cell, MICRO) for cell in row[1:]) for row in rows)
    if min(map(min, entropies)) < 0:
        raise DseError(f"{path}: an entropy is negative")
    return ExitPredictor(layer, step, entropies)


def read_operating_points(path: Path) -> tuple[OperatingPoint, ...]:
    """Voltage and clock from a CSV with the unit in its header, as in `hw_models/tables`.

    Raises:
        DseError: If a column is missing or a number is no whole microvolt or hertz.
    """
    head, *rows = _read(path) or [[]]
    clocks = [name for name in head if name in _CLOCKS]
    if "vdd_V" not in head or len(clocks) != 1:
        raise DseError(f"{path}: columns vdd_V and one of {', '.join(_CLOCKS)}; got {head}")
    at, clock = head.index("vdd_V"), clocks[0]
    points = []
    for row in rows:
        if len(row) != len(head):
            raise DseError(f"{path}: a row of {len(row)} cells under {len(head)} names")
        volts = _decimal(path, row[at]).scaleb(6)
        hertz = _decimal(path, row[head.index(clock)]).scaleb(_CLOCKS[clock])
        for what, number in (("microvolt", volts), ("hertz", hertz)):
            if number != number.to_integral_value():
                raise DseError(f"{path}: {number} is no whole number of {what}")
        points.append(OperatingPoint(int(volts), int(hertz)))
    return tuple(points)


def _read(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DseError(f"{path}: more than {_MOST_BYTES} bytes")
        return [row for row in csv.reader(path.read_text("utf-8").splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DseError(f"{path} cannot be read: {error}") from error


def _decimal(path: Path, text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > 10**15:
        raise DseError(f"{path}: {text!a:.40} is no number that a table holds")
    return number


def _steps(number: Decimal, decimals: int) -> int:
    return int(number.scaleb(decimals).to_integral_value())
