"""Parts by layer and component sum to the totals of the machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import (
    Accelerator,
    CloudNode,
    EdgeDevice,
    Envm,
    Link,
    SplitComputing,
    Storage,
    Supply,
)
from hw_models.breakdown import break_down, break_down_split, executed_shares
from hw_models.columns import total
from hw_models.latency_aware import LatencyAware, share_column
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.systems.early_exit import EarlyExit
from hw_models.workload import encoder

SHARES = st.lists(st.floats(0.01, 1), min_size=6, max_size=6)


@given(SHARES, st.floats(0, 1), st.sampled_from(["envm", "sram", "dram"]))
@settings(deadline=None)
def test_parts_sum_to_the_energy_at_the_mean_depth(minilm, weights, pruning, store):
    exits = np.array(weights)[:, np.newaxis] / sum(weights)
    machine = Accelerator(minilm, 64, storage=Storage(weights=store))
    design = {"pruning_ratio": np.array([pruning]), "weight_bits": np.array([8]),
              "envm_cell": np.array(["stt"]), "vdd": np.array([0.65])}  # fmt: skip
    parts = break_down(machine, design, np.minimum(executed_shares(exits), 1.0))
    mean = (exits[:, 0] * np.arange(1, 7)).sum()
    depth = {"mean_exit_layer": np.array([mean]), "p95_exit_layer": np.array([min(mean, 6.0)])}
    whole = machine(design | depth)
    assert sum(part.sum() for part in parts.energy.values()) == pytest.approx(whole["energy"][0])
    total = sum(part.sum() for part in parts.latency.values())
    assert total == pytest.approx(whole["latency_p95"][0])
    assert all(part.shape == (7, 1) and (part >= 0).all() for part in parts.energy.values())


def test_deeper_layers_cost_what_reaches_them(minilm):
    exits = np.array([[0.5], [0.25], [0.25], [0.0], [0.0], [0.0]])
    executed = executed_shares(exits)
    assert executed[:, 0].tolist() == [1, 0.5, 0.25, 0, 0, 0]
    design = {"pruning_ratio": np.array([0.5]), "weight_bits": np.array([8]),
              "envm_cell": np.array(["stt"]), "vdd": np.array([0.65])}  # fmt: skip
    mac = break_down(Accelerator(minilm, 64), design, executed).energy["mac"][:, 0]
    assert mac[0] == 0
    assert mac[1:] == pytest.approx(mac[1] * executed[:, 0])


def test_shares_that_do_not_fit_are_refused(minilm):
    design = {"pruning_ratio": np.array([0.5]), "weight_bits": np.array([8]),
              "envm_cell": np.array(["stt"]), "vdd": np.array([0.65])}  # fmt: skip
    machine = Accelerator(minilm, 64)
    with pytest.raises(ValueError, match=r"shape \(layers, n\) = \(6, 1\), got \(5, 1\)"):
        break_down(machine, design, np.ones((5, 1)))
    with pytest.raises(ValueError, match=r"executed = 1\.5 1"):
        break_down(machine, design, np.full((6, 1), 1.5))


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=6, max_size=6), min_size=1, max_size=3),
    st.sampled_from(["rram", "sram", "rram_mlc3"]),
    st.sampled_from(["envm", "sram", "dram"]),
    st.integers(1, 6),
    st.floats(1e-4, 1e-1),
)
@settings(deadline=None, max_examples=30)
def test_sentences_at_voltages_of_their_own_sum_up(minilm, weights, cell, store, early, deadline):
    share = np.array(weights).T / np.sum(weights, axis=1)
    n = share.shape[1]
    machine = Accelerator(minilm, 64, storage=Storage(Envm(idle="gated"), store), supply=Supply())
    aware = LatencyAware(machine, early)
    design = {"pruning_ratio": np.full(n, 0.4), "weight_bits": np.full(n, 7),
              "envm_cell": np.full(n, cell), "deadline": np.full(n, deadline)}  # fmt: skip
    design |= {share_column(i + 1): share[i] for i in range(6)}
    whole, parts, layers = aware(design), aware.parts(design), aware.break_down(design)
    for name, components in parts.items():
        assert total(components) == pytest.approx(whole[name], rel=1e-12)
    assert np.array_equal(total(parts["area"]), whole["area"])
    spent = total(layers.energy)
    assert spent.shape == (7, n)
    assert spent.sum(axis=0) == pytest.approx(whole["energy"], rel=1e-12)
    mean = (share * aware.exits(design).latency).sum(axis=0)
    assert total(layers.latency).sum(axis=0) == pytest.approx(mean, rel=1e-12)


def test_layers_after_the_early_ones_are_charged_at_the_voltage_of_their_exit(minilm):
    aware = LatencyAware(Accelerator(minilm, 64))
    design = {"pruning_ratio": np.zeros(1), "weight_bits": np.array([8]),
              "envm_cell": np.array(["stt"]), "deadline": np.array([1.0])}  # fmt: skip
    one = np.zeros((6, 1))
    one[2] = 1.0
    layers = aware.break_down(design, one)
    assert np.flatnonzero(layers.latency["settling"][:, 0]).tolist() == [2]
    mac = layers.energy["mac"][:, 0]
    assert mac[[0, 4, 5, 6]].tolist() == [0, 0, 0, 0]
    assert mac[2] == mac[3] == pytest.approx(mac[1] * (0.5 / 0.8) ** 2)


def test_machines_of_several_sizes_sum_up_too(minilm):
    n = 6
    searched = ("pruning_ratio", "weight_bits", "envm_cell", "vdd", "mac_width", "sequence_length")
    sized = EarlyExit(Chip(ArrayChip(), encoder(minilm, 64), searched))
    design = {"pruning_ratio": np.linspace(0, 0.9, n), "weight_bits": np.full(n, 8),
              "envm_cell": np.resize(["rram", "sram"], n), "vdd": np.full(n, 0.7),
              "mac_width": np.resize([8, 16, 32], n),
              "sequence_length": np.resize([64, 128], n)}  # fmt: skip
    depth = {"mean_exit_layer": np.full(n, 3.0), "p95_exit_layer": np.full(n, 3.0)}
    whole, parts = sized(design | depth), sized.parts(design | depth)
    for name, components in parts.items():
        assert total(components) == pytest.approx(whole[name], rel=1e-12)
    executed = np.repeat([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]], n, axis=1)
    layers = break_down(sized, design, executed)
    assert total(layers.energy).sum(axis=0) == pytest.approx(whole["energy"], rel=1e-12)
    assert total(layers.latency).sum(axis=0) == pytest.approx(whole["latency_p95"], rel=1e-12)


@given(st.integers(0, 4), st.sampled_from(["off", "on"]), st.floats(1e5, 1e9))
@settings(deadline=None)
def test_a_split_request_sums_up_layer_by_layer(split, gpu, bandwidth):
    done = np.arange(5.0)
    edge = EdgeDevice(("off",), 1e9 * done[None], 0.1 + 0.2 * done[None], np.full(1, 3.0),
                      np.full(1, 2.6e-28), 2.7, (0.6e9, 1.8e9))  # fmt: skip
    cloud = CloudNode(np.outer([0.5, 0.01], 4 - done), np.array([887.0, 973.0]))
    model = SplitComputing(edge, Link(2.5e-3, base_power=0.8), cloud, 1e5 * (4 - done))
    request = {"split_layer": np.array([split]), "cpu_frequency": np.array([1.2e9]),
               "tpu_mode": np.array(["off"]), "cloud_gpu": np.array([gpu]),
               "bandwidth": np.array([bandwidth])}  # fmt: skip
    whole, layers = model(request), break_down_split(model, request)
    for name in ("energy", "latency"):
        parts = getattr(layers, name)
        assert total(parts).sum(axis=0) == pytest.approx(whole[name], rel=1e-12)
        ran = {k: np.flatnonzero(parts[k][1:, 0] > 1e-12) + 1 for k in ("edge", "cloud")}
        assert ran["edge"].tolist() == list(range(1, split + 1))
        assert ran["cloud"].tolist() == list(range(split + 1, 5))
