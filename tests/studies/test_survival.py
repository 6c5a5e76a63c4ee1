"""`dse survive` on runs whose accuracy and depths are made up; spaces, chips and links are real."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.core.evaluation import Chain
from dse.core.problem import Constraint, Problem
from dse.core.signature import Signature
from dse.core.space import Columns
from dse.results.front import Front
from dse.runs.manifest import RESOLVED
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, read_run
from dse.study.loader import load_study
from dse.study.survival import columns_of, draws_of, survival_of
from dse.study.system import AnySystem
from studies.command import COMMANDS
from studies.dynasplit import system as dynasplit
from studies.edgebert import system as edgebert
from studies.joint import system as joint

STUDIES = Path(__file__).resolve().parents[2] / "studies"
SYSTEMS: dict[str, AnySystem] = {
    "edgebert": edgebert.SYSTEM,
    "joint": joint.SYSTEM,
    "dynasplit": dynasplit.SYSTEM,
}


@dataclass(frozen=True)
class Replayed:
    """In place of accuracy run and replay: who compresses less answers better and later."""

    inputs: Mapping[str, str]

    @property
    def signature(self):
        outputs = {
            "accuracy": "1",
            "mean_exit_layer": "layer",
            "p95_exit_layer": "layer",
        }
        return Signature.uniform(self.inputs, outputs, "measured", "measured")

    def __call__(self, columns: Columns) -> Columns:
        kept = (1 - columns["pruning_ratio"]) * columns["weight_bits"] / 8
        return {"accuracy": 0.6 + 0.2 * kept, "mean_exit_layer": 1 + 3 * kept,
                "p95_exit_layer": np.ceil(2 + 4 * kept)}  # fmt: skip


@dataclass(frozen=True)
class Divided:
    """In place of accuracy run and replay of the joint system: two thirds stay on the device."""

    inputs: Mapping[str, str]

    @property
    def signature(self):
        outputs = {
            "accuracy": "1",
            **{f"answered_{i + 1}": "1" for i in range(6)},
            "offloaded": "1",
        }
        return Signature.uniform(self.inputs, outputs, "measured", "measured")

    def __call__(self, columns: Columns) -> Columns:
        held = columns["split_layer"]
        sent = np.where(held == 0, 1.0, np.where(columns["offload"] == "none", 0.0, 1 / 3))
        answered = {f"answered_{i + 1}": (held == i + 1) * (1 - sent) for i in range(6)}
        return {"accuracy": 0.7 + 0.1 * sent + 0.01 * held, **answered, "offloaded": sent}


def written(folder, name, study, evaluator):
    problem = Problem(study.space, evaluator, study.objectives, study.constraints)
    question = Question.of(name, "which?", problem)
    text, facts = study.resolved(), {"identity": "0" * 64, "facts": {}}
    with RunWriter(folder, question, study_text=text, resolved=text, manifest=facts) as writer:
        writer.add(problem.evaluate(study.space.sample(60, np.random.default_rng(1))))
        writer.finish("budget", {"trials": 60})
    return folder


def here(evaluator, needs=None):
    """Nothing that a worker would have to be asked for."""
    assert needs is None
    return evaluator


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    own = load_study(STUDIES / "edgebert/sentiment.yaml", SYSTEMS)
    both = load_study(STUDIES / "joint/sentiment.yaml", SYSTEMS)
    other = load_study(STUDIES / "dynasplit/encoder.yaml", SYSTEMS)
    composed = other.system.compose(other.settings, here, lambda *_: None)
    assert isinstance(own.settings, edgebert.Settings)
    assert isinstance(both.settings, joint.Settings)
    chips, prices = (
        edgebert.priced(own.settings),
        joint.priced(both.settings, joint.workload(both.settings)),
    )
    divided = Divided(both.space.units)
    return {
        "edgebert": written(
            folder / "e", "edgebert", own, Chain((Replayed(own.space.units), chips))
        ),
        "joint": written(folder / "j", "joint", both, Chain((divided, prices))),
        "dynasplit": written(folder / "d", "dynasplit", other, composed.evaluator),
    }


def asked(*arguments):
    app = command_line(SYSTEMS, COMMANDS)
    return CliRunner().invoke(app, ["survive", *map(str, arguments)])


@pytest.mark.parametrize("system", ["edgebert", "joint"])
def test_some_designs_survive_some_draws_and_one_seed_gives_one_answer(runs, system):
    result = asked(runs[system], "--draws", 20, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"datapath_12nm", "envm_nvsim_22nm", "sram_scaling_12nm"} == set(found["tables"])
    shares = [row["survives"] for row in found["rows"]]
    assert any(0 < share < 1 for share in shares)
    assert all(row["survives"] <= row["within_limits"] for row in found["rows"])
    energy = [row["metrics"]["energy"] for row in found["rows"]]
    spread = [e["p5"] < e["nominal"] < e["p95"] for e in energy]
    # All in the cloud behind a link with one set of numbers: nothing is drawn there.
    assert all(spread) if system == "edgebert" else any(spread)
    assert "accuracy" not in found["rows"][0]["metrics"]
    assert asked(runs[system], "--draws", 20, "--format", "json").stdout == result.stdout


def test_the_table_shows_the_surest_first(runs):
    lines = asked(runs["edgebert"], "--draws", 20, "--rows", 3).stdout.splitlines()
    shares = [float(line.split("│")[2]) for line in lines if line.startswith("│")]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert any("20 draws, seed 1" in line for line in lines)


def priced_front(folder):
    """The front of a run, its study, and what its pricing model reads."""
    front = Front.of_run(read_run(folder))
    study = load_study(folder / RESOLVED, SYSTEMS)
    return front, study, columns_of(front, study, draws_of(study, 1, 0).nominal)


def test_a_limit_that_a_draw_breaks_ends_the_survival(runs):
    front, study, columns = priced_front(runs["edgebert"])
    free = survival_of(front, draws_of(study, 20, 0), columns)
    tight = Constraint("energy", "J", float(np.median(free.drawn["energy"])))
    limited = replace(front, question=replace(front.question, constraints=(tight,)))
    found = survival_of(limited, draws_of(study, 20, 0), columns)
    assert (found.share <= found.allowed).all()
    assert found.allowed.mean() == pytest.approx(0.5, abs=0.05)
    assert (found.share < free.share).any()
    assert (survival_of(front, draws_of(study, 20, 1), columns).share != free.share).any()


def test_a_run_of_other_constants_is_refused(runs):
    front, study, columns = priced_front(runs["edgebert"])
    metrics = {**front.trials.metrics, "energy": 1.001 * front.trials.metrics["energy"]}
    changed = replace(front, trials=replace(front.trials, metrics=metrics))
    with pytest.raises(DseError, match=r"trial \d+ has energy = .*, today's models give"):
        survival_of(changed, draws_of(study, 2, 0), columns)


def test_a_run_without_drawn_constants_is_refused(runs):
    said = str(asked(runs["dynasplit"]).exception)
    assert "the system 'dynasplit' does not say which of its constants are uncertain" in said
    assert "its member `draws`" in said


def test_an_empty_front_is_refused(runs):
    front, study, columns = priced_front(runs["edgebert"])
    with pytest.raises(DseError, match="the front is empty"):
        survival_of(front.rows(np.array([], dtype=np.intp)), draws_of(study, 2, 0), columns)
