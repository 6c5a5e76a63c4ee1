"""The table of an ablation, and the command that makes it: `dse ablate STUDY`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer

from dse.cli.terminal import table_console
from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.files import canonical_json, write_atomically
from dse.core.parameters import FloatArray
from dse.core.problem import Objective, Problem
from dse.core.space import SearchSpace, take
from dse.core.units import scale_of
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.results.text_table import TextTable
from dse.search.interrupts import Stop
from dse.study.loader import load_study
from dse.study.preflight import require_runnable
from dse.study.runner import runs_made, spread_over, workers_of
from search_spaces.joint import BOARD_KNOBS, CHIP_KNOBS, DEFAULTS, nearest
from studies.analyses.ablation import ARMS, Arm, Budget, searched
from studies.analyses.coordinate_descent import energy_of
from studies.joint.system import SYSTEM, Settings, layers_of

Rows: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]
"""Numbers of trials."""

LEVELS = ("device less 1 %", "device", "half way", "cloud less 0.5 %")
"""Accuracies at which energies are compared; see `accuracies`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One arm with one seed.

    Attributes:
        arm: Its name.
        seed: Of its search.
        runs: Distinct real accuracy runs.
        priced: Designs that these runs priced.
        front: Non-dominated feasible designs.
        hypervolume: In the frame that all arms and seeds span.
        test_hypervolume: Of the same designs with their accuracy on the test split, in the frame
            that these span; None: there is no such split, or accuracy is no objective.
        energy: Least that the study minimises of a request within the constraints [J], at each of
            `LEVELS`; None: no design reaches the accuracy.
        test_accuracy: Of these designs on the test split [1].
        steps: Accuracy [1] and energy [J] of every design than which none is more accurate and
            more frugal, most frugal first.
    """

    arm: str
    seed: int
    runs: int
    priced: int
    front: int
    hypervolume: float
    test_hypervolume: float | None
    energy: Mapping[str, float | None]
    test_accuracy: Mapping[str, float | None]
    steps: Sequence[tuple[float, float]]


def accuracies(evaluator: Evaluator, settings: Settings, space: SearchSpace) -> dict[str, float]:
    """The accuracies [1] at which energies are compared.

    Of the dense network wholly on the device, its activations as the study has them, and of the
    best cloud, to which every request goes.
    """
    foreign = BOARD_KNOBS if settings.device == "chip" else CHIP_KNOBS
    clouds = len(settings.clouds)
    activations = nearest(space["activation_bits"], DEFAULTS["activation_bits"])
    said = {**DEFAULTS, "activation_bits": activations}
    rows = {k: np.array([v] * (1 + clouds)) for k, v in said.items() if k not in foreign}
    rows |= {
        "split_layer": np.array([layers_of()] + [0] * clouds),
        "offload": np.array(["none"] + ["input"] * clouds),
        "cloud_network": np.array([settings.clouds[0], *settings.clouds]),
    }
    device, *experts = evaluator(rows)["accuracy"].tolist()
    cloud = max(experts)
    return dict(
        zip(LEVELS, (device - 0.01, device, (device + cloud) / 2, cloud - 0.005), strict=True)
    )


def lines(
    arms: Sequence[Arm],
    levels: Mapping[str, float],
    held_out: Evaluator | None,
    objectives: Sequence[Objective],
) -> list[Line]:
    """The arms beside each other.

    Args:
        arms: Of one problem.
        levels: Accuracies [1] at which energies are compared.
        held_out: From knobs to metrics on the test split.
        objectives: Of the problem.

    Raises:
        DseError: If no arm has a feasible design, or energy is no objective.
    """
    fronts, spent = [], energy_of(objectives)
    for arm in arms:
        rows = np.flatnonzero(arm.trials.feasible)
        fronts.append(rows[non_dominated(arm.trials.losses[rows])])
    every = [arm.trials.losses[rows] for arm, rows in zip(arms, fronts, strict=True)]
    if not sum(len(part) for part in every):
        raise DseError("no arm has a feasible design: there is nothing to compare")
    frame = Reference.of(np.concatenate(every))
    names = [o.name for o in objectives]
    volumes: list[float | None] = [None] * len(arms)
    if held_out is not None and "accuracy" in names:
        at, sign = names.index("accuracy"), objectives[names.index("accuracy")].sign
        tested = [losses.copy() for losses in every]
        for arm, rows, losses in zip(arms, fronts, tested, strict=True):
            losses[:, at] = sign * _tested(arm, rows, held_out)
        own = Reference.of(np.concatenate(tested))
        volumes = [hypervolume(losses, own) for losses in tested]
    return [
        _line(arm, rows, (hypervolume(losses, frame), volume), levels, held_out, spent)
        for arm, rows, losses, volume in zip(arms, fronts, every, volumes, strict=True)
    ]


def _tested(arm: Arm, rows: Rows, held_out: Evaluator) -> FloatArray:
    """Accuracy of designs on the test split [1]."""
    knobs = take({**arm.trials.metrics, **arm.trials.designs}, rows)
    known = {k: v for k, v in knobs.items() if k in held_out.signature.inputs}
    return np.asarray(held_out(known)["test_accuracy"], dtype=np.float64)


def _line(
    arm: Arm,
    front: Rows,
    volumes: tuple[float, float | None],
    levels: Mapping[str, float],
    held_out: Evaluator | None,
    spent: str,
) -> Line:
    metrics, fine = arm.trials.metrics, arm.trials.feasible
    energy: dict[str, float | None] = dict.fromkeys(levels)
    tested: dict[str, float | None] = dict.fromkeys(levels)
    for name, level in levels.items():
        # Shares of sentences are sums of floats: a level that is met exactly must count as met.
        rows = np.flatnonzero(fine & (metrics["accuracy"] >= level - 1e-9))
        if len(rows):
            best = rows[[int(metrics[spent][rows].argmin())]]
            energy[name] = float(metrics[spent][best[0]])
            if held_out is not None:
                tested[name] = float(_tested(arm, best, held_out)[0])
    return Line(
        arm.name, arm.seed, arm.runs, len(arm.trials), len(front), *volumes, energy, tested,
        steps(metrics["accuracy"][fine], metrics[spent][fine]),
    )  # fmt: skip


def steps(accuracy: FloatArray, energy: FloatArray) -> list[tuple[float, float]]:
    """Accuracy and energy of the designs that no other beats in both, most frugal first."""
    if not len(accuracy):
        return []
    order = np.lexsort([-accuracy, energy])
    better = np.maximum.accumulate(accuracy[order])
    first = np.concatenate([[True], better[1:] > better[:-1]])
    rows = order[first]
    return list(zip(accuracy[rows].tolist(), energy[rows].tolist(), strict=True))


def table(found: Sequence[Line], title: str) -> TextTable:
    """Medians over the seeds, and the range of the hypervolume."""
    view = TextTable(title=title)
    heads = ("arm", "runs", "designs priced", "hypervolume", "least .. most", "on test")
    reached = [e for line in found for e in line.energy.values() if e is not None]
    scale, unit = scale_of(reached)
    for head in (*heads, *(f"{unit} at {level}" for level in LEVELS)):
        view.add_column(head, justify="left" if head == "arm" else "right")
    for arm in dict.fromkeys(line.arm for line in found):
        own = [line for line in found if line.arm == arm]
        volumes = [line.hypervolume for line in own]
        view.add_row(
            arm,
            f"{np.median([line.runs for line in own]):.0f}",
            f"{np.median([line.priced for line in own]):,.0f}",
            f"{np.median(volumes):.4f}",
            f"{min(volumes):.4f} .. {max(volumes):.4f}",
            "-"
            if None in (tested := [line.test_hypervolume for line in own])
            else f"{np.median([v for v in tested if v is not None]):.4f}",
            *(_median_energy(own, level, scale) for level in LEVELS),
        )
    return view


def _median_energy(own: Sequence[Line], level: str, scale: float) -> str:
    reached = [e for line in own if (e := line.energy[level]) is not None]
    if not reached:
        return "not reached"
    most = "" if len(reached) == len(own) else f" ({len(reached)} of {len(own)})"
    return f"{scale * float(np.median(reached)):,.1f}{most}"


def ablate(  # noqa: PLR0913  (a flag each)
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study file of the joint system.")],
    arm: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(ARMS)}; default: all.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Real accuracy runs of each arm.")] = 16,
    trials: Annotated[int, typer.Option(min=100, help="Designs priced by each arm.")] = 8000,
    seeds: Annotated[int, typer.Option(min=1, help="Searches of each arm.")] = 3,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the study.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write every line as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy over energy as PNG.")] = None,
) -> None:
    """Search the joint space, each system's own, and one knob after another, at equal cost."""
    checked = load_study(study, {SYSTEM.name: SYSTEM}, set_ or [])
    require_runnable(checked)
    settings = checked.settings
    stop = Stop()
    with workers_of(checked.file.execution, stop.wanted) as workers:
        spread, answered = spread_over(checked, workers)
        composed = SYSTEM.compose(settings, spread, lambda *_: None)
        problem = Problem(
            checked.space, composed.evaluator, checked.objectives, checked.constraints
        )
        energy_of(problem.objectives)
        levels = accuracies(composed.evaluator, settings, checked.space)
        found: list[Arm] = []
        for name in arm or ARMS:
            for seed in range(1, seeds + 1):
                budget, wanted = Budget(runs, trials), list(levels.values())
                found.append(searched(name, problem, layers_of(), budget, seed, wanted))
                sys.stderr.write(
                    f"{name}, seed {seed}: {found[-1].runs} real runs, "
                    f"{len(found[-1].trials):,} designs\n"
                )
        held_out = SYSTEM.held_out
        tested = None if held_out is None else held_out(settings, spread, lambda *_: None)
        rows = lines(found, levels, tested, checked.objectives)
    made, reused = runs_made(composed, answered)
    asked = f"{checked.file.study}, {settings.task}, {settings.link}, {settings.deadline_ms:g} ms"
    title = f"{asked}: {made} real passes made, {reused} found"
    table_console(180).print(table(rows, title))
    if out is not None:
        content = {
            "study": checked.file.study, "task": settings.task, "set": list(set_ or []),
            "budget": asdict(Budget(runs, trials)), "seeds": seeds,
            "passes_made": made, "passes_found": reused,
            "accuracies": levels,
            "lines": [asdict(row) for row in rows],
        }  # fmt: skip
        write_atomically(out, canonical_json(content) + "\n")
    if plot is not None:
        whose = {"energy": "the device", "energy_total": "device and node"}
        _draw(plot, rows, asked, whose[energy_of(problem.objectives)])


def _draw(plot: Path, rows: Sequence[Line], title: str, whose: str) -> None:
    """Accuracy over energy, a staircase for each arm and seed."""
    from dse.plots.arms import arms_figure
    from dse.plots.static import write_png

    arms = dict.fromkeys(row.arm for row in rows)
    drawn = {name: [row.steps for row in rows if row.arm == name] for name in arms}
    write_png(arms_figure(drawn, title, whose, thick="joint"), plot)
