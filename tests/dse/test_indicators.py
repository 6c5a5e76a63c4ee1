"""Hypervolume against closed forms and against counting boxes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dse.core.errors import EvaluationError
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import MARGIN, Reference, hypervolume

EDGE = 1.0 + MARGIN


def unit(m):
    return Reference((0.0,) * m, (1.0,) * m)


def by_boxes(losses, corner):
    """Dominated volume up to the corner (a whole number), by counting unit boxes."""
    m = losses.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(corner)] * m, indexing="ij"), axis=-1).reshape(-1, m)
    return sum(any((row <= cell).all() for row in losses) for cell in cells)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 500])
def test_a_staircase_of_n_steps_has_its_closed_form(n):
    # Points (i/n, 1 - (i+1)/n): below the corner 1 the steps leave out n (n + 1) / 2 boxes of 1/n^2
    # and a strip of 1/n; the margin adds a strip on both sides that is dominated from the first
    # step on.
    i = np.arange(n)
    losses = np.stack([i / n, 1 - (i + 1) / n], axis=1)
    steps = sum((1 / n) * (EDGE - y) for y in losses[:, 1]) + MARGIN * EDGE
    closed_form = EDGE - (n - 1) / (2 * n) + MARGIN * EDGE
    assert steps == pytest.approx(closed_form)
    assert hypervolume(losses, unit(2)) == pytest.approx(closed_form / EDGE**2)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 6])
def test_one_point_dominates_a_box(m):
    assert hypervolume(np.full((1, m), 0.6), unit(m)) == pytest.approx(((EDGE - 0.6) / EDGE) ** m)
    assert hypervolume(np.zeros((1, m)), unit(m)) == pytest.approx(1.0)


@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 8), st.integers(1, 3)),
        elements=st.integers(0, 10),
    )
)
def test_counting_boxes_gives_the_same(losses):
    # The corner of the reference is 1.1 times its range: 11 boxes of a tenth in each axis.
    m = losses.shape[1]
    share = hypervolume(losses / 10, unit(m))
    assert share == pytest.approx(by_boxes(losses, 11) / 11**m, rel=1e-9)


sets = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(0, 1))


@given(sets, sets)
def test_more_points_never_have_less(one, other):
    both = np.concatenate([one, other])
    assert hypervolume(both, unit(3)) >= hypervolume(one, unit(3)) - 1e-12
    front = both[non_dominated(both)]
    assert hypervolume(front, unit(3)) == pytest.approx(hypervolume(both, unit(3)), rel=1e-9)
    assert 0 <= hypervolume(both, unit(3)) <= 1 + 1e-12


@given(sets, st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_units_do_not_matter(losses, scale, shift):
    moved = Reference((shift,) * 3, (shift + scale,) * 3)
    share = hypervolume(losses * scale + shift, moved)
    assert share == pytest.approx(hypervolume(losses, unit(3)), rel=1e-6, abs=1e-6)


def test_what_lies_beyond_the_reference_adds_nothing():
    inside = np.array([[0.5, 0.5]])
    beyond = np.array([[EDGE, 0.0], [0.0, 5.0], [1e300, -1.0]])
    assert hypervolume(beyond, unit(2)) == 0.0
    assert hypervolume(np.concatenate([inside, beyond]), unit(2)) == hypervolume(inside, unit(2))
    assert hypervolume(np.empty((0, 2)), unit(2)) == 0.0


def test_what_is_better_than_the_ideal_goes_beyond_one():
    assert hypervolume(np.array([[-1.0, -1.0]]), unit(2)) == pytest.approx((2.1 / 1.1) ** 2)


@pytest.mark.parametrize("far", [1e308, -1e308])
def test_numbers_at_the_end_of_the_range_cause_no_overflow_in_silence(far):
    narrow = Reference((0.0, 0.0), (1e-9, 1e-9))
    losses = np.array([[far, 0.0], [0.0, 0.0]])
    if far > 0:
        assert hypervolume(losses, narrow) == pytest.approx(1.0)
    else:
        with pytest.raises(EvaluationError, match="too far"):
            hypervolume(losses, narrow)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(EvaluationError, match="row 1"):
        hypervolume(np.array([[0.0, 0.0], [0.0, value]]), unit(2))


def test_losses_of_another_width_are_refused():
    with pytest.raises(EvaluationError, match=r"3 objectives.*2"):
        hypervolume(np.zeros((4, 3)), unit(2))
    with pytest.raises(EvaluationError, match=r"1 objectives.*2"):
        hypervolume(np.zeros((4, 1)), unit(2))


# -- the frame ------------------------------------------------------------------------------


def test_the_frame_is_spanned_by_the_front_alone():
    losses = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 1.0], [50.0, 50.0]])
    assert Reference.of(losses) == Reference((0.0, 1.0), (2.0, 4.0))


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 9), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, allow_subnormal=False),
    )
)
def test_every_set_has_a_frame_in_which_it_has_a_volume(losses):
    reference = Reference.of(losses)
    assert all(a < b for a, b in zip(reference.ideal, reference.nadir, strict=True))
    assert 0 < hypervolume(losses, reference) <= 1 + 1e-12


def test_an_axis_without_extent_gets_one():
    losses = np.array([[0.0, -5.0, 2.0]])
    assert Reference.of(losses) == Reference((0.0, -5.0, 2.0), (1.0, 0.0, 4.0))


def test_a_frame_needs_a_point():
    with pytest.raises(EvaluationError, match="at least one row"):
        Reference.of(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("ideal", "nadir"),
    [
        ((), ()),
        ((0.0,), (1.0, 1.0)),
        ((0.0,), (0.0,)),
        ((1.0,), (0.0,)),
        ((math.nan,), (1.0,)),
        ((0.0,), (math.nan,)),
        ((0.0,), (math.inf,)),
        ((-math.inf,), (0.0,)),
    ],
)
def test_a_frame_without_volume_is_refused(ideal, nadir):
    with pytest.raises(EvaluationError, match="nadir"):
        Reference(ideal, nadir)
