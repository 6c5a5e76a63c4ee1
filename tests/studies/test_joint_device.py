"""Prices of the joint system against the models that it joins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, Datapath, EncoderShape, Envm, LatencyAware, Storage, surviving
from hw_models.latency_aware import share_column
from hw_models.link import lan_testbed, shipped_link
from hw_models.machine import ArrayChip
from hw_models.systems.board import Board
from hw_models.systems.chip import Chip
from hw_models.systems.journey import OFFLOAD
from hw_models.uncertainty import sample_models, tables_in
from hw_models.workload import encoder
from search_spaces.joint import DEFAULTS
from studies.dynasplit.testbed import priced_testbed
from studies.joint.system import METRICS, Settings, priced

LAYERS = 6
SHAPE = EncoderShape(6, 384, 12, 1536, 384, 30522, 512, 2, 2, 6, off_ramp="mean_pool")
NETWORK = encoder(SHAPE, 64)
CHIP = priced(Settings(), NETWORK)
BOARD = priced(Settings(device="board", link="lan", waiting_mw=2700.0), NETWORK)


def machine(layers=LAYERS, width=16, wide=8):
    """The accelerator alone that holds the first layers."""
    shape = replace(SHAPE, layers=layers, groups=layers)
    return Accelerator(shape, 64, Datapath(int(width), 3, wide), Storage(Envm(idle="gated")))


def row(priced, n=1, **knobs):
    nobody = {f"answered_{i + 1}": 0.0 for i in range(LAYERS)}
    values = {**DEFAULTS, **nobody, "split_layer": LAYERS, "offloaded": 0.0, **knobs}
    return {name: np.resize(np.asarray(values[name]), n) for name in priced.signature.inputs}


def away_time(priced, columns):
    """Time on link and in the cloud of a sentence that is sent [s]."""
    route = np.array([OFFLOAD.index(way) for way in columns["offload"]])
    return priced.away(columns, route).time


def shares(seed, split, sent):
    """Random shares of sentences answered after each of the first layers, and sent."""
    parts = np.empty(0)
    if split + sent:
        parts = np.random.default_rng(seed).dirichlet(np.ones(split + sent))
    answered = {f"answered_{i + 1}": parts[i] if i < split else 0.0 for i in range(LAYERS)}
    return answered | {"offloaded": parts[-1] if sent else 0.0}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.4, 0.8]),
    st.sampled_from([4, 6, 8]),
    st.sampled_from(["sram", "rram", "stt"]),
    st.sampled_from([0.5, 0.65, 0.8]),
    st.sampled_from([8.0, 16.0, 32.0]),
    st.sampled_from([4, 8, 12]),
)
def test_a_chip_with_all_layers_costs_what_the_accelerator_says(  # noqa: PLR0913
    seed, ratio, bits, cell, vdd, n, wide
):
    knobs = {"pruning_ratio": ratio, "weight_bits": bits, "envm_cell": cell, "vdd": vdd}
    part = shares(seed, LAYERS, 0)
    found = CHIP(row(CHIP, mac_width=n, activation_bits=wide, **knobs, **part))
    layers = np.arange(1, LAYERS + 1)
    share = np.array([part[f"answered_{i}"] for i in layers])
    p95 = layers[(np.cumsum(share) >= 0.95 - 1e-9).argmax()]
    depth = {
        "mean_exit_layer": np.array([layers @ share]),
        "p95_exit_layer": np.array([float(p95)]),
    }
    alone = machine(width=n, wide=wide)({k: np.array([v]) for k, v in knobs.items()} | depth)
    for name in ("energy", "latency_p95", "area"):
        assert found[name][0] == pytest.approx(alone[name][0], rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.floats(1e-3, 0.2))
def test_sentence_level_dvfs_is_that_of_latency_aware_inference(seed, early, deadline):
    priced = replace(CHIP, deadline=deadline)
    part = shares(seed, LAYERS, 0)
    found = priced(row(priced, dvfs="sentence", predict_layer=early, **part))
    knobs = {"pruning_ratio": 0.0, "weight_bits": 8, "envm_cell": "rram", "deadline": deadline}
    histogram = {share_column(i + 1): part[f"answered_{i + 1}"] for i in range(LAYERS)}
    aware = LatencyAware(machine(), early_layers=early)
    alone = aware({k: np.array([v]) for k, v in (knobs | histogram).items()})
    for name in ("energy", "latency_p95", "late_share", "area"):
        assert found[name][0] == pytest.approx(alone[name][0], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("split", range(1, LAYERS))
def test_a_board_that_sends_every_state_is_split_computing(split):
    sent = shares(0, 0, 1)
    frequency = np.array([0.6e9, 1.2e9, 1.8e9])
    found = BOARD(
        row(BOARD, 3, split_layer=split, offload="state", cpu_frequency=frequency, **sent)
    )
    bed = priced_testbed("minilm-l6", 64, waiting=2.7, idle=0.0, cpu_slowdown=5.0)
    _, goodput = shipped_link("lan")
    alone = bed(
        {"split_layer": np.full(3, split), "cpu_frequency": frequency,
         "tpu_mode": np.full(3, "off"), "cloud_gpu": np.full(3, "on"),
         "bandwidth": np.full(3, goodput)}
    )  # fmt: skip
    assert found["latency_p95"] == pytest.approx(alone["latency"], rel=1e-12)
    assert found["energy_total"] == pytest.approx(alone["energy"], rel=1e-12)
    assert not found["area"].any()


def test_the_shipped_lan_is_the_testbeds():
    link, goodput = shipped_link("lan")
    measured, rate = lan_testbed()
    assert replace(link, founded=measured.founded) == measured
    assert goodput == pytest.approx(rate, rel=1e-3)
    with pytest.raises(ValueError, match=r"'5g' is not one of \['lan', 'lte', 'wifi'\]"):
        shipped_link("5g")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, LAYERS), st.sampled_from(["fixed", "sentence"]))
def test_tail_latency_is_that_of_the_sentences_one_by_one(seed, split, dvfs):
    knobs = {"split_layer": split, "offload": "input", "predict_layer": 1}
    knobs["dvfs"] = dvfs if split > 1 else "fixed"
    columns = row(CHIP, **knobs, **shares(seed, split, 1))
    parts, found = CHIP.parts(columns), CHIP(columns)
    order = np.argsort(parts.latency[:, 0], kind="stable")
    reached = np.cumsum(parts.share[order, 0])
    assert found["latency_p95"][0] == parts.latency[order, 0][(reached >= 0.95 - 1e-9).argmax()]
    late = parts.share[parts.latency[:, 0] > CHIP.deadline, 0].sum()
    assert found["late_share"][0] == pytest.approx(late, abs=1e-12)
    whole = sum(part[0] for part in parts.energy.values())
    assert found["energy"][0] == pytest.approx(whole, rel=1e-12)
    assert found["bytes_sent"][0] == pytest.approx(128 * parts.share[-1, 0], rel=1e-12)


def test_fewer_layers_on_the_chip_are_less_silicon_and_none_is_none():
    areas = [
        CHIP(row(CHIP, split_layer=s, offload="input", **shares(0, 0, 1)))["area"][0]
        for s in range(LAYERS + 1)
    ]
    assert areas[0] == 0.0
    assert np.all(np.diff(areas) >= 0)
    assert areas[1] < areas[LAYERS]


@pytest.mark.parametrize("bits", [4.0, 8.0, 32.0])
def test_a_state_is_as_many_bytes_as_its_elements_take(bits):
    columns = row(CHIP, split_layer=3, offload="state", link_bits=bits, **shares(0, 0, 1))
    assert CHIP(columns)["bytes_sent"][0] == 64 * 384 * bits / 8


def test_a_batch_equals_its_rows():
    rng = np.random.default_rng(5)
    n = 30
    columns = row(CHIP, n)
    columns["split_layer"] = rng.integers(2, LAYERS + 1, n)
    columns["offload"] = np.where(columns["split_layer"] < LAYERS, "state", "none")
    columns["dvfs"] = rng.choice(["fixed", "sentence"], n)
    columns["vdd"] = rng.choice([0.5, 0.8], n)
    for i in range(LAYERS):
        columns[f"answered_{i + 1}"] = np.where(columns["split_layer"] == i + 1, 0.6, 0.0)
    columns["offloaded"] = np.full(n, 0.4)
    whole = CHIP(columns)
    alone = [CHIP({k: v[[i]] for k, v in columns.items()}) for i in range(n)]
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([r[name] for r in alone]))


def test_memories_that_forget_leak_while_a_sentence_is_away():
    away = {"split_layer": 1, "offload": "input", **shares(0, 0, 1)}
    parts = CHIP.parts(row(CHIP, 3, envm_cell=["rram", "stt", "sram"], **away))
    wait = away_time(CHIP, row(CHIP, 1, **away))
    waiting = parts.energy["waiting"]
    np.testing.assert_allclose(waiting[:2], np.repeat(10e-3 * wait, 2), rtol=1e-12)
    knobs = {"pruning_ratio": 0.0, "weight_bits": 8, "envm_cell": "sram", "vdd": 0.8}
    knobs |= {"mean_exit_layer": 1.0, "p95_exit_layer": 1.0}
    price = {k: np.array([v]) for k, v in knobs.items()}
    inside = machine(1).parts(price)
    leakage = inside["energy"]["envm_leakage"] / sum(inside["latency_p95"].values())
    np.testing.assert_allclose(waiting[2], (10e-3 + leakage) * wait, rtol=1e-12)
    assert leakage[0] > 0.1  # a hundred times what the idle logic is charged


def test_non_volatile_memories_leak_while_waiting_only_if_they_stay_powered():
    away = {"split_layer": 2, "offload": "state", **shares(0, 0, 1)}
    powered = priced(Settings(idle_memory="powered"), NETWORK)
    gated, on = (p.parts(row(p, 1, **away)).energy["waiting"][0] for p in (CHIP, powered))
    assert on > 1.5 * gated


def test_a_voltage_is_chosen_before_it_is_known_whether_the_answer_is_trusted():
    tight = replace(CHIP, deadline=0.066)
    asked = {"dvfs": "sentence", "split_layer": 4, "predict_layer": 1}
    here = shares(0, 4, 0)
    alone = tight.parts(row(tight, 1, offload="none", **asked, **here))
    maybe = tight.parts(row(tight, 1, offload="input", **asked, **here))
    wait = away_time(tight, row(tight, 1, offload="input", **asked, **here))
    # What leaves before the device's last layer is foretold to, and has the whole deadline.
    np.testing.assert_array_equal(maybe.latency[:3], alone.latency[:3])
    assert maybe.latency[3] + wait <= 0.066 + 1e-12
    assert maybe.latency[3] + wait == maybe.latency[LAYERS]
    assert maybe.energy["device"] > alone.energy["device"]


def front():
    """Four cells, three places for the weights and two voltages, all sentences on the device."""
    cells = ["rram", "stt", "pcm", "sram", "rram", "stt"]
    stores = ["envm", "envm", "envm", "sram", "dram", "sram"]
    return row(CHIP, n=6, answered_3=1.0, envm_cell=cells, weight_store=stores,
               vdd=[0.8, 0.8, 0.6, 0.6, 0.8, 0.6], mac_width=[8, 16, 16, 16, 8, 32])  # fmt: skip


def test_a_joint_front_is_asked_which_of_its_designs_survive():
    assert {table.name for table in tables_in(CHIP)} == {
        "datapath_12nm", "arithmetic_45nm", "sram_cacti_22nm", "sram_scaling_12nm",
        "envm_nvsim_22nm", "dram", "dvfs_12nm", "supply_12nm",
    }  # fmt: skip
    losses = ("energy", "latency_p95", "area")
    share = surviving(CHIP, front(), losses, 50, np.random.default_rng(0))
    assert ((share > 0) & (share < 1)).any()
    again = surviving(CHIP, front(), losses, 50, np.random.default_rng(0))
    assert (share == again).all()
    drawn = sample_models(CHIP, 2, np.random.default_rng(0))
    assert drawn[0](front())["energy"].tolist() != drawn[1](front())["energy"].tolist()


def test_a_board_holds_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to draw: Journey holds no table"):
        sample_models(BOARD, 2, np.random.default_rng(0))


def test_a_chip_of_fewer_layers_has_less_to_load_and_none_has_nothing():
    columns = row(CHIP, n=4, split_layer=[0, 2, 6, 6], envm_cell=["sram"] * 3 + ["rram"],
                  offloaded=1.0, offload="state")  # fmt: skip
    found = CHIP(columns)
    for name in ("image_bytes", "power_on_energy", "power_on_time"):
        assert found[name][0] == 0 < found[name][1] < found[name][2]
    assert found["power_on_energy"][3] == 0
    assert found["image_bytes"][3] == found["image_bytes"][2]
    assert CHIP.signature.outputs.keys() == found.keys() <= METRICS.keys()
    assert CHIP.signature.evidence.keys() == found.keys()


@pytest.mark.parametrize("priced", [CHIP, BOARD, replace(CHIP, deadline=0.066)])
def test_layers_link_waiting_and_cloud_sum_to_the_energy(priced):
    rng = np.random.default_rng(7)
    n = 40
    columns = row(priced, n)
    columns["split_layer"] = rng.integers(0, LAYERS + 1, n)
    last, none = columns["split_layer"] == LAYERS, columns["split_layer"] == 0
    columns["offload"] = np.where(last | none, "input", rng.choice(["state", "input", "none"], n))
    if "dvfs" in columns:
        fixed = columns["split_layer"] < 2
        columns["dvfs"] = np.where(fixed, "fixed", rng.choice(["fixed", "sentence"], n))
        columns["mac_width"] = rng.choice([8.0, 16.0], n)
        columns["envm_cell"] = rng.choice(["rram", "sram"], n)
    for i in range(n):
        split, sent = int(columns["split_layer"][i]), columns["offload"][i] != "none"
        for name, share in shares(i, split, int(sent)).items():
            columns[name][i] = share
    found, parts = priced(columns), priced.break_down(columns)
    whole = np.sum(list(parts.values()), axis=0)
    assert whole.shape == (LAYERS + 1, n)
    assert whole.sum(axis=0) == pytest.approx(found["energy_total"], rel=1e-12)
    mine = (whole - parts["cloud"]).sum(axis=0)
    assert mine == pytest.approx(found["energy"], rel=1e-9)
    assert parts["cloud"].sum(axis=0) == pytest.approx(found["energy_cloud"], rel=1e-12)
    # No layer behind the split is paid for on the device.
    behind = np.arange(LAYERS + 1)[:, np.newaxis] > columns["split_layer"]
    assert not whole[behind].any()


def test_knobs_by_layer_are_priced_and_those_of_one_value_are_one_value():
    one = row(CHIP, 3, weight_bits=[4, 6, 8], dvfs=["fixed", "sentence", "fixed"],
              answered_2=0.5, answered_6=0.5)  # fmt: skip
    many = one | {"weight_bits": np.repeat(one["weight_bits"][np.newaxis], LAYERS + 1, axis=0)}
    for name, values in CHIP(one).items():
        np.testing.assert_allclose(CHIP(many)[name], values, rtol=1e-12)
    narrow = many["weight_bits"].copy()
    narrow[3] = 4
    assert (CHIP(many | {"weight_bits": narrow})["energy"][1:] < CHIP(one)["energy"][1:]).all()


def test_what_a_journey_would_misread_is_refused():
    with pytest.raises(ValueError, match="split_layer is no column of the device"):
        replace(CHIP, device=Chip(ArrayChip(), NETWORK))
    with pytest.raises(ValueError, match="sequence_length is a column of the device"):
        replace(CHIP, device=Chip(ArrayChip(), NETWORK, ("split_layer", "sequence_length")))
    with pytest.raises(ValueError, match=r"answered_4 = 0\.5 of a device that holds fewer layers"):
        CHIP(row(CHIP, split_layer=3, answered_4=0.5, answered_3=0.5))
    for system in (CHIP, BOARD):
        with pytest.raises(ValueError, match=r"split_layer = 7\.0 layer is outside 0 to 6 layer"):
            system.parts(row(system, split_layer=7))
        lacking = {k: v for k, v in row(system).items() if k != "answered_3"}
        with pytest.raises(ValueError, match=r"columns \['answered_3'\] are missing"):
            system.break_down(lacking)
    halves = np.full((5, 1), 0.5)
    with pytest.raises(ValueError, match=r"share must have shape \(layers, n\) = \(6, 1\), got"):
        LatencyAware(machine()).break_down(
            {"pruning_ratio": np.zeros(1), "weight_bits": np.full(1, 8), "deadline": np.ones(1),
             "envm_cell": np.array(["rram"])}, halves,
        )  # fmt: skip


def test_evidence_is_that_of_device_link_and_cloud():
    evidence = CHIP.signature.evidence
    assert evidence["energy"] == evidence["latency_p95"] == "unverified"
    assert evidence["bytes_sent"] == "closed form"
    assert BOARD.signature.evidence["area"] == "closed form"
    seen = replace(BOARD, link=replace(BOARD.link, founded="measured"))
    seen = replace(seen, cloud=replace(BOARD.cloud, founded="measured"))
    assert isinstance(BOARD.device, Board)
    seen = replace(seen, device=Board(replace(BOARD.device.device, founded="measured")))
    assert seen.signature.evidence["energy"] == "measured"
