"""The staircase is the least energy that each deadline has to cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.plots.deadline import DeadlineView, deadline_figure

COARSE = st.integers(1, 9).map(float)  # ties are the rule
ROWS = st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=30)


def view_of(rows):
    latency, energy = np.array(rows).T
    groups = {"edge": latency > 4, "cloud": latency <= 4}
    return DeadlineView("t", latency, energy, groups, {"first": 0})


@given(ROWS, st.floats(0.5, 10.0))
@settings(deadline=None)
def test_the_last_step_in_time_costs_the_least_of_all_rows_in_time(rows, deadline):
    view = view_of(rows)
    steps = view.least()
    assert (np.diff(view.latency[steps]) > 0).all()
    assert (np.diff(view.energy[steps]) < 0).all()
    in_time = view.energy[view.latency <= deadline]
    reached = view.energy[steps][view.latency[steps] <= deadline]
    assert len(in_time) == 0 or reached[-1] == in_time.min()
    assert bool(len(in_time)) == bool(len(reached))


def test_every_row_is_drawn_once_and_named_in_the_legend():
    view = view_of([(1, 9), (2, 8), (5, 3), (7, 4)])
    axes = deadline_figure(view).axes[0]
    named = {line.get_label(): len(np.asarray(line.get_xdata())) for line in axes.lines}
    assert named["edge (2)"] == named["cloud (2)"] == 2
    assert named["first"] == 1
    assert named["least energy in time"] == 4  # three steps, and the line to the edge
    assert axes.get_xlabel().endswith("[s]")
    assert axes.get_ylabel() == "energy per request [J]"


@pytest.mark.parametrize(("latency", "said"), [((0.0, 1.0), "must be positive"), ((), "differ")])
def test_what_has_no_place_on_logarithmic_axes_is_refused(latency, said):
    with pytest.raises(DseError, match=said):
        DeadlineView("t", np.array(latency), np.array([1.0, 2.0]), {}, {})
