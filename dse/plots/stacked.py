"""Totals taken apart: bars of components stacked to the very totals that they are parts of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.units import notations, pretty, readable
from dse.plots.looks import INK
from dse.plots.static import DPI

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A8A8A", "#F0E442",
           "#6A3D9A", "#FFFFFF")  # fmt: skip
"""Okabe and Ito's, and three more; components differ in hatching as well."""

HATCHES = ("", "//", "", "..", "\\\\", "", "xx", "", "--", "oo")

TOLERANCE = 1e-9
"""Relative difference of parts and total up to which it is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Some totals and their parts.

    Attributes:
        title: Above the panel.
        places: What each bar is, length k.
        parts: Component -> share of each total in the SI unit, shape (k,); not negative.
        total: What the parts must sum to, shape (k,).

    Raises:
        DseError: If they do not, or a part is negative.
    """

    title: str
    places: Sequence[str]
    parts: Mapping[str, FloatArray]
    total: FloatArray

    def __post_init__(self) -> None:
        columns = np.array(list(self.parts.values()))
        if columns.min(initial=0.0) < 0:
            raise DseError(f"{self.title}: a part is negative, {columns.min():.4g}")
        sums = columns.sum(axis=0)
        bad = np.flatnonzero(~np.isclose(sums, self.total, rtol=TOLERANCE, atol=0.0))
        if len(bad):
            i = int(bad[0])
            raise DseError(
                f"{self.title}, {self.places[i]}: the parts sum to {sums[i]!r}, the total is "
                f"{self.total[i]!r}"
            )


def stacked_figure(
    stacks: Sequence[Stack], unit: str, title: str, *, quantity: str, across: str
) -> Figure:
    """One panel per stack, each with an upright scale of its own that begins at nought.

    Args:
        stacks: With the same components.
        unit: SI unit of the values.
        title: Of the figure.
        quantity: What is stacked, for the upright axis.
        across: What the bars are, for the level axis.
    """
    names = _ordered(stacks)
    wide = [max(0.55 * len(stack.places) + 0.4, 2.2) for stack in stacks]
    width, height = sum(wide) + 0.72 * len(stacks) + 1.75, 4.3
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.12 / width, 0.975, title.replace("$", r"\$"), va="top", fontsize=11,
                weight="bold")  # fmt: skip
    left = 0.0
    for place, stack in enumerate(stacks):
        left += 0.72
        box = (left / width, 0.17, wide[place] / width, 0.65)
        axes = figure.add_axes(box)
        _draw_stack(axes, stack, names, unit)
        axes.set_xlabel(across, fontsize=9)
        if place == 0:
            axes.set_ylabel(f"{quantity} {axes.get_ylabel()}", fontsize=9)
        left += wide[place]
    looks = _looks(list(stacks[0].parts))
    handles = [Patch(label=name.replace("_", " "), **looks[name]) for name in reversed(names)]
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=((left + 0.08) / width, 0.5),
        fontsize=8, frameon=False, handlelength=1.6, handleheight=1.2,
    )  # fmt: skip
    return figure


def _ordered(stacks: Sequence[Stack]) -> list[str]:
    """Components that are anywhere above nought, the largest first, which lies at the bottom."""
    first = list(stacks[0].parts)
    for stack in stacks:
        if list(stack.parts) != first:
            raise DseError(f"{stack.title} has the parts {list(stack.parts)}, others {first}")
    sizes = {
        name: sum(float((s.parts[name] / s.total.max()).sum()) for s in stacks) for name in first
    }
    return sorted((name for name in first if sizes[name] > 0), key=lambda name: -sizes[name])


def _looks(components: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Component -> its look; by its place among all, so that figures of one machine agree."""
    return {
        name: {
            "facecolor": COLOURS[i % len(COLOURS)],
            "hatch": HATCHES[i % len(HATCHES)],
            "edgecolor": INK,
            "linewidth": 0.4,
        }
        for i, name in enumerate(components)
    }


def _draw_stack(axes: Axes, stack: Stack, names: Sequence[str], unit: str) -> None:
    _, notation = readable(np.array([float(stack.total.max())]), unit)
    scale = 10.0 ** notations(unit)[notation]
    floor = np.zeros(len(stack.total))
    looks = _looks(list(stack.parts))
    for name in names:
        sizes = stack.parts[name] / scale
        axes.bar(range(len(sizes)), sizes, 0.72, bottom=floor, **looks[name])
        floor = floor + sizes
    for i, whole in enumerate((stack.total / scale).tolist()):
        axes.annotate(f"{whole:.3g}", (i, floor[i]), xytext=(0, 2), textcoords="offset points",
                      ha="center", va="bottom", fontsize=7.5)  # fmt: skip
    axes.set_ylim(0, 1.1 * float(floor.max()))
    axes.set_xticks(range(len(stack.places)), list(stack.places), fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(stack.title.replace("$", r"\$"), fontsize=9, loc="left")
    axes.set_ylabel(f"[{pretty(notation)}]", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
