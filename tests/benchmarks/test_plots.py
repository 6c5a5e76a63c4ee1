"""A front of 100,000 designs and 4 objectives: brushed, found among as many trials, and drawn.

Workload: points on an octant of a sphere, none of which dominates another; brushes on all four
objectives that leave 27 %. The peer of brushing is `pandas.DataFrame.query` with the same
limits; the peer of finding the front is Optuna's own filter.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from dse.core.problem import Objective, judge
from dse.pareto.dominance import non_dominated
from dse.plots.parallel import parallel_figure
from dse.plots.parallel_view import ParallelView
from dse.results.front import Front
from dse.runs.run_schema import Quantity, Question

N, M = 100_000, 4
NAMES = ("accuracy_loss", "energy", "latency", "area")
UNITS = ("1", "J", "s", "m^2")


@pytest.fixture(scope="module")
def front():
    rng = np.random.default_rng(0)
    points = np.abs(rng.normal(size=(N, M)))
    points = 1.0 - points / np.linalg.norm(points, axis=1)[:, None]
    vdd = rng.uniform(0.5, 0.8, N)
    objectives = tuple(Objective(*pair) for pair in zip(NAMES, UNITS, strict=True))
    quantities = (
        Quantity("vdd", "V", "knob", stage="run"),
        *(
            Quantity(n, u, "metric", evidence="unverified")
            for n, u in zip(NAMES, UNITS, strict=True)
        ),
    )
    question = Question("benchmark", "", quantities, objectives, ())
    trials = judge(
        objectives,
        (),
        vdd[:, None],
        {"vdd": vdd},
        dict(zip(NAMES, points.T, strict=True)),
        (None,) * N,
    )
    return Front(question, trials, np.arange(N))


@pytest.fixture(scope="module")
def limits():
    return {name: (0.1, 0.8) for name in NAMES}


def test_brush_of_select(benchmark, front, limits):
    chosen = benchmark(front.select, limits)
    assert 0.01 * N < len(chosen) < 0.9 * N


def test_brush_of_figure(benchmark, front, limits):
    view = ParallelView.of(front)
    figure = parallel_figure(view, limits)
    chosen = benchmark(view.chosen, figure)
    assert len(chosen) == len(front.select(limits))


def test_brush_of_pandas(benchmark, front, limits):
    frame = pd.DataFrame({**front.trials.designs, **front.trials.metrics})
    text = " and ".join(f"{low} <= {name} <= {high}" for name, (low, high) in limits.items())
    chosen = benchmark(frame.query, text)
    assert len(chosen) == len(front.select(limits))


@pytest.fixture(scope="module")
def cloud():
    """As many trials, few of them on the front: a cube, evenly filled."""
    return np.random.default_rng(1).random((N, M))


def test_front_of_ours(benchmark, cloud):
    kept = benchmark(non_dominated, cloud)
    assert 100 < kept.sum() < N / 10


def test_front_of_optuna(benchmark, cloud):
    from optuna.study._multi_objective import _is_pareto_front

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = benchmark.pedantic(_is_pareto_front, (cloud, False), rounds=2)
    assert kept.sum() == non_dominated(cloud).sum()


def test_parallel_figure(benchmark, front):
    figure = benchmark.pedantic(parallel_figure, (ParallelView.of(front),), rounds=3)
    page = figure.to_html(include_plotlyjs=True)
    benchmark.extra_info["page_megabytes"] = len(page.encode()) / 1e6
    assert len(page) < 25e6
