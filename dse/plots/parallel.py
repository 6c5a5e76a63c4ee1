"""Parallel coordinates: one line per design, for brushing in a notebook and for print."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.plots.interactive import plain
from dse.plots.looks import INK, LIMIT_COLOUR
from dse.plots.parallel_view import ParallelAxis, ParallelView, Ranges
from dse.plots.static import DPI
from dse.results.front import Limits

_NARROW = 1.25  # inches between two axes in print
_GREY = "#C9C9C9"


def parallel_figure(
    view: ParallelView, limits: Mapping[str, Limits] | None = None, *, colour: str | None = None
) -> go.Figure:
    """An interactive figure; drag along an axis to brush, `view.chosen(figure)` gives the rows.

    In a notebook, only a `plotly.graph_objects.FigureWidget` of the figure tells Python what was
    brushed.

    Args:
        view: What to show.
        limits: Brushes to begin with, as for `Front.select`.
        colour: Axis that colours the lines; the first objective's if not given.
    """
    axis = _coloured(view, colour)
    dimensions = []
    for each in view.axes:
        ranges = each.ranges(limits[each.name]) if limits and each.name in limits else ()
        dimensions.append(_dimension(each, ranges))
    line = {
        "color": axis.places,
        "cmin": axis.low,
        "cmax": axis.high,
        "colorscale": "Viridis",
        "reversescale": axis.better == "higher",
    }
    faded = {"line": {"color": _GREY, "opacity": 0.25}}
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line=line,
            unselected=faded,
            rangefont={"size": 1, "color": "rgba(0, 0, 0, 0)"},
        )
    )
    figure.update_layout(
        template="simple_white",
        height=480,
        margin={"t": 130, "b": 30, "l": 80, "r": 80},
        font={"color": INK, "size": 12},
        title={
            "text": plain(f"{view.front.question.study}: {_said(view)}"),
            "subtitle": {
                "text": plain(
                    f"line colour: {axis.title}; ↑ higher is better, ↓ lower is better; "
                    "drag along an axis to brush"
                )
            },
            "x": 0.01,
            "y": 0.95,
        },
    )
    return figure


def parallel_print(
    view: ParallelView, limits: Mapping[str, Limits] | None = None, *, colour: str | None = None
) -> Figure:
    """The same for print: rows outside the limits are grey and lie below.

    Args:
        view: What to show.
        limits: Brushes, drawn as bars on their axes.
        colour: Axis that colours the lines; the first objective's if not given.
    """
    axis = _coloured(view, colour)
    brushes = {a.name: a.ranges(limits[a.name]) for a in view.axes if limits and a.name in limits}
    chosen = view.rows_between(brushes)
    width = _NARROW * (len(view.axes) - 1) + 2.6
    figure = Figure(figsize=(width, 4.2), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.9 / width, 0.06, 1 - 2.3 / width, 0.69))
    heights = np.column_stack([_height(each, each.places) for each in view.axes])
    _draw_lines(figure, axes, heights, axis, chosen)
    for place, each in enumerate(view.axes):
        _draw_axis(axes, place, each, brushes.get(each.name, ()))
    axes.set_xlim(-0.02, len(view.axes) - 1 + 0.02)
    axes.set_ylim(0, 1)
    axes.axis("off")
    said = _said(view)
    if brushes:
        said += f", {len(chosen):,} between the brushes"
    title = f"{view.front.question.study}: {said}".replace("$", r"\$")
    figure.text(0.25 / width, 0.975, title, va="top", fontsize=11, weight="bold")
    return figure


def _said(view: ParallelView) -> str:
    count = len(view.front)
    return "1 design" if count == 1 else f"{count:,} designs"


def _coloured(view: ParallelView, colour: str | None) -> ParallelAxis:
    wanted = colour or next((a.name for a in view.axes if a.better), view.axes[-1].name)
    return next((axis for axis in view.axes if axis.name == wanted), view.axes[-1])


def _dimension(axis: ParallelAxis, ranges: Ranges) -> go.parcoords.Dimension:
    """An axis; only names get ticks of their own, because plotly snaps brushes to such ticks."""
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}[axis.better]
    title = f"log₁₀ {axis.title}" if axis.log else axis.title
    dimension = go.parcoords.Dimension(
        name=axis.name,
        label=plain(title) + arrow,
        values=axis.places,
        range=[axis.low, axis.high],
        constraintrange=[list(r) for r in ranges] or None,
    )
    if axis.names:
        dimension.tickvals = [place for place, _ in axis.ticks]
        dimension.ticktext = [plain(text) for _, text in axis.ticks]
    return dimension


def _height(axis: ParallelAxis, places: FloatArray) -> FloatArray:
    """Places as heights from 0 to 1, shape (n,)."""
    return (np.asarray(places, dtype=np.float64) - axis.low) / (axis.high - axis.low)


def _draw_lines(
    figure: Figure,
    axes: Axes,
    heights: FloatArray,
    axis: ParallelAxis,
    chosen: NDArray[np.intp],
) -> None:
    n, count = heights.shape
    xs = np.broadcast_to(np.arange(count, dtype=np.float64), heights.shape)
    paths = np.stack([xs, heights], axis=2)
    others = np.setdiff1d(np.arange(n), chosen)
    wide = 1.4 if len(chosen) < 100 else 0.7
    axes.add_collection(
        LineCollection(list(paths[others]), colors=_GREY, linewidths=0.6, alpha=0.5)
    )
    lines = LineCollection(
        list(paths[chosen]),
        cmap="viridis_r" if axis.better == "higher" else "viridis",
        norm=Normalize(axis.low, axis.high),
        linewidths=wide,
        alpha=0.85,
    )
    lines.set_array(axis.places[chosen])
    axes.add_collection(lines)
    bar = figure.colorbar(lines, cax=axes.inset_axes((1.075, 0.0, 0.014, 1.0)))
    bar.outline.set_visible(False)
    bar.set_label(axis.title, fontsize=8.5)
    if axis.log or axis.names:
        bar.set_ticks([place for place, _ in axis.ticks], labels=[text for _, text in axis.ticks])
    bar.ax.tick_params(labelsize=8)


def _draw_axis(axes: Axes, place: int, axis: ParallelAxis, ranges: Ranges) -> None:
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.0, zorder=4)
    ticks = axis.ticks or _round_ticks(axis)
    for at, text in ticks:
        height = float(_height(axis, np.array([at]))[0])
        axes.plot([place - 0.03, place], [height, height], color=INK, linewidth=0.8, zorder=4)
        axes.annotate(
            text.replace("$", r"\$"), (place, height), xytext=(-4, 0), textcoords="offset points",
            ha="right", va="center", fontsize=7.5, zorder=6,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip
    words = axis.title.replace(" [", "\n[") + (f"\n{axis.better} is better" if axis.better else "")
    axes.annotate(
        words.replace("$", r"\$"), (place, 1.0), xytext=(0, 8),
        textcoords="offset points", ha="center", va="bottom", fontsize=8,
    )  # fmt: skip
    for low, high in ranges:
        ends = np.clip(_height(axis, np.array([low, high])), 0, 1)
        axes.add_patch(
            Rectangle((place - 0.035, ends[0]), 0.07, ends[1] - ends[0], facecolor=LIMIT_COLOUR,
                      alpha=0.55, edgecolor="white", zorder=5)
        )  # fmt: skip


def _round_ticks(axis: ParallelAxis) -> list[tuple[float, str]]:
    places = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(axis.low, axis.high)
    return [(float(p), f"{p:g}") for p in places if axis.low <= p <= axis.high]
