"""The page: self-contained, complete in its hover, safe against hostile names."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from dse.core.failure import Failure
from dse.core.problem import Constraint, Objective, judge
from dse.plots.front_view import DRAWN, FrontView
from dse.plots.interactive import front_figure, write_html
from dse.plots.looks import LOOKS

ENERGY = Objective("energy", "J")
LATENCY = Objective("latency_p95", "s")
ACCURACY = Objective("accuracy", "1", "max")


def points(figure, name):
    """The traces of a class that hold points, one per panel."""
    return [t for t in figure.data if t.name == name and t.customdata is not None]


def page_of(figure, folder):
    folder.mkdir(exist_ok=True)
    write_html(figure, folder / "front.html")
    return (folder / "front.html").read_text(encoding="utf-8")


def own_part(page):
    """The page without plotly.js, which has addresses in it that it does not load."""
    start = page.index("plotly.js v")
    return page[: page.rindex("<script", 0, start)] + page[page.index("</script>", start) :]


def test_every_trial_that_is_drawn_is_in_every_panel_with_its_whole_design(view):
    figure = front_figure(view)
    for name in DRAWN:
        traces = points(figure, name)
        assert len(traces) == len(view.panels)
        for trace, panel in zip(traces, view.panels, strict=True):
            rows = view.drawn[name]
            assert [row[0] for row in trace.customdata] == [str(n) for n in rows]
            assert np.array_equal(trace.x, panel.x.values[rows])
            assert np.array_equal(trace.y, panel.y.values[rows])
            assert np.shape(trace.customdata)[1] == 2 + len(view.notations)
            for place, notation in enumerate(view.notations.values(), start=2):
                assert f"{notation.label}: %{{customdata[{place}]}}" in trace.hovertemplate


def test_the_hover_data_reach_the_page(view, folder):
    page = own_part(page_of(front_figure(view), folder))
    for row in view.drawn["front"].tolist():
        assert f'["{row}","feasible, on the front",' in page
    assert "(measured)" in page


def test_axis_titles_carry_units_and_limits_are_drawn(view):
    layout = front_figure(view).layout
    assert layout.xaxis.title.text == "energy [µJ], lower is better"
    assert layout.xaxis2.title.text == "latency p95 [ms], lower is better"
    assert layout.yaxis.title.text == "accuracy, higher is better"
    assert "latency p95 ≤ 4 ms" in [note.text for note in layout.annotations]
    bars = [t.marker.colorbar.title.text for t in points(front_figure(view), "front")]
    assert bars == [
        "front: latency p95 [ms], darker is better",
        "front: energy [µJ], darker is better",
    ]


def test_a_limit_on_the_first_objective_lies_across_the_panels(draw):
    view = draw(ACCURACY, ENERGY, limits=(Constraint("accuracy", "1", 0.7, "min"),))
    figure = front_figure(view)
    lines = [t for t in figure.data if t.mode == "lines" and t.line.dash == "dash"]
    assert [line.y.tolist() for line in lines] == [[0.7, 0.7]]


def test_classes_differ_by_symbol_and_by_colour():
    assert len({look.symbol for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.marker for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.colour for look in LOOKS.values()}) == len(LOOKS)


def test_the_legend_switches_a_class_in_all_panels(view):
    figure = front_figure(view)
    entries = {t.legendgroup: t for t in figure.data if t.legendgroup and t.showlegend is None}
    assert set(entries) == {"front", "dominated", "infeasible", "failed"}
    for name in DRAWN:
        assert entries[name].name == view.legend(name)
        assert {t.legendgroup for t in points(figure, name)} == {name}


def test_the_page_loads_nothing_from_outside_and_offers_no_upload(view, folder):
    page = page_of(front_figure(view), folder)
    own = own_part(page)
    assert not re.search(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", own)
    assert not re.search(r"https?:", own)
    assert "default-src 'none'" in own
    assert "form-action 'none'" in own
    assert '"showSendToCloud": false' in own


def test_equal_runs_are_equal_pages(view, folder):
    assert page_of(front_figure(view), folder) == page_of(front_figure(view), folder)


def hostile(view, text):
    """The view's run with every name, value and reason replaced by, or ending in, a text."""
    trials, question = view.trials, view.question
    names = {q.name: f"{q.name}{text}" for q in question.quantities}
    cells = np.array([f"{cell}{text}" for cell in trials.designs["envm_cell"]])
    designs = {names[k]: v for k, v in (trials.designs | {"envm_cell": cells}).items()}
    metrics = {names[k]: v for k, v in trials.metrics.items()}
    renamed = replace(
        question,
        study=text,
        quantities=tuple(
            replace(q, name=names[q.name], evidence=q.evidence and text)
            for q in question.quantities
        ),
        objectives=tuple(replace(o, name=names[o.name]) for o in question.objectives),
        constraints=tuple(replace(c, name=names[c.name]) for c in question.constraints),
    )
    reasons = tuple(why and Failure("raised", text) for why in trials.failures)
    judged = judge(renamed.objectives, renamed.constraints, trials.codes, designs, metrics, reasons)
    return FrontView.of(renamed, judged)


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        '"><img src=x onerror=alert(1)>',
        '<a href="https://example.org">look</a>',
        "</title><svg onload=alert(1)>",
        "%{customdata[0]}%{x}",
        "{title}",
        "]]>\u2028",
    ],
)
def test_hostile_names_values_and_reasons_stay_text(view, folder, text):
    figure = front_figure(hostile(view, text))
    page = page_of(figure, folder)
    calm = page_of(front_figure(view), folder)
    assert page.count("<script") == calm.count("<script")
    assert page.count("</script") == calm.count("</script")
    assert len(re.findall(r"<(img|svg|a|!--)", own_part(page))) == 0
    for trace in points(figure, "front"):
        words = " ".join([trace.hovertemplate, *map(str, trace.customdata[0])])
        assert not re.search(r"<(?!/?(b|br|extra)>)", words)
        places = re.findall(r"%\{(.*?)\}", words)
        assert places == [f"customdata[{i}]" for i in range(2 + len(view.notations))]


def test_every_shape_of_run_can_be_drawn_and_read_back(any_view, folder):
    figure = front_figure(any_view)
    assert json.loads(figure.to_json())["layout"]["title"]["text"] == "chip"
    assert len(figure.data) >= 4 + 3 * len(any_view.panels)
    assert "</html>" in page_of(figure, folder)


def test_many_points_of_one_class_are_drawn_by_the_graphics_processor(draw):
    figure = front_figure(draw(ACCURACY, ENERGY, count=8_000))
    kinds = {t.name: t.type for t in figure.data if t.customdata is not None}
    assert kinds == {"dominated": "scattergl", "infeasible": "scatter", "front": "scatter"}


def test_a_colour_over_decades_is_logarithmic_with_ticks_in_the_unit(view):
    trials = view.trials
    metrics = dict(trials.metrics) | {"energy": trials.metrics["energy"] ** 3 * 1e8}
    question = view.question
    wide = judge(
        question.objectives,
        question.constraints,
        trials.codes,
        trials.designs,
        metrics,
        trials.failures,
    )
    figure = front_figure(FrontView.of(question, wide))
    assert figure.layout.xaxis.type == "log"
    marker = points(figure, "front")[1].marker
    labels = [float(text) for text in marker.colorbar.ticktext]
    assert np.allclose(np.log10(labels), marker.colorbar.tickvals)
    assert marker.cmin <= marker.colorbar.tickvals[0] < marker.colorbar.tickvals[-1] <= marker.cmax
