"""Energy against deadline: every configuration, and the least that each deadline has to cost."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.units import notations, pretty, readable
from dse.plots.looks import INK, LIMIT_COLOUR
from dse.plots.static import DPI

_LOOKS = (("o", "#0072B2"), ("s", "#E69F00"), ("^", "#009E73"), ("D", "#CC79A7"))
_RINGS = ("o", "s", "D", "^")


@dataclass(frozen=True, slots=True, eq=False)
class DeadlineView:
    """Configurations that a runtime may set, shape (k,) each.

    Attributes:
        title: Of the figure.
        latency: Of one request [s], above 0.
        energy: Of one request [J], above 0.
        groups: What configurations are called -> which they are; each has a symbol of its own.
        marked: What single configurations are called -> row.
    """

    title: str
    latency: FloatArray
    energy: FloatArray
    groups: Mapping[str, NDArray[np.bool_]]
    marked: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.latency.shape != self.energy.shape or not len(self.latency):
            raise DseError(f"latency {self.latency.shape} and energy {self.energy.shape} differ")
        if not (self.latency > 0).all() or not (self.energy > 0).all():
            raise DseError("latency and energy must be positive: the axes are logarithmic")

    def least(self) -> NDArray[np.intp]:
        """The staircase: fastest row first, each of the others slower and cheaper than the last."""
        order = np.lexsort([self.energy, self.latency])
        best = np.minimum.accumulate(self.energy[order])
        cheaper = np.concatenate([[True], best[1:] < best[:-1]])
        return np.asarray(order[cheaper], dtype=np.intp)


def deadline_figure(view: DeadlineView) -> Figure:
    """All rows, the staircase of the least energy in time, and marked rows."""
    figure = Figure(figsize=(8.4, 4.8), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.12, 0.66, 0.76))
    _, second = readable(view.latency, "s")
    _, joule = readable(view.energy, "J")
    x = view.latency / 10.0 ** notations("s")[second]
    y = view.energy / 10.0 ** notations("J")[joule]
    for (name, rows), (marker, ink) in zip(view.groups.items(), _LOOKS, strict=False):
        axes.plot(x[rows], y[rows], linestyle="none", marker=marker, markersize=4.5, color=ink,
                  alpha=0.6, markeredgewidth=0, label=f"{name} ({int(rows.sum())})")  # fmt: skip
    steps = view.least()
    axes.step(
        np.append(x[steps], 1.5 * x.max()), np.append(y[steps], y[steps][-1]), where="post",
        color=INK, linewidth=1.4, label="least energy in time",
    )  # fmt: skip
    axes.axvspan(0.6 * x.min(), x[steps[0]], color="#EEEEEE", zorder=0, label="nothing is in time")
    for (name, row), ring in zip(view.marked.items(), _RINGS, strict=False):
        axes.plot(x[row], y[row], marker=ring, markersize=12, markerfacecolor="none", label=name,
                  markeredgecolor=LIMIT_COLOUR, markeredgewidth=1.6, linestyle="none")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.6 * x.min(), 1.5 * x.max())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"latency of the configuration, or deadline of the request [{pretty(second)}]")
    axes.set_ylabel(f"energy per request [{pretty(joule)}]")
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="center left", bbox_to_anchor=(0.755, 0.5), fontsize=8, frameon=False)
    title = view.title.replace("$", r"\$")
    figure.text(0.02, 0.975, title, va="top", fontsize=11, weight="bold")
    return figure
