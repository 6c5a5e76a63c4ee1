"""`settings.teacher` of a study file: what it accepts, and what it leaves as it was."""

from pathlib import Path

import pytest

from dse.core.errors import StudyError
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems

STUDY = Path(__file__).resolve().parents[2] / "studies" / "edgebert/sentiment.yaml"


def loaded(*overrides):
    return load_study(STUDY, InstalledSystems(), overrides)


def test_a_study_without_a_teacher_is_the_study_it_was():
    plain = loaded()
    assert plain.settings.teacher is None
    assert "teacher" not in plain.identified_by({})["study"]["settings"]
    taught = loaded("settings.teacher={}")
    assert taught.settings.teacher.recipe == "full"
    assert taught.identity({}) != plain.identity({})
    assert taught.identity({}) != loaded("settings.teacher={recipe: demo}").identity({})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["settings.teacher={recipe: long}"], ["settings.teacher.recipe", "long", "full"]),
        (["settings.teacher={network: elmo}"], ["settings.teacher.network", "elmo", "minilm-l6"]),
        (["settings.teacher={}", "settings.recipe=frozen"], ["'frozen' leaves nothing"]),
    ],
)
def test_a_teacher_that_cannot_be_is_refused_with_the_file(overrides, said):
    with pytest.raises(StudyError) as refused:
        loaded(*overrides)
    for part in said:
        assert part in str(refused.value)
