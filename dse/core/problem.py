"""A problem: a space, an evaluator and what is wanted of it, checked against each other once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import CompositionError, DseError, RowsFailed
from dse.core.evaluation import Chain, Evaluator, evaluate_rows
from dse.core.failure import Failure
from dse.core.parameters import Column, FloatArray, Parameter
from dse.core.signature import EVIDENCE, TEXT_UNITS
from dse.core.space import SearchSpace
from dse.core.units import parse_limit, require_si, to_si

Direction: TypeAlias = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Objective:
    """An output column that shall be small (`min`) or large (`max`).

    Raises:
        CompositionError: If the direction is another word.
    """

    name: str
    unit: str
    direction: Direction = "min"

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise CompositionError(
                f"objective {self.name}: direction {self.direction!r} is not one of min, max"
            )

    @property
    def sign(self) -> float:
        """+1 for "min", -1 for "max": value x sign = loss, loss x sign = value."""
        return 1.0 if self.direction == "min" else -1.0


@dataclass(frozen=True, slots=True)
class Constraint:
    """An output column that must not pass a bound.

    Args:
        name: Output column.
        unit: Unit of the column and of the bound.
        bound: The limit itself is allowed.
        side: `max` where the column must stay at or below the bound, `min` at or above.

    Raises:
        CompositionError: If the side is another word or the bound is not finite.
    """

    name: str
    unit: str
    bound: float
    side: Literal["max", "min"] = "max"

    def __post_init__(self) -> None:
        if self.side not in ("max", "min"):
            raise CompositionError(
                f"constraint {self.name}: side {self.side!r} is not one of max, min"
            )
        if not np.isfinite(self.bound):
            raise CompositionError(f"constraint {self.name}: bound {self.bound} is not finite")

    def violation(self, values: FloatArray) -> FloatArray:
        """How far values [unit] pass the bound, shape (n,); <= 0 where they keep it."""
        return values - self.bound if self.side == "max" else self.bound - values


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Evaluated designs as columns.

    Attributes:
        codes: Canonical code rows, shape (n, d).
        designs: Knob columns in their units, each shape (n,).
        metrics: Output columns in their units, each shape (n,); meaningless in failed rows.
        losses: Objectives with "max" flipped (smaller is better), shape (n, m); NaN in failed rows.
        violations: Constraint violations, shape (n, c), feasible at <= 0; NaN in failed rows.
        failures: Why each row has no metrics, None where it has them, length n.
    """

    codes: FloatArray
    designs: Mapping[str, Column]
    metrics: Mapping[str, Column]
    losses: FloatArray
    violations: FloatArray
    failures: tuple[Failure | None, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Rows that were evaluated, shape (n,)."""
        return np.array([why is None for why in self.failures], dtype=bool)

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Rows whose run was broken off on purpose: neither evaluated nor failed, shape (n,)."""
        stopped = [why is not None and why.kind == "stopped early" for why in self.failures]
        return np.array(stopped, dtype=bool)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Rows that have no metrics because something went wrong, shape (n,)."""
        return ~self.ok & ~self.stopped

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Rows that were evaluated and keep every constraint, shape (n,)."""
        return self.ok & (np.nan_to_num(self.violations, nan=np.inf) <= 0).all(axis=1)

    def rows(self, which: Column) -> "Trials":
        """Some rows, by mask or by index."""
        index = np.arange(len(self))[which]
        return Trials(
            self.codes[index],
            {k: v[index] for k, v in self.designs.items()},
            {k: v[index] for k, v in self.metrics.items()},
            self.losses[index],
            self.violations[index],
            tuple(self.failures[i] for i in index),
        )


@dataclass(frozen=True, init=False)
class Problem:
    """What to search, how it is judged, and what is wanted.

        Problem(knobs, evaluator, minimize=["energy"], subject_to=["area <= 5 mm^2"])

    Attributes:
        space: The knobs.
        evaluator: Reads knobs, gives metrics.
        objectives: At least one.
        constraints: Limits on metrics.

    Args:
        knobs: A space, or parameters that all go together.
        evaluator: One, or a list of them, of which each reads knobs and what came before it.
        objectives: What is wanted, in full; `minimize` and `maximize` name metrics.
        constraints: Limits in full; `subject_to` says them as texts.
        minimize: Names of metrics that shall be small.
        maximize: Names of metrics that shall be large.
        subject_to: Texts `METRIC <= NUMBER UNIT` or `METRIC >= NUMBER UNIT`.

    Raises:
        CompositionError: If a name or a unit differs between the three; the message shows both
            sides.
    """

    space: SearchSpace
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def __init__(  # noqa: PLR0913  (in full, or as names and texts)
        self,
        knobs: SearchSpace | Sequence[Parameter],
        evaluator: Evaluator | Sequence[Evaluator],
        objectives: Sequence[Objective] = (),
        constraints: Sequence[Constraint] = (),
        *,
        minimize: Sequence[str] = (),
        maximize: Sequence[str] = (),
        subject_to: Sequence[str] = (),
    ) -> None:
        if isinstance(knobs, str) or not isinstance(knobs, (SearchSpace, Sequence)):
            raise CompositionError(f"knobs = {knobs!r}: a list of parameters or a SearchSpace")
        stages = tuple(evaluator) if isinstance(evaluator, Sequence) else (evaluator,)
        for stage in stages:
            if getattr(stage, "signature", None) is None:
                name = getattr(stage, "__name__", type(stage).__name__)
                raise CompositionError(
                    f"{name} is no evaluator: it has no signature. @dse.evaluator(inputs=..., "
                    "outputs=..., evidence=...) gives a function one"
                )
        whole = Chain(stages) if isinstance(evaluator, Sequence) else stages[0]
        space = knobs if isinstance(knobs, SearchSpace) else SearchSpace(tuple(knobs))
        for name, texts in (
            ("minimize", minimize), ("maximize", maximize), ("subject_to", subject_to)
        ):  # fmt: skip
            if isinstance(texts, str):
                raise CompositionError(f"{name} = {texts!r}: write a list, [{texts!r}]")
        units = whole.signature.outputs
        wanted = [
            *objectives,
            *(Objective(name, _unit(units, name), "min") for name in minimize),
            *(Objective(name, _unit(units, name), "max") for name in maximize),
        ]
        limits = [*constraints, *(_constraint(text, units) for text in subject_to)]
        # A frozen dataclass sets its fields so.
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "evaluator", whole)
        object.__setattr__(self, "objectives", tuple(wanted))
        object.__setattr__(self, "constraints", tuple(limits))
        for name, unit in {**whole.signature.outputs, **space.units}.items():
            require_si(unit, name)
        self._require_fitting()

    def _require_fitting(self) -> None:
        units = self.space.units
        reader = type(self.evaluator).__name__
        for name, unit in self.evaluator.signature.inputs.items():
            if name not in units:
                raise CompositionError(
                    f"{reader} reads {name} [{unit}]; the space has {', '.join(units)}"
                )
            if units[name] != unit:
                raise CompositionError(
                    f"{name}: the space declares it in {units[name]}, {reader} reads it in {unit}"
                )
        steering = {condition.depends_on for condition in self.space.conditions}
        idle = [n for n in units if n not in self.evaluator.signature.inputs and n not in steering]
        if idle:
            raise CompositionError(f"no evaluator reads {', '.join(idle)}: nothing to search there")
        _require_evidence(self.evaluator)
        if not self.objectives:
            raise CompositionError("a problem needs at least one objective")
        for objective in self.objectives:
            self._check_metric(objective)
        for constraint in self.constraints:
            self._check_metric(constraint)

    def _check_metric(self, wanted: Objective | Constraint) -> None:
        outputs = self.evaluator.signature.outputs
        kind = type(wanted).__name__.lower()
        if [objective.name for objective in self.objectives].count(wanted.name) > 1:
            raise CompositionError(f"objective {wanted.name} stands twice")
        if wanted.name not in outputs:
            raise CompositionError(
                f"{kind} {wanted.name}: no evaluator gives it; there are {', '.join(outputs)}"
            )
        if outputs[wanted.name] != wanted.unit:
            raise CompositionError(
                f"{kind} {wanted.name} is in {wanted.unit}, "
                f"the evaluators give it in {outputs[wanted.name]}"
            )
        if wanted.unit in TEXT_UNITS:
            raise CompositionError(f"{kind} {wanted.name} is a {wanted.unit}, a text, not a number")

    def evaluate(self, codes: FloatArray) -> Trials:
        """Evaluate code rows, shape (n, d); a row that fails or is not finite says why."""
        rows = self.space.canonical(codes)
        designs = self.space.decode(rows)
        reasons: dict[int, Failure] = {}
        try:
            metrics = evaluate_rows(self.evaluator, designs)
        except RowsFailed as error:
            reasons = dict(error.reasons)
            metrics = dict(error.columns)
        self._gate(metrics, reasons)
        failures = tuple(reasons.get(row) for row in range(len(rows)))
        return judge(self.objectives, self.constraints, rows, designs, metrics, failures)

    def _gate(self, metrics: Mapping[str, Column], reasons: dict[int, Failure]) -> None:
        """No value that is not finite passes: the row fails with the column's name."""
        for name, column in metrics.items():
            if column.dtype.kind != "f":
                continue
            for row in np.flatnonzero(~np.isfinite(column)):
                why = f"{name} = {column[row]} is not a finite number"
                reasons.setdefault(int(row), Failure("not finite", why))
        for constraint in self.constraints:
            with np.errstate(over="ignore", invalid="ignore"):
                violation = constraint.violation(np.asarray(metrics[constraint.name], np.float64))
            for row in np.flatnonzero(~np.isfinite(violation)):
                why = f"{constraint.name} is too far from its bound {constraint.bound} to subtract"
                reasons.setdefault(int(row), Failure("not finite", why))


def _unit(units: Mapping[str, str], name: str) -> str:
    """The unit of a metric.

    Raises:
        CompositionError: If no evaluator gives it.
    """
    if name not in units:
        raise CompositionError(f"no evaluator gives {name}; there are {', '.join(units)}")
    return units[name]


def _constraint(text: str, units: Mapping[str, str]) -> Constraint:
    """A limit said as a text.

    Raises:
        CompositionError: If the text is of another form, or its unit does not measure the metric.
    """
    limit = parse_limit(text)
    try:
        bound = to_si(limit.value, limit.unit, _unit(units, limit.name))
    except DseError as error:
        raise CompositionError(f"{text}: {error}") from error
    return Constraint(limit.name, units[limit.name], bound, limit.side)


def _require_evidence(evaluator: Evaluator) -> None:
    """Every number that leaves says how well it is founded."""
    giver, evidence = type(evaluator).__name__, evaluator.signature.evidence
    for name in evaluator.signature.outputs:
        if name not in evidence:
            raise CompositionError(f"{giver} gives no evidence for {name}")
        if evidence[name] not in EVIDENCE:
            raise CompositionError(
                f"evidence {evidence[name]!r} of {name} is not one of {', '.join(EVIDENCE)}"
            )


def judge(
    objectives: tuple[Objective, ...],
    constraints: tuple[Constraint, ...],
    codes: FloatArray,
    designs: Mapping[str, Column],
    metrics: Mapping[str, Column],
    failures: tuple[Failure | None, ...],
) -> Trials:
    """Evaluated columns with losses and violations; the one place where "max" is flipped."""
    n = len(codes)
    bad = np.array([why is not None for why in failures], dtype=bool)
    losses = np.empty((n, len(objectives)))
    violations = np.empty((n, len(constraints)))
    with np.errstate(over="ignore", invalid="ignore"):  # failed rows hold anything
        for i, objective in enumerate(objectives):
            losses[:, i] = objective.sign * np.asarray(metrics[objective.name], dtype=np.float64)
        for i, constraint in enumerate(constraints):
            values = np.asarray(metrics[constraint.name], dtype=np.float64)
            violations[:, i] = constraint.violation(values)
    losses[bad] = np.nan
    violations[bad] = np.nan
    return Trials(codes, designs, metrics, losses, violations, failures)
