"""Brushes: the rows are those between the ranges, whatever a browser made of them."""

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.collections import LineCollection

from dse.core.errors import DseError
from dse.core.problem import Objective
from dse.plots.parallel import parallel_figure, parallel_print
from dse.plots.parallel_view import ParallelView
from dse.results.front import Front

ACCURACY = Objective("accuracy", "1", "max")
ENERGY = Objective("energy", "J")
LATENCY = Objective("latency_p95", "s")
AREA = Objective("area", "m^2")


@pytest.fixture(scope="module")
def front(draw):
    view = draw(ACCURACY, ENERGY, LATENCY, AREA, limits=(), count=600)
    return Front.of(view.question, view.trials)


@pytest.fixture(scope="module")
def parallel(front):
    return ParallelView.of(front)


def by_hand(view, brushes):
    """The rows between the brushes, value by value."""
    rows = []
    for row in range(len(view.front)):
        kept = True
        for axis in view.axes:
            place = float(axis.places[row])
            ranges = brushes.get(axis.name, [])
            if ranges and not any(low <= place <= high for low, high in ranges):
                kept = False
        if kept:
            rows.append(row)
    return rows


def test_the_axes_are_the_knobs_that_differ_and_the_objectives(parallel, front):
    assert len(front) > 100
    assert [a.name for a in parallel.axes] == [
        "pruning_ratio", "weight_bits", "envm_cell", "vdd", "exit_threshold",
        "accuracy", "energy", "latency_p95", "area",
    ]  # fmt: skip
    ends = {a.name: a.better for a in parallel.axes}
    assert (ends["vdd"], ends["accuracy"], ends["energy"]) == (None, "higher", "lower")
    assert next(a.title for a in parallel.axes if a.name == "vdd") == "vdd [mV]"


def test_two_hundred_random_brushes_give_exactly_the_rows_between_them(parallel):
    rng = np.random.default_rng(0)
    figure = parallel_figure(parallel)
    sizes = []
    for _ in range(200):
        brushes = {}
        for i in rng.choice(len(parallel.axes), rng.integers(1, 4), replace=False):
            axis = parallel.axes[i]
            ends = rng.choice(axis.places, (rng.integers(1, 3), 2))  # values themselves: ties
            brushes[axis.name] = [tuple(sorted(pair)) for pair in ends.tolist()]
        for axis, dimension in zip(parallel.axes, figure.data[0].dimensions, strict=True):
            ranges = brushes.get(axis.name)
            dimension.constraintrange = (
                (ranges[0] if len(ranges) == 1 else ranges) if ranges else None
            )
        chosen = parallel.chosen(figure)
        wanted = by_hand(parallel, brushes)
        assert chosen.numbers.tolist() == parallel.front.numbers[wanted].tolist()
        sizes.append(len(chosen))
    assert 0 < np.median(sizes) < len(parallel.front)


def test_a_brush_on_a_single_value_keeps_the_rows_that_have_it(parallel):
    axis = parallel.axes[1]
    value = float(axis.places[0])
    rows = parallel.rows_between({axis.name: [(value, value)]})
    assert rows.tolist() == np.flatnonzero(axis.places == value).tolist()


def test_limits_in_si_units_brush_the_rows_that_select_gives(parallel, front):
    middle = float(np.median(front.trials.metrics["energy"]))
    limits: dict[str, tuple[float, float] | tuple[str, str]]
    limits = {"energy": (-np.inf, middle), "envm_cell": ("SRAM", "SLC ReRAM"), "vdd": (0.6, 0.75)}
    selected = front.select(limits)
    chosen = parallel.chosen(parallel_figure(parallel, limits))
    assert chosen.numbers.tolist() == selected.numbers.tolist()
    assert 0 < len(chosen) < len(front)
    assert (selected.trials.metrics["energy"] <= middle).all()
    assert set(selected.trials.designs["envm_cell"].tolist()) <= {"SRAM", "SLC ReRAM"}


@pytest.mark.parametrize(
    ("dimension", "ranges", "kept"),
    [
        ("accuracy", [[0.7, 0.8]], lambda p: (p >= 0.7) & (p <= 0.8)),
        ("vdd", [[[548.2, 614.7], [713.3, 779.8]]],
         lambda p: ((p >= 548.2) & (p <= 614.7)) | ((p >= 713.3) & (p <= 779.8))),
        ("envm_cell", [[-5.551115123125783e-17, 0.2500000000000001]], lambda p: p == 0),
        ("envm_cell", [[0.75, 0.9999999999999998]], lambda p: p == 1),
    ],
)  # fmt: skip
def test_what_a_browser_brushes_reaches_python(dimension, ranges, kept, parallel):
    """The messages are those that a drag in Chromium with plotly.js of 7.1.0 sent, but for the
    fourth: a brush that ends at a name may miss its place by rounding on either side."""
    figure = go.FigureWidget(parallel_figure(parallel))
    number = [axis.name for axis in parallel.axes].index(dimension)
    figure._js2py_restyle = {
        "source_view_id": "browser",
        "style_data": {f"dimensions[{number}].constraintrange": ranges},
        "style_traces": [0],
    }
    chosen = parallel.chosen(figure)
    wanted = parallel.front.numbers[kept(parallel.axes[number].places)]
    assert chosen.numbers.tolist() == wanted.tolist()
    assert 0 < len(wanted) < len(parallel.front)


def test_a_figure_of_another_view_and_an_unknown_axis_are_refused(parallel, front):
    other = ParallelView.of(front, ["vdd", "energy"])
    with pytest.raises(DseError, match="the figure shows vdd, energy: of another view"):
        parallel.chosen(parallel_figure(other))
    with pytest.raises(DseError, match="no axis 'cell'; there are pruning_ratio, weight_bits"):
        parallel.rows_between({"cell": [(0, 1)]})
    with pytest.raises(DseError, match="the front is empty"):
        ParallelView.of(front.rows(np.array([], dtype=int)))


def test_only_names_have_ticks_of_their_own_since_plotly_snaps_brushes_to_ticks(parallel):
    for axis, dimension in zip(
        parallel.axes, parallel_figure(parallel).data[0].dimensions, strict=True
    ):
        assert (dimension.tickvals is not None) == bool(axis.names)


def test_print_tells_how_many_are_between_the_brushes(parallel, front):
    limits = {"accuracy": (float(np.median(front.trials.metrics["accuracy"])), np.inf)}
    figure = parallel_print(parallel, limits)
    said = [text.get_text() for text in figure.texts]
    assert said == [f"chip: {len(front)} designs, {len(front.select(limits))} between the brushes"]
    sets = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    drawn = sorted(len(c.get_segments()) for c in sets if len(c.get_segments()))
    assert sum(drawn) == len(front)
