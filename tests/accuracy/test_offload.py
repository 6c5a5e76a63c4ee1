"""Exits, split and appeal replayed on archives: against one sentence after another, by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.accuracy.appeal.exit_appeal import ExitAppeal, ExitHead, Signal, routed_exit
from dse.accuracy.archive import Archive, read_archive, rows_of, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitReplay, Rule, entropy, limits, scores
from dse.accuracy.offload import FOLDS, Cloud, OffloadReplay
from dse.accuracy.predictor import fitted
from dse.core.errors import DseError

LAYERS, SENTENCES, CLASSES = 4, 40, 3


def written(folder: Path, seed: int, sure: float) -> str:
    """An archive of random answers, surer and more often right layer by layer."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(CLASSES, size=SENTENCES)
    logits = rng.normal(size=(SENTENCES, LAYERS, CLASSES))
    growth = sure * np.arange(1, LAYERS + 1)[:, None]
    logits += np.eye(CLASSES)[labels][:, None, :] * growth
    said = {"seed": seed, "sure": sure}
    tokens = np.full(SENTENCES, 9, dtype=np.int64)
    archive = Archive(logits.astype(np.float32), labels.astype(np.int64), tokens, said)
    write_archive(folder, key_of(said), archive)
    return key_of(said)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cache with a device's network, a compressed one and a cloud's; and the replay of them."""
    folder = tmp_path_factory.mktemp("archives")
    dense, small, cloud = written(folder, 1, 0.7), written(folder, 2, 0.5), written(folder, 3, 1.2)
    # What teaches are others' sentences: the same answers, so that one world is enough.
    taught = copied(folder, dense), copied(folder, cloud)
    replay = OffloadReplay(folder, LAYERS, {"full": Cloud(cloud, taught)}, dense)
    return folder, dense, small, cloud, replay


def copied(folder: Path, handle: str) -> str:
    """The archive under another handle."""
    said = {"copy of": handle}
    write_archive(folder, key_of(said), replace(read_archive(folder, handle), provenance=said))
    return key_of(said)


RULES = {
    "entropy": "exit_entropy",
    "max-probability": "exit_probability",
    "patience": "exit_patience",
}
OFF = {"exit_entropy": 0.0, "exit_probability": 1.0, "exit_patience": LAYERS}


def columns(small, **knobs):
    row = {
        "archive": small, "split_layer": LAYERS, "offload": "none", "exit_rule": "entropy", **OFF,
        "dvfs": "fixed", "predict_layer": 1, "cloud_network": "full",
        "appeal_signal": "max-softmax", "beta": 0.1, "appeal_threshold": 0.0, **knobs,
    }  # fmt: skip
    return {name: np.array([value]) for name, value in row.items()}


@cache
def head_of(folder, dense, cloud, split, beta):
    return ExitHead.fitted(
        read_archive(folder, dense), read_archive(folder, cloud), split, beta=beta
    )


@cache
def table_of(folder, dense, p):
    return fitted(entropy(read_archive(folder, dense).logits), p)


def trust_of(world, row):
    """Trust in the answer of the device's last layer; None where nobody asks."""
    folder, dense, small, cloud, _ = world
    split = int(row["split_layer"][0])
    signal: Signal = row["appeal_signal"][0]
    if not split or row["offload"][0] != "input":
        return None
    head = head_of(folder, dense, cloud, split, 0.1) if signal == "appeal" else None
    asked = read_archive(folder, small), read_archive(folder, cloud)
    return routed_exit(*asked, split, signal, head).score


def exits_of(world, row):
    """Layer after which each sentence leaves, one after another."""
    folder, dense, small, _, _ = world
    rule: Rule = row["exit_rule"][0]
    below = limits(rule, row[RULES[rule]])[0]
    value = scores(rule, read_archive(folder, small).logits)
    own = [
        next((k for k in range(1, LAYERS) if value[i, k - 1] < below), LAYERS)
        for i in range(SENTENCES)
    ]
    if row["dvfs"][0] != "sentence":
        return own
    p = int(row["predict_layer"][0])
    foretold = table_of(folder, dense, p).exits(value[:, p - 1], np.array([below]))[0]
    return [k if k <= p else int(f) for k, f in zip(own, foretold, strict=True)]


def by_hand(world, row):
    """Accuracy, shares by layer and share sent, from the rules as the module's page has them."""
    folder, _, small, cloud, _ = world
    device, expert = read_archive(folder, small), read_archive(folder, cloud)
    split, offload = int(row["split_layer"][0]), row["offload"][0]
    answers, trust = device.logits.argmax(axis=2), trust_of(world, row)
    right, layer_of = 0, np.zeros(LAYERS + 1)
    for i, left in enumerate(exits_of(world, row)):
        if left <= split and left < LAYERS:
            where, answer = left, answers[i, left - 1]
        elif offload == "state":
            where, answer = LAYERS + 1, answers[i, LAYERS - 1]
        elif offload == "none" or (split and trust[i] >= row["appeal_threshold"][0]):
            where, answer = split, answers[i, split - 1]
        else:
            where, answer = LAYERS + 1, expert.logits[i, -1].argmax()
        layer_of[where - 1] += 1
        right += answer == device.labels[i]
    return np.array([right, *layer_of]) / SENTENCES


@settings(max_examples=120, deadline=None)
@given(
    split=st.integers(0, LAYERS),
    offload=st.sampled_from(["none", "state", "input"]),
    rule=st.sampled_from(sorted(RULES)),
    threshold=st.floats(0, 1.1),
    patience=st.integers(1, LAYERS),
    foretold=st.booleans(),
    signal=st.sampled_from(["max-softmax", "margin", "appeal"]),
    appeal=st.floats(0, 1.01),
)
def test_every_sentence_goes_where_the_rules_send_it(  # noqa: PLR0913  (drawn)
    world, split, offload, rule, threshold, patience, foretold, signal, appeal
):
    if split == 0:
        offload = "input"
    elif split == LAYERS and offload == "state":
        offload = "none"
    foretold = foretold and split > 1
    knobs = {"exit_rule": "entropy" if foretold else rule, "split_layer": split,
             "offload": offload, "appeal_signal": signal, "appeal_threshold": appeal,
             "dvfs": "sentence" if foretold else "fixed"}  # fmt: skip
    knobs[RULES[knobs["exit_rule"]]] = patience if knobs["exit_rule"] == "patience" else threshold
    row = columns(world[2], **knobs)
    found = np.array([column[0] for column in world[4](row).values()])
    assert np.array_equal(found, by_hand(world, row))
    assert found[1:].sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_device_that_holds_everything_and_sends_nothing_is_an_exit_replay(world, rule):
    folder, _, small, _, replay = world
    grid = np.arange(1.0, LAYERS + 1) if rule == "patience" else np.linspace(0, 1, 41)
    alone = ExitReplay(folder, rule)({"archive": np.full(len(grid), small), "exit_threshold": grid})
    rows = {k: np.repeat(v, len(grid)) for k, v in columns(small, exit_rule=rule).items()}
    found = replay(rows | {RULES[rule]: grid})
    assert np.array_equal(found["accuracy"], alone["accuracy"])
    depth = sum((i + 1) * found[f"answered_{i + 1}"] for i in range(LAYERS))
    assert depth == pytest.approx(alone["mean_exit_layer"], rel=1e-12)
    assert not found["offloaded"].any()


@pytest.mark.parametrize("signal", ["max-softmax", "appeal"])
def test_without_exits_an_appeal_is_appealnets(world, signal):
    folder, dense, small, cloud, replay = world
    grid = np.linspace(0, 1.01, 30)
    alone = ExitAppeal(folder, signal, {small: (dense, cloud)})(
        {"archive": np.full(30, small), "cloud_archive": np.full(30, cloud),
         "edge_layers": np.full(30, 2), "appeal_threshold": grid}
    )  # fmt: skip
    row = columns(small, split_layer=2, offload="input", appeal_signal=signal)
    found = replay({k: np.repeat(v, 30) for k, v in row.items()} | {"appeal_threshold": grid})
    assert np.array_equal(found["accuracy"], alone["accuracy"])
    assert np.array_equal(found["offloaded"], alone["appeal_rate"])


def test_a_sentence_that_teaches_is_judged_by_a_head_that_has_not_seen_it(world):
    folder, dense, small, cloud, replay = world
    own = replace(replay, clouds={"full": Cloud(cloud, (dense, cloud))})
    grid = np.linspace(0, 1.01, 400)
    row = columns(small, split_layer=2, offload="input", appeal_signal="appeal")
    found = own({k: np.repeat(v, 400) for k, v in row.items()} | {"appeal_threshold": grid})
    device, teacher, expert = (read_archive(folder, one) for one in (small, dense, cloud))
    trust = np.empty(SENTENCES)
    for fold in range(FOLDS):
        mine = np.arange(SENTENCES) % FOLDS == fold
        one, other = (rows_of(each, np.flatnonzero(~mine)) for each in (teacher, expert))
        head = ExitHead.fitted(one, other, 2, beta=0.1)
        trust[mine] = head.trust(device)[mine]
    right = device.logits[:, 1].argmax(axis=1) == device.labels
    there = expert.logits[:, -1].argmax(axis=1) == expert.labels
    kept = trust >= grid[:, np.newaxis]
    assert np.array_equal(found["offloaded"], (~kept).mean(axis=1))
    assert np.array_equal(found["accuracy"], np.where(kept, right, there).mean(axis=1))


def gained_by_coins(folder: Path, seed: int) -> tuple[float, float]:
    """Accuracy that routing seems to add where everything is chance: to its teachers, crossed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=300)
    handles = []
    for who in ("device", "cloud"):
        logits = rng.normal(size=(300, LAYERS, CLASSES)).astype(np.float32)
        said = {"who": who, "seed": seed}
        handles.append(key_of(said))
        write_archive(folder, handles[-1], Archive(logits, labels, np.full(300, 9), said))
    grid = np.linspace(0, 1.01, 200)
    row = columns(handles[0], split_layer=3, offload="input", appeal_signal="appeal", beta=0.03)
    rows = {k: np.repeat(v, 200) for k, v in row.items()} | {"appeal_threshold": grid}
    others = copied(folder, handles[0]), copied(folder, handles[1])
    gains = []
    for taught in (others, (handles[0], handles[1])):
        found = OffloadReplay(folder, LAYERS, {"full": Cloud(handles[1], taught)})(rows)
        gains.append(found["accuracy"].max() - max(found["accuracy"][[0, -1]]))
    return gains[0], gains[1]


def test_heads_of_chance_gain_nothing_on_the_sentences_that_teach_them(tmp_path):
    fooled, crossed = np.mean([gained_by_coins(tmp_path, seed) for seed in range(8)], axis=0)
    assert fooled > 0.05
    assert crossed < 0.02


def test_a_network_that_is_not_there_is_refused_with_those_that_are(world):
    with pytest.raises(DseError, match="cloud_network = 'huge'; there are full"):
        world[4](columns(world[2], offload="input", split_layer=2, cloud_network="huge"))
