"""When a real run may be broken off: nothing that it can still give would join the front."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from dse.core.errors import CompositionError, RowsFailed
from dse.core.evaluation import Evaluator, evaluate_rows
from dse.core.parameters import Column, FloatArray, Parameter
from dse.core.problem import Direction, Problem, Trials
from dse.core.space import Columns, SearchSpace, take
from dse.pareto.dominance import non_dominated

LISTED = 1 << 20
"""Most settings of one run that are looked at."""


class EarlyStop:
    """Knows the front of the trials so far, and every design that one real run can still price.

    A run may be broken off when each of these designs, at its optimistic best, breaks a limit or is
    dominated by a design of the front. The front only moves forward, so that stays true. Which
    trials count is the loop's to say: those of all complete batches, so a decision is a pure
    function of committed trials and of the run. Mutable on purpose: it follows the front.

    Args:
        before: Closed form that gives columns which the run reads beside knobs; None if it reads
            knobs only.
        after: Closed form from the knobs and the run's columns to the metrics; better inputs (see
            `best`) must give better outputs.
        best: Every metric that a run decides, and the direction in which it is better.
    """

    def __init__(
        self, before: Evaluator | None, after: Evaluator, best: Mapping[str, Direction]
    ) -> None:
        self._before, self._after, self._best = before, after, dict(best)
        self._problem: Problem | None = None
        self._front: FloatArray = np.empty((0, 0))
        self._complete: set[str] = set()
        self.trials = 0

    def follow(self, problem: Problem, handle: str) -> None:
        """Learn what is wanted, before any trial comes.

        Args:
            problem: Whose trials will come.
            handle: Metric that names the run of a design.

        Raises:
            CompositionError: If the space cannot be listed, or something is wanted for which the
                optimistic side is not known.
        """
        for knob in problem.space.parameters:
            if knob.count is None:
                raise CompositionError(
                    f"search.early_stop looks at all settings of a run; {knob.name} is a range, "
                    "give it a step or a list of values"
                )
        wanted = [(o.name, o.direction) for o in problem.objectives]
        # What must stay below a bound is better when it is small.
        wanted += [(c.name, "min" if c.side == "max" else "max") for c in problem.constraints]
        for name, direction in wanted:
            if self._best.get(name, direction) != direction:
                raise CompositionError(
                    f"search.early_stop takes the side on which {name} is best, which is "
                    f"{self._best[name]!r}; the study asks for {direction!r}"
                )
        self._problem, self._handle = problem, handle
        self._front = np.empty((0, len(problem.objectives)))

    def saw(self, trials: Trials) -> None:
        """Take a complete batch of trials."""
        self.trials += len(trials)
        losses = np.concatenate([self._front, trials.losses[trials.feasible]])
        self._front = losses[non_dominated(losses)]
        self._complete.update(trials.metrics[self._handle][trials.ok].tolist())

    def complete(self, handle: str) -> bool:
        """Whether a trial so far rests on this whole run."""
        return handle in self._complete

    def settings(self, projection: Mapping[str, object]) -> Columns:
        """Knobs, and columns that the run reads, of every design that one run prices.

        Args:
            projection: What the run reads, name -> value.

        Raises:
            CompositionError: If they are too many to look at.
        """
        space = self._asked().space
        levels = [_levels(space, knob, projection) for knob in space.parameters]
        count = math.prod(map(len, levels))
        if count > LISTED:
            raise CompositionError(
                f"search.early_stop: one run prices {count:,} combinations of levels; at most "
                f"{LISTED:,} are looked at"
            )
        codes = np.stack(np.meshgrid(*levels, indexing="ij"), axis=-1).reshape(count, -1)
        if space.conditions:
            codes = np.unique(space.canonical(codes), axis=0)
        designs: dict[str, Column] = space.decode(codes[space.allowed(codes)])
        if self._before is not None:
            designs.update(evaluate_rows(self._before, designs))
        alike = np.ones(len(next(iter(designs.values()))), dtype=bool)
        for name, value in projection.items():
            alike &= designs[name] == value
        return take(designs, alike)

    def hopeless(
        self, settings: Columns, at_best: Callable[[Columns], Mapping[str, Column]]
    ) -> bool:
        """Whether no design of a run can join the front.

        Args:
            settings: See `settings`.
            at_best: From these columns to what the run gives them at best.
        """
        problem = self._asked()
        if not len(self._front):
            return False
        columns = {**settings, **at_best(settings)}
        try:
            columns.update(evaluate_rows(self._after, columns))
        except RowsFailed:
            return False  # a design that has no price at its best may have one otherwise
        hope = np.ones(len(next(iter(columns.values()))), dtype=bool)
        for limit in problem.constraints:
            hope &= limit.violation(np.asarray(columns[limit.name], dtype=np.float64)) <= 0
        losses = np.stack(
            [o.sign * np.asarray(columns[o.name], np.float64)[hope] for o in problem.objectives],
            axis=1,
        )
        best = losses[non_dominated(losses)]
        return all(bool(self._dominates(loss)) for loss in best)

    def _dominates(self, loss: FloatArray) -> bool:
        no_worse = (self._front <= loss).all(axis=1)
        return bool((no_worse & (self._front < loss).any(axis=1)).any())

    def _asked(self) -> Problem:
        if self._problem is None:
            raise CompositionError("an early stop follows no problem yet")
        return self._problem


def _levels(space: SearchSpace, knob: Parameter, projection: Mapping[str, object]) -> FloatArray:
    """Codes of a knob among the designs of a run; some hold another value and are left out later.

    Where the run's value is none of the levels, a condition has switched the knob off in all of its
    designs; any code stands for that.
    """
    every = np.arange(float(knob.count or 0))
    if knob.name not in projection:
        return every
    value = projection[knob.name]
    off = any(c.parameter == knob.name and c.otherwise == value for c in space.conditions)
    if off and value not in knob.decode(every).tolist():
        return every[:1]
    return knob.encode(np.array([value]))
