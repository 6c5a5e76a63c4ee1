"""Regulator and clock generator: laws only, their constants are unverified."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.supply import Supply

VDD = st.floats(0.4, 0.8)


@given(VDD, VDD)
def test_a_linear_regulator_never_beats_the_voltage_ratio(a, b):
    low, high = sorted([a, b])
    efficiency = Supply().efficiency(np.array([low, high]))
    assert 0 < efficiency[0] <= efficiency[1] <= 1
    assert efficiency[0] <= low / 0.8


@given(VDD, VDD, VDD)
def test_switching_is_symmetric_and_a_detour_is_never_quicker(a, b, c):
    supply = Supply()
    a, b, c = (np.array([v]) for v in (a, b, c))
    direct = supply.switching_time(a, c)[0]
    assert direct == supply.switching_time(c, a)[0]
    assert direct <= supply.switching_time(a, b)[0] + supply.switching_time(b, c)[0] + 1e-18


def test_whole_steps_are_counted_and_staying_is_free():
    supply = Supply()
    step = supply.table.constant("settling")
    times = supply.switching_time(np.array([0.8, 0.8, 0.8]), np.array([0.8, 0.75, 0.5]))
    assert times == pytest.approx([0, step, 6 * step])


def test_the_clock_generator_scales_with_the_clock():
    power = Supply().pll_power(np.array([0.0, 5e8, 1e9]))
    assert power[0] == 0
    assert power[2] == pytest.approx(2 * power[1])


def test_an_output_above_the_rail_is_refused():
    with pytest.raises(ValueError, match=r"vdd = 0\.9 V is outside 0 to 0\.8 V, the regulator's r"):
        Supply().efficiency(np.array([0.9]))
    with pytest.raises(ValueError, match="rail = 0 V"):
        Supply(rail=0)
