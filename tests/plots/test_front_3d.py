"""Three objectives at once: every design, marked ones twice, units on every axis."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d import Axes3D

from dse.core.errors import DseError
from dse.core.problem import Objective
from dse.plots.front_3d import front_3d_figure, front_3d_print
from dse.results.front import Front

NAMES = ("energy", "latency_p95", "accuracy")


@pytest.fixture(scope="module")
def front(stored_run):
    return Front.of_run(stored_run)


def test_every_design_is_drawn_with_its_values_and_its_whole_design(front):
    figure = front_3d_figure(front, marked={"knee": [front.knee_row()]})
    points, knee = figure.data
    assert len(points.x) == len(front)
    scale = {"energy": 1e6, "latency_p95": 1e3, "accuracy": 1.0}
    for name, values in zip(NAMES, (points.x, points.y, points.z), strict=True):
        shown = front.trials.metrics[name] * scale[name]
        assert np.asarray(values) == pytest.approx(shown)
    assert knee.z[0] == front.trials.metrics["accuracy"][front.knee_row()]
    assert f"trial {front.numbers[0]}" in points.text[0]
    assert "envm cell: " in points.text[0]
    titles = [figure.layout.scene[f"{a}axis"].title.text for a in "xyz"]
    assert titles == ["energy [µJ], lower is better", "latency p95 [ms], lower is better",
                      "accuracy, higher is better"]  # fmt: skip


def test_print_says_the_same(front):
    axes = front_3d_print(front, marked={"knee": [front.knee_row()]}).axes[0]
    assert isinstance(axes, Axes3D)
    assert axes.get_xlabel() == "energy [µJ]\nlower is better"
    assert axes.get_zlabel() == "accuracy\nhigher is better"
    legend = axes.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [
        f"front ({len(front)})",
        "knee",
    ]


def test_two_objectives_are_too_few_and_a_name_is_no_number(draw, front):
    view = draw(Objective("accuracy", "1", "max"), Objective("energy", "J"))
    with pytest.raises(DseError, match=r"2 metrics \(energy, accuracy\): three are drawn"):
        front_3d_figure(Front.of(view.question, view.trials))
    with pytest.raises(DseError, match="envm_cell is no metric"):
        front_3d_figure(front, ("energy", "accuracy", "envm_cell"))
    with pytest.raises(DseError, match="the front is empty"):
        front_3d_print(front.rows(np.array([], dtype=int)))
