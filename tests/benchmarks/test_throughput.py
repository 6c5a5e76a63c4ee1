"""Trials per second, stored for good, beside bare Optuna (memory, SQLite, journal) and bare pymoo.

    python -m pytest tests/benchmarks/test_throughput.py --benchmark-disable -s

One process, one problem, one disk, one run. Each figure is a ratio to a peer of the same run; the
absolute ones, printed as one line of JSON, are this machine's.
"""

import json
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem as PymooProblem
from pymoo.optimize import minimize

from dse.core.evaluation import Chain
from dse.core.parameters import Ordinal
from dse.core.problem import Objective, Problem
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, read_run
from dse.search.loop import explore
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.random_search import RandomSearch

KNOBS = 6
LEVELS = 40
BATCH = 100


@dataclass(frozen=True)
class Zdt:
    """ZDT1's two objectives over six knobs."""

    signature: ClassVar[Signature] = Signature(
        {f"x{i}": "1" for i in range(KNOBS)},
        {"f1": "1", "f2": "1"},
        {"f1": "closed form", "f2": "closed form"},
    )

    def __call__(self, columns: Columns) -> Columns:
        f1, f2 = zdt(np.stack([columns[f"x{i}"] for i in range(KNOBS)], axis=1))
        return {"f1": f1, "f2": f2}


def zdt(x):
    g = 1 + 9 * x[:, 1:].mean(axis=1)
    return x[:, 0], g * (1 - np.sqrt(x[:, 0] / g))


def problem():
    levels = tuple(np.linspace(0, 1, LEVELS).tolist())
    space = SearchSpace(tuple(Ordinal(f"x{i}", levels, "1") for i in range(KNOBS)))
    return Problem(space, Chain((Zdt(),)), (Objective("f1", "1"), Objective("f2", "1")))


def ours(folder, searcher, trials, writer_seconds=None):
    """Seconds for so many trials, each on the disk before the searcher learns of it."""
    asked = problem()
    question = Question.of("zdt", "How fast?", asked)
    began = time.perf_counter()
    with RunWriter(folder, question, study_text="", resolved="", manifest={}) as writer:

        def store(batch):
            start = time.perf_counter()
            writer.add(batch)
            if writer_seconds is not None:
                writer_seconds.append(time.perf_counter() - start)

        explore(asked, searcher(asked, seed=1, batch=BATCH), budget=trials, on_batch=store)
        writer.finish("budget", {"trials": trials})
    seconds = time.perf_counter() - began
    assert len(read_run(folder).trials) == trials
    return seconds


def bare_optuna(storage, trials):
    """Seconds of Optuna's random sampler, the cheapest that it has, on a storage of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=optuna.samplers.RandomSampler(1), storage=storage
    )

    def objective(trial):
        codes = [trial.suggest_int(f"x{i}", 0, LEVELS - 1) for i in range(KNOBS)]
        f1, f2 = zdt(np.array([codes]) / (LEVELS - 1))
        return f1[0], f2[0]

    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return time.perf_counter() - began


class _Bare(PymooProblem):
    def __init__(self):
        super().__init__(n_var=KNOBS, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *_, **__):
        out["F"] = np.stack(zdt(x), axis=1)


def bare_pymoo(trials):
    """Seconds of pymoo's own loop, nothing stored."""
    began = time.perf_counter()
    minimize(_Bare(), NSGA2(pop_size=BATCH), ("n_eval", trials), seed=1, verbose=False)
    return time.perf_counter() - began


@pytest.fixture(scope="module")
def per_trial(tmp_path_factory):
    """Milliseconds a trial of each contender."""
    tmp = tmp_path_factory.mktemp("throughput")
    stored: list[float] = []
    trials = 5000
    journal = optuna.storages.JournalStorage(JournalFileBackend(str(tmp / "journal")))
    found = {
        "ours, random, durable": ours(tmp / "random", RandomSearch, trials, stored) / trials,
        "ours, store alone": sum(stored) / trials,
        "ours, nsga2, durable": ours(tmp / "nsga2", Nsga2, trials) / trials,
        "bare pymoo nsga2": bare_pymoo(trials) / trials,
        "bare optuna, memory": bare_optuna(None, 1000) / 1000,
        "bare optuna, sqlite": bare_optuna(f"sqlite:///{tmp / 'optuna.db'}", 40) / 40,
        "bare optuna, journal": bare_optuna(journal, 100) / 100,
    }
    per_second = {name: round(1 / seconds) for name, seconds in found.items()}
    found = {name: round(1000 * seconds, 4) for name, seconds in found.items()}
    sys.stdout.write(json.dumps({"ms a trial": found, "trials a second": per_second}) + "\n")
    return found


def test_storing_a_trial_for_good_costs_a_fraction_of_optunas_memory(per_trial):
    """R11 asks for 1 ms; Optuna's trial in memory, never stored, takes about that."""
    assert per_trial["ours, store alone"] <= per_trial["bare optuna, memory"]


def test_a_durable_trial_is_20_times_as_fast_as_optunas_durable_one(per_trial):
    durable = per_trial["ours, random, durable"]
    assert 20 * durable <= per_trial["bare optuna, sqlite"]
    assert 20 * durable <= per_trial["bare optuna, journal"]


def test_a_durable_nsga2_is_not_far_from_a_bare_one(per_trial):
    """Proposals on levels, without repeats, judged, stored and synced."""
    assert per_trial["ours, nsga2, durable"] <= 8 * per_trial["bare pymoo nsga2"]
