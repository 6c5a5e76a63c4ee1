"""The front of a run: feasible trials that no other feasible trial dominates."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError, RowsFailed
from dse.core.evaluation import Evaluator, evaluate_rows
from dse.core.files import canonical_json
from dse.core.parameters import Column
from dse.core.problem import Trials
from dse.core.signature import TEXT_UNITS
from dse.core.units import parse_limit, to_si
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.runs.differences import accepted_lines
from dse.runs.run_schema import Question
from dse.runs.store import Run

Limits: TypeAlias = tuple[float, float] | Collection[str]
"""Least and greatest value in the SI unit, both allowed (-inf and inf set none); or names."""


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """Non-dominated designs, best in the first objective first.

    Attributes:
        question: What was asked; carries names, units and evidence.
        trials: The designs, in the order of the losses, first objective first.
        numbers: Their trial numbers in the run, shape (n,).
        held_out: What the designs reach on data that no choice has seen; empty if nobody looked.
            `numbers` -> metric -> value, in the units of `held_out_columns`.
        held_out_columns: Name, unit and evidence of these metrics.
        accepted: What a user has accepted as different in the run, a line for each time.
    """

    question: Question
    trials: Trials
    numbers: NDArray[np.int64]
    held_out: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    held_out_columns: tuple[Mapping[str, str], ...] = ()
    accepted: tuple[str, ...] = ()

    @classmethod
    def of(cls, question: Question, trials: Trials) -> "Front":
        """The front of a run's trials; empty if no trial is feasible."""
        feasible = np.flatnonzero(trials.feasible)
        losses = trials.losses[feasible]
        best = feasible[non_dominated(losses)]
        # Equal losses are told apart by the codes, so that the order never depends on the search.
        keys = np.concatenate([trials.losses[best], trials.codes[best]], axis=1)
        order = best[np.lexsort(keys.T[::-1])]
        return cls(question, trials.rows(order), order.astype(np.int64))

    @classmethod
    def of_run(cls, run: Run) -> "Front":
        """The front of a run, with what was measured on held-out data when it ended."""
        front = cls.of(run.question, run.trials)
        kept = run.manifest.get("held_out", {"columns": [], "rows": {}})
        rows = {int(number): values for number, values in kept["rows"].items()}
        told = accepted_lines(run.manifest)
        columns = tuple(kept["columns"])
        return replace(front, held_out=rows, held_out_columns=columns, accepted=told)

    def measured_on(self, evaluator: Evaluator) -> dict[str, Any]:
        """Ask an evaluator about the front's designs; what a run's manifest keeps as `held_out`.

        A design that has no answer is left out, and so is what the run itself has a column of.
        """
        known = {quantity.name for quantity in self.question.quantities}
        try:
            columns = evaluate_rows(evaluator, self.trials.designs)
            failed: set[int] = set()
        except RowsFailed as error:
            columns, failed = dict(error.columns), set(error.reasons)
        described = [
            {"name": name, "unit": unit, "evidence": evaluator.signature.evidence[name]}
            for name, unit in evaluator.signature.outputs.items()
            if unit not in TEXT_UNITS and name not in known
        ]
        rows = {
            str(number): {d["name"]: float(columns[d["name"]][i]) for d in described}
            for i, number in enumerate(self.numbers)
            if i not in failed
        }
        return {"columns": described, "rows": rows}

    def __len__(self) -> int:
        return len(self.trials)

    def rows(self, which: Column) -> Self:
        """Some designs, by mask or by index; none of them dominates another."""
        return replace(self, trials=self.trials.rows(which), numbers=self.numbers[which])

    def select(self, *limits: str | Mapping[str, Limits]) -> Self:
        """The designs within limits on knobs and metrics.

            front.select("energy <= 300 uJ", "accuracy >= 0.8")
            front.select({"energy": (0.0, 300e-6), "envm_cell": ["rram", "stt"]})

        Args:
            limits: Texts `NAME <= NUMBER UNIT` or `NAME >= NUMBER UNIT`; or a mapping from a column
                to (least, greatest) in its SI unit, or to the names allowed of a choice. All hold.

        Raises:
            RunError: If there is no such column.
            DseError: If a text is no limit, or its unit does not measure the column.
        """
        kept = np.ones(len(self), dtype=bool)
        for limit in limits:
            pairs = _limit(self.question, limit) if isinstance(limit, str) else limit
            for name, allowed in pairs.items():
                kept &= self._within(name, allowed)
        return self.rows(np.flatnonzero(kept))

    def _within(self, name: str, allowed: Limits) -> NDArray[np.bool_]:
        text = self.question[name].unit in TEXT_UNITS
        column = {**self.trials.designs, **self.trials.metrics}[name]
        if text:
            labels = [allowed] if isinstance(allowed, str) else [str(label) for label in allowed]
            strange = [label for label in labels if label not in self._labels(name)]
            if strange or not labels:
                raise DseError(
                    f"{name}: {', '.join(map(repr, strange)) or 'no name'} is none of its names, "
                    f"{', '.join(self._labels(name))}"
                )
            return np.isin(column, labels)
        ends: tuple[Any, ...] = () if isinstance(allowed, (str, int, float)) else tuple(allowed)
        try:
            low, high = (float(limit) for limit in ends)
            if not low <= high:
                raise ValueError
        except (TypeError, ValueError) as error:
            raise DseError(
                f"{name}: {allowed!r} is no (least, greatest) in {self.question[name].unit}"
            ) from error
        within: NDArray[np.bool_] = (column >= low) & (column <= high)
        return within

    def _labels(self, name: str) -> list[str]:
        return sorted(set({**self.trials.designs, **self.trials.metrics}[name].tolist()))

    def best_row(self, objective: str) -> int:
        """Row with the best value of an objective.

        Raises:
            DseError: If the front is empty or the objective unknown.
        """
        names = [o.name for o in self.question.objectives]
        if objective not in names:
            raise DseError(f"unknown objective {objective!r}; there are {', '.join(names)}")
        self._require_rows()
        return int(np.argmin(self.trials.losses[:, names.index(objective)]))

    def knee_row(self) -> int:
        """Row nearest to the ideal point, each objective scaled to the front's own range.

        Raises:
            DseError: If the front is empty.
        """
        self._require_rows()
        losses = self.trials.losses
        low, high = losses.min(axis=0), losses.max(axis=0)
        scaled = (losses - low) / np.where(high > low, high - low, 1.0)
        return int(np.argmin((scaled**2).sum(axis=1)))

    def hypervolume(self, reference: Reference) -> float:
        """Share of the reference box that the front dominates."""
        return hypervolume(self.trials.losses, reference)

    def row(self, index: int) -> dict[str, dict[str, Any]]:
        """One design as plain values: `{"design": {...}, "metrics": {...}}`, SI units."""
        return {
            "design": {k: v[index].item() for k, v in self.trials.designs.items()},
            "metrics": {k: v[index].item() for k, v in self.trials.metrics.items()},
        }

    def to_json(self) -> str:
        """The front with units and evidence; equal fronts are equal bytes."""
        columns = [
            {
                "name": q.name,
                "unit": q.unit,
                "role": q.role,
                **({"stage": q.stage} if q.stage else {"evidence": q.evidence}),
            }
            for q in self.question.quantities
        ]
        objectives = [
            {"name": o.name, "unit": o.unit, "direction": o.direction}
            for o in self.question.objectives
        ]
        columns += [{**column, "role": "held out"} for column in self.held_out_columns]
        rows = []
        for i, n in enumerate(self.numbers.tolist()):
            held = {"held_out": dict(self.held_out[n])} if n in self.held_out else {}
            rows.append({"trial": n, **self.row(i), **held})
        return canonical_json(
            {
                "study": self.question.study,
                "columns": columns,
                "objectives": objectives,
                "rows": rows,
                **({"accepted": list(self.accepted)} if self.accepted else {}),
            }
        )

    def _require_rows(self) -> None:
        if not len(self):
            raise DseError("the front is empty: no trial is feasible")


def _limit(question: Question, text: str) -> dict[str, Limits]:
    """A limit said as a text, in the SI unit of its column.

    Raises:
        DseError: If the text is of another form, or its unit does not measure the column.
    """
    limit = parse_limit(text)
    unit = question[limit.name].unit
    if unit in TEXT_UNITS:
        raise DseError(
            f"{text}: {limit.name} has names and no numbers; write {{{limit.name!r}: [NAME, ...]}}"
        )
    try:
        bound = to_si(limit.value, limit.unit, unit)
    except DseError as error:
        raise DseError(f"{text}: {error}") from error
    return {limit.name: (-np.inf, bound) if limit.side == "max" else (bound, np.inf)}
