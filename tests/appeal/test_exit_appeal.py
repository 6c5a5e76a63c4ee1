"""Appeal from an exit of an archived encoder."""

from dataclasses import replace

import numpy as np
import pytest

from dse.accuracy.appeal.curve import RoutingCurve
from dse.accuracy.appeal.exit_appeal import ExitAppeal, ExitHead, routed_exit
from dse.accuracy.archive import Archive, write_archive
from dse.accuracy.cache import key_of
from dse.core.errors import DseError

NAMES = ("edge", "cloud", "edge_train", "cloud_train")
HANDLES = {name: key_of({"who": name}) for name in NAMES}


def answers(seed, n=2000, draws=1):
    """An encoder whose exits disagree where it errs: what max-softmax of one exit cannot see."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    hard = rng.random(n) < 0.3
    logits = np.zeros((draws * n, 3, 2), dtype=np.float32)
    for layer in range(3):
        flipped = hard & (rng.random(n) < (0.7 if layer < 2 else 0.05))
        answer = np.where(flipped, 1 - labels, labels)
        sure = rng.uniform(0.5, 3.0, n)
        for draw in range(draws):
            logits[draw * n + np.arange(n), layer, answer] = sure
    tokens = np.full(draws * n, 9)
    return Archive(logits, np.tile(labels, draws), tokens, {}, draws)


@pytest.fixture
def cache(tmp_path):
    for name, seed in (("edge", 1), ("edge_train", 2)):
        for who in (name, name.replace("edge", "cloud")):
            archive = replace(answers(seed), provenance={"who": who})
            write_archive(tmp_path, HANDLES[who], archive)
    return tmp_path


def columns(thresholds, layers):
    n = len(thresholds)
    return {
        "archive": np.full(n, HANDLES["edge"]),
        "cloud_archive": np.full(n, HANDLES["cloud"]),
        "edge_layers": np.asarray(layers),
        "appeal_threshold": np.asarray(thresholds),
    }


def test_both_ends_are_the_exit_and_the_large_network(cache):
    archive = answers(1)
    right = archive.logits.argmax(axis=2) == archive.labels[:, None]
    found = ExitAppeal(cache)(columns([0.0, 1.01], [2, 2]))
    assert found["appeal_rate"].tolist() == [0.0, 1.0]
    assert found["accuracy"].tolist() == [right[:, 1].mean(), right[:, 2].mean()]
    assert (found["edge_accuracy"] == right[:, 1].mean()).all()
    assert (found["cloud_accuracy"] == right[:, 2].mean()).all()


@pytest.mark.parametrize("signal", ["max-softmax", "margin", "entropy", "appeal"])
def test_a_batch_equals_its_rows(cache, signal):
    taught = {HANDLES["edge"]: (HANDLES["edge_train"], HANDLES["cloud_train"])}
    replay = ExitAppeal(cache, signal, taught if signal == "appeal" else None)
    batch = columns(np.linspace(0, 1, 12), np.tile([1, 2, 3], 4))
    whole = replay(batch)
    for i in range(12):
        alone = replay({name: column[i : i + 1] for name, column in batch.items()})
        assert {k: v[0] for k, v in alone.items()} == {k: v[i] for k, v in whole.items()}


def test_a_head_that_reads_all_exits_beats_the_last_exit_alone():
    edge = answers(1)
    head = ExitHead.fitted(answers(2), answers(2), 2)
    learned = RoutingCurve.of(routed_exit(edge, edge, 2, "appeal", head))
    plain = RoutingCurve.of(routed_exit(edge, edge, 2, "max-softmax"))
    target = plain.edge_accuracy + 0.5 * (plain.cloud_accuracy - plain.edge_accuracy)
    assert learned.appeal_rate_for(target) < 0.8 * plain.appeal_rate_for(target)


def test_draws_of_faults_share_the_large_network():
    edge, cloud = answers(1, n=100, draws=3), answers(1, n=100)
    routed = routed_exit(edge, cloud, 1, "entropy")
    assert len(routed.score) == 300
    assert (routed.cloud_right.reshape(3, 100) == routed.cloud_right[:100]).all()


def test_archives_of_other_sentences_are_refused():
    with pytest.raises(DseError, match="different sentences"):
        routed_exit(answers(1), answers(2), 1, "entropy")


def test_a_head_belongs_to_its_layer():
    head = ExitHead.fitted(answers(2, 200), answers(2, 200), 1)
    with pytest.raises(DseError, match="fitted for it"):
        routed_exit(answers(1), answers(1), 2, "appeal", head)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(DseError, match="outside 1 to 3"):
        ExitHead.fitted(answers(2, 50), answers(2, 50), 4)


def test_the_signal_appeal_says_what_it_lacks(cache):
    with pytest.raises(DseError, match="teach"):
        ExitAppeal(cache, "appeal")(columns([0.5], [1]))
