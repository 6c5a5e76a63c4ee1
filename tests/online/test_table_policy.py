"""A device that obeys its table: limits in whole steps refuse no row that meets them exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.core.problem import Direction
from dse.lut.fixed_point import cautious
from dse.lut.table import Default, LookupTable, Prediction, Row, Setting, Validity
from dse.online.policies.deadline import LeastEnergy
from dse.online.policies.lookup_table import TablePolicy
from dse.online.requests import UNSET, Request, Requests, State
from dse.online.rows import Rows


def choices_of(energy, latency, accuracy):
    """Rows by rising energy."""
    k = len(energy)
    columns = [np.array(column, dtype=np.float64) for column in (energy, latency, accuracy)]
    return Rows(
        columns[0],
        columns[1],
        columns[2],
        {"row": np.arange(float(k))},
        np.arange(k),
        np.ones(k, dtype=bool),
    )


def table_of(choices):
    """Every row, rounded as an export rounds."""
    columns, predictions = [], []
    losses: tuple[tuple[str, str, Direction], ...]
    losses = (("energy", "J", "min"), ("latency", "s", "min"), ("accuracy", "1", "max"))
    for name, unit, direction in losses:
        values = getattr(choices, name)
        decimals, steps = cautious(name, unit, values.tolist(), direction)
        columns.append(steps)
        predictions.append(Prediction(name, unit, decimals, direction, "unverified"))
    rows = tuple(Row((i,), row) for i, row in enumerate(zip(*columns, strict=True)))
    return LookupTable(
        study="s", run_identity="none", valid_for=Validity(), depends_on={}, design=(),
        settings=(Setting("row", "1", 0),), predictions=tuple(predictions), kept_limits=(),
        sorted_by="energy", default=Default(int(np.argmin(columns[1])), "latency"), rows=rows,
    )  # fmt: skip


def policy_of(choices):
    return TablePolicy.of(table_of(choices), choices, ("latency", "energy"))


@pytest.mark.parametrize("first", range(0, 10_000, 1000))
def test_every_deadline_in_milliseconds_is_met_exactly(first):
    # Multiplied in binary, 271 of these come out one nanosecond low: 1001 ms, 1003 ms, ...
    deadline = np.arange(max(first, 1), first + 1000)[::-1] / 1000
    choices = choices_of(np.arange(1.0, len(deadline) + 1), deadline, np.zeros(len(deadline)))
    policy, requests = policy_of(choices), Requests.of(deadline)
    rows = policy.select_all(requests, UNSET)
    assert rows.tolist() == LeastEnergy.of(choices).select_all(requests, UNSET).tolist()
    assert rows.tolist() == list(range(len(deadline)))
    one_by_one = [policy.select(requests.request(i), State()) for i in range(len(requests))]
    assert rows.tolist() == one_by_one


def test_an_accuracy_is_reached_exactly_too():
    # Multiplied in binary, 0.79 % comes out at a whole part per million more, and so do others.
    accuracy = np.arange(1, 1000) / 10_000
    choices = choices_of(np.arange(1.0, 1000.0), np.ones(999), accuracy)
    asked = Requests.of(np.ones(999), accuracy=accuracy)
    assert policy_of(choices).select_all(asked, UNSET).tolist() == list(range(999))


def test_a_deadline_out_of_an_array_is_a_number_like_any_other():
    choices = choices_of([1.0, 2.0], [1.001, 0.1], [0.0, 0.0])
    assert policy_of(choices).select(Request(np.float64(1.001)), State()) == 0


def test_endless_time_is_no_limit():
    choices = choices_of([1.0, 2.0], [0.9, 0.1], [0.0, 0.0])
    assert policy_of(choices).select_all(Requests.of(np.array([np.inf])), UNSET).tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=8, unique=True), st.floats(1e-3, 10.0))
def test_no_row_is_taken_for_in_time_that_is_late(latencies, deadline):
    falling = sorted(latencies, reverse=True)
    choices = choices_of(np.arange(1.0, len(falling) + 1), falling, np.zeros(len(falling)))
    (row,) = policy_of(choices).select_all(Requests.of(np.array([deadline])), UNSET)
    assert falling[row] <= deadline or row == len(falling) - 1
