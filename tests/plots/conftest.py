"""A small real problem, searched and stored: five knobs of an accelerator in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dse.core.parameters import Categorical, Integer, Ordinal, Real
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import Label, Signature
from dse.core.space import Columns, SearchSpace
from dse.plots.front_view import FrontView
from dse.runs.run_schema import Question
from dse.runs.store import Run, RunWriter, read_run
from dse.search.loop import explore
from dse.searchers.random_search import RandomSearch

CELLS = ("SRAM", "SLC ReRAM", "MLC2 ReRAM", "MLC3 ReRAM")
SPACE = SearchSpace(
    (
        Real("pruning_ratio", 0.0, 0.9, "1"),
        Integer("weight_bits", 3, 8, "bit"),
        Categorical("envm_cell", CELLS),
        Ordinal("vdd", tuple(np.linspace(0.5, 0.8, 13).round(3).tolist()), "V", stage="run"),
        Real("exit_threshold", 0.0, 1.2, "nat", stage="run"),
    )
)
ACCURACY = Objective("accuracy", "1", "max")
ENERGY = Objective("energy", "J")
LATENCY = Objective("latency_p95", "s")
AREA = Objective("area", "m^2")
POWER = Objective("power", "W")
DEADLINE = Constraint("latency_p95", "s", 4e-3)

Draw = Callable[..., FrontView]


@dataclass(frozen=True, slots=True)
class Chip:
    """A made-up accelerator whose trade-offs have the shape of real ones; not a model of any."""

    lowest_vdd: float = 0.52

    @property
    def signature(self) -> Signature:
        outputs = {"accuracy": "1", "energy": "J", "latency_p95": "s", "area": "m^2", "power": "W"}
        labels: tuple[Label, ...] = (
            "measured",
            "closed form",
            "closed form",
            "unverified",
            "closed form",
        )
        return Signature(SPACE.units, outputs, dict(zip(outputs, labels, strict=True)))

    def __call__(self, columns: Columns) -> Columns:
        vdd, bits = columns["vdd"], columns["weight_bits"].astype(np.float64)
        kept = 1 - columns["pruning_ratio"]
        if (vdd < self.lowest_vdd).any():
            raise ValueError(f"vdd = {vdd.min():.3f} V is below {self.lowest_vdd} V, the <table>")
        cell = np.array([CELLS.index(name) for name in columns["envm_cell"]])
        depth = 12 - 9.5 * np.tanh(columns["exit_threshold"] / 0.4)
        lost = 0.35 * (1 - kept) ** 4 + 0.9 * 2.0**-bits + 0.22 * np.exp(-(depth - 2.5) / 2.2)
        macs = depth * 7e6 * (0.15 + 0.85 * kept)
        latency = macs / 32 / (5e8 + 1.2e9 * (vdd - 0.5)) * 1.4
        energy = macs * (2e-13 + 2e-13 * bits) * (vdd / 0.8) ** 2 + 0.02 * latency * vdd / 0.8
        energy += kept * bits * np.array([2.5e-5, 4e-6, 7e-6, 9e-6])[cell]
        return {
            "accuracy": 0.87 - lost - np.array([0.0, 0.0, 0.002, 0.012])[cell],
            "energy": energy,
            "latency_p95": latency,
            "area": (0.5 + 0.1 * bits * kept * np.array([3.0, 1.0, 0.7, 0.5])[cell]) * 1e-6,
            "power": energy / latency,
        }


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """400 random trials of three objectives, written and read back: all four classes occur."""
    problem = Problem(SPACE, Chip(), (ACCURACY, ENERGY, LATENCY), (DEADLINE,))
    question = Question.of("edge_chip", "Which chip reads a sentence in time?", problem)
    folder = tmp_path_factory.mktemp("runs") / "chip"
    with RunWriter(folder, question, study_text="", resolved="", manifest={}) as writer:
        explore(problem, RandomSearch(problem, seed=1, batch=100), budget=400, on_batch=writer.add)
        writer.finish("finished", {})
    return read_run(folder)


@pytest.fixture(scope="session")
def view(stored_run: Run) -> FrontView:
    """The stored run as it is drawn."""
    return FrontView.of(stored_run.question, stored_run.trials)


@pytest.fixture(scope="session")
def draw() -> Draw:
    """A view of `count` random designs of the chip with other objectives or limits."""

    def view_of(
        *objectives: Objective,
        limits: tuple[Constraint, ...] = (DEADLINE,),
        count: int = 200,
        chip: Chip | None = None,
        most: int = 20_000,
    ) -> FrontView:
        problem = Problem(SPACE, chip or Chip(), objectives, limits)
        trials = problem.evaluate(SPACE.sample(count, np.random.default_rng(2)))
        return FrontView.of(Question.of("chip", "", problem), trials, most=most)

    return view_of


@pytest.fixture(params=["one", "two", "three", "four", "five", "infeasible", "failed", "single"])
def any_view(request: pytest.FixtureRequest, draw: Draw) -> FrontView:
    """Each shape that a run can take."""
    unmet = (Constraint("latency_p95", "s", 1e-6),)
    three = (ACCURACY, ENERGY, LATENCY)
    cases: dict[str, Callable[[], FrontView]] = {
        "one": lambda: draw(ENERGY),
        "two": lambda: draw(ACCURACY, ENERGY),
        "three": lambda: draw(*three),
        "four": lambda: draw(*three, AREA),
        "five": lambda: draw(*three, AREA, POWER),
        "infeasible": lambda: draw(*three, limits=unmet),
        "failed": lambda: draw(*three, chip=Chip(lowest_vdd=0.9)),
        "single": lambda: draw(*three, count=1),
    }
    return cases[request.param]()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "plots"
