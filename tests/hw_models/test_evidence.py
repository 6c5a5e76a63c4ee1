"""A number that rests on an unverified table says so, whichever table it is."""

from dataclasses import replace

import numpy as np
import pytest

from hw_models import Accelerator, LatencyAware, Storage, Supply
from hw_models.latency_aware import share_column
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.systems.early_exit import EarlyExit
from hw_models.uncertainty import tables_in, with_tables
from hw_models.workload import encoder

MACHINE = {"pruning_ratio": np.array([0.5]), "weight_bits": np.array([8]),
           "envm_cell": np.array(["rram"]), "vdd": np.array([0.65]),
           "mean_exit_layer": np.array([3.0]), "p95_exit_layer": np.array([5.0]),
           "mac_width": np.array([16]), "sequence_length": np.array([64]),
           "deadline": np.array([2e-3])}  # fmt: skip
COLUMNS = MACHINE | {share_column(i + 1): np.array([1 / 6]) for i in range(6)}
KEPT = ("vdd", "frequency", "mac_width", "bits", "exponent_bits", "capacity", "width",
        "settling_step", "leakage_scale", "auxiliary")  # fmt: skip
"""Columns that fix what a table is about; changing one makes another machine, or none."""


def evaluators(minilm):
    machines = [Accelerator(minilm, 64, storage=Storage(weights=w), supply=s)
                for w in ("envm", "sram", "dram") for s in (None, Supply())]  # fmt: skip
    searched = "pruning_ratio", "weight_bits", "envm_cell", "vdd", "mac_width", "sequence_length"
    chip = Chip(ArrayChip(), encoder(minilm, 64), searched, {"weight_store": "sram"})
    return [*machines, LatencyAware(machines[1]), EarlyExit(chip)]


def labelled(model, suspect):
    """The same model with every table seen but one."""
    tables = {
        id(t): replace(t, origin=replace(t.origin, evidence=
                                         "unverified" if t is suspect else "seen"))
        for t in tables_in(model)
    }  # fmt: skip
    return with_tables(model, tables)


def changed(model, table):
    """The same model with the numbers of one table an eighth larger."""
    columns = {n: c if n in (table.key, *KEPT) or c.dtype.kind == "U" else c * 1.125
               for n, c in table.columns.items()}  # fmt: skip
    return with_tables(model, {id(table): replace(table, columns=columns)})


@pytest.mark.parametrize("which", range(8))
def test_every_output_that_a_table_moves_carries_its_label(minilm, which):
    model = evaluators(minilm)[which]
    before = model(COLUMNS)
    for table in tables_in(model):
        after, evidence = changed(model, table)(COLUMNS), labelled(model, table).signature.evidence
        for name in before:
            if after[name][0] != before[name][0]:
                assert evidence[name] == "unverified", (table.name, name)


def test_without_an_unverified_table_nothing_is_marked(minilm):
    for model in evaluators(minilm):
        evidence = dict(labelled(model, None).signature.evidence)
        before = dict(model.signature.evidence)
        for each in (evidence, before):
            assert each.pop("image_bytes", "closed form") == "closed form"
        assert set(evidence.values()) == {"published"}
        assert set(before.values()) == {"unverified"}
