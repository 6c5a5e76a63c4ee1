"""What `import dse` offers: its names, durable searches, and what a run and its front can do."""

import ast
import importlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

import dse
import dse.lut
import dse.online
import dse.plots
from dse.core.errors import RunDiffers, RunError
from dse.core.source_code import import_closure

ROOT = Path(__file__).parents[2]

NAMES = [
    "ActiveWhen", "Categorical", "Chain", "Composed", "Constraint", "Draws", "DseError",
    "Forbidden", "Front", "Integer", "Objective", "Ordinal", "Problem", "Real", "Requests", "Run",
    "SearchSpace", "Section", "Signature", "System", "__version__", "accuracy_run", "evaluator",
    "load", "lut", "minimize", "online", "plots", "run_study",
]  # fmt: skip

FACES = {"dse": dse, "dse.lut": dse.lut, "dse.online": dse.online, "dse.plots": dse.plots}


# -- names ----------------------------------------------------------------------------------------


def test_the_public_names_are_these():
    assert dse.__all__ == sorted(NAMES)
    assert len(NAMES) <= 30
    assert set(dir(dse)) == set(NAMES)


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_every_public_name_is_there(face):
    assert face.__all__ == sorted(face.__all__)
    for name in face.__all__:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'; there are"):
        _ = face.nothing


def declared(path):
    """Name -> module, of the imports for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (checked,) = (s for s in tree.body if isinstance(s, ast.If))
    imports = [s for s in checked.body if isinstance(s, ast.ImportFrom)]
    assert len(imports) == len(checked.body)
    return {a.name: s.module for s in imports for a in s.names if a.asname is None}


@pytest.mark.parametrize("package", FACES)
def test_type_checkers_see_the_names_that_there_are(package):
    face = FACES[package]
    found = declared(Path(str(face.__file__)))
    assert sorted(found) == face.__all__
    modules = {name for name, module in found.items() if module == package}
    assert modules == ({"lut", "online", "plots"} if package == "dse" else set())
    assert {name: found[name] for name in found.keys() - modules} == face._HOMES


@pytest.mark.parametrize("package", FACES)
def test_importing_a_face_loads_no_library(package):
    look = f"import {package}, sys; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert not {"numpy", "matplotlib", "plotly", "pydantic"} & set(ran.stdout.split())


def test_modules_of_the_face_are_reached_after_one_import():
    look = "import dse; print(dse.online.SimulationConfig.__name__, dse.lut.Order.__name__)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["SimulationConfig", "Order"]


USES = {
    "import dse\ndse.online.SimulationConfig()\n": "dse.online.simulation.simulation_setup",
    "import dse as d\nx = d.lut.Reader.open\n": "dse.lut.reader",
    "from dse import online\nonline.Request(1.0)\n": "dse.online.requests",
    "from dse import lut as tables\ntables.thinned\n": "dse.lut.thinning",
    "from dse.plots import FrontView\n": "dse.plots.front_view",
    "import dse.plots\ndse.plots.Stack\n": "dse.plots.stacked",
    "import dse.plots as p\np.Stack\n": "dse.plots.stacked",
    "import hw_models\nhw_models.total\n": "hw_models.columns",
}


@pytest.mark.parametrize("text", USES)
def test_a_closure_has_the_module_of_a_name_and_not_the_face(text, tmp_path, monkeypatch):
    (tmp_path / "user_of_a_face.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    found = set(import_closure(["user_of_a_face"]).sources)
    assert USES[text] in found
    assert not {"dse", *FACES, "hw_models"} & found
    assert "dse.plots.sankey" not in found
    if "plots" not in text:
        assert "dse.plots.stacked" not in found


# -- minimize -------------------------------------------------------------------------------------

KNOBS = (
    dse.Integer("width", 1, 64, "1"),
    dse.Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V", stage="run"),
    dse.Categorical("cell", ("rram", "sram")),
)


@dse.evaluator(
    inputs={"width": "1", "vdd": "V", "cell": "choice"},
    outputs={"energy": "J", "latency": "s", "area": "m^2"}, evidence="closed form",
)  # fmt: skip
def chip(width, vdd, cell):
    leakage = np.where(cell == "sram", 3e-3, 1e-3)
    latency = 1e-3 * (1.0 + 64.0 / width) / vdd
    return {"energy": 1e-3 * vdd**2 + leakage * latency, "latency": latency, "area": 1e-6 * width}


PROBLEM = dse.Problem(
    KNOBS, chip, minimize=["energy", "latency"], subject_to=["area <= 40 mm^2"]
)  # fmt: skip


def searched(out, problem=PROBLEM, budget=60, **asked):
    return dse.minimize(problem, **{"budget": budget, "batch": 20, "out": out} | asked)


def same(one, other):
    equal = np.array_equal(one.codes, other.codes)
    return equal and np.array_equal(one.losses, other.losses, equal_nan=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("face") / "run")


def test_a_search_leaves_a_run_and_the_same_call_reads_it(tmp_path):
    first = searched(tmp_path / "run")
    again = searched(tmp_path / "run")
    assert len(first.trials) == 60
    assert same(first.trials, again.trials)
    assert first.folder == tmp_path / "run"
    assert "60 trials" in repr(first)


def test_a_larger_budget_goes_on_and_a_smaller_one_is_refused(tmp_path):
    first = searched(tmp_path / "run")
    more = searched(tmp_path / "run", budget=100)
    assert len(more.trials) == 100
    assert same(first.trials, more.trials.rows(np.arange(60)))
    with pytest.raises(dse.DseError, match=r"was begun with 100; a run only grows"):
        searched(tmp_path / "run")


def test_without_a_folder_a_run_has_one_of_its_own():
    one, other = (searched(None, budget=20) for _ in range(2))
    assert one.folder != other.folder
    assert same(one.trials, other.trials)


@dse.evaluator(inputs={"width": "1"}, outputs={"speed": "Hz"}, evidence="closed form")
def speed(width):
    return 1e6 * width


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (dse.Problem(KNOBS, chip, minimize=["energy"]), "study.objectives.latency"),
        (
            dse.Problem(KNOBS, chip, minimize=["energy", "latency"], subject_to=["area <= 1 m^2"]),
            "study.constraints.area",
        ),
        (dse.Problem(KNOBS, [chip, speed], minimize=["energy", "latency"]), "evaluator speed"),
        (
            dse.Problem(
                (dse.Integer("width", 1, 32, "1"), *KNOBS[1:]), chip,
                minimize=["energy", "latency"], subject_to=["area <= 40 mm^2"],
            ),
            "study.knobs.width",
        ),
    ],
    ids=["objective", "limit", "evaluator", "knob"],
)  # fmt: skip
def test_a_folder_of_another_problem_is_refused_and_the_difference_named(problem, said, run):
    with pytest.raises(RunDiffers, match=said):
        searched(run.folder, problem)


def test_another_seed_or_searcher_is_another_run(run):
    with pytest.raises(RunDiffers, match="seed"):
        searched(run.folder, seed=2)
    with pytest.raises(RunDiffers, match="searcher"):
        searched(run.folder, searcher="random")


def test_nothing_can_be_accepted_of_a_run_that_is_not_there(tmp_path):
    with pytest.raises(dse.DseError, match="holds no run that could differ"):
        searched(tmp_path / "run", accept=["code.models"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"searcher": "best"}, "searcher"),
        ({"budget": 0}, "budget = 0"),
        ({"batch": 0}, "batch"),
        ({"name": "My Problem"}, "name = "),
        ({"options": {"plateux": 1}}, "plateux"),
        ({"executor": "cluster"}, "executor"),
        ({"corners": {"low": {"width": 1}}}, "the corner 'low' has no vdd, cell; it wants"),
        (
            {"corners": {"low": {"width": 1, "vdd": 0.5, "cell": "sram", "bits": 4}}},
            "the corner 'low' has no knob bits",
        ),
    ],
)
def test_arguments_that_do_not_exist_are_refused(asked, said, tmp_path):
    with pytest.raises(dse.DseError, match=said):
        searched(tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


CALLS: list[int] = []
STOP_AT = 10**9


def counted(width, vdd, cell):
    CALLS.append(int(width[0]))
    if len(CALLS) == STOP_AT:
        raise KeyboardInterrupt
    return chip.function(width, vdd, cell)


COUNTED = dse.Problem(
    KNOBS,
    dse.evaluator(
        inputs={"width": "1", "vdd": "V", "cell": "choice"},
        outputs=chip.signature.outputs, evidence="measured", cost="measured",
    )(counted),
    minimize=["energy", "latency"],
)  # fmt: skip


def test_an_interrupted_search_goes_on_to_the_same_trials(tmp_path, monkeypatch):
    whole = searched(tmp_path / "whole", COUNTED)
    CALLS.clear()
    monkeypatch.setattr(sys.modules[__name__], "STOP_AT", 30)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "run", COUNTED)
    assert dse.load(tmp_path / "run").state == "interrupted"
    assert len(dse.load(tmp_path / "run").trials) < 60
    monkeypatch.setattr(sys.modules[__name__], "STOP_AT", 10**9)
    assert same(searched(tmp_path / "run", COUNTED).trials, whole.trials)


def test_the_command_resumes_no_run_of_python(run):
    command = [sys.executable, "-m", "studies.command", "resume", str(run.folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "call dse.minimize again with the same problem" in " ".join(ran.stderr.split())


# -- run_study ------------------------------------------------------------------------------------

STUDY = ROOT / "studies/dynasplit/encoder.yaml"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return dse.run_study(STUDY, out=tmp_path_factory.mktemp("face") / "encoder")


def test_a_study_is_run_with_overrides(tmp_path):
    asked = {"search.trials": 30, "knobs.cloud_gpu.values": ["on"], "study": "half"}
    run = dse.run_study(str(STUDY), asked, out=str(tmp_path / "run"))
    assert len(run.trials) == 30
    assert set(run.trials.designs["cloud_gpu"].tolist()) == {"on"}
    assert run.question.study == "half"
    assert len(dse.run_study(STUDY, asked, out=tmp_path / "run").trials) == 30
    with pytest.raises(dse.DseError, match=r"search\.trails"):
        dse.run_study(STUDY, {"search.trails": 3})


def test_a_study_is_run_with_a_system_at_hand(tmp_path):
    from studies.dynasplit.system import SYSTEM

    mine = replace(SYSTEM, name="mine")
    run = dse.run_study(
        STUDY, {"system": "mine", "search.trials": 20}, system=mine, out=tmp_path / "run"
    )
    assert len(run.trials) == 20
    with pytest.raises(dse.DseError, match="mine"):
        dse.run_study(STUDY, {"system": "mine"}, out=tmp_path / "other")
    parts = run.breakdown(run.front.numbers[:2].tolist(), system=mine)
    assert set(parts) >= {"energy", "latency"}


# -- a run ----------------------------------------------------------------------------------------


def test_a_run_is_loaded_from_a_path_or_its_text(run, tmp_path):
    one, other = dse.load(run.folder), dse.load(str(run.folder))
    assert same(one.trials, other.trials)
    assert isinstance(one, dse.Run)
    with pytest.raises(RunError):
        dse.load(tmp_path)


def test_trials_are_a_data_frame(run):
    frame = run.to_pandas()
    assert len(frame) == 60
    assert frame.index.name == "trial"
    assert frame.attrs["units"]["area"] == "m^2"
    assert frame["feasible"].tolist() == (frame["area"] <= 40e-6).tolist()
    assert set(frame["failure"]) == {""}
    assert frame["energy"].tolist() == run.trials.metrics["energy"].tolist()


def test_failed_trials_have_no_metrics_in_a_data_frame(tmp_path):
    def brittle(width, vdd, cell):
        if (width > 50).any():
            raise ValueError("too wide")
        return chip.function(width, vdd, cell)

    made = dse.evaluator(
        inputs=chip.signature.inputs, outputs=chip.signature.outputs, evidence="closed form"
    )(brittle)
    problem = dse.Problem(KNOBS, made, minimize=["energy"])
    run = searched(tmp_path / "run", problem, options={"max_failed_share": 1.0})
    frame = run.to_pandas()
    failed = frame["width"] > 50
    assert failed.any()
    assert frame.loc[failed, "energy"].isna().all()
    assert frame.loc[failed, "failure"].str.contains("too wide").all()
    assert frame.loc[~failed, ["energy", "latency"]].notna().all(axis=None)


def test_a_run_says_how_it_is_and_what_is_wrong(run):
    assert run.state == "budget"
    assert run.status().trials == 60
    assert [finding for finding in run.check() if finding.wrong] == []


def test_a_run_is_drawn(run, tmp_path):
    assert [path.name for path in run.plot(tmp_path)] == ["front.html", "front.png", "points.csv"]
    figure = run.importance(tmp_path / "importance.png")
    assert isinstance(figure, Figure)
    assert (tmp_path / "importance.png").stat().st_size > 1000


def test_a_run_is_simulated(encoder):
    lines = encoder.simulate(["cloud", "dynasplit"], dse.online.SimulationConfig(requests=200))
    assert lines.index.tolist() == ["cloud", "dynasplit"]
    assert lines.loc["dynasplit", "energy"] <= lines.loc["cloud", "energy"]
    assert "edge" in encoder.simulate(config=dse.online.SimulationConfig(requests=50)).index


def test_a_run_without_a_latency_is_not_simulated(tmp_path):
    run = searched(tmp_path / "run", dse.Problem(KNOBS[:1], speed, maximize=["speed"]), budget=20)
    with pytest.raises(dse.DseError, match="no metric"):
        run.simulate()


def test_the_parts_of_an_energy_are_the_energy(encoder):
    front = encoder.front
    parts = encoder.breakdown()
    for metric in ("energy", "latency"):
        whole = sum(part.sum(axis=0) for part in parts[metric].values())
        assert np.allclose(whole, front.trials.metrics[metric], rtol=1e-12)
    some = encoder.breakdown([int(front.numbers[1])])["energy"]
    assert {part.shape[1] for part in some.values()} == {1}


def test_what_a_system_lacks_is_named(run):
    for ask in (run.breakdown, run.survive):
        with pytest.raises(dse.DseError, match=r"begun by dse.minimize and has no system"):
            ask()


def test_designs_survive_draws_of_constants(encoder):
    from studies.dynasplit.system import SYSTEM

    def draws(settings, count, _rng):
        model = SYSTEM.compose(
            settings, lambda evaluator, _needs=None: evaluator, lambda *_: None
        ).evaluator
        return dse.Draws(model, [model] * count, ("none",))

    found = encoder.survive(draws=3, system=replace(SYSTEM, draws=draws))
    assert found.share.tolist() == [1.0] * len(encoder.front)
    with pytest.raises(dse.DseError, match="does not say which of its constants are uncertain"):
        encoder.survive(draws=3)


# -- a front --------------------------------------------------------------------------------------


def test_a_front_is_a_data_frame_best_in_the_first_objective_first(run):
    frame = run.front.to_pandas()
    assert frame["energy"].is_monotonic_increasing
    assert frame.index.tolist() == run.front.numbers.tolist()
    assert frame.attrs["units"]["vdd"] == "V"
    assert isinstance(frame, pd.DataFrame)
    assert "energy min, latency min" in repr(run.front)


def test_the_knee_is_a_design_with_its_trial(run):
    front, knee = run.front, run.front.knee()
    assert knee == front.design(front.knee_row())
    assert set(knee) == {"trial", "width", "vdd", "cell", "energy", "latency", "area"}
    assert run.trials.metrics["energy"][knee["trial"]] == knee["energy"]


def test_designs_are_selected_by_texts_as_by_ranges(run):
    front = run.front
    energy = float(np.median(front.trials.metrics["energy"]))
    text = front.select(f"energy <= {energy * 1e6!r} uJ", "width >= 8")
    ranges = front.select({"energy": (-np.inf, energy), "width": (8, np.inf)})
    assert text.numbers.tolist() == ranges.numbers.tolist()
    assert 0 < len(text) < len(front)
    both = front.select("width >= 8", {"cell": ["rram"]})
    assert set(both.trials.designs["cell"].tolist()) <= {"rram"}
    assert front.select().numbers.tolist() == front.numbers.tolist()
    assert isinstance(text, dse.Front)
    assert text.run is front.run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("energy < 1 J", "is no limit"),
        ("energy <= 1 V", "unit 'V' does not measure this"),
        ("power <= 1 W", "unknown column 'power'"),
        ("cell <= 1", "cell has names and no numbers"),
    ],
)
def test_other_limits_are_refused(text, said, run):
    with pytest.raises(dse.DseError, match=said):
        run.front.select(text)


@pytest.mark.parametrize("form", ["json", "binary", "c", "cbor"])
def test_a_front_becomes_a_table(form, run, tmp_path):
    own = run.front.export(form)
    named = run.front.export(form, tmp_path / "table.out", device="board")
    assert own.parent == run.folder / "tables"
    assert named == tmp_path / "table.out"
    if form in ("json", "binary"):
        table = dse.lut.read_table(named)[0]
        assert table == run.front.table(device="board")
        assert table.valid_for.device == "board"


def test_a_form_of_table_that_does_not_exist_is_refused(run):
    with pytest.raises(dse.DseError, match="format 'jsn' of a table: there are json, binary"):
        run.export("jsn")


def test_a_front_of_no_run_is_not_exported(run):
    alone = replace(run.front, run=None)
    with pytest.raises(dse.DseError, match="belongs to no run"):
        alone.export()


def test_fronts_are_compared_by_run_front_and_folder(run, tmp_path):
    other = searched(tmp_path / "other", seed=2)
    for given in (other, other.front, other.folder, str(other.folder)):
        mine, theirs = run.compare(given)
        assert 0 < mine.hypervolume <= 1
        assert theirs.hypervolume == other.front.compare(run)[0].hypervolume
    different = searched(tmp_path / "different", dse.Problem(KNOBS, chip, minimize=["energy"]))
    with pytest.raises(dse.DseError):
        run.compare(different)


def test_a_front_is_drawn_in_three_ways(run, encoder, tmp_path):
    page = tmp_path / "front.html"
    assert isinstance(run.front.plot(out=page), go.Figure)
    assert page.stat().st_size > 1000
    assert isinstance(run.front.plot("parallel"), go.Figure)
    with pytest.raises(dse.DseError):
        run.front.plot("3d")
    with pytest.raises(dse.DseError, match="front, 3d and parallel are drawn"):
        encoder.front.plot("pie")


def test_what_was_accepted_stays_with_the_front(tmp_path):
    made: dict = {"__name__": "made_of_text"}
    exec("def speed(width):\n    return 1e6 * width\n", made)
    nameless = dse.evaluator(
        inputs={"width": "1"}, outputs={"speed": "Hz"}, evidence="closed form"
    )(made["speed"])
    problem = dse.Problem(KNOBS[:1], nameless, maximize=["speed"])
    searched(tmp_path / "run", problem, 20)
    again = searched(tmp_path / "run", problem, 20, accept=["facts"])
    assert len(again.front.accepted) == 1
    assert "accepted by the user from trial 20 on" in again.front.plot().to_json()


# -- what first users met ---------------------------------------------------------------------


def _problem(*evaluators, **wanted):
    knobs = [dse.Ordinal("x", tuple(k / 10 for k in range(10)), "V")]
    return dse.Problem(knobs, list(evaluators), minimize=["y"], **wanted)


def _doubled():
    @dse.evaluator(inputs={"x": "V"}, outputs={"y": "J"}, evidence="closed form")
    def doubled(x):
        return 2 * x

    return doubled


@pytest.mark.parametrize(("unit", "base"), [("mm^2", "m^2"), ("mJ", "J"), ("ms", "s"), ("%", "1")])
def test_a_column_in_a_prefixed_unit_is_refused(unit, base):
    @dse.evaluator(inputs={"x": "V"}, outputs={"y": unit}, evidence="closed form")
    def wide(x):
        return x

    with pytest.raises(
        dse.DseError, match=f"y is declared in {re.escape(unit)}.*{re.escape(base)}"
    ):
        _problem(wide)


def test_a_plain_function_is_told_how_to_become_an_evaluator():
    with pytest.raises(dse.DseError, match=r"plain is no evaluator.*@dse\.evaluator"):
        _problem(plain)


def plain(x):
    return x


def test_a_cost_that_does_not_exist_is_refused():
    cheap: Any = "cheap"
    with pytest.raises(dse.DseError, match="cost 'cheap' is not one of closed form, measured"):
        dse.evaluator(inputs={"x": "V"}, outputs={"y": "J"}, evidence="measured", cost=cheap)


def test_what_an_argument_says_is_refused_among_the_options(tmp_path):
    with pytest.raises(dse.DseError, match="'trials' is the argument 'budget'"):
        dse.minimize(_problem(_doubled()), budget=5, out=tmp_path / "a", options={"trials": 3})
    with pytest.raises(dse.DseError, match="write a list"):
        dse.minimize(_problem(_doubled()), budget=5, out=tmp_path / "a", accept="code")
    with pytest.raises(dse.DseError, match="budget = 0"):
        dse.minimize(_problem(_doubled()), budget=0, out=tmp_path / "a")
    corners: dict[str, dict[str, float | str]] = {"odd": {"x": 0.55}}
    with pytest.raises(dse.DseError, match="corner 'odd'"):
        dse.minimize(_problem(_doubled()), budget=5, out=tmp_path / "a", corners=corners)
    assert not (tmp_path / "a").exists()


def test_a_run_of_which_most_trials_fail_says_so(tmp_path):
    @dse.evaluator(inputs={"x": "V"}, outputs={"y": "J"}, evidence="closed form")
    def broken(x):
        if (x > 0.3).any():
            raise ValueError("out of range")
        return x

    with pytest.warns(RuntimeWarning, match=r"6 of 10 trials.*ValueError: out of range"):
        run = dse.minimize(_problem(broken), budget=10, out=tmp_path / "run")
    assert run.state == "exhausted"


def test_a_measured_evaluator_of_a_system_runs_once_for_equal_inputs(tmp_path):
    calls = tmp_path / "calls"

    @dse.evaluator(inputs={"x": "V"}, outputs={"y": "J"}, evidence="measured", cost="measured")
    def seen(x):
        with calls.open("a") as file:
            file.write("x" * len(x))
        return x

    @dse.evaluator(inputs={"y": "J", "n": "1"}, outputs={"z": "J"}, evidence="closed form")
    def scaled(y, n):
        return y * n

    system = dse.System(
        name="own",
        knobs=(dse.Ordinal("x", (0.1, 0.2), "V"), dse.Integer("n", 1, 9, "1")),
        metrics={"y": "J", "z": "J"},
        compose=lambda _settings, spread, _watch: dse.Composed(dse.Chain((spread(seen), scaled))),
        settings=dse.Section,
    )
    study = tmp_path / "own.yaml"
    study.write_text(
        "study: own\nquestion: What?\nsystem: own\nknobs:\n"
        "  x: {values: [0.1, 0.2], unit: V}\n  n: {start: 1, stop: 9, unit: 1}\n"
        "objectives: {z: min}\nsearch: {trials: 18}\nexecution: {executor: serial}\n"
    )
    run = dse.run_study(study, out=tmp_path / "run", system=system)
    assert len(run.trials) == 18
    assert calls.read_text() == "xx"
    assert run.manifest["real_runs_made"] == 2


@pytest.mark.parametrize(
    "limit", [{"kind": []}, {"kind": "z"}, {"kind": ["a", "z"]}, {"y": 3}, {"y": (3, 1)},
              {"y": (0, float("nan"))}, {"y": (1,)}, {"y": "big"}],
)  # fmt: skip
def test_a_selection_of_what_is_not_there_is_refused(limit, tmp_path):
    @dse.evaluator(inputs={"kind": "choice"}, outputs={"y": "J"}, evidence="closed form")
    def of_kind(kind):
        return np.where(kind == "a", 1.0, 2.0)

    problem = dse.Problem([dse.Categorical("kind", ("a", "b"))], of_kind, maximize=["y"])
    run = dse.minimize(problem, budget=2, out=tmp_path / "run")
    assert len(run.front.select({"kind": "b"})) == 1
    with pytest.raises(dse.DseError):
        run.front.select(limit)


def test_a_module_that_was_edited_after_its_import_is_refused_until_it_is_loaded_again(tmp_path):
    (tmp_path / "carbon.py").write_text("def price(x):\n    return 9 * x\n", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        """
import importlib, os, time
import dse, carbon

@dse.evaluator(inputs={"x": "V"}, outputs={"y": "J"}, evidence="closed form")
def price(x):
    return carbon.price(x)

problem = dse.Problem([dse.Ordinal("x", (0.1, 0.2, 0.3), "V")], price, minimize=["y"])
open("carbon.py", "w").write("def price(x):\\n    return 52 * x\\n")
os.utime("carbon.py", (time.time() + 5, time.time() + 5))
try:
    dse.minimize(problem, budget=3, out="run")
except dse.DseError as error:
    print("edited after carbon was imported" in str(error))
importlib.reload(carbon)
print(dse.minimize(problem, budget=3, out="run").front.knee()["y"])
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    assert done.stdout.split() == ["True", "5.2"], done.stderr
