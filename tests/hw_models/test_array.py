"""Kinds of arrays against frozen runs of other tools, and their laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.cost.array import KINDS, ArrayKind, Work
from hw_models.cost.kernel import demand
from hw_models.cost.templates import templates
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.systems.knobs import MAC_WIDTHS
from hw_models.workload import Product, Size, Tensor, Workload

ORACLES = Path(__file__).parent / "oracles"
KIND: dict[str, ArrayKind] = {"ws": "weight_stationary_exposed", "os": "output_stationary"}
SIZE = st.integers(1, 500)
WEIGHTS_STAY: ArrayKind = "weight_stationary"


def counts(kind, m, n, k, rows, columns, port=64.0):  # noqa: PLR0913  (sizes of product and array)
    sizes = (np.array(float(x)) for x in (m, k, n, rows, columns, 8.0, 8.0, port))
    return KINDS[kind].counts(Work(*sizes))


def priced_cycles(kind, m, n, k, side):
    """Cycles of one product as a machine with that array, which a user can choose, has them."""
    sizes = Size(float(m)), Size(float(k)), Size(float(n))
    network = Workload(
        "product", 1, 1.0, 1.0, (Product(1, "product", "weight", *sizes, tensor="weight"),), (),
        (Tensor("weight", float(k * n), "weight", 0, (1,)),), (Size(1.0),) * 2, (), 1.0,
    )  # fmt: skip
    machine = ArrayChip(array=kind)
    chip = Chip(machine, network, ("pruning_ratio",))
    knobs = chip.design({"pruning_ratio": np.zeros(1)}).knobs
    knobs = knobs._replace(side=np.array(float(side)))
    return float(demand(templates(network), machine.technology, knobs).matmul[1, 0])


@pytest.mark.parametrize(
    "record", json.loads((ORACLES / "scalesim_cycles.json").read_text())["records"], ids=str
)
def test_cycles_are_those_of_scalesim(record):
    rows, columns = record["array"]
    assert record["stall"] == 0
    kind = KIND[record["dataflow"]]
    m, n, k = record["gemm"]
    assert counts(kind, m, n, k, rows, columns).cycles == record["total"]
    if rows == columns and rows in MAC_WIDTHS:
        assert priced_cycles(kind, m, n, k, rows) == record["total"]


ZIGZAG = json.loads((ORACLES / "zigzag_latency.json").read_text())


def point(record):
    return f"{record['layer']}-{record['side']}-{record['port_bits']}"


def layer_cycles(record):
    """An encoder layer as we price it and as ZigZag does."""
    side, port, ours, theirs = record["side"], float(record["port_bits"]), 0.0, 0.0
    for name, (copies, m, n, k) in ZIGZAG["layers"][record["layer"]].items():
        cycles = counts("behind_port", m, n, k, side, side, port).cycles
        ours += copies * float(cycles)
        theirs += copies * record["cycles"][name]
        if port == 64.0 and side in MAC_WIDTHS:
            assert priced_cycles("behind_port", m, n, k, side) == cycles
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
    cycles: dict[str, float] = {kind: counts(kind, m, n, k, rows, columns).cycles for kind in KINDS}
    assert all(each >= m * n * k / (rows * columns) - 1 for each in cycles.values())
    assert cycles[WEIGHTS_STAY] <= cycles["weight_stationary_exposed"]


@given(SIZE, SIZE, SIZE, st.floats(1, 4096), st.floats(1, 4))
def test_a_wider_port_is_never_slower_and_never_beats_the_array(m, n, k, width, factor):
    narrow, wide = (
        counts("behind_port", m, n, k, 16, 16, port).cycles for port in (width, factor * width)
    )
    assert counts(WEIGHTS_STAY, m, n, k, 16, 16).cycles <= wide <= narrow


@given(SIZE, SIZE, SIZE)
def test_one_tile_reads_every_operand_once_and_writes_every_result_once(m, n, k):
    found = counts(WEIGHTS_STAY, m, n, k, k, n)
    words = found.weights * k, found.inputs * k, found.results * n
    assert words == (n * k, m * k, m * n)
    small = counts(WEIGHTS_STAY, m, n, k, 4, 4)
    assert sum(words) <= 4 * (small.weights + small.inputs + small.results)


def test_a_kind_of_array_that_is_none_is_refused():
    with pytest.raises(ValueError, match="array = 'row' is not one of"):
        ArrayChip(array="row")  # type: ignore[arg-type]
