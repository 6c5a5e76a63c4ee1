"""Sentence-level DVFS: the published rule by brute force, and the closed form it must equal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.online.policies.switching_costs import Switching
from dse.online.requests import UNSET, Requests, State, follow
from dse.online.simulation.sentence_dvfs import (
    ByForetoldExit,
    ExitLut,
    SentenceOutcomes,
    VoltageRows,
    exit_layers,
    sentence_policy,
    signals,
)
from dse.online.simulation.simulator import simulate
from hw_models import Accelerator, EncoderShape, LatencyAware
from hw_models.latency_aware import share_column
from studies.edgebert.sentences_command import schemes, voltage_rows

LAW = settings(max_examples=40, deadline=None)
LAYERS = 6
TWO = np.ones(2)


def device(settling=True):
    vdd = np.array([0.5, 0.6, 0.7, 0.8])
    time = 1e-3 / np.array([0.25, 0.5, 0.8, 1.0])
    settle = 1e-5 * np.array([6, 4, 2, 0]) * settling
    return VoltageRows(vdd, time, 1e-4 * (vdd / 0.8) ** 2, settle, 2e-4, 3e-5)


def trace(n, seed=0):
    """Entropies that fall with depth, each sentence at its own pace."""
    rng = np.random.default_rng(seed)
    pace = rng.gamma(2.0, 0.4, (n, 1))
    noise = rng.normal(0, 0.05, (n, LAYERS))
    return np.clip(0.69 * np.exp(-pace * np.arange(LAYERS)) + noise, 0.0, 0.693)


def flawless(early=1):
    """A table that knows: sentences of entropy 0.1 i leave i - early layers later."""
    grid = 0.1 * np.arange(1.0, LAYERS)
    later = np.full((LAYERS - 1, LAYERS - 1 - early), 0.9)
    for i in range(LAYERS - 1 - early):
        later[i, i:] = 0.0
    return ExitLut(grid, later, early, LAYERS)


THRESHOLDS = st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.8])
DEADLINES = st.floats(5e-4, 3e-2)


@LAW
@given(THRESHOLDS, DEADLINES, st.integers(1, 4), st.integers(0, 5))
def test_the_published_rule_by_brute_force(threshold, deadline, early, seed):
    rows, entropies = device(), trace(40, seed)
    lut = ExitLut.learned(entropies, early)
    said = signals(entropies, threshold, early)
    requests = Requests.of(np.full(40, deadline), signal=said)
    policy = sentence_policy(rows, ByForetoldExit.at(lut, threshold))
    chosen = follow(policy, requests)
    single = [policy.select(requests.request(i), State(UNSET)) for i in range(40)]
    assert chosen.tolist() == single
    for row, entropy in zip(chosen, said, strict=True):
        if entropy < threshold:
            assert row == rows.nominal
            continue
        nearest = lut.later[np.argmin(np.abs(lut.entropy - entropy))]
        below = np.flatnonzero(nearest < threshold)
        late = (below[0] + 1) if len(below) else LAYERS - early
        times = [rows.input_time + early * rows.layer_time[-1]
                 + (rows.settling[k] + late * rows.layer_time[k]) for k in range(4)]  # fmt: skip
        in_time = [k for k in range(4) if times[k] <= deadline]
        assert row == (in_time[0] if in_time else int(np.argmin(times)))


@LAW
@given(THRESHOLDS, DEADLINES, st.integers(1, 4), st.integers(0, 5))
def test_a_sentence_that_can_be_in_time_is(threshold, deadline, early, seed):
    # Leaving on the way only helps, so a promise made for the foretold layer is kept.
    rows, entropies = device(), trace(40, seed)
    lut = ExitLut.learned(entropies, early)
    classes = ByForetoldExit.at(lut, threshold)
    requests = Requests.of(np.full(40, deadline), signal=signals(entropies, threshold, early))
    late = classes.of_all(requests)
    held = np.where(late == 0, early, early + late)
    exits = exit_layers(entropies, threshold, held)
    assert (exits <= held).all()
    outcomes = SentenceOutcomes(rows, exits, np.ones(40), early)
    charge = Switching({"vdd": rows.vdd})
    for prefer in ("lowest voltage", "least energy"):
        run = simulate(sentence_policy(rows, classes, prefer), requests, outcomes, charge)
        fastest = rows.latency(np.full(40, 3), np.full(40, early), late)
        possible = (late == 0) | (fastest <= deadline)
        early_enough = rows.input_time + early * rows.layer_time[-1] <= deadline
        assert not (run.late & possible & early_enough).any()


def test_a_longer_deadline_ends_on_a_plateau():
    # Leakage aside, energy falls until the lowest voltage and cannot fall further.
    rows, entropies = device(), trace(400)
    lut = ExitLut.learned(entropies, 1)
    energies = [
        schemes(rows, entropies, np.ones_like(entropies), 0.2, deadline, lut)["LAI"]["energy"]
        for deadline in (6e-3, 9e-3, 1.5e-2, 3e-2, 6e-2)
    ]
    assert (np.diff(energies) <= 0).all()
    assert energies[-1] == energies[-2] < energies[0]


def test_the_schemes_are_ordered_as_published():
    rows, entropies = device(), trace(400)
    found = schemes(rows, entropies, np.ones_like(entropies), 0.2, 2e-2,
                    ExitLut.learned(entropies, 1))  # fmt: skip
    assert found["Base"]["energy"] > found["EE"]["energy"] > found["LAI"]["energy"]
    assert found["LAI"]["mean_exit_layer"] <= found["EE"]["mean_exit_layer"]
    # At equal cycles the square of the voltage allows 2.56 at most (0.8 V to 0.5 V).
    layers = found["LAI"]["mean_exit_layer"]
    at_nominal = rows.input_energy + layers * rows.layer_energy[-1]
    assert 1 < at_nominal / found["LAI"]["energy"] < 2.56
    assert found["LAI"]["late"] == 0


def test_with_a_flawless_table_it_is_the_closed_form_of_the_accelerator():
    shape = EncoderShape(LAYERS, 384, 12, 1536, 384, 30522, 512, 2, 2, LAYERS, "mean_pool")
    chip = Accelerator(shape, 64)
    design = {"pruning_ratio": np.array([0.4]), "weight_bits": np.array([8.0]),
              "envm_cell": np.array(["rram"])}  # fmt: skip
    rows, lut = voltage_rows(chip.chip, design), flawless()
    exits = np.array([1, 1, 2, 3, 3, 3, 4, 5, 6, 6])
    entropies = np.full((len(exits), LAYERS), 0.69)
    for i, layer in enumerate(exits):
        entropies[i, layer - 1 :] = 0.01
        entropies[i, 0] = 0.1 * (layer - 1)  # what the table tells the depth by
    threshold = 0.05
    for deadline in (2.2e-3, 3e-3, 4e-3, 8e-3):
        lai = schemes(rows, entropies, np.ones_like(entropies), threshold, deadline, lut)["LAI"]
        shares = {share_column(i + 1): np.array([(exits == i + 1).mean()]) for i in range(LAYERS)}
        closed = LatencyAware(chip)({**design, "deadline": np.array([deadline]), **shares})
        assert lai["energy"] == pytest.approx(closed["energy"][0], rel=1e-12)
        assert lai["late"] == pytest.approx(closed["late_share"][0], abs=1e-12)
        assert lai["mean_exit_layer"] == exits.mean()


def test_an_exit_table_reads_as_published(tmp_path):
    path = tmp_path / "lut.csv"
    entropies = np.arange(100)[:, None] / 100
    np.savetxt(path, np.hstack([entropies, np.tile(entropies, 4) * np.linspace(0.8, 0.1, 4)]),
               delimiter=",")  # fmt: skip
    lut = ExitLut.read(path, 1, LAYERS)
    # At the row 0.50 the foretold entropies are 0.40, 0.283, 0.167, 0.05.
    assert lut.exits(0.3)[50] == 3
    assert lut.exits(0.01)[50] == LAYERS
    path.write_text("0.0,soon\n")
    with pytest.raises(DseError, match="does not read as an exit table"):
        ExitLut.read(path, 1, LAYERS)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ExitLut(np.array([0.0, 0.1]), np.zeros((3, 2)), 1, 6), r"shape \(r, c\)"),
        (lambda: ExitLut(np.array([0.1, 0.1]), np.zeros((2, 2)), 1, 6), "must rise"),
        (lambda: ExitLut(np.array([0.0, 0.1]), np.zeros((2, 6)), 1, 6), "more than the 6"),
        (lambda: VoltageRows(np.array([0.8, 0.5]), TWO, TWO, TWO, 0.0, 0.0), "vdd must rise"),
        (lambda: VoltageRows(np.array([0.8]), TWO, TWO, TWO, 0.0, 0.0), "one shape"),
        (lambda: follow(sentence_policy(device(), ByForetoldExit.at(flawless(), 0.1)),
                        Requests.of(np.ones(2))), "carries no entropy"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(make, said):
    with pytest.raises(DseError, match=said):
        make()
