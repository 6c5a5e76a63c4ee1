"""The runtime: measured trials, policies that pick a row per request, workloads, simulation.

It knows rows and columns, no hardware: what a row costs comes from a run or from measurements.
Every name below is imported when it is first used.
"""

from typing import TYPE_CHECKING

from dse.core.lazy import lazy_names

if TYPE_CHECKING:
    from dse.online.requests import Request, State
    from dse.online.simulation.comparison_view import comparison_view
    from dse.online.simulation.simulation_setup import SimulationConfig, SimulationSetup, compare
    from dse.online.trials.evaluator import MeasuredTrials, suspicions
    from dse.online.trials.store import import_trials
    from dse.online.trials.table_file import read_layout, read_trials

__all__ = [
    "MeasuredTrials", "Request", "SimulationConfig", "SimulationSetup", "State", "compare",
    "comparison_view", "import_trials", "read_layout", "read_trials", "suspicions",
]  # fmt: skip

_HOMES = {
    **dict.fromkeys(("Request", "State"), "dse.online.requests"),
    "comparison_view": "dse.online.simulation.comparison_view",
    **dict.fromkeys(
        ("SimulationConfig", "SimulationSetup", "compare"), "dse.online.simulation.simulation_setup"
    ),
    **dict.fromkeys(("MeasuredTrials", "suspicions"), "dse.online.trials.evaluator"),
    "import_trials": "dse.online.trials.store",
    **dict.fromkeys(("read_layout", "read_trials"), "dse.online.trials.table_file"),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
