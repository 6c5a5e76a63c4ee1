"""Study files: good ones compose, broken ones are refused with every problem named."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.core.errors import StudyError
from dse.core.parameters import Ordinal
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems

SYSTEMS = InstalledSystems()
FOLDER = Path(__file__).resolve().parents[2] / "studies"
GOOD = (FOLDER / "edgebert/sentiment.yaml").read_text(encoding="utf-8")


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must stand once in the study file"
    return GOOD.replace(old, new)


# name -> (text of the file, what its message must name)
BROKEN: dict[str, tuple[str, list[str]]] = {
    "wrong type": (edited("trials: 4000", "trials: many"), ["search.trials", "'many'", "integer"]),
    "quoted number": (edited("seed: 1", "seed: '1'"), ["search.seed", "'1'", "integer"]),
    "boolean for a number": (edited("batch: 100", "batch: true"), ["search.batch", "True"]),
    "unknown key": (edited("seed: 1", "sead: 1"), ["search.sead", "allowed", "'seed'"]),
    "unknown key at the top": (GOOD + "serach: {}\n", ["serach", "allowed", "'search'"]),
    "unit missing": (edited(", unit: mV", ""), ["knobs.vdd", "unit is missing", "mV"]),
    "foreign unit": (edited("unit: mV", "unit: mA"), ["knobs.vdd", "'mA'", "mV"]),
    "limit without unit": (
        edited("{max: 5, unit: ms}", "{max: 5}"),
        ["constraints.latency_p95", "unit is missing", "ms"],
    ),
    "duplicate key": (edited("batch: 100", "batch: 100\n  batch: 200"), ["batch", "twice", "line"]),
    "NaN": (edited("stop: 0.69", "stop: .nan"), ["knobs.exit_threshold.stop", "nan", "finite"]),
    "infinity": (edited("{max: 5, unit", "{max: .inf, unit"), ["latency_p95.max", "inf", "finite"]),
    "empty range": (edited("start: 500", "start: 800"), ["knobs.vdd", "800", "empty"]),
    "empty list": (
        edited("[0.0, 0.2, 0.4, 0.6]", "[]"),
        ["knobs.pruning_ratio.values", "[]"],
    ),
    "out of reach": (edited("start: 500", "start: 450"), ["knobs.vdd", "450 mV", "0.5 to 0.8 V"]),
    "step beside the end": (edited("step: 25", "step: 70"), ["knobs.vdd", "70", "lead"]),
    "not increasing": (
        edited("[0.0, 0.2, 0.4,", "[0.0, 0.4, 0.2,"),
        ["knobs.pruning_ratio", "increase"],
    ),
    "unknown choice": (edited("[sram, rram,", "[sram, rrram,"), ["envm_cell", "'rrram'", "'rram'"]),
    "text among numbers": (
        edited("[0.0, 0.2,", "[0.0, low,"),
        ["knobs.pruning_ratio", "'low'", "number"],
    ),
    "unknown objective": (
        edited("  accuracy: max", "  acuracy: max"),
        ["objectives.acuracy", "allowed", "'accuracy'"],
    ),
    "unknown direction": (edited("accuracy: max", "accuracy: up"), ["objectives.accuracy", "'up'"]),
    "unknown searcher": (edited("searcher: nsga2", "searcher: nsga22"), ["'nsga22'", "'nsga2'"]),
    "unknown system": (edited("system: edgebert", "system: edgebrt"), ["system", "'edgebert'"]),
    "unknown task": (
        edited("rt-sentiment", "rt-sentiments"),
        ["settings.task", "'rt-sentiments'", "tweet3"],
    ),
    "unknown network": (edited("minilm-l6", "minilm"), ["settings.network", "'minilm'", "hub:"]),
    "unknown setting": (edited("recipe: demo", "recipee: demo"), ["recipee", "'recipe'"]),
    "missing section": (GOOD.split("objectives:")[0], ["objectives", "is missing"]),
    "missing knob": (
        "\n".join(line for line in GOOD.splitlines() if "weight_bits" not in line),
        ["knobs", "weight_bits is missing"],
    ),
    "unknown knob": (edited("  vdd: {", "  vddd: {"), ["knobs.vddd", "'vdd'"]),
    "fraction of a bit": (
        edited("{values: [4, 5, 6, 8], unit: bit}", "{values: [4, 5.5], unit: bit}"),
        ["knobs.weight_bits", "5.5", "whole"],
    ),
    "not YAML": (edited("knobs:", "knobs: ["), ["not YAML"]),
    "not a mapping": ("- a\n- b\n", ["mapping"]),
    "empty file": ("", ["mapping"]),
    "alias": ("a: &x [1]\nb: *x\n", ["alias"]),
    "nested too deep": ("a: " + "[" * 50 + "]" * 50, ["deeper"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_one_clear_line_per_problem(name, tmp_path):
    text, wanted = BROKEN[name]
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study(path, SYSTEMS)
    problems = caught.value.problems
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}")
    assert "\n" not in problems[0]
    for part in wanted:
        assert part in problems[0]


def test_all_problems_of_a_file_are_listed_at_once_with_their_lines(tmp_path):
    path = tmp_path / "study.yaml"
    text = GOOD.replace("seed: 1", "sead: 1").replace("unit: mV", "unit: mA")
    text = text.replace("accuracy: max", "acuracy: max")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study(path, SYSTEMS)
    places = [problem.removeprefix(str(path)).split(": ")[:2] for problem in caught.value.problems]
    lines = text.splitlines()
    found = {key: lines[int(place.split(":")[1]) - 1] for place, key in places}
    assert set(found) == {"search.sead", "knobs.vdd", "objectives.acuracy"}
    assert all(line.strip().startswith(key.split(".")[1]) for key, line in found.items())


def test_the_unit_1_may_be_written_as_a_number(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(edited("0.6], unit: 1}", '0.6], unit: "1"}'), encoding="utf-8")
    assert (
        load_study(path, SYSTEMS).space
        == load_study(FOLDER / "edgebert/sentiment.yaml", SYSTEMS).space
    )


def test_millivolts_become_the_very_floats_that_volts_are():
    space = load_study(FOLDER / "edgebert/sentiment.yaml", SYSTEMS).space
    assert space["vdd"].unit == "V"
    assert isinstance(space["vdd"], Ordinal)
    assert space["vdd"].values == (
        0.5, 0.525, 0.55, 0.575, 0.6, 0.625, 0.65, 0.675, 0.7, 0.725, 0.75, 0.775, 0.8,
    )  # fmt: skip


def test_the_resolved_file_is_a_study_file_that_resolves_to_itself(tmp_path):
    study = load_study(FOLDER / "edgebert/sentiment.yaml", SYSTEMS)
    path = tmp_path / "resolved.yaml"
    path.write_text(study.resolved(), encoding="utf-8")
    again = load_study(path, SYSTEMS)
    assert again.resolved() == study.resolved()
    assert again.space == study.space
    assert again.identity({}) == study.identity({})


def test_overrides_are_typed_by_the_schema_and_named_in_problems():
    path = FOLDER / "edgebert/sentiment.yaml"
    study = load_study(path, SYSTEMS, ["search.trials=7", "knobs.vdd.start=700"])
    assert study.file.search.trials == 7
    assert isinstance(study.space["vdd"], Ordinal)
    assert study.space["vdd"].values[0] == 0.7
    with pytest.raises(StudyError, match=r"--set search\.trials=few: search\.trials: got 'few'"):
        load_study(path, SYSTEMS, ["search.trials=few"])
    with pytest.raises(StudyError, match=r"write --set section\.key=value"):
        load_study(path, SYSTEMS, ["search.trials"])


@pytest.mark.parametrize(
    ("path", "said"),
    [("absent.yaml", "does not exist"), (".", "is a folder")],
)
def test_files_that_cannot_be_read_are_named(path, said, tmp_path):
    with pytest.raises(StudyError, match=said):
        load_study(tmp_path / path, SYSTEMS)


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(b"study: \xff\xfe")
    with pytest.raises(StudyError, match="not UTF-8"):
        load_study(path, SYSTEMS)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    line=st.integers(0, len(GOOD.splitlines()) - 1),
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30),
)
def test_any_damaged_line_is_accepted_or_refused_as_a_study_problem(line, text, tmp_path):
    lines = GOOD.splitlines()
    lines[line] = text
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with contextlib.suppress(StudyError):
        load_study(path, SYSTEMS)


def test_the_command_exits_2_without_traceback_and_writes_nothing(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(BROKEN["unknown key"][0], encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    for command in (["validate", "study.yaml"], ["run", "study.yaml", "--out", "out"]):
        result = subprocess.run(
            [sys.executable, "-m", "studies.command", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        assert "search.sead" in result.stderr
        assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}_{path.stem}"
)
def test_every_study_that_comes_along_composes_a_space(path):
    study = load_study(path, SYSTEMS)
    assert study.space.size is not None
    designs = study.space.sample(50, np.random.default_rng(0))
    assert study.space.allowed(designs).all()
