"""Voltage to frequency and back; the shape of the table, not its unverified anchor, is asserted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.operating_points import OperatingPoints
from hw_models.table import Table, shipped

POINTS = OperatingPoints()
VDD = st.floats(0.5, 0.8)


@given(VDD, VDD)
def test_frequency_energy_and_leakage_never_fall_with_vdd(a, b):
    low, high = POINTS.at(np.array([min(a, b)])), POINTS.at(np.array([max(a, b)]))
    for x, y in zip(low, high, strict=True):
        assert x[0] <= y[0] * (1 + 1e-12)


def test_energy_falls_to_the_square_of_the_voltage():
    _, scale, _ = POINTS.at(np.array([0.5, 0.8]))
    assert scale[1] / scale[0] == pytest.approx(2.56, rel=1e-12)


def test_the_shape_follows_the_hp14_delay_polynomial_within_its_fit():
    v = POINTS.table.columns["vdd"]
    delay = -40.66 * v**3 + 109.2 * v**2 - 100.6 * v + 35.92  # Stillmaker and Baas 2017, HP14
    f = POINTS.table.columns["f_max"]
    assert f / f[-1] == pytest.approx(delay[-1] / delay, rel=0.02)


@given(st.floats(1e3, 1e9))
def test_the_lowest_voltage_is_fast_enough_and_the_one_below_is_not(frequency):
    vdd = POINTS.lowest_vdd(np.array([frequency]))
    assert POINTS.at(vdd)[0][0] >= frequency
    row = int(np.searchsorted(POINTS.table.columns["vdd"], vdd[0]))
    assert row == 0 or POINTS.table.columns["f_max"][row - 1] < frequency


@pytest.mark.parametrize("frequency", [0.0, 1.001e9, np.nan])
def test_a_frequency_no_row_reaches_is_refused(frequency):
    with pytest.raises(ValueError, match=r"frequency = .* the fastest row of table 'dvfs_12nm'"):
        POINTS.lowest_vdd(np.array([1e8, frequency]))


def edited(**columns) -> Table:
    t = shipped("dvfs_12nm")
    return Table(t.name, t.key, dict(t.columns) | columns, t.units, t.origin)


def test_a_table_in_which_faster_needs_no_more_voltage_is_refused():
    with pytest.raises(ValueError, match="must strictly increase with vdd"):
        OperatingPoints(edited(f_max=np.ones(13)))


@pytest.mark.parametrize("name", ["dvfs_12nm", "dvfs_silicon_12nm"])
@pytest.mark.parametrize("nominal", [0.65, 0.8])
def test_energy_and_leakage_are_relative_to_where_energies_are_characterised(name, nominal):
    # Whatever voltage the table itself calls one: that of the silicon is 1.0 V.
    points = OperatingPoints(shipped(name), nominal_vdd=nominal)
    at = np.array([nominal, 0.7])
    f_max, energy, leakage = points.at(at)
    assert (f_max == points.table.at(at, "f_max")[0]).all()
    assert energy[0] == leakage[0] == 1.0
    column = points.table.at(at, "leakage_scale")[0]
    assert leakage[1] == pytest.approx(column[1] / column[0], rel=1e-15)


def test_the_own_voltage_of_a_table_changes_no_bit():
    vdd = POINTS.table.columns["vdd"]
    assert (POINTS.at(vdd)[2] == POINTS.table.columns["leakage_scale"]).all()


def test_a_nominal_supply_without_a_leakage_is_refused():
    with pytest.raises(ValueError, match=r"vdd = 0\.8 V is outside 0\.9 to"):
        OperatingPoints(edited(vdd=np.linspace(0.9, 1.2, 13)))
    with pytest.raises(ValueError, match=r"leakage_scale = 0 at nominal_vdd = 0\.8 V must be pos"):
        OperatingPoints(edited(leakage_scale=np.zeros(13)))
