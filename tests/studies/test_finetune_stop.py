"""`settings.finetune_stop` of a study file: what it accepts, what it changes, what a trial says."""

import csv
import shutil
from pathlib import Path

import pytest

from dse.answer import answer
from dse.errors import DseError, StudyError
from dse.stopping import Stop
from dse.store import read_run
from dse.study import load_study
from dse.terminal import Bars
from dse.views import trials_csv
from studies.command import SYSTEMS
from studies.finetune_stop import FinetuneStopRule, stop_of

STUDY = Path(__file__).resolve().parents[2] / "studies" / "edgebert_sentiment.yaml"


def loaded(*overrides):
    return load_study(STUDY, SYSTEMS, overrides)


def test_a_study_that_names_no_rule_is_the_study_it_was():
    plain = loaded()
    assert plain.settings.finetune_stop is None
    assert "finetune_stop" not in plain.identified_by({})["study"]["settings"]
    ruled = loaded("settings.finetune_stop={}")
    assert ruled.identity({}) != plain.identity({})
    assert ruled.identity({}) != loaded("settings.finetune_stop={window: 4}").identity({})
    assert "finetune_stop: {checkpoints: 20, window: 3, tolerance: 0.005" in ruled.resolved()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{checkpoints: 6}", ["settings.finetune_stop", "checkpoints = 6", "at least 7"]),
        ("{checkpoints: 9, window: 6}", ["settings.finetune_stop", "at least 10"]),
        ("{window: 1}", ["settings.finetune_stop.window", "1", "2"]),
        ("{tolerance: 0}", ["settings.finetune_stop.tolerance", "0"]),
        ("{sentences: 5}", ["settings.finetune_stop.sentences", "5", "10"]),
        ("{tolerence: 0.01}", ["tolerence", "'tolerance'"]),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_the_file(rule, said):
    with pytest.raises(StudyError) as refused:
        loaded(f"settings.finetune_stop={rule}")
    for part in said:
        assert part in str(refused.value)


def test_more_sentences_than_there_are_are_refused_before_any_run(real_cache):
    assert stop_of(None, "rt-sentiment", real_cache) is None
    rule = FinetuneStopRule(sentences=1001)
    with pytest.raises(DseError, match=r"sentences = 1001; the validation split .* has 1000"):
        stop_of(rule, "rt-sentiment", real_cache)


@pytest.mark.slow
def test_a_trial_says_how_its_tuning_ended(real_cache, trained_small, tmp_path, monkeypatch):
    """The real network, serial and in a pool, also where runs are broken off: the same trials."""
    assert trained_small.path.is_file()
    runs = []
    for number, (executor, early) in enumerate(
        (("serial", "null"), ("pool", "null"), ("pool", "{}"))
    ):
        cache = tmp_path / f"cache{number}"
        (cache / "networks").mkdir(parents=True)
        (cache / "tasks").symlink_to(real_cache / "tasks")
        shutil.copy(trained_small.path, cache / "networks")
        monkeypatch.setenv("EDGE_DSE_CACHE", str(cache))
        study = loaded(
            "settings.recipe=small",
            "settings.sentences=60",
            "settings.test_sentences=50",
            "settings.finetune_stop={tolerance: 0.2, sentences: 40}",
            "knobs.pruning_ratio.values=[0.5]",
            "knobs.weight_bits.values=[5, 8]",
            "knobs.finetune_steps={values: [0, 40], unit: step}",
            f"search={{searcher: random, batch: 4, trials: 8, early_stop: {early}}}",
            f"execution.executor={executor}",
        )
        answer(study, tmp_path / f"run{number}", Bars(), Stop())
        runs.append(read_run(tmp_path / f"run{number}"))
    one, two, parts = runs
    trials = one.trials
    tuned = trials.designs["finetune_steps"] == 40
    assert 0 < tuned.sum() < len(tuned)
    said = trials.metrics["finetune_ended"]
    assert set(said[~tuned]) == {"not tuned"}
    assert len(set(said[tuned])) == 1
    assert said[tuned][0].startswith("ended after 36 of 40 steps: accuracy 0.")
    assert "finetune_ended [choice]" in trials_csv(one.question, trials).splitlines()[0]
    assert one.question.metrics[-1].evidence == "unverified"
    assert trials.metrics["archive"].tolist() == two.trials.metrics["archive"].tolist()
    assert trials.losses.tobytes() == two.trials.losses.tobytes()
    whole = parts.trials.ok
    assert parts.trials.metrics["finetune_ended"][whole].tolist() == said[whole].tolist()
    front = list(csv.reader((one.folder / "trials.csv").open(encoding="utf-8")))
    assert any("foretold" in cell for cell in front[1] + front[-1])
