"""Where one total goes, split and gathered again: a Sankey diagram, interactive and for print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.units import pretty, readable
from dse.plots.interactive import plain
from dse.plots.looks import INK
from dse.plots.stacked import COLOURS
from dse.plots.static import DPI

MOST_NODES = 30

_GAP = 0.03  # of the height, between two nodes of a column
_WIDE = 0.035  # of a node, columns standing 1 apart


@dataclass(frozen=True, slots=True)
class Link:
    """So much [SI unit] flows from one node to another."""

    source: str
    target: str
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """A total on its way through columns of nodes.

    Attributes:
        columns: Nodes of each column, from left to right, top to bottom.
        links: Between neighbouring columns; none of them is nought.
        unit: SI unit of the values.
        coloured: Nodes with a colour of their own, in the order of the colours.

    Raises:
        DseError: If there are too many nodes, or a link joins nodes of columns that are not
            neighbours, or what flows into an inner node does not flow out again.
    """

    columns: tuple[tuple[str, ...], ...]
    links: tuple[Link, ...]
    unit: str
    coloured: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        whole: str,
        parts: Mapping[str, FloatArray],
        stages: Sequence[str],
        kinds: Mapping[str, str],
        unit: str,
    ) -> "Flows":
        """A total that stages spend on components, which are of few kinds.

        Args:
            whole: What the total is called.
            parts: Component -> what each stage spends on it, shape (stages,).
            stages: Their names.
            kinds: Component -> its kind.
            unit: SI unit of the values.

        Raises:
            DseError: If a component has no kind.
        """
        missing = [name for name in parts if name not in kinds]
        if missing:
            raise DseError(f"component {missing[0]} has no kind; there are {', '.join(kinds)}")
        totals = {name: float(np.sum(values)) for name, values in parts.items()}
        used = [name for name in parts if totals[name] > 0]
        spent = {
            stage: float(sum(float(parts[name][i]) for name in used))
            for i, stage in enumerate(stages)
        }
        alive = [stage for stage in stages if spent[stage] > 0]
        last = sorted({kinds[name] for name in used}, key=[*kinds.values()].index)
        used.sort(key=lambda name: (last.index(kinds[name]), -totals[name]))
        links = [Link(whole, stage, spent[stage]) for stage in alive]
        for i, stage in enumerate(stages):
            links += [Link(stage, n, float(parts[n][i])) for n in used if parts[n][i] > 0]
        links += [Link(name, kinds[name], totals[name]) for name in used]
        return cls(
            ((whole,), tuple(alive), tuple(used), tuple(last)), tuple(links), unit, tuple(parts)
        )

    def __post_init__(self) -> None:
        nodes = [node for column in self.columns for node in column]
        if len(nodes) > MOST_NODES or len(set(nodes)) < len(nodes):
            raise DseError(f"{len(nodes)} nodes; at most {MOST_NODES}, each name once")
        where = {node: i for i, column in enumerate(self.columns) for node in column}
        for link in self.links:
            if where[link.target] - where[link.source] != 1:
                raise DseError(f"{link.source} and {link.target} are not in neighbouring columns")
        for node in (node for column in self.columns[1:-1] for node in column):
            came, went = self.into(node), self.out_of(node)
            if not np.isclose(came, went, rtol=1e-9, atol=0.0):
                raise DseError(f"{node}: {came!r} flows in and {went!r} flows out")

    def into(self, node: str) -> float:
        """What flows into a node [unit]."""
        return sum(link.value for link in self.links if link.target == node)

    def out_of(self, node: str) -> float:
        """What flows out of a node [unit]."""
        return sum(link.value for link in self.links if link.source == node)

    def size(self, node: str) -> float:
        """What passes a node [unit]."""
        return max(self.into(node), self.out_of(node))

    def text(self, node: str) -> str:
        """A node as it is labelled: name, value, share of the total."""
        size, whole = self.size(node), self.size(self.columns[0][0])
        values, unit = readable(np.array([size]), self.unit)
        share = f", {100 * size / whole:.3g} %" if node != self.columns[0][0] else ""
        return f"{node.replace('_', ' ')}: {values[0]:.3g} {pretty(unit)}{share}"


def sankey_figure(flows: Flows, title: str) -> go.Figure:
    """The flows in a browser: hover shows each, nodes can be dragged."""
    nodes = [node for column in flows.columns for node in column]
    inks = _colours(flows)
    number = {node: i for i, node in enumerate(nodes)}
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [plain(flows.text(node)) for node in nodes],
                "color": [inks[node] for node in nodes],
                "pad": 14,
                "thickness": 14,
                "line": {"color": INK, "width": 0.5},
                "hovertemplate": "%{label}<extra></extra>",
            },
            link={
                "source": [number[link.source] for link in flows.links],
                "target": [number[link.target] for link in flows.links],
                "value": [link.value for link in flows.links],
                "color": [_faded(inks[_inked(link, flows)]) for link in flows.links],
                "hovertemplate": "%{value:.3s}" + plain(pretty(flows.unit)) + "<extra></extra>",
            },
        )
    )
    figure.update_layout(
        template="simple_white", height=520, margin={"t": 60, "b": 20, "l": 10, "r": 10},
        font={"color": INK, "size": 12}, title={"text": plain(title), "x": 0.01},
    )  # fmt: skip
    return figure


def sankey_print(flows: Flows, title: str) -> Figure:
    """The same for print: heights are in proportion to what flows."""
    figure = Figure(figsize=(11.5, 5.6), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.012, 0.975, title.replace("$", r"\$"), va="top", fontsize=11, weight="bold")
    axes = figure.add_axes((0.012, 0.03, 0.976, 0.87))
    axes.axis("off")
    axes.set_xlim(-0.02, len(flows.columns) - 0.3)
    axes.set_ylim(-0.02, 1.02)
    inks, scale = _colours(flows), _scale(flows)
    tops = _tops(flows, scale)
    for column, nodes in enumerate(flows.columns):
        for node in nodes:
            tall = flows.size(node) * scale
            corner = (column, tops[node] - tall)
            axes.add_patch(
                Rectangle(corner, _WIDE, tall, facecolor=inks[node], edgecolor=INK, linewidth=0.5,
                          zorder=3)
            )  # fmt: skip
            axes.annotate(
                flows.text(node).replace("$", r"\$"), (column + _WIDE, tops[node] - tall / 2),
                xytext=(3, 0), textcoords="offset points", va="center", fontsize=8, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    _draw_links(axes, flows, inks, tops, scale)
    return figure


def _scale(flows: Flows) -> float:
    """Height per unit, so that the fullest column fits with its gaps."""
    whole = flows.size(flows.columns[0][0])
    most = max(len(column) for column in flows.columns)
    return (1.0 - _GAP * (most - 1)) / whole


def _tops(flows: Flows, scale: float) -> dict[str, float]:
    """Upper edge of each node, columns centred."""
    tops: dict[str, float] = {}
    for column in flows.columns:
        talls = [flows.size(node) * scale for node in column]
        free = 1.0 - sum(talls)
        gap = min(free / max(len(column) - 1, 1), 2.5 * _GAP)
        top = 0.5 + (sum(talls) + gap * (len(column) - 1)) / 2
        for node, tall in zip(column, talls, strict=True):
            tops[node] = top
            top -= tall + gap
    return tops


def _draw_links(
    axes: Axes, flows: Flows, inks: Mapping[str, str], tops: Mapping[str, float], scale: float
) -> None:
    left, right = dict(tops), dict(tops)
    places = {node: i for i, column in enumerate(flows.columns) for node in column}
    order = {node: i for column in flows.columns for i, node in enumerate(column)}
    for here, there in pairwise(range(len(flows.columns))):
        links = [link for link in flows.links if places[link.source] == here]
        links.sort(key=lambda link: (order[link.source], order[link.target]))
        for link in links:
            tall = link.value * scale
            a, b = left[link.source], right[link.target]
            left[link.source], right[link.target] = a - tall, b - tall
            xs, middle = (here + _WIDE, float(there)), (here + _WIDE + there) / 2
            corners = [(xs[0], a), (middle, a), (middle, b), (xs[1], b)]
            below = [(x, y - tall) for x, y in reversed(corners)]
            codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3,
                     Path.CLOSEPOLY]  # fmt: skip
            shape = Path([*corners, *below, corners[0]], codes)
            ink = inks[_inked(link, flows)]
            axes.add_patch(PathPatch(shape, facecolor=ink, alpha=0.42, edgecolor="none", zorder=2))


def _colours(flows: Flows) -> dict[str, str]:
    """The colours of `stacked` for nodes that have one; the others are grey."""
    inks = {node: "#9A9A9A" for column in flows.columns for node in column}
    shown = {node: COLOURS[i % len(COLOURS)] for i, node in enumerate(flows.coloured)}
    return inks | {node: ink for node, ink in shown.items() if node in inks}


def _inked(link: Link, flows: Flows) -> str:
    """The end of a link that gives its colour: one that has a colour, if there is one."""
    return link.target if link.target in flows.coloured else link.source


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.4)"
