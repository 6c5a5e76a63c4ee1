"""How much of a second worker real accuracy runs get: 1 is all of it.

    python -m pytest tests/benchmarks/test_parallel.py -s

Real forward passes of a real network over real sentences, one thread each, networks loaded before
the clock starts. Serial, pool and Ray in one run; each pass is of a network that no other had.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.cache import cache_root
from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.networks.training import trained_network
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import nothing

PASSES = 8
ROUNDS = 3
SENTENCES = 60


@pytest.fixture(scope="module")
def run():
    cache = cache_root()
    fetch_task("rt-sentiment", cache)
    trained = trained_network("minilm-l6", "rt-sentiment", "small", cache)
    return AccuracyRun(trained, "rt-sentiment", cache, sentences=SENTENCES)


def rows(run, first, count):
    """Passes of networks pruned by ratios that nobody ever asked for: no archive is there."""
    ratios = 0.3 + 1e-9 * (time.time_ns() % 10**7) + 1e-4 * (first + np.arange(count))
    plain = {"1": 8.0, "bit": 8.0}
    found = []
    for ratio in ratios:
        row = {
            name: np.array([plain.get(unit, 0.0)]) for name, unit in run.signature.inputs.items()
        }
        found.append({**row, "pruning_ratio": np.array([ratio])})
    return found


def seconds(run, workers, count, place):
    """Of all passes, once every worker has its network."""
    with workers:
        warm = workers.map(run, rows(run, 1000 + place, count), nothing)
        assert all(outcome.columns for outcome in warm), warm[0].failure
        began = time.perf_counter()
        outcomes = workers.map(run, rows(run, place, PASSES), nothing)
        elapsed = time.perf_counter() - began
    assert all(outcome.columns for outcome in outcomes)
    return elapsed


def test_two_workers_are_worth_most_of_two(run):
    """The least of several rounds: what else the machine did in the others is not ours."""
    contenders: dict[str, tuple[Callable[[], Any], int]] = {
        "serial": (Serial, 1),
        "pool": (partial(ProcessPool, 2), 2),
        "ray": (partial(RayWorkers, 2), 2),
    }
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS):
        for place, (name, (workers, count)) in enumerate(contenders.items()):
            first = 100 * place + 10 * number
            took[name].append(seconds(run, workers(), count, first))
    found = {"passes": PASSES, **{f"{name}_s": min(times) for name, times in took.items()}}
    for name in ("pool", "ray"):
        found[f"{name}_efficiency"] = found["serial_s"] / (2 * found[f"{name}_s"])
    sys.stdout.write(json.dumps({k: round(v, 3) for k, v in found.items()}) + "\n")
    # The target is 0.9; on two processors, what else runs there takes more from two than from one.
    assert found["pool_efficiency"] > 0.7
    assert found["ray_efficiency"] > 0.7
