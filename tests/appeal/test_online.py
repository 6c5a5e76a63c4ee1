"""Appeal under a deadline: the contract of a policy, and what the deadline changes."""

import numpy as np
import pytest

from dse.core.errors import DseError
from dse.online.policies.deadline import BySignal, LeastEnergy, PerClass
from dse.online.policies.switching_costs import Switching
from dse.online.requests import Request, Requests, State
from dse.online.rows import Rows
from dse.online.simulation.appeal import AppealOutcomes, Branches, appeal_policy
from dse.online.simulation.simulator import simulate
from dse.online.testing import SettledBeforeTheSignalContract

N = 400
BITS, BANDWIDTH = 8e3, 1e6
KEPT = np.array([0.010, 0.020])
APPEALS = np.array([False, False, True, True])


def choices():
    """Two clocks: fast and dear, slow and cheap; an appeal adds 50 ms, 8 ms of them transfer."""
    energy = np.array([2.0, 1.0, 12.0, 11.0])
    latency = np.concatenate([KEPT, KEPT + 0.050])
    return Rows(energy, latency, np.zeros(4), {"clock": np.array([2.0, 1.0, 2.0, 1.0])},
                   np.arange(4), np.ones(4, dtype=bool))  # fmt: skip


def requests(deadline=None, bandwidth=BANDWIDTH):
    rng = np.random.default_rng(6)
    limits = rng.uniform(0.005, 0.1, N) if deadline is None else np.full(N, deadline)
    return Requests.of(limits, signal=rng.random(N), bandwidth=bandwidth)


def branches(rows=None, appeals=APPEALS, settled=("clock",), bits=BITS, bandwidth=BANDWIDTH):
    return Branches.of(rows or choices(), appeals, settled, bits, bandwidth)


def policy(threshold=0.6, *, in_time=True):
    return appeal_policy(branches(), threshold, in_time=in_time)


class Appealing(SettledBeforeTheSignalContract):
    def settled(self):
        return choices().settings

    def requests(self):
        rng = np.random.default_rng(8)
        return Requests.of(rng.uniform(0.005, 0.1, 60), signal=rng.random(60).round(1),
                           bandwidth=rng.choice([1e4, 1e6, np.inf], 60))  # fmt: skip


class TestAppealInTime(Appealing):
    def policy(self):
        return policy()


class TestAppealAlways(Appealing):
    def policy(self):
        return policy(in_time=False)


def test_what_is_trusted_stays_and_what_cannot_be_back_in_time_stays_too():
    asked = requests()
    rows = policy().select_all(asked, -1)
    appealed = APPEALS[rows]
    assert not appealed[asked.signal >= 0.6].any()
    assert not appealed[asked.deadline < 0.060].any()
    assert appealed[(asked.signal < 0.6) & (asked.deadline >= 0.060)].all()


def outcomes():
    right = np.random.default_rng(1)
    return AppealOutcomes(branches(), 2.7, np.where(right.random(N) < 0.7, 1.0, 0.0), np.ones(N))


def simulated(policy, asked):
    """On a device that knows the bandwidth which the first request meets."""
    start = State(bandwidth=float(asked.bandwidth[0]))
    return simulate(policy, asked, outcomes(), Switching({}), start=start)


@pytest.mark.parametrize("deadline", [0.015, 0.059, 0.061, 0.075])
def test_no_deadline_is_missed_that_the_edge_meets(deadline):
    asked = requests(deadline)
    run = simulated(policy(), asked)
    assert not run.late.any()
    blind = simulated(policy(in_time=False), asked)
    # With time enough both are the same; without, routing by the score alone is late.
    if deadline >= 0.060:
        assert (run.rows == blind.rows).all()
    else:
        assert blind.late.mean() == pytest.approx((asked.signal < 0.6).mean())


def test_being_ready_to_appeal_has_its_price():
    # At 61 ms only the fast and dear clock can appeal in time, so what is kept runs at it too; at
    # 71 ms the slow one can, and routing looks as if the clock were chosen after the score.
    asked = requests(0.061)
    rows = policy().select_all(asked, -1)
    assert set(rows[asked.signal < 0.6]) == {2}
    assert set(rows[asked.signal >= 0.6]) == {0}
    asked = requests(0.071)
    classes = [LeastEnergy.of(choices().only(which)) for which in (APPEALS, ~APPEALS)]
    after = PerClass(BySignal((0.6,)), tuple(classes))
    assert (policy().select_all(asked, -1) == after.select_all(asked, -1)).all()


def test_the_clock_makes_up_for_a_slow_link():
    # 20 ms more: the slow clock's appeal takes 90 ms, the fast one's 80.
    bandwidth = 1.0 / (1.0 / BANDWIDTH + 0.020 / BITS)
    for deadline, row in ((0.091, 3), (0.085, 2), (0.079, 1)):
        run = simulated(policy(1.1), requests(deadline, bandwidth))
        assert set(run.rows) == {row}
        assert not run.late.any()


def test_a_slow_link_keeps_everything():
    # 8000 bits at 100 kbit/s take 80 ms, longer than the deadline by themselves.
    run = simulated(policy(), requests(0.075, 1e5))
    assert not APPEALS[run.rows].any()
    assert not run.late.any()


def test_a_link_that_has_just_become_slow_is_believed_once():
    asked = requests(0.075, np.repeat([BANDWIDTH, 1e5], N // 2))
    run = simulated(policy(1.0), asked)
    assert APPEALS[run.rows].tolist() == [True] * (N // 2 + 1) + [False] * (N // 2 - 1)
    assert np.flatnonzero(run.late).tolist() == [N // 2]


def test_a_slower_link_costs_time_and_waiting():
    asked = requests(0.2, 5e5)
    run = simulated(policy(1.0), asked)
    assert APPEALS[run.rows].all()
    later = BITS / 5e5 - BITS / BANDWIDTH
    assert run.latency == pytest.approx(np.full(N, 0.070 + later))
    assert run.energy == pytest.approx(np.full(N, 11.0 + 2.7 * later))
    assert run.accuracy.mean() == 1.0


def test_a_request_without_a_score_is_refused():
    with pytest.raises(DseError, match="no score"):
        policy().select(Request(1.0), State())
    with pytest.raises(DseError, match="no score"):
        policy().select_all(Requests.of(np.ones(2)), -1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: branches(bits=-1.0), "bits = -1.0 bit of an appeal"),
        (lambda: branches(bandwidth=0.0), "bandwidth = 0.0 bit/s of an appeal"),
        (lambda: branches(settled=("gpu",)), "no knob gpu; there are clock"),
        (lambda: branches(appeals=np.zeros(4, dtype=bool)), "no row appeals"),
        (lambda: branches(choices().only(np.array([True, False, True, True]))),
         "0 rows keep the answer at .*clock.*, where row 3 appeals"),
        (lambda: branches(settled=()), "2 rows keep the answer at {}, where row 2 appeals"),
        (lambda: policy(float("nan")), "threshold of an appeal is NaN"),
    ],
)  # fmt: skip
def test_an_appeal_that_cannot_be_is_refused(make, said):
    with pytest.raises(DseError, match=said):
        make()
