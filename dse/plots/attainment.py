"""What runs that differ in their seed alone attain: a line for half of them, a band for all."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dse.core.parameters import FloatArray
from dse.core.problem import Objective
from dse.core.units import pretty, readable
from dse.plots.axes import spans_decades
from dse.plots.simulation import COLOURS, STYLES
from dse.plots.static import DPI
from dse.results.attainment import runs_by_search, surfaces_of
from dse.results.front import Front
from dse.runs.store import Run

_SMALL = 8.0  # points


def attainment_figure(runs: Sequence[Run]) -> Figure:
    """The first objective against each other one, one line and band per search.

    A panel of two out of several objectives shows what is attained in these two, whatever the
    others are.

    Args:
        runs: That can be compared (`dse.results.compare.compared`), with two or more objectives.
    """
    objectives = runs[0].question.objectives
    groups = runs_by_search(runs)
    fronts = [Front.of(run.question, run.trials).trials.losses for run in runs]
    panels = len(objectives) - 1
    figure = Figure(figsize=(4.6 * panels + 0.4, 4.4), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for place in range(panels):
        axes = figure.add_subplot(1, panels, place + 1)
        _draw_panel(axes, (objectives[place + 1], objectives[0]), [
            (name, [fronts[i][:, [place + 1, 0]] for i in members])
            for name, members in groups
        ])  # fmt: skip
    figure.axes[0].legend(fontsize=_SMALL, frameon=False, title="attained by half of the runs")
    figure.suptitle(
        f"{runs[0].question.study}: lines by half, bands from all to any of the runs",
        fontsize=10, x=0.02, ha="left",
    )  # fmt: skip
    figure.tight_layout()
    return figure


def _draw_panel(
    axes: Axes,
    shown: tuple[Objective, Objective],
    groups: Sequence[tuple[str, Sequence[FloatArray]]],
) -> None:
    rows = np.concatenate([front for _, fronts in groups for front in fronts])
    worst = rows.max(axis=0) + 0.05 * np.ptp(rows, axis=0)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    scales = [_scale(objective, rows[:, i]) for i, objective in enumerate(shown)]
    for number, (name, fronts) in enumerate(groups):
        colour, style = COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]
        best, half, least = (_steps(surface, worst) for surface in surfaces_of(fronts))
        xs = np.unique(np.concatenate([best[:, 0], least[:, 0]]))
        low, high = (_height(line, xs, worst[1]) * scales[1] for line in (best, least))
        axes.fill_between(xs * scales[0], low, high, step="post", color=colour, alpha=0.15, lw=0)
        x, y = (half * scales).T
        axes.plot(x, y, color=colour, linestyle=style, linewidth=1.3, drawstyle="steps-post",
                  label=f"{name} ({len(fronts)} runs)")  # fmt: skip
    x_title, y_title = (_title(o, s) for o, s in zip(shown, scales, strict=True))
    axes.set_xlabel(x_title, fontsize=9)
    axes.set_ylabel(y_title, fontsize=9)
    if spans_decades(np.abs(rows[:, 0])):
        axes.set_xscale("log")
    if spans_decades(np.abs(rows[:, 1])):
        axes.set_yscale("log")
    axes.tick_params(labelsize=_SMALL)


def _steps(surface: FloatArray, worst: FloatArray) -> FloatArray:
    """Corners of a surface from its best first loss on, out to the worst, shape (k + 2, 2)."""
    order = surface[np.argsort(surface[:, 0], kind="stable")]
    if not len(order):
        return worst[None, :]
    first = np.array([[order[0, 0], worst[1]]])
    return np.concatenate([first, order, [[worst[0], order[-1, 1]]]])


def _height(line: FloatArray, xs: FloatArray, worst: float) -> FloatArray:
    """The best second loss that a line attains at first losses, shape (k,)."""
    last = np.searchsorted(line[:, 0], xs, side="right") - 1
    return np.where(last >= 0, line[np.maximum(last, 0), 1], worst)


def _scale(objective: Objective, losses: FloatArray) -> float:
    """From a loss to the value in a readable notation of its unit."""
    values, _ = readable(np.abs(losses), objective.unit)
    top = int(np.argmax(np.abs(losses)))
    factor = values[top] / abs(losses[top]) if losses[top] else 1.0
    return float(objective.sign * factor)


def _title(objective: Objective, scale: float) -> str:
    unit = readable(np.array([1.0 / abs(scale)]), objective.unit)[1]
    shown = pretty(unit)
    name = objective.name.replace("_", " ")
    better = "lower" if objective.direction == "min" else "higher"
    return f"{name} [{shown}], {better} is better" if shown else f"{name}, {better} is better"
