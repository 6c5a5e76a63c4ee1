"""Draws stay inside their intervals, keep the median, and leave certain things alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator
from hw_models.table import shipped, shipped_names
from hw_models.uncertainty import Interval, evaluate_each, sample_accelerators, survival


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
    machines = sample_accelerators(machine, 50, rng)
    assert len(machines) == 50
    batch = {"pruning_ratio": np.full(3, 0.5), "weight_bits": np.full(3, 8),
             "envm_cell": np.array(["rram", "stt", "pcm"]), "vdd": np.full(3, 0.65),
             "mean_exit_layer": np.full(3, 3.0), "p95_exit_layer": np.full(3, 5.0)}  # fmt: skip
    results = evaluate_each(machines, batch)
    assert {name: column.shape for name, column in results.items()} == dict.fromkeys(
        machine.outputs, (50, 3)
    )
    assert len(np.unique(results["energy"][:, 0])) == 50
    losses = np.stack([results["energy"], results["area"]], axis=2)
    alive = survival(losses)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert alive.max() > 0
    again = sample_accelerators(machine, 50, np.random.default_rng(0))
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
    (drawn,) = sample_accelerators(machine, 1, np.random.default_rng(0))
    assert drawn.storage.envm.table is own


def test_no_draws_are_refused(minilm):
    with pytest.raises(ValueError, match="count = 0 must be at least 1"):
        sample_accelerators(Accelerator(minilm, 64), 0, np.random.default_rng(0))
