"""Policies compared on one workload: energy over deadline, deadlines missed, energy saved."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dse.core.parameters import FloatArray
from dse.core.units import notations, pretty, readable
from dse.plots.looks import INK
from dse.plots.static import DPI

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A",
           "#6A3D9A")  # fmt: skip
"""Okabe and Ito's, for colour-blind readers, and two more; lines differ in style as well."""

STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 3)), "-")

BINS = 24
"""Groups of equally many requests along the axis of deadlines."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyPoints:
    """One policy's requests.

    Attributes:
        name: Of the policy.
        energy: Of each request [J], shape (n,).
        late: Share of requests that missed their deadline [1].
        excess: Mean excess of these [s].
        saving: Energy saved against the reference [1].
    """

    name: str
    energy: FloatArray
    late: float
    excess: float
    saving: float


@dataclass(frozen=True, slots=True, eq=False)
class SimulationView:
    """What the figure shows.

    Attributes:
        title: Study and workload.
        facts: A line below the title.
        deadline: Of each request [s], shape (n,).
        unavoidable: Share of requests that no row would have met [1].
        reference: Policy that savings are told against.
        policies: In the order of the legend.
    """

    title: str
    facts: str
    deadline: FloatArray
    unavoidable: float
    reference: str
    policies: Sequence[PolicyPoints]


def simulation_figure(view: SimulationView) -> Figure:
    """Three panels; `savefig` also gives it as SVG or PDF."""
    figure = Figure(figsize=(12.0, 4.6), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    curves = figure.add_axes((0.065, 0.13, 0.40, 0.64))
    late = figure.add_axes((0.575, 0.13, 0.175, 0.64))
    saved = figure.add_axes((0.79, 0.13, 0.175, 0.64))
    _draw_curves(curves, view)
    _draw_late(late, view)
    _draw_saved(saved, view)
    title = view.title.replace("$", r"\$")
    figure.text(0.065, 0.965, title, va="top", fontsize=12, weight="bold")
    figure.text(0.065, 0.905, view.facts.replace("$", r"\$"), va="top", fontsize=8.5)
    return figure


def _draw_curves(axes: Axes, view: SimulationView) -> None:
    """Mean energy of equally many requests of neighbouring deadlines."""
    order = np.argsort(view.deadline, kind="stable")
    groups = [g for g in np.array_split(order, BINS) if len(g)]
    where, unit = readable(np.array([np.median(view.deadline[g]) for g in groups]), "s")
    _, joule = readable(np.concatenate([policy.energy for policy in view.policies]), "J")
    for i, policy in enumerate(view.policies):
        means = np.array([policy.energy[g].mean() for g in groups]) / 10.0 ** notations("J")[joule]
        axes.plot(
            where,
            means,
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
            label=policy.name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"deadline [{pretty(unit)}]")
    axes.set_ylabel(f"mean energy per request [{pretty(joule)}]")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False, ncols=2)
    axes.set_title("what a deadline costs", fontsize=9, loc="left")


def _draw_late(axes: Axes, view: SimulationView) -> None:
    shares = [100 * policy.late for policy in view.policies]
    notes = [
        f"{share:.1f} %, by {_time(policy.excess)}" if policy.late else "none"
        for share, policy in zip(shares, view.policies, strict=True)
    ]
    _draw_bars(axes, view, shares, notes)
    if view.unavoidable >= 0.02 * max(policy.late for policy in view.policies) > 0:
        axes.axvline(100 * view.unavoidable, color=INK, linewidth=0.9, linestyle="--")
        axes.text(
            100 * view.unavoidable, 1.0, "met by no row", transform=axes.get_xaxis_transform(),
            fontsize=7.5, ha="left", va="bottom",
        )  # fmt: skip
    axes.set_yticks(range(len(shares)), [policy.name for policy in view.policies], fontsize=8.5)
    axes.set_xlabel("deadlines missed [%]")
    widest = max(*shares, 1.0)
    axes.set_xlim(0, widest * 1.75)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(1.2 * widest, 100)])


def _draw_saved(axes: Axes, view: SimulationView) -> None:
    savings = [100 * policy.saving for policy in view.policies]
    _draw_bars(axes, view, savings, [f"{saving:.0f} %" for saving in savings])
    axes.set_yticks([])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(f"energy saved against {view.reference} [%]")
    axes.set_xlim(min(*savings, 0.0) * 1.25, max(*savings, 1.0) * 1.3)


def _draw_bars(
    axes: Axes, view: SimulationView, values: Sequence[float], notes: Sequence[str]
) -> None:
    for i, (value, note) in enumerate(zip(values, notes, strict=True)):
        axes.barh(i, value, height=0.62, color=COLOURS[i % len(COLOURS)], alpha=0.85)
        axes.annotate(
            note, (max(value, 0.0), i), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=7.5,
        )  # fmt: skip
    axes.set_ylim(len(view.policies) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)


def _time(seconds: float) -> str:
    values, unit = readable(np.array([seconds]), "s")
    return f"{values[0]:.3g} {pretty(unit)}"
