"""Macros and banks against their sources, where the mask lies, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.memory import MACRO_BYTES, SINGLE_LEVEL, Envm, Held, macros_needed
from hw_models.sram import Sram
from hw_models.storage import Storage
from hw_models.table import shipped


def test_the_shipped_cells_hold_the_array_results():
    # NVSim results shipped with NVMExplorer @16eb289: 2 MiB, 22 nm, 64-bit word.
    macro = Envm().at(np.array(["rram", "stt", "pcm", "sram"])).data
    assert macro.area == pytest.approx([0.526e-6, 0.220e-6, 0.417e-6, 1.291e-6])
    assert 64 * macro.read_energy == pytest.approx([6.178e-12, 4.371e-12, 5.515e-12, 36.8e-12])
    assert macro.read_latency == pytest.approx([0.793e-9, 0.591e-9, 0.721e-9, 2.614e-9])
    assert macro.leakage == pytest.approx([12.0e-3, 22.0e-3, 43.5e-3, 54.8e-3])


@given(st.integers(1, 10**9))
def test_macros_hold_what_is_put_in_and_not_a_macro_more(bits):
    count = macros_needed(np.array([float(bits)]))[0]
    assert (count - 1) * MACRO_BYTES * 8 < bits <= count * MACRO_BYTES * 8


def test_gated_macros_leak_only_while_read_unless_they_would_forget():
    macros = Envm().at(np.array(["rram", "sram"]))
    five, time = Held(np.full(2, 5.0)), np.full(2, 1.0)
    always = macros.leakage_energy("powered", five, time, Held(0.1 * time))
    seldom = macros.leakage_energy("gated", five, time, Held(0.1 * time))
    assert always == pytest.approx(macros.data.leakage * 5)
    assert seldom == pytest.approx(macros.data.leakage * [0.1, 5])


def test_choices_outside_their_lists_are_refused():
    with pytest.raises(ValueError, match="idle = 'off' is not one of"):
        Envm(idle="off")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask = 'apart' is not one of"):
        Envm(mask="apart")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights = 'flash' is not one of"):
        Storage(weights="flash")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="embedding_sparsity = 2 is outside"):
        Storage(embedding_sparsity=2)
    with pytest.raises(ValueError, match="technology = 'ddr9' is not one of"):
        Storage(dram_technology="ddr9")


def test_streaming_takes_the_cycles_of_the_port(albert):
    # Matrices of one ALBERT layer at 8 byte a cycle, dense and half zero with their mask.
    storage, sram, period = Storage(weights="dram"), Sram(), np.full(2, 1e-9)
    bits = albert.layer_weights * np.array([8.0, 5.0])
    cycles = bits * storage.bit_time(sram, period) / period
    assert cycles == pytest.approx([884_736, 552_960], rel=1e-12)
    transfer = shipped("dram").at(np.array(["lpddr4"]), "transfer_energy")[0][0]
    assert storage.bit_energy(sram) == transfer


def test_resident_weights_take_whole_banks():
    bits = np.array([1.0, 8.0 * 2**20, 8.0 * 2**20 + 1])
    assert Storage(weights="sram").banks(bits).tolist() == [1, 1, 2]
    assert Storage().banks(bits).tolist() == [0, 0, 0]


MLC = Envm(shipped("envm_array_22nm"))
CELLS = np.array(["rram", "rram_mlc2", "rram_mlc3", "fefet_mlc2"])


def test_the_mask_of_multi_level_data_lies_in_single_level_macros_of_its_own():
    macros = MLC.at(CELLS)
    bits = np.full(4, 8.0 * MACRO_BYTES)
    count = macros.count(macros.held(2 * bits, bits))
    assert count.data.tolist() == [2, 1, 1, 1]
    assert count.mask is not None
    assert count.mask.tolist() == [0, 1, 1, 1]
    table = MLC.table
    data, mask = (table.at(np.array(c), "area")[0] for c in
                  (CELLS, ["rram", "rram", "rram", "fefet"]))  # fmt: skip
    assert macros.area(count) == pytest.approx(data * [2, 1, 1, 1] + mask * [0, 1, 1, 1])


def test_the_mask_goes_with_the_data_only_if_asked():
    together = Envm(MLC.table, mask="same").at(CELLS)
    held = together.held(np.full(4, 100.0), np.full(4, 10.0))
    assert not together.split
    assert held.mask is None
    assert (together.read_energy(held) != MLC.at(CELLS).read_energy(
        MLC.at(CELLS).held(np.full(4, 100.0), np.full(4, 10.0))
    )).tolist() == [False, True, True, True]  # fmt: skip


def test_only_a_batch_with_multi_level_cells_is_split():
    assert not Envm().at(np.array(["rram", "sram"])).split
    assert Envm().at(np.array(["rram", "rram_mlc2"])).split


@given(st.sampled_from(CELLS.tolist()), st.floats(1, 1e9), st.floats(0, 1))
@settings(deadline=None)
def test_data_and_mask_are_read_word_after_word(cell, bits, share):
    macros = MLC.at(np.array([cell]))
    held = macros.held(np.array([bits]), np.array([bits * share]))
    assert held.total[0] == pytest.approx(bits)
    time = held.times(macros.bit_time(np.array([1e-9]))).total[0]
    latencies = MLC.table.at(np.array([cell, *SINGLE_LEVEL.values()]), "read_latency")[0]
    slower = max(1e-9, float(latencies.max()))
    assert bits / 64 * 1e-9 * (1 - 1e-12) <= time <= bits / 64 * slower * (1 + 1e-12)
