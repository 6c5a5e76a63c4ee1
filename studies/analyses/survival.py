"""`dse survive`: which designs of a run's front outlive the doubt about the models' constants.

Every shipped constant with a low and a high end is drawn from its interval (`uncertainty`)
and the front is priced again; what real runs gave (accuracy, depths, shares of sentences) stays.
A design survives a draw if it keeps the limits of the study and no other design of the front that
keeps them dominates it. Designs off the front are not asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dse.cli.terminal import print_data, table_console
from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.parameters import Column, FloatArray
from dse.core.space import Columns
from dse.core.units import notations, pretty, readable
from dse.pareto.dominance import non_dominated
from dse.results.front import Front
from dse.results.text_table import TextTable
from dse.runs.manifest import RESOLVED
from dse.runs.store import read_run
from dse.study.loader import load_study
from dse.study.schema import System
from hw_models import Interval, sample_models
from hw_models.uncertainty import tables_in
from search_spaces import edgebert as edgebert_space
from search_spaces import joint as joint_space
from studies.edgebert import system as edgebert
from studies.joint import system as joint

SAME = 1e-9
"""Relative difference up to which a front's own figures count as priced anew alike [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """What the draws say about a front.

    Attributes:
        front: The designs.
        tables: Tables that were drawn, by name.
        share: Of the draws that a design survives [1], shape (n,).
        allowed: Of the draws in which it keeps the study's limits [1], shape (n,).
        drawn: Objective or limited metric that the constants move -> its values, (draws, n).
    """

    front: Front
    tables: tuple[str, ...]
    share: FloatArray
    allowed: FloatArray
    drawn: Mapping[str, FloatArray]

    def spread(self, name: str) -> tuple[FloatArray, FloatArray]:
        """The 5th and the 95th percentile of a metric over the draws, shape (n,) each."""
        low, high = np.quantile(self.drawn[name], (0.05, 0.95), axis=0)
        return low, high


def survival_of(
    front: Front, model: Evaluator, columns: Columns, draws: int, seed: int
) -> Survival:
    """Price a front under constants drawn from their intervals.

    Args:
        front: Of a run; must hold a design.
        model: Prices the designs, at its nominal constants.
        columns: What it reads, shape (n,) each.
        draws: How many, at least 1.
        seed: Of the draws; the same one gives the same answer.

    Raises:
        DseError: If the front is empty or the model no longer gives the run's own figures.
        ValueError: If nothing inside the model can be drawn.
    """
    if not len(front):
        raise DseError("the front is empty: no trial is feasible")
    _require_same(front, model(columns))
    asked = front.question
    wanted = {o.name for o in asked.objectives} | {c.name for c in asked.constraints}
    models = sample_models(model, draws, np.random.default_rng(seed))
    priced = [each(columns) for each in models]
    drawn = {name: np.stack([p[name] for p in priced]) for name in priced[0] if name in wanted}
    shape = (draws, len(front))
    values = {
        name: drawn.get(name, np.broadcast_to(front.trials.metrics[name], shape)) for name in wanted
    }
    losses = np.stack([o.sign * values[o.name] for o in asked.objectives], axis=2)
    allowed = np.ones(shape, dtype=np.bool_)
    for limit in asked.constraints:
        allowed &= limit.violation(values[limit.name]) <= 0
    kept = np.zeros(len(front))
    for draw, mask in zip(losses, allowed, strict=True):
        rows = np.flatnonzero(mask)
        kept[rows[non_dominated(draw[rows])]] += 1
    moved = {t.name for t in tables_in(model) if Interval.shipped(t.name).open}
    return Survival(front, tuple(sorted(moved)), kept / draws, allowed.mean(axis=0), drawn)


def _require_same(front: Front, found: Mapping[str, Column]) -> None:
    """Refuses a run that was made with other constants, formulas or networks than those of now."""
    recorded = front.trials.metrics
    for name in found.keys() & recorded.keys():
        was, now = recorded[name], found[name]
        other = np.flatnonzero(~np.isclose(now, was, rtol=SAME, atol=0.0))
        if len(other):
            row = int(other[0])
            raise DseError(
                f"trial {front.numbers[row]} has {name} = {was[row]:.9g}, today's models give "
                f"{now[row]:.9g}: the run was made with other constants or formulas. Search again "
                "with --warm-start RUN"
            )


def priced_of(folder: Path, front: Front) -> tuple[Evaluator, Columns]:
    """The pricing model of a run's study, and what it reads for the front's designs.

    Raises:
        DseError: If the run is of another system, or does not hold a column.
    """
    systems: Mapping[str, System] = {"edgebert": edgebert.Edgebert(), "joint": joint.Joint()}
    settings = load_study(folder / RESOLVED, systems).settings
    if isinstance(settings, edgebert.Settings):
        model: Evaluator = edgebert.priced(settings)
        defaults = edgebert_space.DEFAULTS
    else:
        assert isinstance(settings, joint.Settings)  # of the two systems
        model, defaults = joint.priced_packaged(settings), joint_space.DEFAULTS
    known = {**front.trials.designs, **front.trials.metrics}
    columns = {}
    for name in model.signature.inputs:
        if name not in known and name not in defaults:
            raise DseError(f"{folder} holds no column {name}; runs of today do")
        columns[name] = known[name] if name in known else np.full(len(front), defaults[name])
    return model, columns


def show_survival(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder of an edgebert or a joint study.")
    ],
    draws: Annotated[int, typer.Option(min=1, help="Sets of constants.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Most rows of a table, the surest first.")] = 25,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print; JSON has all rows.")
    ] = "table",
) -> None:
    """Ask which designs of a front survive if the constants of the models are drawn anew."""
    front = Front.of_run(read_run(run))
    model, columns = priced_of(run, front)
    try:
        found = survival_of(front, model, columns, draws, seed)
    except ValueError as error:
        raise DseError(f"{run}: {error}") from error
    if format_ == "json":
        print_data(json.dumps(_as_json(found, draws, seed), indent=1) + "\n")
        return
    table_console(160).print(_table(found, draws, seed, rows))


def _as_json(found: Survival, draws: int, seed: int) -> dict[str, object]:
    recorded = found.front.trials.metrics
    spreads = {name: found.spread(name) for name in found.drawn}
    lines = [
        {
            "trial": int(number),
            "survives": float(found.share[i]),
            "within_limits": float(found.allowed[i]),
            "metrics": {
                name: {
                    "nominal": float(recorded[name][i]),
                    "p5": float(low[i]),
                    "p95": float(high[i]),
                }
                for name, (low, high) in spreads.items()
            },
        }
        for i, number in enumerate(found.front.numbers)
    ]
    return {"draws": draws, "seed": seed, "tables": list(found.tables), "rows": lines}


def _table(found: Survival, draws: int, seed: int, most: int) -> TextTable:
    """Surest designs first; behind each figure its 5th and 95th percentile over the draws."""
    front, order = found.front, np.argsort(-found.share, kind="stable")[:most]
    shown = f", the {most} surest" if most < len(front) else ""
    view = TextTable(title=f"{front.question.study}: {len(front)} designs on the front{shown}")
    view.add_column("trial", justify="right")
    view.add_column("survives\n%", justify="right")
    if (found.allowed < 1).any():
        view.add_column("in limits\n%", justify="right")
    cells: list[list[str]] = []
    names = [o.name for o in front.question.objectives]
    for name in [*names, *(n for n in found.drawn if n not in names)]:
        unit = front.question[name].unit
        values, notation = readable(front.trials.metrics[name].astype(np.float64), unit)
        head = name.replace("_", " ") + (f"\n[{pretty(notation)}]" if pretty(notation) else "")
        view.add_column(head, justify="right")
        texts = [f"{value:.4g}" for value in values]
        if name in found.drawn:
            low, high = (_in(ends, notation, unit) for ends in found.spread(name))
            ends = zip(texts, low, high, strict=True)
            texts = [f"{text} ({a:.3g} to {b:.3g})" for text, a, b in ends]
        cells.append(texts)
    for i in order:
        shares = [f"{100 * found.share[i]:.1f}"]
        if (found.allowed < 1).any():
            shares.append(f"{100 * found.allowed[i]:.1f}")
        view.add_row(str(front.numbers[i]), *shares, *(texts[i] for texts in cells))
    view.add_caption(
        f"{draws} draws, seed {seed}; in brackets the 5th and 95th percentile. Drawn: "
        + ", ".join(found.tables)
    )
    return view


def _in(values: FloatArray, notation: str, unit: str) -> FloatArray:
    """Values in another notation of their SI unit, for showing only."""
    return np.asarray(values / 10.0 ** notations(unit).get(notation, 0), dtype=np.float64)
