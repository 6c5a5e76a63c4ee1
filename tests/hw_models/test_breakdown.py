"""Parts by layer and component sum to the totals of the machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, Storage
from hw_models.breakdown import break_down, executed_shares

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
