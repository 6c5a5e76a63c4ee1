"""Accuracy over energy of several ways to search, all seeds: the figure of `dse ablate`."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from dse.core.units import pretty, scale_of
from dse.plots.static import DPI

Steps: TypeAlias = Sequence[tuple[float, float]]
"""Accuracy [1] and energy [J], most frugal first, both rising."""

LOOKS = (
    ("#0072B2", "-"), ("#CC79A7", "-."), ("#009E73", "--"), ("#E69F00", ":"), ("#D55E00", "-"),
)  # fmt: skip
"""Colour and dash of each arm, in the order in which they come; told apart in grey too."""


def arms_figure(
    arms: Mapping[str, Sequence[Steps]], title: str, whose: str, thick: str = ""
) -> Figure:
    """Staircases: what accuracy an energy buys, one line per seed.

    Args:
        arms: Name of an arm -> its steps, seed by seed; one without steps is left out.
        title: Of the figure.
        whose: Energy is drawn, for the axis.
        thick: The arm that is drawn thick.
    """
    figure = Figure(figsize=(7.6, 4.6), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.13, 0.13, 0.6, 0.76))
    scale, unit = scale_of([e for seeds in arms.values() for one in seeds for _, e in one])
    for (arm, seeds), (colour, dash) in zip(arms.items(), LOOKS, strict=False):
        for number, steps in enumerate(one for one in seeds if one):
            accuracy, energy = zip(*steps, strict=True)
            axes.step(
                [scale * e for e in energy], accuracy, dash, where="post", color=colour,
                lw=2.2 if arm == thick else 1.3, alpha=0.8, marker="o", ms=2.5,
                label=arm if number == 0 else None,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol=" %"))
    axes.set_xlabel(f"energy of {whose} per request [{pretty(unit)}]")
    axes.set_ylabel("accuracy, searched split")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(visible=True, which="major", lw=0.4, alpha=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.74, 0.88),
                  frameon=False, fontsize=9)  # fmt: skip
    return figure
