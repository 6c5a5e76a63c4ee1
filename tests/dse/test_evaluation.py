"""Wrappers keep the evaluator's laws: a batch equals its rows, and a bad row fails alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import CompositionError, DseError, EvaluationError, RowsFailed
from dse.core.evaluation import (
    Cached,
    Chain,
    Counted,
    InBatches,
    evaluate_rows,
    unanswered,
)
from dse.core.failure import Failure, one_line
from dse.core.signature import Cost, Label, Signature
from dse.core.space import Columns, join, length, take
from dse.testing.contracts import EvaluatorContract, Inverse, WorkersContract, assert_same_columns
from dse.workers.serial import Serial
from dse.workers.workers import Spread


@dataclass(frozen=True)
class Stage:
    """Any function of columns as an evaluator; notes the rows of each call."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    answer: Callable[[Columns], Columns]
    evidence: Mapping[str, Label] = field(default_factory=dict)
    cost: Cost = "closed form"
    calls: list[int] = field(default_factory=list)

    @property
    def signature(self):
        return Signature(self.inputs, self.outputs, self.evidence, self.cost)

    def __call__(self, columns):
        self.calls.append(len(next(iter(columns.values()))))
        return self.answer(columns)


def root(columns):
    x = columns["x"]
    if (x < 0).any():
        raise ValueError(f"x = {x.min()} is below 0, the limit of the root")
    return {"root": np.sqrt(x), "tag": np.char.add("row", x.astype(int).astype(str))}


def root_stage(cost: Cost = "closed form"):
    outputs = {"root": "1", "tag": "handle"}
    return Stage({"x": "1"}, outputs, root, {"root": "measured", "tag": "measured"}, cost)


def half_stage(unit="1", **more):
    def halve(columns):
        if (columns["root"] > 9).any():
            raise ValueError("root above 9, the limit of the table")
        return {"half": columns["root"] / 2}

    return Stage(
        {"root": unit, "tag": "handle"}, {"half": "1"}, halve, {"half": "closed form"}, **more
    )


def failing(evaluator, xs):
    with pytest.raises(RowsFailed) as caught:
        evaluate_rows(evaluator, {"x": np.array(xs, dtype=float)})
    return caught.value


# -- the plain call -------------------------------------------------------------------------


@given(st.lists(st.sampled_from([-1.0, 0.0, 4.0, 9.0]), min_size=1, max_size=40))
def test_halving_fails_exactly_the_bad_rows(xs):
    stage, bad = root_stage(), [i for i, x in enumerate(xs) if x < 0]
    if not bad:
        answers = evaluate_rows(stage, {"x": np.array(xs)})
        np.testing.assert_array_equal(answers["root"], np.sqrt(xs))
        assert stage.calls == [len(xs)]
        return
    error = failing(stage, xs)
    assert sorted(error.reasons) == bad
    assert all("x = -1.0 is below 0" in why.reason for why in error.reasons.values())
    good = [i for i, x in enumerate(xs) if x >= 0]
    assert len(error.columns["root"]) == len(xs)
    np.testing.assert_array_equal(error.columns["root"][good], np.sqrt(np.array(xs)[good]))
    # Each bad row costs at most two calls per halving.
    assert len(stage.calls) <= 1 + 2 * len(bad) * int(np.ceil(np.log2(len(xs)) + 1))


def test_an_exit_inside_an_evaluator_is_a_failed_row_and_an_interrupt_is_not():
    def leave(_):
        raise SystemExit(3)

    def interrupt(_):
        raise KeyboardInterrupt

    error = failing(Stage({"x": "1"}, {"y": "1"}, leave), [1.0, 2.0])
    assert error.reasons == dict.fromkeys((0, 1), Failure("raised", "SystemExit: 3"))
    with pytest.raises(KeyboardInterrupt):
        evaluate_rows(Stage({"x": "1"}, {"y": "1"}, interrupt), {"x": np.zeros(2)})


def test_no_rows_need_no_call():
    def never(_):
        raise ValueError("nothing here")

    nothing = {"x": np.empty(0)}
    stage = Stage({"x": "1"}, {"y": "1"}, never, {"y": "measured"})
    cached, spread = Cached(stage), Spread(stage, Serial())
    for evaluator in (stage, Chain((stage,)), cached, InBatches(stage, 2), spread):
        assert evaluate_rows(evaluator, nothing)["y"].shape == (0,)
    assert cached(nothing)["y"].shape == spread(nothing)["y"].shape == (0,)
    assert stage.calls == []


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a column is missing": (lambda _: {}, "gave the columns"),
    "a column is too many": (lambda x: {"y": x, "z": x}, "gave the columns"),
    "too short": (lambda x: {"y": np.resize(x, len(x) - 1)}, "y with shape"),
    "too long": (lambda x: {"y": np.resize(x, len(x) + 1)}, "y with shape"),
    "two-dimensional": (lambda x: {"y": x[:, None]}, "y with shape"),
    "a single number": (lambda _: {"y": np.float64(1.0)}, "y as float64"),
    "a 0-d array": (lambda _: {"y": np.array(1.0)}, "y with shape"),
    "complex": (lambda x: {"y": x + 1j}, "y [1] as complex128"),
    "truth values": (lambda x: {"y": x > 0}, "y [1] as bool"),
    "nothing": (lambda x: {"y": np.array([None] * len(x))}, "y [1] as object"),
    "text": (lambda x: {"y": x.astype(str)}, "y [1] as <U"),
    "bytes": (lambda x: {"y": x.astype(bytes)}, "y [1] as |S"),
    "times": (lambda x: {"y": x.astype("datetime64[s]")}, "y [1] as datetime"),
    "masked": (lambda x: {"y": np.ma.masked_less(x, 9)}, "y as MaskedArray"),
    "a list": (lambda x: {"y": x.tolist()}, "y as list"),
    "no mapping": (lambda _: None, "TypeError"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_answer_that_breaks_the_declaration_fails_with_the_name(what):
    answer, message = BROKEN[what]
    stage = Stage({"x": "1"}, {"y": "1"}, lambda columns: answer(columns["x"]))
    error = failing(stage, [1.0, 2.0, 3.0])
    assert sorted(error.reasons) == [0, 1, 2]
    assert message in error.reasons[0].reason
    assert {why.kind for why in error.reasons.values()} == {"not as declared"}


def test_numbers_where_text_is_declared_are_refused():
    stage = Stage({"x": "1"}, {"y": "handle"}, lambda columns: {"y": columns["x"]})
    assert "y [handle] as float64" in failing(stage, [1.0]).reasons[0].reason


@pytest.mark.parametrize("strange", [None, "x", 1j])
def test_one_strange_value_fails_its_row_alone(strange):
    def answer(columns):
        return {"y": np.array([strange if x == 2 else float(x) for x in columns["x"]])}

    error = failing(Stage({"x": "1"}, {"y": "1"}, answer), [1.0, 2.0, 3.0, 4.0])
    assert sorted(error.reasons) == [1]
    assert error.columns["y"][[0, 2, 3]].tolist() == [1.0, 3.0, 4.0]


def test_failures_that_travel_are_checked_like_answers():
    def answer(columns):
        if (columns["x"] == 1).any():
            raise RowsFailed({0: "bad"}, {"y": columns["x"] + 1j})
        return {"y": columns["x"]}

    error = failing(Stage({"x": "1"}, {"y": "1"}, answer), [1.0, 2.0])
    assert error.reasons == {0: Failure("raised", "bad")}
    assert error.columns["y"].dtype == np.float64


def test_a_failure_without_a_reason_is_a_failure():
    def answer(columns):
        raise RowsFailed({0: ""}, {"y": columns["x"]})

    error = failing(Stage({"x": "1"}, {"y": "1"}, answer), [1.0, 2.0])
    assert error.reasons == {0: Failure("raised", "no reason given")}


def test_a_row_number_that_does_not_exist_is_refused():
    def answer(columns):
        raise RowsFailed({5: "bad"}, {"y": columns["x"]})

    error = failing(Stage({"x": "1"}, {"y": "1"}, answer), [1.0, 2.0])
    assert sorted(error.reasons) == [0, 1]
    assert "row 5" in error.reasons[0].reason


def test_a_column_that_nobody_gives_is_named():
    with pytest.raises(EvaluationError, match="Stage reads x; there are y"):
        evaluate_rows(root_stage(), {"y": np.zeros(2)})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(EvaluationError, match="one length"):
        length({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(EvaluationError, match="shape"):
        length({"a": np.zeros((2, 1))})
    with pytest.raises(EvaluationError, match="shape"):
        length({})


def test_an_evaluator_cannot_change_its_callers_columns():
    def spoil(columns):
        columns["x"][:] = 7.0
        return {"y": columns["x"]}

    columns = {"x": np.array([1.0, 2.0])}
    evaluate_rows(Stage({"x": "1"}, {"y": "1"}, spoil), columns)
    assert columns["x"].tolist() == [1.0, 2.0]


def test_a_reason_is_one_line():
    assert one_line(ValueError("two\n  lines")) == "ValueError: two lines"


def test_taking_and_joining_are_inverse():
    columns = {"x": np.arange(5.0), "tag": np.array(list("abcde"))}
    parts: list[Columns] = [take(columns, np.arange(2)), take(columns, np.arange(2, 5))]
    assert_same_columns(join(parts), columns)


# -- chain ----------------------------------------------------------------------------------


def test_a_chain_reads_the_knobs_and_gives_every_column():
    chain = Chain((root_stage(cost="measured"), half_stage()))
    assert chain.signature.inputs == {"x": "1"}
    assert chain.signature.outputs == {"root": "1", "tag": "handle", "half": "1"}
    assert chain.signature.cost == "measured"
    assert Chain((half_stage(),)).signature.cost == "closed form"
    assert chain({"x": np.array([16.0]), "other": np.array([1])})["half"].tolist() == [2.0]


def test_evidence_is_that_of_the_weakest_column_behind():
    def stage(reads, gives, label):
        return Stage({reads: "1"}, {gives: "1"}, lambda c: c, {gives: label})

    chain = Chain(
        (
            stage("x", "a", "measured"),
            stage("a", "b", "closed form"),
            stage("x", "u", "unverified"),
            stage("u", "v", "measured"),
            stage("v", "w", "published"),
            stage("b", "m", "measured"),
        )
    )
    assert chain.signature.evidence == {
        "a": "measured",
        "b": "closed form",
        "u": "unverified",
        "v": "unverified",
        "w": "unverified",
        "m": "measured",
    }


def test_stages_that_disagree_about_a_unit_are_refused_with_both_sides():
    with pytest.raises(CompositionError, match="root: Stage reads it in V, Stage has it in 1"):
        Chain((root_stage(), half_stage(unit="V")))
    in_volts = Stage({"x": "V"}, {"y": "1"}, root, {"y": "measured"})
    with pytest.raises(CompositionError, match="x: Stage reads it in V, Stage has it in 1"):
        Chain((root_stage(), in_volts))


def test_a_column_has_one_giver_and_is_given_before_it_is_read():
    with pytest.raises(CompositionError, match="root"):
        Chain((root_stage(), root_stage()))
    with pytest.raises(CompositionError, match="root: Stage gives it, but Stage has it before"):
        Chain((half_stage(), root_stage()))
    with pytest.raises(CompositionError, match="x"):
        Chain((Stage({"x": "1"}, {"x": "1"}, root, {"x": "measured"}),))


def test_a_label_that_does_not_exist_is_passed_on_as_the_weakest():
    guess = Stage({"x": "1"}, {"a": "1"}, root, {"a": "guessed"})  # type: ignore[dict-item]
    after = Stage({"a": "1"}, {"b": "1"}, root, {"b": "unverified"})
    assert Chain((guess, after)).signature.evidence == {"a": "guessed", "b": "guessed"}


def test_a_chain_without_stages_is_refused():
    with pytest.raises(CompositionError, match="at least one"):
        Chain(())


def test_a_row_that_failed_is_not_sent_on():
    second = half_stage()
    chain = Chain((root_stage(), second))
    error = failing(chain, [4.0, -1.0, 100.0, 16.0, -1.0])
    assert sorted(error.reasons) == [1, 2, 4]
    assert "limit of the table" in error.reasons[2].reason
    assert error.columns["half"][[0, 3]].tolist() == [1.0, 2.0]
    assert error.columns["tag"][[0, 3]].tolist() == ["row4", "row16"]
    assert second.calls[0] == 3
    assert sorted(failing(chain, [-1.0, -4.0]).reasons) == [0, 1]


# -- cached ---------------------------------------------------------------------------------


def test_only_distinct_projections_reach_the_evaluator():
    inner = root_stage()
    cached = Cached(inner)
    columns = {"x": np.array([4.0, 9.0, 4.0, 4.0]), "other": np.arange(4)}
    assert evaluate_rows(cached, columns)["root"].tolist() == [2.0, 3.0, 2.0, 2.0]
    assert cached({"x": np.array([9.0, 16.0, 4.0])})["tag"].tolist() == ["row9", "row16", "row4"]
    assert inner.calls == [2, 1]
    assert len(cached) == 3


def test_keys_tell_values_apart_and_not_the_padding_of_strings():
    def count(columns):
        pairs = zip(columns["a"], columns["b"], strict=True)
        return {"n": np.array([len(a) * 100 + len(b) for a, b in pairs])}

    inner = Stage({"a": "choice", "b": "choice"}, {"n": "1"}, count)
    cached = Cached(inner)
    pairs = {"a": np.array(["x", "x, y", "x"]), "b": np.array(["y, z", "z", "yyyyyyyy"])}
    assert cached(pairs)["n"].tolist() == [104, 401, 108]
    assert len(cached) == 3
    assert cached({"a": np.array(["x"]), "b": np.array(["y, z"])})["n"].tolist() == [104]
    assert inner.calls == [3]


def test_a_failed_row_is_not_remembered():
    inner = root_stage()
    cached = Cached(inner)
    first = failing(cached, [4.0, -1.0, -1.0, 9.0])
    assert sorted(first.reasons) == [1, 2]
    assert first.columns["root"][[0, 3]].tolist() == [2.0, 3.0]
    assert len(cached) == 2
    inner.calls.clear()
    assert sorted(failing(cached, [-1.0, 4.0]).reasons) == [0]
    assert inner.calls == [1]
    assert sorted(failing(cached, [-1.0]).reasons) == [0]


@given(st.lists(st.lists(st.integers(-2, 5), min_size=1, max_size=8), max_size=5))
def test_a_cache_changes_no_answer(batches):
    plain, cached = root_stage(), Cached(root_stage())
    for batch in batches:
        columns = {"x": np.array(batch, dtype=float)}
        answers: list[Columns] = []
        reasons: list[Mapping[int, Failure]] = []
        for evaluator in (plain, cached):
            try:
                answers.append(evaluate_rows(evaluator, columns))
                reasons.append({})
            except RowsFailed as error:
                answers.append(error.columns)
                reasons.append(error.reasons)
        assert reasons[0] == reasons[1]
        good = np.array([row for row in range(len(batch)) if row not in reasons[0]], dtype=int)
        if len(good):
            assert_same_columns(take(answers[0], good), take(answers[1], good))


# -- batches --------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([-1.0, 1.0, 4.0, 9.0]), min_size=1, max_size=30), st.integers(1, 7))
def test_batches_keep_the_numbers_of_their_rows(xs, rows):
    bad = [i for i, x in enumerate(xs) if x < 0]
    batches = InBatches(Chain((root_stage(),)), rows)
    if not bad:
        assert batches({"x": np.array(xs)})["root"].tolist() == np.sqrt(xs).tolist()
        return
    with pytest.raises(RowsFailed) as caught:
        batches({"x": np.array(xs)})
    assert sorted(caught.value.reasons) == bad
    good = [i for i, x in enumerate(xs) if x >= 0]
    np.testing.assert_array_equal(caught.value.columns["root"][good], np.sqrt(np.array(xs)[good]))


def test_a_batch_that_raises_costs_the_other_batches_nothing():
    inner = root_stage()
    error = failing(InBatches(inner, 2), [1.0, 4.0, -1.0, 9.0, 16.0, 25.0])
    assert sorted(error.reasons) == [2]
    assert error.columns["root"][[0, 1, 3, 4, 5]].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert inner.calls == [2, 2, 1, 1, 2]


def test_whole_numbers_stay_whole_beside_a_batch_that_failed():
    big = 2**53 + 1

    def answer(columns):
        if (columns["x"] < 0).any():
            raise ValueError("x is negative")
        return {"y": np.full(len(columns["x"]), big)}

    batches = InBatches(Cached(Stage({"x": "1"}, {"y": "1"}, answer)), 2)
    error = failing(batches, [-1.0, -1.0, 1.0])
    assert error.columns["y"].dtype == np.int64
    assert error.columns["y"][2] == big


def test_no_call_has_more_rows_than_allowed():
    inner = root_stage()
    InBatches(inner, 3)({"x": np.arange(8.0)})
    assert inner.calls == [3, 3, 2]


@pytest.mark.parametrize("rows", [0, -1])
def test_batches_without_rows_are_refused(rows):
    with pytest.raises(CompositionError, match=f"rows = {rows}"):
        InBatches(root_stage(), rows)


# -- wrapped evaluators are evaluators ------------------------------------------------------


class InverseContract(EvaluatorContract):
    def columns(self):
        return {
            "x": np.array([0.1, 3.0, -7.0, 1e-300]),
            "name": np.array(["a", "bb", "ccc", "a"]),
        }


class TestInverse(InverseContract):
    def evaluator(self):
        return Inverse()


class TestChain(InverseContract):
    def evaluator(self):
        return Chain((Inverse(),))


class TestCached(InverseContract):
    def evaluator(self):
        return Cached(Inverse())


class TestInBatches(InverseContract):
    def evaluator(self):
        return InBatches(Inverse(), 3)


class TestSpread(InverseContract):
    def evaluator(self):
        return Spread(Inverse(), Serial())


class TestSerialInside(WorkersContract):
    def workers(self):
        return Serial()


def test_all_wrappers_together_change_no_answer():
    columns = {
        "x": np.array([4.0, 0.0, 5.0, 4.0, 0.0, 8.0]),
        "name": np.array(list("ababab")),
    }
    tower = InBatches(Cached(Chain((Spread(Inverse(), Serial()),))), 4)
    errors = []
    for evaluator in (Inverse(), tower):
        with pytest.raises(RowsFailed) as caught:
            evaluate_rows(evaluator, columns)
        errors.append(caught.value)
    assert errors[0].reasons == errors[1].reasons
    good = np.array([0, 2, 3, 5])
    assert_same_columns(take(errors[0].columns, good), take(errors[1].columns, good))


def test_failures_say_how_many_there_are():
    error = RowsFailed({3: "this", 1: "that"}, {})
    assert str(error) == "row 1: that (and 1 more)"
    assert isinstance(error, DseError)


def test_rows_without_an_answer_hold_nan_and_empty_texts():
    given = unanswered(Stage({}, {"energy": "J", "tag": "handle"}, dict), 2)
    assert np.isnan(given["energy"]).all()
    assert given["tag"].tolist() == ["", ""]


def test_a_row_that_fails_in_a_part_of_a_batch_is_named_by_its_place_in_the_whole():
    def answer(columns):
        x = columns["x"]
        if len(x) > 2:
            raise ValueError("too many at a time")
        bad = np.flatnonzero(x == 2)
        if len(bad):
            raise RowsFailed({int(row): "it is two" for row in bad}, {"y": x})
        return {"y": x}

    with pytest.raises(RowsFailed) as failed:
        evaluate_rows(Stage({"x": "1"}, {"y": "1"}, answer), {"x": np.array([0.0, 1.0, 2.0])})
    assert failed.value.reasons == {2: Failure("raised", "it is two")}


def test_a_strange_row_number_is_told_with_the_rows_that_there_are():
    def answer(columns):
        raise RowsFailed({7: "?"}, dict(columns))

    with pytest.raises(RowsFailed) as failed:
        evaluate_rows(Stage({"x": "1"}, {"x": "1"}, answer), {"x": np.array([1.0])})
    assert "row 7 failed; the batch has rows 0 to 0" in failed.value.reasons[0].reason


def test_equal_units_need_not_be_one_object():
    unit = "".join(["laye", "r"])
    first = Stage({"x": "1"}, {"y": "layer"}, dict)
    assert Chain((first, Stage({"y": unit}, {"z": "1"}, dict))).signature.inputs == {"x": "1"}


def test_a_counter_counts_what_was_made_and_what_was_there_each_once():
    there = {"a"}

    def answer(columns):
        there.update(columns["x"].tolist())
        return {"y": columns["x"]}

    def exist(handles):
        return np.array([handle in there for handle in handles.tolist()], dtype=bool)

    stage = Stage({"x": "choice"}, {"y": "handle"}, answer, cost="measured")
    counted = Counted(stage, lambda columns: columns["x"], exist)
    counted({"x": np.array(["a", "b"])})
    assert counted.counts() == (1, 1)
    counted({"x": np.array(["b", "c", "a"])})
    assert counted.counts() == (2, 1)
    assert counted.signature is not None
    assert counted.signature.cost == "measured"
    assert len({counted, Counted(stage, counted.handles, exist)}) == 2
