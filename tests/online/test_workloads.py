"""Workloads: the published generator to the letter, processes with their means, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.online.simulation.workloads import (
    PUBLISHED_LIMITS,
    PUBLISHED_SEED,
    BandwidthTrace,
    Bursts,
    poisson_arrivals,
    published_deadlines,
    read_requests,
    read_trace,
    stretched_weibull,
    weibull,
)

LAW = settings(max_examples=40, deadline=None)


@LAW
@given(st.integers(2, 300), st.floats(1e-3, 1.0), st.floats(1.1, 100.0), st.integers(0, 9))
def test_stretched_deadlines_reach_both_ends_exactly_for_every_n(n, low, ratio, seed):
    rng = np.random.default_rng(seed)
    deadlines = stretched_weibull(n, low, low * ratio, rng)
    assert deadlines.min() == low
    assert deadlines.max() == low * ratio


def test_one_generator_draws_for_the_networks_in_turn():
    # By hand, as the published text says it: default_rng, Weibull of shape 1, vgg16 first.
    rng = np.random.default_rng(PUBLISHED_SEED)
    for network, (low, high) in PUBLISHED_LIMITS.items():
        s = rng.weibull(1.0, size=50)
        by_hand = low + (s - s.min()) / (s.max() - s.min()) * (high - low)
        assert published_deadlines(50, network) == pytest.approx(by_hand, rel=1e-12)


def test_more_requests_make_tighter_deadlines_when_stretched_and_not_when_scaled():
    # The maximum of n exponentials averages H_n: 4.50 for 50, 9.79 for 10,000.
    few = np.median([np.median(stretched_weibull(50, 0.1, 5.0, np.random.default_rng(i)))
                     for i in range(40)])  # fmt: skip
    many = np.median(stretched_weibull(10_000, 0.1, 5.0, np.random.default_rng(1)))
    assert (few - 0.1) / (many - 0.1) == pytest.approx(9.79 / 4.50, rel=0.15)
    assert np.median(published_deadlines(10_000, "vgg16")) < np.median(
        published_deadlines(50, "vgg16")
    )
    fixed = [np.median(weibull(n, 0.1, 1.0, np.random.default_rng(3))) for n in (2_000, 20_000)]
    assert fixed == pytest.approx([0.1 + np.log(2)] * 2, rel=0.05)


def test_poisson_arrivals_have_their_rate_and_no_memory():
    gaps = np.diff(poisson_arrivals(20_000, 50.0, np.random.default_rng(4)))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # exponential


def test_bursts_keep_the_mean_rate_and_are_burstier_than_poisson():
    rate = 50.0
    arrivals = Bursts.around(rate).arrivals(60_000, np.random.default_rng(5))
    assert (np.diff(arrivals) >= 0).all()
    assert len(arrivals) / arrivals[-1] == pytest.approx(rate, rel=0.05)
    counts = np.histogram(arrivals, np.arange(0.0, arrivals[-1], 0.5))[0]
    assert counts.var() / counts.mean() > 3  # the index of dispersion of a Poisson process is 1


def test_a_trace_holds_each_value_until_the_next():
    trace = BandwidthTrace(np.array([0.0, 2.0, 5.0]), np.array([1e6, 2e6, 3e6]))
    assert trace.at(np.array([-1.0, 0.0, 1.99, 2.0, 9.0])).tolist() == [1e6, 1e6, 1e6, 2e6, 3e6]


def test_a_drawn_trace_visits_all_levels_and_never_jumps_to_itself():
    levels = np.array([1e6, 5e6, 2e7])
    trace = BandwidthTrace.drawn(levels, 2.0, 1000.0, np.random.default_rng(6))
    assert trace.time[-1] > 1000.0
    assert np.diff(trace.time).mean() == pytest.approx(2.0, rel=0.15)
    assert set(trace.bandwidth) == set(levels)
    assert (np.diff(trace.bandwidth) != 0).all()


def test_requests_and_traces_are_replayed_from_files(tmp_path):
    path = tmp_path / "requests.csv"
    path.write_text(
        "network,arrival_s,threshold_ms,bandwidth_mbit_s\nvgg16,0,90.6,8\nvit,1,120,9\n"
    )
    requests = read_requests(path)
    assert requests.deadline.tolist() == [0.0906, 0.12]
    assert requests.bandwidth.tolist() == [8e6, 9e6]
    assert len(read_requests(path, "vit")) == 1
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,bandwidth_mbit_s\n0,1\n10,20\n")
    assert read_trace(trace).at(np.array([11.0])).tolist() == [2e7]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: stretched_weibull(1, 0.1, 1.0, np.random.default_rng(0)), "at least 2"),
        (lambda: stretched_weibull(9, 1.0, 1.0, np.random.default_rng(0)), "no range above 0"),
        (lambda: stretched_weibull(9, 0.0, 1.0, np.random.default_rng(0)), "no range above 0"),
        (lambda: published_deadlines(50, "lenet"), "network 'lenet' is not one of vgg16"),
        (lambda: poisson_arrivals(3, 0.0, np.random.default_rng(0)), "must be positive"),
        (lambda: Bursts(1.0, -1.0, 1.0, 1.0), "must be positive"),
        (lambda: BandwidthTrace(np.array([1.0, 1.0]), np.ones(2)), "must rise"),
        (lambda: BandwidthTrace(np.array([1.0]), np.zeros(1)), "bandwidths be positive"),
        (lambda: BandwidthTrace.drawn(np.ones(1), 1, 9, np.random.default_rng(0)), "two levels"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(make, said):
    with pytest.raises(DseError, match=said):
        make()


@pytest.mark.parametrize(
    ("text", "said"),
    [("arrival_s\n1\n", "no column threshold_ms"),
     ("threshold_ms\nsoon\n", "line 2: threshold_ms: got 'soon'; a finite number in ms"),
     ("threshold_ms\n0\n", "deadline = .*0.0.* of request 0 must be positive")],
)  # fmt: skip
def test_a_workload_file_says_what_is_wrong(tmp_path, text, said):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(DseError, match=said):
        read_requests(tmp_path / "w.csv")
