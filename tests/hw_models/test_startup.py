"""What a power-on loads: nothing where the memory remembers, else the image of the accelerator."""

from dataclasses import replace

import numpy as np
import pytest

from hw_models import Accelerator, Envm, Storage, shipped
from hw_models.memory import MACRO_BYTES
from hw_models.startup import Startup


def chip(minilm, weights="envm", **storage):
    return Accelerator(minilm, 64, storage=Storage(weights=weights, **storage))


def design(n=1, **columns):
    values = {"pruning_ratio": 0.5, "weight_bits": 8, "envm_cell": "sram", "vdd": 0.8}
    return {name: np.resize(np.asarray(v), n) for name, v in (values | columns).items()}


def test_a_memory_that_remembers_loads_nothing(minilm):
    found = Startup(chip(minilm))(design(4, envm_cell=["rram", "stt", "pcm", "rram_mlc2"]))
    assert found["power_on_energy"].tolist() == [0.0] * 4
    assert found["power_on_time"].tolist() == [0.0] * 4
    assert len(set(found["image_bytes"].tolist())) == 1


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_the_image_is_what_the_macros_of_the_accelerator_hold(minilm, ratio, bits):
    machine = chip(minilm, embedding_sparsity=0.4)
    columns = design(pruning_ratio=ratio, weight_bits=bits)
    whole = {**columns, "mean_exit_layer": np.ones(1), "p95_exit_layer": np.ones(1)}
    macros = np.ceil(Startup(machine)(columns)["image_bytes"] / MACRO_BYTES)
    (area,) = shipped("envm_nvsim_22nm").at(np.array(["sram"]), "area")
    assert machine.parts(whole)["area"]["envm"] == macros * area


def test_sram_macros_cost_the_transfer_and_the_write_of_every_word(minilm):
    found = Startup(chip(minilm))(design())
    bits = 8 * found["image_bytes"][0]
    # 8 pJ/bit of LPDDR4; 6.6 pJ and 2.608 ns to write 64 bits, slower than a 1 GHz clock.
    assert found["power_on_energy"][0] == pytest.approx(bits * (8e-12 + 6.6e-12 / 64), rel=1e-12)
    assert found["power_on_time"][0] == pytest.approx(bits / 64 * 2.608e-9, rel=1e-12)


def test_weights_in_banks_are_loaded_and_those_in_dram_stay(minilm):
    remembered = design(2, envm_cell="rram", vdd=[0.8, 0.5])
    banks = Startup(chip(minilm, "sram"))(remembered)
    assert banks["power_on_energy"][0] > banks["power_on_energy"][1] > 0
    assert banks["power_on_time"][1] > banks["power_on_time"][0] > 0
    both = Startup(chip(minilm, "sram"))(design())
    assert both["power_on_energy"][0] > banks["power_on_energy"][0]
    away = Startup(chip(minilm, "dram"))(remembered)
    assert away["power_on_energy"].tolist() == [0.0, 0.0]
    assert away["image_bytes"].tolist() == banks["image_bytes"].tolist()


def test_a_macro_table_that_says_nothing_of_writing_is_refused(minilm):
    table = shipped("envm_nvsim_22nm")
    columns = {n: c for n, c in table.columns.items() if n != "write_energy"}
    bare = replace(table, name="bare", columns=columns)
    with pytest.raises(ValueError, match="table 'bare' has no column write_energy"):
        Startup(Accelerator(minilm, 64, storage=Storage(Envm(bare))))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"pruning_ratio": 1.5}, "pruning_ratio = 1.5"), ({"weight_bits": 3}, "weight_bits = 3"),
     ({"envm_cell": "flash"}, "envm_cell|cell = 'flash'"), ({"vdd": 0.4}, r"vdd = 0\.4 V")],
)  # fmt: skip
def test_values_out_of_range_are_refused(minilm, change, message):
    with pytest.raises(ValueError, match=message):
        Startup(chip(minilm))(design(**change))


def test_evidence_is_the_weakest_link(minilm):
    found = Startup(chip(minilm)).signature.evidence
    assert found == {"image_bytes": "closed form", "power_on_energy": "unverified",
                     "power_on_time": "unverified"}  # fmt: skip
