"""Dominance against the definition, with ties and equal rows; nothing that is not finite enters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dse.core.errors import EvaluationError
from dse.pareto.dominance import DominanceGrid, non_dominated, require_finite

shapes = st.tuples(st.integers(0, 12), st.integers(1, 5))
# Few values, so that ties in one objective and equal rows are the rule.
tied = hnp.arrays(np.float64, shapes, elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0]))
wide = hnp.arrays(np.float64, shapes, elements=st.floats(allow_nan=False, allow_infinity=False))


def by_definition(losses):
    return [
        not any((b <= a).all() and (b < a).any() for j, b in enumerate(losses) if j != i)
        for i, a in enumerate(losses)
    ]


@given(st.one_of(tied, wide))
def test_a_row_is_kept_unless_another_is_no_worse_and_once_better(losses):
    kept = non_dominated(losses)
    assert kept.dtype == np.bool_
    assert kept.shape == (len(losses),)
    assert kept.tolist() == by_definition(losses)


@given(tied, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(losses, random):
    order = list(range(len(losses)))
    random.shuffle(order)
    np.testing.assert_array_equal(non_dominated(losses[order]), non_dominated(losses)[order])


@given(tied)
def test_equal_rows_are_kept_together(losses):
    twice = np.concatenate([losses, losses])
    np.testing.assert_array_equal(non_dominated(twice), np.tile(non_dominated(losses), 2))


def test_memory_layout_does_not_matter():
    losses = np.random.default_rng(0).random((60, 3))
    kept = non_dominated(losses)
    np.testing.assert_array_equal(non_dominated(np.asfortranarray(losses)), kept)
    np.testing.assert_array_equal(non_dominated(np.repeat(losses, 2, axis=0)[::2]), kept)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_row(value):
    losses = np.zeros((4, 2))
    losses[2, 1] = value
    with pytest.raises(EvaluationError, match=f"row 2 is .*{value}"):
        non_dominated(losses)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (4, 0)])
def test_another_shape_is_refused(shape):
    with pytest.raises(EvaluationError, match=r"shape \(n, m\) with m >= 1"):
        require_finite(np.zeros(shape))


stepped = st.integers(-4, 4).map(float)


@given(hnp.arrays(float, (6, 3), elements=stepped), hnp.arrays(float, (9, 3), elements=stepped))
def test_a_grid_of_all_values_rejects_what_lies_in_cells_above_a_row_of_the_front(front, losses):
    """Cells begin at values of the front; one is rejected if a row lies below its lower corner."""
    levels = [np.unique(column) for column in front.T]
    corners = [
        [max(values[values <= x], default=-np.inf) for x, values in zip(row, levels, strict=True)]
        for row in losses
    ]
    rejected = [any((row < corner).all() for row in front) for corner in corners]
    assert (~DominanceGrid(front).undecided(losses)).tolist() == rejected


@pytest.mark.parametrize(("m", "cells", "each"), [(2, 101, 10), (3, 1001, 10), (3, 1, 3)])
def test_a_grid_has_as_many_cells_as_it_may_and_at_least_three_an_axis(m, cells, each):
    front = np.random.default_rng(0).random((60, m))
    assert DominanceGrid(front, cells)._marked.shape == (each,) * m


def test_the_coarsest_grid_is_cut_at_the_least_and_the_greatest_value_of_the_front():
    front = np.array([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0]])
    losses = np.array([[3.0, 3.0], [9.0, 9.0], [2.9, 9.0], [9.0, 2.9], [-1.0, -1.0]])
    assert DominanceGrid(front, cells=1).undecided(losses).tolist() == [
        False, False, True, True, True,
    ]  # fmt: skip
