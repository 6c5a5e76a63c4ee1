"""Counts and sums below limits, beside loops over the points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dse.accuracy import prefix_counts
from dse.accuracy.prefix_counts import Order, sums_between

SIZES = st.integers(0, 12)
TIED = st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5, np.inf])
LIMITS = arrays(np.float64, 5, elements=st.one_of(TIED, st.floats(-2, 2)))


def points(n):
    """Two values and two weights of each of n points."""
    values = arrays(np.float64, n, elements=TIED)
    return st.tuples(values, values, arrays(np.int8, (n, 2), elements=st.integers(-1, 1)))


@given(SIZES.flatmap(points), LIMITS)
def test_points_below_a_limit_come_first_in_their_order(drawn, limits):
    values, _, weights = drawn
    order = Order.of(values)
    assert sorted(order.place.tolist()) == list(range(len(values)))
    sums = order.sums(weights[:, 0])
    for limit, count in zip(limits, order.below(limits), strict=True):
        assert count == sum(value < limit for value in values)
        assert ((order.place < count) == (values < limit)).all()
        assert sums[count] == weights[values < limit, 0].sum()


@given(SIZES.flatmap(points), LIMITS, LIMITS, st.sampled_from([1, 7, 1 << 18]))
def test_a_sum_between_two_limits_is_that_of_a_loop(drawn, floors, ceilings, cells):
    first, second, weights = drawn
    behind, among = Order.of(first), Order.of(second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_counts, "CELLS", cells)
        found = sums_between(behind, behind.below(floors), among, among.below(ceilings), weights)
    for floor, ceiling, sums in zip(floors, ceilings, found, strict=True):
        inside = zip(first >= floor, second < ceiling, weights.tolist(), strict=True)
        rows = [row for after, before, row in inside if after and before]
        assert sums.tolist() == [sum(row[part] for row in rows) for part in range(2)]


def test_every_point_lies_below_a_limit_that_is_no_number():
    assert Order.of(np.array([3.0, np.inf])).below(np.array([np.nan])).tolist() == [2]


def test_more_points_than_float32_can_count_are_refused(monkeypatch):
    monkeypatch.setattr(prefix_counts, "MOST", 3)
    order, none = Order.of(np.zeros(3)), np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="3 points; sums in float32 are exact for fewer than 3"):
        sums_between(order, none, order, none, np.ones((3, 1), dtype=np.int8))
