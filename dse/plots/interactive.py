"""The front in a browser: one page that loads nothing from outside."""

import html
import math
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from dse.core.files import write_atomically
from dse.core.parameters import FloatArray
from dse.plots.axes import Axis, number_text
from dse.plots.front_view import CLASSES, DRAWN, FrontView, TrialClass
from dse.plots.looks import INK, LIMIT_COLOUR, LOOKS, wrapped
from dse.plots.panels import Panel

WEBGL_FROM = 5_000
"""Points of one class from which the graphics processor draws them; fewer stay sharp vectors."""

_LINE = 17  # pixels of one line of small text
_PANEL = 460  # pixels
_TEXT_WIDTH = 170  # characters

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
</head>
<body style="margin: 0; background: white">
{figure}
</body>
</html>
"""
# The browser itself refuses every request. plotly.js compiles its shaders, hence the eval.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'"
)


def front_figure(view: FrontView) -> go.Figure:
    """An interactive figure: hover shows the design, the legend switches classes off and on."""
    figure = make_subplots(
        rows=1,
        cols=len(view.panels),
        shared_yaxes=True,
        horizontal_spacing=0.12 if view.panels[0].colour else 0.05,
    )
    for name in CLASSES:
        figure.add_trace(_legend_entry(view, name), row=1, col=1)
    hover = _hover_template(view)
    details = {name: _hover_texts(view.details(view.drawn[name])) for name in DRAWN}
    for column, panel in enumerate(view.panels, start=1):
        if panel.border is not None:
            line = _line(panel.border.corners, LOOKS["front"].colour)
            line.update(name=plain(panel.border.label), showlegend=True)
            figure.add_trace(line, row=1, col=column)
        right = figure.layout[f"xaxis{column if column > 1 else ''}"].domain[1]
        for name in DRAWN:
            trace = _points(panel, name, view.drawn[name], right)
            trace.hovertemplate = hover
            trace.customdata = details[name]
            figure.add_trace(trace, row=1, col=column)
        _draw_axes(figure, panel, column)
    _lay_out(figure, view)
    return figure


def write_html(figure: go.Figure, path: Path) -> None:
    """Write a figure as one page, atomically; equal figures are equal bytes."""
    body = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="front",
        config={
            # By default plotly.js 4 offers a button that sends the data to its maker's cloud.
            "showSendToCloud": False,
            "typesetMath": False,
            "displaylogo": False,
            "responsive": True,
            "toImageButtonOptions": {"format": "svg", "filename": "front"},
        },
    )
    page = _PAGE.format(policy=_POLICY, title=figure.layout.title.text, figure=body)
    write_atomically(path, page)


def plain(text: str) -> str:
    """Text that plotly shows letter by letter: no tag, no link, no template of its own."""
    return html.escape(text, quote=False).replace("%{", "&#37;{")


def _hover_texts(columns: list[list[str]]) -> NDArray[np.object_]:
    """One row of texts per point; as an array, for plotly walks through lists item by item."""
    texts = [[plain(text) for text in column] for column in columns]
    return np.array(texts, dtype=np.object_).T


def _hover_template(view: FrontView) -> str:
    knobs = {q.name for q in view.question.knobs}
    lines = ["<b>trial %{customdata[0]}</b>: %{customdata[1]}<br>"]
    for place, (name, notation) in enumerate(view.notations.items(), start=2):
        text = f"{plain(notation.label)}: %{{customdata[{place}]}}"
        evidence = plain(str(view.question[name].evidence))
        lines.append(text if name in knobs else f"<b>{text}</b> ({evidence})")
    return "<br>".join(lines) + "<extra></extra>"


def _legend_entry(view: FrontView, name: TrialClass) -> go.Scatter:
    look = LOOKS[name]
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=plain(view.legend(name)),
        legendgroup=name,
        legendrank=CLASSES.index(name) + 1,
        marker={"symbol": look.symbol, "color": look.colour, "size": look.size + 2},
    )


def _points(
    panel: Panel, name: TrialClass, rows: NDArray[np.int64], right: float
) -> go.Scatter | go.Scattergl:
    look = LOOKS[name]
    marker: dict[str, object] = {
        "symbol": look.symbol,
        "size": look.size_among(len(rows)),
        "opacity": look.opacity,
        "color": look.colour,
    }
    if name == "front":
        marker["line"] = {"color": INK, "width": 1}
        if panel.colour is not None:
            marker |= _coloured(panel.colour, rows, right)
    kind = go.Scattergl if len(rows) >= WEBGL_FROM else go.Scatter
    return kind(
        x=panel.x.values[rows],
        y=panel.y.values[rows],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=False,
        marker=marker,
    )


def _coloured(axis: Axis, rows: NDArray[np.int64], right: float) -> dict[str, object]:
    values = axis.values[rows]
    ticks = _decades(axis)
    return {
        "color": np.log10(values) if axis.log else values,
        "cmin": _place(axis, axis.low),
        "cmax": _place(axis, axis.high),
        "colorscale": "Viridis",
        "reversescale": axis.better == "higher",
        "colorbar": {
            "title": {"text": f"front: {plain(axis.title)}, darker is better", "side": "right"},
            "x": right + 0.005,
            "thickness": 12,
            "outlinewidth": 0,
            "tickvals": [_place(axis, tick) for tick in ticks] or None,
            "ticktext": [number_text(tick) for tick in ticks] or None,
        },
    }


def _decades(axis: Axis) -> list[float]:
    """Ticks of a logarithmic colour bar, which plotly does not know by itself; else none."""
    if not axis.log:
        return []
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if axis.low <= tick <= axis.high]


def _line(corners: FloatArray, colour: str, dash: str = "solid") -> go.Scatter:
    return go.Scatter(
        x=corners[:, 0],
        y=corners[:, 1],
        mode="lines",
        line={"color": colour, "width": 1.2, "dash": dash},
        hoverinfo="skip",
        showlegend=False,
    )


def _draw_axes(figure: go.Figure, panel: Panel, column: int) -> None:
    for axis, update in ((panel.x, figure.update_xaxes), (panel.y, figure.update_yaxes)):
        ends = [_place(axis, axis.low), _place(axis, axis.high)]
        update(range=ends, type="log" if axis.log else "linear", row=1, col=column)
    figure.update_xaxes(title_text=plain(panel.x.heading), row=1, col=column)
    if column == 1:
        figure.update_yaxes(title_text=plain(panel.y.heading), row=1, col=1)
    for limit in panel.x.limits:
        corners = np.array([[limit.value, panel.y.low], [limit.value, panel.y.high]])
        figure.add_trace(_line(corners, LIMIT_COLOUR, "dash"), row=1, col=column)
        at = {"x": _place(panel.x, limit.value), "y": 1, "yref": "y domain", "xanchor": "center"}
        figure.add_annotation(_note(limit.text, at), row=1, col=column)
    for limit in panel.y.limits:
        corners = np.array([[panel.x.low, limit.value], [panel.x.high, limit.value]])
        figure.add_trace(_line(corners, LIMIT_COLOUR, "dash"), row=1, col=column)
        at = {"x": 1, "xref": "x domain", "y": _place(panel.y, limit.value), "xanchor": "right"}
        figure.add_annotation(_note(limit.text, at), row=1, col=column)


def _note(text: str, at: dict[str, object]) -> dict[str, object]:
    font = {"size": 11, "color": LIMIT_COLOUR}
    return {"text": plain(text), "showarrow": False, "yanchor": "bottom", "font": font, **at}


def _place(axis: Axis, value: float) -> float:
    """A value as plotly's ranges and annotations want it: on a logarithmic axis, its logarithm."""
    return float(np.log10(value)) if axis.log else value


def _lay_out(figure: go.Figure, view: FrontView) -> None:
    facts = wrapped(view.facts, _TEXT_WIDTH)
    failures = wrapped(view.failures, _TEXT_WIDTH)
    top = 115 + _LINE * len(facts)
    bottom = 70 + _LINE * len(failures)
    figure.update_layout(
        template="simple_white",
        height=_PANEL + top + bottom,
        margin={"t": top, "b": bottom, "l": 75, "r": 40},
        hovermode="closest",
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"color": INK}},
        font={"color": INK, "size": 13},
        title={
            "text": plain(view.title),
            "subtitle": {
                "text": "<br>".join(map(plain, facts)),
                "font": {"size": 12.5, "weight": 400},
            },
            "font": {"weight": 700},
            "xref": "paper",
            "x": 0,
            "y": 1 - 30 / (_PANEL + top + bottom),
            "yanchor": "top",
        },
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1 + 24 / _PANEL,
            "yanchor": "bottom",
            "itemdoubleclick": "toggleothers",
        },
    )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(showgrid=True, gridcolor="#EEEEEE", mirror=True, exponentformat="power")
    if failures:
        figure.add_annotation(_footnote(failures))


def _footnote(lines: list[str]) -> dict[str, object]:
    return {
        "text": "<br>".join(map(plain, lines)),
        "align": "left",
        "showarrow": False,
        "font": {"size": 12},
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": -60 / _PANEL,
        "xanchor": "left",
        "yanchor": "top",
    }
