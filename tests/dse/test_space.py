"""Counting, listing, drawing and translating designs, against brute force on small spaces."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dse.core.errors import EvaluationError, SpaceError
from dse.core.parameters import Categorical, Integer, Ordinal, Parameter
from dse.core.space import INACTIVE, ActiveWhen, Forbidden, SearchSpace, length
from dse.testing.contracts import conditional_space, tiny_space

CELL = Categorical("cell", ("sram", "reram"))
BITS = Integer("bits", 1, 3, "bit")


def level_values(parameter):
    return parameter.decode(np.arange(parameter.count, dtype=np.float64)).tolist()


@st.composite
def small_knobs(draw):
    """Up to five of any kind."""
    parameters: list[Parameter] = []
    for i in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 4))
        kind = draw(st.sampled_from(["integer", "ordinal", "categorical"]))
        if kind == "integer":
            parameters.append(Integer(f"p{i}", 1, count, "bit"))
        elif kind == "ordinal":
            parameters.append(Ordinal(f"p{i}", tuple(0.5 * (k + 1) for k in range(count)), "V"))
        else:
            parameters.append(Categorical(f"p{i}", tuple("abcd"[:count])))
    return parameters


@st.composite
def spaces(draw):
    """Small knobs with up to two conditions each, also on knobs that have some themselves."""
    parameters = draw(small_knobs())

    def some_values(parameter):
        return tuple(draw(st.lists(st.sampled_from(level_values(parameter)), min_size=1)))

    conditions = []
    for i in range(1, len(parameters)):
        if draw(st.booleans()):
            parents = draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=2))
            # Both a value of its own and one that is also a level must work.
            own = ("off", "a") if parameters[i].unit == "choice" else (0, 1)
            otherwise = draw(st.sampled_from(own))
            for parent in (parameters[k] for k in sorted(parents)):
                conditions.append(
                    ActiveWhen(parameters[i].name, parent.name, some_values(parent), otherwise)
                )
    forbidden = []
    for _ in range(draw(st.integers(0, 2))):
        chosen = draw(st.lists(st.sampled_from(parameters), min_size=1, max_size=3, unique=True))
        forbidden.append(Forbidden({p.name: some_values(p) for p in chosen}, "no reason"))
    return SearchSpace(
        tuple(parameters), tuple(draw(st.permutations(conditions))), tuple(forbidden)
    )


def brute_force(space):
    """Designs as tuples of (value, active), worked out with dictionaries and loops."""
    designs = set()
    for values in itertools.product(*(level_values(p) for p in space.parameters)):
        design: dict[str, object] = {}
        active: dict[str, bool] = {}
        for parameter, value in zip(space.parameters, values, strict=True):
            rules = [c for c in space.conditions if c.parameter == parameter.name]
            on = all(design[rule.depends_on] in rule.values for rule in rules)
            design[parameter.name] = value if on else rules[0].otherwise
            active[parameter.name] = on
        if not any(
            all(design[name] in values for name, values in rule.combination.items())
            for rule in space.forbidden
        ):
            designs.add(tuple((design[n], active[n]) for n in space.names))
    return designs


def listed(space, chunk=7):
    parts = list(space.enumerate(chunk))
    assert all(1 <= len(part) <= chunk for part in parts)
    return np.concatenate(parts) if parts else np.empty((0, len(space.parameters)))


@given(spaces())
def test_size_and_list_are_what_brute_force_finds(space):
    rows = listed(space)
    designs = space.decode(rows)
    found = [
        tuple((designs[n][row].item(), rows[row, i] != INACTIVE) for i, n in enumerate(space.names))
        for row in range(len(rows))
    ]
    assert len(found) == len(set(found)), "a design stands twice"
    assert set(found) == brute_force(space)
    assert space.size == len(found)


@given(spaces(), st.integers(1, 50))
def test_the_list_does_not_depend_on_the_chunk_and_is_in_order(space, chunk):
    rows = listed(space, chunk)
    np.testing.assert_array_equal(rows, listed(space, 10**6))
    keys = [tuple(np.maximum(row, 0.0)) for row in rows]
    assert keys == sorted(keys)


@given(spaces())
def test_listed_rows_are_canonical_allowed_and_survive_the_round_trip(space):
    rows = listed(space)
    np.testing.assert_array_equal(space.canonical(rows), rows)
    assert space.allowed(rows).all()
    np.testing.assert_array_equal(space.encode(space.decode(rows)), rows)


@given(spaces(), st.integers(0, 2**32))
@settings(max_examples=50)
def test_drawn_rows_are_among_the_listed_ones(space, seed):
    assume(space.size)
    rows = space.sample(9, np.random.default_rng(seed))
    known = {row.tobytes() for row in listed(space)}
    assert rows.shape == (9, len(space.parameters))
    assert all(row.tobytes() in known for row in rows)
    again = space.sample(9, np.random.default_rng(seed))
    np.testing.assert_array_equal(rows, again)


def test_a_space_in_which_everything_is_forbidden_is_empty_and_says_so():
    space = SearchSpace((BITS,), (), (Forbidden({"bits": (1, 2, 3)}, "no reason"),))
    assert space.size == 0
    assert list(space.enumerate()) == []
    with pytest.raises(SpaceError, match="only 0 of 9"):
        space.sample(9, np.random.default_rng(0))


def test_drawing_reaches_every_design():
    space = conditional_space(continuous=False)
    rows = space.sample(5000, np.random.default_rng(0))
    assert len({row.tobytes() for row in rows}) == space.size


def test_drawing_nothing_gives_no_rows():
    assert tiny_space().sample(0, np.random.default_rng(0)).shape == (0, 2)


def test_free_knobs_multiply_without_being_listed():
    free = tuple(Integer(f"p{i}", 1, 1000, "1") for i in range(10))
    space = SearchSpace((CELL, BITS, *free), (ActiveWhen("bits", "cell", ("reram",), 1),))
    assert space.size == 4 * 1000**10
    with pytest.raises(SpaceError, match=r"6e\+30 combinations of levels are too many"):
        next(space.enumerate())


def test_groups_of_knobs_that_do_not_touch_each_other_are_counted_apart():
    pairs: list[Parameter] = []
    rules = []
    for i in range(12):
        pairs += [Categorical(f"a{i}", ("on", "off")), Integer(f"b{i}", 1, 9, "1")]
        rules.append(ActiveWhen(f"b{i}", f"a{i}", ("on",), otherwise=0))
    assert SearchSpace(tuple(pairs), tuple(rules)).size == 10**12


def test_knobs_that_hang_on_one_switch_multiply_where_they_are_active():
    leaves = tuple(Integer(f"b{i}", 1, 9, "1") for i in range(30))
    rules = tuple(ActiveWhen(leaf.name, "cell", ("reram",), otherwise=0) for leaf in leaves)
    assert SearchSpace((CELL, *leaves), rules).size == 1 + 9**30


def test_drawing_finds_the_one_design_in_ten_thousand_that_is_allowed():
    knobs = tuple(Integer(f"p{i}", 0, 9, "1") for i in range(4))
    rules = tuple(Forbidden({p.name: tuple(range(9))}, "too small") for p in knobs)
    rows = SearchSpace(knobs, (), rules).sample(1, np.random.default_rng(0))
    assert rows.tolist() == [[9.0, 9.0, 9.0, 9.0]]


def test_a_continuous_knob_makes_the_space_uncountable():
    space = conditional_space(continuous=True)
    assert space.size is None
    with pytest.raises(SpaceError, match="vdd is continuous"):
        next(space.enumerate())
    rows = space.sample(50, np.random.default_rng(0))
    designs = space.decode(rows)
    assert ((designs["vdd"] >= 0.5) & (designs["vdd"] <= 0.8)).all()
    np.testing.assert_allclose(space.encode(designs), rows, atol=1e-12)


def test_an_inactive_knob_has_the_value_that_the_condition_speaks_out():
    space = conditional_space(continuous=False)
    rows = space.canonical(np.array([[0.0, 3.0, 2.0, 0.0], [1.0, 3.0, 2.0, 0.0]]))
    assert rows.tolist() == [[0.0, INACTIVE, INACTIVE, 0.0], [1.0, 3.0, 2.0, 0.0]]
    designs = space.decode(rows)
    assert designs["bits"].tolist() == [1, 4]
    assert designs["bits"].dtype == np.int64
    assert designs["verify"].tolist() == [0.25, 1.0]


def test_a_long_name_for_an_inactive_knob_is_not_cut():
    space = SearchSpace(
        (CELL, Categorical("verify", ("no", "yes"))),
        (ActiveWhen("verify", "cell", ("reram",), "impossible"),),
    )
    assert space.decode(np.array([[0.0, 0.0]]))["verify"].tolist() == ["impossible"]


def test_negative_zero_is_the_same_code_as_zero():
    rows = tiny_space().canonical(np.array([[1.0, -0.0]]))
    assert rows.tobytes() == np.array([[1.0, 0.0]]).tobytes()


def test_an_active_knob_marked_inactive_is_refused():
    with pytest.raises(SpaceError, match=r"code -1 .*active"):
        tiny_space().decode(np.array([[1.0, INACTIVE]]))
    with pytest.raises(SpaceError, match="cell: code -1"):
        tiny_space().decode(np.array([[INACTIVE, 0.0]]))


@pytest.mark.parametrize("codes", [np.zeros((2, 3)), np.zeros(3), np.zeros((1, 1, 2))])
def test_codes_of_another_shape_are_refused_with_both_shapes(codes):
    with pytest.raises(SpaceError, match=r"\(n, 2\)"):
        tiny_space().canonical(codes)


@pytest.mark.parametrize("code", [np.nan, np.inf, -np.inf, 0.5, 7.0, -2.0])
def test_a_code_that_does_not_exist_is_refused(code):
    with pytest.raises(SpaceError, match="bits: code"):
        tiny_space().decode(np.array([[1.0, 0.0], [1.0, code]]))


def test_columns_that_do_not_fit_are_refused():
    space = tiny_space()
    with pytest.raises(SpaceError, match="no column for bits"):
        space.encode({"cell": np.array(["a"])})
    with pytest.raises(SpaceError, match="one length"):
        space.encode({"cell": np.array(["a", "b"]), "bits": np.array([1])})
    with pytest.raises(SpaceError, match=r"bits = 2 .*cell"):
        # bits is switched off for cell a and stands at 1; 2 would be replaced in silence.
        space.encode({"cell": np.array(["b", "a"]), "bits": np.array([2, 2])})


CONTRADICTIONS = {
    "needs at least one parameter": lambda: SearchSpace(()),
    "stands twice": lambda: SearchSpace((CELL, CELL)),
    "unknown parameter 'nobody'": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("nobody", "cell", ("sram",), 1),)
    ),
    "unknown parameter 'no'": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "no", ("sram",), 1),)
    ),
    "cell = flash is not one of sram, reram": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "cell", ("flash",), 1),)
    ),
    "no value given for cell": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "cell", (), 1),)
    ),
    "cell stands in it twice": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "cell", ("sram",), 1),) * 2
    ),
    "otherwise is 1 and 2": lambda: SearchSpace(
        (CELL, Integer("rows", 1, 2, "1"), BITS),
        (ActiveWhen("bits", "cell", ("sram",), 1), ActiveWhen("bits", "rows", (1,), 2)),
    ),
    "must stand before": lambda: SearchSpace(
        (BITS, CELL), (ActiveWhen("bits", "cell", ("sram",), 1),)
    ),
    "condition of cell: cell must stand before": lambda: SearchSpace(
        (CELL,), (ActiveWhen("cell", "cell", ("sram",), "none"),)
    ),
    "otherwise = 'one' is not of": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "cell", ("sram",), "one"),)
    ),
    "otherwise = nan": lambda: SearchSpace(
        (CELL, BITS), (ActiveWhen("bits", "cell", ("sram",), float("nan")),)
    ),
    "bits = 9 is not one of": lambda: SearchSpace((BITS,), (), (Forbidden({"bits": (9,)}, "x"),)),
    "names no parameter": lambda: SearchSpace((BITS,), (), (Forbidden({}, "x"),)),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_a_space_that_contradicts_itself_is_refused(message):
    with pytest.raises(SpaceError, match=message):
        CONTRADICTIONS[message]()


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_chunk_without_rows_is_refused(chunk):
    with pytest.raises(SpaceError, match=f"chunk = {chunk}"):
        next(tiny_space().enumerate(chunk))


def test_a_batch_has_one_length_and_columns_of_one_dimension():
    assert length({"a": np.arange(3), "b": np.arange(3)}) == 3
    for columns in ({}, {"a": np.array(1.0)}, {"a": np.ones((2, 2))}):
        with pytest.raises(EvaluationError, match=r"columns must have shape \(n,\)"):
            length(columns)
    with pytest.raises(EvaluationError, match="one length n"):
        length({"a": np.arange(3), "b": np.arange(2)})


def conditional(child, otherwise):
    return SearchSpace(
        (CELL, child), conditions=(ActiveWhen(child.name, "cell", ("reram",), otherwise),)
    )


def test_a_number_may_stand_for_an_inactive_knob_whatever_its_unit():
    space = conditional(Integer("depth", 1, 3, "layer"), 0)
    off = space.decode(np.array([[0.0, INACTIVE]]))
    assert off["depth"].tolist() == [0]


def test_inactive_values_below_and_above_the_declared_one_are_refused():
    space = conditional(Integer("depth", 1, 3, "layer"), 2)
    for value in (1, 3):
        with pytest.raises(SpaceError, match="only 2 stands there"):
            space.encode({"cell": np.array(["sram"]), "depth": np.array([value])})


def test_texts_of_a_conditional_knob_are_as_wide_as_the_longest_and_no_wider():
    space = conditional(Categorical("mode", ("abcd", "ef")), "c")
    assert space.decode(np.array([[0.0, INACTIVE], [1.0, 0.0]]))["mode"].dtype == np.dtype("<U4")


def test_codes_of_three_dimensions_are_refused():
    with pytest.raises(SpaceError, match="codes must have shape"):
        SearchSpace((CELL, BITS)).canonical(np.zeros((2, 2, 1)))


def test_a_space_of_2_to_the_62_can_be_listed_from_its_beginning():
    wide = SearchSpace(tuple(Integer(name, 0, 2**31 - 1, "1") for name in "ab"))
    assert next(iter(wide.enumerate(chunk=4)))[:, 1].tolist() == [0, 1, 2, 3]
