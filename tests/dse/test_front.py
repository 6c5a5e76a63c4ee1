"""The front holds exactly the feasible trials that nothing feasible dominates."""

import csv
import io
import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from rich.console import Console

from dse.core.errors import DseError
from dse.core.signature import Signature
from dse.pareto.hypervolume import Reference
from dse.results.front import Front
from dse.results.table import front_csv, front_table


def brute_force(trials):
    rows = np.flatnonzero(trials.feasible)
    losses = trials.losses
    return {
        int(i)
        for i in rows
        if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in rows)
    }


def test_the_front_is_what_brute_force_finds(small_run):
    front = Front.of(small_run.question, small_run.trials)
    assert set(front.numbers.tolist()) == brute_force(small_run.trials)
    assert len(front) > 5


def test_order_and_bytes_do_not_depend_on_the_order_of_the_trials(small_run):
    trials = small_run.trials
    shuffled = trials.rows(np.random.default_rng(3).permutation(len(trials)))
    one = Front.of(small_run.question, trials)
    other = Front.of(small_run.question, shuffled)
    np.testing.assert_array_equal(one.trials.codes, other.trials.codes)


def test_best_and_knee_are_rows_of_the_front(small_run):
    front = Front.of(small_run.question, small_run.trials)
    assert front.best_row("energy") == 0
    assert (
        front.trials.metrics["delay"][front.best_row("delay")]
        == front.trials.metrics["delay"].min()
    )
    assert front.best_row("energy") < front.knee_row() < front.best_row("delay")
    with pytest.raises(DseError, match="unknown objective 'speed'; there are energy, delay"):
        front.best_row("speed")


def test_the_knee_is_nearest_to_the_ideal_in_a_straight_line(small_run):
    front = Front.of(small_run.question, small_run.trials)
    # Scaled to 0 to 1; the sum of both losses would be least at (0.1, 0.9).
    losses = np.array([[0.0, 3.0], [1.0, 2.7], [5.0, 1.65], [10.0, 0.0]])
    few = replace(front.trials.rows(np.arange(4)), losses=losses)
    assert replace(front, trials=few, numbers=np.arange(4)).knee_row() == 2


def test_an_empty_front_says_so(small_run):
    trials = small_run.trials
    front = Front.of(small_run.question, trials.rows(~trials.feasible))
    assert len(front) == 0
    with pytest.raises(DseError, match="no trial is feasible"):
        front.knee_row()


def test_hypervolume_of_the_front_equals_that_of_all_feasible_trials(small_run):
    trials = small_run.trials
    feasible = trials.rows(trials.feasible)
    reference = Reference.of(feasible.losses)
    front = Front.of(small_run.question, trials)
    assert 0 < front.hypervolume(reference) < 1


def test_json_and_csv_carry_units_and_full_precision(small_run):
    front = Front.of(small_run.question, small_run.trials)
    content = json.loads(front.to_json())
    units = {c["name"]: c["unit"] for c in content["columns"]}
    assert units == {"cell": "choice", "bits": "bit", "vdd": "V", "energy": "J", "delay": "s"}
    rows = list(csv.DictReader(io.StringIO(front_csv(front))))
    energies = [float(row["energy [J]"]) for row in rows]
    np.testing.assert_array_equal(energies, front.trials.metrics["energy"])
    assert [row["metrics"]["energy"] for row in content["rows"]] == energies


def test_the_table_shows_units_and_says_when_it_thins(small_run):
    front = Front.of(small_run.question, small_run.trials)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(front_table(front, 4))
    text = console.export_text()
    assert f"{len(front)} designs on the front, 4 of them shown" in text
    assert "[mV]" in text
    assert "unverified" in text


def shown_at(front, width, **options):
    said = io.StringIO()
    console = Console(width=width, file=said, highlight=False)
    console.print(front_table(front, 4, width=width, **options))
    return said.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 280])
def test_a_table_shows_what_has_room_and_names_the_rest(small_run, width):
    front = Front.of(small_run.question, small_run.trials)
    text = shown_at(front, width)
    assert "…" not in text
    head = text[: text.index("┡")]
    for objective in front.question.objectives:
        assert all(word in head for word in objective.name.split("_"))
    below = " ".join(text[text.index("└") :].split())
    for quantity in front.question.quantities:
        shown = all(word in head for word in quantity.name.split("_"))
        assert shown or quantity.name in below or quantity.unit == "handle"


def test_columns_asked_for_come_first(small_run):
    front = Front.of(small_run.question, small_run.trials)
    knobs = [knob.name for knob in front.question.knobs]
    narrow = 45
    heads = {name: shown_at(front, narrow, columns=[name]).split("┡")[0] for name in knobs}
    assert all(name in head for name, head in heads.items())
    assert any(name not in head for name in knobs for head in heads.values())
    with pytest.raises(DseError, match=f"no 'vdt'.*it has .*{knobs[0]}"):
        shown_at(front, narrow, columns=["vdt"])


@dataclass(frozen=True)
class Elsewhere:
    """Measured on other data: fails at the highest voltage."""

    signature: ClassVar[Signature] = Signature.uniform(
        {"vdd": "V", "bits": "bit"},
        {"test_margin": "V", "archive": "handle", "bits": "bit"},
        "measured",
        "measured",
    )

    def __call__(self, columns):
        if (columns["vdd"] == 0.8).any():
            raise ValueError("no sentences at 0.8 V")
        handles = np.full(len(columns["vdd"]), "h")
        margin = columns["vdd"] - 0.5
        return {"bits": columns["bits"], "test_margin": margin, "archive": handles}


def test_a_front_is_measured_once_more_on_data_that_no_choice_has_seen(small_run):
    plain = Front.of_run(small_run)
    assert plain.to_json() == Front.of(small_run.question, small_run.trials).to_json()
    kept = json.loads(json.dumps(plain.measured_on(Elsewhere())))
    front = Front.of_run(replace(small_run, manifest={**small_run.manifest, "held_out": kept}))
    rows = json.loads(front.to_json())["rows"]
    assert {row["design"]["vdd"] for row in rows} >= {0.5, 0.8}
    for row in rows:
        if row["design"]["vdd"] == 0.8:
            assert "held_out" not in row
        else:
            assert row["held_out"] == {"test_margin": row["design"]["vdd"] - 0.5}
    columns = json.loads(front.to_json())["columns"]
    assert columns[-1] == {
        "name": "test_margin",
        "unit": "V",
        "evidence": "measured",
        "role": "held out",
    }
    head, *lines = front_csv(front).splitlines()
    assert head.endswith(",test_margin [V]")
    assert len(set(head.split(","))) == len(head.split(","))
    assert len({line.count(",") for line in (head, *lines)}) == 1
    said = io.StringIO()
    console = Console(width=200, file=said)
    console.print(front_table(front, 5))
    assert {"test", "margin"} <= set(said.getvalue().split())
