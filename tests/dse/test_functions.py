"""Functions as evaluators: what they may be, and how a run knows them again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

import dse
from dse.core.errors import CompositionError, EvaluationError, RunDiffers

KNOBS = (dse.Integer("width", 1, 64, "1"), dse.Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V"))


# -- the decorator --------------------------------------------------------------------------------


def test_a_function_is_an_evaluator_of_its_columns():
    @dse.evaluator(inputs={"width": "1", "vdd": "V"}, outputs={"energy": "J"}, evidence="published")
    def energy(width, vdd):
        return width * vdd**2

    found = energy({"width": np.array([2, 4]), "vdd": np.array([1.0, 0.5]), "other": np.zeros(2)})
    assert found["energy"].tolist() == [2.0, 1.0]
    assert energy.signature.evidence == {"energy": "published"}


def test_several_outputs_have_an_evidence_each():
    @dse.evaluator(
        inputs={"vdd": "V"}, outputs={"energy": "J", "delay": "s"},
        evidence={"energy": "measured", "delay": "unverified"},
    )  # fmt: skip
    def both(vdd):
        return {"energy": vdd**2, "delay": 1 / vdd}

    assert both.signature.evidence == {"energy": "measured", "delay": "unverified"}
    assert set(both({"vdd": np.array([0.5])})) == {"energy", "delay"}


def takes_vdd(vdd):
    return vdd


def takes_all(*columns):
    return columns[0]


@pytest.mark.parametrize(
    ("function", "inputs", "said"),
    [
        (takes_vdd, {"voltage": "V"}, "takes_vdd takes the parameters vdd; its inputs are voltage"),
        (takes_vdd, {"vdd": "V", "area": "m^2"}, "its inputs are vdd, area"),
        (takes_vdd, {}, "takes the parameters vdd"),
        (takes_all, {"columns": "V"}, "give each input a parameter of its name"),
    ],
)
def test_parameters_that_are_not_the_inputs_are_refused(function, inputs, said):
    with pytest.raises(CompositionError, match=said.replace("^", r"\^")):
        dse.evaluator(inputs=inputs, outputs={"energy": "J"}, evidence="measured")(function)


def test_a_parameter_with_a_default_need_not_be_an_input():
    def scaled(vdd, factor=2.0):
        return factor * vdd

    made = dse.evaluator(inputs={"vdd": "V"}, outputs={"energy": "J"}, evidence="measured")(scaled)
    assert made({"vdd": np.array([0.5])})["energy"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("outputs", "evidence", "said"),
    [
        ({"energy": "J"}, "guessed", "evidence 'guessed' of energy is not one of measured"),
        ({"energy": "J", "delay": "s"}, {"energy": "measured"}, "evidence None of delay"),
        ({}, "measured", "at least one output"),
    ],
)
def test_evidence_and_outputs_are_checked(outputs, evidence, said):
    with pytest.raises(CompositionError, match=said):
        dse.evaluator(inputs={"vdd": "V"}, outputs=outputs, evidence=evidence)


def test_an_array_for_several_outputs_says_what_is_wanted():
    @dse.evaluator(
        inputs={"vdd": "V"}, outputs={"energy": "J", "delay": "s"}, evidence="closed form"
    )
    def both(vdd):
        return vdd

    with pytest.raises(EvaluationError, match="both gave a ndarray; its outputs are energy, delay"):
        both({"vdd": np.array([0.5])})


# -- the problem ----------------------------------------------------------------------------------


@dse.evaluator(
    inputs={"width": "1", "vdd": "V"}, outputs={"energy": "J", "area": "m^2"},
    evidence="closed form",
)  # fmt: skip
def chip(width, vdd):
    return {"energy": 1e-3 * width * vdd**2, "area": 1e-6 * width}


def test_limits_as_texts_are_constraints_in_si_units():
    problem = dse.Problem(
        KNOBS, chip, minimize=["energy"], subject_to=["area <= 5 mm^2", "energy >= 2 mJ"]
    )
    assert problem.constraints == (
        dse.Constraint("area", "m^2", 5e-6),
        dse.Constraint("energy", "J", 2e-3, "min"),
    )
    assert dse.Problem(KNOBS, chip, maximize=["area"]).objectives == (
        dse.Objective("area", "m^2", "max"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("area < 5 mm^2", "is no limit: write NAME <= NUMBER UNIT"),
        ("area <= small", "is no limit"),
        ("area", "is no limit"),
        ("5 mm^2 >= area", "is no limit"),
        ("area <= 5 mJ", "unit 'mJ' does not measure this; allowed: um\\^2, mm\\^2, m\\^2"),
        ("area <= 5", "unit '1' does not measure this"),
        ("power <= 5 W", "no evaluator gives power; there are energy, area"),
    ],
)
def test_other_texts_are_refused(text, said):
    with pytest.raises(CompositionError, match=said):
        dse.Problem(KNOBS, chip, minimize=["energy"], subject_to=[text])


@pytest.mark.parametrize("argument", ["minimize", "maximize", "subject_to"])
def test_a_text_in_place_of_a_list_is_refused(argument):
    wanted: dict[str, Any] = {"minimize": ["energy"], argument: "energy <= 1 J"}
    with pytest.raises(CompositionError, match=rf"{argument} = .*: write a list"):
        dse.Problem(KNOBS, chip, **wanted)


# -- what a run knows a function by ---------------------------------------------------------------

SCRIPT = """
import sys
import dse

FACTOR = {factor}

@dse.evaluator(inputs={{"width": "1", "vdd": "V"}}, outputs={{"energy": "J"}},
               evidence="measured", cost="measured")
def energy(width, vdd):
    {words}
    return FACTOR * {formula}

@dse.evaluator(inputs={{"width": "1"}}, outputs={{"speed": "Hz"}}, evidence="closed form")
def speed(width):
    return 1e6 * width

problem = dse.Problem(
    [dse.Integer("width", 1, 64, "1"), dse.Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V")],
    [energy, speed], minimize=["energy"], maximize=["speed"],
)
try:
    run = dse.minimize(problem, budget=40, batch=10, workers={workers}, out="run")
except dse.DseError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
print(len(run.trials), float(run.trials.metrics["energy"].sum()))
"""


def script(folder, *, factor=2.0, formula="width * vdd**2", words='"""Energy."""', workers=1):
    """A script of a user without a guard, run: its output, and what it was refused with."""
    path = folder / "mine.py"
    path.write_text(SCRIPT.format(factor=factor, formula=formula, words=words, workers=workers))
    return subprocess.run(
        [sys.executable, path.name], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_function_of_a_script_runs_on_workers_and_is_known_again(tmp_path):
    first = script(tmp_path, workers=2)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("40 ")
    same = script(tmp_path, words='"""Other words."""  # and a comment')
    assert (same.returncode, same.stdout) == (0, first.stdout), same.stderr
    for changed in ({"factor": 3.0}, {"formula": "width * vdd**3"}):
        refused = script(tmp_path, **changed)
        assert refused.returncode == 1
        assert "RunDiffers" in refused.stderr
        assert "facts.evaluator energy" in refused.stderr
        assert "evaluator speed" not in refused.stderr


CELLS = (
    "import dse\nimport mine_rates\n"
    "@dse.evaluator(inputs={'width': '1'}, outputs={'energy': 'J'}, evidence='measured',\n"
    "               cost='measured')\n"
    "def energy(width):\n    return mine_rates.RATE * mine_rates.scaled(width)\n",
    "problem = dse.Problem([dse.Integer('width', 1, 64, '1')], energy, minimize=['energy'])\n"
    "run = dse.minimize(problem, budget=20, batch=10, workers=2, out='run')\n"
    "again = dse.minimize(problem, budget=20, batch=10, workers=2, out='run')\n"
    "f'{len(run.trials)} trials, {len(again.trials)} again'",
    "from pathlib import Path\n"
    "Path('mine_rates.py').write_text('RATE = 3.0\\ndef scaled(width):\\n    return width\\n')\n"
    "said = 'went on'\n"
    "try:\n    dse.minimize(problem, budget=20, batch=10, workers=2, out='run')\n"
    "except dse.DseError as error:\n    said = f'{type(error).__name__}: {error}'\n"
    "said",
)


@pytest.mark.ci  # a kernel talks over the loopback network
def test_a_function_of_a_notebook_runs_on_workers_and_counts_with_what_it_imports(tmp_path):
    (tmp_path / "mine_rates.py").write_text("RATE = 2.0\ndef scaled(width):\n    return width\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    command = [sys.executable, "-m", "jupyter", "execute", "mine.ipynb", "--inplace"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    *_, same, edited = nbformat.read(tmp_path / "mine.ipynb", as_version=4).cells
    assert "20 trials, 20 again" in str(same.outputs[-1].data)
    said = str(edited.outputs[-1].data)
    assert "RunDiffers" in said
    assert "code of the models changed in: mine_rates" in said


def test_a_function_without_source_is_unreadable_and_must_be_accepted(tmp_path):
    made: dict = {"__name__": "made_of_text"}
    exec("def energy(width):\n    return 2.0 * width\n", made)
    evaluator = dse.evaluator(
        inputs={"width": "1"}, outputs={"energy": "J"}, evidence="closed form"
    )(made["energy"])
    problem = dse.Problem([dse.Integer("width", 1, 64, "1")], evaluator, minimize=["energy"])
    asked = {"budget": 20, "batch": 10, "out": tmp_path / "run"}
    run = dse.minimize(problem, **asked)
    fact = run.manifest["facts"]["evaluator energy"]
    assert fact.startswith("unreadable at ")
    assert "the source of energy" in fact
    with pytest.raises(RunDiffers, match=r"facts\.evaluator energy"):
        dse.minimize(problem, **asked)
    again = dse.minimize(problem, **asked, accept=["facts.evaluator energy"])
    assert len(again.trials) == 20


def test_the_code_of_a_run_from_python_is_that_of_its_evaluators(tmp_path):
    problem = dse.Problem(KNOBS, chip, minimize=["energy"])
    run = dse.minimize(problem, budget=20, batch=10, out=tmp_path / "run")
    manifest = json.loads((Path(run.folder) / "manifest.json").read_text(encoding="utf-8"))
    models = manifest["identified_by"]["code"]["models"]
    strange = ("dse.plots", "dse.lut", "dse.online", "dse.api", "dse.cli", "dse.study")
    assert models
    assert [name for name in models if name.startswith(strange) or name == "dse"] == []
