import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.accuracy.archive import Archive, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitCurve, ExitReplay, entropy
from dse.core.errors import DseError

SEEDS = st.integers(0, 2**32 - 1)


def some_answers(seed):
    """Logits on a coarse grid, so that entropies repeat, and labels."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 30), rng.integers(1, 7), rng.integers(2, 5))
    logits = rng.normal(size=shape) * rng.uniform(0.1, 30)
    return logits.round(rng.integers(0, 4)).astype(np.float32), rng.integers(0, shape[2], shape[0])


def one_by_one(logits, labels, threshold):
    """The rule as it is told: walk through the layers of each sentence."""
    h = entropy(logits)
    n, layers, _ = logits.shape
    left, right = [], 0
    for i in range(n):
        layer = 0
        while layer < layers - 1 and not h[i, layer] < threshold:
            layer += 1
        left.append(layer + 1)
        right += int(logits[i, layer].argmax() == labels[i])
    p95 = next(k for k in range(1, layers + 1) if 100 * sum(d <= k for d in left) >= 95 * n)
    return right / n, sum(left) / n, p95


@given(SEEDS)
def test_the_curve_says_what_walking_through_every_sentence_says(seed):
    logits, labels = some_answers(seed)
    entropies = entropy(logits).ravel()
    thresholds = np.concatenate([[0.0, 0.3, 2.0], entropies, np.nextafter(entropies, 9.0)])[:60]
    accuracy, mean, p95, worst = ExitCurve.of(logits, labels).at(thresholds)
    for i, threshold in enumerate(thresholds):
        slow = one_by_one(logits, labels, threshold)
        assert accuracy[i] == slow[0]
        assert mean[i] == pytest.approx(slow[1], rel=1e-14)
        assert p95[i] == slow[2]
        assert worst[i] == accuracy[i]  # one draw


@given(SEEDS)
def test_a_higher_threshold_never_deepens(seed):
    logits, labels = some_answers(seed)
    _, mean, p95, _ = ExitCurve.of(logits, labels).at(np.linspace(0.0, 2.0, 200))
    assert (np.diff(mean) <= 0).all()
    assert (np.diff(p95) <= 0).all()


@given(SEEDS)
def test_threshold_zero_never_leaves_early(seed):
    logits, labels = some_answers(seed)
    accuracy, mean, p95, _ = ExitCurve.of(logits, labels).at(np.zeros(1))
    assert mean[0] == p95[0] == logits.shape[1]
    assert accuracy[0] == (logits[:, -1].argmax(axis=-1) == labels).mean()


def test_entropy_of_closed_forms():
    assert entropy(np.zeros((1, 4)))[0] == pytest.approx(np.log(4))
    assert entropy(np.array([[1e4, 0.0]]))[0] == 0.0
    p = 0.8
    expected = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert entropy(np.log([[p, 1 - p]]))[0] == pytest.approx(expected)


def test_the_rule_is_strict():
    logits = np.zeros((1, 2, 2), dtype=np.float32)
    curve = ExitCurve.of(logits, np.zeros(1, dtype=np.int64))
    at = np.array([float(entropy(logits)[0, 0])])
    assert curve.at(at)[1] == 2
    assert curve.at(np.nextafter(at, 1))[1] == 1


@pytest.fixture
def two_archives(tmp_path):
    rng = np.random.default_rng(0)
    for who in ("a", "b"):
        logits = rng.normal(size=(1_000, 6, 2)).astype(np.float32)
        labels = rng.integers(0, 2, 1_000)
        said = {"who": who}
        archive = Archive(logits, labels, np.full(1_000, 9), said)
        write_archive(tmp_path, key_of(said), archive)
    return tmp_path


def test_a_batch_equals_its_rows(two_archives):
    replay = ExitReplay(two_archives)
    columns = {
        "archive": np.array([key_of({"who": "a"}), key_of({"who": "b"})] * 10),
        "exit_threshold": np.linspace(0, 0.7, 20),
    }
    batch = replay(columns)
    for i in range(20):
        row = replay({name: column[i : i + 1] for name, column in columns.items()})
        assert all(row[name][0] == batch[name][i] for name in replay.signature.outputs)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, np.inf])
def test_a_threshold_that_is_none_is_refused(two_archives, threshold):
    columns = {"archive": np.array([key_of({"who": "a"})]), "exit_threshold": np.array([threshold])}
    with pytest.raises(DseError, match="exit_threshold"):
        ExitReplay(two_archives)(columns)


def test_replaying_needs_no_torch():
    code = (
        "import sys, dse.accuracy.exits, dse.accuracy.data.tasks\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
