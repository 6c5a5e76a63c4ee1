import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dse.accuracy.archive import Archive, archive_path, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exit_rules import replay
from dse.accuracy.exits import ExitCurve, Rule, entropy, limits, scores
from dse.accuracy.predictor import ExitTable, fitted
from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.core.parameters import FloatArray

SEEDS = st.integers(0, 2**32 - 1)


def some_entropies(seed, sentences=40, layers=6):
    """Falling on the whole, on a coarse grid so that values repeat."""
    rng = np.random.default_rng(seed)
    fall = np.linspace(0.65, 0.05, layers) * rng.uniform(0.2, 1.2, (sentences, 1))
    return (fall + rng.normal(0, 0.05, (sentences, layers))).clip(0, 0.69).round(2)


def some_table(seed, layers=6, p=1):
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 0.6, (100, layers - 1 - p)).round(2)
    return ExitTable(np.arange(100.0) * 0.01, predicted, p)


def told(h, threshold, table, early_stop=True, quirk=False):
    """The rule of EdgeBERT as it is told, one sentence at a time."""
    layers, p = len(h), table.predict_layer
    for layer in range(1, p + 1):
        if h[layer - 1] < threshold:
            return layer, layer
    nearest = np.abs(table.entropies - h[p - 1]).argmin()
    below = [c for c, v in enumerate(table.predicted[nearest]) if v < threshold]
    planned = p + 1 + below[0] if below else layers
    if quirk and planned >= layers - 1:
        planned = layers
    for layer in range(p + 1, layers):
        if layer == planned:
            return layer, planned
        unseen = quirk and layer == layers - 1
        if early_stop and not unseen and h[layer - 1] < threshold:
            return layer, planned
    return layers, planned


@given(SEEDS, st.integers(1, 4), st.booleans(), st.booleans())
def test_the_replay_does_what_the_rule_says_sentence_by_sentence(seed, p, early_stop, quirk):
    h, table = some_entropies(seed), some_table(seed, p=p)
    thresholds = np.array([0.0, 0.05, 0.2, 0.335, 0.6, 0.7])
    depths = replay(h, thresholds, table, early_stop=early_stop, countdown_quirk=quirk)
    assert depths.predicted is not None
    for k, threshold in enumerate(thresholds):
        for i, row in enumerate(h):
            exit_layer, planned = told(row, threshold, table, early_stop, quirk)
            assert depths.exits[k, i] == exit_layer
            assert depths.predicted[k, i] == planned


@given(SEEDS)
def test_without_a_table_the_replay_agrees_with_the_step_function(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(30, 5, 3)) * 2
    labels = rng.integers(0, 3, 30)
    rules: tuple[tuple[Rule, FloatArray], ...] = (
        ("entropy", np.linspace(0, 1.2, 20)),
        ("max-probability", np.linspace(0.2, 1.1, 20)),
        ("patience", np.arange(1.0, 8.0)),
    )
    for rule, thresholds in rules:
        below = limits(rule, thresholds)
        depths = replay(scores(rule, logits), below)
        accuracy, mean, _, _ = ExitCurve.of(logits, labels, rule).at(below)
        np.testing.assert_allclose(depths.mean_exit_layer, mean, rtol=1e-12)
        np.testing.assert_allclose(depths.right(logits, labels).mean(axis=1), accuracy)


def test_patience_waits_for_equal_answers():
    answers = np.array([[0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0]])
    logits = np.eye(2)[answers] * 5.0
    exits = replay(scores("patience", logits), limits("patience", np.array([1, 2, 3]))).exits
    assert exits.tolist() == [[1, 1, 1], [3, 2, 5], [4, 5, 5]]


def test_max_probability_leaves_strictly_above():
    logits = np.log(np.array([[[0.8, 0.2], [0.9, 0.1], [0.99, 0.01]]]))
    p = float(-scores("max-probability", logits)[0, 0])
    below = limits("max-probability", np.array([p, np.nextafter(p, 0.0)]))
    assert replay(scores("max-probability", logits), below).exits.tolist() == [[2], [1]]


def test_a_sentence_never_stays_beyond_its_plan():
    h, table = some_entropies(7), some_table(7)
    depths = replay(h, np.linspace(0, 0.7, 30), table)
    assert depths.predicted is not None
    assert (depths.exits <= depths.predicted).all()
    deep = replay(h, np.linspace(0, 0.7, 30), table, early_stop=False)
    assert (deep.exits == deep.predicted).all()
    assert (np.diff(depths.mean_exit_layer) <= 0).all()


def test_a_table_survives_its_csv():
    table = some_table(3, layers=12, p=3)
    text = table.to_csv()
    assert text.splitlines()[0].startswith("0.000000000000000000e+00,")
    read = ExitTable.from_csv(text, 3)
    assert read.to_csv() == text
    assert np.loadtxt(text.splitlines(), delimiter=",").shape == (100, 9)  # as published for p = 3
    assert read.layers == 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rows"),
        ("0.0,0.1\n0.1\n", "line 2"),
        ("0.0,one\n", "line 1"),
        ("0.0,nan\n", "not finite"),
        ("0.1,0.1\n0.0,0.1\n", "increasing"),
        ("0.1\n", "at least one"),
    ],
)
def test_what_is_no_table_is_refused(text, reason):
    with pytest.raises(DseError, match=reason):
        ExitTable.from_csv(text, 1, "table.csv")


def test_a_predictor_learns_what_can_be_predicted():
    """Entropies that fall by a fixed factor per layer follow from the first one."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0.0, 0.69, 1500)
    h = first[:, None] * 0.7 ** np.arange(6)[None, :]
    table = fitted(h, 1)
    assert table.predicted.shape == (100, 4)
    planned = table.exits(first, np.array([0.2]))[0]
    actual = replay(h, np.array([0.2])).exits[0]
    asked = actual > 1
    assert (np.abs(planned - actual)[asked] <= 1).mean() > 0.95


def test_a_predict_layer_that_leaves_nothing_to_predict_is_refused():
    with pytest.raises(DseError, match="predict_layer = 5 is outside 1 to 4"):
        fitted(some_entropies(0), 5)


@pytest.fixture
def run():
    app = command_line({})

    def call(*arguments):
        return CliRunner().invoke(app, ["replay", *map(str, arguments)])

    return call


def test_the_command_replays_anothers_trace_with_anothers_table(run, tmp_path):
    (tmp_path / "h.txt").write_text("0.50,0.40,0.20,0.10\n0.10,0.05,0.02,0.01\n0.60,0.6,0.5,0.4\n")
    (tmp_path / "lut.csv").write_text("0.0,0.0,0.0\n0.5,0.45,0.1\n0.6,0.6,0.6\n")
    result = run(
        *(tmp_path / "h.txt", "--rule", "entropy", "--threshold", 0.3, "--format", "json"),
        *("--predictor", tmp_path / "lut.csv", "--predict-layer", 1),
    )
    found = json.loads(result.stdout)
    assert found["exit_histogram"] == [1, 0, 1, 1]
    assert found["mean_exit_layer"] == pytest.approx((3 + 1 + 4) / 3)
    assert found["mean_predicted_layer"] == pytest.approx((3 + 1 + 4) / 3)
    assert found["accuracy"] is None


def test_the_command_reads_archives_by_file_and_by_handle(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(50, 4, 2)).astype(np.float32)
    labels = rng.integers(0, 2, 50)
    handle = key_of({})
    write_archive(tmp_path, handle, Archive(logits, labels, np.full(50, 9), {}))
    monkeypatch.setenv("EDGE_DSE_CACHE", str(tmp_path))
    path = archive_path(tmp_path, handle)
    by_file, by_handle = (run(s, "-t", 0.4, "--format", "json").stdout for s in (path, handle))
    assert by_file == by_handle
    curve = ExitCurve.of(logits, labels).at(np.array([0.4]))
    assert json.loads(by_file)["accuracy"] == pytest.approx(curve[0][0])
    assert json.loads(by_file)["mean_exit_layer"] == pytest.approx(curve[1][0])


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("0.5,x\n", ("-t", "0.3"), "line 1"),
        ("0.5,-0.1\n", ("-t", "0.3"), "0 nat or more"),
        ("0.5,0.1\n", ("-t", "-1"), "exit_threshold"),
        ("0.5,0.1\n", ("-t", "0.9", "--rule", "max-probability"), "answers"),
        ("0.5,0.1\n", ("-t", "0.3", "--predictor", "missing.csv"), "missing.csv"),
    ],
)
def test_what_cannot_be_replayed_says_why(run, tmp_path, content, options, reason):
    (tmp_path / "h.txt").write_text(content)
    result = run(tmp_path / "h.txt", *options)
    assert isinstance(result.exception, DseError)
    assert reason in str(result.exception)


def test_a_table_for_another_depth_is_refused():
    with pytest.raises(DseError, match="12 layers"):
        replay(some_entropies(1), np.array([0.3]), some_table(1, layers=12))


def test_entropy_is_what_the_archive_holds():
    logits = np.log(np.array([[[0.5, 0.5], [0.9, 0.1]]]))
    assert entropy(logits)[0, 0] == pytest.approx(np.log(2))


def test_a_table_learnt_by_the_command_is_one_that_replay_reads(tmp_path):
    app = command_line({})
    h = some_entropies(5, sentences=300)
    np.savetxt(tmp_path / "h.txt", h, delimiter=",")
    out = tmp_path / "lut.csv"
    learn = ["predictor", str(tmp_path / "h.txt"), "--out", str(out), "--predict-layer", "2"]
    result = CliRunner().invoke(app, learn)
    assert result.exit_code == 0, result.output
    assert np.loadtxt(out, delimiter=",").shape == (100, 1 + 3)
    again = CliRunner().invoke(app, learn)
    assert isinstance(again.exception, DseError)
    assert "exists" in str(again.exception)
    options = ["-t", "0.3", "--predictor", str(out), "--predict-layer", "2", "--format", "json"]
    found = CliRunner().invoke(app, ["replay", str(tmp_path / "h.txt"), *options])
    table = ExitTable.from_csv(out.read_text(), 2)
    expected = replay(h, np.array([0.3]), table)
    assert expected.mean_predicted_layer is not None
    assert json.loads(found.stdout)["mean_predicted_layer"] == expected.mean_predicted_layer[0]
