"""Where numbers fall, against a search; lines, against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.grid import MOST_BINS, Grid, Lines

# Steps from a millionth up: nobody characterises at steps whose slopes overflow.
POINTS = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=12, unique=True).map(
    lambda values: np.array(sorted(values)) * 1e-6
)


def keys_of(points):
    """Every point, its neighbours inside, and some between."""
    beside = [np.nextafter(points[1:], -np.inf), np.nextafter(points[:-1], np.inf)]
    between = np.random.default_rng(0).uniform(points[0], points[-1], 50)
    return np.concatenate([points, *beside, np.clip(between, points[0], points[-1])])


@given(POINTS)
def test_every_key_falls_where_a_search_puts_it(points):
    keys = keys_of(points)
    assert (Grid(points).below(keys) == np.searchsorted(points, keys, side="right") - 1).all()


@pytest.mark.parametrize(
    "points",
    [
        [0.8],
        np.linspace(0.5, 0.8, 13),
        np.geomspace(1e-12, 1e6, 40),
        [0.0, 1e-9, 2e-9, 1.0, 1e9],
        [0.0, 0.5, 1.0, 2.0, 4.0],
        [0.0, 0.5, 1.1, 2.0],
    ],
    ids=["one", "even", "decades", "crowded", "at the edges of bins", "one is off the edge"],
)
def test_steps_of_any_width_are_told_apart_in_bounded_memory(points):
    grid = Grid(np.array(points))
    keys = keys_of(grid.points)
    found = grid.below(keys.reshape(1, -1))
    assert found.shape == (1, len(keys))
    assert (found[0] == np.searchsorted(grid.points, keys, side="right") - 1).all()
    assert len(grid._before) <= MOST_BINS + 1


@given(POINTS)
def test_lines_are_exact_on_points_and_straight_between(points):
    values = np.random.default_rng(1).normal(size=(2, len(points)))
    lines = Lines(Grid(points), values)
    assert (lines.at(points) == values).all()
    keys = keys_of(points)
    for ours, row in zip(lines.at(keys), values, strict=True):
        assert ours == pytest.approx(np.interp(keys, points, row), rel=1e-9, abs=1e-9)
