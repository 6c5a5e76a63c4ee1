"""Cycles against the closed forms of EdgeBERT's state machines; gating and energy laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.datapath import (
    MAC_WIDTHS,
    Datapath,
    InitiationIntervals,
    add_states,
    entropy_states,
    layer_norm_states,
    matmul_cycles,
    softmax_states,
)
from hw_models.silicon import Silicon
from hw_models.table import shipped

S128 = np.array([128.0])


@pytest.mark.parametrize(
    ("width", "cycles"), [(2, 232.8e6), (4, 58.20e6), (8, 14.55e6), (16, 3_637_248), (32, 0.909e6)]
)
def test_an_albert_layer_takes_macs_over_n_squared(albert, width, cycles):
    total = sum(matmul_cycles(m, width)[0] for m in albert.layer_matmuls(S128))
    assert total == albert.layer_macs(S128)[0] / width**2
    assert total == pytest.approx(cycles, rel=1e-3)


def test_special_function_states_of_an_albert_layer():
    assert softmax_states(12 * S128, S128, 16)[0] == 112_128
    assert layer_norm_states(2 * S128, np.array([768.0]), 16)[0] == 111_104
    assert add_states(2 * S128, np.array([768.0]), 16)[0] == 73_984
    assert entropy_states(np.ones(1), np.array([2.0]), 16)[0] == 6


def test_a_single_row_costs_as_much_as_n(albert):
    pooler, classifier = albert.off_ramp_matmuls()
    assert matmul_cycles(pooler, 16)[0] == 36_864
    assert matmul_cycles(classifier, 16)[0] == 768


def test_the_work_of_a_layer_is_its_matmuls_and_its_intervals(albert):
    work = Datapath().layer_work(albert, 128)
    assert work.matmul_cycles == 3_637_248
    assert work.weight_macs + work.attention_macs == 931_135_488
    assert work.sfu_states == 112_128 + 111_104 + 73_984
    assert work.sfu_cycles == 3 * (112_128 + 111_104) + 73_984


def test_zeros_never_change_cycles(albert):
    works = [Datapath(zero_gating=g).layer_work(albert, 128) for g in ("element", "vector", "none")]
    assert len({(w.matmul_cycles, w.sfu_cycles) for w in works}) == 1


@given(st.floats(0, 1), st.sampled_from(MAC_WIDTHS))
def test_gating_whole_vectors_saves_no_more_than_gating_elements(sparsity, width):
    s = np.array([sparsity])
    element = Datapath(mac_width=width).active(s)[0]
    vector = Datapath(mac_width=width, zero_gating="vector").active(s)[0]
    assert 0 <= element <= vector <= Datapath(zero_gating="none").active(s)[0] == 1
    assert vector == pytest.approx(1 - sparsity**width, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("bound", ["low", "nominal", "high"])
def test_mac_buffers_and_leakage_meet_the_anchor(bound):
    anchor = shipped("datapath_12nm", bound)
    silicon = Silicon(anchor)
    c, b = anchor.constant, np.array([8.0])
    mac = silicon.mac_energy(b, b, 3, 16)[0]
    buffers = 2 * silicon.buffer_read().of(16 * 8)
    power = (256 * mac + buffers) * c("frequency") + silicon.leakage(16)
    assert power == pytest.approx(c("power"), rel=1e-12)
    assert silicon.area(16) == pytest.approx(c("area"), rel=1e-12)


@given(st.integers(4, 15), st.integers(1, 3), st.sampled_from(MAC_WIDTHS))
def test_a_mac_costs_more_with_every_bit(bits, exponent, width):
    silicon = Silicon()
    narrow, wide, eight = np.array([float(bits)]), np.array([bits + 1.0]), np.array([8.0])
    base = silicon.mac_energy(narrow, eight, exponent, width)[0]
    assert 0 < base < silicon.mac_energy(wide, eight, exponent, width)[0]
    swapped = silicon.mac_energy(eight, narrow, exponent, width)[0]
    assert swapped == pytest.approx(base, rel=1e-12)


def test_a_wider_exponent_costs_alignment():
    silicon, mantissa = Silicon(), 4.0
    costs = [
        silicon.mac_energy(*2 * (np.array([mantissa + 1 + e]),), e, 16)[0] for e in range(1, 6)
    ]
    assert (np.diff(costs) > 0).all()


def test_area_and_leakage_grow_with_the_array():
    silicon = Silicon()
    for measure in (silicon.area, silicon.leakage):
        assert (np.diff([measure(n) for n in MAC_WIDTHS]) > 0).all()


def test_an_anchor_below_its_own_buffers_is_refused():
    anchor = shipped("datapath_12nm")
    poor = dict(anchor.columns) | {"power": np.array([1e-3])}
    with pytest.raises(ValueError, match=r"calibration = -.* must be positive"):
        Silicon(type(anchor)("poor", anchor.key, poor, anchor.units, anchor.origin))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mac_width", 12, r"mac_width = 12 is not one of \[2, 4, 8, 16, 32\]"),
        ("exponent_bits", 6, "exponent_bits = 6 bit is outside 1 to 5 bit"),
        ("activation_bits", 3, "activation_bits = 3 bit is outside 4 to 16 bit"),
        ("zero_gating", "row", "zero_gating = 'row' is not one of"),
    ],
)
def test_a_datapath_that_cannot_be_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Datapath(**{field: value})


def test_a_unit_cannot_do_more_than_a_state_a_cycle():
    with pytest.raises(ValueError, match=r"softmax = 0\.5 cycle"):
        InitiationIntervals(softmax=0.5)
