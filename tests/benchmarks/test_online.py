"""What a decision costs, one by one and vectorised, and what loading a run costs.

Published of DynaSplit (arXiv 2410.23881), quoted and not measured here, on another machine: picking
takes 4.07 ms (VGG16) and 9.21 ms (ViT) in the median, by a linear scan of a data frame; loading and
sorting the front 29.1 s and 4.24 s, by Optuna from SQLite. The peers below run beside ours.
"""

import numpy as np
import optuna
import pytest

from dse.online.policies.bandwidth import Transfers, per_bandwidth
from dse.online.policies.deadline import LeastEnergy
from dse.online.policies.switching_costs import Switching, SwitchingAware
from dse.online.requests import Request, Requests, State, follow
from dse.online.rows import Rows
from dse.online.simulation.outcome_models import AsPriced
from dse.online.simulation.simulator import simulate
from dse.online.trials.evaluator import MeasuredTrials
from dse.online.trials.store import import_trials
from dse.online.trials.table_file import RawTrials, read_layout
from dse.runs.store import read_run

N = 10_000


def front(k):
    rng = np.random.default_rng(k)
    energy, latency = np.sort(rng.uniform(1, 90, k)), np.sort(rng.uniform(0.09, 5.0, k))[::-1]
    return Rows(energy, latency.copy(), np.zeros(k), {"row": np.arange(k)}, np.arange(k),
                   np.ones(k, dtype=bool))  # fmt: skip


def requests():
    return Requests.of(np.random.default_rng(1).uniform(0.1, 5.0, N))


def policies(choices):
    switching = Switching(choices.settings, 0.1, 0.5)
    floors = (1e6, 5e6, 5e7, 6e8)
    bits = np.where(np.arange(len(choices)) % 2 == 0, 0.0, 3e6)
    transfers = Transfers(choices.latency, choices.energy, bits, np.full(len(choices), 2.7))
    return {
        "least energy": LeastEnergy.of(choices),
        "switching": SwitchingAware(choices, switching, 0.05),
        "bandwidth": per_bandwidth(choices, transfers, floors, LeastEnergy.of),
    }


NAMES = ("least energy", "switching", "bandwidth")


@pytest.mark.parametrize("k", [16, 64, 256, 1024])
@pytest.mark.parametrize("name", NAMES)
def test_one_decision(benchmark, k, name):
    policy = policies(front(k))[name]
    asked = [Request(float(d)) for d in requests().deadline[:1000]]
    state = State(k // 2, 3e7)

    def decide():
        for request in asked:
            policy.select(request, state)

    benchmark(decide)
    benchmark.extra_info["microseconds per decision"] = benchmark.stats["median"] * 1e3


@pytest.mark.parametrize("k", [16, 64, 256, 1024])
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_decisions_at_once(benchmark, k, name):
    policy, asked = policies(front(k))[name], requests()
    benchmark(follow, policy, asked)
    benchmark.extra_info["microseconds per decision"] = benchmark.stats["median"] * 1e6 / N


@pytest.mark.parametrize("k", [16, 64, 256, 1024])
def test_peer_the_published_scan_in_python(benchmark, k):
    choices = front(k)
    rows = sorted(zip(choices.energy.tolist(), choices.latency.tolist(), strict=True))
    deadlines = requests().deadline[:1000].tolist()

    def scan():
        for deadline in deadlines:
            next((row for row in rows if row[1] <= deadline), None) or min(
                rows, key=lambda row: row[1]
            )

    benchmark(scan)
    benchmark.extra_info["microseconds per decision"] = benchmark.stats["median"] * 1e3


def test_a_simulation_of_ten_thousand_requests(benchmark):
    choices = front(64)
    policy, switching = LeastEnergy.of(choices), Switching(choices.settings, 0.1, 0.5)
    benchmark(simulate, policy, requests(), AsPriced(choices), switching)


def measured(k):
    rng = np.random.default_rng(0)
    knobs = {"split_layer": np.arange(k)}
    metrics = {"latency": rng.uniform(0.1, 5, k), "energy": rng.uniform(1, 90, k)}
    raw = RawTrials(knobs, metrics, {}, {"split_layer": "layer", "latency": "s", "energy": "J"},
                    np.arange(k), "bench.csv")  # fmt: skip
    return MeasuredTrials.of(raw, {"latency": "min", "energy": "min"})


@pytest.mark.parametrize("k", [55, 734])
def test_load_a_run_and_build_its_policy(benchmark, tmp_path, k):
    """As many trials as the published ViT search and the near-exhaustive VGG16 study."""
    import_trials(measured(k), read_layout(), tmp_path / "run")

    def load():
        run = read_run(tmp_path / "run")
        return LeastEnergy.of(Rows.of(run.question, run.trials))

    assert benchmark(load).levels == (0.0,)


def test_peer_optuna_loads_the_front_of_55_trials_from_sqlite(benchmark, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=url, study_name="s", directions=["minimize"] * 2)
    rng = np.random.default_rng(0)
    scale = optuna.distributions.IntDistribution(0, 54)
    study.add_trials([
        optuna.trial.create_trial(params={"split_layer": i}, distributions={"split_layer": scale},
                                  values=rng.random(2).tolist())
        for i in range(55)
    ])  # fmt: skip

    def load():
        loaded = optuna.load_study(study_name="s", storage=url)
        return sorted(loaded.best_trials, key=lambda trial: trial.values[1])

    assert benchmark.pedantic(load, rounds=5)
