"""A table is exported only with the parts that its rows need, or says which weights they need."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.cli.terminal import guarded
from dse.core.errors import DseError
from dse.core.evaluation import Chain
from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.problem import Objective, Problem
from dse.core.signature import Signature
from dse.core.space import ActiveWhen, Columns, SearchSpace
from dse.lut.build import Order, lookup_table
from dse.lut.table import ExitPredictor, OperatingPoint
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, read_run

PREDICTOR = ExitPredictor(1, 10_000, ((650_000, 600_000), (640_000, 0)))
POINTS = (OperatingPoint(500_000, 400_000_000), OperatingPoint(800_000, 1_000_000_000))
FACTS = {"task": "sentiment", "torch": "2"}


@dataclass(frozen=True)
class Joint:
    """A lower voltage saves energy, a voltage per sentence saves half, a head saves more."""

    signature: ClassVar[Signature] = Signature.uniform(
        {
            "split_layer": "layer",
            "dvfs": "choice",
            "predict_layer": "layer",
            "vdd": "V",
            "appeal_signal": "choice",
            "cloud_network": "choice",
            "beta": "1",
        },
        {"archive": "handle", "energy": "J", "delay": "s"},
        "unverified",
    )

    def __call__(self, columns: Columns) -> Columns:
        foretold = columns["dvfs"] == "sentence"
        head = columns["appeal_signal"] == "appeal"
        saved = np.where(foretold, 0.1 * columns["predict_layer"] + 0.3 * head, 0.0)
        handles = [f"{int(layer):064x}" for layer in columns["split_layer"]]
        return {
            "archive": np.array(handles),
            "energy": columns["vdd"] ** 2 - saved,
            "delay": 1.0 / columns["vdd"] + saved,
        }


def run_of(folder, signals=("margin",), layers=(1, 1), facts=FACTS):
    conditions = (
        ActiveWhen("vdd", "dvfs", ("fixed",), 0.8),
        ActiveWhen("predict_layer", "dvfs", ("sentence",), 1),
    )
    parameters = (
        Integer("split_layer", 3, 3, "layer"),
        Ordinal("beta", (0.1,), "1"),
        Categorical("dvfs", ("fixed", "sentence"), "run"),
        Integer("predict_layer", layers[0], layers[1], "layer", "run"),
        Ordinal("vdd", (0.5, 0.8), "V", "run"),
        Categorical("appeal_signal", signals, "run"),
        Categorical("cloud_network", ("demo",), "run"),
    )
    space = SearchSpace(parameters, conditions=conditions)
    objectives = (Objective("energy", "J", "min"), Objective("delay", "s", "min"))
    problem = Problem(space, Chain((Joint(),)), objectives, ())
    trials = problem.evaluate(np.concatenate(list(space.enumerate())))
    manifest = {
        "identity": "0" * 64,
        "facts": dict(facts),
        "export": {"sort_by": "energy", "fallback": "delay"},
    }
    with RunWriter(folder, Question.of("joint", "?", problem), study_text="study: joint\n",
                   resolved="study: joint\n", manifest=manifest) as writer:  # fmt: skip
        writer.add(trials)
        writer.finish("exhausted", {"trials": len(trials)})
    return read_run(folder)


@pytest.fixture
def joint_run(tmp_path):
    return run_of(tmp_path / "run")


def made(run, **options):
    return lookup_table(run, Order("energy", "delay", **options))


def test_a_voltage_per_sentence_needs_predictor_and_operating_points(joint_run):
    with pytest.raises(DseError) as said:
        made(joint_run)
    line = str(said.value)
    (trial,) = np.flatnonzero(joint_run.trials.designs["dvfs"] == "sentence")
    assert line.startswith(f"1 of 3 rows have dvfs = sentence (trials {trial})")
    assert "--exit-lut FILE.csv --exit-layer 1" in line
    assert "--points FILE.csv" in line
    assert line.endswith("leave them out: --only dvfs=fixed")
    assert "\n" not in line


def test_a_run_that_knows_where_they_are_to_be_had_says_the_commands(tmp_path):
    facts = {**FACTS, "foretold_by": "a" * 64, "voltage_table": "dvfs_12nm"}
    with pytest.raises(DseError) as said:
        made(run_of(tmp_path / "run", facts=facts))
    line = str(said.value)
    assert f"dse predictor {'a' * 64} --predict-layer 1 --out FILE.csv" in line
    assert "dse tables dvfs_12nm --format csv > FILE.csv" in line


def test_what_is_given_is_not_asked_for_again(joint_run):
    with pytest.raises(DseError) as said:
        made(joint_run, exit_predictor=PREDICTOR)
    assert "--exit-lut" not in str(said.value)
    with pytest.raises(DseError) as said:
        made(joint_run, operating_points=POINTS)
    assert "--points" not in str(said.value)
    table = made(joint_run, exit_predictor=PREDICTOR, operating_points=POINTS)
    assert len(table.rows) == 3


def test_a_predictor_of_another_layer_is_no_predictor(joint_run):
    late = replace(PREDICTOR, layer=2)
    with pytest.raises(DseError, match="after layer 1; the one given reads layer 2"):
        made(joint_run, exit_predictor=late, operating_points=POINTS)


def test_rows_of_two_predict_layers_do_not_fit_one_table(tmp_path):
    run = run_of(tmp_path / "run", layers=(1, 2))
    with pytest.raises(DseError, match="after layers 1, 2, of which a table carries one"):
        made(run, exit_predictor=PREDICTOR, operating_points=POINTS)
    one = made(run, exit_predictor=PREDICTOR, operating_points=POINTS, only={"predict_layer": 1})
    assert len(one.rows) == 3


def test_only_rows_of_a_run_time_knob_are_kept(joint_run):
    table = made(joint_run, only={"dvfs": "fixed"})
    assert len(table.rows) == 2
    assert table.settings[0].choices == ("fixed",)


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ({"beta": 0.1}, "beta is no run-time knob; there are dvfs, predict_layer"),
        ({"dvfs": "never"}, "no trial has the settings"),
    ],
)
def test_only_names_run_time_knobs_and_their_values(only, said, joint_run):
    with pytest.raises(DseError, match=said):
        made(joint_run, only=only)


def test_a_learned_head_is_named_and_not_carried(tmp_path):
    run = run_of(tmp_path / "run", signals=("margin", "appeal"))
    parts = {"exit_predictor": PREDICTOR, "operating_points": POINTS}
    table = made(run, **parts)
    named = f"split_layer = 3, beta = 0.1, of run {'0' * 64}"
    assert table.depends_on["appeal_head demo"] == named
    plain = made(run, **parts, only={"appeal_signal": "margin"})
    assert not [name for name in plain.depends_on if name.startswith("appeal_head")]


def test_the_archive_that_all_rows_share_names_the_network_as_compressed(tmp_path):
    handle = f"{3:064x}"
    digest = {**FACTS, "network_sha256": "ab" * 32}
    dense = made(run_of(tmp_path / "a", facts=digest), only={"dvfs": "fixed"})
    assert (dense.valid_for.network, dense.depends_on["archive"]) == ("ab" * 32, handle)
    # Where no network was trained before the run, its archive is what there is.
    own = made(run_of(tmp_path / "b"), only={"dvfs": "fixed"})
    assert (own.valid_for.network, own.depends_on["archive"]) == (handle, handle)


@pytest.fixture
def export(joint_run):
    app = command_line({})
    return lambda *flags: CliRunner().invoke(app, ["export", str(joint_run.folder), *flags])


def test_the_command_refuses_with_2_and_writes_nothing(export, joint_run, capsys):
    result = export()
    assert isinstance(result.exception, DseError)
    assert not (joint_run.folder / "tables").exists()

    def again():
        raise result.exception

    assert guarded(again, debug=False) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) >= 1


def test_the_command_leaves_rows_out(export):
    result = export("--only", "dvfs=fixed")
    assert result.exit_code == 0, result.output
    assert "write --only knob=value" in str(export("--only", "dvfs").exception)
