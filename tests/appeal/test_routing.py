"""Routers and curves: laws over random splits, end points, and the reference's cost model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.accuracy.appeal.curve import Prices, RoutingCurve, auroc
from dse.accuracy.appeal.routers import (
    CONFIDENCES,
    Routed,
    confidence,
    degenerate,
    oracle_score,
    sigmoid,
)
from dse.core.errors import DseError

SEEDS = st.integers(0, 2**32 - 1)


def some_split(seed):
    """Scores on a coarse grid, so that they repeat."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    score = rng.random(n).round(int(rng.integers(1, 4)))
    return Routed(score, rng.random(n) < 0.6, rng.random(n) < 0.9)


@given(SEEDS)
def test_the_curve_says_what_routing_every_input_says(seed):
    routed = some_split(seed)
    thresholds = np.concatenate([[0.0, 0.5, 1.0, 1.1], routed.score])
    rates, accuracies = RoutingCurve.of(routed).at(thresholds)
    for threshold, rate, accuracy in zip(thresholds, rates, accuracies, strict=True):
        stays = routed.score >= threshold
        assert rate == (~stays).sum() / len(stays)
        right = np.where(stays, routed.edge_right, routed.cloud_right)
        assert accuracy == right.sum() / len(stays)


@given(SEEDS)
def test_a_higher_threshold_never_keeps_more(seed):
    rates, _ = RoutingCurve.of(some_split(seed)).at(np.linspace(-0.1, 1.2, 300))
    assert (np.diff(rates) >= 0).all()


@given(SEEDS)
def test_both_ends_are_the_networks_alone(seed):
    # Reference, property 1.
    routed = some_split(seed)
    curve, prices = RoutingCurve.of(routed), Prices(edge=10.0, appeal=120.0)
    rates, accuracies = curve.at(np.array([0.0, 1.01]))
    assert rates.tolist() == [0.0, 1.0]
    assert accuracies.tolist() == [routed.edge_right.mean(), routed.cloud_right.mean()]
    assert [prices.cost(rate) for rate in rates] == [10.0, 130.0]


def test_break_even_is_the_references():
    assert Prices(edge=10.0, appeal=120.0).break_even == pytest.approx(10 / 120)  # SR > 8.3 %


@given(SEEDS)
def test_nobody_needs_fewer_appeals_than_the_oracle(seed):
    routed = some_split(seed)
    score = oracle_score(routed.edge_right, routed.cloud_right)
    best = RoutingCurve.of(Routed(score, routed.edge_right, routed.cloud_right))
    own = RoutingCurve.of(routed)
    for accuracy in np.linspace(own.accuracies.min(), own.accuracies.max(), 9):
        assert best.appeal_rate_for(accuracy) <= own.appeal_rate_for(accuracy) + 1e-12
    assert best.area >= own.area - 1e-12


@given(SEEDS, st.floats(0, 1))
def test_the_threshold_for_a_share_is_the_highest_that_keeps_it(seed, share):
    curve = RoutingCurve.of(some_split(seed))
    threshold = curve.threshold_for(share)
    assert curve.at(np.array([threshold]))[0][0] <= share
    higher = np.nextafter(threshold, np.inf)
    more = curve.at(np.array([higher]))[0][0]
    assert more > share or more == 1.0


def test_a_mix_of_two_thresholds_reaches_the_accuracy_between_them():
    # Four inputs, two of each score: appealing the lower two lifts accuracy from 1/2 to 1.
    curve = RoutingCurve.of(
        Routed(
            np.array([0.1, 0.1, 0.9, 0.9]),
            np.array([False, False, True, True]),
            np.ones(4, dtype=bool),
        )
    )
    assert curve.appeal_rate_for(0.5) == 0.0
    assert curve.appeal_rate_for(0.75) == pytest.approx(0.25)
    assert curve.appeal_rate_for(1.0) == pytest.approx(0.5)
    assert curve.area == pytest.approx((0.75 + 1.0) / 2)
    assert curve.improvement(np.array([0.5, 0.75, 1.0])).tolist() == [0.0, 0.5, 1.0]


def test_more_accurate_than_the_cloud_is_improvement_above_one():
    curve = RoutingCurve.of(
        Routed(np.array([0.2, 0.8]), np.array([False, True]), np.array([True, False]))
    )
    assert curve.accuracies.tolist() == [0.5, 1.0, 0.5]
    with pytest.raises(DseError, match="equally accurate"):
        curve.improvement(np.ones(1))


def test_an_accuracy_out_of_reach_says_what_is_within():
    with pytest.raises(DseError, match=r"0\.9999 is not reached; the most is 0\.5"):
        RoutingCurve.of(
            Routed(np.array([0.1, 0.2]), np.array([True, False]), np.array([True, False]))
        ).appeal_rate_for(0.9999)


@given(SEEDS)
def test_auroc_counts_pairs(seed):
    routed = some_split(seed)
    right, wrong = routed.score[routed.edge_right], routed.score[~routed.edge_right]
    if len(right) and len(wrong):
        difference = right[:, None] - wrong[None, :]
        pairs = (difference > 0).mean() + 0.5 * (difference == 0).mean()
        assert auroc(routed.score, routed.edge_right) == pytest.approx(pairs, abs=1e-12)
    else:
        with pytest.raises(DseError, match="told apart"):
            auroc(routed.score, routed.edge_right)


@given(SEEDS)
def test_two_classes_leave_one_order(seed):
    # For K = 2 max-softmax, margin and entropy rank inputs identically.
    logits = np.random.default_rng(seed).normal(size=(20, 2)).round(2) * 3
    ranks = {
        tuple(np.unique(confidence(router, logits).round(9), return_inverse=True)[1])
        for router in CONFIDENCES
    }
    assert len(ranks) == 1


@given(SEEDS)
def test_scores_are_shares(seed):
    logits = np.random.default_rng(seed).normal(size=(20, 5)) * 50
    for router in CONFIDENCES:
        score = confidence(router, logits)
        assert ((score >= 0) & (score <= 1)).all()
        assert confidence(router, np.zeros((1, 5)))[0] == pytest.approx(
            0.2 if router == "max-softmax" else 0.0, abs=1e-12
        )


def test_a_sigmoid_far_out_is_still_one():
    assert sigmoid(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]


def test_a_head_that_trusts_everything_is_degenerate():
    assert degenerate(np.full(10, 0.981))
    assert not degenerate(np.full(10, 0.979))


def test_the_same_advantage_is_worth_less_of_a_dearer_whole():
    prices = Prices(edge=10.0, appeal=120.0)
    assert prices.saving(1.0, 1.0) == 0.0
    assert prices.saving(0.1, 0.3) > prices.saving(0.5, 0.7) > prices.saving(0.8, 1.0) > 0
