"""The systolic forms against frozen runs of other tools, and their laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.systolic import Dataflow, Product, SystolicArray

ORACLES = Path(__file__).parent / "oracles"
DATAFLOW: dict[str, Dataflow] = {"ws": "weight_stationary", "os": "output_stationary"}
SIZE = st.integers(1, 500)


def product(m, n, k):
    return Product(np.array([float(m)]), np.array([float(n)]), np.array([float(k)]))


@pytest.mark.parametrize(
    "record", json.loads((ORACLES / "scalesim_cycles.json").read_text())["records"], ids=str
)
def test_cycles_are_those_of_scalesim(record):
    rows, columns = record["array"]
    array = SystolicArray(rows, columns, DATAFLOW[record["dataflow"]], "exposed")
    assert record["stall"] == 0
    assert array.cycles(product(*record["gemm"]))[0] == record["total"]


ZIGZAG = json.loads((ORACLES / "zigzag_latency.json").read_text())


def point(record):
    return f"{record['layer']}-{record['side']}-{record['port_bits']}"


def layer_cycles(record):
    """An encoder layer as we price it and as ZigZag does."""
    array, ours, theirs = SystolicArray(record["side"], record["side"]), 0.0, 0.0
    for name, (copies, *sizes) in ZIGZAG["layers"][record["layer"]].items():
        port = np.array([float(record["port_bits"])])
        ours += copies * array.latency(product(*sizes), 8, port)[0]
        theirs += copies * record["cycles"][name]
    return ours, theirs


@pytest.mark.parametrize("record", ZIGZAG["records"], ids=point)
def test_the_latency_of_an_encoder_layer_is_near_that_of_zigzag(record):
    ours, theirs = layer_cycles(record)
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("record", ZIGZAG["held_out"], ids=point)
def test_points_that_were_run_after_the_form_was_fixed_are_predicted(record):
    ours, theirs = layer_cycles(record)
    assert ours == pytest.approx(theirs, rel=0.03)


@given(SIZE, SIZE, SIZE, st.integers(1, 64), st.integers(1, 64))
def test_no_array_is_faster_than_its_multipliers(m, n, k, rows, columns):
    for array in (SystolicArray(rows, columns), SystolicArray(rows, columns, "output_stationary")):
        assert array.cycles(product(m, n, k))[0] >= m * n * k / (rows * columns) - 1
    hidden = SystolicArray(rows, columns).cycles(product(m, n, k))[0]
    exposed = SystolicArray(rows, columns, weight_load="exposed").cycles(product(m, n, k))[0]
    assert hidden <= exposed


@given(SIZE, SIZE, SIZE, st.floats(1, 4096), st.floats(1, 4))
def test_a_wider_port_is_never_slower_and_never_beats_the_array(m, n, k, width, factor):
    array, work = SystolicArray(16, 16), product(m, n, k)
    narrow, wide = (array.latency(work, 8, np.array([w]))[0] for w in (width, factor * width))
    assert array.cycles(work)[0] <= wide <= narrow


@given(SIZE, SIZE, SIZE)
def test_one_tile_touches_the_buffer_as_little_as_possible(m, n, k):
    words = SystolicArray(k, n).buffer_words(product(m, n, k))[0]
    assert words == 2 * (m * k + k * n + m * n)
    assert words <= SystolicArray(4, 4).buffer_words(product(m, n, k))[0]


def test_arrays_and_products_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="rows = 0 must be at least 1"):
        SystolicArray(0, 4)
    with pytest.raises(ValueError, match="dataflow = 'row' is not one of"):
        SystolicArray(4, 4, "row")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight_load = 'late' is not one of"):
        SystolicArray(4, 4, weight_load="late")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"reduction = 0\.0 must be at least 1"):
        product(1, 1, 0)
