"""Parts that are the whole: bars stack to the total, flows keep what flows into them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from dse.core.errors import DseError
from dse.plots.sankey import Flows, Link, sankey_figure, sankey_print
from dse.plots.stacked import Stack, stacked_figure

SIZES = st.lists(st.floats(1e-9, 1e-3), min_size=6, max_size=6)
KINDS = {"mac": "computing", "read": "moving data"}
STAGES = ("input", "layer 1", "layer 2")


def parts_of(sizes):
    return {"mac": np.array(sizes[:3]), "read": np.array(sizes[3:])}


@given(SIZES)
@settings(max_examples=20, deadline=None)
def test_bars_reach_the_total(sizes):
    parts = parts_of(sizes)
    total = parts["mac"] + parts["read"]
    stack = Stack("one", STAGES, parts, total)
    axes = stacked_figure([stack], "J", "t", quantity="energy", across="stage").axes[0]
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    heights = np.array([bar.get_height() for bar in bars]).reshape(2, 3)
    tops = np.array([bar.get_y() + bar.get_height() for bar in bars]).reshape(2, 3)
    ratio = heights.sum(axis=0) / total
    assert ratio == pytest.approx(ratio[0])  # one scale
    assert tops.max(axis=0) == pytest.approx(heights.sum(axis=0))


def test_parts_that_are_not_the_whole_are_refused():
    parts = parts_of([1.0] * 6)
    with pytest.raises(
        DseError, match=r"one, layer 2: the parts sum to .*2\.0.*, the total is .*2\.1"
    ):
        Stack("one", STAGES, parts, np.array([2.0, 2.0, 2.1]))
    with pytest.raises(DseError, match="a part is negative, -1"):
        Stack("one", STAGES, parts_of([-1.0] * 6), np.full(3, -2.0))


def test_panels_share_the_looks_of_their_components_and_need_the_same():
    here = Stack("here", STAGES, parts_of([1, 1, 1, 9, 9, 9]), np.full(3, 10))
    there = Stack("there", STAGES, parts_of([90, 90, 90, 1, 1, 1]), np.full(3, 91))
    figure = stacked_figure([here, there], "J", "t", quantity="energy", across="stage")
    looks = [{bar.get_facecolor() for bar in axes.patches} for axes in figure.axes]
    assert looks[0] == looks[1]
    other = Stack("other", STAGES, {"mac": np.ones(3)}, np.ones(3))
    with pytest.raises(DseError, match=r"other has the parts \['mac'\]"):
        stacked_figure([here, other], "J", "t", quantity="energy", across="stage")


@given(SIZES)
@settings(max_examples=20, deadline=None)
def test_what_flows_into_a_node_flows_out_and_the_ends_hold_the_total(sizes):
    flows = Flows.of("sentence", parts_of(sizes), STAGES, KINDS, "J")
    for node in (*STAGES, "mac", "read"):
        assert flows.into(node) == pytest.approx(flows.out_of(node))
    total = sum(sizes)
    assert flows.size("sentence") == pytest.approx(total)
    assert sum(flows.size(kind) for kind in KINDS.values()) == pytest.approx(total)


def test_both_figures_show_every_flow_and_every_node():
    flows = Flows.of("sentence", parts_of([0, 2, 1, 3, 4, 5]), STAGES, KINDS, "J")
    assert ("input", "mac") not in {(link.source, link.target) for link in flows.links}
    drawn = sankey_figure(flows, "t").data[0]
    assert len(drawn.link.value) == len(flows.links)
    assert sum(drawn.link.value) == pytest.approx(3 * 15)
    assert "read: 12 J, 80 %" in drawn.node.label
    axes = sankey_print(flows, "t").axes[0]
    assert len(axes.patches) == len(flows.links) + 8
    assert "read: 12 J, 80 %" in [text.get_text() for text in axes.texts]


def test_flows_that_leak_or_jump_are_refused():
    columns = (("a",), ("b",), ("c",))
    with pytest.raises(DseError, match=r"b: 2\.0 flows in and 1\.0 flows out"):
        Flows(columns, (Link("a", "b", 2.0), Link("b", "c", 1.0)), "J")
    with pytest.raises(DseError, match="a and c are not in neighbouring columns"):
        Flows(columns, (Link("a", "c", 1.0),), "J")
    with pytest.raises(DseError, match="component read has no kind"):
        Flows.of("a", parts_of([1] * 6), STAGES, {"mac": "computing"}, "J")
    names = tuple(f"n{i}" for i in range(31))
    with pytest.raises(DseError, match="31 nodes; at most 30"):
        Flows((names,), (), "J")
