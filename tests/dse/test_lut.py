"""A lookup table belongs to one device, and a changed table is no table."""

import json

import numpy as np
import pytest

from dse.errors import DseError
from dse.lut.table import LookupTable, lookup_table


def made(run, **options):
    return lookup_table(run, sort_by="energy", fallback="delay", **options)


def test_rows_share_the_design_and_are_sorted(small_run):
    content = made(small_run, design={"cell": "a", "bits": 8}).content
    assert [d["value"] for d in content["design"]] == ["a", 8]
    assert [s["name"] for s in content["settings"]] == ["vdd"]
    energies = [row["predictions"][0] for row in content["rows"]]
    assert energies == sorted(energies)
    assert len(energies) == 4
    delays = [row["predictions"][1] for row in content["rows"]]
    assert content["fallback"]["row"] == int(np.argmin(delays))


def test_every_row_is_feasible_and_a_trial_of_the_run(small_run):
    content = made(small_run).content
    design = {d["name"]: d["value"] for d in content["design"]}
    trials = small_run.trials
    for row in content["rows"]:
        hit = trials.feasible & (trials.designs["vdd"] == row["settings"][0])
        for name, value in design.items():
            hit &= trials.designs[name] == value
        (index,) = np.flatnonzero(hit)
        assert trials.metrics["energy"][index] == row["predictions"][0]


def test_without_a_design_the_one_that_dominates_most_is_taken(small_run):
    # Cell b only adds energy, so no device with it can win.
    assert made(small_run).content["design"][0]["value"] == "a"


def test_evidence_and_units_are_in_the_table(small_run):
    predictions = made(small_run).content["predictions"]
    assert predictions[0] == {
        "name": "energy", "unit": "J", "direction": "min", "evidence": "unverified",
    }  # fmt: skip


def test_json_round_trips_and_any_changed_character_is_noticed(small_run):
    table = made(small_run)
    text = table.to_json()
    again = LookupTable.from_json(text)
    assert again.to_json() == text
    rng = np.random.default_rng(0)
    for position in rng.choice(len(text), 200, replace=False):
        flipped = chr(ord(text[position]) ^ 1)
        damaged = text[:position] + flipped + text[position + 1 :]
        with pytest.raises(DseError, match="not a lookup table"):
            LookupTable.from_json(damaged)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a":1,"a":2}', '{"a":NaN}', "null"])
def test_what_is_no_table_is_refused(text):
    with pytest.raises(DseError, match="not a lookup table"):
        LookupTable.from_json(text)


def test_another_version_is_refused(small_run):
    content = json.loads(made(small_run).to_json())
    with pytest.raises(DseError, match="version 7"):
        LookupTable.from_json(json.dumps({**content, "version": 7}))


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"vdd": 0.5}, "vdd is no design knob; there are cell, bits"),
        ({"cell": "a"}, "give a value for each of cell, bits"),
        ({"cell": "z", "bits": 8}, "no trial has the design"),
        ({"cell": "a", "bits": 1}, "no feasible trial has the design"),
    ],
)
def test_a_design_that_is_no_device_is_refused(design, said, small_run):
    with pytest.raises(DseError, match=said):
        made(small_run, design=design)
