"""A lookup table belongs to one device, in integers that promise no more than the run found."""

import dataclasses
import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.lut.build import Order, lookup_table
from dse.lut.canonical import to_json
from dse.lut.error_codes import Fault, LutError
from dse.lut.fixed_point import base_unit, cautious, exact
from dse.lut.thinning import thinned
from dse.pareto.hypervolume import Reference, hypervolume


def made(run, **options):
    return lookup_table(run, Order("energy", "delay", **options))


def test_rows_share_the_design_and_are_sorted(small_run):
    table = made(small_run, design={"cell": "a", "bits": 8})
    assert [k.name for k in table.design] == ["cell", "bits"]
    assert [k.choices[k.value] if k.choices else k.value for k in table.design] == ["a", 8]
    assert [s.name for s in table.settings] == ["vdd"]
    energies = [row.predictions[0] for row in table.rows]
    assert energies == sorted(energies)
    assert len(energies) == 4
    delays = [row.predictions[1] for row in table.rows]
    assert table.default.row == int(np.argmin(delays))


def test_every_row_is_a_feasible_trial_and_promises_no_more_than_it_found(small_run):
    table = made(small_run)
    design = {k.name: k.choices[k.value] if k.choices else k.value for k in table.design}
    trials = small_run.trials
    for row in table.rows:
        volts = row.settings[0] / 10 ** table.settings[0].decimals
        hit = trials.feasible & (trials.designs["vdd"] == volts)
        for name, value in design.items():
            hit &= trials.designs[name] == value
        (index,) = np.flatnonzero(hit)
        for prediction, steps in zip(table.predictions, row.predictions, strict=True):
            found, step = trials.metrics[prediction.name][index], 10.0**-prediction.decimals
            assert found <= steps * step * (1 + 1e-15)
            assert steps * step < found + 1.000001 * step


def test_without_a_design_the_one_that_dominates_most_is_taken(small_run):
    # Cell b only adds energy, so no device with it can win.
    (cell, _) = made(small_run).design
    assert cell.choices[cell.value] == "a"


def test_evidence_units_limits_and_facts_are_in_the_table(small_run):
    table = made(small_run, device="board", context="bandwidth=good", hysteresis=0.5)
    content = json.loads(to_json(table))
    energy = content["predictions"][0]
    assert (energy["name"], energy["unit"], energy["decimals"]) == ("energy", "J", 9)
    assert (energy["direction"], energy["evidence"]) == ("min", "unverified")
    energies = [row["predictions"][0] for row in content["rows"]]
    assert energy["margin"] == (max(energies) - min(energies)) // 2
    assert content["kept_limits"] == [
        {"name": "delay", "unit": "s", "decimals": 9, "side": "max", "bound": 10**9}
    ]
    assert content["valid_for"]["device"] == "board"
    assert content["valid_for"]["context"] == "bandwidth=good"
    assert content["depends_on"] == {"network": "none"}


def test_network_and_task_of_the_run_become_its_validity(small_run):
    facts = {"network_sha256": "ab" * 32, "task": "sentiment", "split": "validation"}
    run = dataclasses.replace(small_run, manifest={**small_run.manifest, "facts": facts})
    table = made(run)
    assert (table.valid_for.network, table.valid_for.task) == ("ab" * 32, "sentiment")
    assert table.depends_on == {"split": "validation"}


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"vdd": 0.5}, "vdd is no design knob; there are cell, bits"),
        ({"cell": "a"}, r"--design wants bits \(1, 2, 3, 4, 5, 6, 7, 8\) as well"),
        ({"cell": "z", "bits": 8}, "no trial has the design"),
        ({"cell": "a", "bits": 1}, "no feasible trial has the design"),
    ],
)
def test_a_design_that_is_no_device_is_refused(design, said, small_run):
    with pytest.raises(DseError, match=said):
        made(small_run, design=design)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rows": 1}, "1 rows cannot hold the 2 best rows of single objectives"),
        ({"device": "Größe"}, "more than printable ASCII"),
        ({"device": "d" * 201}, "201 characters; at most 200"),
        ({"hysteresis": 1.5}, "hysteresis 1.5 is no share"),
        ({"hysteresis": float("nan")}, "hysteresis nan is no share"),
    ],
)
def test_an_order_that_no_table_can_follow_is_refused(options, said, small_run):
    with pytest.raises(DseError, match=said):
        made(small_run, **options)


def test_an_unknown_objective_names_those_there_are(small_run):
    with pytest.raises(DseError, match="unknown objective 'cost'; there are energy, delay"):
        lookup_table(small_run, Order("cost", "delay"))


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8), st.integers(-6, 3))
def test_a_setting_comes_back_as_the_very_float(steps, power):
    values = [float(f"{n}e{power - 3}") for n in steps]
    decimals, integers = exact("vdd", "V", values)
    assert [float(f"{n}e-{decimals}") for n in integers] == values


def test_a_setting_with_more_digits_than_a_scale_is_refused_not_rounded():
    with pytest.raises(LutError, match="no whole number of aV within 2\\^53") as caught:
        exact("vdd", "V", [0.5, 0.1 + 0.2 + 1e-16])
    assert caught.value.fault is Fault.UNFIT


@given(
    st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=6),
    st.sampled_from(["min", "max"]),
)
def test_a_prediction_is_rounded_against_the_row_by_less_than_a_step(values, direction):
    try:
        decimals, steps = cautious("energy", "J", values, direction)
    except LutError:
        assert max(values) / min(values) > 2**53 / 10**8  # five digits, and steps of 1000
        return
    for value, n in zip(values, steps, strict=True):
        back = float(f"{n}e-{decimals}")
        assert (back >= value) if direction == "min" else (back <= value)
        assert abs(back - value) <= 1e-5 * abs(value)


def test_a_range_that_no_scale_holds_is_refused_not_clipped():
    with pytest.raises(LutError, match="holds that to five digits within 2\\^53"):
        cautious("energy", "J", [1e-12, 1e6], "min")


@pytest.mark.parametrize(
    ("unit", "decimals", "said"),
    [("V", 6, "uV"), ("J", 12, "pJ"), ("Hz", 0, "Hz"), ("s", 9, "ns"), ("1", 6, "ppm"),
     ("m^2", 12, "um^2"), ("nat", 6, "unat"), ("J/bit", 3, "1e-3 J/bit"), ("1", 12, "1e-12")],
)  # fmt: skip
def test_a_step_has_a_name(unit, decimals, said):
    assert base_unit(unit, decimals) == said


@pytest.mark.parametrize("objectives", [2, 3])
def test_thinning_keeps_corners_and_nearly_the_most_hypervolume(objectives):
    rng = np.random.default_rng(objectives)
    worst = 1.0
    for _ in range(20):
        losses = np.abs(rng.normal(size=(10, objectives)))
        losses /= np.linalg.norm(losses, axis=1)[:, None]
        frame, corners = Reference.of(losses), set(losses.argmin(axis=0).tolist())
        kept = thinned(losses, 6)
        assert corners <= set(kept.tolist())
        assert len(kept) == 6
        best = max(
            hypervolume(losses[list(rows)], frame)
            for rows in combinations(range(10), 6)
            if corners <= set(rows)
        )
        worst = min(worst, hypervolume(losses[kept], frame) / best)
    assert worst > 0.99


def test_thinning_to_more_rows_than_there_are_changes_nothing():
    losses = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert thinned(losses, 5).tolist() == [0, 1]
