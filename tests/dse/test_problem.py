"""The handshake shows both sides; what is not a finite number never passes the gate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import CompositionError
from dse.core.failure import Failure
from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.problem import Constraint, Objective, Problem, judge
from dse.core.signature import Cost, Label, Signature
from dse.core.space import ActiveWhen, Columns, SearchSpace
from dse.pareto.dominance import non_dominated
from dse.search.loop import explore
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.optuna_search import Tpe
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.random_search import RandomSearch

SPACE = SearchSpace((Ordinal("vdd", (0.5, 0.6, 0.7), "V"), Integer("bits", 1, 4, "bit")))


def plain(columns):
    vdd, bits = columns["vdd"], columns["bits"]
    return {"energy": vdd**2 * bits, "delay": 1 / (vdd * bits), "tag": bits.astype(str)}


@dataclass(frozen=True)
class Model:
    inputs: Mapping[str, str] = field(default_factory=lambda: {"vdd": "V", "bits": "bit"})
    outputs: Mapping[str, str] = field(
        default_factory=lambda: {"energy": "J", "delay": "s", "tag": "handle"}
    )
    evidence: Mapping[str, Label] = field(
        default_factory=lambda: dict.fromkeys(("energy", "delay", "tag"), "closed form")
    )
    cost: Cost = "closed form"
    answer: Callable[[Columns], Columns] = plain

    @property
    def signature(self):
        return Signature(self.inputs, self.outputs, self.evidence, self.cost)

    def __call__(self, columns):
        return self.answer(columns)


OBJECTIVES = (Objective("energy", "J"), Objective("delay", "s", "max"))
CONSTRAINTS = (Constraint("delay", "s", 1.5), Constraint("energy", "J", 0.3, "min"))


def problem(model=None, objectives=OBJECTIVES, constraints=CONSTRAINTS, space=SPACE):
    return Problem(space, model or Model(), objectives, constraints)


def all_codes(space=SPACE):
    return np.concatenate(list(space.enumerate()))


# -- handshake ------------------------------------------------------------------------------

MISFITS = {
    r"Model reads vdd \[V\]; the space has bits": lambda: problem(
        space=SearchSpace((Integer("bits", 1, 4, "bit"),))
    ),
    "vdd is declared in mV; columns are in SI units, here V": lambda: problem(
        space=SearchSpace((Integer("vdd", 500, 700, "mV"), Integer("bits", 1, 4, "bit")))
    ),
    "no evaluator reads spare": lambda: problem(
        space=SearchSpace((*SPACE.parameters, Integer("spare", 1, 2, "1")))
    ),
    "at least one objective": lambda: problem(objectives=()),
    "objective speed: no evaluator gives it; there are energy, delay": lambda: problem(
        objectives=(Objective("speed", "1"),)
    ),
    "constraint speed: no evaluator gives it": lambda: problem(
        constraints=(Constraint("speed", "1", 1.0),)
    ),
    "objective energy is in mJ, the evaluators give it in J": lambda: problem(
        objectives=(Objective("energy", "mJ"),)
    ),
    "constraint delay is in ms, the evaluators give it in s": lambda: problem(
        constraints=(Constraint("delay", "ms", 1.0),)
    ),
    "bound inf is not finite": lambda: Constraint("delay", "s", float("inf")),
    "bound nan is not finite": lambda: Constraint("delay", "s", float("nan")),
    "objective tag is a handle": lambda: problem(objectives=(Objective("tag", "handle"),)),
    "constraint tag is a handle": lambda: problem(constraints=(Constraint("tag", "handle", 1.0),)),
    "direction 'minimize' is not one of min, max": lambda: Objective("energy", "J", "minimize"),  # type: ignore[arg-type]
    "side 'upper' is not one of max, min": lambda: Constraint("delay", "s", 1.0, "upper"),  # type: ignore[arg-type]
    "objective energy stands twice": lambda: problem(
        objectives=(Objective("energy", "J"), Objective("energy", "J", "max"))
    ),
    "Model gives no evidence for tag": lambda: problem(
        Model(evidence={"energy": "published", "delay": "published"})
    ),
    "evidence 'guessed' of energy is not one of measured": lambda: problem(
        Model(evidence=dict.fromkeys(("energy", "delay", "tag"), "guessed"))  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("message", MISFITS)
def test_a_misfit_is_refused_and_shows_both_sides(message):
    with pytest.raises(CompositionError, match=message):
        MISFITS[message]()


def test_a_knob_that_only_switches_others_is_not_idle():
    space = SearchSpace(
        (Categorical("scale", ("fixed", "free")), *SPACE.parameters),
        (ActiveWhen("vdd", "scale", ("free",), 0.6),),
    )
    assert len(problem(space=space).evaluate(all_codes(space))) == 16


# -- signs and bounds -----------------------------------------------------------------------


def test_max_is_flipped_once_and_bounds_are_kept():
    trials = problem().evaluate(all_codes())
    np.testing.assert_array_equal(trials.losses[:, 0], trials.metrics["energy"])
    np.testing.assert_array_equal(trials.losses[:, 1], -trials.metrics["delay"])
    np.testing.assert_array_equal(trials.violations[:, 0], trials.metrics["delay"] - 1.5)
    np.testing.assert_array_equal(trials.violations[:, 1], 0.3 - trials.metrics["energy"])
    kept = (trials.metrics["delay"] <= 1.5) & (trials.metrics["energy"] >= 0.3)
    np.testing.assert_array_equal(trials.feasible, kept)
    assert 0 < kept.sum() < len(trials)


def test_the_bound_itself_is_allowed():
    for side in ("max", "min"):
        assert Constraint("x", "1", 0.1, side).violation(np.array([0.1])) == 0.0


def test_without_constraints_every_good_row_is_feasible():
    trials = problem(constraints=()).evaluate(all_codes())
    assert trials.violations.shape == (12, 0)
    assert trials.feasible.all()


@given(st.lists(st.integers(0, 11), max_size=12))
def test_a_batch_of_designs_equals_its_designs(index):
    whole = problem().evaluate(all_codes())
    some = problem().evaluate(all_codes()[index].reshape(-1, 2))
    assert len(some) == len(index)
    np.testing.assert_array_equal(some.losses, whole.losses[index].reshape(-1, 2))
    np.testing.assert_array_equal(some.feasible, whole.feasible[index])


def test_a_design_succeeded_failed_or_was_stopped_early_and_only_one_of_them():
    failures = (None, Failure("stopped early", "after 100"), Failure("raised", "failed"), None)
    losses = np.array([1.0, 0.5, 0.5, 2.0])  # the first stands at its bound
    x = (Objective("x", "1"),)
    trials = judge(x, (Constraint("x", "1", 1.0),), losses[:, None], {}, {"x": losses}, failures)
    said = {"ok": [1, 0, 0, 1], "stopped": [0, 1, 0, 0], "failed": [0, 0, 1, 0],
            "feasible": [1, 0, 0, 0]}  # fmt: skip
    for name, expected in said.items():
        found = getattr(trials, name)
        assert found.dtype == np.bool_
        assert found.tolist() == [bool(one) for one in expected], name
    assert np.isnan(trials.losses[[1, 2]]).all()
    assert np.isnan(trials.violations[[1, 2]]).all()
    assert trials.losses[[0, 3], 0].tolist() == [1.0, 2.0]


def test_rows_are_taken_by_mask_and_by_index():
    trials = problem().evaluate(all_codes())
    by_mask = trials.rows(trials.feasible)
    by_index = trials.rows(np.flatnonzero(trials.feasible))
    np.testing.assert_array_equal(by_mask.codes, by_index.codes)
    assert len(trials.rows(np.zeros(12, dtype=bool))) == 0
    assert trials.rows(np.array([3, 1])).failures == (None, None)


# -- the gate -------------------------------------------------------------------------------

STRANGE = {
    "nan": float("nan"),
    "inf": float("inf"),
    "minus inf": -float("inf"),
    "numpy nan": np.float32("nan"),
    "none": None,
    "truth": True,
    "numpy truth": np.bool_(True),
    "complex": 1 + 0j,
    "text": "1.5",
    "text nan": "nan",
    "bytes": b"1.5",
    "0-d array": np.array(1.0),
    "pair": (1.0, 2.0),
}


def strange_at(column, value):
    """A model that is well but for one column at bits = 3."""

    def answer(columns):
        outputs = dict(plain(columns))
        bad = columns["bits"] == 3
        if isinstance(value, (float, np.floating)):
            outputs[column] = np.where(bad, value, outputs[column])
        elif len(bad) == 1 and bad[0]:
            outputs[column] = value if isinstance(value, np.ndarray) else np.array([value])
        elif bad.any():
            mixed = outputs[column].astype(object)
            for row in np.flatnonzero(bad):
                mixed[row] = value
            outputs[column] = mixed
        return outputs

    return Model(answer=answer)


@pytest.mark.parametrize("column", ["energy", "delay"])
@pytest.mark.parametrize("what", STRANGE)
def test_only_the_row_with_the_strange_value_fails_and_names_the_column(what, column):
    trials = problem(strange_at(column, STRANGE[what])).evaluate(all_codes())
    at = trials.designs["bits"] == 3
    np.testing.assert_array_equal(~trials.ok, at)
    for row in np.flatnonzero(at):
        assert column in trials.failures[row].reason
        assert np.isnan(trials.losses[row]).all()
        assert np.isnan(trials.violations[row]).all()
        assert not trials.feasible[row]
    assert np.isfinite(trials.losses[~at]).all()
    assert np.isfinite(trials.violations[~at]).all()


def test_a_batch_of_the_wrong_length_fails_with_the_columns_name():
    def answer(columns):
        outputs = dict(plain(columns))
        if (columns["bits"] == 3).any():
            outputs["delay"] = np.append(outputs["delay"], 1.0)
        return outputs

    trials = problem(Model(answer=answer)).evaluate(all_codes())
    assert sorted(set(trials.designs["bits"][~trials.ok])) == [3]
    assert all("delay" in trials.failures[row].reason for row in np.flatnonzero(~trials.ok))


def test_a_column_that_is_only_reported_is_gated_as_well():
    trials = problem(
        strange_at("delay", float("inf")), objectives=OBJECTIVES[:1], constraints=()
    ).evaluate(all_codes())
    assert set(trials.designs["bits"][~trials.ok]) == {3}


def test_a_violation_that_overflows_fails_its_row():
    def answer(columns):
        return {**plain(columns), "delay": np.full(len(columns["bits"]), 1.5e308)}

    trials = problem(
        Model(answer=answer), constraints=(Constraint("delay", "s", -1e308),)
    ).evaluate(all_codes())
    assert not trials.ok.any()
    assert {why.kind for why in trials.failures} == {"not finite"}
    assert "delay" in trials.failures[0].reason


class Watched:
    """Passes everything on and looks at what the searcher is told."""

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True

    def __init__(self, searcher):
        self.searcher = searcher
        self.problem, self.batch = searcher.problem, searcher.batch
        self.told = 0

    def ask(self, n=None):
        return self.searcher.ask(n)

    def tell(self, answers):
        good = answers.ok
        assert np.isfinite(answers.losses[good]).all()
        assert np.isfinite(answers.violations[good]).all()
        assert np.isnan(answers.losses[~good]).all()
        self.told += 1
        self.searcher.tell(answers)

    def learn(self, codes, answers):
        self.searcher.learn(codes, answers)


SEARCHERS: dict[str, type] = {
    "random": RandomSearch,
    "exhaustive": Exhaustive,
    "nsga2": Nsga2,
    "tpe": Tpe,
}


@pytest.mark.parametrize("column", ["energy", "delay"])
@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("name", SEARCHERS)
def test_no_searcher_and_no_front_ever_sees_it(name, what, column):
    asked = problem(strange_at(column, STRANGE[what]))
    searcher = Watched(SEARCHERS[name](asked, seed=1, batch=5))
    found = explore(asked, searcher, budget=10)
    assert searcher.told
    trials = found.trials
    assert not trials.ok.all()  # three of twelve designs fail: ten cannot miss them
    np.testing.assert_array_equal(~trials.ok, trials.designs["bits"] == 3)
    assert non_dominated(trials.losses[trials.feasible]).any()


def test_judging_stored_columns_gives_the_same_trials():
    trials = problem(strange_at("energy", float("nan"))).evaluate(all_codes())
    again = judge(
        OBJECTIVES,
        CONSTRAINTS,
        trials.codes,
        trials.designs,
        trials.metrics,
        trials.failures,
    )
    np.testing.assert_array_equal(again.losses, trials.losses)
    np.testing.assert_array_equal(again.violations, trials.violations)
    assert replace(OBJECTIVES[1], direction="min").sign == 1.0
