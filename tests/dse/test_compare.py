"""Runs are compared on one reference, and what is new in each is counted right."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.core.problem import Constraint, Objective, judge
from dse.results.attainment import surfaces_of
from dse.results.compare import attained, compared
from dse.runs.run_schema import Quantity, Question
from dse.runs.store import Run

OBJECTIVES = (Objective("energy", "J"), Objective("accuracy", "1", "max"))
LIMITS = (Constraint("energy", "J", 9.0),)


def run_of(name, points, objectives=OBJECTIVES):
    energy, accuracy = np.array(points, dtype=float).reshape(-1, 2).T
    n = len(energy)
    columns = {"energy": energy, "accuracy": accuracy}
    trials = judge(
        objectives, LIMITS, np.arange(float(n))[:, None], {"k": np.arange(n)}, columns, (None,) * n
    )
    quantities = (
        Quantity("k", "1", "knob", "design"),
        Quantity("energy", "J", "metric", None, "closed form"),
        Quantity("accuracy", "1", "metric", None, "closed form"),
    )
    return Run(Path(name), Question("s", "q", quantities, objectives, LIMITS), trials, {})


def test_what_is_kept_new_and_covered_is_counted_by_hand():
    one = run_of("one", [(1, 0.5), (2, 0.8), (8, 0.9)])
    two = run_of("two", [(1, 0.5), (1.5, 0.8), (3, 0.7), (10, 1.0)])
    a, b = compared([one, two])
    assert (a.trials, a.front, a.kept, a.new) == (3, 3, 2, 1)
    assert (b.trials, b.front, b.kept, b.new) == (4, 2, 2, 1)
    assert a.covered == 1 / 2
    assert b.covered == 2 / 3
    # On the scale of the common front: a = (0, 1), (1/7, 1/4), (1, 0); b = (0, 1), (1/14, 1/4).
    assert a.hypervolume == pytest.approx((0.1 * 0.25 + (1.1 - 1 / 7) * 0.75 + 0.11) / 1.21)
    assert b.hypervolume == pytest.approx(((1.1 - 1 / 14) * 0.75 + 0.11) / 1.21)


def test_equal_runs_tie_and_order_does_not_matter():
    points = [(1, 0.5), (2, 0.8)]
    a, b = compared([run_of("a", points), run_of("b", points)])
    assert a.hypervolume == b.hypervolume
    assert (a.new, b.new, a.covered, b.covered) == (0, 0, 1.0, 1.0)
    c, d = compared([run_of("b", points), run_of("a", [(5, 0.4)])])
    d2, c2 = compared([run_of("a", [(5, 0.4)]), run_of("b", points)])
    assert (c, d) == (c2, d2)


def test_a_run_without_a_feasible_trial_has_nothing():
    empty, full = compared([run_of("empty", [(20, 0.5)]), run_of("full", [(1, 0.5)])])
    assert (empty.front, empty.hypervolume, empty.covered) == (0, 0.0, 0.0)
    assert np.isnan(full.covered)


def test_what_cannot_be_compared_is_refused():
    run = run_of("a", [(1, 0.5)])
    with pytest.raises(DseError, match="at least 2"):
        compared([run])
    with pytest.raises(
        DseError, match=r"differ in their objectives: \w+ m\w\w, \w+ m\w\w and \w+ m\w\w$"
    ):
        compared([run, run_of("b", [(1, 0.5)], (OBJECTIVES[0],))])
    with pytest.raises(DseError, match="nothing to compare"):
        compared([run_of("a", [(20, 0.5)]), run_of("b", [(20, 0.5)])])


# -- attainment -----------------------------------------------------------------------------


def seeded(name, points, seed, searcher="nsga2"):
    run = run_of(name, points)
    identified = {"study": {"search": {"searcher": searcher, "seed": seed}}, "facts": {}}
    return replace(run, manifest={"identified_by": identified, "searcher": searcher})


fronts = st.lists(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=5), min_size=1, max_size=5
).filter(any)


@settings(deadline=None)
@given(fronts)
def test_surfaces_are_what_so_many_fronts_attain_by_brute_force(points):
    sets = [np.array(p, dtype=float).reshape(-1, 2) for p in points]
    grid = np.array([(x, y) for x in range(8) for y in range(8)], dtype=float)

    def attained_by(rows):
        return np.array([(rows <= g).all(axis=1).any() if len(rows) else False for g in grid])

    counts = sum(attained_by(rows).astype(int) for rows in sets)
    needed = (1, (len(sets) + 1) // 2, len(sets))
    for surface, k in zip(surfaces_of(sets), needed, strict=True):
        np.testing.assert_array_equal(attained_by(surface), counts >= k)


def below(rows, grid):
    """Points of a grid that some row dominates or equals."""
    return np.array([(rows <= point).all(axis=1).any() for point in grid])


@pytest.mark.parametrize("m", [1, 3])
def test_surfaces_of_one_and_of_three_objectives(m):
    rng = np.random.default_rng(1)
    sets = [rng.integers(0, 5, size=(6, m)).astype(float) for _ in range(3)]
    grid = np.stack(np.meshgrid(*[np.arange(6.0)] * m), axis=-1).reshape(-1, m)
    counts = np.sum([below(rows, grid) for rows in sets], axis=0)
    for surface, k in zip(surfaces_of(sets), (1, 2, 3), strict=True):
        np.testing.assert_array_equal(below(surface, grid), counts >= k)


def test_runs_are_grouped_by_all_but_their_seed():
    runs = [
        seeded("a1", [(1, 0.5), (3, 0.8)], 1),
        seeded("b1", [(1, 0.6)], 1, "random"),
        seeded("a2", [(2, 0.7)], 2),
        run_of("foreign", [(1, 0.9)]),
    ]
    (group,) = attained(runs)
    assert (group.name, group.runs) == ("nsga2", ("a1", "a2"))
    any_, half, every = group.surfaces
    np.testing.assert_array_equal(any_[np.argsort(any_[:, 0])], [[1, -0.5], [2, -0.7], [3, -0.8]])
    np.testing.assert_array_equal(half, any_[np.lexsort(any_.T[::-1])])
    np.testing.assert_array_equal(every[np.argsort(every[:, 0])], [[2, -0.5], [3, -0.7]])
    best, _, worst = group.hypervolumes
    assert best > worst


def test_new_points_are_named_by_their_trials():
    one = run_of("one", [(5, 0.1), (1, 0.5), (2, 0.8)])
    two = run_of("two", [(1, 0.5)])
    first, second = compared([one, two])
    assert first.new_trials == (2,)
    assert second.new_trials == ()


def test_the_command_prints_tables_json_and_a_plot(small_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(small_run.folder, other)
    app = command_line({})
    both = [str(small_run.folder), str(other)]
    shown = CliRunner().invoke(app, ["compare", *both, "--plot", str(tmp_path / "a.png")])
    assert shown.exit_code == 0, shown.output
    assert "covers of the others" in shown.output
    assert (tmp_path / "a.png").stat().st_size > 10_000
    content = json.loads(CliRunner().invoke(app, ["compare", *both, "--format", "json"]).stdout)
    assert [row["new"] for row in content["runs"]] == [0, 0]
    assert content["seeds"] == []
