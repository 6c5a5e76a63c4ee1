"""Run-time knobs behind one archive: what a design costs once its forward pass has been made."""

from pathlib import Path

import numpy as np
import pytest

from dse.accuracy import offload
from dse.accuracy.archive import Archive, read_archive, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitReplay, entropy, limits, scores
from dse.accuracy.networks.pretrained import pretrained
from dse.accuracy.offload import Cloud, OffloadReplay
from dse.core.evaluation import Chain, InBatches
from dse.study.loader import load_study
from studies.edgebert.system import Settings, chip_of, workload
from studies.joint.system import SYSTEM, layers_of

ROWS = 60_000
MIXED = 20_000
JOINT = Path(__file__).parents[2] / "studies" / "joint" / "sentiment.yaml"


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


def answers(folder, who, sentences):
    """Handle of an archive of synthetic answers of 6 layers, surer from layer to layer."""
    rng = np.random.default_rng(who)
    labels = np.random.default_rng(7).integers(2, size=sentences)
    logits = rng.normal(size=(sentences, layers_of(), 2))
    logits += np.eye(2)[labels][:, None, :] * np.linspace(0.5, 3.0, layers_of())[:, None]
    said = {"who": who, "sentences": sentences}
    tokens = np.full(sentences, 26, dtype=np.int64)
    write_archive(folder, key_of(said), Archive(logits.astype(np.float32), labels, tokens, said))
    return key_of(said)


@pytest.fixture(scope="module", params=[1000, 5000], ids=lambda n: f"{n}_sentences")
def joint(tmp_path_factory, request):
    """A replay, and designs drawn from the joint space behind one archive; limits continuous."""
    folder = tmp_path_factory.mktemp("joint")
    dense, device, *experts = (answers(folder, who, request.param) for who in range(4))
    clouds = {
        name: Cloud(one, (dense, one)) for name, one in zip(("demo", "full"), experts, strict=True)
    }
    study, rng = load_study(JOINT, {"joint": SYSTEM}), np.random.default_rng(1)
    columns = study.space.decode(study.space.sample(MIXED, rng))
    early = (columns["exit_rule"] == "entropy") & (columns["split_layer"] > 0)
    columns |= {
        "archive": np.full(MIXED, device),
        "exit_entropy": np.where(early, rng.uniform(0.0, 0.69, MIXED), 0.0),
        "exit_probability": np.ones(MIXED),
        "appeal_threshold": np.where(columns["offload"] == "input", rng.random(MIXED), 0.0),
    }
    return OffloadReplay(folder, layers_of(), clouds, dense), columns


def forget(*, study):
    """Empties what is remembered of the replayed archive, and of what the study fits once."""
    for name, value in vars(offload).items():
        if hasattr(value, "cache_clear") and (study or name not in ("_head", "_table")):
            value.cache_clear()


@pytest.mark.parametrize("known", ["nothing", "heads_and_tables", "archive"])
def test_a_mix_of_20000_joint_designs_behind_one_archive(benchmark, joint, known):
    """Cold, with a new archive in a study that runs, and warm."""
    replay, columns = joint
    replay(columns)

    def remember():
        if known != "archive":
            forget(study=known == "nothing")

    found = benchmark.pedantic(replay, args=(columns,), setup=remember, rounds=5)
    benchmark.extra_info["designs per second"] = MIXED / benchmark.stats["median"]
    assert all(len(column) == MIXED for column in found.values())


def test_peer_one_pass_over_all_sentences_per_joint_design(benchmark, joint):
    """200 designs without predicted exits, appeals by maximum probability; scores are given."""
    replay, columns = joint
    device = read_archive(replay.cache, columns["archive"][0])
    expert = read_archive(replay.cache, replay.clouds["full"].archive)
    right = device.logits.argmax(axis=2) == device.labels[:, None]
    cloud_right = expert.logits[:, -1].argmax(axis=1) == device.labels
    below = {rule: scores(rule, device.logits) for rule in ("entropy", "patience")}
    trust = -scores("max-probability", device.logits)
    asked = np.flatnonzero((columns["dvfs"] == "fixed") & (columns["split_layer"] > 0))[:200]
    designs = [{name: column[i] for name, column in columns.items()} for i in asked]

    def one(design):
        rule, split, offloaded = design["exit_rule"], design["split_layer"], design["offload"]
        limit = limits(rule, np.array([design[f"exit_{rule}"]]))[0]
        left = below[rule] < limit
        left[:, -1] = True
        layer = left.argmax(axis=1)
        stays = layer >= split if split < layers_of() else layer == layers_of() - 1
        last = layers_of() if offloaded == "state" else split
        answered = np.where(stays, last - 1, layer)
        correct = right[np.arange(len(layer)), answered]
        sent = stays & (offloaded == "state")
        if offloaded == "input":
            sent = stays & (trust[:, split - 1] < design["appeal_threshold"])
            correct = np.where(sent, cloud_right, correct)
        return correct.mean(), np.bincount(answered[~sent], minlength=layers_of()), sent.mean()

    found = benchmark.pedantic(lambda: [one(design) for design in designs], rounds=5)
    benchmark.extra_info["designs per second"] = len(designs) / benchmark.stats["median"]
    plain = columns["appeal_signal"][asked] == "max-softmax"
    plain &= columns["cloud_network"][asked] == "full"
    ours = replay({name: column[asked] for name, column in columns.items()})["accuracy"]
    assert np.array_equal([row[0] for row in np.array(found, dtype=object)[plain]], ours[plain])
