"""The hardware models say of 20,000 random machines what their first edition said.

`golden/record.py` tells what was recorded and when. Comparisons are relative, 1e-12, with these
exceptions, where two numbers that should be equal differ by the rounding of what they come from:

    a stall                 is max(streaming - computing, 0): 1e-12 of the computing is added
    parts of a breakdown    are differences of sums: 1e-15 of the sum of all parts is added

Every eighth case is compared in the quick tier, the others in the second.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import costs
import numpy as np
import pytest
from machines import NOMINAL, describe, option
from numpy.typing import NDArray
from record import AT_NOMINAL, BEYOND, BY_LAYER, CASES, FILE, WITH_DEADLINE

from hw_models import shipped

TOLERANCE = 1e-12
SHOWN = 5
"""Differences that a message lists."""

ALL, QUICK = np.arange(CASES), np.arange(CASES) % 8 == 0
TIERS = pytest.mark.parametrize(
    "tier",
    [
        pytest.param(QUICK, id="one in eight"),
        pytest.param(~QUICK, id="the others", marks=pytest.mark.ci),
    ],
)


@cache
def recorded() -> dict[str, NDArray[Any]]:
    with np.load(FILE, allow_pickle=False) as stored:
        return dict(stored)


@cache
def cases() -> dict[str, NDArray[Any]]:
    stored = recorded()
    return {name[len("case_") :]: a for name, a in stored.items() if name.startswith("case_")}


def found_table(
    ask: Callable[[int], dict[str, float]],
    names: list[str],
    wanted: NDArray[np.intp],
    absent: float = 0.0,
) -> NDArray[np.float64]:
    """Quantities of the wanted cases, shape (quantities, cases)."""
    table = np.full((len(names), len(wanted)), absent)
    places = {name: row for row, name in enumerate(names)}
    for column, case in enumerate(wanted):
        for name, value in ask(int(case)).items():
            assert name in places, f"{name} is no quantity of the first edition"
            table[places[name], column] = value
    return table


def require_equal(
    names: list[str],
    found: NDArray[np.float64],
    expected: NDArray[np.float64],
    wanted: NDArray[np.intp],
    slack: NDArray[np.float64] | float = 0.0,
) -> None:
    """Fail with case, quantity, both values and the machine where they differ.

    Args:
        names: Quantities.
        found: Shape (quantities, cases).
        expected: The same.
        wanted: Number of each case, shape (cases,).
        slack: Absolute difference that is allowed beside the relative one.
    """
    # Not above the limit, rather than within it: so that a NaN is a difference.
    wrong = ~(np.abs(found - expected) <= TOLERANCE * np.abs(expected) + slack)
    wrong &= ~(np.isnan(found) & np.isnan(expected))
    lines = [
        f"case {wanted[column]}, {names[row]}: {float(found[row, column])!r}, first edition "
        f"{float(expected[row, column])!r}; {describe(cases(), int(wanted[column]))}"
        for row, column in np.argwhere(wrong)[:SHOWN]
    ]
    assert not lines, f"{wrong.sum()} differences\n" + "\n".join(lines)


def of_stalls(names: list[str], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is allowed to each stall beside the relative difference: see the module."""
    slack = np.zeros_like(expected)
    for name in names:
        group, _, part = name.rpartition(".")
        if part == "stall":
            busy = [expected[names.index(f"{group}.{other}")] for other in ("matmul", "sfu")]
            slack[names.index(name)] = TOLERANCE * (busy[0] + busy[1])
    return slack


def of_differences(names: list[str], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is allowed to each part of a breakdown."""
    groups = np.array([name.rpartition(".")[0] for name in names])
    return np.array([1e-15 * expected[groups == group].sum(axis=0) for group in groups])


@TIERS
def test_sentences_areas_and_power_ons_cost_what_they_did(tier):
    wanted = np.flatnonzero(tier)
    names, expected = recorded()["sentence_names"].tolist(), recorded()["sentence"][:, tier]
    found = found_table(lambda case: costs.sentence(cases(), case), names, wanted)
    require_equal(names, found, expected, wanted, of_stalls(names, expected))


@TIERS
def test_sentences_with_a_deadline_run_on_the_rows_and_cost_what_they_did(tier):
    wanted = np.flatnonzero(tier[:WITH_DEADLINE])
    stored = {
        name: recorded()[f"exit_{name}"][:, wanted]
        for name in ("row", "feasible", "energy", "latency")
    }
    beyond = stored["row"] == BEYOND
    expected = {
        "vdd": supplies(stored["row"], wanted),
        "feasible": np.where(beyond, np.nan, stored["feasible"]),
        "energy": stored["energy"],
        "latency": stored["latency"],
    }
    names = recorded()["deadline_names"].tolist() + [
        f"exit_{name}.{layer + 1}" for name in costs.EXITS for layer in range(len(beyond))
    ]
    table = np.vstack([recorded()["deadline"][:, wanted], *(expected[n] for n in costs.EXITS)])
    found = found_table(lambda case: costs.deadline(cases(), case), names, wanted, np.nan)
    require_equal(names, found, table, wanted)


def supplies(rows: NDArray[np.uint8], wanted: NDArray[np.intp]) -> NDArray[np.float64]:
    """Rows of the voltage tables in volts, shape (12, cases); NaN beyond a network's depth."""
    vdd = np.full(rows.shape, np.nan)
    for column, case in enumerate(wanted):
        grid = shipped(option(cases(), "voltage_table", case)).columns["vdd"]
        late = rows[:, column] < AT_NOMINAL
        vdd[late, column] = grid[rows[late, column]]
        vdd[rows[:, column] == AT_NOMINAL, column] = NOMINAL
    return vdd


@TIERS
def test_layers_cost_what_they_did(tier):
    wanted = np.flatnonzero(tier[:BY_LAYER])
    names, expected = recorded()["layers_names"].tolist(), recorded()["layers"][:, wanted]
    found = found_table(lambda case: costs.layers(cases(), case), names, wanted)
    slack = of_stalls(names, expected) + of_differences(names, expected)
    require_equal(names, found, expected, wanted, slack)


def test_a_difference_is_named_with_case_quantity_values_and_machine():
    values = np.ones((2, 1))
    with pytest.raises(AssertionError, match=r"case 7, b: 2\.0, first edition 1\.0; shape \w+, "):
        require_equal(["a", "b"], np.array([[1.0], [2.0]]), values, np.array([7]))
    with pytest.raises(AssertionError, match="case 7, a: nan"):
        require_equal(["a", "b"], np.array([[np.nan], [1.0]]), values, np.array([7]))
    require_equal(["a", "b"], values * (1 + 9e-13), values, np.array([7]))
    with pytest.raises(AssertionError, match="2 differences"):
        require_equal(["a", "b"], values * (1 + 2e-12), values, np.array([7]))
