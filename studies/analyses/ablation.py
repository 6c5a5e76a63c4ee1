"""What the joint space is worth: each system's own space and one-by-one tuning, at equal cost.

Every arm asks the same question of the same models and may make as many real accuracy runs. An
arm frees some knobs; the others stay at what a study that leaves them out gets:

    EdgeBERT     everything on the device: compression, memory, silicon, voltage, exits
    DynaSplit    where the network is cut, all on the device and all in the cloud included, and the
                 clock (voltage or processor); no exits
    AppealNet    the layer of the device's answer, its learned or plain trust, the cloud's network
    one by one   all knobs, one after another, each at its best with what is set, until none moves;
                 once for each of several accuracies that are to be kept
    joint        all knobs at once

An arm that searches is given its networks in rounds (see `Networks`): some at random, then
relatives of those that carry the front; with these made, NSGA-II searches all other knobs in closed
form. Fronts are compared in one frame that all arms and seeds span, and by the least energy that
reaches an accuracy within the constraints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.evaluation import Chain
from dse.core.parameters import Categorical, Ordinal, Parameter, Value
from dse.core.problem import Problem, Trials
from dse.core.space import Forbidden, SearchSpace
from dse.search.loop import explore
from dse.searchers.pymoo_search import Nsga2
from search_spaces.joint import DEFAULTS, joint_space, settled
from studies.analyses.coordinate_descent import tuned
from studies.analyses.network_proposals import COMPRESSION, Network, Networks, Picked, network_knobs

SILICON = ("envm_cell", "weight_store", "mac_width")
CLOCK = ("cpu_frequency", "dvfs", "vdd", "predict_layer")
EXITS = ("exit_rule", "exit_entropy", "exit_probability", "exit_patience")
APPEAL = ("cloud_network", "appeal_signal", "beta", "appeal_threshold")

ARMS: Mapping[str, tuple[str, ...]] = {
    "EdgeBERT": (*COMPRESSION, *SILICON, *CLOCK, *EXITS),
    "DynaSplit": ("split_layer", "offload", "cpu_frequency", "vdd", "cloud_gpu"),
    "AppealNet": ("split_layer", "offload", *APPEAL),
    "one by one": (),
    "joint": (),
}
"""Arm -> the knobs that it frees; none stands for all."""

ROUNDS = 3
"""In which the networks of an arm are chosen."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What an arm may spend.

    Attributes:
        runs: Distinct real accuracy runs.
        trials: Designs priced in the last round; a round before has a quarter.
        population: Of NSGA-II.
    """

    runs: int = 16
    trials: int = 8000
    population: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What one arm found with one seed.

    Attributes:
        name: Of the arm.
        seed: Of its search.
        trials: Of its last round, which knows all of its networks.
        runs: Distinct real accuracy runs of all rounds.
    """

    name: str
    seed: int
    trials: Trials
    runs: int


def arm_space(name: str, space: SearchSpace, layers: int) -> SearchSpace:
    """The designs of an arm among those of a study.

    Args:
        name: Of the arm.
        space: Of the study.
        layers: Of the network.

    Raises:
        DseError: If there is no such arm.
    """
    if name not in ARMS:
        raise DseError(f"arm {name!r}; there are {', '.join(ARMS)}")
    free = ARMS[name] or space.names
    fixed: dict[str, Value] = {**DEFAULTS, "split_layer": layers}
    if name == "DynaSplit":  # what is sent is sent always
        fixed["appeal_threshold"] = 1.01
    kept = [p if p.name in free else settled(p, fixed[p.name]) for p in space.parameters]
    if name == "AppealNet":
        kept = [_without(p, "offload", "state") for p in kept]
    found = joint_space(tuple(kept), layers)
    if name != "DynaSplit":
        return found
    inside = _levels(found["split_layer"])
    early = tuple(float(s) for s in inside if s < layers)
    late = tuple(float(s) for s in inside if s > 0)
    rules = [
        Forbidden({"split_layer": values, "offload": (offload,)}, "DynaSplit's cuts")
        for values, offload in ((early, "none"), (late, "input"))
        if values and offload in np.asarray(_levels(found["offload"]))
    ]
    return replace(found, forbidden=(*found.forbidden, *rules))


def _levels(parameter: Parameter) -> NDArray[Any]:
    return parameter.decode(np.arange(float(parameter.count or 1)))


def _without(parameter: Parameter, name: str, value: str) -> Parameter:
    if not isinstance(parameter, Categorical) or parameter.name != name:
        return parameter
    values = tuple(v for v in parameter.values if v != value)
    return Categorical(name, values, parameter.stage)


def searched(
    name: str,
    problem: Problem,
    layers: int,
    budget: Budget,
    seed: int,
    wanted: Sequence[float],
) -> Arm:
    """One arm of the ablation.

    Args:
        name: Of the arm.
        problem: Of the whole study.
        layers: Of the network.
        budget: What it may spend.
        seed: Of every random choice.
        wanted: Accuracies [1] that tuning one by one is to keep.
    """
    space = arm_space(name, problem.space, layers)
    own = Problem(space, problem.evaluator, problem.objectives, problem.constraints)
    if name == "one by one":
        rounds = [tuned(own, layers, budget.runs, seed, wanted)]
    else:
        rounds = _evolved(own, layers, budget, seed)
    runs = {handle for trials in rounds for handle in trials.metrics["archive"].tolist()}
    return Arm(name, seed, rounds[-1], len(runs))


def _evolved(problem: Problem, layers: int, budget: Budget, seed: int) -> list[Trials]:
    """Networks in rounds, and all other knobs by NSGA-II; the trials of each round."""
    networks = Networks(problem.space, layers, seed)
    known: list[Network] = []
    found: list[Trials] = []
    for number in range(ROUNDS):
        wanted = -(-budget.runs * (number + 1) // ROUNDS)
        known += networks.more(known, wanted, found[-1] if found else None)
        space = _picking(problem.space, len(known))
        evaluator = Chain((Picked(tuple(known)), problem.evaluator))
        inner = Problem(space, evaluator, problem.objectives, problem.constraints)
        search = Nsga2(inner, seed=seed + number, batch=budget.population)
        last = number == ROUNDS - 1
        trials = budget.trials if last else max(budget.trials // 4, 1)
        # Arms are compared from random starts: the ends of two arms' spaces are not worth the same.
        nothing = np.empty((0, len(space.parameters)))
        found.append(explore(inner, search, budget=trials, opening=nothing).trials)
    return found


def _picking(space: SearchSpace, count: int) -> SearchSpace:
    """The space with the number of a network in place of its knobs."""
    gone = network_knobs(space)
    return SearchSpace(
        (
            *(p for p in space.parameters if p.name not in gone),
            Ordinal("network", tuple(float(i) for i in range(count)), "1"),
        ),
        conditions=tuple(c for c in space.conditions if c.parameter not in gone),
        forbidden=tuple(f for f in space.forbidden if not set(f.combination) & set(gone)),
    )
