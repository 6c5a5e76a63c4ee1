"""The ends of a space: allowed, distinct, and next to an end that does not exist."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.parameters import Categorical, Integer, Ordinal, Real
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from dse.search.initial_designs import boundary_designs
from dse.testing.contracts import conditional_space, tiny_space
from search_spaces.dynasplit import NETWORKS, dynasplit_space


def ends_of(space):
    """The ends as values, row for row."""
    columns = space.decode(boundary_designs(space))
    return list(zip(*(columns[name].tolist() for name in space.names), strict=True))


def test_the_ends_are_all_lowest_and_all_highest_levels():
    space = SearchSpace(
        (
            Ordinal("width", (4, 8, 16), "1"),
            Categorical("cell", ("sram", "rram", "stt")),
            Real("vdd", 0.5, 0.8, "V"),
            Integer("bits", 8, 8, "bit"),
        )
    )
    assert ends_of(space) == [(4, "sram", 0.5, 8), (16, "stt", 0.8, 8)]


def test_what_a_condition_switches_off_is_inactive_in_an_end():
    space = SearchSpace(
        (Categorical("cell", ("sram", "rram")), Integer("bits", 1, 4, "bit")),
        (ActiveWhen("bits", "cell", ("rram",), otherwise=1),),
    )
    assert boundary_designs(space).tolist() == [[0.0, -1.0], [1.0, 3.0]]


def test_a_space_of_one_design_has_one_end():
    assert boundary_designs(SearchSpace((Integer("bits", 8, 8, "bit"),))).tolist() == [[0.0]]


def test_a_forbidden_end_moves_in_a_name_first_and_by_the_smallest_step_next():
    knobs = (Integer("a", 0, 9, "1"), Categorical("kind", ("x", "y")), Integer("b", 0, 9, "1"))
    named = Forbidden({"a": (9,), "kind": ("y",), "b": (9,)}, "too large")
    assert ends_of(SearchSpace(knobs, (), (named,))) == [(0, "x", 0), (9, "x", 9)]
    ordered = Forbidden({"a": (9, 8, 7), "b": (9, 8)}, "too large")
    assert ends_of(SearchSpace(knobs, (), (ordered,))) == [(0, "x", 0), (9, "y", 7)]


def test_an_end_that_breaks_several_rules_is_led_out_of_all_of_them():
    rules = tuple(Forbidden({name: (7, 8, 9)}, "too large") for name in "abc")
    space = SearchSpace(tuple(Integer(name, 0, 9, "1") for name in "abc"), (), rules)
    assert ends_of(space) == [(0, 0, 0), (6, 6, 6)]


def test_an_end_without_a_way_out_is_left_out():
    rules = tuple(
        Forbidden({"a": (9, a), "b": (9, b)}, "no") for a in range(1, 9) for b in range(10)
    ) + tuple(Forbidden({"a": (0,), "b": (b,)}, "no") for b in range(1, 10))
    space = SearchSpace((Integer("a", 0, 9, "1"), Integer("b", 0, 9, "1")), (), rules)
    assert ends_of(space) == [(0, 0)]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_deep_end_of_a_cut_network_needs_no_cloud(network):
    """The accelerator stays on where the network can use it."""
    shallow, deep = ends_of(dynasplit_space(network))
    on = "max" if NETWORKS[network].on_tpu else "off"
    assert shallow == (0, 0.6e9, "off", "off")
    assert deep == (NETWORKS[network].layers, 1.8e9, on, "off")


@given(st.data())
def test_ends_are_distinct_allowed_canonical_designs(data):
    """Whatever is forbidden; and an end that exists is never moved."""
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    knobs = tuple(
        Categorical(f"k{i}", tuple("abcd"[:count]))
        if data.draw(st.booleans())
        else Integer(f"k{i}", 0, count - 1, "1")
        for i, count in enumerate(counts)
    )
    levels = {p.name: p.decode(np.arange(float(p.count))).tolist() for p in knobs}
    combinations = st.lists(
        st.sampled_from(sorted(levels)), min_size=1, max_size=3, unique=True
    ).flatmap(
        lambda names: st.fixed_dictionaries(
            {
                n: st.lists(st.sampled_from(levels[n]), min_size=1, max_size=3, unique=True)
                for n in names
            }
        )
    )
    rules = tuple(
        Forbidden({name: tuple(values) for name, values in rule.items()}, "no")
        for rule in data.draw(st.lists(combinations, max_size=3))
    )
    space = SearchSpace(knobs, (), rules)
    found = boundary_designs(space)
    assert found.shape[0] <= 2
    assert space.allowed(found).all()
    np.testing.assert_array_equal(found, space.canonical(found))
    assert len({code.tobytes() for code in found}) == len(found)
    for end in (np.zeros((1, len(knobs))), np.array([counts], dtype=float) - 1):
        if space.allowed(end)[0]:
            assert end[0].tolist() in found.tolist()


@pytest.mark.parametrize("space", [tiny_space(), conditional_space(continuous=True)])
def test_ends_of_the_spaces_of_the_contract_exist(space):
    found = boundary_designs(space)
    assert len(found) == 2
    assert space.allowed(found).all()
