"""The search table in small: problems are the published ones, and the grey box has not got worse.

The whole table is a campaign of hours: `search_table.py`; its results lie beside it.
"""

import numpy as np
import pytest
import search_table
from problems import accel3, cim4, mixp2
from problems.enumerable import Frame, exact_front, levels_of

PUBLISHED = {
    # Front vectors, ideal, nadir, hypervolume; and two designs by id with losses and violations.
    "accel3": (
        1806,
        (-1.0016324, -0.8200508, 0.0858083),
        (-0.0675906, 0.8651524, 0.8160453),
        1.0329705,
    ),
    "cim4": (
        2400,
        (3.9627911, 0.4554174, -0.5121448, 0.0743851),
        (4.9360684, 1.6930774, 0.7768416, 0.4498864),
        0.4980759,
    ),
    "mixp2": (84, (-0.2000464, -1.2352971), (1.0108070, -0.0798312), 0.7555297),
}
SEEDS = (1, 2, 3)
BUDGETS = (50, 100)
LOST = 0.02
"""Of the median hypervolume in the committed table, with the same seeds."""


@pytest.fixture(scope="module")
def frames():
    return {name: Frame(exact_front(make())) for name, make in search_table.PROBLEMS.items()}


def test_exact_fronts_are_the_published_ones(benchmark, frames):
    for name, (vectors, ideal, nadir, volume) in PUBLISHED.items():
        assert len(frames[name].front) == vectors
        np.testing.assert_allclose(frames[name].ideal, ideal, atol=6e-8)
        np.testing.assert_allclose(frames[name].nadir, nadir, atol=6e-8)
        assert frames[name].whole == pytest.approx(volume, abs=6e-8)
    benchmark(frames["mixp2"].share, frames["mixp2"].front)


@pytest.mark.parametrize(
    ("problem", "levels", "losses", "violations"),
    [
        (
            accel3.problem(),
            levels_of([12345, 314159], [p.count for p in accel3.SPACE.parameters]),
            [(-0.0850026, 1.3415758, 0.0958211), (-0.3219346, 0.7260563, 0.0858083)],
            [(), ()],
        ),
        (
            cim4.problem(),
            cim4.canonical_levels(levels_of([12345, 691199], cim4.COUNTS)),
            [
                (4.0996588, 0.5124999, 0.6428994, 0.5552712),
                (4.3327678, 0.8139448, 1.1286740, 0.5073431),
            ],
            [(-1.6056014, 0.1052712), (7.4485034, 0.0573431)],
        ),
        (
            mixp2.problem(),
            levels_of([12345, 411771], [7] * 7),
            [(0.1915199, -0.1855594), (0.7419617, -1.1787037)],
            [(), ()],
        ),
        (
            accel3.problem10(),
            levels_of([500_000_000, 928_972_799], [p.count for p in accel3.SPACE10.parameters]),
            [
                (2.5597009e-4, 5.0278954e-4, 0.3620079),
                (3.5945924e-4, 2.9999676e-3, 0.2818083),
            ],
            [(), ()],
        ),
    ],
)
def test_formulas_give_the_published_values(benchmark, problem, levels, losses, violations):
    trials = benchmark(problem.evaluate, levels.astype(float))
    np.testing.assert_allclose(trials.losses, losses, atol=6e-8)
    np.testing.assert_allclose(trials.violations, violations, atol=6e-8)


def recorded(name, budget):
    """Median share in the committed table."""
    lines = search_table.read(search_table.RESULTS)
    shares = [
        line["share"][str(budget)]
        for line in lines
        if (line["problem"], line["engine"]) == (name, "grey_box") and line["seed"] in SEEDS
    ]
    assert len(shares) == len(SEEDS), f"{name}: the table has {len(shares)} of {len(SEEDS)} seeds"
    return float(np.median(shares))


@pytest.mark.parametrize("name", list(search_table.PROBLEMS))
def test_the_grey_box_at_50_and_100_runs_has_not_got_worse(benchmark, frames, name):
    # As in the table: a search that stops at 100 runs has not proposed what the last of them gave.
    engine = search_table.Engine(search_table.ours("grey_box", 64), 10**6, runs=102)

    def shares():
        found = []
        for seed in SEEDS:
            problem = search_table.PROBLEMS[name]()
            log, runs, *_ = search_table.search(problem, engine.make(problem, seed), engine)
            curve = log.curve(frames[name], runs)
            found.append([curve[budget - 1] for budget in BUDGETS])
        return np.median(found, axis=0)

    medians = benchmark.pedantic(shares, rounds=1)
    benchmark.extra_info["hypervolume"] = dict(zip(BUDGETS, medians.tolist(), strict=True))
    for budget, median in zip(BUDGETS, medians, strict=True):
        assert median > recorded(name, budget) - LOST
