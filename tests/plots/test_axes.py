"""Axes: readable units, everything in sight, limits where they help."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.problem import Constraint
from dse.plots.axes import Axis, Limit, Notation, number_text, span
from dse.runs.run_schema import Quantity

numbers = st.floats(-1e9, 1e9).map(lambda v: 0.0 if abs(v) < 1e-12 else v)
columns = st.lists(numbers, min_size=1, max_size=30).map(np.array)
LATENCY = Quantity("latency_p95", "s", "metric", evidence="closed form")
MILLISECONDS = Notation("latency p95", "ms", -3)


@pytest.mark.parametrize(
    ("unit", "values", "title"),
    [
        ("J", [1e-4, 9e-4], "energy per sentence [µJ]"),
        ("s", [2e-5, 4e-3], "energy per sentence [ms]"),
        ("m^2", [1e-7, 3e-6], "energy per sentence [mm²]"),
        ("V", [0.5, 0.8], "energy per sentence [mV]"),
        ("nat", [0.1, 0.2], "energy per sentence [nat]"),
        ("1", [0.1, 0.2], "energy per sentence"),
        ("J", [], "energy per sentence [J]"),
        ("J", [0.0], "energy per sentence [J]"),
    ],
)
def test_a_title_names_the_unit_that_suits_the_largest_value(unit, values, title):
    quantity = Quantity("energy_per_sentence", unit, "metric")
    assert Notation.of(quantity, np.array(values, dtype=np.float64)).title == title


def test_texts_carry_the_unit_and_names_stay_as_they_are():
    assert MILLISECONDS.texts(np.array([4e-3, 1.23456e-3])) == ["4 ms", "1.235 ms"]
    cells = Notation.of(Quantity("cell", "choice", "knob"), np.array(["SLC", "MLC"]))
    assert cells.texts(np.array(["SLC", "MLC"])) == ["SLC", "MLC"]


def test_whole_numbers_are_printed_in_full():
    assert number_text(16384.0) == "16384"
    assert number_text(0.123456) == "0.1235"


@given(columns)
def test_an_axis_shows_every_value(values):
    axis = Axis.of("x", "lower", values)
    assert axis.low < axis.high
    assert axis.low <= values.min()
    assert values.max() <= axis.high
    assert not axis.log or axis.low > 0


@given(columns, numbers, st.sampled_from(["max", "min"]))
def test_a_limit_is_on_the_axis_or_left_out_and_never_squeezes_the_values(values, bound, side):
    axis = Axis.of("x", "lower", values, (Limit(bound, side, "limit"),))
    for limit in axis.limits:
        assert axis.low <= limit.value <= axis.high
    if values.min() < values.max() and not axis.log:
        assert (axis.high - axis.low) <= 1.7 * (values.max() - values.min())


def test_a_limit_far_from_the_values_is_left_out():
    values = np.array([1.0, 2.0])
    assert Axis.of("x", "lower", values, (Limit(2.4, "max", ""),)).limits
    assert not Axis.of("x", "lower", values, (Limit(4.0, "max", ""),)).limits
    decades = np.array([1.0, 1000.0])
    assert Axis.of("x", "lower", decades, (Limit(9000.0, "max", ""),)).limits
    assert not Axis.of("x", "lower", decades, (Limit(-1.0, "max", ""),)).limits


def test_values_over_two_decades_get_a_logarithmic_axis():
    assert Axis.of("x", None, np.array([1.0, 100.0])).log
    assert not Axis.of("x", None, np.array([1.0, 99.0])).log
    assert not Axis.of("x", None, np.array([0.0, 1000.0])).log


def test_failed_trials_do_not_move_an_axis():
    values = np.array([1.0, np.nan, 3.0])
    assert (Axis.of("x", None, values).low, Axis.of("x", None, values).high) == span(
        np.array([1.0, 3.0])
    )


def test_an_axis_without_values_still_has_two_ends():
    assert span(np.empty(0)) == (0.0, 1.0)
    assert Axis.of("x", None, np.array([np.nan])).high == 1.0


def test_a_limit_says_which_side_is_allowed_in_the_unit_of_the_axis():
    below = Limit.of(Constraint("latency_p95", "s", 4e-3), MILLISECONDS)
    above = Limit.of(Constraint("accuracy", "1", 0.8, "min"), Notation("accuracy", "", 0))
    assert (below.text, below.value) == ("latency p95 ≤ 4 ms", 4.0)
    assert above.text == "accuracy ≥ 0.8"


def test_a_heading_says_which_end_is_wanted():
    values = np.array([1.0, 2.0])
    assert Axis.of("energy [µJ]", "lower", values).heading == "energy [µJ], lower is better"
    assert Axis.of("trial", None, values).heading == "trial"
