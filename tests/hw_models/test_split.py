"""Board, link and cloud: closed forms of the published testbed, laws, refusals."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cloud import CloudNode
from hw_models.edge_device import EdgeDevice
from hw_models.link import Link, lan_testbed, shipped_link
from hw_models.split import SplitComputing
from hw_models.table import shipped

LINKS = ("lan", "wifi", "lte")
OFF = np.array(["off"])


def board(layers=4):
    steps = np.arange(layers + 1.0)
    cycles = np.stack([1e9 * steps, 2e8 * steps])
    fixed = np.stack([0.02 * steps, 0.01 * steps])
    power = np.array([3.0, 4.0]), np.array([0.26e-27, 0.2e-27])
    return EdgeDevice(("off", "std"), cycles, fixed, *power, 2.7, (0.6e9, 1.8e9))


def machine(layers=4):
    left = layers - np.arange(layers + 1.0)
    cloud = CloudNode(np.stack([0.02 * left, 0.002 * left]), np.array([600.0, 930.0]))
    return SplitComputing(board(layers), Link(2.5e-3), cloud, 1e5 * left)


REQUEST = st.tuples(
    st.integers(0, 4), st.floats(0.6e9, 1.8e9), st.sampled_from(["off", "std"]),
    st.sampled_from(["off", "on"]), st.floats(1e5, 1e9),
)  # fmt: skip


def batch(*requests):
    columns = zip(*requests, strict=True)
    return {n: np.array(c) for n, c in zip(SplitComputing.inputs, columns, strict=True)}


def test_a_raspberry_pi_follows_its_law():
    # Energy over mean power of published VGG16 runs: 14.6 J / 2.97 W, 7.85 J / 4.48 W.
    clock = np.array([0.6e9, 1.8e9])
    pi = EdgeDevice.pi4_vgg16()
    time = pi.latency(np.array([22, 22]), clock, np.array(["off", "off"]))
    assert time == pytest.approx([14.6 / 2.97, 7.85 / 4.48], rel=0.005)
    measured = np.array([2.97, 3.46, 3.26, 3.78, 4.07, 4.48])
    clocks = np.array([0.6, 1.0, 1.2, 1.4, 1.6, 1.8]) * 1e9
    assert pi.power(clocks, np.repeat(OFF, 6)) == pytest.approx(measured, rel=0.065)
    with pytest.raises(ValueError, match=r"split_layer = 7 layer with tpu_mode = 'off' was"):
        pi.latency(np.array([7]), clock[:1], OFF)


@pytest.mark.parametrize(("kib", "milliseconds"), [(588, 10.6), (3136, 45.9), (98, 3.9)])
def test_the_testbed_link_moves_tensors_as_published(kib, milliseconds):
    link, goodput = lan_testbed()
    time = link.latency(np.array([kib * 1024.0]), np.array([goodput]))
    assert time[0] == pytest.approx(milliseconds * 1e-3, abs=0.05e-3)  # printed digits
    assert goodput == pytest.approx(592e6, rel=0.005)


@given(st.lists(REQUEST, min_size=1, max_size=8))
@settings(deadline=None)
def test_a_batch_equals_its_rows_and_parts_sum(requests):
    model = machine()
    together = model(batch(*requests))
    for i, request in enumerate(requests):
        row, parts = model(batch(request)), model.parts(batch(request))
        for name in model.signature.outputs:
            assert row[name][0] == together[name][i]
            assert row[name][0] == pytest.approx(sum(p[0] for p in parts[name].values()))


@given(REQUEST, st.floats(1, 10))
def test_a_faster_link_or_clock_is_never_slower(request_, factor):
    model, columns = machine(), batch(request_)
    base = model(columns)["latency"][0]
    wider = {**columns, "bandwidth": columns["bandwidth"] * factor}
    assert model(wider)["latency"][0] <= base * (1 + 1e-12)
    quicker = {**columns, "cpu_frequency": np.minimum(columns["cpu_frequency"] * factor, 1.8e9)}
    assert model(quicker)["latency"][0] <= base * (1 + 1e-12)


def test_the_ends_leave_one_side_out():
    model = machine()
    cloud, edge = (model.parts(batch((k, 1e9, "off", "on", 1e8))) for k in (0, 4))
    assert cloud["latency"]["edge"][0] == 0
    assert edge["latency"]["transfer"][0] == edge["latency"]["cloud"][0] == 0
    assert edge["energy"]["cloud"][0] == 0


def test_a_link_charges_frames_bytes_and_a_tail():
    link = Link(1e-3, base_power=1.0, frame_energy=1e-3, byte_energy=1e-6, tail_energy=0.5)
    size = np.array([0.0, 1.0, 1501.0])
    time = link.latency(size, np.full(3, 1e6))
    assert time == pytest.approx([0, 1e-3 + 8e-6, 1e-3 + 8 * 1501e-6])
    sent = [0, 1e-3 + 1e-6 + 0.5, 2e-3 + 1501e-6 + 0.5]
    assert link.energy(size, time) == pytest.approx(sent + time)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("split_layer", 5, "split_layer = 5.0 layer is outside 0 to 4 layer"),
     ("split_layer", 1.5, "is not a whole number, a place to cut"),
     ("cpu_frequency", 2e9, "cpu_frequency = 2000000000.0 Hz is outside 6e.08 to 1.8e.09 Hz"),
     ("tpu_mode", "max", "tpu_mode = 'max' is not one of .'off', 'std'.*of this board"),
     ("cloud_gpu", "yes", "cloud_gpu = 'yes' is not one of .'off', 'on'"),
     ("bandwidth", 0.0, "bandwidth = 0.0 bit/s is outside")],
)  # fmt: skip
def test_a_bad_request_is_refused(column, value, message):
    with pytest.raises(ValueError, match=message):
        machine()(batch((1, 1e9, "off", "on", 1e8)) | {column: np.array([value])})


def test_parts_that_do_not_fit_each_other_are_refused():
    model = machine()
    with pytest.raises(ValueError, match="must hold layers"):
        SplitComputing(model.edge, model.link, model.cloud, np.zeros(3))
    with pytest.raises(ValueError, match="tail must have shape"):
        CloudNode(np.zeros((1, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="idle = 5 W is outside"):
        CloudNode(np.zeros((2, 3)), np.ones(2), idle=5)
    with pytest.raises(ValueError, match="fixed must have shape"):
        EdgeDevice(
            ("off",), np.zeros((1, 3)), np.zeros((1, 2)), np.ones(1), np.ones(1), 1.0, (1, 2)
        )
    with pytest.raises(ValueError, match="byte_energy = -1 J/byte"):
        Link(0.0, byte_energy=-1)
    with pytest.raises(ValueError, match="frame_bytes = 0 byte"):
        Link(0.0, frame_bytes=0)


@pytest.mark.parametrize("worse", ["edge", "link", "cloud", None])
def test_the_weakest_part_says_how_well_a_total_is_founded(worse):
    model = machine()
    assert set(model.signature.evidence.values()) == {"published"}
    if worse is None:
        model = replace(model, founded="unverified")
    else:
        part = replace(getattr(model, worse), founded="unverified")
        model = replace(model, **{worse: part})
    assert model.signature.evidence == {"latency": "unverified", "energy": "unverified"}


@pytest.mark.parametrize(
    ("link", "founded"),
    [(lan_testbed, "published"), *((partial(shipped_link, n), "unverified") for n in LINKS)],
)
def test_a_shipped_link_carries_the_evidence_of_its_table(link, founded):
    model = replace(machine(), link=link()[0])
    assert model.signature.evidence["energy"] == founded


def test_a_shipped_board_carries_the_evidence_of_its_table():
    table = shipped("edge_pi4_vgg16")
    assert EdgeDevice.pi4_vgg16().founded == "published"
    recalled = replace(table, origin=replace(table.origin, evidence="unverified"))
    assert EdgeDevice.pi4_vgg16(recalled).founded == "unverified"
