"""Level confusion against the rates of the full-precision distributions, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.faults import fault_rate, level_faults, value_faults
from hw_models.table import shipped

LEVELS = shipped("rram_levels")


@pytest.mark.parametrize(("bits", "rate"), [(2, 7.9e-9), (3, 3.8e-3)])
def test_the_level_model_gives_the_rates_of_nvmexplorer(bits, rate):
    assert fault_rate(LEVELS, bits) == pytest.approx(rate, rel=0.05)
    cell = np.array([f"rram_mlc{bits}"])
    assert shipped("envm_faults").at(cell, "fault_rate")[0][0] == pytest.approx(
        fault_rate(LEVELS, bits), rel=0.05
    )


def test_the_worst_levels_are_where_they_should_be():
    def faults(bits):
        rows = LEVELS.columns["cell_bits"] == bits
        return level_faults(LEVELS.columns["mean"][rows], LEVELS.columns["deviation"][rows])

    assert faults(2).max() == pytest.approx(1.7e-8, rel=0.05)
    assert faults(3).argmax() == 6
    assert faults(3).max() == pytest.approx(9.4e-3, rel=0.05)
    assert fault_rate(LEVELS, 1) < 1e-16


@given(st.floats(0.01, 0.3), st.floats(0.1, 1.0))
@settings(deadline=None)
def test_equal_levels_err_as_the_error_function_says(deviation, distance):
    mean, spread = np.array([0.0, distance]), np.full(2, deviation)
    faults = level_faults(mean, spread)
    assert faults[0] == pytest.approx(faults[1], rel=1e-9)
    # Sampling-free oracle: the midpoint is half the distance away.
    tail = np.trapezoid(
        np.exp(-0.5 * np.linspace(distance / 2 / deviation, 40, 400_001) ** 2),
        np.linspace(distance / 2 / deviation, 40, 400_001),
    ) / np.sqrt(2 * np.pi)
    assert faults[0] == pytest.approx(tail, rel=1e-4)


@given(st.floats(0.01, 0.2), st.floats(0.01, 0.2), st.floats(1.01, 2.0))
def test_wider_levels_never_err_less(a, b, factor):
    mean = np.array([0.0, 1.0])
    narrow, wide = (
        level_faults(mean, np.array([a, b])),
        level_faults(mean, factor * np.array([a, b])),
    )
    assert narrow.sum() <= wide.sum()


def test_an_eight_bit_value_takes_four_cells_or_three():
    eight = np.array([8.0, 8.0])
    chance = value_faults(eight, np.array([2.0, 3.0]), np.array([7.9e-9, 3.8e-3]), np.zeros(2))
    assert chance == pytest.approx([3.16e-8, 7.6e-3], rel=0.005)
    assert 1.536e6 * chance == pytest.approx([0.05, 11_700], rel=0.05)


def test_levels_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least two increasing levels"):
        level_faults(np.array([1.0, 0.0]), np.ones(2))
    with pytest.raises(ValueError, match="deviation = "):
        level_faults(np.array([0.0, 1.0]), np.zeros(2))
    with pytest.raises(ValueError, match="overlap"):
        level_faults(np.array([0.0, 1e-3]), np.array([1.0, 5.0]))
    with pytest.raises(ValueError, match=r"cell_bits = 4 is not one of \[1, 2, 3\]"):
        fault_rate(LEVELS, 4)
