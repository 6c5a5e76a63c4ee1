"""What an AppealNet run says it depends on: data and every network that heads stand between."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dse.accuracy.appeal import image_pair
from dse.accuracy.cache import unwatched
from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.networks.training import RECIPES, trained_network
from dse.cli.terminal import Bars
from dse.core.errors import DseError, StudyError
from dse.search.interrupts import Stop
from dse.study.loader import load_study
from dse.study.runner import run_study
from studies.appealnet.system import SYSTEM, Settings, network_facts

STUDY = Path(__file__).resolve().parents[2] / "studies" / "appealnet/digits.yaml"
SYSTEMS = {"appealnet": SYSTEM}


def run(folder, *overrides):
    """The manifest of a run on digits: one depth, two thresholds."""
    small = [
        "knobs.edge_layers.values=[1]",
        "knobs.appeal_threshold={values: [0.0, 0.5], unit: 1}",
        "search.boundary=false",  # the ends of two designs are what the warm start brings
    ]
    study = load_study(STUDY, SYSTEMS, [*small, *overrides])
    with Bars() as bars:
        run_study(study, folder, bars, Stop())
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_another_large_network_is_another_run_and_no_warm_start(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_DSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_pair, "CLOUD_EPOCHS", {"digits": 2})
    first = run(tmp_path / "first")
    warm = f"search.warm_start={{path: {tmp_path / 'first'}, take: all}}"
    same = run(tmp_path / "same", warm)
    assert same["facts"] == first["facts"]
    assert same["opening"]["warm_start"]["reused"]
    monkeypatch.setattr(image_pair, "CLOUD_EPOCHS", {"digits": 3})
    other = run(tmp_path / "other", warm)
    changed = {name for name in first["facts"] if first["facts"][name] != other["facts"][name]}
    assert changed == {"cloud_cnn-small"}
    assert not other["opening"]["warm_start"]["reused"]
    assert len({first["identity"], same["identity"], other["identity"]}) == 3


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A task of 100 sentences in a cache of its own."""
    folder, cache = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("cache")
    rows = [f"film {i} is {'good,yes' if i % 2 else 'bad,no'}" for i in range(100)]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    fetch_task(f"local:{folder}", cache)
    return Settings(task=f"local:{folder}", trunk="frozen", clouds=["frozen"]), cache


def test_small_and_large_network_on_sentences_are_named_by_their_files(films, monkeypatch):
    own, cache = films
    facts = network_facts(own, cache, unwatched)
    trained = trained_network("minilm-l6", own.task, "frozen", cache)
    assert facts["network_sha256"] == facts["cloud_frozen"] == trained.sha256
    assert {"task_sha256", "precision"} < set(facts)
    monkeypatch.setitem(RECIPES, "frozen", replace(RECIPES["frozen"], head_steps=5))
    other = network_facts(own, cache, unwatched)
    changed = {name for name in facts if facts[name] != other[name]}
    assert changed == {"network_sha256", "cloud_frozen"}


def test_a_cloud_network_that_shows_no_mistakes_ends_the_study_at_once(films):
    own, cache = films
    with pytest.raises(DseError, match="cloud_network = full is fitted on all"):
        network_facts(own.model_copy(update={"clouds": ["frozen", "full"]}), cache, unwatched)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["knobs.cloud_network.values=[cnn-large]"],
         "cloud_network = 'cnn-large' is not among settings.clouds, cnn-small"),
        (["settings.clouds=[demo]"], "demo is none for images"),
    ],
)  # fmt: skip
def test_a_large_network_must_be_among_those_that_the_run_is_named_after(overrides, said):
    with pytest.raises(StudyError, match=said):
        load_study(STUDY, SYSTEMS, overrides)


def test_two_large_networks_need_no_more_than_to_be_named():
    both = ["settings.clouds=[cnn-small,cnn-large]", "knobs.cloud_network.values=[cnn-large]"]
    settings = load_study(STUDY, SYSTEMS, both).settings
    assert isinstance(settings, Settings)
    assert settings.large == ("cnn-small", "cnn-large")
