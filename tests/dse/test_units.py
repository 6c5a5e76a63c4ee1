"""Prefixes go on and off at the border, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.core.units import notations, pretty, readable, scale_of, to_si


@given(st.integers(-100_000, 100_000))
def test_millivolts_are_the_float_that_a_person_would_type_in_volts(millivolts):
    assert to_si(millivolts, "mV", "V") == float(f"{millivolts}e-3")


@given(
    st.sampled_from(["V", "s", "J", "m^2", "1", "nat"]),
    st.lists(st.floats(1e-15, 1e12), min_size=1, max_size=5),
)
def test_a_readable_notation_is_a_notation_of_the_unit_and_keeps_the_values(unit, values):
    shown, name = readable(np.array(values), unit)
    assert name in notations(unit)
    np.testing.assert_allclose(shown * 10.0 ** notations(unit)[name], values, rtol=1e-12)


def test_energies_of_a_sentence_are_shown_in_microjoules():
    shown, name = readable(np.array([2e-4, 3e-4]), "J")
    assert name == "uJ"
    np.testing.assert_allclose(shown, [200, 300])
    assert pretty(name) == "µJ"
    assert pretty("mm^2") == "mm²"
    assert pretty("1") == ""


def test_a_foreign_unit_is_refused_with_what_is_allowed():
    with pytest.raises(DseError, match=r"'mA' does not measure this; allowed: .*mV"):
        to_si(1.0, "mA", "V")


def test_energies_side_by_side_share_the_notation_of_their_median():
    assert scale_of([4e-5, 3e-4, 1.6e-3]) == (1e6, "uJ")
    assert scale_of([0.31, 0.62, 56.0]) == (1e3, "mJ")
    assert scale_of([]) == (1.0, "J")
