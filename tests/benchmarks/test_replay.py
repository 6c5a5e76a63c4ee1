"""Run-time knobs behind one archive: what a design costs once its forward pass has been made."""

import numpy as np
import pytest

from dse.accuracy.archive import Archive, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitReplay, entropy
from dse.accuracy.networks.pretrained import pretrained
from dse.core.evaluation import Chain, InBatches
from studies.edgebert.system import Settings, chip_of, workload

ROWS = 60_000


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """Synthetic logits in the shape of a real archive: 1,000 sentences, 6 layers, 2 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=1000)
    sharpness = np.linspace(0.5, 3.0, 6)[None, :] * rng.gamma(2.0, 0.5, size=(1000, 1))
    toward = np.where(rng.random((1000, 6)) < 0.85, labels[:, None], 1 - labels[:, None])
    logits = np.stack([(1 - toward) * sharpness, toward * sharpness], axis=2).astype(np.float32)
    cache, handle = tmp_path_factory.mktemp("cache"), key_of({})
    tokens = np.full(1000, 26, dtype=np.int64)
    write_archive(cache, handle, Archive(logits, labels.astype(np.int64), tokens, {}))
    return cache, handle, logits, labels


def columns_of(handle):
    rng = np.random.default_rng(1)
    return {
        "archive": np.full(ROWS, handle),
        "exit_threshold": rng.uniform(0.0, 0.69, ROWS),
        "vdd": rng.choice(np.arange(500, 801, 25) / 1000, ROWS),
        "pruning_ratio": np.full(ROWS, 0.4),
        "weight_bits": np.full(ROWS, 8.0),
        "envm_cell": np.full(ROWS, "rram"),
        "attention_span": np.full(ROWS, 128),
        "embedding_sparsity": np.zeros(ROWS),
        "activation_bits": np.full(ROWS, 8),
    }


def test_60000_designs_behind_one_archive(benchmark, archived):
    cache, handle, *_ = archived
    network = workload(Settings(), pretrained("minilm-l6").folder)
    chain = Chain((InBatches(ExitReplay(cache)), InBatches(chip_of(Settings(), network))))
    columns = columns_of(handle)
    results = benchmark.pedantic(chain, args=(columns,), rounds=10, warmup_rounds=1)
    assert len(results["energy"]) == ROWS
    assert np.isfinite(results["energy"]).all()


def test_peer_one_pass_over_all_sentences_per_threshold(benchmark, archived):
    """The obvious replay, for 600 thresholds: the step function answers 100 times as many."""
    _, _, logits, labels = archived
    below, right = entropy(logits), logits.argmax(axis=2) == labels[:, None]
    thresholds = np.linspace(0.0, 0.69, ROWS // 100)

    def replay():
        found = []
        for threshold in thresholds:
            left = below < threshold
            left[:, -1] = True
            layer = left.argmax(axis=1)
            found.append((right[np.arange(len(layer)), layer].mean(), layer.mean() + 1))
        return found

    assert len(benchmark.pedantic(replay, rounds=5)) == len(thresholds)
