"""Laws of the policies: deadlines first, the published rule to the letter, one answer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.online.policies.bandwidth import ByBandwidth, Transfers, per_bandwidth
from dse.online.policies.deadline import (
    BySignal,
    Fixed,
    LeastEnergy,
    PerClass,
    fastest,
    least_energy,
)
from dse.online.policies.switching_costs import Switching, SwitchingAware
from dse.online.requests import UNSET, Request, Requests, State, follow
from dse.online.rows import Rows

# Few distinct values, so that ties of energy, latency and accuracy are common.
VALUE = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.7, 2.5])
ACCURACY = st.sampled_from([0.0, 0.6, 0.7, 0.9])
LAW = settings(max_examples=40, deadline=None)
ROW = st.tuples(VALUE, VALUE, ACCURACY, st.integers(0, 2), st.integers(0, 1))
ROWS = st.lists(ROW, min_size=1, max_size=12)
DEADLINES = st.lists(st.one_of(VALUE, st.floats(0.01, 3.0)), min_size=1, max_size=25)
BEFORE = State(UNSET, 2e5)
PRICE = st.sampled_from([0.0, 0.05, 0.1, 0.4])


def choices_of(rows):
    energy, latency, accuracy, clock, gpu = (np.array(column) for column in zip(*rows, strict=True))
    settings_ = {"clock": clock, "gpu": np.array(["off", "on"])[gpu]}
    k = len(rows)
    return Rows(energy, latency, accuracy, settings_, np.arange(k), np.ones(k, dtype=bool))


def one_by_one(policy, requests, state=BEFORE):
    """The single-request path over a state, as a device goes through it."""
    rows = []
    for i in range(len(requests)):
        row = policy.select(requests.request(i), state)
        state = State(row, float(requests.bandwidth[i]))  # measured while it was answered
        rows.append(row)
    return rows


def each_from(policy, requests, row):
    """Every request as the first one after `row` was set, by the single-request path."""
    bandwidth = requests.bandwidth.tolist()
    return [
        policy.select(requests.request(i), State(row, bandwidth[i])) for i in range(len(requests))
    ]


def published_rule(choices, deadline):
    """DynaSplit's scheduler as its text says it: sort, scan, else the smallest latency."""
    order = sorted(range(len(choices)), key=lambda r: (choices.energy[r], -choices.accuracy[r]))
    for row in order:
        if choices.latency[row] <= deadline:
            return row
    return min(order, key=lambda r: choices.latency[r])


@LAW
@given(ROWS, DEADLINES)
def test_least_energy_is_the_published_rule(rows, deadlines):
    choices = choices_of(rows)
    policy = LeastEnergy.of(choices)
    requests = Requests.of(np.array(deadlines))
    expected = [published_rule(choices, d) for d in deadlines]
    assert follow(policy, requests).tolist() == expected
    assert one_by_one(policy, requests) == expected


@LAW
@given(ROWS, DEADLINES, st.sampled_from([0.0, 0.3, 0.65, 0.9, 0.95]))
def test_no_deadline_is_missed_that_an_accurate_enough_row_meets(rows, deadlines, accuracy):
    choices = choices_of(rows)
    requests = Requests.of(np.array(deadlines), accuracy=accuracy)
    chosen = follow(LeastEnergy.of(choices), requests)
    enough = choices.accuracy >= min(accuracy, choices.accuracy.max())
    assert enough[chosen].all()
    for row, deadline in zip(chosen, deadlines, strict=True):
        in_time = enough & (choices.latency <= deadline)
        if in_time.any():
            assert choices.latency[row] <= deadline
            assert choices.energy[row] == choices.energy[in_time].min()
        else:
            assert choices.latency[row] == choices.latency[enough].min()


@LAW
@given(ROWS, st.lists(st.floats(0.01, 3.0), min_size=2, max_size=20))
def test_more_time_never_costs_more_energy(rows, deadlines):
    choices = choices_of(rows)
    chosen = follow(LeastEnergy.of(choices), Requests.of(np.sort(deadlines)))
    met = choices.latency[chosen] <= np.sort(deadlines)
    assert (np.diff(choices.energy[chosen][met]) <= 0).all()


@LAW
@given(ROWS, DEADLINES)
def test_accuracy_decides_only_between_equal_energies(rows, deadlines):
    choices, requests = choices_of(rows), Requests.of(np.array(deadlines))
    blind = Rows(choices.energy, choices.latency, np.zeros(len(rows)), choices.settings,
                    choices.numbers, choices.open)  # fmt: skip
    seeing = follow(LeastEnergy.of(choices), requests)
    unseeing = follow(LeastEnergy.of(blind), requests)
    in_time = choices.latency[seeing] <= requests.deadline
    assert (choices.energy[seeing] == choices.energy[unseeing])[in_time].all()
    assert (choices.accuracy[seeing] >= choices.accuracy[unseeing])[in_time].all()


@st.composite
def switchings(draw, choices):
    knob_time = draw(st.dictionaries(st.sampled_from(["clock", "gpu"]), PRICE))
    knob_energy = draw(st.dictionaries(st.sampled_from(["clock", "gpu"]), PRICE))
    return Switching(choices.settings, draw(PRICE), draw(PRICE), knob_time, knob_energy)


@LAW
@given(st.data(), ROWS, DEADLINES, st.sampled_from([0.0, 0.1, 1.0]), ACCURACY)
def test_switching_aware_keeps_every_deadline_that_can_be_kept(
    data, rows, deadlines, hysteresis, accuracy
):
    choices = choices_of(rows)
    switching = data.draw(switchings(choices))
    policy = SwitchingAware(choices, switching, hysteresis)
    requests = Requests.of(np.array(deadlines), accuracy=accuracy)
    chosen = follow(policy, requests)
    assert one_by_one(policy, requests) == chosen.tolist()
    for row in (UNSET, *range(len(rows))):
        assert policy.select_all(requests, row).tolist() == each_from(policy, requests, row)
    enough = choices.accuracy >= min(accuracy, choices.accuracy.max())
    before, every = UNSET, np.arange(len(rows))
    for row, deadline in zip(chosen, deadlines, strict=True):
        time, energy = switching.price(np.full(len(rows), before), every)
        latency, cost = choices.latency + time, choices.energy + energy
        in_time = enough & (latency <= deadline)
        if in_time.any():
            assert latency[row] <= deadline
            # Staying may cost the hysteresis on top of the best, and nothing else may.
            allowed = (1 + hysteresis if row == before else 1.0) * cost[in_time].min()
            assert cost[row] <= allowed
        before = row


@LAW
@given(ROWS, DEADLINES)
def test_free_switching_without_hysteresis_is_the_published_rule(rows, deadlines):
    choices, requests = choices_of(rows), Requests.of(np.array(deadlines))
    policy = SwitchingAware(choices, Switching(choices.settings))
    plain = follow(LeastEnergy.of(choices), requests)
    aware = follow(policy, requests)
    in_time = choices.latency[plain] <= requests.deadline
    assert (choices.energy[aware] == choices.energy[plain])[in_time].all()
    assert (choices.latency[aware] == choices.latency[plain])[~in_time].all()


def test_hysteresis_saves_switches():
    rng = np.random.default_rng(2)
    choices = choices_of([(e, t, 0.0, i, 0) for i, (e, t) in enumerate(
        zip([1.0, 1.02, 1.05, 2.0], [0.9, 0.7, 0.5, 0.1], strict=True))])  # fmt: skip
    requests = Requests.of(rng.uniform(0.55, 1.0, 500))
    free = Switching(choices.settings)
    rows = [follow(SwitchingAware(choices, free, h), requests) for h in (0.0, 0.03, 0.1)]
    switches = [int((np.diff(taken) != 0).sum()) for taken in rows]
    assert switches[0] > switches[1] > switches[2]
    assert switches[2] <= 2  # everything within 10 % of the best: soon on the safest row, for good


def links(rows, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.choice([0.0, 1e5, 1e6], len(rows))
    bits[0] = 0.0
    energy, latency = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    return Transfers(latency, energy, bits, np.full(len(rows), 0.5))


@LAW
@given(ROWS, DEADLINES, st.integers(0, 3), st.sampled_from([0.0, 0.2]))
def test_a_table_per_bandwidth_keeps_its_promise(rows, deadlines, seed, hysteresis):
    choices, transfers = choices_of(rows), links(rows, seed)
    switching = Switching(choices.settings, 0.05)
    bandwidth = np.random.default_rng(seed).choice([3e4, 1e5, 7e5, 2e6, 1e9], len(deadlines))
    requests = Requests.of(np.array(deadlines), bandwidth=bandwidth)
    for make in (LeastEnergy.of, lambda c: SwitchingAware(c, switching, hysteresis)):
        policy = per_bandwidth(choices, transfers, (1e5, 1e6), make)
        for row in (UNSET, *range(len(rows))):
            assert policy.select_all(requests, row).tolist() == each_from(policy, requests, row)
        assert follow(policy, requests, BEFORE).tolist() == one_by_one(policy, requests)
    # The promise is for the bandwidth that a policy is told of.
    plain = per_bandwidth(choices, transfers, (1e5, 1e6), LeastEnergy.of).select_all(
        requests, UNSET
    )
    latency, _ = transfers.price(plain, bandwidth)
    floors = np.array([0.0, 1e5, 1e6])[np.searchsorted([1e5, 1e6], bandwidth, side="right")]
    for i, row in enumerate(plain):
        if floors[i] == 0:
            assert transfers.bits[row] == 0
            continue
        promised, _ = transfers.price(np.arange(len(rows)), np.full(len(rows), floors[i]))
        if (promised <= deadlines[i]).any():
            assert latency[i] <= deadlines[i] * (1 + 1e-12)


@LAW
@given(ROWS, st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_an_appeal_threshold_routes_between_two_sets_of_rows(rows, scores, threshold):
    choices = choices_of(rows)
    little = np.arange(len(rows)) % 2 == 0
    big = ~little if (~little).any() else little
    policy = PerClass(
        BySignal((threshold,)),
        (LeastEnergy.of(choices.only(big)), LeastEnergy.of(choices.only(little))),
    )
    requests = Requests.of(np.full(len(scores), 1.0), signal=np.array(scores))
    chosen = follow(policy, requests)
    assert one_by_one(policy, requests) == chosen.tolist()
    trusted = np.array(scores) >= threshold
    assert little[chosen][trusted].all()
    assert big[chosen][~trusted].all()


def test_a_policy_is_told_of_the_request_before():
    requests = Requests.of(np.ones(3), bandwidth=np.array([1e6, 2e6, 3e6]))
    told = requests.told(9e6)
    assert told.bandwidth.tolist() == [9e6, 1e6, 2e6]
    assert requests.bandwidth.tolist() == [1e6, 2e6, 3e6]
    assert (told.deadline == requests.deadline).all()
    assert len(Requests.of(np.empty(0)).told(9e6)) == 0


def test_the_fixed_baselines_are_the_ends_of_the_front():
    choices = choices_of([(5.0, 0.1, 0, 0, 1), (4.0, 0.1, 0, 1, 1), (1.0, 0.9, 0, 2, 0),
                          (1.0, 2.0, 0.5, 2, 0)])  # fmt: skip
    assert fastest(choices) == Fixed(1)
    assert least_energy(choices) == Fixed(3)
    assert choices.fastest_at("clock", "lowest") == 0
    assert choices.fastest_at("clock", "highest") == 2
    requests = Requests.of(np.array([1.0, 2.0]))
    assert follow(Fixed(1), requests).tolist() == one_by_one(Fixed(1), requests) == [1, 1]


def test_closed_rows_are_never_taken():
    choices = choices_of([(1.0, 0.5, 0, 0, 0), (2.0, 0.2, 0, 0, 0)])
    first = LeastEnergy.of(choices.only(np.array([False, True])))
    assert first.select(Request(9.0), State()) == 1


def test_rows_are_of_one_device(small_run):
    # Knobs cell and bits are silicon; only vdd may change from request to request.
    question, trials = small_run.question, small_run.trials
    with pytest.raises(DseError, match="one value of cell, bits; give --design"):
        Rows.of(question, trials, latency="delay")
    choices = Rows.of(question, trials, design={"cell": "a", "bits": 8.0}, latency="delay")
    assert len(choices) == 4
    assert (trials.designs["bits"][choices.numbers] == 8).all()
    assert choices.fastest_at("vdd", "highest") == int(np.argmax(choices.settings["vdd"]))
    for design, said in (({"vdd": 0.5}, "vdd is no design knob; there are cell, bits"),
                         ({"bits": 9.0}, "no trial has the design")):  # fmt: skip
        with pytest.raises(DseError, match=said):
            Rows.of(question, trials, design=design, latency="delay")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Request(0.0), "deadline = 0.0 s must be positive"),
        (lambda: Request(math.nan), "deadline = nan s must be positive"),
        (lambda: Requests.of(np.array([1.0, -1.0])), "deadline = .*-1.0.* of request 1"),
        (lambda: Requests.of(np.ones(2), arrival=np.array([1.0, 0.0])), "must not decrease"),
        (lambda: Requests.of(np.ones(2), bandwidth=0.0), "bandwidth = .* must be positive"),
        (lambda: choices_of([(1, 1, 0, 0, 0)]).only(np.array([False])), "no row to choose"),
        (lambda: choices_of([(math.inf, 1, 0, 0, 0)]), "energy of an open row is not finite"),
        (lambda: choices_of([(1, 1, 0, 0, 0)]).fastest_at("gpu", "lowest"), "no knob gpu that is"),
        (lambda: Switching({}, -1.0), "price -1.0 of switching time"),
        (lambda: Switching({}, knob_time={"vdd": 1.0}), "no knob vdd to switch"),
        (lambda: BySignal((0.5, 0.1)), "must rise"),
        (lambda: ByBandwidth((1.0, 2.0)), "must rise from 0"),
        (lambda: BySignal((0.5,)).of(Request(1.0), State()), "carries no signal"),
        (lambda: PerClass(BySignal((0.5,)), (Fixed(0),)), "2 classes of requests need as many"),
    ],
)
def test_nonsense_is_refused(make, said):
    with pytest.raises(DseError, match=said):
        make()


@LAW
@given(st.integers(1, 400), st.integers(0, 5))
def test_large_random_fronts_agree_with_a_scan(k, seed):
    rng = np.random.default_rng(seed)
    energy, latency = np.sort(rng.random(k)), np.sort(rng.random(k))[::-1]
    choices = Rows(energy, latency + 1e-3, np.zeros(k), {"row": np.arange(k)}, np.arange(k),
                      np.ones(k, dtype=bool))  # fmt: skip
    requests = Requests.of(rng.uniform(1e-4, 1.2, 50))
    scanned = [published_rule(choices, d) for d in requests.deadline]
    assert follow(LeastEnergy.of(choices), requests).tolist() == scanned
