"""From a run to the lookup table of one device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Column, Value
from dse.core.problem import Trials
from dse.lut.error_codes import Fault, LutError
from dse.lut.fixed_point import cautious, exact
from dse.lut.row_requirements import heads, require_parts
from dse.lut.table import (
    MOST_ROWS,
    Default,
    ExitPredictor,
    FixedKnob,
    KeptLimit,
    LookupTable,
    OperatingPoint,
    Prediction,
    Row,
    Setting,
    Validity,
)
from dse.lut.thinning import thinned
from dse.pareto.hypervolume import Reference
from dse.results.front import Front
from dse.runs.run_schema import Quantity, Question
from dse.runs.store import Run


@dataclass(frozen=True, slots=True)
class Order:
    """How a table is cut from a run.

    Attributes:
        sort_by: Objective that sorts the rows, best first.
        fallback: Objective whose best row is the answer when nothing fits.
        design: Values of the knobs that are not free at run time; without them, the design whose
            own front dominates most.
        only: Values of run-time knobs; trials with others are left out.
        rows: Most rows; None keeps all.
        hysteresis: Share of each prediction's range that a better row must gain before a runtime
            leaves its row, 0 to 1.
        device: Device that the predictions hold for.
        context: Anything else that they hold for, such as a bandwidth class.
        exit_predictor: For policies that predict the exit layer.
        operating_points: For policies that set the clock per request.
    """

    sort_by: str
    fallback: str
    design: Mapping[str, Value] = field(default_factory=dict)
    only: Mapping[str, Value] = field(default_factory=dict)
    rows: int | None = None
    hysteresis: float = 0.0
    device: str = ""
    context: str = ""
    exit_predictor: ExitPredictor | None = None
    operating_points: tuple[OperatingPoint, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.hysteresis <= 1:
            raise DseError(f"hysteresis {self.hysteresis} is no share of a range: 0 to 1")


def lookup_table(run: Run, order: Order) -> LookupTable:
    """The table of one device.

    A device has one design: its silicon and its trained network are fixed, only run-time knobs are
    free. The rows are the trials of that design that are feasible and that no other trial *of that
    design* dominates.

    Args:
        run: Where the trials come from.
        order: Which design, how many rows, sorted how.

    Raises:
        DseError: If the run has no feasible trial, or none of the design asked for, or rows need
            an exit predictor or operating points that the order lacks.
        LutError: If a number does not fit an integer scale, or the table would be too large.
    """
    front, fixed = _front_of_one_design(run, order)
    losses = front.trials.losses
    if order.rows is not None:
        chosen = thinned(losses, order.rows)
        front = front.rows(chosen)
    elif len(front) > MOST_ROWS:
        said = f"{len(front)} rows; a table holds {MOST_ROWS}, ask for fewer (--rows)"
        raise LutError(Fault.LAYOUT, said)
    facts = run.manifest.get("facts", {})
    require_parts(front, run.trials, facts, order.exit_predictor, order.operating_points)
    return _table(run, front, fixed, order)


def _front_of_one_design(run: Run, order: Order) -> tuple[Front, list[Quantity]]:
    question, design = run.question, order.design
    fixed = [q for q in question.knobs if q.stage != "run"]
    free = [q.name for q in question.knobs if q.stage == "run"]
    names = [q.name for q in fixed]
    _require_known(design, names, "design")
    if not free:
        raise DseError("every knob is settled before run time: a runtime has nothing to choose")
    _require_known(order.only, free, "run-time")
    kept = _rows_of(run.trials, order.only, "settings")
    trials = run.trials.rows(kept)
    chosen = _rows_of(trials, design, "design") if design else _most_useful(question, trials, names)
    own = trials.rows(chosen)
    levels = {name: sorted(set(own.designs[name].tolist())) for name in names}
    open_ = [f"{name} ({', '.join(map(str, v[:8]))})" for name, v in levels.items() if len(v) > 1]
    if open_:
        raise DseError(f"the design is not settled: --design wants {'; '.join(open_)} as well")
    front = Front.of(question, own)
    if not len(front):
        raise DseError(f"no feasible trial has the design {dict(design)}")
    return replace(front, numbers=kept[chosen][front.numbers]), fixed


def _require_known(asked: Mapping[str, Value], names: Sequence[str], kind: str) -> None:
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise DseError(f"{unknown[0]} is no {kind} knob; there are {', '.join(names)}")


def _rows_of(trials: Trials, values: Mapping[str, Value], what: str) -> NDArray[np.intp]:
    hit = np.ones(len(trials), dtype=bool)
    for name, value in values.items():
        hit &= trials.designs[name] == value
    if values and not hit.any():
        raise DseError(f"no trial has the {what} {dict(values)}")
    return np.flatnonzero(hit)


def _most_useful(question: Question, trials: Trials, fixed: list[str]) -> NDArray[np.intp]:
    feasible = np.flatnonzero(trials.feasible)
    if not len(feasible):
        raise DseError("the run has no feasible trial")
    reference = Reference.of(trials.losses[feasible])
    groups: dict[tuple[Value, ...], list[int]] = {}
    for row in feasible:
        key = tuple(trials.designs[name][row].item() for name in fixed)
        groups.setdefault(key, []).append(int(row))
    volumes = {
        key: Front.of(question, trials.rows(np.array(rows))).hypervolume(reference)
        for key, rows in groups.items()
    }
    best = max(sorted(groups, key=repr), key=lambda key: volumes[key])
    return np.array(groups[best])


def _table(run: Run, front: Front, fixed: list[Quantity], order: Order) -> LookupTable:
    question, trials = run.question, front.trials
    for name in (order.sort_by, order.fallback):
        front.best_row(name)  # says which objectives there are if this is none
    settings, knob_steps = _settings([q for q in question.knobs if q.stage == "run"], trials)
    predictions, predicted = _predictions(question, trials, order.hysteresis)
    flips = [-1 if p.direction == "max" else 1 for p in predictions]
    first = [p.name for p in predictions].index(order.sort_by)
    worst = [p.name for p in predictions].index(order.fallback)

    def place(row: Row) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        losses = tuple(f * v for f, v in zip(flips, row.predictions, strict=True))
        return losses[first], losses, row.settings

    rows = [
        Row(s, p)
        for s, p in zip(zip(*knob_steps, strict=True), zip(*predicted, strict=True), strict=True)
    ]
    rows.sort(key=place)
    fallback = min(range(len(rows)), key=lambda i: flips[worst] * rows[i].predictions[worst])
    facts = {str(k): str(v) for k, v in run.manifest.get("facts", {}).items()}
    archives = _archives(question, trials)
    # A design that trains its own networks is named by the archive of their answers.
    network = facts.pop("network_sha256", "") or next(iter(archives.values()), "")
    return LookupTable(
        study=question.study,
        run_identity=run.identity,
        valid_for=Validity(order.device, network, facts.pop("task", ""), order.context),
        depends_on={**facts, **archives, **heads(front, run.identity)},
        design=tuple(_fixed(q, trials.designs[q.name]) for q in fixed),
        settings=settings,
        predictions=predictions,
        kept_limits=_kept(question),
        sorted_by=order.sort_by,
        default=Default(fallback, order.fallback),
        rows=tuple(rows),
        exit_predictor=order.exit_predictor,
        operating_points=order.operating_points,
    )


def _archives(question: Question, trials: Trials) -> dict[str, str]:
    """Content addresses of what was measured, by the name of their column, if all rows share it."""
    found = {q.name: {str(v) for v in trials.metrics[q.name]} for q in question.metrics
             if q.unit == "handle"}  # fmt: skip
    return {name: min(handles) for name, handles in found.items() if len(handles) == 1}


def _settings(
    knobs: Sequence[Quantity], trials: Trials
) -> tuple[tuple[Setting, ...], list[tuple[int, ...]]]:
    scaled = [_steps(q, trials.designs[q.name]) for q in knobs]
    columns = tuple(
        Setting(q.name, q.unit, decimals, choices)
        for q, (decimals, _, choices) in zip(knobs, scaled, strict=True)
    )
    return columns, [steps for _, steps, _ in scaled]


def _fixed(knob: Quantity, values: Column) -> FixedKnob:
    decimals, steps, choices = _steps(knob, values[:1])
    return FixedKnob(knob.name, knob.unit, decimals, steps[0], choices)


def _steps(knob: Quantity, values: Column) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    if knob.unit == "choice":
        labels = tuple(sorted({str(v) for v in values}))
        return 0, tuple(labels.index(str(v)) for v in values), labels
    decimals, steps = exact(knob.name, knob.unit, values.tolist())
    return decimals, steps, ()


def _predictions(
    question: Question, trials: Trials, hysteresis: float
) -> tuple[tuple[Prediction, ...], list[tuple[int, ...]]]:
    columns, all_steps = [], []
    for o in question.objectives:
        values = trials.metrics[o.name].tolist()
        decimals, steps = cautious(o.name, o.unit, values, o.direction)
        margin = int(hysteresis * (max(steps) - min(steps)))
        evidence = question[o.name].evidence
        columns.append(Prediction(o.name, o.unit, decimals, o.direction, evidence, margin))  # type: ignore[arg-type]
        all_steps.append(steps)
    return tuple(columns), all_steps


def _kept(question: Question) -> tuple[KeptLimit, ...]:
    kept = []
    for c in question.constraints:
        decimals, (bound,) = exact(c.name, c.unit, [c.bound])
        kept.append(KeptLimit(c.name, c.unit, decimals, c.side, bound))
    return tuple(kept)
