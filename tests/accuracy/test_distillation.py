"""Training with a teacher, on tiny random encoders and sentences of our own."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from typer.testing import CliRunner

from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.networks import training
from dse.accuracy.networks.distillation import (
    Distillation,
    Teacher,
    answers_of,
    distilled_network,
    network_of,
)
from dse.accuracy.networks.loop import fit
from dse.accuracy.networks.training import trained_network
from dse.cli.app import command_line
from dse.core.errors import DseError


def written(folder, words):
    """A task of 100 sentences that nobody else has."""
    rng = np.random.default_rng(0)
    lines = {f"{' '.join(rng.choice(words, 8))} {i} {'good' if i % 2 else 'bad'}": i % 2
             for i in range(100)}  # fmt: skip
    rows = "\n".join(f"{sentence},{label}" for sentence, label in lines.items())
    (folder / "train.csv").write_text(f"text,label\n{rows}\n")
    return f"local:{folder}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(tmp_path_factory, cache):
    name = written(tmp_path_factory.mktemp("task"), ["film", "plot", "the", "is", "cast"])
    fetch_task(name, cache)
    return name


@pytest.fixture(scope="module")
def teacher(tiny, task, cache):
    return trained_network(tiny, task, "frozen", cache)


@pytest.fixture(scope="module")
def distilled(tiny, task, teacher, cache):
    return distilled_network(tiny, task, "small", teacher, cache)


def test_the_loss_is_that_of_the_labels_and_that_of_the_teacher():
    logits = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
    answers = torch.tensor([[3.0, 0.0], [-1.0, 1.0]])
    labels = torch.tensor([0, 0])
    told, said = (np.exp(z.numpy() / 2.0) for z in (answers, logits))
    told, said = (z / z.sum(axis=1, keepdims=True) for z in (told, said))
    distance = (told * np.log(told / said)).sum(axis=1).mean() * 4.0
    own = cross_entropy(logits, labels).item()
    whole = Distillation(0.9, 2.0).loss(logits, labels, answers).item()
    assert whole == pytest.approx(0.1 * own + 0.9 * distance, rel=1e-5)
    same = Distillation(1.0, 3.0).loss(answers, labels, answers).item()
    assert same == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("weight", "temperature"), [(-0.1, 2.0), (1.1, 2.0), (0.5, 0.0)])
def test_a_distillation_out_of_range_is_refused(weight, temperature):
    with pytest.raises(DseError, match=f"weight = {weight}, temperature = {temperature}"):
        Distillation(weight, temperature)


def test_a_teacher_changes_the_backbone_and_is_named_in_the_file(
    distilled, teacher, tiny, task, cache
):
    plain = trained_network(tiny, task, "small", cache)
    assert plain.path != distilled.path
    alone, taught = load_file(plain.path), load_file(distilled.path)
    query = "encoder.encoder.layer.0.attention.self.query.weight"
    words = "encoder.embeddings.word_embeddings.weight"
    assert not torch.equal(alone[query], taught[query])
    assert torch.equal(alone[words], taught[words])
    with safe_open(distilled.path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    assert facts["teacher_sha256"] == teacher.sha256
    assert facts["distillation"] == {"weight": 0.9, "temperature": 2.0}


def test_a_teacher_without_weight_leaves_every_bit_as_it_was(teacher, tiny, task, cache):
    unheard = Distillation(weight=0.0)
    without = distilled_network(tiny, task, "small", teacher, cache, how=unheard)
    plain = trained_network(tiny, task, "small", cache)
    assert without.path != plain.path
    one, two = load_file(without.path), load_file(plain.path)
    assert all(torch.equal(one[name], two[name]) for name in one.keys() | two.keys())


class Broken(Exception):
    pass


def test_a_broken_training_with_a_teacher_goes_on_to_the_same_bytes(
    distilled, teacher, tiny, task, tmp_path, monkeypatch
):
    (tmp_path / "tasks").symlink_to(distilled.path.parents[1] / "tasks")
    monkeypatch.setattr(training, "fit", partial(fit, every=2))
    steps = 5  # 80 of the sentences are for training, 16 a step

    def stumble(what, share):
        if what == "training the backbone" and share > 2.5 / steps:
            raise Broken

    with pytest.raises(Broken):
        distilled_network(tiny, task, "small", teacher, tmp_path, stumble)
    assert len(list(tmp_path.rglob("*.checkpoint"))) == 1
    seen: dict[str, float] = {}

    def watch(what, share):
        seen.setdefault(what, share)

    again = distilled_network(tiny, task, "small", teacher, tmp_path, watch)
    assert again.path.read_bytes() == distilled.path.read_bytes()
    assert seen["training the backbone"] == 3 / steps  # from the checkpoint after two
    assert "asking the teacher" not in seen
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_a_teacher_of_another_shape_is_asked_about_what_is_trained_on(
    tiny, task, cache, tmp_path, distilled
):
    from transformers import BertConfig, BertModel

    from dse.accuracy.networks.pretrained import pretrained

    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        found = pretrained(tiny).folder / name
        if found.is_file():
            (tmp_path / name).write_bytes(found.read_bytes())
    with torch.random.fork_rng():
        shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8,
                 "num_hidden_layers": 2}  # fmt: skip
        BertModel(BertConfig.from_dict(shape)).save_pretrained(tmp_path)
    seen = set()
    by = Teacher("frozen", f"local:{tmp_path}")
    taught = network_of(tiny, task, "small", by, cache, lambda what, _: seen.add(what))
    assert taught.path != distilled.path
    assert {"teacher: computing features", "asking the teacher", "training the backbone"} <= seen
    small = trained_network(f"local:{tmp_path}", task, "frozen", cache)
    assert answers_of(small, task, None, cache).shape == (80, 2)
    few = answers_of(small, task, 30, cache)
    assert torch.allclose(few, answers_of(small, task, 500, cache)[:30], atol=1e-5)


def test_who_cannot_teach_is_refused(tiny, task, teacher, cache, tmp_path):
    with pytest.raises(DseError, match="'frozen' leaves the backbone frozen"):
        distilled_network(tiny, task, "frozen", teacher, cache)
    with pytest.raises(DseError, match="unknown recipe 'long'"):
        network_of(tiny, task, "small", Teacher("long"), cache)
    other = written(tmp_path, ["music", "song", "a", "was"])
    fetch_task(other, cache)
    with pytest.raises(DseError, match="was trained on other sentences"):
        distilled_network(tiny, other, "small", teacher, cache)


def test_the_command_trains_with_a_teacher(tiny, task, cache, distilled, monkeypatch):
    monkeypatch.setenv("EDGE_DSE_CACHE", str(cache))
    app = command_line({})
    ask = ["train", task, "--network", tiny, "--recipe", "small", "--format", "json"]
    result = CliRunner().invoke(app, [*ask, "--teacher", "frozen"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sha256"] == distilled.sha256
    refused = CliRunner().invoke(app, [*ask, "--teacher-network", tiny])
    assert refused.exit_code != 0
    assert "--teacher" in str(refused.exception)
