"""The front in print: the same view drawn by matplotlib, without a browser or a display."""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dse.core.files import write_atomically
from dse.core.parameters import FloatArray
from dse.plots.axes import Axis
from dse.plots.front_view import CLASSES, DRAWN, FrontView, TrialClass
from dse.plots.looks import INK, LIMIT_COLOUR, LOOKS, wrapped
from dse.plots.panels import Border, Panel

DPI = 150

_SMALL = 8.0  # points
_PIXEL = 72 / 96  # points
_LINE = 0.16  # inches of one line of small text
_CHARACTERS = 15.5  # of small text per inch
_WIDTH, _HEIGHT = 4.2, 3.5  # inches of a panel
_TOP, _BOTTOM, _LEFT = 0.80, 0.60, 0.70  # inches
_GAP, _BAR_GAP = 0.25, 1.05  # inches right of a panel, without and with a colour bar


def front_print(view: FrontView) -> Figure:
    """A figure for print; `savefig` also gives it as SVG or PDF."""
    gap = _BAR_GAP if any(panel.colour for panel in view.panels) else _GAP
    width = max(_LEFT + len(view.panels) * (_WIDTH + gap), 7.2)
    facts = wrapped(view.facts, int(_CHARACTERS * width))
    failures = wrapped(view.failures, int(_CHARACTERS * width))
    bottom = _BOTTOM + _LINE * len(failures)
    height = bottom + _HEIGHT + _TOP + _LINE * len(facts)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    wide = (width - _LEFT) / len(view.panels) - gap
    first: Axes | None = None
    for place, panel in enumerate(view.panels):
        left = _LEFT + place * (wide + gap)
        box = (left / width, bottom / height, wide / width, _HEIGHT / height)
        axes = figure.add_axes(box, sharey=first)
        axes.tick_params(labelleft=first is None)
        _draw_panel(axes, panel, view)
        first = first or axes
    if first is not None:
        first.set_ylabel(_plain(view.panels[0].y.heading))
    _write_around(figure, view, facts, failures)
    return figure


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure at 150 dots per inch, atomically."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    write_atomically(path, stream.getvalue())


def _plain(text: str) -> str:
    """Text without mathematics: a dollar sign is a dollar sign."""
    return text.replace("$", r"\$")


def _draw_panel(axes: Axes, panel: Panel, view: FrontView) -> None:
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    if panel.border is not None:
        axes.add_line(_border(panel.border))
    for name in DRAWN:
        rows = view.drawn[name]
        x, y = panel.x.values[rows], panel.y.values[rows]
        if name == "front" and panel.colour is not None and len(rows):
            _draw_coloured(axes, panel, panel.colour, rows)
        else:
            axes.add_line(_markers(name, x, y))
    for limit in panel.x.limits:
        axes.axvline(limit.value, color=LIMIT_COLOUR, linewidth=0.9, linestyle="--")
        at = (limit.value, 1.0)
        _note(axes, limit.text, at, ("data", "axes fraction"), "center")
    for limit in panel.y.limits:
        axes.axhline(limit.value, color=LIMIT_COLOUR, linewidth=0.9, linestyle="--")
        _note(axes, limit.text, (0.99, limit.value), ("axes fraction", "data"), "right")
    _set_scale(axes, panel)
    axes.set_xlabel(_plain(panel.x.heading))


def _border(border: Border) -> Line2D:
    xs, ys = border.corners.T
    label = _plain(border.label)
    return Line2D(xs, ys, color=LOOKS["front"].colour, linewidth=0.9, zorder=3, label=label)


def _markers(name: TrialClass, x: FloatArray, y: FloatArray) -> Line2D:
    look = LOOKS[name]
    return Line2D(
        x,
        y,
        linestyle="none",
        marker=look.marker,
        markersize=look.size_among(len(x)) * _PIXEL,
        color=look.colour,
        alpha=look.opacity,
        markeredgecolor=INK if name == "front" else look.colour,
        markerfacecolor="none" if name == "failed" else look.colour,
        markeredgewidth=0 if name == "dominated" else 0.8,
        zorder=4 if name == "front" else 2,
    )


def _draw_coloured(axes: Axes, panel: Panel, colour: Axis, rows: NDArray[np.int64]) -> None:
    """The front, with the objective that neither axis shows as colour; dark is good."""
    dots = axes.scatter(
        panel.x.values[rows],
        panel.y.values[rows],
        c=colour.values[rows],
        s=(LOOKS["front"].size_among(len(rows)) * _PIXEL) ** 2,
        cmap="viridis" if colour.better == "lower" else "viridis_r",
        norm=(LogNorm if colour.log else Normalize)(colour.low, colour.high),
        edgecolors=INK,
        linewidths=0.5,
        zorder=4,
    )
    figure = axes.figure
    bar = figure.colorbar(dots, cax=axes.inset_axes((1.025, 0.0, 0.025, 1.0)))
    bar.outline.set_visible(False)
    bar.set_label(f"front: {_plain(colour.title)}, darker is better", fontsize=9)
    bar.ax.tick_params(labelsize=_SMALL)


def _note(axes: Axes, text: str, at: tuple[float, float], within: tuple[str, str], ha: str) -> None:
    axes.annotate(
        _plain(text),
        at,
        xycoords=within,
        xytext=(0, 2),
        textcoords="offset points",
        ha=ha,
        va="bottom",
        fontsize=_SMALL,
        color=LIMIT_COLOUR,
    )


def _set_scale(axes: Axes, panel: Panel) -> None:
    if panel.x.log:
        axes.set_xscale("log")
    if panel.y.log:
        axes.set_yscale("log")
    axes.set_xlim(panel.x.low, panel.x.high)
    axes.set_ylim(panel.y.low, panel.y.high)


def _write_around(figure: Figure, view: FrontView, facts: list[str], failures: list[str]) -> None:
    width, height = figure.get_size_inches()
    borders = [_border(panel.border) for panel in view.panels if panel.border is not None]
    left = _LEFT / width
    figure.text(left, 1 - 0.12 / height, _plain(view.title), va="top", fontsize=12, weight="bold")
    for place, lines in (
        (1 - 0.36 / height, facts),
        ((_LINE * len(failures) + 0.06) / height, failures),
    ):
        text = _plain("\n".join(lines))
        figure.text(left, place, text, va="top", fontsize=_SMALL, linespacing=1.25)
    figure.legend(
        handles=[*(_legend_entry(view, name) for name in CLASSES), *borders],
        loc="lower left",
        bbox_to_anchor=(left, 1 - (_TOP + _LINE * len(facts) - 0.2) / height),
        ncols=len(CLASSES) + len(borders),
        fontsize=_SMALL,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _legend_entry(view: FrontView, name: TrialClass) -> Line2D:
    entry = _markers(name, np.empty(0), np.empty(0))
    entry.set_alpha(1.0)
    entry.set_label(_plain(view.legend(name)))
    return entry
