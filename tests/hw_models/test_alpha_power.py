"""The alpha-power law: its fit finds what made the pairs, and it keeps away from the threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.alpha_power import AlphaPower, fit_alpha_power, leakage_scale, temperature_scale
from hw_models.operating_points import OperatingPoints
from hw_models.table import Origin, shipped

VDD = np.linspace(0.62, 1.0, 16)


@given(st.floats(0.1, 0.55), st.floats(1.0, 2.0))
@settings(deadline=None)
def test_the_fit_finds_the_law_that_made_the_pairs(vt, alpha):
    law = AlphaPower(vt, alpha, 1.0, 717e6)
    fit = fit_alpha_power(VDD, law.frequency(VDD))
    assert fit.largest_error < 1e-4
    assert fit.law.vt == pytest.approx(vt, abs=2e-3)
    assert fit.law.alpha == pytest.approx(alpha, abs=1e-2)


@pytest.mark.parametrize(("alpha", "vt"), [(1.3, 0.566), (2.0, 0.488)])
def test_two_pairs_fit_any_exponent_with_a_threshold_of_its_own(alpha, vt):
    fit = fit_alpha_power(np.array([0.62, 1.0]), np.array([77e6, 717e6]), alpha=alpha)
    assert fit.law.vt == pytest.approx(vt, abs=5e-4)
    assert fit.largest_error < 1e-3


def test_two_pairs_alone_do_not_fix_the_exponent():
    with pytest.raises(ValueError, match="3 unknowns need as many pairs"):
        fit_alpha_power(np.array([0.62, 1.0]), np.array([77e6, 717e6]))


def test_the_hp14_polynomial_is_an_alpha_power_law():
    # Stillmaker and Baas 2017: vt 0.302 V, alpha 1.12, 1.7 % over 0.5 to 0.9 V.
    v = np.linspace(0.5, 0.9, 41)
    delay = -40.66 * v**3 + 109.2 * v**2 - 100.6 * v + 35.92
    fit = fit_alpha_power(v, 1 / delay)
    assert fit.law.vt == pytest.approx(0.302, abs=0.02)
    assert fit.law.alpha == pytest.approx(1.12, abs=0.06)
    assert fit.largest_error < 0.025


@given(st.floats(0.0, 0.5), st.floats(1.0, 2.0), st.lists(st.floats(0.6, 1.2), min_size=2))
def test_more_voltage_is_never_slower_and_a_batch_equals_its_rows(vt, alpha, vdd):
    law, column = AlphaPower(vt, alpha, 1.0, 1e9), np.sort(np.array(vdd))
    f = law.frequency(column)
    assert (np.diff(f) >= -1e-6).all()
    assert f == pytest.approx([law.frequency(column[i : i + 1])[0] for i in range(len(f))])


def test_near_the_threshold_the_law_is_refused():
    law = AlphaPower(0.5, 1.6, 1.0, 1e9)
    with pytest.raises(ValueError, match=r"vdd = 0\.54 V is outside 0\.55 to inf V, the alpha-pow"):
        law.frequency(np.array([0.6, 0.54]))
    with pytest.raises(ValueError, match=r"anchor_vdd = 0\.5 V"):
        AlphaPower(0.5, 1.6, 0.5, 1e9)


def test_a_law_makes_operating_points():
    law = AlphaPower(0.3, 1.2, 0.8, 1e9)
    v = np.linspace(0.5, 0.8, 13)
    table = law.table("mine", v, (v / 0.8) ** 3, Origin("me", "none", "none", "derived"))
    assert OperatingPoints(table).at(np.array([0.8]))[0][0] == pytest.approx(1e9)


@pytest.mark.parametrize("bound", ["low", "nominal", "high"])
def test_the_silicon_table_lies_on_its_law(bound):
    table = shipped("dvfs_silicon_12nm", bound)
    points = OperatingPoints(table, nominal_vdd=1.0)
    assert len(points.table.columns["vdd"]) == 16
    fit = fit_alpha_power(table.columns["vdd"], table.columns["f_max"])
    assert fit.largest_error < 2e-3


@given(st.floats(0.3, 1.0), st.floats(0.3, 1.0))
def test_leakage_never_falls_with_voltage_nor_temperature(a, b):
    low, high = sorted([a, b])
    scale = leakage_scale(np.array([low, high]), 0.8, slope=4.0)
    assert scale[0] <= scale[1]
    warm = temperature_scale(300 + 50 * np.array([low, high]), 300.0, 23.4)
    assert warm[0] <= warm[1]


def test_leakage_is_one_at_its_reference_and_doubles_as_stated():
    assert leakage_scale(np.array([0.8]), 0.8)[0] == 1
    assert temperature_scale(np.array([300.0, 350.0]), 300.0, 50.0).tolist() == [1, 2]
    with pytest.raises(ValueError, match="slope = 0 1"):
        leakage_scale(np.array([0.8]), 0.8, slope=0)
    with pytest.raises(ValueError, match="doubling = 0 K"):
        temperature_scale(np.array([0.8]), 300.0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-0.1, 1, 1, 1), "vt = -0.1 V"), ((0.3, 0, 1, 1), "alpha = 0 1"),
     ((0.3, 1, 1, 0), "anchor_frequency = 0 Hz")],
)  # fmt: skip
def test_a_law_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AlphaPower(*arguments)
