"""What a plot of a front shows, as arrays and words; `interactive` and `static` only draw it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.problem import Trials
from dse.plots.axes import Limit, Notation
from dse.plots.panels import MOST_PANELS, Panel, panels_of
from dse.results.front import Front
from dse.runs.run_schema import Question

TrialClass: TypeAlias = Literal["front", "dominated", "infeasible", "failed"]

CLASSES: tuple[TrialClass, ...] = ("front", "dominated", "infeasible", "failed")
"""Every trial is of exactly one."""

DRAWN: tuple[TrialClass, ...] = ("dominated", "infeasible", "front")
"""Classes that have a place on the axes, in the order of drawing."""

THINNED: tuple[TrialClass, ...] = ("dominated", "infeasible")

MOST_DRAWN = 20_000
"""Dominated trials, and infeasible ones, that are drawn at most; the front is drawn whole."""

MOST_REASONS = 3
_REASON_LENGTH = 140


@dataclass(frozen=True, slots=True, eq=False)
class FrontView:
    """The front of a run among all its trials.

    Attributes:
        question: What was asked.
        trials: All trials.
        classes: One of `CLASSES` for each trial, shape (n,).
        drawn: Class -> trial numbers that are drawn, ascending; nothing for `failed`.
        notations: Column name -> how its values are written; knobs first.
        panels: At least one.
        accepted: What a user has accepted as different in the run, a line for each time.
    """

    question: Question
    trials: Trials
    classes: NDArray[np.str_]
    drawn: Mapping[TrialClass, NDArray[np.int64]]
    notations: Mapping[str, Notation]
    panels: tuple[Panel, ...]
    accepted: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        question: Question,
        trials: Trials,
        *,
        most: int = MOST_DRAWN,
        accepted: tuple[str, ...] = (),
    ) -> "FrontView":
        """The view of all trials of a run.

        Args:
            question: What the run asks.
            trials: Every trial of the run, in order.
            most: Dominated trials, and infeasible ones, to draw at most.
            accepted: Lines about what a user has accepted as different.
        """
        classes = classify(question, trials)
        drawn = {name: np.flatnonzero(classes == name) for name in DRAWN}
        for name in THINNED:
            drawn[name] = _thinned(drawn[name], most)
        columns = {**trials.designs, **trials.metrics}
        ok = trials.ok
        notations = {
            q.name: Notation.of(q, columns[q.name][ok])
            for q in question.quantities
            if q.unit != "handle"
        }
        panels = panels_of(question, trials, notations, drawn["front"])
        return cls(question, trials, classes, drawn, notations, panels, accepted)

    @property
    def title(self) -> str:
        """The study."""
        return self.question.study

    @property
    def facts(self) -> tuple[str, ...]:
        """Lines under the title: how many trials, how well founded, which limits, what is left out.

        A number that is read off the plot gets its evidence here.
        """
        counts = {name: int((self.classes == name).sum()) for name in CLASSES}
        feasible = counts["front"] + counts["dominated"]
        good = f"{feasible:,} feasible, {counts['front']:,} of them on the front"
        lines = [
            f"{_trials(len(self.trials))}: {good if feasible else 'none feasible, front empty'}; "
            f"{counts['infeasible']:,} infeasible; {counts['failed']:,} failed",
            "evidence: " + "; ".join(self._evidence()),
        ]
        if self.question.constraints:
            lines.append("limits: " + "; ".join(self._limits()))
        return (*lines, *self.accepted, *self._omissions())

    @property
    def failures(self) -> tuple[str, ...]:
        """Lines about the trials that have no place on the axes; none if no trial failed."""
        reasons = ["" if why is None else str(why) for why in self.trials.failures]
        counts = Counter(reason for reason in reasons if reason)
        if not counts:
            return ()
        lines = [f"failed, not drawn: {_trials(counts.total())}"]
        for reason, count in counts.most_common(MOST_REASONS):
            text = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}…"
            lines.append(f"{count:,} like trial {reasons.index(reason)}: {text}")
        if len(counts) > MOST_REASONS:
            lines.append(f"and {len(counts) - MOST_REASONS:,} more reasons")
        return tuple(lines)

    def legend(self, name: TrialClass) -> str:
        """A class with its size, and how much of it is drawn."""
        count = int((self.classes == name).sum())
        if name == "failed":
            return f"failed ({count:,})" + (", listed below" if count else "")
        drawn = len(self.drawn[name])
        return f"{name} ({count:,})" if drawn == count else f"{name} ({drawn:,} of {count:,})"

    def details(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """Texts as columns: trial number, verdict, then every value of `notations` with unit."""
        columns = {**self.trials.designs, **self.trials.metrics}
        texts = [how.texts(columns[name][rows]) for name, how in self.notations.items()]
        verdicts = self._verdicts(rows)
        numbers = [str(row) for row in rows.tolist()]
        return [numbers, verdicts, *texts]

    def _verdicts(self, rows: NDArray[np.int64]) -> list[str]:
        broken = self.trials.violations[rows] > 0
        limits = [self._limit_text(i) for i in range(len(self.question.constraints))]
        words = {"front": "feasible, on the front", "dominated": "feasible, dominated"}
        return [
            words.get(name) or "infeasible: breaks " + ", ".join(np.array(limits)[row])
            for name, row in zip(self.classes[rows].tolist(), broken, strict=True)
        ]

    def _limit_text(self, index: int) -> str:
        constraint = self.question.constraints[index]
        return Limit.of(constraint, self.notations[constraint.name]).text

    def _evidence(self) -> list[str]:
        names = [o.name for o in self.question.objectives]
        return [f"{self.notations[n].label} {self.question[n].evidence}" for n in names]

    def _limits(self) -> list[str]:
        shown = {limit.text for p in self.panels for axis in (p.x, p.y) for limit in axis.limits}
        texts = [self._limit_text(i) for i in range(len(self.question.constraints))]
        return [text if text in shown else f"{text} (not on an axis)" for text in texts]

    def _omissions(self) -> list[str]:
        lines = []
        for name in THINNED:
            count, drawn = int((self.classes == name).sum()), len(self.drawn[name])
            if drawn < count:
                lines.append(f"{drawn:,} of {count:,} {name} drawn, evenly in the order of trials")
        if lines:
            lines = ["thinned: " + "; ".join(lines) + "; the front is drawn whole"]
        objectives = self.question.objectives
        if len(objectives) > MOST_PANELS + 1:
            first = self.notations[objectives[0].name].label
            left = ", ".join(self.notations[o.name].label for o in objectives[MOST_PANELS + 1 :])
            lines.append(f"not drawn: {first} against {left}; hover and CSV have them")
        return lines


def classify(question: Question, trials: Trials) -> NDArray[np.str_]:
    """The class of each trial, shape (n,); the classes partition the trials."""
    classes = np.full(len(trials), "infeasible", dtype="<U10")
    classes[trials.feasible] = "dominated"
    classes[~trials.ok] = "failed"
    classes[Front.of(question, trials).numbers] = "front"
    return classes


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"


def _thinned(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` rows, evenly, always the same ones."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
