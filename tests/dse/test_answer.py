"""Small decisions around a run: how it grows, who waits for whom."""

import numpy as np
import pytest

import dse.workers.dispatch
from dse.core.errors import DseError
from dse.search.interrupts import Stop
from dse.study.runner import grown
from dse.workers.dispatch import Dispatcher
from dse.workers.workers import Outcome, never


@pytest.mark.parametrize(
    ("trials", "wanted"), [(None, 50), ("+30", 80), ("+0", 50), ("50", 50), ("600", 600)]
)
def test_a_run_grows_by_so_many_or_to_so_many(trials, wanted):
    assert grown(50, trials) == wanted


@pytest.mark.parametrize("trials", ["49", "0", "-5", "+-5", "", "+", "1e3", "\u0664"])
def test_a_run_never_shrinks_and_other_words_are_refused(trials):
    with pytest.raises(DseError, match="--trials"):
        grown(50, trials)


class Narrow:
    """A crew of which only the first process ever begins: a cluster that has lost a node."""

    def __init__(self):
        self.hired, self.dismissed, self.given = [], [], []

    def start(self):
        self.hired.append(len(self.hired))
        return self.hired[-1]

    def give(self, slot, row):
        self.given.append((slot, row["x"]))
        return slot == 0

    def wait(self, slots, _):
        return [(slot, Outcome({"slot": np.array([slot])})) for slot in slots if slot == 0]

    def end(self, slot):
        self.dismissed.append(slot)


def test_a_row_does_not_wait_for_a_process_that_never_starts(monkeypatch):
    monkeypatch.setattr(dse.workers.dispatch, "PATIENCE", 0.0)
    crew = Narrow()
    dispatcher = Dispatcher(crew, 2, never)
    rows = [{"x": np.array([x])} for x in range(5)]
    outcomes = dispatcher.map(rows, None, lambda: None)
    assert len(outcomes) == 5
    for outcome in outcomes:
        assert outcome.columns is not None
        assert outcome.columns["slot"].tolist() == [0]
    assert 1 in crew.dismissed
    dispatcher.close()
    assert sorted(crew.dismissed) == crew.hired


def test_before_a_search_a_ctrl_c_stops_and_in_it_the_first_one_drains():
    with pytest.raises(KeyboardInterrupt):
        Stop().arrive(2, None)
    stop = Stop()
    with stop.draining():
        stop.arrive(2, None)
        assert stop.wanted()
        with pytest.raises(KeyboardInterrupt):
            stop.arrive(2, None)
    terminated = Stop()
    with terminated.draining(), pytest.raises(KeyboardInterrupt):
        terminated.arrive(15, None)
    assert not terminated.wanted()
