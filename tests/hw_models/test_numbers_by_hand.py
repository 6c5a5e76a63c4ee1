"""Times, leakage and traffic of the accelerator against numbers worked out on paper.

All tables are made here, of round numbers, so that nothing depends on a shipped constant.

One layer of `NARROW` on a 16 x 16 array, one cycle per state, 16 tokens:

    matrix products   query, key, value 3 (64/16)(64/16) 16 = 768; scores and context, 4 heads,
                      4 x 16 = 64 each; output (64/16)(64/16) 16 = 256; feed-forward, twice
                      (64/16)(128/16) 16 = 512; classifier (64/16) 1 x 16 = 64      sum 2240 cycles
    softmax           4 heads x 16 rows x (9 x 1 + 1) = 640 cycles
    layer norms       2 x 16 rows x (9 x 4 + 2) = 1216 cycles
    additions         2 x 16 rows x (6 x 4 + 1) = 800 cycles
    off-ramp          mean over tokens 16 x (6 x 4 + 1) = 400, entropy 4 x 1 + 2 = 6 cycles
                                                                    special functions 3062 cycles
    busy              2240 + 3062 = 5302 cycles
    weights           4 x 64^2 + 2 x 64 x 128 = 32768, of vectors 9 x 64 + 128 = 704, of the
                      classifier 65 x 2 = 130; at 16 bit 33602 x 16 = 537632 bit, 8400.5 words of 64
    pruned by half    32768 x (8 + 1 mask bit) + 834 x 16 = 308256 bit, 4816.5 words of 64

Its input stage:

    additions         two, 16 rows each: 2 x 16 x (6 x 4 + 1) = 800 cycles
    layer norm        16 x (9 x 4 + 2) = 608 cycles                                 sum 1408 cycles
    embeddings read   (2 x 16 + 1) rows x 64 x 16 bit = 33792 bit, 528 words of 64

Its memory, at 16 bit: embeddings (100000 + 64 + 2 + 2) x 64 x 16 = 102469632 bit, 6.1 macros of
2^24 bit; weights 4 x 33602 x 16 = 2150528 bit, 0.13 macros; both together 6.2 macros.
"""

from dataclasses import replace

import numpy as np
import pytest

from hw_models import (
    Accelerator,
    Datapath,
    EncoderShape,
    Envm,
    InitiationIntervals,
    OperatingPoints,
    Silicon,
    Storage,
    Supply,
)
from hw_models.latency_aware import LatencyAware, share_column
from hw_models.sram import Sram
from hw_models.table import Origin, Table

NARROW = EncoderShape(
    layers=4, hidden=64, heads=4, ffn=128, embedding=64, vocabulary=100_000, positions=64,
    segments=2, classes=2, groups=4, off_ramp="mean_pool",
)  # fmt: skip
WIDE = replace(NARROW, ffn=4096)
PROJECTED = replace(NARROW, embedding=32)

BUSY = 5302.0  # cycles of a layer
WORDS = 8400.5  # words of 64 bit that a layer streams


def made(key, **columns):
    origin = Origin("made for a test", "none", "none", "derived")
    arrays = {name: np.array(values) for name, values in columns.items()}
    units = {name: "choice" if a.dtype.kind == "U" else "1" for name, a in arrays.items()}
    return Table(f"by {key}", key, arrays, units, origin)


CELLS = made(
    "cell",
    cell=["pcm", "rram", "rram_mlc3", "sram"],
    area=[1e-6] * 4,
    read_energy=[64e-12] * 4,
    read_latency=[0.5e-9, 3e-9, 5e-9, 2e-9],
    leakage=[10e-3, 20e-3, 4e-3, 50e-3],
    volatile=[0.0, 0.0, 0.0, 1.0],
)
VOLTAGES = made(
    "vdd",
    vdd=[0.5, 0.62, 0.7, 0.8],
    f_max=[500e6, 625e6, 800e6, 1000e6],
    leakage_scale=[0.25, 0.4, 0.6, 1.0],
)
DRAM = made("technology", technology=["lpddr4"], transfer_energy=[10e-12])
WORD_WIDTHS = (32, 64, 128, 256, 512)
ARRAYS = made(
    "capacity",
    capacity=[2.0**15, 2.0**17, 2.0**20],
    area=[0.1e-6] * 3,
    access=[1.5e-9] * 3,
    leakage=[0.1e-3] * 3,
    **{f"{access}_{bits}": [8e-12] * 3 for access in ("read", "write") for bits in WORD_WIDTHS},
)
SCALING = made(
    "process", process=["same"], energy_scaling=[1.0], area_scaling=[1.0], delay_scaling=[1.0],
    leakage_scaling=[1.0],
)  # fmt: skip
ANCHOR = made(
    "design", design=["made"], power=[0.1], area=[1.5e-6], leakage_density=[2e3], vdd=[0.8],
    frequency=[1e9], mac_width=[16.0], bits=[8.0], exponent_bits=[3.0], buffer=[2.0**17],
    auxiliary=[2.0**15],
)  # fmt: skip
REGULATOR = made(
    "design", design=["made"], current_efficiency=[0.9], settling=[5e-9], settling_step=[0.05],
    pll_power=[2e-3], pll_frequency=[1e9],
)  # fmt: skip


def chip(shape=NARROW, tokens=16, *, activation_bits=8, idle="gated", mask="single_level",
         supply=None, **storage):  # fmt: skip
    silicon = Silicon(ANCHOR, sram=Sram(ARRAYS, SCALING))
    one_cycle = InitiationIntervals(1.0, 1.0, 1.0, 1.0)
    path = Datapath(16, 3, activation_bits, initiation=one_cycle, silicon=silicon)
    store = Storage(Envm(CELLS, idle, mask), dram=DRAM, **storage)
    return Accelerator(shape, tokens, path, store, OperatingPoints(VOLTAGES), None, supply)


def design(**changes):
    values = {"pruning_ratio": 0.0, "weight_bits": 16, "envm_cell": "pcm", "vdd": 0.8,
              "mean_exit_layer": 3.0, "p95_exit_layer": 2.5}  # fmt: skip
    return {name: np.array([value]) for name, value in (values | changes).items()}


def exactly(value):
    return pytest.approx(value, rel=1e-12, abs=0.0)


# Time of streaming and of computing, in ns. A clock takes 1 ns at 0.8 V and 2 ns at 0.5 V.
STREAMS = [
    # A macro is read once a clock if it is quicker, else at its own pace.
    ("envm", "pcm", {}, 8400.5, 5302.0),
    ("envm", "pcm", {"vdd": 0.5}, 2 * 8400.5, 10604.0),
    ("envm", "rram", {}, 3 * 8400.5, 5302.0),
    ("envm", "rram", {"vdd": 0.5}, 3 * 8400.5, 10604.0),
    ("envm", "sram", {}, 2 * 8400.5, 5302.0),
    # Weights beside cells of several levels lie in single-level ones.
    ("envm", "rram_mlc3", {}, 3 * 8400.5, 5302.0),
    ("envm", "rram", {"pruning_ratio": 0.5}, 3 * 4816.5, 5302.0),
    # 64 bit a clock.
    ("dram", "pcm", {}, 8400.5, 5302.0),
    ("dram", "pcm", {"vdd": 0.5}, 2 * 8400.5, 10604.0),
    ("dram", "pcm", {"pruning_ratio": 0.5}, 4816.5, 5302.0),
    # Words of 128 bit, 4200.25 of them; the bank's 1.5 ns are slower than a clock of 1 ns.
    ("sram", "pcm", {}, 1.5 * 4200.25, 5302.0),
    ("sram", "pcm", {"vdd": 0.5}, 2 * 4200.25, 10604.0),
    ("sram", "pcm", {"pruning_ratio": 0.5}, 1.5 * 2408.25, 5302.0),
]


@pytest.mark.parametrize(("store", "cell", "changes", "streaming", "busy"), STREAMS)
def test_hidden_weights_are_waited_for_as_long_as_they_stream_beyond_computing(
    store, cell, changes, streaming, busy
):
    machine, columns = chip(weights=store), design(envm_cell=cell, **changes)
    layer, sentence = machine.stages(columns).time_layer, machine.parts(columns)["latency_p95"]
    stall = max(streaming - busy, 0.0) * 1e-9
    # A difference of two sums of this size may keep their rounding.
    rounding = 1e-15 * 4 * streaming * 1e-9
    assert layer["stall"][0] == pytest.approx(stall, rel=1e-12, abs=rounding)
    assert sentence["stall"][0] == pytest.approx(2.5 * stall, rel=1e-12, abs=rounding)
    assert layer["matmul"][0] + layer["sfu"][0] == exactly(busy * 1e-9)


@pytest.mark.parametrize(("store", "cell", "changes", "streaming", "busy"), STREAMS)
def test_exposed_weights_are_waited_for_as_long_as_they_stream(
    store, cell, changes, streaming, busy
):
    machine = chip(weights=store, overlap=False)
    columns = design(envm_cell=cell, **changes)
    stages = machine.stages(columns)
    assert stages.time_layer["stall"][0] == exactly(streaming * 1e-9)
    assert machine.parts(columns)["latency_p95"]["stall"][0] == exactly(2.5 * streaming * 1e-9)
    assert stages.duration[0] == exactly((busy + streaming) * 1e-9)


def test_weights_at_risk_stream_from_cells_of_several_levels():
    columns = design(envm_cell="rram_mlc3")
    stall = chip(mask="same").stages(columns).time_layer["stall"][0]
    assert stall == exactly((5 * WORDS - BUSY) * 1e-9)


@pytest.mark.parametrize(
    ("store", "cell", "streaming"),
    [
        ("envm", "sram", 2 * 528.0),
        ("envm", "pcm", 528.0),
        ("dram", "pcm", 528.0),
        ("sram", "pcm", 1.5 * 264.0),
    ],
)
def test_a_projection_is_waited_for_in_the_input_stage(store, cell, streaming):
    # (32 + 1) x 64 x 16 bit = 528 words. Meanwhile the projection takes (32/16)(64/16) 16 = 128
    # cycles, the additions 2 x 16 x (6 x 2 + 1) = 416, the layer norm 16 x (9 x 2 + 2) = 320.
    hidden, exposed = (
        chip(PROJECTED, weights=store, overlap=o).stages(design(envm_cell=cell)).time_input
        for o in (True, False)
    )
    assert exposed["stall"][0] == exactly(streaming * 1e-9)
    assert hidden["stall"][0] == exactly(max(streaming - 864.0, 0.0) * 1e-9)
    assert hidden["matmul"][0] + hidden["sfu"][0] == exactly(864e-9)


def test_logic_leaks_while_it_waits():
    # 2 mW/mm^2 x 1.5 mm^2 = 3 mW; 1408 + 528 + 3 x 8400.5 = 27137.5 cycles, with all stalls.
    machine = chip(weights="dram")
    for vdd, period, scale in ((0.8, 1e-9, 1.0), (0.5, 2e-9, 0.25)):
        energy = machine.parts(design(vdd=vdd))["energy"]
        assert energy["logic_leakage"][0] == exactly(3e-3 * scale * 27137.5 * period)


def test_the_banks_decide_while_their_access_is_slower_than_the_clock():
    # 4200.25 words of 128 bit: 1.5 ns at 1 GHz and at 800 MHz, one clock of 1.6 and 2 ns below.
    machine = chip(weights="sram", overlap=False)
    for vdd, access in ((0.8, 1.5), (0.7, 1.5), (0.62, 1.6), (0.5, 2.0)):
        layer = machine.stages(design(vdd=vdd)).time_layer
        assert layer["stall"][0] == exactly(4200.25 * access * 1e-9)


@pytest.mark.parametrize(
    ("store", "cell", "mask", "vdd", "nanojoule"),
    [
        # 528 words of embeddings and 3 x 8400.5 of weights, 1 ns each, of a macro of 10 mW.
        ("envm", "pcm", "single_level", 0.8, 25729.5 * 10e-3),
        ("envm", "pcm", "single_level", 0.5, 2 * 25729.5 * 10e-3),
        # Embeddings alone.
        ("dram", "pcm", "single_level", 0.8, 528 * 10e-3),
        ("sram", "pcm", "single_level", 0.5, 2 * 528 * 10e-3),
        # Embeddings 5 ns a word in 4 mW; weights 3 ns a word in 20 mW.
        ("envm", "rram_mlc3", "single_level", 0.8, 528 * 5 * 4e-3 + 3 * 8400.5 * 3 * 20e-3),
        ("envm", "rram_mlc3", "same", 0.8, 25729.5 * 5 * 4e-3),
        ("dram", "rram_mlc3", "single_level", 0.8, 528 * 5 * 4e-3),
    ],
)
def test_of_gated_macros_one_leaks_and_only_while_it_is_read(store, cell, mask, vdd, nanojoule):
    machine = chip(weights=store, mask=mask)
    energy = machine.parts(design(envm_cell=cell, vdd=vdd))["energy"]
    assert energy["envm_leakage"][0] == exactly(nanojoule * 1e-9)


def test_powered_and_volatile_macros_all_leak_all_the_time():
    # Seven macros. Of 10 mW for 1408 + 528 + 3 x 8400.5 ns; of 50 mW for 1408 + 2 x 25729.5 ns.
    powered = chip(idle="powered").parts(design())["energy"]["envm_leakage"][0]
    assert powered == exactly(7 * 10e-3 * 27137.5e-9)
    volatile = chip(idle="gated").parts(design(envm_cell="sram"))["energy"]["envm_leakage"][0]
    assert volatile == exactly(7 * 50e-3 * 52867e-9)


@pytest.mark.parametrize(("activation_bits", "passes"), [(4, 1), (8, 2), (9, 3)])
def test_weights_stream_once_for_each_input_buffer_full_of_rows(activation_bits, passes):
    # The second feed-forward product reads 64 tokens x 4096 values: 131072 byte at 4 bit, which is
    # the buffer; 262144 byte at 8 bit, twice the buffer; 294912 byte at 9 bit. Its weights are
    # 4096 x 64 = 262144; all others 4 x 64^2 + 64 x 4096 = 278528; vectors 9 x 64 + 4096 = 4672;
    # the classifier 130. Of 8 bit each.
    bits = (278528 + passes * 262144 + 4672 + 130) * 8
    machine = chip(WIDE, 64, activation_bits=activation_bits, weights="dram", overlap=False)
    columns = design(weight_bits=8)
    stages = machine.stages(columns)
    assert stages.energy_layer["weight_read"][0] == exactly(bits * 10e-12)
    assert stages.time_layer["stall"][0] == exactly(bits / 64 * 1e-9)
    assert machine.parts(columns)["energy"]["weight_read"][0] == exactly(3 * bits * 10e-12)


@pytest.mark.parametrize(
    ("cell", "idle", "milliwatt"),
    [
        ("sram", "gated", 7 * 50.0),
        ("sram", "powered", 7 * 50.0),
        ("pcm", "gated", 0.0),
        ("pcm", "powered", 7 * 10.0),
        ("rram_mlc3", "gated", 0.0),
        # Seven macros of embeddings, and one of weights in single-level cells.
        ("rram_mlc3", "powered", 7 * 4.0 + 20.0),
    ],
)
def test_what_forgets_or_stays_powered_leaks_between_sentences(cell, idle, milliwatt):
    for vdd in (0.5, 0.8):  # the macros have a supply of their own
        kept = chip(idle=idle).stages(design(envm_cell=cell, vdd=vdd)).retention[0]
        assert kept == exactly(milliwatt * 1e-3)


def test_banks_keep_what_they_hold_at_the_voltage_of_the_logic():
    # Weights 4 x (4 x 64^2 + 2 x 64 x 4096 + 4672 + 130) x 8 bit = 17455168 bit, 2.1 banks of
    # 2^23 bit; embeddings 51234816 bit, 3.1 macros.
    machine, columns = chip(WIDE, weights="sram"), design(weight_bits=8, vdd=0.5)
    assert machine.stages(columns).retention[0] == exactly(3 * 0.1e-3 * 0.25)
    forgetful = machine.stages(columns | {"envm_cell": np.array(["sram"])}).retention[0]
    assert forgetful == exactly(3 * 0.1e-3 * 0.25 + 4 * 50e-3)


@pytest.mark.parametrize("store", ["envm", "sram", "dram"])
def test_the_regulator_feeds_logic_buffers_and_banks_and_neither_macros_nor_dram(store):
    # From 0.8 to 0.5 V at 0.9: 0.5625 arrives, so 7/9 of the load is lost.
    machine = chip(supply=Supply(REGULATOR, 0.8), weights=store, idle="powered")
    energy = machine.parts(design(vdd=0.5))["energy"]
    fed = ["mac", "buffer", "sfu", "logic_leakage", "bank_leakage"]
    fed += ["weight_read"] if store == "sram" else []
    load = sum(energy[name][0] for name in fed)
    assert energy["regulator"][0] == exactly(7 / 9 * load)
    assert energy["weight_read"][0] > 0.01 * load
    assert energy["envm_leakage"][0] > 0.01 * load


def test_the_clock_generator_draws_in_every_cycle_stalls_included():
    # 2 mW at 1 GHz are 2 pJ a cycle, of which there are 1408 + 528 + 3 x 8400.5.
    machine = chip(supply=Supply(REGULATOR, 0.8), weights="dram")
    for vdd in (0.5, 0.62, 0.8):
        energy = machine.parts(design(vdd=vdd))["energy"]
        assert energy["clock_generator"][0] == exactly(27137.5 * 2e-12)


# The input stage and two early layers: 1408 + 528 + 2 x 8400.5 = 18737 ns. Then a switch, 5 ns for
# each step of 50 mV or part of one, and late layers of 8400.5 cycles:
#
#     supply     switch    period     exit 3          exit 4
#     0.50 V     30 ns     2 ns       35568 ns        52369 ns
#     0.62 V     20 ns     1.6 ns     32197.8 ns      45638.6 ns
#     0.70 V     10 ns     1.25 ns    29247.625 ns    39748.25 ns
#     0.80 V      0 ns     1 ns       27137.5 ns      35538 ns
SHARES = (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("deadline", "supplies", "latencies", "settling"),
    [
        (53e-6, (0.5, 0.5), (35568.0, 52369.0), 0.7 * 30),
        (46e-6, (0.5, 0.62), (35568.0, 45638.6), 0.3 * 30 + 0.4 * 20),
        # In time but for the switch.
        (45.62e-6, (0.5, 0.7), (35568.0, 39748.25), 0.3 * 30 + 0.4 * 10),
        (33e-6, (0.62, 0.8), (32197.8, 35538.0), 0.3 * 20),
        (30e-6, (0.7, 0.8), (29247.625, 35538.0), 0.3 * 10),
        (20e-6, (0.8, 0.8), (27137.5, 35538.0), 0.0),
    ],
)
def test_settling_is_charged_to_the_first_late_layer_by_the_exits_that_switch(
    deadline, supplies, latencies, settling
):
    aware = LatencyAware(chip(weights="dram"), early_layers=2, supply=Supply(REGULATOR, 0.8))
    columns = design(deadline=deadline)
    columns |= {share_column(i + 1): np.array([share]) for i, share in enumerate(SHARES)}
    exits, parts = aware.exits(columns), aware.break_down(columns).latency
    assert exits.vdd[:, 0].tolist() == [0.8, 0.8, *supplies]
    early = (10336.5, 18737.0)
    assert exits.latency[:, 0] * 1e9 == pytest.approx([*early, *latencies], rel=1e-12)
    assert parts["settling"][:, 0] * 1e9 == exactly([0.0, 0.0, 0.0, settling, 0.0])
    mean = sum(s * t for s, t in zip(SHARES, (*early, *latencies), strict=True))
    assert sum(part.sum() for part in parts.values()) * 1e9 == exactly(mean)
