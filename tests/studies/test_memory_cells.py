"""Every memory cell that a study file may name has a price, in both studies that name cells."""

import dataclasses

import numpy as np
import pytest

from hw_models import evaluate_each, sample_models, shipped, surviving
from hw_models.uncertainty import tables_in, with_tables
from hw_models.workload import from_config
from search_spaces import edgebert, joint
from studies.edgebert.system import Settings, chip_of
from studies.joint.system import Settings as JointSettings
from studies.joint.system import priced

LAYERS = 6
MINILM = {
    "model_type": "bert", "num_hidden_layers": LAYERS, "hidden_size": 384,
    "num_attention_heads": 12, "intermediate_size": 1536, "vocab_size": 30522,
    "max_position_embeddings": 512, "type_vocab_size": 2,
}  # fmt: skip
NETWORK = from_config(MINILM, tokens=64, off_ramp="mean_pool")
CHIP = chip_of(Settings(), NETWORK)
CELLS = edgebert.ENVM_CELL.values


def edgebert_price(cells, **knobs):
    design = {**edgebert.DEFAULTS, "pruning_ratio": 0.0, "weight_bits": 8, "vdd": 0.8,
              "mean_exit_layer": 3.0, "p95_exit_layer": 5.0, **knobs}  # fmt: skip
    columns = {name: np.full(len(cells), value) for name, value in design.items()}
    return CHIP(columns | {"envm_cell": np.array(cells)})


def joint_price(cells, **knobs):
    model = priced(JointSettings(), NETWORK)
    shares = {f"answered_{i + 1}": 1.0 / LAYERS for i in range(LAYERS)}
    design = {**joint.DEFAULTS, **shares, "split_layer": LAYERS, "offloaded": 0.0, **knobs}
    columns = {name: np.full(len(cells), design[name]) for name in model.signature.inputs}
    return model(columns | {"envm_cell": np.array(cells)})


PRICES = pytest.mark.parametrize("price", [edgebert_price, joint_price])


@PRICES
def test_every_cell_of_the_domain_is_priced(price):
    assert any(p is edgebert.ENVM_CELL for p in joint.DOMAIN)
    for name, values in price(CELLS).items():
        assert np.isfinite(values).all(), name
        assert (values >= 0).all(), name


@PRICES
@pytest.mark.parametrize("knobs", [{}, {"pruning_ratio": 0.6}, {"embedding_sparsity": 0.6}])
def test_more_levels_take_less_silicon_and_are_never_read_faster(price, knobs):
    found = price(["rram", "rram_mlc2", "rram_mlc3"], **knobs)
    assert (np.diff(found["area"]) < 0).all()
    assert (np.diff(found["latency_p95"]) >= 0).all()


@PRICES
def test_wider_activations_cost_energy_and_no_silicon(price):
    found = [price(["rram"], activation_bits=bits) for bits in (4, 6, 8, 16)]
    energy = [each["energy"][0] for each in found]
    assert (np.diff(energy) > 0).all()
    assert energy[2] > 1.02 * energy[0]
    assert len({each["area"][0] for each in found}) == 1


@PRICES
def test_a_chip_computes_nothing_in_float32(price):
    with pytest.raises(ValueError, match=r"activation_bits = 32\.0 bit is outside 4 to 16 bit"):
        price(["rram"], activation_bits=32)


@PRICES
def test_a_batch_of_all_cells_equals_its_rows(price):
    together = price(CELLS, embedding_sparsity=0.6)
    for i, cell in enumerate(CELLS):
        for name, values in price([cell], embedding_sparsity=0.6).items():
            assert values[0] == together[name][i]


def test_encoder_weights_never_lie_in_cells_that_are_misread():
    # Faults are passed through the embeddings alone, so nothing else may be priced as multi-level.
    design = {**edgebert.DEFAULTS, "pruning_ratio": np.zeros(2), "weight_bits": np.full(2, 8),
              "vdd": np.full(2, 0.8), "mean_exit_layer": np.full(2, 3.0),
              "p95_exit_layer": np.full(2, 5.0)}  # fmt: skip
    design = {name: np.resize(design[name], 2) for name in CHIP.signature.inputs if name in design}
    parts = CHIP.parts(design | {"envm_cell": np.array(["rram", "rram_mlc2"])})
    single, multi = parts["energy"]["weight_read"]
    assert single == multi
    assert parts["energy"]["embedding_read"][0] != parts["energy"]["embedding_read"][1]


def test_what_multi_level_cells_cost_says_how_well_it_is_founded():
    machine = CHIP.chip.machine
    envm = machine.envm.table
    assert envm.origin.evidence == "derived"
    unverified = dataclasses.replace(
        envm, origin=dataclasses.replace(envm.origin, evidence="unverified")
    )
    other = with_tables(CHIP, {id(envm): unverified})
    assert {other.signature.evidence[n] for n in ("energy", "latency_p95", "area")} == {
        "unverified"
    }


def test_multi_level_rows_are_those_of_the_array_model():
    ours, theirs = shipped("envm_array_22nm"), shipped("envm_nvsim_22nm")
    cells = np.array(["rram_mlc2", "rram_mlc3"])
    for name in ("area", "read_energy", "read_latency", "write_energy", "write_latency", "leakage"):
        assert ours.at(cells, name)[0].tolist() == theirs.at(cells, name)[0].tolist()


def test_a_front_of_the_study_is_asked_which_of_its_memories_survive():
    chips = CHIP
    tables = {table.name for table in tables_in(chips)}
    assert {"datapath_12nm", "envm_nvsim_22nm", "sram_cacti_22nm"} <= tables
    design = {**edgebert.DEFAULTS, "pruning_ratio": 0.0, "weight_bits": 8, "vdd": 0.8,
              "mean_exit_layer": 3.0, "p95_exit_layer": 5.0}  # fmt: skip
    front = {name: np.full(len(CELLS), value) for name, value in design.items()}
    front |= {"envm_cell": np.array(CELLS), "embedding_sparsity": np.linspace(0.0, 0.5, len(CELLS))}
    drawn = sample_models(chips, 20, np.random.default_rng(0))
    prices = evaluate_each(drawn, front)
    assert len(np.unique(prices["area"][:, 1])) == 20
    share = surviving(chips, front, ("energy", "area"), 20, np.random.default_rng(0))
    assert ((share > 0) & (share < 1)).any()
