"""Three objectives of a front at once: to turn in a notebook, and from one side for print."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.plots.axes import Axis, Notation
from dse.plots.interactive import plain
from dse.plots.looks import INK, LIMIT_COLOUR
from dse.plots.static import DPI
from dse.results.front import Front

Marked = Mapping[str, Sequence[int] | NDArray[np.intp]]
"""What rows are called -> rows of the front."""

MOST_TOLD = 10_000
"""Designs up to which hover shows every knob and metric; of more, the trial and three values."""

_MARKS = (("diamond", "D", LIMIT_COLOUR), ("square-open", "s", INK), ("cross", "P", "#CC79A7"))
"""Symbols of marked rows: plotly's, matplotlib's, colour."""


def front_3d_figure(
    front: Front, names: Sequence[str] | None = None, marked: Mapping[str, Any] | None = None
) -> go.Figure:
    """A front in three of its metrics; drag to turn, hover shows the whole design.

    Args:
        front: Not empty.
        names: Three metrics: left, right, up; the first is up if they are not given, as in
            `front_figure`.
        marked: What to mark -> rows of the front.

    Raises:
        DseError: If the front is empty or there are not three such metrics.
    """
    x, y, z = _axes(front, names)
    look = {"size": 4, "line": {"color": INK, "width": 0.5}, "showscale": False}
    colour = {"color": z.values, "colorscale": "Viridis", "reversescale": z.better == "higher"}
    figure = go.Figure(
        go.Scatter3d(
            x=x.values, y=y.values, z=z.values, mode="markers", marker={**look, **colour},
            name=f"front ({len(front):,})", text=_hover(front),
            hovertemplate="%{text}<br>(%{x:.4g}, %{y:.4g}, %{z:.4g})<extra></extra>",
        )
    )  # fmt: skip
    for (label, rows), (symbol, _, ink) in zip((marked or {}).items(), _MARKS, strict=False):
        at = np.asarray(rows, dtype=np.intp)
        figure.add_trace(
            go.Scatter3d(
                x=x.values[at], y=y.values[at], z=z.values[at], mode="markers", name=plain(label),
                marker={"size": 7, "symbol": symbol, "color": ink}, hoverinfo="skip",
            )
        )  # fmt: skip
    scene = {
        f"{key}axis": {
            "title": {"text": plain(axis.heading)},
            "type": "log" if axis.log else "linear",
            "showgrid": True,
            "gridcolor": "#DDDDDD",
        }
        for key, axis in (("x", x), ("y", y), ("z", z))
    }
    eye = {"x": 1.7, "y": -1.7, "z": 0.8}
    figure.update_layout(
        template="simple_white",
        height=560,
        margin={"t": 60, "b": 10, "l": 10, "r": 10},
        font={"color": INK, "size": 12},
        title={"text": plain(f"{front.question.study}: {len(front):,} designs"), "x": 0.02},
        scene={**scene, "camera": {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.2}}},
        legend={"orientation": "h", "x": 0.02, "y": 1.0},
    )
    return figure


def front_3d_print(
    front: Front, names: Sequence[str] | None = None, marked: Mapping[str, Any] | None = None
) -> Figure:
    """The same for print; arguments and errors as `front_3d_figure`.

    A logarithmic axis shows decimal logarithms and says so. Stems drop to the floor, because a
    point in space has no place on paper without one.
    """
    shown = _axes(front, names)
    places = [np.log10(axis.values) if axis.log else axis.values for axis in shown]
    x, y, z = places
    figure = Figure(figsize=(7.4, 5.6), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_axes((0.0, 0.03, 0.92, 0.92), projection="3d", computed_zorder=False)
    axes.view_init(elev=22, azim=-55)
    low, high = float(z.min()), float(z.max())
    floor = low - 0.06 * ((high - low) or 1.0)
    for left, right, up in zip(x, y, z, strict=True):
        axes.plot(
            [left, left], [right, right], [floor, up], color="#BBBBBB", linewidth=0.6, zorder=1
        )
    axes.scatter(
        x, y, z, c=z, cmap="viridis_r" if shown[2].better == "higher" else "viridis", s=26,
        edgecolors=INK, linewidths=0.4, depthshade=False, label=f"front ({len(front):,})", zorder=2,
    )  # fmt: skip
    for (label, rows), (_, marker, ink) in zip((marked or {}).items(), _MARKS, strict=False):
        at = np.asarray(rows, dtype=np.intp)
        face = "none" if marker == "s" else ink
        axes.scatter(x[at], y[at], z[at], marker=marker, s=90, facecolors=face, edgecolors=ink,
                     linewidths=1.4, depthshade=False, label=label, zorder=3)  # fmt: skip
    for axis, name in zip(shown, "xyz", strict=True):
        title = f"log₁₀ {axis.title}" if axis.log else axis.title
        words = f"{title}\n{axis.better} is better" if axis.better else title
        getattr(axes, f"set_{name}label")(words.replace("$", r"\$"), fontsize=9, labelpad=10)
    axes.set_zlim(floor, high)
    axes.tick_params(labelsize=8)
    axes.set_box_aspect(None, zoom=0.86)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    title = f"{front.question.study}: {len(front):,} designs".replace("$", r"\$")
    figure.text(0.03, 0.975, title, va="top", fontsize=11, weight="bold")
    return figure


def _axes(front: Front, names: Sequence[str] | None) -> tuple[Axis, Axis, Axis]:
    if not len(front):
        raise DseError("the front is empty: no trial is feasible")
    wanted = {o.name: o.direction for o in front.question.objectives}
    if names is None:
        first, *others = wanted
        names = (*others[:2], first)
    if len(names) != 3:
        raise DseError(f"{len(names)} metrics ({', '.join(names)}): three are drawn, name them")
    made = []
    for name in names:
        quantity, column = front.question[name], front.trials.metrics.get(name)
        if column is None or column.dtype.kind == "U":
            raise DseError(f"{name} is no metric with a number")
        how = Notation.of(quantity, column)
        better = {"min": "lower", "max": "higher"}.get(wanted.get(name, ""))
        made.append(Axis.of(how.title, better, how.scaled(column)))  # type: ignore[arg-type]
    return made[0], made[1], made[2]


def _hover(front: Front) -> list[str]:
    """What hover says of each design."""
    numbers = [f"<b>trial {number}</b>" for number in front.numbers.tolist()]
    if len(front) > MOST_TOLD:
        return numbers
    columns = {**front.trials.designs, **front.trials.metrics}
    lines = [numbers]
    for quantity in front.question.quantities:
        if quantity.unit != "handle":
            how = Notation.of(quantity, columns[quantity.name])
            texts = how.texts(columns[quantity.name])
            lines.append([f"{plain(how.label)}: {plain(text)}" for text in texts])
    return ["<br>".join(row) for row in zip(*lines, strict=True)]
