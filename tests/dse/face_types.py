"""Uses of `import dse` that mypy has to understand; nothing runs it."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import dse


@dse.evaluator(inputs={"vdd": "V"}, outputs={"energy": "J"}, evidence="closed form")
def energy(vdd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy of an operation [J]."""
    return vdd**2


def search() -> dse.Front:
    """A search from end to end, with what each step gives."""
    knobs = (dse.Ordinal("vdd", (0.5, 0.6), "V"), dse.Categorical("cell", ("a", "b")))
    problem = dse.Problem(knobs, [energy], minimize=["energy"], subject_to=["energy <= 1 J"])
    run = dse.minimize(problem, budget=2)
    assert_type(run, dse.Run)
    assert_type(dse.load(run.folder), dse.Run)
    assert_type(run.front, dse.Front)
    assert_type(run.front.select("energy <= 1 J", {"cell": ["a"]}), dse.Front)
    setup = dse.online.SimulationSetup.of(run, dse.online.SimulationConfig())
    assert_type(setup, dse.online.SimulationSetup)
    assert_type(dse.lut.read_table(run.export())[0], dse.lut.LookupTable)
    assert_type(dse.plots.FrontView.of(run.question, run.trials, accepted=()), dse.plots.FrontView)
    return run.front
