"""The front of a run: feasible trials that no other feasible trial dominates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.errors import DseError
from dse.indicators import Reference, hypervolume
from dse.pareto import non_dominated
from dse.problem import Trials
from dse.store import Question, canonical_json


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """Non-dominated designs, best in the first objective first.

    Attributes:
        question: What was asked; carries names, units and evidence.
        trials: The designs, in the order of the losses, first objective first.
        numbers: Their trial numbers in the run, shape (n,).
    """

    question: Question
    trials: Trials
    numbers: NDArray[np.int64]

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

    def __len__(self) -> int:
        return len(self.trials)

    def best(self, objective: str) -> int:
        """Row with the best value of an objective.

        Raises:
            DseError: If the front is empty or the objective unknown.
        """
        names = [o.name for o in self.question.objectives]
        if objective not in names:
            raise DseError(f"unknown objective {objective!r}; there are {', '.join(names)}")
        self._require_rows()
        return int(np.argmin(self.trials.losses[:, names.index(objective)]))

    def knee(self) -> int:
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
        rows = [{"trial": int(n), **self.row(i)} for i, n in enumerate(self.numbers)]
        return canonical_json(
            {
                "study": self.question.study,
                "columns": columns,
                "objectives": objectives,
                "rows": rows,
            }
        )

    def _require_rows(self) -> None:
        if not len(self):
            raise DseError("the front is empty: no trial is feasible")
