"""The view of a front: classes, panels, words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dse.core.failure import Failure
from dse.core.problem import Constraint, Objective, judge
from dse.plots.front_view import CLASSES, DRAWN, FrontView, classify
from dse.runs.run_schema import Quantity, Question

ENERGY = Objective("energy", "J")
LATENCY = Objective("latency_p95", "s")
ACCURACY = Objective("accuracy", "1", "max")
AREA = Objective("area", "m^2")
POWER = Objective("power", "W")


BROKEN = Failure("raised", "broken")


def asked(objectives, values, failed=None, limits=(), most=20_000):
    """A view of metric values, shape (n, m), of trials with one knob."""
    n = len(values)
    metrics = {o.name: np.asarray(v) for o, v in zip(objectives, values.T, strict=True)}
    knob = Quantity("vdd", "V", "knob", stage="run")
    rows = [Quantity(o.name, o.unit, "metric", evidence="measured") for o in objectives]
    question = Question("study", "", (knob, *rows), tuple(objectives), tuple(limits))
    failures = tuple(BROKEN if bad else None for bad in (np.zeros(n) if failed is None else failed))
    codes = np.arange(float(n)).reshape(n, 1)
    trials = judge(
        question.objectives, question.constraints, codes, {"vdd": codes[:, 0]}, metrics, failures
    )
    return FrontView.of(question, trials, most=most)


@st.composite
def runs(draw):
    n = draw(st.integers(0, 25))
    values = draw(arrays(np.float64, (n, 2), elements=st.integers(0, 6).map(float)))
    failed = draw(arrays(np.bool_, n))
    return values, failed


@given(runs())
def test_classes_partition_the_trials_as_their_definitions_say(run):
    values, failed = run
    limit = Constraint("latency_p95", "s", 4.0)
    view = asked((ACCURACY, LATENCY), values, failed, (limit,))
    feasible = [i for i in range(len(values)) if not failed[i] and values[i, 1] <= 4.0]
    for i, name in enumerate(view.classes):
        if failed[i]:
            assert name == "failed"
        elif i not in feasible:
            assert name == "infeasible"
        else:
            beaten = any(
                values[k, 0] >= values[i, 0]
                and values[k, 1] <= values[i, 1]
                and tuple(values[k]) != tuple(values[i])
                for k in feasible
            )
            assert name == ("dominated" if beaten else "front")
    drawn = [int(row) for name in DRAWN for row in view.drawn[name]]
    assert sorted(drawn) == [i for i in range(len(values)) if not failed[i]]


@given(runs())
def test_the_border_runs_through_the_front_and_no_feasible_trial_lies_beyond(run):
    values, failed = run
    view = asked((ACCURACY, LATENCY), values, failed)
    border = view.panels[0].border
    front = view.drawn["front"]
    assert (border is None) == (not len(front))
    if border is None:
        return
    panel = view.panels[0]
    corners = {tuple(corner) for corner in border.corners.tolist()}
    for row in front:
        assert (panel.x.values[row], panel.y.values[row]) in corners
    for row in np.flatnonzero(view.trials.feasible):
        reached = border.corners[border.corners[:, 0] <= panel.x.values[row]][:, 1].max()
        assert panel.y.values[row] <= reached


def test_all_four_classes_of_a_real_run_are_told(view, stored_run):
    counts = {name: int((view.classes == name).sum()) for name in CLASSES}
    assert all(counts.values())
    assert sum(counts.values()) == len(stored_run.trials)
    assert view.classes.tolist() == classify(stored_run.question, stored_run.trials).tolist()
    for name in CLASSES:
        assert view.legend(name).startswith(f"{name} ({counts[name]})")


def test_the_facts_tell_counts_evidence_and_limits(view):
    facts = "\n".join(view.facts)
    assert facts.startswith("400 trials: ")
    assert "evidence: accuracy measured; energy closed form; latency p95 closed form" in facts
    assert "limits: latency p95 ≤ 4 ms" in facts
    assert "thinned" not in facts


def test_three_objectives_give_two_panels_with_the_third_as_colour(view):
    left, right = view.panels
    assert (left.x.title, left.y.title) == ("energy [µJ]", "accuracy")
    assert (right.x.title, right.y.title) == ("latency p95 [ms]", "accuracy")
    assert (left.colour.title, right.colour.title) == ("latency p95 [ms]", "energy [µJ]")
    assert left.colour.better == "lower"
    assert left.border is None
    assert [limit.text for limit in right.x.limits] == ["latency p95 ≤ 4 ms"]
    front = view.drawn["front"]
    assert left.colour.low == right.x.values[front].min()
    assert left.colour.high == right.x.values[front].max()


def test_two_objectives_give_one_panel_with_the_border(draw):
    (panel,) = draw(ACCURACY, ENERGY).panels
    assert panel.colour is None
    assert panel.border.label == "attained"
    assert (panel.x.better, panel.y.better) == ("lower", "higher")


def test_one_objective_stands_against_the_trial_number_with_the_best_so_far(draw):
    view = draw(ENERGY)
    (panel,) = view.panels
    assert panel.x.title == "trial"
    heights = panel.border.corners[:, 1]
    assert (np.diff(heights) <= 0).all()
    feasible = np.flatnonzero(view.trials.feasible)
    assert heights[0] == panel.y.values[feasible[0]]
    assert heights[-1] == np.nanmin(panel.y.values[feasible])


def test_four_objectives_give_three_panels_and_five_say_what_is_not_drawn(draw):
    four = draw(ACCURACY, ENERGY, LATENCY, AREA)
    assert [panel.x.title for panel in four.panels] == [
        "energy [µJ]",
        "latency p95 [ms]",
        "area [mm²]",
    ]
    assert not any("not drawn" in fact for fact in four.facts)
    five = draw(ACCURACY, ENERGY, LATENCY, AREA, POWER)
    assert len(five.panels) == 3
    assert five.facts[-1] == "not drawn: accuracy against power; hover and CSV have them"
    assert all(panel.colour is None for panel in five.panels)


@given(st.integers(1, 60), st.integers(2, 20))
def test_thinning_is_said_keeps_the_front_and_is_always_the_same(n, most):
    values = np.stack([np.arange(n) % 7, np.arange(n) % 5 + np.arange(n) % 7], axis=1) * 1.0
    limit = Constraint("latency_p95", "s", 6.0)
    full = asked((ENERGY, LATENCY), values, limits=(limit,))
    thin = asked((ENERGY, LATENCY), values, limits=(limit,), most=most)
    assert thin.drawn["front"].tolist() == full.drawn["front"].tolist()
    for name in ("dominated", "infeasible"):
        count = len(full.drawn[name])
        assert len(thin.drawn[name]) == len(set(thin.drawn[name].tolist())) == min(count, most)
        assert set(thin.drawn[name]) <= set(full.drawn[name])
        said = f"{most} of {count} {name} drawn" in "\n".join(thin.facts)
        assert said == (count > most)
        assert (f"({most} of {count})" in thin.legend(name)) == (count > most)
    again = asked((ENERGY, LATENCY), values, limits=(limit,), most=most)
    assert all(again.drawn[k].tolist() == thin.drawn[k].tolist() for k in DRAWN)


def test_failed_trials_are_counted_with_their_commonest_reasons_first():
    view = asked((ENERGY,), np.ones((6, 1)), np.array([1, 0, 1, 1, 0, 0], dtype=bool))
    assert view.failures == ("failed, not drawn: 3 trials", "3 like trial 0: raised: broken")
    assert view.legend("failed") == "failed (3), listed below"


def test_many_and_long_reasons_are_cut_and_said(stored_run):
    trials = stored_run.trials.rows(np.arange(5))
    reasons = tuple(Failure("raised", text) for text in ("a " * 200, "b", "c", "d", "c"))
    question = stored_run.question
    broken = judge(
        question.objectives,
        question.constraints,
        trials.codes,
        trials.designs,
        trials.metrics,
        reasons,
    )
    lines = FrontView.of(question, broken).failures
    assert lines[1] == "2 like trial 2: raised: c"
    assert lines[2].endswith("…")
    assert len(lines[2]) < 200
    assert lines[-1] == "and 1 more reasons"


def test_a_run_without_feasible_trials_says_so(draw):
    view = draw(ACCURACY, ENERGY, limits=(Constraint("latency_p95", "s", 1e-6),))
    assert "none feasible, front empty" in view.facts[0]
    assert "(not on an axis)" in view.facts[2]
    assert not len(view.drawn["front"])


def test_details_give_number_verdict_and_every_value_with_its_unit(view):
    rows = view.drawn["infeasible"][:3]
    numbers, verdicts, *values = view.details(rows)
    assert numbers == [str(row) for row in rows]
    assert set(verdicts) == {"infeasible: breaks latency p95 ≤ 4 ms"}
    named = dict(zip(view.notations, values, strict=True))
    assert named["vdd"][0].endswith(" mV")
    assert named["weight_bits"][0].endswith(" bit")
    assert named["energy"][0].endswith(" µJ")
    assert named["envm_cell"][0] == view.trials.designs["envm_cell"][rows[0]]


def test_handles_are_not_shown_as_values():
    names = ("archive", "energy")
    quantities = (Quantity("archive", "handle", "metric"), Quantity("energy", "J", "metric"))
    question = Question("s", "", quantities, (ENERGY,), ())
    metrics = {"archive": np.array(["0f3c"]), "energy": np.array([1.0])}
    trials = judge((ENERGY,), (), np.empty((1, 0)), {}, metrics, (None,))
    assert list(FrontView.of(question, trials).notations) == [names[1]]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_axes_show_values_not_losses(direction):
    view = asked((Objective("energy", "J", direction),), np.array([[1.0], [3.0]]))
    assert view.panels[0].y.values.tolist() == [1.0, 3.0]
    assert view.drawn["front"].tolist() == ([0] if direction == "min" else [1])
