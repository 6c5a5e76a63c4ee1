"""Panels of a plot: which objectives stand against each other, and the border reached."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.core.problem import Objective, Trials
from dse.plots.axes import Axis, Limit, Notation, spans_decades
from dse.runs.run_schema import Question

MOST_PANELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Border:
    """A line through a panel: what it says, and its corners in the axes' units, shape (k, 2)."""

    label: str
    corners: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Two quantities against each other.

    Attributes:
        x, y: The axes.
        colour: Of the trials on the front, the one objective that neither axis shows; its low and
            high are the front's own. None if there is no such objective, or several.
        border: Of what was reached; None where nothing was, or where a line would mislead.
    """

    x: Axis
    y: Axis
    colour: Axis | None
    border: Border | None


def panels_of(
    question: Question,
    trials: Trials,
    notations: Mapping[str, Notation],
    front: NDArray[np.int64],
) -> tuple[Panel, ...]:
    """The first objective against each other one, at most `MOST_PANELS` of them.

    A single objective stands against the trial number. Of three objectives, the left-out one
    becomes the colour.

    Args:
        question: What was asked.
        trials: All trials, n of them.
        notations: Column name -> how its values are written.
        front: Trial numbers of the front.
    """
    y, *others = (
        _objective_axis(objective, losses, question, notations[objective.name])
        for objective, losses in zip(question.objectives, trials.losses.T, strict=True)
    )
    if not others:
        x = Axis.of("trial", None, np.arange(len(trials), dtype=np.float64))
        return (Panel(x, y, None, _best_so_far(y, trials)),)
    if len(others) == 1:
        return (Panel(others[0], y, None, _attained(others[0], y, front)),)
    # With more objectives a design may be on the front and yet beaten in every panel: no border.
    if len(others) == 2:
        pairs = zip(others, reversed(others), strict=True)
        return tuple(Panel(x, y, _on_front(left, front), None) for x, left in pairs)
    return tuple(Panel(x, y, None, None) for x in others[:MOST_PANELS])


def _objective_axis(
    objective: Objective, losses: FloatArray, question: Question, notation: Notation
) -> Axis:
    limits = tuple(Limit.of(c, notation) for c in question.constraints if c.name == objective.name)
    better: Literal["lower", "higher"] = "lower" if objective.direction == "min" else "higher"
    return Axis.of(notation.title, better, notation.scaled(objective.sign * losses), limits)


def _on_front(axis: Axis, front: NDArray[np.int64]) -> Axis:
    """The axis cut to the front's own values, so that the colours are used up."""
    values = axis.values[front]
    if not len(values):
        return axis
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + (abs(low) or 1.0)
    return replace(axis, low=low, high=high, log=spans_decades(values))


def _attained(x: Axis, y: Axis, front: NDArray[np.int64]) -> Border | None:
    """Border of the region that the front dominates, from the best x to the worst in sight."""
    if not len(front):
        return None
    sign = 1.0 if x.better == "lower" else -1.0
    order = front[np.argsort(sign * x.values[front], kind="stable")]
    steps = _staircase(x.values[order], y.values[order], _worst(x))
    corners = np.concatenate([[[steps[0, 0], _worst(y)]], steps])
    return Border("attained", corners)


def _best_so_far(y: Axis, trials: Trials) -> Border | None:
    """The best feasible value known after each trial."""
    feasible = np.flatnonzero(trials.feasible)
    if not len(feasible):
        return None
    losses = trials.losses[feasible, 0]
    best = np.minimum.accumulate(losses)
    better = np.concatenate([[True], best[1:] < best[:-1]])
    numbers = feasible[better]
    last = float(len(trials) - 1)
    return Border("best so far", _staircase(numbers.astype(np.float64), y.values[numbers], last))


def _staircase(xs: FloatArray, ys: FloatArray, end: float) -> FloatArray:
    """Corners of the line that keeps each y, shape (k,), from its x to the next one or the end."""
    corners = np.repeat(np.append(xs, end), 2)[1:-1]
    return np.stack([corners, np.repeat(ys, 2)], axis=1)


def _worst(axis: Axis) -> float:
    return axis.high if axis.better == "lower" else axis.low
