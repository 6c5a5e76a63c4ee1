"""`settings.finetune_stop` of a study file: what it accepts, and what it leaves as it was."""

from pathlib import Path

import pytest

from dse.core.errors import DseError, StudyError
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from studies.edgebert.finetune_stop import FinetuneStopRule, stop_of

STUDY = Path(__file__).resolve().parents[2] / "studies" / "edgebert/sentiment.yaml"


def loaded(*overrides):
    return load_study(STUDY, InstalledSystems(), overrides)


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


def test_more_sentences_than_there_are_are_refused_before_any_run(made_task):
    cache, name = made_task
    assert stop_of(None, name, cache) is None
    rule = FinetuneStopRule(sentences=101)
    with pytest.raises(DseError, match=r"sentences = 101; the validation split .* has 100"):
        stop_of(rule, name, cache)
