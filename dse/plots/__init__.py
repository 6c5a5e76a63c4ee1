"""Run to figure: prepared once in numpy, drawn for the browser and for print.

What ends with `figure` and has a twin that ends with `print` is for the browser (plotly); all else
is matplotlib's. The only importer of plotly and matplotlib; importing this package loads neither:
every name below is imported when it is first used.
"""

from typing import TYPE_CHECKING

from dse.core.lazy import lazy_names

if TYPE_CHECKING:
    from dse.plots.deadline import DeadlineView, deadline_figure
    from dse.plots.front_3d import front_3d_figure, front_3d_print
    from dse.plots.front_view import FrontView
    from dse.plots.importance import KnobImportance, importance_figure
    from dse.plots.interactive import front_figure, write_html
    from dse.plots.parallel import parallel_figure, parallel_print
    from dse.plots.parallel_view import ParallelView
    from dse.plots.sankey import Flows, sankey_figure, sankey_print
    from dse.plots.simulation import PolicyPoints, SimulationView, simulation_figure
    from dse.plots.stacked import Stack, stacked_figure
    from dse.plots.static import front_print, write_png

__all__ = [
    "DeadlineView", "Flows", "FrontView", "KnobImportance", "ParallelView", "PolicyPoints",
    "SimulationView", "Stack", "deadline_figure", "front_3d_figure", "front_3d_print",
    "front_figure", "front_print", "importance_figure", "parallel_figure", "parallel_print",
    "sankey_figure", "sankey_print", "simulation_figure", "stacked_figure", "write_html",
    "write_png",
]  # fmt: skip

_HOMES = {
    **dict.fromkeys(("DeadlineView", "deadline_figure"), "dse.plots.deadline"),
    **dict.fromkeys(("front_3d_figure", "front_3d_print"), "dse.plots.front_3d"),
    "FrontView": "dse.plots.front_view",
    **dict.fromkeys(("KnobImportance", "importance_figure"), "dse.plots.importance"),
    **dict.fromkeys(("front_figure", "write_html"), "dse.plots.interactive"),
    **dict.fromkeys(("parallel_figure", "parallel_print"), "dse.plots.parallel"),
    "ParallelView": "dse.plots.parallel_view",
    **dict.fromkeys(("Flows", "sankey_figure", "sankey_print"), "dse.plots.sankey"),
    **dict.fromkeys(
        ("PolicyPoints", "SimulationView", "simulation_figure"), "dse.plots.simulation"
    ),
    **dict.fromkeys(("Stack", "stacked_figure"), "dse.plots.stacked"),
    **dict.fromkeys(("front_print", "write_png"), "dse.plots.static"),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
