"""Tasks and networks that no package ships: the real loading code, on local files."""

import json

import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel, BertTokenizer

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.archive import read_archive
from dse.accuracy.compression.attention_span import reaching
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.data.hub import labelled_rows
from dse.accuracy.data.tasks import fetch_task, read_split, task_classes
from dse.accuracy.networks.network import Tokens, all_means, tokenised
from dse.accuracy.networks.pretrained import pretrained
from dse.accuracy.networks.training import trained_network
from dse.core.errors import DseError

WORDS = ["good", "fine", "great", "bad", "poor", "awful", "film", "plot", "the", "a", "is", "was"]


def sentences(seed, count):
    """Labelled by the kind of their adjectives; different, and easy to learn."""
    rng = np.random.default_rng(seed)
    rows: dict[str, int] = {}
    while len(rows) < count:
        label = int(rng.integers(2))
        adjectives = rng.choice(WORDS[:3] if label else WORDS[3:6], 2)
        rest = rng.choice(WORDS[6:], rng.integers(3, 9))
        rows[" ".join([*rest, *adjectives])] = label
    return list(rows.items())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    lines = [f"{s},{'yes' if y else 'no'}" for s, y in sentences(0, 300)]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder


def test_a_folder_of_ones_own_becomes_a_task_with_three_splits(folder, tmp_path):
    name, cache = f"local:{folder}", tmp_path / "cache"
    fetch_task(name, cache)
    parts = {s: read_split(name, cache, s) for s in ("train", "validation", "test")}
    assert {s: len(p.sentences) for s, p in parts.items()} == {
        "train": 240,
        "validation": 30,
        "test": 30,
    }
    assert len({s for p in parts.values() for s in p.sentences}) == 300
    assert task_classes(name, cache) == ("no", "yes")
    known = dict(sentences(0, 300))
    for part in parts.values():
        assert all(known[s] == y for s, y in zip(part.sentences, part.labels, strict=True))


def test_an_edited_file_is_read_anew(folder, tmp_path):
    name, cache = f"local:{folder}", tmp_path / "cache"
    fetch_task(name, cache)
    before = read_split(name, cache, "train").digest
    with (folder / "train.csv").open("a") as file:
        file.write("an entirely new film is good,yes\n")
    fetch_task(name, cache)
    assert read_split(name, cache, "train").digest != before


def test_pairs_keep_both_sentences_and_withheld_labels_are_left_out(tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    for split, count, label in (("train", 100, None), ("validation", 20, None), ("test", 20, -1)):
        rows = [
            {
                "premise": f"{split} {i} went out",
                "hypothesis": f"{i} stayed in",
                "label": i % 3 if label is None else label,
            }
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    name, cache = f"local:{folder}", tmp_path / "cache"
    fetch_task(name, cache)
    test, validation = (read_split(name, cache, s) for s in ("test", "validation"))
    assert len(test.sentences) == len(test.seconds) == 20
    assert all(s.startswith("validation") for s in test.sentences)  # the published labels
    assert all(s.startswith("train") for s in validation.sentences)
    assert len(validation.sentences) == 10
    tokens = tokenised(pretrained("minilm-l6").folder, test.sentences, test.seconds)
    assert all(set(t.types) == {0, 1} and len(t.types) == len(t.ids) for t in tokens)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,kind\na film,1\n", "label"),
        ("label\n1\n", "text columns"),
        ("text,label\na film,0.5\nb film,0.25\n", "classes"),
        ("text,label\na film,1\nb film,1\n", "classes"),
    ],
)
def test_files_without_labelled_sentences_say_what_is_missing(tmp_path, content, reason):
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(DseError, match=reason):
        labelled_rows(f"local:{tmp_path}", tmp_path / "cache")


def test_a_folder_without_files_says_which_it_wants(tmp_path):
    with pytest.raises(DseError, match=r"train\.csv"):
        fetch_task(f"local:{tmp_path}", tmp_path / "cache")


def test_without_the_hub_the_message_names_the_ways_that_need_none(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DseError, match="dse data list"):
        fetch_task("hub:glue/sst2", tmp_path)
    with pytest.raises(DseError, match="minilm-l6"):
        pretrained("hub:albert-base-v2")


@pytest.fixture(scope="module")
def albert(tmp_path_factory):
    """ALBERT-base-v2 in its real size with random weights, and a tokenizer of 30,000 pieces."""
    folder = tmp_path_factory.mktemp("albert")
    vocabulary = (pretrained("minilm-l6").folder / "vocab.txt").read_text(encoding="utf-8")
    path = folder / "vocab.txt"
    path.write_text("\n".join(vocabulary.splitlines()[:30_000]), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AlbertConfig(
            hidden_size=768,
            num_attention_heads=12,
            intermediate_size=3072,
            num_hidden_layers=12,
            embedding_size=128,
            vocab_size=30_000,
        )
        AlbertModel(config).save_pretrained(folder)
    BertTokenizer(vocab_file=str(path)).save_pretrained(folder)
    return folder


def test_an_albert_of_the_real_size_is_loaded_trained_and_passed_through(albert, tmp_path):
    lines = [f"{s},{y}" for s, y in sentences(1, 60)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    name, cache = f"local:{tmp_path}", tmp_path / "cache"
    fetch_task(name, cache)
    trained = trained_network(f"local:{albert}", name, "frozen", cache)
    how = Compression(attention_span=6)
    run = AccuracyRun(trained, name, cache, "test", None, ("pruning_ratio",), how)
    handle = run({"pruning_ratio": np.array([0.5])})["archive"][0]
    logits = read_archive(cache, str(handle)).logits
    assert logits.shape == (6, 12, 2)
    assert (logits.std(axis=0) > 0).all()  # sentences and layers are told apart
    assert (np.diff(logits, axis=1) != 0).all()


def test_a_shared_layer_counts_its_calls(albert):
    """One module is called twelve times; a reach of zero in layer 7 acts from layer 7 on."""
    encoder = AlbertModel.from_pretrained(albert).eval()
    tokens = [Tokens([101, 2023, 2003, 2307, 102], [])]
    plain = all_means(encoder, tokens)
    reach = torch.full((12, 12), 100.0)
    reach[6] = 0.0
    with reaching(encoder, reach, 1.0):
        spanned = all_means(encoder, tokens)
    assert torch.allclose(spanned[:, :6], plain[:, :6], atol=1e-4)
    assert not torch.allclose(spanned[:, 6], plain[:, 6], atol=1e-4)


def test_a_folder_without_safetensors_is_no_network(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DseError, match="safetensors"):
        pretrained(f"local:{tmp_path}")
