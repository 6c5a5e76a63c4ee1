"""Numbers of a run as integers of a stated scale: exact for settings, never flattering."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from dse.lut.error_codes import Fault, LutError
from dse.lut.table import LARGEST, MOST_DECIMALS

_FIRST = {"V": 6, "A": 6, "W": 6, "J": 9, "s": 9, "1": 6, "nat": 6, "m^2": 12, "F": 15, "m": 9}
"""Decimals tried first, per unit: microvolts, nanojoules, nanoseconds, parts per million ..."""
_PREFIX = {0: "", 3: "m", 6: "u", 9: "n", 12: "p", 15: "f", 18: "a"}
_SHARE = {2: "percent", 6: "ppm", 9: "ppb"}

FEWEST_STEPS = 10**5
"""A prediction that is no whole number of steps has at least so many: an error under 1e-5."""


def base_unit(unit: str, decimals: int) -> str:
    """What one step of an integer is called: `uV`, `pJ`, `ppm`, or `1e-2 unit`."""
    if decimals == 0:
        return unit
    if unit == "1":
        return _SHARE.get(decimals, f"1e-{decimals}")
    if unit == "m^2" and decimals % 6 == 0 and decimals <= 12:
        return {6: "mm^2", 12: "um^2"}[decimals]
    if unit.isalpha() and decimals in _PREFIX:
        return _PREFIX[decimals] + unit
    return f"1e-{decimals} {unit}"


def exact(name: str, unit: str, values: Sequence[float]) -> tuple[int, tuple[int, ...]]:
    """Decimals and integers that give the very same floats back.

    A setting is set, so it may not be rounded: integer * 10^-decimals, rounded once, is the float.

    Raises:
        LutError: If a value has more digits than any scale holds.
    """
    texts = [Decimal(repr(float(v))) for v in values]
    for decimals in _ladder(unit):
        moved = [text.scaleb(decimals) for text in texts]
        if all(v == v.to_integral_value() and abs(v) <= LARGEST for v in moved):
            return decimals, tuple(int(v) for v in moved)
    raise LutError(
        Fault.UNFIT,
        f"{name} = {max(map(repr, map(float, values)), key=len)} {unit} is no whole number of "
        f"{base_unit(unit, MOST_DECIMALS)} within 2^53; give it fewer digits (a knob: search it "
        "on a grid)",
    )


def cautious(
    name: str, unit: str, values: Sequence[float], direction: Literal["min", "max"]
) -> tuple[int, tuple[int, ...]]:
    """Decimals and integers of a prediction, rounded against the row by less than one step.

    What is minimised is rounded up and what is maximised down, so that a row that meets a limit in
    integers meets it in the numbers of the run.

    Raises:
        LutError: If no scale holds the smallest value to five digits and the largest within 2^53.
    """
    rounding = ROUND_CEILING if direction == "min" else ROUND_FLOOR
    for decimals in _ladder(unit):
        moved = [Decimal(repr(float(v))).scaleb(decimals) for v in values]
        if all(v == v.to_integral_value() or abs(v) >= FEWEST_STEPS for v in moved):
            steps = tuple(int(v.to_integral_value(rounding)) for v in moved)
            if max(map(abs, steps)) <= LARGEST:
                return decimals, steps
    raise LutError(
        Fault.UNFIT,
        f"{name} runs from {min(values)!r} to {max(values)!r} {unit}; no scale of 10^0 to "
        f"10^-{MOST_DECIMALS} holds that to five digits within 2^53",
    )


def _ladder(unit: str) -> range:
    return range(_FIRST.get(unit, 0), MOST_DECIMALS + 1, 3)
