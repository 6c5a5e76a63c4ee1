"""Policies that were compared on the same requests, as a figure shows them."""

from collections.abc import Mapping, Sequence

import numpy as np

from dse.online.simulation.simulation_setup import SimulationSetup
from dse.online.simulation.simulator import Simulation, Summary
from dse.plots.simulation import PolicyPoints, SimulationView


def comparison_view(
    title: str,
    setup: SimulationSetup,
    simulations: Mapping[str, Simulation],
    lines: Sequence[Summary],
    reference: str,
) -> SimulationView:
    """The view of what `compare` gives; `dse.plots.simulation_figure` draws it.

    Args:
        title: Study and workload.
        setup: That was compared on.
        simulations: Policy -> what became of the requests.
        lines: One for each policy that is drawn, in the order of the legend.
        reference: Policy that savings are told against.
    """
    points = [
        PolicyPoints(
            line.policy, simulations[line.policy].energy, line.late, line.excess, line.saving
        )
        for line in lines
    ]
    unavoidable = float(np.mean([line.unavoidable for line in lines]))
    deadline = setup.requests.deadline
    return SimulationView(title, setup.facts, deadline, unavoidable, reference, points)
