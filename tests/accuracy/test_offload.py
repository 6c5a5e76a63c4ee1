"""Exits, split and appeal replayed on archives: against one sentence after another, by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.accuracy.appeal.exit_appeal import ExitAppeal, ExitHead, routed_exit
from dse.accuracy.archive import Archive, read_archive, rows_of, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitReplay, Rule, entropy, limits, scores
from dse.accuracy.offload import FOLDS, Cloud, OffloadReplay
from dse.accuracy.predictor import fitted
from dse.core.errors import DseError

LAYERS, SENTENCES, CLASSES = 4, 43, 3  # no multiple of the folds: draws start within one


def written(folder, seed, sure, layers=LAYERS, draws=1, step=0.0):
    """An archive of random answers, surer and more often right layer by layer.

    Logits that are whole numbers of steps give equal scores and equal trust.
    """
    rng = np.random.default_rng(seed)
    labels = np.tile(np.random.default_rng(99).integers(CLASSES, size=SENTENCES), draws)
    logits = rng.normal(size=(len(labels), layers, CLASSES))
    growth = sure * np.arange(1, layers + 1)[:, None]
    logits += np.eye(CLASSES)[labels][:, None, :] * growth
    if step:
        logits = np.round(logits / step) * step
    said = {"seed": seed, "sure": sure, "layers": layers, "draws": draws, "step": step}
    tokens = np.full(len(labels), 9, dtype=np.int64)
    archive = Archive(logits.astype(np.float32), labels.astype(np.int64), tokens, said, draws)
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


RULES: dict[Rule, str] = {
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


read = cache(read_archive)


@cache
def table_of(folder, dense, p):
    return fitted(entropy(read(folder, dense).logits), p)


@cache
def head_of(folder, taught, split, fold, folds):
    """Taught by the sentences of the other folds, or by all where there is one fold."""
    others = np.array([i for i in range(SENTENCES) if folds == 1 or i % folds != fold])
    device, cloud = (rows_of(read(folder, one), others) for one in taught)
    return ExitHead.fitted(device, cloud, split, beta=0.1)


@cache
def trust_of(folder, small, cloud, split, signal):
    """Trust in each answer of the device's last layer."""
    asked = read(folder, small), read(folder, cloud.archive), split, signal
    if signal != "appeal":
        return routed_exit(*asked).score
    heads = [head_of(folder, cloud.taught, split, fold, cloud.folds) for fold in range(cloud.folds)]
    scored = [routed_exit(*asked, head).score for head in heads]
    return np.array([scored[i % SENTENCES % cloud.folds][i] for i in range(len(scored[0]))])


def exits_of(replay, row):
    """Layer after which each sentence leaves, one after another."""
    below = limits(row["exit_rule"], np.array([row[RULES[row["exit_rule"]]]]))[0]
    value = scores(row["exit_rule"], read(replay.cache, row["archive"]).logits)
    layers, p = replay.layers, row["predict_layer"]
    own = [next((k for k in range(1, layers) if v[k - 1] < below), layers) for v in value]
    if row["dvfs"] != "sentence":
        return own
    table = table_of(replay.cache, replay.foretold_by, p)
    predicted = table.exits(value[:, p - 1], np.array([below]))[0]
    return [k if k <= p else int(f) for k, f in zip(own, predicted, strict=True)]


def by_hand(replay, row):
    """Accuracy, shares by layer and share sent, from the rules as the module's page has them."""
    device = read(replay.cache, row["archive"])
    cloud = replay.clouds[row["cloud_network"]]
    split, offload, layers = row["split_layer"], row["offload"], replay.layers
    asked = replay.cache, row["archive"], cloud, split, row["appeal_signal"]
    trust = trust_of(*asked) if split and offload == "input" else np.zeros(0)
    expert = read(replay.cache, cloud.archive)
    answers = device.logits.argmax(axis=2)
    right, layer_of = 0, np.zeros(layers + 1)
    for i, left in enumerate(exits_of(replay, row)):
        if left <= split and left < layers:
            where, answer = left, answers[i, left - 1]
        elif offload == "state":
            where, answer = layers + 1, answers[i, layers - 1]
        elif offload == "none" or (split and trust[i] >= row["appeal_threshold"]):
            where, answer = split, answers[i, split - 1]
        else:
            where, answer = layers + 1, expert.logits[i % SENTENCES, -1].argmax()
        layer_of[where - 1] += 1
        right += answer == device.labels[i]
    return np.array([right, *layer_of]) / len(answers)


@pytest.fixture(scope="module")
def replays(tmp_path_factory):
    """Replays of 2 to 7 layers and the archives that each is asked about, of 1 to 3 draws."""
    folder, found = tmp_path_factory.mktemp("worlds"), []
    for layers, step in ((2, 0.5), (3, 1.0), (4, 0.0), (7, 0.5)):
        dense, expert = (written(folder, seed, 0.7, layers, 1, step) for seed in (1, 3))
        taught = copied(folder, dense), copied(folder, expert)
        clouds = {"full": Cloud(expert, taught), "own": Cloud(expert, (dense, expert))}
        asked = [written(folder, 2, 0.4, layers, draws, step) for draws in (1, 2, 3)]
        found.append((OffloadReplay(folder, layers, clouds, dense), asked))
    return found


def drawn_row(rng, replay, archives):
    """A design; every second threshold is just a score, or beyond all of them."""
    rule: Rule = sorted(RULES)[rng.integers(len(RULES))]
    archive = str(rng.choice(archives))
    layers, split = replay.layers, int(rng.integers(replay.layers + 1))
    offload = str(rng.choice(["none", "state", "input", "input"])) if split else "input"
    row = {
        "archive": archive, "split_layer": split, "offload": offload, "exit_rule": rule, **OFF,
        "dvfs": str(rng.choice(["fixed", "sentence"])) if layers > 2 else "fixed",
        "predict_layer": int(rng.choice([1, max(1, layers - 2)])), "beta": 0.1,
        "cloud_network": str(rng.choice(["full", "own"])),
        "appeal_signal": str(rng.choice(["max-softmax", "margin", "entropy", "appeal"])),
        "appeal_threshold": float(rng.choice([0.0, 1.01, rng.uniform()])),
    }  # fmt: skip
    met = rng.choice(np.abs(scores(rule, read(replay.cache, archive).logits)).ravel())
    ends = (1.0, layers + 1.0) if rule == "patience" else (0.0, 2.0)
    between = met if rule == "patience" else rng.uniform(0, 1.1)
    row[RULES[rule]] = float(rng.choice([met, met, between, *ends]))
    if split and offload == "input" and rng.random() < 0.5:
        cloud = replay.clouds[row["cloud_network"]]
        trust = trust_of(replay.cache, archive, cloud, split, row["appeal_signal"])
        row["appeal_threshold"] = float(rng.choice(trust))
    return row


@settings(max_examples=100, deadline=None)
@given(world=st.integers(0, 3), seed=st.integers(0, 2**32), designs=st.integers(1, 12))
def test_every_sentence_goes_where_the_rules_send_it(replays, world, seed, designs):
    replay, archives = replays[world]
    rng = np.random.default_rng(seed)
    rows = [drawn_row(rng, replay, archives) for _ in range(designs)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found = np.column_stack(list(replay(columns).values()))
    assert np.array_equal(found, [by_hand(replay, row) for row in rows])
    assert found[:, 1:].sum(axis=1) == pytest.approx(np.ones(designs), abs=1e-12)


@pytest.mark.parametrize(
    ("split", "offload"), [(0, "none"), (-1, "state"), (LAYERS + 1, "input"), (2, "later")]
)
def test_a_device_that_cannot_be_is_refused(world, split, offload):
    said = f"split_layer = {split} and offload = '{offload}'; a device holds 0 to {LAYERS} layers"
    with pytest.raises(DseError, match=said):
        world[4](columns(world[2], split_layer=split, offload=offload))


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
