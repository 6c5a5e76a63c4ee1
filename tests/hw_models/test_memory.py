"""Macros and banks against their sources, where the mask lies, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.machine import ArrayChip
from hw_models.memory import MACRO_BYTES, SINGLE_LEVEL, Envm, macros_needed
from hw_models.storage import Storage
from hw_models.table import Table, shipped


def rows_of(envm, *cells):
    return envm.cell_rows(np.array(cells))


def test_the_shipped_cells_hold_the_array_results():
    # NVSim results shipped with NVMExplorer @16eb289: 2 MiB, 22 nm, 64-bit word.
    memory, rows = Envm().rows(), rows_of(Envm(), "rram", "stt", "pcm", "sram")
    assert memory.area[rows] == pytest.approx([0.526e-6, 0.220e-6, 0.417e-6, 1.291e-6])
    assert 64 * memory.read[rows] == pytest.approx([6.178e-12, 4.371e-12, 5.515e-12, 36.8e-12])
    assert memory.latency[rows] == pytest.approx([0.793e-9, 0.591e-9, 0.721e-9, 2.614e-9])
    assert memory.leakage[rows] == pytest.approx([12.0e-3, 22.0e-3, 43.5e-3, 54.8e-3])


@given(st.integers(1, 10**9))
def test_macros_hold_what_is_put_in_and_not_a_macro_more(bits):
    count = macros_needed(np.array([float(bits)]))[0]
    assert (count - 1) * MACRO_BYTES * 8 < bits <= count * MACRO_BYTES * 8


def test_gated_macros_leak_only_while_read_unless_they_would_forget():
    powered, gated = (Envm(idle=idle) for idle in ("powered", "gated"))
    rows = rows_of(gated, "rram", "sram")
    assert (powered.rows().standby == powered.rows().leakage).all()
    assert gated.rows().standby[rows].tolist() == [0.0, gated.rows().leakage[rows[1]]]


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
    machine, period = ArrayChip().technology, np.full(2, 1e-9)
    row = np.full(2, machine.stores[2])
    bits = albert.layer_weights * np.array([8.0, 5.0])
    cycles = bits * machine.memory.bit_time(row, period) / period
    assert cycles == pytest.approx([884_736, 552_960], rel=1e-12)
    transfer = shipped("dram").at(np.array(["lpddr4"]), "transfer_energy")[0][0]
    assert machine.memory.read[row[0]] == transfer


def test_resident_weights_take_whole_banks():
    machine = ArrayChip().technology
    bits = np.array([1.0, 8.0 * 2**20, 8.0 * 2**20 + 1])
    banks, away = machine.stores[1:]
    assert machine.memory.macros(banks, bits).tolist() == [1, 1, 2]
    assert machine.memory.macros(away, bits).tolist() == [0, 0, 0]


MLC = Envm(shipped("envm_array_22nm"))
CELLS = np.array(["rram", "rram_mlc2", "rram_mlc3", "fefet_mlc2"])


def test_the_mask_of_multi_level_data_lies_in_single_level_cells():
    rows, memory = MLC.cell_rows(CELLS), MLC.rows()
    names = [memory.names[i] for i in memory.single[rows]]
    assert names == ["rram", "rram", "rram", "fefet"]
    together = Envm(MLC.table, mask="same").rows()
    assert together.single[rows].tolist() == rows.tolist()


def test_a_table_without_the_single_level_cell_is_refused():
    table = MLC.table
    kept = table.columns["cell"] != "fefet"
    columns = {name: column[kept] for name, column in table.columns.items()}
    bare = Envm(Table("bare", table.key, columns, table.units, table.origin))
    assert bare.cell_rows(np.array(["rram_mlc2"])).shape == (1,)
    with pytest.raises(ValueError, match="cell = 'fefet' is not one of"):
        bare.cell_rows(np.array(["fefet_mlc2"]))


@given(st.sampled_from(CELLS.tolist()), st.floats(1, 1e9), st.floats(0, 2e-9))
@settings(deadline=None)
def test_a_bit_takes_the_slower_of_clock_and_word(cell, bits, period):
    row, memory = MLC.cell_rows(np.array([cell])), MLC.rows()
    time = bits * memory.bit_time(row, np.array([period]))[0]
    (latency,) = MLC.table.at(np.array([cell]), "read_latency")
    assert time == pytest.approx(bits / 64 * max(period, latency[0]), rel=1e-12)


def test_names_of_single_level_cells_are_cells():
    assert set(SINGLE_LEVEL.values()) <= set(MLC.table.columns["cell"].tolist())
