"""Simulation: closed forms, the queue against a loop, the same luck for all, and the command."""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.online.policies.bandwidth import Transfers
from dse.online.policies.deadline import Fixed, LeastEnergy
from dse.online.policies.policy_set import NAMES
from dse.online.policies.switching_costs import Switching
from dse.online.requests import UNSET, Requests, State
from dse.online.rows import Rows
from dse.online.simulation.outcome_models import AsPriced, AtBandwidth, Drawn, Noisy
from dse.online.simulation.simulation_setup import SimulationConfig, SimulationSetup
from dse.online.simulation.simulator import hopeless, simulate, waiting
from dse.online.simulation.workloads import published_deadlines
from dse.online.trials.store import Measurements
from dse.runs.store import read_run
from studies.dynasplit.system import SYSTEM

LAW = settings(max_examples=40, deadline=None)


def choices_of(energy, latency):
    k = len(energy)
    return Rows(np.array(energy), np.array(latency), np.zeros(k), {"row": np.arange(k)},
                   np.arange(k), np.ones(k, dtype=bool))  # fmt: skip


THREE = choices_of([1.0, 2.0, 8.0], [0.9, 0.5, 0.1])
FREE = Switching(THREE.settings)


def test_a_simulation_in_closed_form():
    requests = Requests.of(np.array([1.0, 0.9, 0.5, 0.3, 0.05]))
    run = simulate(LeastEnergy.of(THREE), requests, AsPriced(THREE), FREE)
    assert run.rows.tolist() == [0, 0, 1, 2, 2]
    assert run.energy.tolist() == [1, 1, 2, 8, 8]
    assert run.late.tolist() == [False] * 4 + [True]
    assert run.excess.tolist() == pytest.approx([0, 0, 0, 0, 0.05])
    assert run.switched.tolist() == [True, False, True, True, False]
    assert hopeless(requests, AsPriced(THREE), np.arange(3)).tolist() == [False] * 4 + [True]


def test_switching_is_charged_to_the_request_that_causes_it():
    switching = Switching(THREE.settings, 0.01, 0.5, {"row": 0.02}, {"row": 0.25})
    requests = Requests.of(np.array([1.0, 0.5, 0.5, 1.0]))
    run = simulate(LeastEnergy.of(THREE), requests, AsPriced(THREE), switching)
    assert run.latency.tolist() == pytest.approx([0.9, 0.53, 0.5, 0.93])
    assert run.energy.tolist() == pytest.approx([1.0, 2.75, 2.0, 1.75])


@dataclass
class Listening:
    """Always the first row; writes down which bandwidth it is told of."""

    remembers: bool
    heard: list = field(default_factory=list)

    def select(self, request, state):  # noqa: ARG002  (of the protocol)
        self.heard.append(state.bandwidth)
        return 0

    def select_all(self, requests, row):  # noqa: ARG002  (of the protocol)
        self.heard += requests.bandwidth.tolist()
        return np.zeros(len(requests), dtype=np.intp)


@pytest.mark.parametrize("queue", ["none", "blind", "aware"])
@pytest.mark.parametrize("remembers", [False, True])
def test_a_policy_knows_the_link_of_the_request_before_and_outcomes_that_of_now(queue, remembers):
    link = np.array([1e6, 2e6, 4e6, 1e6])
    requests = Requests.of(np.ones(4), arrival=10.0 * np.arange(4.0), bandwidth=link)
    sending = Transfers(THREE.latency, THREE.energy, np.full(3, 1e6), np.full(3, 2.0))
    policy = Listening(remembers)
    outcomes, before = AtBandwidth(THREE, sending), State(UNSET, 7e6)
    run = simulate(policy, requests, outcomes, FREE, queue, before)
    assert policy.heard == [7e6, 1e6, 2e6, 4e6]
    assert run.latency == pytest.approx(0.9 + 1e6 / link)
    assert run.energy == pytest.approx(1.0 + 2e6 / link)


def test_a_row_that_is_set_before_the_first_request_is_switched_from():
    switching = Switching(THREE.settings, 0.01, 0.5)
    requests = Requests.of(np.array([1.0, 0.5]))
    run = simulate(LeastEnergy.of(THREE), requests, AsPriced(THREE), switching, "none", State(2))
    assert run.latency.tolist() == pytest.approx([0.91, 0.51])
    same = simulate(LeastEnergy.of(THREE), requests, AsPriced(THREE), switching, "none", State(0))
    assert same.latency.tolist() == pytest.approx([0.9, 0.51])
    assert same.switched.tolist() == [False, True]


ARRIVALS = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2)), min_size=1, max_size=30)


@LAW
@given(ARRIVALS)
def test_waiting_is_that_of_one_server_in_order(pairs):
    arrival = np.cumsum([gap for gap, _ in pairs])
    service = np.array([time for _, time in pairs])
    free, expected = 0.0, []
    for come, time in zip(arrival, service, strict=True):
        begin = max(come, free)
        expected.append(begin - come)
        free = begin + time
    assert waiting(arrival, service) == pytest.approx(np.array(expected), abs=1e-9)


def test_a_policy_that_is_told_of_its_queue_misses_less():
    rng = np.random.default_rng(3)
    requests = Requests.of(
        rng.uniform(0.3, 1.5, 3000), arrival=np.cumsum(rng.exponential(0.7, 3000))
    )
    policy, outcomes = LeastEnergy.of(THREE), AsPriced(THREE)
    none, blind, aware = (
        simulate(policy, requests, outcomes, FREE, queue) for queue in ("none", "blind", "aware")
    )
    assert none.late.mean() == 0
    assert aware.late.mean() < 0.5 * blind.late.mean()
    assert aware.energy.mean() > blind.energy.mean()


def test_an_idle_device_needs_no_awareness():
    requests = Requests.of(np.random.default_rng(1).uniform(0.05, 1.5, 200),
                           arrival=100.0 * np.arange(200.0))  # fmt: skip
    runs = [simulate(LeastEnergy.of(THREE), requests, AsPriced(THREE), FREE, queue)
            for queue in ("none", "blind", "aware")]  # fmt: skip
    for run in runs[1:]:
        assert (run.rows == runs[0].rows).all()
        assert (run.latency == runs[0].latency).all()


def recorded():
    rng = np.random.default_rng(8)
    trial = np.repeat(np.arange(3), [5, 1, 4])
    latency = THREE.latency[trial] * rng.uniform(1.0, 2.0, 10)
    return Measurements(trial, {"latency": latency, "energy": 10 * latency})


def test_drawn_outcomes_are_recorded_runs_whole():
    measured = recorded()
    drawn = Drawn.of(THREE, measured, 1, ("latency", "energy"))
    rows = np.tile(np.arange(3), 400)
    outcome = drawn(rows, Requests.of(np.ones(1200)))
    for row in range(3):
        own = measured.metrics["latency"][measured.trial == row]
        assert set(outcome.latency[rows == row]) == set(own)
    assert (outcome.energy == 10 * outcome.latency).all()


@LAW
@given(st.lists(st.integers(0, 2), min_size=2, max_size=40), st.integers(0, 99))
def test_luck_belongs_to_the_request_and_not_to_the_row(rows, seed):
    requests = Requests.of(np.ones(len(rows)))
    for outcomes in (Drawn.of(THREE, recorded(), seed, ("latency", "energy")),
                     Noisy(AsPriced(THREE), 0.3, seed)):  # fmt: skip
        mixed = outcomes(np.array(rows), requests)
        for row in range(3):
            alone = outcomes(np.full(len(rows), row), requests)
            same = np.array(rows) == row
            assert (mixed.latency[same] == alone.latency[same]).all()


def test_noise_has_its_median_and_its_quantile():
    noisy = Noisy(AsPriced(THREE), 0.2, 4)
    outcome = noisy(np.zeros(20_000, dtype=np.intp), Requests.of(np.ones(20_000)))
    assert np.median(outcome.latency) == pytest.approx(0.9, rel=0.01)
    bound = 0.9 * noisy.quantile(0.95)
    assert (outcome.latency <= bound).mean() == pytest.approx(0.95, abs=0.005)


def test_holding_to_a_quantile_keeps_that_share_of_deadlines():
    noisy = Noisy(AsPriced(THREE), 0.2, 4)
    requests = Requests.of(np.random.default_rng(2).uniform(0.14, 2.0, 5000))
    careful = THREE.promising(THREE.latency * noisy.quantile(0.95))
    plain = simulate(LeastEnergy.of(THREE), requests, noisy, FREE)
    told = simulate(LeastEnergy.of(careful), requests, noisy, FREE)
    assert told.late.mean() < 0.05 < plain.late.mean()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: simulate(Fixed(0), Requests.of(np.empty(0)), AsPriced(THREE), FREE), "no request"),
        (lambda: simulate(Fixed(0), Requests.of(np.ones(1)), AsPriced(THREE), FREE, "lifo"),  # type: ignore[arg-type]
         "queue 'lifo' is not one of none, blind, aware"),
        (lambda: Noisy(AsPriced(THREE), -0.1, 0), "sigma = -0.1"),
        (lambda: Drawn.of(THREE, recorded(), 0, ("time", "energy")), "time was not measured"),
        (lambda: Drawn.of(choices_of([1.0] * 4, [1.0] * 4), recorded(), 0, ("latency", "energy")),
         "no measurement of trial 3"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(make, said):
    with pytest.raises(DseError, match=said):
        make()


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dse():
    """Runs the command in this process; returns the result."""
    app = command_line({"dynasplit": SYSTEM})

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return run


@pytest.fixture(scope="module")
def split_run(dse, tmp_path_factory):
    study = Path(__file__).resolve().parents[2] / "studies" / "dynasplit/encoder.yaml"
    folder = tmp_path_factory.mktemp("runs") / "encoder"
    result = dse("run", study, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def simulated(dse, *arguments):
    result = dse("simulate", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output + str(result.exception)
    return {line["policy"]: line for line in json.loads(result.stdout)}


def test_the_published_comparison_on_a_run(dse, split_run):
    lines = simulated(dse, split_run, "--requests", 2000)
    assert set(lines) == {"cloud", "edge", "fastest", "least-energy", "dynasplit", "switching"}
    assert lines["dynasplit"]["late"] == 0  # deadlines are within the rows' own latencies
    assert lines["cloud"]["saving"] == 0
    assert lines["least-energy"]["saving"] >= lines["dynasplit"]["saving"] > 0
    assert lines["edge"]["late"] > 0.5
    assert lines["dynasplit"]["placement"]["edge"] == pytest.approx(1 - lines["edge"]["late"])
    assert simulated(dse, split_run, "--requests", 2000) == lines  # seeded


def test_a_changing_link_and_noise_bring_the_careful_policies(dse, split_run):
    lines = simulated(
        dse, split_run, "--requests", 2000, "--noise", 0.1, "--bandwidth",
        "1Mbit/s,20Mbit/s,592Mbit/s", "--switch-time", "137ms", "--arrivals", "poisson",
    )  # fmt: skip
    assert set(lines) == set(NAMES) - {"table"}
    late = {name: line["late"] for name, line in lines.items()}
    assert late["combined"] < late["bandwidth"] < late["dynasplit"]
    assert late["combined"] < 0.05 + lines["combined"]["unavoidable"]
    assert lines["switching"]["switches"] < lines["dynasplit"]["switches"]


def test_classes_of_a_drawn_link_are_those_of_another_trace(split_run):
    run = read_run(split_run)
    levels = "1Mbit/s,20Mbit/s,592Mbit/s"
    setup = SimulationSetup.of(run, SimulationConfig(requests=3, bandwidth=levels, dwell=1e6))
    # Three requests meet one level; that there are others is known from before.
    assert len(np.unique(setup.requests.bandwidth)) == 1
    assert setup.policy_set.floors == (1e6, 2e7, 5.92e8)
    assert setup.start.bandwidth in setup.policy_set.floors
    many = ",".join(f"{n}Mbit/s" for n in range(1, 30))
    floors = SimulationSetup.of(
        run, SimulationConfig(requests=300, bandwidth=many, dwell=1.0)
    ).policy_set.floors
    assert len(floors) == 8
    assert (
        floors
        == SimulationSetup.of(
            run, SimulationConfig(requests=600, bandwidth=many, dwell=1.0)
        ).policy_set.floors
    )


def test_the_first_tenth_of_a_recorded_link_is_learned_from_and_not_asked(split_run, tmp_path):
    run = read_run(split_run)
    before, after = [5.0, 9.0, 5.0], [1.0, 40.0, 7.0] * 9
    found = []
    for name, later in (("a", after), ("b", after[::-1])):
        replay = tmp_path / f"{name}.csv"
        lines = [f"{i},{500 + i},{mbit}\n" for i, mbit in enumerate(before + later)]
        replay.write_text("arrival_s,threshold_ms,bandwidth_mbit_s\n" + "".join(lines))
        trace = tmp_path / f"{name}_trace.csv"
        lines = [f"{i},{mbit}\n" for i, mbit in enumerate(before + later)]
        trace.write_text("time_s,bandwidth_mbit_s\n" + "".join(lines))
        traced = SimulationConfig(requests=30, bandwidth=str(trace))
        found += [SimulationSetup.of(run, SimulationConfig(workload=replay)),
                  SimulationSetup.of(run, traced)]  # fmt: skip
    for setup in found:
        assert setup.policy_set.floors == (5e6, 9e6)
        assert setup.start == State(UNSET, 5e6)
        assert len(setup.requests) == 27
        assert "1 to 40 Mbit/s in 2 classes of 3 earlier values" in setup.facts
    assert found[0].requests.deadline[0] == pytest.approx(0.503)
    assert found[0].requests.bandwidth.tolist() == [1e6 * mbit for mbit in after]


def test_one_request_over_a_recorded_link_is_refused(dse, split_run, tmp_path):
    replay = tmp_path / "one.csv"
    replay.write_text("threshold_ms,bandwidth_mbit_s\n500,5\n")
    result = dse("simulate", split_run, "--workload", replay)
    assert "a recorded link needs 2 requests, the first of which measure it; got 1" in str(
        result.exception
    )


def test_measured_repeats_are_drawn_from(dse, trials_csv, tmp_path):
    result = dse("trials", "import", trials_csv, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "273 runs of 91 designs" in result.stderr
    assert dse("check", tmp_path / "run").exit_code == 0
    assert dse("resume", tmp_path / "run").exit_code != 0  # measurements cannot be gone on with
    lines = simulated(dse, tmp_path / "run", "--requests", 2000, "--quantile", 1.0)
    assert lines["quantile"]["late"] <= lines["quantile"]["unavoidable"]
    assert lines["dynasplit"]["late"] > lines["quantile"]["late"]


def test_figure_log_and_csv_say_the_same(dse, split_run, tmp_path):
    picture, log = tmp_path / "s.png", tmp_path / "log.csv"
    result = dse("simulate", split_run, "--requests", 300, "--policy", "dynasplit", "--format",
                 "csv", "--plot", picture, "--log", log)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    (line,) = csv.DictReader(io.StringIO(result.stdout))
    decisions = list(csv.DictReader(io.StringIO(log.read_text())))
    assert len(decisions) == 300
    energy = np.mean([float(row["energy_j"]) for row in decisions])
    assert float(line["energy [J]"]) == pytest.approx(energy)
    again = simulated(dse, split_run, "--workload", log, "--policy", "dynasplit")
    assert again["dynasplit"]["energy"] == pytest.approx(energy)


def test_the_published_workload_is_asked_for_by_its_network(dse, split_run, tmp_path):
    log = tmp_path / "log.csv"
    simulated(dse, split_run, "--requests", 50, "--published", "vit", "--policy", "cloud", "--log",
              log)  # fmt: skip
    found = [float(row["threshold_ms"]) for row in csv.DictReader(io.StringIO(log.read_text()))]
    assert found == pytest.approx(1e3 * published_deadlines(50, "vit"))


def test_a_device_that_obeys_its_whole_table_does_what_the_policy_does(dse, split_run, tmp_path):
    for rows, name in ((64, "all.json"), (5, "five.json")):
        result = dse("export", split_run, "--rows", rows, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    lines = {name: simulated(dse, split_run, "--requests", 1000, "--policy", "dynasplit",
                             "--policy", "table", "--table", tmp_path / name)
             for name in ("all.json", "five.json")}  # fmt: skip
    whole, thin = lines["all.json"], lines["five.json"]
    assert whole["table"]["energy"] == whole["dynasplit"]["energy"]
    assert whole["table"]["late"] == thin["table"]["late"] == 0
    assert 1 < thin["table"]["energy"] / thin["dynasplit"]["energy"] < 1.05


def test_a_table_of_another_run_is_refused(dse, split_run, trials_csv, tmp_path):
    assert dse("trials", "import", trials_csv, "--out", tmp_path / "run").exit_code == 0
    assert dse("export", tmp_path / "run", "--out", tmp_path / "t.json").exit_code == 0
    result = dse("simulate", split_run, "--table", tmp_path / "t.json")
    assert "t.json was exported from the run" in str(result.exception)


def test_a_run_of_several_devices_needs_a_design(dse, small_run):
    asked = (small_run.folder, "--latency", "delay", "--requests", 50)
    result = dse("simulate", *asked)
    assert "one value of cell, bits" in str(result.exception)
    lines = simulated(dse, *asked, "--design", "cell=a", "--design", "bits=8")
    assert lines["dynasplit"]["late"] == 0
    assert "cloud" not in lines
    for text, said in (("cell", "write --design knob=value"), ("bits=x", "'x' is not a number")):
        assert said in str(dse("simulate", *asked, "--design", text).exception)


def test_a_table_is_for_people(dse, split_run):
    result = dse(
        "simulate", split_run, "--requests", 300, "--queue", "aware", "--arrivals", "bursty"
    )
    assert result.exit_code == 0, result.output
    assert "dynasplit" in result.stdout
    assert "300 requests over 175 rows" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "greedy"), "no policy 'greedy'; there are cloud, edge"),
        (("--policy", "bandwidth"), "give --bandwidth"),
        (("--policy", "table"), "give --table"),
        (("--policy", "quantile"), "measured repeats in the run, or --noise"),
        (("--policy", "cloud", "--cut", "layer"), "name one with --cut"),
        (("--deadlines", "1s"), "write LOW,HIGH"),
        (("--deadlines", "1s,2s", "--published", "vit"), "--published and --deadlines both say"),
        (("--workload", "w.csv", "--arrivals", "bursty"), "a replayed file says itself"),
        (("--deadlines", "1,2"), "'1' is no quantity in s"),
        (("--deadlines", "1V,2V"), "unit 'V' does not measure this"),
        (("--energy", "cost"), "no metric cost in J; in J there are: energy"),
        (("--accuracy", "0.9"), "no metric accuracy"),
        (("--switch-time", "-1s"), "must be finite, at least 0"),
        (("--bandwidth", "nowhere.csv"), "nowhere.csv cannot be read"),
    ],
)
def test_what_cannot_be_simulated_is_said(dse, split_run, arguments, said):
    result = dse("simulate", split_run, "--requests", 50, *arguments)
    assert isinstance(result.exception, DseError)
    assert said in str(result.exception)
