"""Sentence-level DVFS: meets deadlines, never wastes voltage, and stops saving at the bottom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.dvfs import Load, SentenceDvfs

LAYER = 3_637_248.0  # matmul cycles of an ALBERT layer at 128 tokens, n = 16
SENTENCE = st.tuples(st.integers(1, 12), st.floats(3e-3, 0.2), st.floats(0, 1))


def load(layers, deadline, left=1.0, leakage=2.5e-3):
    layers, deadline = np.atleast_1d(np.asarray(layers, float)), np.atleast_1d(deadline)
    ones = np.ones(np.broadcast(layers, deadline).shape)
    predicted = (layers - 1) * LAYER * ones
    return Load(
        LAYER * ones, predicted, left * predicted, deadline * ones, 86e-12 * ones, leakage * ones
    )


@given(SENTENCE)
def test_a_feasible_sentence_meets_its_deadline_and_the_row_below_would_not(sentence):
    layers, deadline, left = sentence
    dvfs, work = SentenceDvfs(), load(layers, deadline, left)
    result = dvfs.run(work)
    if not result.feasible[0]:
        assert result.vdd[0] == 0.8 or work.predicted[0] == 0
        return
    assert result.latency[0] <= deadline * (1 + 1e-9)
    rows = dvfs.points.table.columns
    below = int(np.searchsorted(rows["vdd"], result.vdd[0])) - 1
    if below >= 0:
        elapsed = LAYER / 1e9 + work.predicted[0] / rows["f_max"][below]
        assert elapsed > (deadline - 1e-7) * (1 - 1e-12)


@given(st.lists(SENTENCE, min_size=1, max_size=8))
@settings(deadline=None)
def test_a_batch_equals_its_rows(sentences):
    dvfs = SentenceDvfs()
    batch = dvfs.run(load(*(np.array(c) for c in zip(*sentences, strict=True))))
    for i, sentence in enumerate(sentences):
        row = dvfs.run(load(*sentence))
        for name in ("vdd", "frequency", "latency", "energy", "feasible"):
            assert getattr(batch, name)[i] == getattr(row, name)[0]


@pytest.mark.parametrize(
    ("deadline", "clocks"),
    [(50e-3, {2: 78e6, 4: 235e6, 6: 392e6, 12: 863e6}),
     (100e-3, {2: 38e6, 4: 113e6, 6: 189e6, 12: 415e6})],
)  # fmt: skip
def test_required_clocks_are_remaining_cycles_over_remaining_time(deadline, clocks):
    layers = np.array(list(clocks), dtype=float)
    result = SentenceDvfs(slowest=1e6).run(load(layers, deadline))
    assert result.frequency == pytest.approx(list(clocks.values()), rel=0.02)


def test_energy_falls_with_the_deadline_to_a_plateau():
    deadline = np.linspace(44e-3, 400e-3, 300)
    result = SentenceDvfs().run(load(12, deadline))
    assert result.feasible.all()
    # On one row a slower clock leaks longer, so rows are compared by their best.
    rows = [result.energy[result.vdd == v].min() for v in np.unique(result.vdd)]
    assert len(rows) > 10
    assert (np.diff(rows) > 0).all()
    flat = result.energy[result.vdd == 0.5]
    assert len(flat) > 100
    assert flat == pytest.approx(flat[-1], rel=1e-12)


@pytest.mark.parametrize("dvfs", [SentenceDvfs(slowest=1e7), SentenceDvfs(idle="powered")])
def test_past_the_lowest_voltage_leakage_makes_slower_worse(dvfs):
    deadline = np.linspace(44e-3, 400e-3, 300)
    energy = dvfs.run(load(12, deadline)).energy
    best = int(np.argmin(energy))
    assert 0 < best < len(energy) - 1
    assert (np.diff(energy[best:]) > 0).all()
    # Without leakage there is nothing to lose.
    lossless = dvfs.run(load(12, deadline, leakage=0.0)).energy
    assert (np.diff(lossless) <= 1e-15).all()


def test_a_deadline_that_no_clock_meets_is_flagged_and_run_at_full_clock():
    result = SentenceDvfs().run(load(np.array([12.0, 12.0, 1.0, 1.0]), [43e-3, 1e-6, 4e-3, 3e-3]))
    assert result.feasible.tolist() == [False, False, True, False]
    assert result.vdd[:2].tolist() == [0.8, 0.8]


def test_switching_energy_saves_the_square_of_the_voltage_and_no_more():
    # (0.8/0.5)^2 = 2.56 on the late layers alone; a layer at nominal keeps the whole below it.
    late = load(12, 1.0, leakage=0.0)
    energy = SentenceDvfs().run(late).energy[0]
    nominal = 12 * LAYER * 86e-12
    assert (nominal - LAYER * 86e-12) / (energy - LAYER * 86e-12) == pytest.approx(2.56, rel=1e-9)
    assert nominal / energy < 2.56


def test_a_sentence_deeper_than_predicted_is_refused():
    with pytest.raises(ValueError, match="is above the predicted cycles"):
        load(6, 0.05, left=1.1)
    with pytest.raises(ValueError, match=r"deadline = 0\.0 s"):
        load(6, 0.0)


def test_policies_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="slowest = 0 Hz is outside"):
        SentenceDvfs(slowest=0)
    with pytest.raises(ValueError, match="idle = 'off' is not one of"):
        SentenceDvfs(idle="off")  # type: ignore[arg-type]
