"""Training on a tiny random encoder and sentences of our own: seconds, and every path is real."""

import itertools
import json

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

from dse.accuracy.cache import key_of
from dse.accuracy.compression.pipeline import Compression, compressed
from dse.accuracy.compression.pruning import in_layers, kept, share_pruned
from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.networks import training
from dse.accuracy.networks.loop import fit
from dse.accuracy.networks.network import load_trained
from dse.accuracy.networks.pretrained import pretrained
from dse.accuracy.networks.training import trained_network
from dse.accuracy.networks.tuning import Tuning, _first_reach, tuned_network
from dse.cli.app import command_line


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    words = ["film", "plot", "the", "a", "is", "was", "cast", "music"]
    lines = {
        " ".join([*rng.choice(words, 6), "good" if i % 2 else "bad", *rng.choice(words, 2)]): i % 2
        for i in range(200)
    }
    rows = [f"{s},{y}" for s, y in lines.items()]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return f"local:{folder}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory, task):
    cache = tmp_path_factory.mktemp("cache")
    fetch_task(task, cache)
    return cache


@pytest.fixture(scope="module")
def dense(tiny, task, cache):
    return trained_network(tiny, task, "small", cache)


def test_training_leaves_the_embeddings_as_they_were(dense, tiny):
    before = load_file(pretrained(tiny).folder / "model.safetensors")
    after = load_file(dense.path)
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(before[name], after[f"encoder.{name}"])
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[query], after[f"encoder.{query}"])


def test_training_again_gives_the_same_bytes(dense, tiny, task, cache, tmp_path):
    (tmp_path / "tasks").symlink_to(cache / "tasks")
    again = trained_network(tiny, task, "small", tmp_path)
    assert again.path.read_bytes() == dense.path.read_bytes()
    assert not list(tmp_path.rglob("*.checkpoint"))


@pytest.mark.parametrize("method", ["magnitude", "movement"])
def test_tuning_prunes_every_matrix_of_the_layers_to_the_share(method, dense, task, cache):
    tuned = tuned_network(dense, task, Tuning(0.6, method, 12, 0.0, refreshed=3), cache)
    encoder = load_trained(tuned.path, tuned.folder).encoder
    masks = []
    for name, p in encoder.named_parameters():
        if p.dim() == 2 and in_layers(name):
            assert (p == 0).sum() == round(0.6 * p.numel())
            masks.append(p != 0)
    assert len(masks) == 3 * 6
    # Compressing it to the same share afterwards takes nothing more away.
    made = compressed(tuned, Compression(pruning_ratio=0.6, weight_bits=32), [])
    for (name, p), (_, q) in zip(
        encoder.named_parameters(), made.network.encoder.named_parameters(), strict=True
    ):
        assert torch.equal(p, q), name


def test_movement_keeps_other_weights_than_magnitude(dense, task, cache):
    kinds = [
        load_trained(
            tuned_network(dense, task, Tuning(0.6, m, 12, 0.0, refreshed=3), cache).path,
            dense.folder,
        ).encoder
        for m in ("magnitude", "movement")
    ]
    first, second = (
        dict(e.named_parameters())["encoder.layer.0.output.dense.weight"] for e in kinds
    )
    assert not torch.equal(first != 0, second != 0)


def test_a_penalty_on_spans_shortens_them_and_they_are_kept(dense, task, cache):
    tuned = tuned_network(dense, task, Tuning(0.0, "magnitude", 30, 0.5), cache)
    network = load_trained(tuned.path, tuned.folder)
    assert network.reach is not None
    assert network.reach.shape == (3, 4)
    assert network.reach.mean() < 15.0  # from 20
    assert (network.reach >= 0).all()
    assert compressed(tuned, Compression(weight_bits=32), []).reach is not None


def test_one_batch_that_attends_beyond_the_reach_cannot_hold_a_head_there(dense):
    encoder = load_trained(dense.path, dense.folder).encoder
    reach = _first_reach(encoder, Tuning(0.0, "magnitude", 30, 0.5))
    assert reach is not None
    optimizer = torch.optim.AdamW([{"params": [reach], "lr": 0.5, "weight_decay": 0.0}])
    for step in range(60):
        optimizer.zero_grad()
        # The first batch divides by next to nothing; all others follow the penalty alone.
        (0.5 * reach.mean() + (-1e6 * reach.sum() if step == 0 else 0.0)).backward()
        optimizer.step()
    assert (reach < 20.0 - 2.0).all()


class Broken(Exception):
    pass


def test_a_broken_training_goes_on_to_the_same_bits(tmp_path):
    def train(checkpoint, stop_at=None):
        torch.manual_seed(3)
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2)
        )
        x, y = torch.randn(40, 4), torch.arange(40) % 2
        steps = []

        def loss_of(rows, step):
            if step == stop_at:
                raise Broken
            steps.append(step)
            return torch.nn.functional.cross_entropy(model(x[rows]), y[rows])

        order = [np.arange(i, 40, 10) for i in range(10)] * 3
        idle = torch.nn.Parameter(torch.ones(3))  # as an encoder's pooler: no gradient reaches it
        groups = [{"params": [*model.parameters(), idle], "lr": 1e-2}]
        fit(groups, loss_of, order, done=lambda _: None, checkpoint=checkpoint, every=4)
        return [p.detach().clone() for p in model.parameters()], steps

    whole, _ = train(tmp_path / "none")
    for stop_at in (1, 7, 18, 29):
        path = tmp_path / f"{stop_at}.checkpoint"
        with pytest.raises(Broken):
            train(path, stop_at)
        again, steps = train(path)
        assert steps[0] == stop_at // 4 * 4
        assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=True))


def test_a_damaged_checkpoint_only_costs_time(tmp_path):
    path = tmp_path / "half.checkpoint"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight], "lr": 0.1}]
    fit(groups, lambda *_: weight.sum(), [np.arange(1)], done=lambda _: None, checkpoint=path)
    assert (weight < 1).all()


@given(st.integers(1, 500), st.floats(0.0, 0.95))
def test_the_share_of_zeros_rises_to_its_target_and_stays(steps, target):
    shares = [share_pruned(step, steps, target, (0.05, 0.6)) for step in range(steps + 1)]
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(target)
    assert all(b >= a for a, b in itertools.pairwise(shares))


def test_the_share_of_zeros_is_the_published_cubic():
    """keep(t) = k1 + (k0 - k1) (1 - (t - a w) / (T - (a + b) w))^3, EdgeBERT's training code."""
    steps, warm_a, warm_b, k1 = 1000, 100, 300, 0.4
    for t in range(warm_a + 1, steps - warm_b, 37):
        keep = k1 + (1 - k1) * (1 - (t - warm_a) / (steps - warm_a - warm_b)) ** 3
        assert 1 - share_pruned(t, steps, 1 - k1, (0.1, 0.7)) == pytest.approx(keep)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.99))
def test_what_is_kept_is_at_least_as_important_as_what_goes(seed, ratio):
    importance = torch.tensor(np.random.default_rng(seed).normal(size=(7, 11)).round(1))
    stay = kept(importance, ratio)
    assert (~stay).sum() == round(ratio * 77)
    if stay.any() and (~stay).any():
        assert importance[~stay].max() <= importance[stay].min()


def test_the_command_trains_and_says_what_each_exit_reaches(tiny, task, cache, monkeypatch):
    monkeypatch.setenv("EDGE_DSE_CACHE", str(cache))
    app = command_line({})
    flags = ["--network", tiny, "--recipe", "small", "--format", "json"]
    result = CliRunner().invoke(app, ["train", task, *flags])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found["test_accuracy"]) == len(found["validation_macro_f1"]) == 3
    assert all(0 <= a <= 1 for a in found["test_accuracy"])
    table = CliRunner().invoke(app, ["train", task, *flags[:-2], "--finetune-steps", "3"])
    assert table.exit_code == 0, table.output
    assert "exit 3" in table.stdout


def test_who_waits_for_another_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PATIENCE", 0.0)
    facts, told = {"kind": "nothing"}, []

    def make(_checkpoint):
        return {"weight": torch.zeros(1)}, {}

    path = tmp_path / "networks" / f"{key_of(facts)}.lock"
    path.parent.mkdir()
    other = FileLock(path)
    other.acquire()

    def watch(what, _share):
        told.append(what)
        other.release()  # the other one is through

    found = training.kept(facts, tmp_path, tmp_path, make, watch)
    assert told == ["waiting for another process that trains the same network"]
    assert found.path.is_file()
    assert training.kept(facts, tmp_path, tmp_path, make, watch).path == found.path
    assert len(told) == 1
