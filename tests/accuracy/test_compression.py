import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dse.accuracy.compression.adaptivfloat import Format, quantised
from dse.accuracy.compression.pruning import pruned
from dse.core.errors import DseError

SEEDS = st.integers(0, 2**32 - 1)
FORMS = st.sampled_from([(8, 3), (8, 4), (8, 2), (7, 3), (6, 3), (5, 3), (4, 3), (4, 2), (3, 1)])


def weights(seed):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=200) * 10.0 ** rng.uniform(-4, 3)).astype(np.float32)


def all_values(largest, bits, exponent_bits):
    """Every magnitude that exists: each code decoded by hand; code zero is the number zero."""
    mantissa = bits - 1 - exponent_bits
    bias = int(np.floor(np.log2(largest))) - (2**exponent_bits - 1)
    codes = range(1, 2 ** (exponent_bits + mantissa))
    decoded = [
        2.0 ** (bias + (code >> mantissa)) * (1 + (code % 2**mantissa) / 2**mantissa)
        for code in codes
    ]
    return np.array([0.0, *decoded])


def q(values, form):
    return quantised(torch.from_numpy(values), Format(*form)).numpy()


@given(SEEDS, FORMS)
def test_each_weight_becomes_the_nearest_value_that_exists(seed, form):
    w = weights(seed)
    magnitude = np.abs(w).astype(np.float64)
    values = all_values(magnitude.max(), *form)
    result = np.abs(q(w, form)).astype(np.float64)
    assert np.isin(result, values).all()
    nearest = np.abs(magnitude[:, None] - values).min(axis=1)
    assert np.array_equal(np.abs(result - magnitude), nearest)


@given(SEEDS, FORMS)
def test_quantising_is_idempotent_symmetric_and_monotone(seed, form):
    w = np.sort(weights(seed))
    result = q(w, form)
    assert np.array_equal(q(result, form), result)
    assert np.array_equal(q(-w, form), -result)
    assert (np.diff(result) >= 0).all()


def test_half_of_the_smallest_value_is_rounded_up_as_in_the_paper():
    # 1 mantissa bit and a largest weight of 8: exponents 0 to 3, so the smallest value is 1.5.
    w = np.array([8.0, 1.5, 0.75, np.nextafter(np.float32(0.75), np.float32(0)), 0.0], np.float32)
    assert q(w, (4, 2)).tolist() == [8.0, 1.5, 1.5, 0.0, 0.0]


def test_ties_between_mantissas_go_to_the_even_one():
    # 2 mantissa bits: 1, 1.25, 1.5, 1.75; 1.125 lies between codes 0 and 1, 1.375 between 1 and 2.
    w = np.array([1.75, 1.125, 1.375, -1.125], np.float32)
    assert q(w, (5, 2)).tolist() == [1.75, 1.0, 1.5, -1.0]


def test_what_is_larger_than_the_largest_value_becomes_it():
    assert q(np.array([1.999], np.float32), (4, 2)).tolist() == [1.5]


def test_a_tensor_of_zeros_stays_zero():
    assert not q(np.zeros(5, np.float32), (8, 3)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_only_finite_weights_are_quantised(value):
    with pytest.raises(DseError, match="finite"):
        q(np.array([1.0, value], np.float32), (8, 3))


@pytest.mark.parametrize("form", [(3, 3), (8, 0), (17, 3)])
def test_a_format_that_cannot_exist_is_refused(form):
    with pytest.raises(DseError, match="bits"):
        Format(*form)


@given(SEEDS, st.floats(0, 0.999))
def test_exactly_the_smallest_magnitudes_go(seed, ratio):
    rng = np.random.default_rng(seed)
    w = rng.integers(-6, 7, size=(rng.integers(1, 20), 7)).astype(np.float32)
    w[w == 0] = 1  # so that zeros are pruned ones; magnitudes still repeat
    result = pruned(torch.from_numpy(w), ratio).numpy()
    gone = result == 0
    assert gone.sum() == round(ratio * w.size)
    slow = np.argsort(np.abs(w).ravel(), kind="stable")[: gone.sum()]
    assert set(np.flatnonzero(gone)) == set(slow)
    assert np.array_equal(result[~gone], w[~gone])


@pytest.mark.parametrize("ratio", [-0.1, 1.0, np.nan])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(DseError, match="pruning_ratio"):
        pruned(torch.ones(4), ratio)
