"""Array size and sequence length as columns give what the fixed machines give."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, Datapath
from hw_models.sized import SizedAccelerator

SIZE = st.tuples(st.sampled_from([2, 4, 8, 16, 32]), st.sampled_from([16, 64, 128]),
                 st.floats(0, 1), st.sampled_from(["rram", "stt", "pcm"]))  # fmt: skip


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
    together = SizedAccelerator(Accelerator(minilm, 64))(batch(*designs))
    for i, design in enumerate(designs):
        machine = Accelerator(minilm, design[1], Datapath(design[0]))
        for name, column in machine(batch(design)).items():
            assert column[0] == together[name][i]


@given(SIZE, st.sampled_from([16, 64, 128]))
@settings(max_examples=30, deadline=None)
def test_longer_sentences_never_cost_less(minilm, design, other):
    short, long = sorted([design[1], other])
    width, _, pruning, cell = design
    result = SizedAccelerator(Accelerator(minilm, 64))(
        batch((width, short, pruning, cell), (width, long, pruning, cell))
    )
    for name in ("energy", "latency_p95"):
        assert result[name][0] <= result[name][1]
    assert result["area"][0] == result["area"][1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("mac_width", 12, "mac_width = 12 is not one of"),
     ("mac_width", 2.5, "mac_width = 2.5 1 is not a whole number"),
     ("sequence_length", 513, "sequence_length = 513.0 token is outside 1 to 512 token")],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(minilm, name, value, message):
    machine = SizedAccelerator(Accelerator(minilm, 64))
    with pytest.raises(ValueError, match=message):
        machine(batch((16, 64, 0.5, "rram")) | {name: np.array([value])})


def test_it_travels_and_keeps_spans_and_evidence(minilm):
    machine = SizedAccelerator(Accelerator(minilm, 64))
    columns = batch((16, 64, 0.5, "rram"))
    assert pickle.loads(pickle.dumps(machine))(columns) == machine(columns)
    assert machine.signature.evidence == machine.accelerator.signature.evidence
    empty = {name: column[:0] for name, column in columns.items()}
    assert all(column.shape == (0,) for column in machine(empty).values())
