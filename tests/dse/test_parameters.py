"""A knob's two notations agree, and what does not exist is refused with value, limit and name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import SpaceError
from dse.core.parameters import Categorical, Integer, Ordinal, Real

finite = st.floats(-1e12, 1e12)
names = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=6)


@st.composite
def reals(draw):
    scale = draw(st.sampled_from(["linear", "log"]))
    ends = st.floats(1e-12, 1e12) if scale == "log" else finite
    low, high = sorted(draw(st.lists(ends, min_size=2, max_size=2, unique=True)))
    return Real("x", low, high, "V", scale=scale)


@st.composite
def finite_parameters(draw):
    kind = draw(st.sampled_from(["integer", "ordinal", "categorical"]))
    if kind == "integer":
        low, step = draw(st.integers(-100, 100)), draw(st.integers(1, 9))
        return Integer("x", low, low + step * draw(st.integers(0, 20)), "bit", step=step)
    if kind == "ordinal":
        values = draw(st.lists(finite, min_size=1, max_size=8, unique=True))
        return Ordinal("x", tuple(sorted(values)), "V")
    return Categorical("x", tuple(draw(st.lists(names, min_size=1, max_size=8, unique=True))))


@given(finite_parameters())
def test_every_level_survives_the_round_trip(parameter):
    codes = np.arange(parameter.count, dtype=np.float64)
    values = parameter.decode(codes)
    np.testing.assert_array_equal(parameter.encode(values), codes)
    assert len(set(values.tolist())) == parameter.count


@given(finite_parameters(), st.floats(allow_nan=True, allow_infinity=True))
def test_a_code_that_is_no_level_is_refused(parameter, code):
    levels = range(parameter.count)
    if code in levels:
        assert len(parameter.decode(np.array([code]))) == 1
    else:
        with pytest.raises(SpaceError, match=f"x: code .* levels 0 to {parameter.count - 1}"):
            parameter.decode(np.array([0.0, code]))


@given(reals(), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_a_continuous_knob_never_leaves_its_range(parameter, codes):
    edges = [0.0, 5e-324, np.nextafter(1.0, 0.0), 1.0]
    values = parameter.decode(np.array(codes + edges))
    assert (values >= parameter.low).all()
    assert (values <= parameter.high).all()
    back = parameter.encode(values)
    assert ((back >= 0) & (back <= 1)).all()


@given(reals(), st.floats(0, 1))
def test_decoding_grows_with_the_code_and_encoding_returns_near_it(parameter, code):
    value = parameter.decode(np.array([code]))
    span = abs(parameter.low) + abs(parameter.high)
    again = parameter.decode(parameter.encode(value))
    np.testing.assert_allclose(again, value, rtol=1e-9, atol=1e-12 * span)
    higher = parameter.decode(np.array([code + (1 - code) / 2]))
    assert higher >= value


def test_the_end_codes_are_the_bounds_themselves():
    for scale in ("linear", "log"):
        real = Real("t", 0.1, 0.3, "nat", scale=scale)
        assert real.decode(np.array([0.0, 1.0])).tolist() == [0.1, 0.3]
        assert real.encode(np.array([0.1, 0.3])).tolist() == [0.0, 1.0]


def test_a_log_scale_is_even_in_the_logarithm():
    real = Real("f", 1e3, 1e9, "Hz", scale="log")
    np.testing.assert_allclose(real.decode(np.array([0.5])), [1e6], rtol=1e-12)


@pytest.mark.parametrize("code", [-1.0, -1e-9, 1.0000001, np.nan, np.inf])
def test_a_continuous_code_outside_its_range_is_refused(code):
    with pytest.raises(SpaceError, match=r"v: code .* outside 0 to 1"):
        Real("v", 0.5, 0.8, "V").decode(np.array([0.5, code]))


@pytest.mark.parametrize("value", [0.45, 0.81, np.nan, np.inf])
def test_a_continuous_value_outside_its_range_names_value_unit_and_range(value):
    with pytest.raises(SpaceError, match=r"v = .* V is outside 0.5 to 0.8"):
        Real("v", 0.5, 0.8, "V").encode(np.array([0.6, value]))


def test_text_for_a_number_is_refused_with_the_name():
    with pytest.raises(SpaceError, match=r"v = high .*0.5 to 0.8"):
        Real("v", 0.5, 0.8, "V").encode(np.array(["high"]))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Integer("x", 2, 8, "bit", step=2), 3),
        (Integer("x", 2, 8, "bit", step=2), 2.5),
        (Integer("x", 2, 8, "bit"), "2"),
        (Integer("x", 2, 8, "bit"), np.nan),
        (Ordinal("x", (0.5, 0.6), "V"), 0.55),
        (Ordinal("x", (0.5, 0.6), "V"), np.inf),
        (Categorical("x", ("a", "b")), "c"),
        (Categorical("x", ("a", "b")), 1),
        (Categorical("x", ("a", "b")), "ab"),
    ],
)
def test_a_value_that_is_no_level_is_refused(parameter, value):
    with pytest.raises(SpaceError, match=r"x = .* is not one of"):
        parameter.encode(np.array([value]))


def test_a_wide_integer_costs_no_memory():
    wide = Integer("seed", 0, 10**15, "1", step=5)
    codes = np.array([0.0, 1.0, 2e14])
    assert wide.count == 2 * 10**14 + 1
    assert wide.decode(codes).tolist() == [0, 5, 10**15]
    np.testing.assert_array_equal(wide.encode(wide.decode(codes)), codes)
    with pytest.raises(SpaceError, match="seed = 7 is not one of 0 to 1000000000000000"):
        wide.encode(np.array([7]))


def test_columns_have_the_types_that_evaluators_are_promised():
    two = np.array([0.0, 1.0])
    assert Integer("x", 1, 2, "bit").decode(two).dtype == np.int64
    assert Ordinal("x", (1, 2), "V").decode(two).dtype == np.float64
    assert Real("x", 1, 2, "V").decode(two).dtype == np.float64
    assert Categorical("x", ("a", "bcd")).decode(two).dtype.kind == "U"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Integer("1x", 1, 2, "bit"),
        lambda: Integer("", 1, 2, "bit"),
        lambda: Integer("x", 1, 2, ""),
        lambda: Integer("x", 1, 2, "bit", stage="sometimes"),  # type: ignore[arg-type]
        lambda: Integer("x", 2, 1, "bit"),
        lambda: Integer("x", 1, 4, "bit", step=2),
        lambda: Integer("x", 1, 4, "bit", step=0),
        lambda: Integer("x", 1, 4, "bit", step=-1),
        lambda: Ordinal("x", (), "V"),
        lambda: Ordinal("x", (1.0, 1.0), "V"),
        lambda: Ordinal("x", (2.0, 1.0), "V"),
        lambda: Ordinal("x", (1.0, float("nan")), "V"),
        lambda: Categorical("x", ()),
        lambda: Categorical("x", ("a", "")),
        lambda: Categorical("x", ("a", "a")),
        lambda: Real("x", 1.0, 1.0, "V"),
        lambda: Real("x", 2.0, 1.0, "V"),
        lambda: Real("x", float("nan"), 1.0, "V"),
        lambda: Real("x", 0.0, float("inf"), "V"),
        lambda: Real("x", 0.0, 1.0, "V", scale="log"),
        lambda: Real("x", 1.0, 2.0, "V", scale="Log"),  # type: ignore[arg-type]
    ],
)
def test_a_parameter_that_contradicts_itself_is_refused(make):
    with pytest.raises(SpaceError):
        make()
