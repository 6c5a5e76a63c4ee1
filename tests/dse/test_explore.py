"""The loop spends exactly its budget, never pays twice, and knows when to stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from dse.core.errors import CompositionError, DseError, SpaceError
from dse.core.failure import Failure
from dse.core.parameters import Categorical, Integer
from dse.core.problem import Constraint, Objective, Problem, Trials
from dse.core.signature import Cost, Label, Signature
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from dse.search.loop import IDLE, explore
from dse.search.termination import Plateau
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.optuna_search import Tpe
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.random_search import RandomSearch
from dse.searchers.searcher import BatchSearcher, Searcher

SPACE = SearchSpace((Integer("a", 0, 9, "1"), Integer("b", 0, 9, "1")))


@dataclass(frozen=True)
class Counted:
    """Two sums; fails the first `failing` rows it is ever asked for, and keeps every row."""

    failing: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)
    inputs: Mapping[str, str] = field(default_factory=lambda: {"a": "1", "b": "1"})
    outputs: Mapping[str, str] = field(default_factory=lambda: {"up": "1", "down": "1"})
    evidence: Mapping[str, Label] = field(
        default_factory=lambda: {"up": "closed form", "down": "closed form"}
    )
    cost: Cost = "closed form"

    @property
    def signature(self):
        return Signature(self.inputs, self.outputs, self.evidence, self.cost)

    def __call__(self, columns):
        a, b = columns["a"], columns["b"]
        if len(a) == 1:
            self.seen.append((int(a[0]), int(b[0])))
            if len(self.seen) <= self.failing:
                raise ValueError("not yet")
        elif self.failing:
            raise ValueError("one at a time")
        else:
            self.seen.extend(zip(a.tolist(), b.tolist(), strict=True))
        return {"up": a + 0.5 * b, "down": -a + 0.1 * b}


def changed(problem, **parts):
    """The problem with some of its parts exchanged."""
    whole = {"space": problem.space, "evaluator": problem.evaluator}
    whole |= {"objectives": problem.objectives, "constraints": problem.constraints, **parts}
    return Problem(whole.pop("space"), **whole)


def counted_problem(failing=0, space=SPACE):
    return Problem(space, Counted(failing), (Objective("up", "1"), Objective("down", "1")))


class Scripted(BatchSearcher):
    """Proposes given batches, over and over, and keeps what it is told."""

    def __init__(self, *batches, problem=None):
        super().__init__(problem or counted_problem(), 7)
        self.batches = [np.array(batch, dtype=float) for batch in batches]
        self.asked, self.told, self.learnt = 0, [], []

    def _propose(self, n):  # noqa: ARG002
        self.asked += 1
        return self.batches[(self.asked - 1) % len(self.batches)]

    def _told(self, codes, answers):  # noqa: ARG002
        self.told.append(answers)

    def _learnt(self, codes, answers):  # noqa: ARG002
        self.learnt.append(codes.tolist())


NOTHING = np.empty((0, 2))
"""An opening without designs."""

SEARCHERS: dict[str, Callable[[Problem], Searcher]] = {
    "random": partial(RandomSearch, seed=5, batch=7),
    "exhaustive": partial(Exhaustive, batch=7),
    "nsga2": partial(Nsga2, seed=5, batch=7),
    "tpe": partial(Tpe, seed=5, batch=7),
}


@pytest.mark.parametrize("budget", [1, 7, 10])
@pytest.mark.parametrize("name", SEARCHERS)
def test_the_budget_is_spent_exactly_and_no_design_twice(name, budget):
    problem = counted_problem()
    batches: list[Trials] = []
    found = explore(problem, SEARCHERS[name](problem), budget=budget, on_batch=batches.append)
    assert found.ending == "budget"
    assert len(found.trials) == budget == len(problem.evaluator.seen)
    assert len(set(problem.evaluator.seen)) == budget
    assert sum(len(batch) for batch in batches) == budget
    np.testing.assert_array_equal(np.concatenate([t.codes for t in batches]), found.trials.codes)


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_small_space_ends_the_search_when_it_is_known(name):
    space = SearchSpace((Integer("a", 0, 1, "1"), Integer("b", 0, 2, "1")))
    problem = counted_problem(space=space)
    found = explore(problem, SEARCHERS[name](problem), budget=1000)
    assert found.ending == "exhausted"
    assert len(found.trials) == 6


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_failed_first_generation_does_not_end_the_search(name):
    problem = counted_problem(failing=7)
    found = explore(problem, SEARCHERS[name](problem), budget=30, opening=NOTHING)
    assert len(found.trials) == 30
    assert 7 <= (~found.trials.ok).sum() < 30
    assert found.trials.ok[-1]


def test_repeats_are_answered_from_memory_and_cost_nothing():
    problem = counted_problem()
    searcher = Scripted([[1, 1], [1, 1], [2, 0]], [[2, 0], [1, 1], [0, 3]], [[5, 5]])
    found = explore(problem, searcher, budget=4, opening=NOTHING)
    assert problem.evaluator.seen == [(1, 1), (2, 0), (0, 3), (5, 5)]
    assert found.repeats == 3
    first, second = searcher.told
    assert first.losses.tolist() == [[1.5, -0.9], [1.5, -0.9], [2.0, -2.0]]
    assert second.losses.tolist() == [[2.0, -2.0], [1.5, -0.9], [1.5, 3 * 0.1]]
    assert first.violations.shape == (3, 0)


def test_a_failed_design_is_remembered_as_failed():
    problem = counted_problem(failing=1)
    searcher = Scripted([[1, 1], [2, 0]], [[1, 1]], [[3, 3]])
    found = explore(problem, searcher, budget=3, opening=NOTHING)
    assert found.trials.failures[0] == Failure("raised", "ValueError: not yet")
    assert searcher.told[0].ok.tolist() == [False, True]
    assert searcher.told[1].ok.tolist() == [False]
    assert np.isnan(searcher.told[1].losses).all()


def test_designs_that_differ_only_where_they_are_inactive_are_one():
    space = SearchSpace(
        (Integer("a", 0, 1, "1"), Integer("b", 0, 2, "1")), (ActiveWhen("b", "a", (1,), 0),)
    )
    problem = counted_problem(space=space)
    searcher = Scripted([[0, 0], [0, 1], [0, 2], [1, 0]], [[1, 1], [1, 2]], problem=problem)
    found = explore(problem, searcher, budget=10, opening=NOTHING)
    assert found.ending == "exhausted"
    assert found.trials.codes.tolist() == [[0, -1], [1, 0], [1, 1], [1, 2]]


def test_a_batch_that_the_budget_cuts_is_not_told():
    searcher = Scripted([[0, 0], [1, 0], [2, 0]])
    found = explore(counted_problem(), searcher, budget=2, opening=NOTHING)
    assert found.trials.codes.tolist() == [[0, 0], [1, 0]]
    assert searcher.told == []


@pytest.mark.parametrize("rule", ["counting", "plateau"])
@pytest.mark.parametrize("name", ["random", "exhaustive"])
def test_a_batch_that_the_budget_cuts_says_nothing_to_the_rule_that_ends(name, rule):
    """So that an exploration that grows ends where one that was asked for more at once does."""

    def ending_rule():
        if rule == "plateau":
            return Plateau(gain=0.9999, trials=1)  # ends at the second batch of which it is told
        return lambda trials: "few" if len(trials) < 7 else ""

    def explored(budget, known=None):
        problem = counted_problem()
        return explore(
            problem,
            SEARCHERS[name](problem),
            budget=budget,
            opening=NOTHING,
            known=known,
            enough=ending_rule(),
        )

    for budget in (3, 10, 13):
        cut = explored(budget)
        assert (cut.ending, cut.why, len(cut.trials)) == ("budget", "", budget)
        grown, whole = explored(40, cut.trials), explored(40)
        assert (grown.ending, grown.why) == (whole.ending, whole.why)
        assert_same_trials(grown.trials, whole.trials)
    assert (whole.ending, len(whole.trials)) == (
        ("plateau", 14) if rule == "plateau" else ("budget", 40)
    )


def test_a_searcher_without_new_ideas_is_stopped():
    searcher = Scripted([[0, 0]])
    found = explore(counted_problem(), searcher, budget=2, opening=NOTHING)
    assert found.ending == "nothing new"
    assert len(found.trials) == 1
    assert searcher.asked == IDLE + 1
    assert found.repeats == IDLE


def test_a_searcher_without_proposals_is_exhausted():
    found = explore(counted_problem(), Scripted(NOTHING), budget=2, opening=NOTHING)
    assert found.ending == "exhausted"
    assert len(found.trials) == 0
    assert found.trials.losses.shape == (0, 2)


def test_a_searcher_that_proposes_what_is_forbidden_is_found_out():
    space = SearchSpace(SPACE.parameters, (), (Forbidden({"a": (1,)}, "odd"),))
    problem = counted_problem(space=space)
    with pytest.raises(SpaceError, match="Scripted proposed the forbidden design a = 1, b = 2"):
        explore(problem, Scripted([[0, 0], [1, 2]], problem=problem), budget=9)


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget):
    with pytest.raises(DseError, match=f"trials = {budget}"):
        explore(counted_problem(), Exhaustive(counted_problem()), budget=budget)


def test_batches_and_budgets_of_hundreds_end_as_small_ones_do():
    space = SearchSpace((Integer("a", 0, 19, "1"), Integer("b", 0, 19, "1")))
    problem = counted_problem(space=space)

    def explored(**how):
        return explore(problem, Exhaustive(problem, batch=300), opening=NOTHING, **how)

    found = explored(budget=300)
    assert (found.ending, len(found.trials)) == ("budget", 300)
    found = explored(budget=400, enough=lambda trials: f"{len(trials)} are enough")
    assert (found.ending, found.why) == ("plateau", "300 are enough")
    seen: list[Trials] = []
    for given in (None, found.trials):
        again = explored(budget=300, known=found.trials, given=given, on_batch=seen.append)
        assert_same_trials(again.trials, found.trials)
    assert seen == []


def test_an_onlooker_sees_new_trials_before_the_searcher_does():
    events = []

    class Told(Scripted):
        def _told(self, codes, answers):  # noqa: ARG002
            events.append(("told", len(answers)))

    explore(
        counted_problem(),
        Told([[0, 0], [0, 0]], [[1, 1]], [[2, 2]]),
        budget=3,
        opening=NOTHING,
        on_batch=lambda trials: events.append(("seen", len(trials))),
    )
    assert events == [("seen", 1), ("told", 2), ("seen", 1), ("told", 1), ("seen", 1)]


def test_text_columns_of_all_batches_become_one():
    space = SearchSpace((Categorical("a", ("x", "long")), Integer("b", 0, 1, "1")))

    @dataclass(frozen=True)
    class Tagged(Counted):
        def __call__(self, columns):
            return {"up": columns["b"] * 1.0, "down": columns["a"].copy()}

    evaluator = Tagged(inputs={"a": "choice", "b": "1"}, outputs={"up": "1", "down": "handle"})
    problem = Problem(space, evaluator, (Objective("up", "1"),))
    found = explore(
        problem, Scripted([[0, 0]], [[1, 0]], problem=problem), budget=2, opening=NOTHING
    )
    assert found.trials.metrics["down"].tolist() == ["x", "long"]


# -- going on -------------------------------------------------------------------------------

TIED = SearchSpace(
    (Categorical("a", ("x", "y", "z")), Integer("b", 0, 9, "1"), Integer("c", 1, 4, "1")),
    (ActiveWhen("c", "a", ("y", "z"), 1),),
    (Forbidden({"a": ("z",), "b": (7, 8)}, "too wide"),),
)


@dataclass(frozen=True)
class Awkward:
    """Two objectives, a limit, a text column, and rows that fail."""

    asked: list[int] = field(default_factory=list)
    inputs: Mapping[str, str] = field(default_factory=lambda: {"a": "choice", "b": "1", "c": "1"})
    outputs: Mapping[str, str] = field(
        default_factory=lambda: {"up": "1", "down": "1", "tag": "handle"}
    )
    evidence: Mapping[str, Label] = field(
        default_factory=lambda: dict.fromkeys(("up", "down", "tag"), "closed form")
    )
    cost: Cost = "closed form"

    @property
    def signature(self):
        return Signature(self.inputs, self.outputs, self.evidence, self.cost)

    def __call__(self, columns):
        b, c = columns["b"], columns["c"]
        if ((b == 3) & (c == 2)).any():
            raise ValueError("b = 3 has no c = 2")
        self.asked.append(len(b))
        up = np.sin(b) / c
        return {"up": up, "down": (b - 4.5) ** 2 * c, "tag": np.char.add(columns["a"], "!")}


def awkward_problem():
    objectives = (Objective("up", "1"), Objective("down", "1", "max"))
    return Problem(TIED, Awkward(), objectives, (Constraint("up", "1", 0.8),))


REPLAYED: dict[str, Callable[[], Searcher]] = {
    "random": lambda: RandomSearch(awkward_problem(), seed=5, batch=7),
    "exhaustive": lambda: Exhaustive(awkward_problem(), batch=7),
    "nsga2": lambda: Nsga2(awkward_problem(), seed=5, batch=8),
    "tpe": lambda: Tpe(awkward_problem(), seed=5, batch=7),
}


def assert_same_trials(one, other):
    for left, right in [
        (one.codes, other.codes),
        (one.losses, other.losses),
        (one.violations, other.violations),
    ]:
        assert left.tobytes() == right.tobytes()
    assert one.failures == other.failures
    good = one.ok
    for columns, others in [(one.designs, other.designs), (one.metrics, other.metrics)]:
        assert list(columns) == list(others)
        for name in columns:
            assert columns[name][good].tolist() == others[name][good].tolist()


@pytest.mark.parametrize("stop", [1, 6, 7, 8, 19, 29, 30])
@pytest.mark.parametrize("name", REPLAYED)
def test_a_stopped_search_goes_on_to_the_same_trials_bit_for_bit(name, stop):
    whole = explore(awkward_problem(), REPLAYED[name](), budget=30)
    first = explore(awkward_problem(), REPLAYED[name](), budget=stop)
    problem = awkward_problem()
    seen: list[Trials] = []
    again = explore(problem, REPLAYED[name](), budget=30, on_batch=seen.append, known=first.trials)
    assert_same_trials(again.trials, whole.trials)
    assert again.ending == whole.ending
    assert again.repeats == whole.repeats
    new = sum(len(batch) for batch in seen)
    assert new == len(whole.trials) - len(first.trials)
    assert (whole.trials.ok.sum() - first.trials.ok.sum()) == sum(problem.evaluator.asked)
    if new:
        np.testing.assert_array_equal(
            np.concatenate([t.codes for t in seen]), whole.trials.codes[stop:]
        )


def test_a_last_batch_that_is_known_in_part_is_completed_in_its_order():
    batches: list[Trials] = []
    whole = explore(
        awkward_problem(),
        REPLAYED["nsga2"](),
        budget=40,
        opening=NOTHING,
        on_batch=batches.append,
    ).trials
    first, second = len(batches[0]), len(batches[1])
    assert first > 2
    assert second > 2
    stored = np.r_[np.arange(first), first + np.arange(1, second, 2)]
    seen: list[Trials] = []
    again = explore(
        awkward_problem(),
        REPLAYED["nsga2"](),
        budget=40,
        opening=NOTHING,
        on_batch=seen.append,
        known=whole.rows(stored),
    )
    assert_same_trials(again.trials, whole)
    np.testing.assert_array_equal(seen[0].codes, batches[1].codes[::2])


@pytest.mark.parametrize("lent", [slice(None), slice(0, 8), slice(3, 40, 2), slice(50, None)])
def test_what_somebody_else_evaluated_is_new_but_not_evaluated(lent):
    whole = explore(awkward_problem(), REPLAYED["nsga2"](), budget=30).trials
    others = explore(awkward_problem(), Exhaustive(awkward_problem()), budget=200).trials
    given = others.rows(np.arange(len(others))[lent])
    seen: list[Trials] = []
    problem = awkward_problem()
    found = explore(problem, REPLAYED["nsga2"](), budget=30, given=given, on_batch=seen.append)
    assert_same_trials(found.trials, whole)
    assert sum(len(trials) for trials in seen) == 30
    theirs = {code.tobytes() for code in TIED.canonical(given.codes)}
    own = [code.tobytes() not in theirs for code in TIED.canonical(whole.codes)]
    assert sum(problem.evaluator.asked) == (whole.ok & np.array(own)).sum()


def test_an_ended_search_ends_again_and_evaluates_nothing():
    space = SearchSpace((Integer("a", 0, 1, "1"), Integer("b", 0, 2, "1")))
    problem = counted_problem(space=space)
    found = explore(problem, SEARCHERS["random"](problem), budget=1000)
    problem = counted_problem(space=space)
    again = explore(problem, SEARCHERS["random"](problem), budget=1000, known=found.trials)
    assert again.ending == "exhausted"
    assert problem.evaluator.seen == []


def test_known_trials_of_another_search_are_refused_before_anything_is_paid_for():
    problem = counted_problem()
    other = explore(problem, RandomSearch(problem, seed=6, batch=7), budget=14)
    problem = counted_problem()
    with pytest.raises(DseError, match="another way than before"):
        explore(problem, RandomSearch(problem, seed=5, batch=7), budget=30, known=other.trials)
    assert problem.evaluator.seen == []


# -- openings -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_ends_of_the_space_open_a_search_unless_they_are_turned_off(name):
    problem = counted_problem()
    found = explore(problem, SEARCHERS[name](problem), budget=30)
    assert found.trials.codes[:2].tolist() == [[0, 0], [9, 9]]
    off = explore(problem, SEARCHERS[name](problem), budget=30, opening=NOTHING)
    alone = SEARCHERS[name](problem).ask()
    np.testing.assert_array_equal(off.trials.codes[: len(alone)], alone)


def test_an_opening_is_learnt_a_batch_at_a_time_and_its_designs_once():
    """Repeats in it are left out; the budget may end it."""
    opening = np.array([[a, 0] for a in range(9)] + [[0, 0]], dtype=float)
    batches: list[int] = []
    for budget, sizes in [(10, [7, 2, 1]), (8, [7, 1]), (3, [3])]:
        searcher = Scripted([[5, 5]])
        found = explore(
            counted_problem(),
            searcher,
            budget=budget,
            opening=opening,
            on_batch=lambda trials: batches.append(len(trials)),
        )
        assert (batches, found.ending, len(found.trials)) == (sizes, "budget", budget)
        assert found.trials.codes[:, 0].tolist() == [*range(9), 5][:budget]
        batches.clear()
    searcher = Scripted([[5, 5]])
    explore(counted_problem(), searcher, budget=10, opening=opening)
    assert searcher.learnt == [opening[:7].tolist(), opening[7:9].tolist()]


def test_an_opening_that_does_not_exist_is_refused_before_anything_is_evaluated():
    space = SearchSpace(SPACE.parameters, (), (Forbidden({"a": (1,)}, "odd"),))
    problem = counted_problem(space=space)
    for opening, said in [
        ([[0.0, 0.0], [1.0, 2.0]], "the opening holds the forbidden design a = 1, b = 2"),
        ([[0.0, 0.0, 0.0]], r"the opening holds codes of shape \(1, 3\); the problem has 2 knobs"),
    ]:
        with pytest.raises(SpaceError, match=said):
            explore(problem, Exhaustive(problem), budget=5, opening=np.array(opening))
    assert problem.evaluator.seen == []


# -- a searcher of another problem ----------------------------------------------------------


def test_a_searcher_that_was_made_for_another_problem_is_refused_with_both_sides_named():
    asked = counted_problem()
    others = {
        r"The searcher has 1 objective \(up\), the problem 2 objectives \(up, down\)": changed(
            asked, objectives=asked.objectives[:1]
        ),
        r"The searcher has 1 constraint \(up\), the problem 0 constraints": changed(
            asked, constraints=(Constraint("up", "1", 3.0),)
        ),
        r"direction='max'\) against Objective\(.*direction='min'": changed(
            asked, objectives=(asked.objectives[0], Objective("down", "1", "max"))
        ),
        r"Integer\(name='b', low=0, high=8.* against Integer\(name='b', low=0, high=9": (
            counted_problem(space=SearchSpace((Integer("a", 0, 9, "1"), Integer("b", 0, 8, "1"))))
        ),
    }
    for said, other in others.items():
        with pytest.raises(CompositionError, match=f"Exhaustive was made for another.*{said}"):
            explore(asked, Exhaustive(other), budget=5)
    assert asked.evaluator.seen == []


def test_a_searcher_whose_rows_have_another_number_of_knobs_is_refused():
    said = r"Scripted proposed codes of shape \(1, 3\); the problem has 2 knobs \(a, b\)"
    with pytest.raises(SpaceError, match=said):
        explore(counted_problem(), Scripted([[0, 0, 0]]), budget=5)


def test_who_evaluates_does_not_matter_to_a_searcher():
    """An equal problem with an evaluator of its own is explored."""
    found = explore(counted_problem(), Exhaustive(counted_problem(failing=3)), budget=5)
    assert found.trials.ok.all()
