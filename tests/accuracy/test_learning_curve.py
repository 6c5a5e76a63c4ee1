"""A fitted learning curve is the one that made the points, and stops where it is settled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.accuracy.networks.learning_curve import FEWEST, Curve, Extrapolation, fitted
from dse.core.errors import DseError

STEPS = np.arange(50.0, 501.0, 50.0)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.6, 0.95), st.floats(0.05, 0.5), st.floats(60.0, 400.0))
def test_points_of_a_curve_give_the_curve_back_beyond_them(level, gap, steps):
    true = Curve(level, gap, steps)
    found = fitted(STEPS.tolist(), true.at(STEPS).tolist())
    np.testing.assert_allclose(found.at(STEPS), true.at(STEPS), atol=1e-5)
    assert float(found.at(2_000.0)) == pytest.approx(float(true.at(2_000.0)), abs=2e-3)


def test_the_closed_form_is_that_of_the_source():
    """a - b^(c - x), with b = e^(1 / steps) and c = steps ln gap."""
    curve = Curve(0.9, 0.3, 100.0)
    b, c = np.exp(1 / 100.0), 100.0 * np.log(0.3)
    np.testing.assert_allclose(curve.at(STEPS), 0.9 - b ** (c - STEPS), rtol=1e-12)


def test_a_level_line_is_its_own_prediction():
    assert float(fitted(STEPS.tolist(), [0.7] * 10).at(5_000.0)) == pytest.approx(0.7, abs=1e-4)


def test_predictions_of_a_noisy_curve_settle_near_its_end_and_stop_early():
    rng = np.random.default_rng(3)
    steps = np.arange(50.0, 2_001.0, 50.0)
    true = Curve(0.86, 0.25, 300.0)
    seen = true.at(steps) + rng.normal(scale=0.004, size=len(steps))
    rule = Extrapolation(2_000.0, window=3, tolerance=0.01)
    many = range(FEWEST, 41)
    x, y = steps.tolist(), seen.tolist()
    stop = next(k for k in many if rule.converged(x[:k], y[:k]) is not None)
    said = rule.converged(x[:stop], y[:stop])
    assert steps[stop - 1] <= 1_000.0
    assert said == pytest.approx(float(true.at(2_000.0)), abs=0.02)


def test_before_enough_predictions_nothing_has_converged():
    rule = Extrapolation(500.0, window=3)
    flat, steps = [0.8] * 10, STEPS.tolist()
    early = FEWEST + 1
    assert rule.converged(steps[:early], flat[:early]) is None
    assert rule.converged(steps[: early + 1], flat[: early + 1]) == pytest.approx(0.8, abs=1e-3)
    assert Extrapolation(500.0).converged([], []) is None


@pytest.mark.parametrize(
    ("steps", "accuracies"),
    [([1, 2, 3], [0.5] * 3), ([1, 2, 3, 4], [0.5] * 3), ([0, 1, 2, 3], [0.5] * 4),
     ([1, 3, 2, 4], [0.5] * 4), ([1, 2, 3, 4], [0.5, 0.5, 1.5, 0.5]),
     ([1, 2, 3, 4], [0.5, 0.5, np.nan, 0.5])],
)  # fmt: skip
def test_what_is_no_curve_is_refused(steps, accuracies):
    with pytest.raises(DseError):
        fitted(steps, accuracies)


@pytest.mark.parametrize("wrong", [{"end": 0.0}, {"window": 1}, {"tolerance": 0.0}])
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(DseError, match="wanted"):
        Extrapolation(**{"end": 10.0, **wrong})
