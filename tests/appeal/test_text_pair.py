"""Pairs on sentences: heads learn from what neither network has been fitted on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dse.accuracy.appeal.pairing import TEXT_SCHEDULE, Pairing
from dse.accuracy.appeal.text_pair import (
    States,
    fitted_on,
    held_back,
    held_back_facts,
    ramps_for,
    text_digests,
    text_pair,
)
from dse.accuracy.appeal.text_pair import states as text_pair_states
from dse.accuracy.cache import unwatched
from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.networks.training import trained_network
from dse.core.errors import DseError

COUNT = 8000
RECIPE_PAIRS = [
    (trunk, cloud)
    for trunk in ("small", "demo", "frozen")
    for cloud in ("small", "demo", "full", "frozen")
]


def pairing(trunk="demo", cloud="demo", access="white-box"):
    return Pairing("tweet3", 1, cloud, 0.1, access, trunk=trunk, schedule=TEXT_SCHEDULE)


def drawn(n=60, layers=2, hidden=5, classes=3, seed=1):
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, classes, n))
    means = torch.from_numpy(rng.normal(size=(n, layers, hidden)).astype(np.float32))
    return States(means, torch.zeros(n, layers, classes), labels)


@pytest.mark.parametrize(
    ("trunk", "cloud", "first"),
    [
        ("demo", "demo", 3000),
        ("demo", "small", 3000),
        ("small", "demo", 3000),
        ("small", "small", 500),
        ("demo", "frozen", 3000),
        ("frozen", "small", 500),
    ],
)
def test_heads_get_the_sentences_that_neither_network_has_seen(trunk, cloud, first):
    seen, apart = held_back(pairing(trunk, cloud), COUNT)
    assert seen.tolist() == list(range(first))
    assert apart.tolist() == list(range(first, COUNT))


def test_two_frozen_encoders_leave_half_to_the_heads():
    seen, apart = held_back(pairing("frozen", "frozen"), COUNT)
    assert len(seen) == len(apart) == COUNT // 2
    assert sorted([*seen, *apart]) == list(range(COUNT))


def test_a_white_box_head_is_refused_where_the_cloud_has_seen_every_sentence():
    with pytest.raises(DseError, match=r"cloud_network = full .* 8,000 training sentences") as said:
        held_back(pairing(cloud="full"), COUNT)
    assert "black-box" in str(said.value)
    assert "small, demo, frozen" in str(said.value)


def test_a_trunk_that_has_seen_every_sentence_is_refused_whatever_the_access():
    for access in ("white-box", "black-box"):
        with pytest.raises(DseError, match=r"trunk = full .* small, demo, frozen"):
            held_back(pairing("full", "demo", access), COUNT)
    # 3,000 sentences are all there are.
    with pytest.raises(DseError, match=r"trunk = demo .* 1,325 training .* small, frozen"):
        held_back(pairing("demo", "small"), 1325)


@pytest.mark.parametrize(("trunk", "cloud"), RECIPE_PAIRS)
def test_access_does_not_move_the_sentences(trunk, cloud):
    # What both accesses share is kept under one name, so it must be fitted on the same.
    _, black = held_back(pairing(trunk, cloud, "black-box"), COUNT)
    if fitted_on(cloud, COUNT) == COUNT:
        assert black.min() >= fitted_on(trunk, COUNT)
        return
    _, white = held_back(pairing(trunk, cloud), COUNT)
    assert white.tolist() == black.tolist()
    assert white.min() >= max(fitted_on(trunk, COUNT), fitted_on(cloud, COUNT)) or (
        trunk == cloud == "frozen"
    )


def test_off_ramps_of_a_frozen_encoder_are_fitted_without_the_heads_sentences():
    found, seen, apart = drawn(), np.arange(40), np.arange(40, 60)
    lied_to = found.labels.clone()
    lied_to[apart] = (lied_to[apart] + 1) % 3
    once, again = (ramps_for(f, "frozen", seen) for f in (found, replace(found, labels=lied_to)))
    assert once is not None
    assert again is not None
    assert torch.equal(once.of(found).logits, again.of(found).logits)
    assert not torch.equal(once.of(found).logits, found.logits)
    lied_to = found.labels.clone()
    lied_to[seen] = (lied_to[seen] + 1) % 3
    other = ramps_for(replace(found, labels=lied_to), "frozen", seen)
    assert other is not None
    assert not torch.equal(once.of(found).logits, other.of(found).logits)


def test_a_tuned_encoder_keeps_its_off_ramps():
    assert ramps_for(drawn(), "demo", np.arange(40)) is None


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A task of 300 sentences, 240 of them for training."""
    folder = tmp_path_factory.mktemp("films")
    words = {"yes": ("good", "warm", "bright"), "no": ("bad", "cold", "dull")}
    rows = [
        f"film {i} is {words[label][i % 3]},{label}"
        for i in range(300)
        for label in ("yes" if i % 2 else "no",)
    ]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    name, cache = f"local:{folder}", tmp_path_factory.mktemp("cache")
    fetch_task(name, cache)
    return name, cache


def frozen_pair(task):
    short = replace(TEXT_SCHEDULE, joint=2, batch=40, exit_steps=5)
    return Pairing(task, 2, "frozen", 0.1, trunk="frozen", schedule=short)


def test_behind_the_link_answers_the_network_as_it_is(films):
    task, cache = films
    made = text_pair(frozen_pair(task), cache, unwatched)
    trained = trained_network("minilm-l6", task, "frozen", cache)
    real = text_pair_states(trained, task, "test", cache, unwatched)
    assert np.array_equal(made["test"].cloud, real.logits[:, -1].numpy())
    assert made["test"].plain.shape == (len(real.labels), 2)


@pytest.mark.parametrize(("trunk", "cloud"), RECIPE_PAIRS)
def test_only_pairs_whose_sentences_have_moved_get_another_address(trunk, cloud):
    # Before, the trunk decided alone, and off-ramps were as they were shipped.
    frozen = "frozen" in (trunk, cloud)
    moved = frozen or (cloud != "full" and fitted_on(cloud, COUNT) > fitted_on(trunk, COUNT))
    assert bool(held_back_facts(pairing(trunk, cloud))) == moved


def test_nothing_is_trained_for_a_pair_that_cannot_be(films):
    task, cache = films
    before = sorted(cache.rglob("*.safetensors"))
    with pytest.raises(DseError, match="cloud_network = full is fitted on all 240"):
        text_digests(replace(frozen_pair(task), cloud_network="full"), cache, unwatched)
    assert sorted(cache.rglob("*.safetensors")) == before
