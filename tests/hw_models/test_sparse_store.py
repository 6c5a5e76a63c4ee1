"""Sparse tensors in non-volatile macros: sizes, where the mask goes, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.memory import Envm
from hw_models.sparse_store import PowerOn, SparseStore
from hw_models.table import shipped

CELLS = ("rram", "rram_mlc2", "rram_mlc3", "stt", "fefet", "fefet_mlc2")
FIELDS = ("data_bits", "mask_bits", "macros", "area", "leakage", "write_energy", "write_time",
          "writes", "retention", "faulty")  # fmt: skip
TENSOR = st.tuples(
    st.sampled_from(CELLS), st.floats(1, 1e8), st.floats(0, 1), st.integers(1, 16).map(float)
)


def tensor(cell="rram_mlc2", elements=3_840_000.0, sparsity=0.6, bits=8.0):
    return np.array([cell]), np.array([elements]), np.array([sparsity]), np.array([bits])


def test_the_embedding_of_edgebert_fills_two_macros_with_its_mask_apart():
    kept = SparseStore().keep(*tensor())
    assert kept.data_bits[0] / 8 == pytest.approx(1.536e6)
    assert kept.mask_bits[0] / 8 == pytest.approx(0.48e6)
    assert kept.macros[0] == 2
    assert SparseStore().keep(*tensor("rram")).macros[0] == 1


def test_faulty_values_follow_the_level_model():
    # 1.536 M non-zeros: 0.05 with two bits per cell, about 11,700 with three.
    store = SparseStore()
    assert store.keep(*tensor("rram")).faulty[0] == 0
    assert store.keep(*tensor("rram_mlc2")).faulty[0] == pytest.approx(0.05, rel=0.05)
    assert store.keep(*tensor("rram_mlc3")).faulty[0] == pytest.approx(11_700, rel=0.02)


def test_a_sentence_reads_its_rows_only():
    # 128 rows of 128 values at 60 % zeros: about 6.6 KB of data and 2 KB of mask.
    store = SparseStore()
    energy, time = store.read(*tensor("rram", 16_384.0))
    words = 16_384 * (0.4 * 8 + 1) / 64
    macro = store.envm.table.at(np.array(["rram"]), "read_energy", "read_latency")
    assert energy[0] == pytest.approx(words * macro[0][0], rel=1e-12)
    assert time[0] == pytest.approx(words * macro[1][0], rel=1e-12)


@given(st.lists(TENSOR, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_batch_equals_its_rows(tensors):
    store = SparseStore()
    together = store.keep(*(np.array(c) for c in zip(*tensors, strict=True)))
    for i, one in enumerate(tensors):
        row = store.keep(*tensor(*one))
        for name in FIELDS:
            assert getattr(together, name)[i] == getattr(row, name)[0]


@given(TENSOR, st.floats(0, 1))
def test_more_zeros_never_take_more_room(one, other):
    cell, elements, sparsity, bits = one
    few, many = sorted([sparsity, other])
    a, b = (SparseStore().keep(*tensor(cell, elements, s, bits)) for s in (few, many))
    assert b.data_bits + b.mask_bits <= (a.data_bits + a.mask_bits) * (1 + 1e-12)
    assert b.faulty[0] <= a.faulty[0] * (1 + 1e-12)


def test_more_levels_take_less_area_and_fail_more():
    kept = [SparseStore().keep(*tensor(c, 1e9)) for c in ("rram", "rram_mlc2", "rram_mlc3")]
    assert (np.diff([k.area[0] for k in kept]) < 0).all()
    assert (np.diff([k.faulty[0] for k in kept]) > 0).all()


def test_published_macros_are_larger_than_array_models():
    macro = SparseStore(Envm(shipped("envm_macro")))
    for cell in ("rram", "rram_mlc2", "stt"):
        assert macro.keep(*tensor(cell)).area[0] > 2.5 * SparseStore().keep(*tensor(cell)).area[0]


@pytest.mark.parametrize("cell", ["fefet", "pcm", "rram_mlc3"])
def test_cells_of_which_no_macro_is_published_are_refused(cell):
    with pytest.raises(ValueError, match=rf"cell = '{cell}' is not one of .*'envm_macro'"):
        SparseStore(Envm(shipped("envm_macro"))).read(*tensor(cell))


def test_what_silicon_needs_to_write_two_bits_a_cell_no_array_model_foretells():
    model, silicon = SparseStore(), SparseStore(Envm(shipped("envm_macro")))
    one, two = (silicon.keep(*tensor(c)).write_energy[0] for c in ("rram", "rram_mlc2"))
    assert two > 5 * one
    assert two > 1000 * model.keep(*tensor("rram_mlc2")).write_energy[0]


def test_both_sets_agree_with_the_accelerators_own_table_where_they_overlap():
    ours, theirs = shipped("envm_array_22nm"), shipped("envm_nvsim_22nm")
    cells = np.array(["rram", "stt", "pcm"])
    for name in ("area", "read_energy", "read_latency", "write_energy", "leakage"):
        assert ours.at(cells, name)[0].tolist() == theirs.at(cells, name)[0].tolist()


def test_a_rate_that_no_source_gives_is_refused():
    with pytest.raises(ValueError, match=r"cell = 'pcm' is not one of .*'envm_faults'"):
        SparseStore().keep(*tensor("pcm"))
    energy, _ = SparseStore().read(*tensor("pcm"))
    assert energy[0] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"elements": 0.0}, "elements = 0.0 1"), ({"sparsity": 1.1}, "sparsity = 1.1 1"),
     ({"bits": 17.0}, "bits = 17.0 bit is outside 1 to 16 bit")],
)  # fmt: skip
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SparseStore().keep(*tensor(**change))


@given(st.floats(1, 1e9), st.floats(1, 1e12))
def test_loading_costs_more_than_the_dram_alone_and_takes_its_bandwidth(bits, bandwidth):
    energy, time = PowerOn().load(np.array([bits]), np.array([bandwidth]))
    transfer = shipped("dram").at(np.array(["lpddr4"]), "transfer_energy")[0][0]
    assert energy[0] > bits * transfer
    assert time[0] == bits / bandwidth
    with pytest.raises(ValueError, match="bandwidth = "):
        PowerOn().load(np.array([bits]), np.array([0.0]))


def test_evidence_is_the_weakest_link():
    assert SparseStore().evidence == "published"
