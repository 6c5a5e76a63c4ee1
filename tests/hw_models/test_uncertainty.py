"""Draws stay inside their intervals, keep the median, and leave certain things alone."""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import (
    Accelerator,
    CloudNode,
    EdgeDevice,
    Envm,
    LatencyAware,
    Link,
    OperatingPoints,
    SplitComputing,
    Storage,
    Supply,
    Table,
)
from hw_models.latency_aware import share_column
from hw_models.table import shipped, shipped_names
from hw_models.uncertainty import Interval, evaluate_each, sample_models, survival, surviving


@pytest.mark.parametrize("name", shipped_names())
def test_draws_lie_inside_the_interval_and_half_of_them_below_the_nominal(name):
    interval = Interval.shipped(name)
    draws = interval.draw(400, np.random.default_rng(1))
    for column, nominal in interval.nominal.columns.items():
        values = np.stack([draw.columns[column] for draw in draws])
        low, high = interval.low.columns[column], interval.high.columns[column]
        assert ((values >= low) & (values <= high)).all()
        if values.dtype.kind != "U" and column != interval.nominal.key:
            certain = low == high
            assert (values[:, certain] == nominal[certain]).all()
            below = (values < nominal)[:, (low < nominal) & (nominal < high)]
            assert below.size == 0 or 0.4 < below.mean() < 0.6


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_a_drawn_voltage_curve_still_rises(seed):
    (table,) = Interval.shipped("dvfs_silicon_12nm").draw(1, np.random.default_rng(seed))
    assert (np.diff(table.columns["f_max"]) > 0).all()


def test_machines_are_drawn_in_one_call_and_evaluated_side_by_side(minilm):
    machine = Accelerator(minilm, 64)
    rng = np.random.default_rng(0)
    machines = sample_models(machine, 50, rng)
    assert len(machines) == 50
    batch = {"pruning_ratio": np.full(3, 0.5), "weight_bits": np.full(3, 8),
             "envm_cell": np.array(["rram", "stt", "pcm"]), "vdd": np.full(3, 0.65),
             "mean_exit_layer": np.full(3, 3.0), "p95_exit_layer": np.full(3, 5.0)}  # fmt: skip
    results = evaluate_each(machines, batch)
    assert {name: column.shape for name, column in results.items()} == dict.fromkeys(
        machine.signature.outputs, (50, 3)
    )
    assert len(np.unique(results["energy"][:, 0])) == 50
    losses = np.stack([results["energy"], results["area"]], axis=2)
    alive = survival(losses)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert alive.max() > 0
    again = sample_models(machine, 50, np.random.default_rng(0))
    assert (evaluate_each(again, batch)["energy"] == results["energy"]).all()


def test_survival_counts_the_draws_in_which_nothing_is_better():
    losses = np.array([[[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]], [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]]])
    assert survival(losses).tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("name", ["own", "envm_nvsim_22nm"])
def test_a_table_of_the_users_own_stays_even_under_our_name(minilm, name):
    t = shipped("envm_nvsim_22nm")
    edited = dict(t.columns) | {"area": 2 * t.columns["area"]}
    own = type(t)(name, t.key, edited, t.units, t.origin)
    machine = Accelerator(minilm, 64)
    storage = type(machine.storage)(type(machine.storage.envm)(own))
    machine = Accelerator(minilm, 64, storage=storage)
    (drawn,) = sample_models(machine, 1, np.random.default_rng(0))
    assert drawn.storage.envm.table is own


def front(cells):
    n = len(cells)
    return {"pruning_ratio": np.full(n, 0.5), "weight_bits": np.full(n, 8),
            "envm_cell": np.array(cells), "vdd": np.full(n, 0.65),
            "mean_exit_layer": np.full(n, 3.0), "p95_exit_layer": np.full(n, 5.0)}  # fmt: skip


def test_a_front_is_asked_which_of_its_designs_survive(minilm):
    machine = Accelerator(minilm, 64, storage=Storage(Envm(idle="gated")))
    designs = front(["rram", "stt", "stt"]) | {"weight_bits": np.array([8, 8, 9])}
    designs["loss"] = np.array([0.10, 0.11, 0.12])
    rng = np.random.default_rng
    share = surviving(machine, designs, ("energy", "area"), 40, rng(0))
    assert share[2] == 0  # a bit more of the same cell is worse whatever the constants
    assert 0 < share[0] < 1
    assert share[0] + share[1] >= 1
    # A column that no constant changes can save a design for good.
    assert surviving(machine, designs, ("energy", "loss"), 40, rng(0))[0] == 1
    with pytest.raises(ValueError, match=r"losses \['price'\] are neither outputs"):
        surviving(machine, designs, ("price",), 2, rng(0))


def test_every_table_inside_an_evaluator_is_drawn_and_each_once(minilm):
    supply = Supply()
    aware = LatencyAware(Accelerator(minilm, 64, supply=supply), supply=supply)
    (drawn,) = sample_models(aware, 1, np.random.default_rng(0))
    assert drawn.accelerator.supply is not None
    assert drawn.supply.table is drawn.accelerator.supply.table
    for place in ("accelerator.datapath.silicon.anchor", "accelerator.storage.envm.table",
                  "accelerator.datapath.silicon.sram.scaling"):  # fmt: skip
        before, after = operator.attrgetter(place)(aware), operator.attrgetter(place)(drawn)
        assert any((after.columns[c] != before.columns[c]).any() for c in before.columns)
    deadline = {k: v for k, v in front(["stt"]).items() if k in aware.signature.inputs}
    deadline |= {share_column(i + 1): np.full(1, 1 / 6) for i in range(6)}
    deadline["deadline"] = np.array([5e-3])
    assert evaluate_each((aware, drawn), deadline)["energy"].shape == (2, 1)


def test_no_draws_are_refused(minilm):
    with pytest.raises(ValueError, match="count = 0 must be at least 1"):
        sample_models(Accelerator(minilm, 64), 0, np.random.default_rng(0))


@dataclass(frozen=True)
class Lazy:
    make: Callable[[], Accelerator]


def test_a_model_without_anything_to_draw_is_refused(minilm):
    rng = np.random.default_rng(0)
    own = Table("own", "vdd", dict(shipped("dvfs_12nm").columns), shipped("dvfs_12nm").units,
                shipped("dvfs_12nm").origin)  # fmt: skip
    with pytest.raises(ValueError, match="nothing to draw: Lazy holds no table"):
        sample_models(Lazy(lambda: Accelerator(minilm, 64)), 3, rng)
    with pytest.raises(ValueError, match=r"nothing to draw: OperatingPoints .*'own'.*low and high"):
        sample_models(OperatingPoints(own), 3, rng)
    with pytest.raises(ValueError, match=r"nothing to draw: .*'dvfs_12nm'"):
        sample_models(OperatingPoints(), 3, rng)
    assert sample_models(OperatingPoints(shipped("dvfs_silicon_12nm")), 3, rng)


def test_survival_of_a_model_without_tables_is_refused_and_not_certain():
    board = EdgeDevice.pi4_vgg16()
    cloud = CloudNode(np.zeros((2, board.layers + 1)), np.ones(2))
    split = SplitComputing(board, Link(2.5e-3), cloud, np.zeros(board.layers + 1))
    columns = {"split_layer": np.array([0, 22]), "cpu_frequency": np.full(2, 1e9),
               "tpu_mode": np.full(2, "off"), "cloud_gpu": np.full(2, "on"),
               "bandwidth": np.full(2, 1e8)}  # fmt: skip
    with pytest.raises(ValueError, match="nothing to draw: SplitComputing holds no table"):
        surviving(split, columns, ("latency", "energy"), 5, np.random.default_rng(0))
