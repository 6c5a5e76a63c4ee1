"""Whatever is a column of a chip gives what a machine that is built for it gives."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, Datapath
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip, EarlyExit
from hw_models.workload import encoder

SIZE = st.tuples(st.sampled_from([2, 4, 8, 16, 32]), st.sampled_from([16, 64, 128]),
                 st.floats(0, 1), st.sampled_from(["rram", "stt", "pcm"]))  # fmt: skip


SEARCHED = ("pruning_ratio", "weight_bits", "envm_cell", "vdd", "mac_width", "sequence_length")


def sized(shape):
    return EarlyExit(Chip(ArrayChip(), encoder(shape, 64), SEARCHED))


def batch(*designs):
    width, length, pruning, cell = (np.array(c) for c in zip(*designs, strict=True))
    n = len(width)
    return {"pruning_ratio": pruning, "weight_bits": np.full(n, 8), "envm_cell": cell,
            "vdd": np.full(n, 0.7), "mean_exit_layer": np.full(n, 3.0),
            "p95_exit_layer": np.full(n, 5.0), "mac_width": width,
            "sequence_length": length}  # fmt: skip


@given(st.lists(SIZE, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_each_row_is_priced_by_its_own_machine(minilm, designs):
    together = sized(minilm)(batch(*designs))
    for i, design in enumerate(designs):
        machine = Accelerator(minilm, design[1], Datapath(design[0]))
        for name, column in machine(batch(design)).items():
            assert column[0] == pytest.approx(together[name][i], rel=1e-12)


@given(SIZE, st.sampled_from([16, 64, 128]))
@settings(max_examples=30, deadline=None)
def test_longer_sentences_never_cost_less(minilm, design, other):
    short, long = sorted([design[1], other])
    width, _, pruning, cell = design
    result = sized(minilm)(batch((width, short, pruning, cell), (width, long, pruning, cell)))
    for name in ("energy", "latency_p95"):
        assert result[name][0] <= result[name][1]
    assert result["area"][0] == result["area"][1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("mac_width", 12, "mac_width = 12 is not one of"),
     ("mac_width", 2.5, r"mac_width = 2\.5 1 is not a whole number"),
     ("sequence_length", 513, "sequence_length = 513.0 token is outside 1 to 512 token")],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(minilm, name, value, message):
    machine = sized(minilm)
    with pytest.raises(ValueError, match=message):
        machine(batch((16, 64, 0.5, "rram")) | {name: np.array([value])})


def test_it_travels_and_keeps_spans_and_evidence(minilm):
    machine = sized(minilm)
    columns = batch((16, 64, 0.5, "rram"))
    assert pickle.loads(pickle.dumps(machine))(columns) == machine(columns)
    alone = Accelerator(minilm, 64).signature.evidence
    assert {name: machine.signature.evidence[name] for name in alone} == alone
    empty = {name: column[:0] for name, column in columns.items()}
    assert all(column.shape == (0,) for column in machine(empty).values())
