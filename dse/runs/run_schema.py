"""What a run asks, as it travels with its trials: columns with units, objectives, constraints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dse.core.errors import DseError, RunError
from dse.core.parameters import Stage, Value
from dse.core.problem import Constraint, Objective, Problem

TAUGHT_BY, VOLTAGES = "foretold_by", "voltage_table"
"""Facts of a run: archive that its exit predictors were fitted to, and its V/f table."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a column of a run is.

    Attributes:
        name: Column name.
        unit: Its unit.
        role: `knob` or `metric`.
        stage: Of a knob, when it can still change; None for a metric.
        evidence: Of a metric, how well it is founded; None for a knob.
    """

    name: str
    unit: str
    role: str
    stage: Stage | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a run asks: everything needed to judge its trials without its evaluators."""

    study: str
    question: str
    quantities: tuple[Quantity, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, study: str, question: str, problem: Problem) -> "Question":
        """The question that a problem puts."""
        knobs = tuple(
            Quantity(p.name, p.unit, "knob", stage=p.stage) for p in problem.space.parameters
        )
        evidence = problem.evaluator.signature.evidence
        metrics = tuple(
            Quantity(name, unit, "metric", evidence=evidence[name])
            for name, unit in problem.evaluator.signature.outputs.items()
        )
        return cls(study, question, knobs + metrics, problem.objectives, problem.constraints)

    @classmethod
    def read(cls, asked: Mapping[str, Any]) -> "Question":
        """The question as `dataclasses.asdict` and JSON have left it.

        Raises:
            KeyError, TypeError, CompositionError: If it is none.
        """
        return cls(
            asked["study"],
            asked["question"],
            tuple(Quantity(**q) for q in asked["quantities"]),
            tuple(Objective(**o) for o in asked["objectives"]),
            tuple(Constraint(**c) for c in asked["constraints"]),
        )

    @property
    def knobs(self) -> tuple[Quantity, ...]:
        """The knobs, in order."""
        return tuple(q for q in self.quantities if q.role == "knob")

    @property
    def metrics(self) -> tuple[Quantity, ...]:
        """The metrics, in order."""
        return tuple(q for q in self.quantities if q.role == "metric")

    def settings(self, texts: Sequence[str], flag: str) -> dict[str, Value]:
        """Texts `name=value` of a command as values; numbers are in SI units.

        Args:
            texts: As typed behind the flag.
            flag: What an error names.

        Raises:
            DseError: If a text has no `=`, or a value is not a number.
            RunError: If there is no such column.
        """
        values: dict[str, Value] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals:
                raise DseError(f"{flag} {text}: write {flag} knob=value")
            unit = self[name].unit
            try:
                values[name] = value if unit == "choice" else float(value)
            except ValueError as error:
                raise DseError(f"{flag} {text}: {value!r} is not a number in {unit}") from error
        return values

    def __getitem__(self, name: str) -> Quantity:
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        raise RunError(f"unknown column {name!r}; there are {[q.name for q in self.quantities]}")
