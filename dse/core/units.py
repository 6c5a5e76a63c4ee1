"""Units at the border: prefixes come off when a value arrives and go on when it leaves."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

import numpy as np

from dse.core.errors import CompositionError, DseError
from dse.core.parameters import FloatArray

_PREFIXES: dict[str, int] = {
    "p": -12,
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
}
_PREFIXED = ("V", "s", "J", "W", "Hz", "B", "B/s", "bit/s")
_AREAS: dict[str, int] = {"um^2": -12, "mm^2": -6, "m^2": 0}
_SHARES: dict[str, int] = {"%": -2, "1": 0}


def notations(unit: str) -> dict[str, int]:
    """How a quantity of an SI unit may be written: notation -> power of ten."""
    if unit in _PREFIXED:
        return {prefix + unit: power for prefix, power in _PREFIXES.items()}
    if unit in _AREAS:
        return _AREAS
    if unit in _SHARES:
        return _SHARES
    return {unit: 0}


def require_si(unit: str, whose: str) -> None:
    """Refuse a unit with a prefix: columns inside are in SI units, a prefix is for the border.

    Args:
        unit: As declared; one that no notation is known of is taken as it is.
        whose: What is declared in it, for the error.

    Raises:
        CompositionError: If it is another notation of an SI unit.
    """
    for base in (*_PREFIXED, "m^2", "1"):
        if unit != base and unit in notations(base):
            raise CompositionError(
                f"{whose} is declared in {unit}; columns are in SI units, here {base}: declare it "
                f"in {base} and give values in it"
            )


def to_si(number: float, given: str, wanted: str) -> float:
    """A number written in `given`, in the SI unit `wanted`.

    The point is moved in decimal, so that 775 mV is the very float that 0.775 is.

    Raises:
        DseError: If `given` is no notation of `wanted`.
    """
    powers = notations(wanted)
    if given not in powers:
        raise DseError(f"unit {given!r} does not measure this; allowed: {', '.join(powers)}")
    if powers[given] == 0:
        return number
    return float(Decimal(repr(number)).scaleb(powers[given]))


class Bound(NamedTuple):
    """A limit as a person writes it: `area <= 5 mm^2`.

    Attributes:
        name: Of a column.
        side: `max` for `<=`, `min` for `>=`.
        value: In `unit`.
        unit: As written; `1` where none is.
    """

    name: str
    side: Literal["max", "min"]
    value: float
    unit: str


_BOUND = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([-+0-9.eE_]+)\s*(\S*)\s*")


def parse_limit(text: str) -> Bound:
    """A limit out of its text.

    Raises:
        CompositionError: If it is not of the form `NAME <= NUMBER UNIT` or `NAME >= NUMBER UNIT`.
    """
    found = _BOUND.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        value = float(found[3])
    except ValueError as error:
        raise CompositionError(
            f"{text!r} is no limit: write NAME <= NUMBER UNIT or NAME >= NUMBER UNIT, as in "
            "'area <= 5 mm^2'"
        ) from error
    return Bound(found[1], "max" if found[2] == "<=" else "min", value, found[4] or "1")


def readable(values: FloatArray, unit: str) -> tuple[FloatArray, str]:
    """Values in the notation that keeps most of their digits before the point, and its name.

    Args:
        values: In the SI unit, shape (n,).
        unit: The SI unit.

    Returns:
        The same values in the notation named, shape (n,), for showing only.
    """
    numbers = np.asarray(values, dtype=np.float64)
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    powers = notations(unit)
    if not len(sizes) or unit in _SHARES:
        return numbers, unit
    # As np.median, which loads all of numpy.ma on its first call.
    middle = np.sort(sizes)[[(len(sizes) - 1) // 2, len(sizes) // 2]]
    size = float(middle.mean())
    fitting = {name: power for name, power in powers.items() if 10.0**power <= size}
    name = max(fitting, key=fitting.__getitem__) if fitting else min(powers, key=powers.__getitem__)
    return numbers / 10.0 ** powers[name], name


def pretty(unit: str) -> str:
    """A unit as it is printed on an axis; a pure number has none."""
    if unit == "1":
        return ""
    text = unit.replace("^2", "²")
    return f"µ{text[1:]}" if text.startswith("u") else text


def scale_of(energies: Sequence[float]) -> tuple[float, str]:
    """One factor and notation in which energies [J] stand side by side; for showing only.

    Args:
        energies: Above 0; none is told in J.
    """
    unit = readable(np.array(energies, dtype=np.float64), "J")[1]
    return 10.0 ** -notations("J")[unit], unit
