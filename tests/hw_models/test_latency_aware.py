"""Latency-aware inference: bounds, ceilings and the shape of EdgeBERT's headline."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, AttentionSpan, Envm, Storage
from hw_models.latency_aware import LatencyAware, share_column

DESIGN = st.tuples(
    st.floats(0, 0.95), st.integers(4, 8), st.sampled_from(["rram", "stt", "pcm", "sram"]),
    st.floats(1e-4, 1e-1), st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
)  # fmt: skip


def batch(*designs):
    pruning, bits, cell, deadline, weights = zip(*designs, strict=True)
    shares = np.array(weights, dtype=float)
    shares = shares / shares.sum(axis=1, keepdims=True)
    columns = {"pruning_ratio": np.array(pruning), "weight_bits": np.array(bits),
               "envm_cell": np.array(cell), "deadline": np.array(deadline)}  # fmt: skip
    return columns | {share_column(i + 1): shares[:, i] for i in range(shares.shape[1])}


@pytest.fixture(scope="module")
def aware(minilm):
    return LatencyAware(Accelerator(minilm, 64, storage=Storage(Envm(idle="gated"))))


@given(st.lists(DESIGN, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_batch_equals_its_rows(aware, designs):
    together = aware(batch(*designs))
    for i, design in enumerate(designs):
        for name, column in aware(batch(design)).items():
            assert column[0] == together[name][i]


@given(DESIGN)
@settings(max_examples=25, deadline=None)
def test_lateness_is_what_the_exits_say_and_energy_lies_between_its_voltages(aware, design):
    columns = batch(design)
    result, exits = aware(columns), aware.exits(columns)
    share = np.stack([columns[share_column(i + 1)] for i in range(6)])
    assert result["late_share"] == pytest.approx((share * ~exits.feasible).sum(axis=0))
    assert (exits.latency[exits.feasible] <= columns["deadline"][0]).all()
    assert exits.latency.min() <= result["latency_p95"][0] <= exits.latency.max()
    # Late sentences run at full speed, so none is slower than without DVFS.
    tight = aware.exits(columns | {"deadline": np.array([1e-9])})
    late = ~exits.feasible
    assert exits.latency[late] == pytest.approx(tight.latency[late])


def test_with_a_deadline_nothing_meets_it_is_plain_early_exit(aware):
    columns = batch((0.5, 8, "rram", 1e-9, [1, 1, 1, 1, 1, 1]))
    plain = {"vdd": np.array([0.8]), "mean_exit_layer": np.array([3.5]),
             "p95_exit_layer": np.array([6.0])}  # fmt: skip
    result, machine = aware(columns), aware.accelerator(columns | plain)
    assert result["late_share"][0] == pytest.approx(1)
    for name in ("energy", "latency_p95", "area"):
        assert result[name][0] == pytest.approx(machine[name][0], rel=1e-12)


def test_a_looser_deadline_never_costs_a_gated_machine_more(aware):
    deadlines = np.geomspace(1e-4, 1e-1, 60)
    columns = batch(*((0.5, 8, "rram", d, [1, 2, 3, 2, 1, 1]) for d in deadlines))
    result = aware(columns)
    assert (np.diff(result["late_share"]) <= 1e-12).all()
    assert (np.diff(result["energy"]) <= 1e-15).all()
    assert result["energy"][-1] == result["energy"][-5]  # the plateau


@pytest.mark.parametrize("deadline", [3e-4, 1e-3, 2e-3, 5e-3])
def test_every_exit_takes_the_lowest_voltage_that_a_slow_search_finds(aware, deadline):
    columns = batch((0.5, 8, "rram", deadline, [1] * 6))
    exits, rows = aware.exits(columns), aware.accelerator.points.table.columns["vdd"]

    def run(vdd, depth):
        machine = {"vdd": np.array([vdd]), "mean_exit_layer": np.array([float(depth)]),
                   "p95_exit_layer": np.array([float(depth)])}  # fmt: skip
        result = aware.accelerator(columns | machine)
        return result["energy"][0], result["latency_p95"][0]

    early_energy, early_time = run(0.8, 1)
    for layer in range(2, 7):
        for vdd in rows:
            (energy, time), (energy_one, time_one) = run(vdd, layer), run(vdd, 1)
            settling = aware.supply.switching_time(np.array([0.8]), np.array([vdd]))[0]
            if early_time + settling + time - time_one <= deadline or vdd == rows[-1]:
                break
        assert exits.vdd[layer - 1, 0] == vdd
        expected = early_energy + energy - energy_one
        assert exits.energy[layer - 1, 0] == pytest.approx(expected, rel=1e-9)


def headline(albert, store="envm"):
    """Switching and total energy ratios at a depth distribution with a mean of 4 of 12 layers."""
    machine = Accelerator(albert, 128, storage=Storage(Envm(idle="gated"), store))
    share = 0.78 ** np.arange(12)
    share = share / share.sum()
    ratio = float((share * np.arange(1, 13)).sum())
    design = {"pruning_ratio": np.array([0.5]), "weight_bits": np.array([8]),
              "envm_cell": np.array(["rram"])}  # fmt: skip
    shares = {share_column(i + 1): share[i : i + 1] for i in range(12)}
    aware = LatencyAware(machine)(design | shares | {"deadline": np.array([1.0])})
    full = {"vdd": np.array([0.8]), "p95_exit_layer": np.array([12.0])}
    base = machine(design | full | {"mean_exit_layer": np.array([12.0])})
    exits = machine(design | full | {"mean_exit_layer": np.array([ratio])})
    energies = base["energy"][0], exits["energy"][0], aware["energy"][0]
    return ratio, energies


def test_the_headline_has_the_published_shape(albert):
    mean, (base, exits, aware) = headline(albert)
    assert mean == pytest.approx(4, abs=0.2)
    # Dynamic voltage cannot beat the square of the voltage nor touch the early layer.
    assert 1.0 < exits / aware < 2.56
    late = mean - 1
    assert exits / aware < mean / (1 + late / 2.56) * 1.02
    assert base / exits == pytest.approx(12 / mean, rel=0.05)
    assert base / aware > base / exits


def test_what_scales_with_the_supply_decides_how_near_the_ceiling_it_comes(albert):
    def saved(store):
        _, (base, exits, aware) = headline(albert, store)
        return exits / aware, base / aware

    (banks, whole), (macros, _), (dram, _) = (saved(s) for s in ("sram", "envm", "dram"))
    assert 1.0 < dram < macros < banks < 1.84
    # Layer savings times voltage, then 8 of 12 heads off: the published product is up to 7.
    off = AttentionSpan((0.0,) * 8 + (128.0,) * 4).layer_macs(albert, np.array([128.0]))[0]
    assert 6.0 < whole * albert.layer_macs(np.array([128.0]))[0] / off < 7.0


def test_shares_must_be_a_histogram(aware):
    columns = batch((0.5, 8, "rram", 1e-2, [1, 1, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match="not to 1 within 1e-9"):
        aware(columns | {share_column(1): np.array([0.5])})
    with pytest.raises(ValueError, match=r"exit_share_2 = -0\.5 1"):
        aware(columns | {share_column(2): np.array([-0.5])})
    with pytest.raises(ValueError, match=r"deadline = 0\.0 s"):
        aware(columns | {"deadline": np.array([0.0])})


def test_it_travels_and_says_what_it_rests_on(aware):
    columns = batch((0.5, 8, "rram", 1e-2, [1] * 6))
    assert pickle.loads(pickle.dumps(aware))(columns) == aware(columns)
    assert list(aware(columns)) == list(aware.signature.outputs)
    assert set(aware.signature.evidence) == set(aware.signature.outputs)
    assert aware.signature.inputs["exit_share_6"] == "1"
    with pytest.raises(ValueError, match="early_layers = 7 is outside 1 to 6"):
        LatencyAware(aware.accelerator, 7)
