"""Composes DynaSplit: a network cut between an edge board and a cloud node, in closed form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dse.core.evaluation import InBatches
from dse.core.parameters import FloatArray, Parameter
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.study.system import Breakdown, Composed, Requests, Section, Spreader, System, Watcher
from hw_models import SplitComputing
from hw_models.link import lan_testbed
from hw_models.split import break_down_split
from search_spaces.dynasplit import DOMAIN, corners, narrowed
from studies.dynasplit.testbed import ASSUMED, Priced, priced_testbed
from studies.provenance import table_facts


class Settings(Section):
    """What stays fixed in a DynaSplit study.

    Attributes:
        network: What is cut.
        sequence_length: Tokens of an encoder's sentence.
        bandwidth_mbit_s: Goodput of the link [Mbit/s]; None takes the published testbed's 592.
        waiting_w: Power of the board while it waits for link and cloud [W].
        cloud_idle_w: Power of the node that is not charged to the request [W].
        cloud_cpu_slowdown: Arithmetic time of the node with its GPU off over on [1]; assumed.
    """

    network: Priced = "bert-base"
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 128
    bandwidth_mbit_s: Annotated[float, Field(gt=0)] | None = None
    waiting_w: Annotated[float, Field(ge=0)] = ASSUMED("board_idle")
    cloud_idle_w: Annotated[float, Field(ge=0, le=887)] = 0.0
    cloud_cpu_slowdown: Annotated[float, Field(ge=1)] = ASSUMED("cpu_slowdown")


@dataclass(frozen=True, slots=True, eq=False)
class SplitAt:
    """Evaluator: a split at one bandwidth, with what a runtime needs to reprice it at another.

    Latency is latency_floor + transfer_bits / bandwidth, energy is energy_floor + transfer_power
    times that transfer time; both hold at every bandwidth.

    Attributes:
        model: Board, link and node.
        bandwidth: Goodput of the link [bit/s].
    """

    model: SplitComputing
    bandwidth: float

    outputs: ClassVar[Mapping[str, str]] = {
        "latency": "s",
        "energy": "J",
        "latency_edge": "s",
        "latency_transfer": "s",
        "latency_cloud": "s",
        "energy_edge": "J",
        "energy_cloud": "J",
        "latency_floor": "s",
        "energy_floor": "J",
        "transfer_bits": "bit",
        "transfer_power": "W",
    }

    @property
    def signature(self) -> Signature:
        """Reads what the model does, but for the bandwidth, which is a fact and no choice."""
        reads = {name: unit for name, unit in self.model.inputs.items() if name != "bandwidth"}
        return Signature.uniform(reads, self.outputs, self.model.founded)

    def __call__(self, columns: Columns) -> Columns:
        """Latency and energy of one request by part, shape (n,) each.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        here, ideal = (self._parts(columns, b) for b in (self.bandwidth, np.inf))
        split = columns["split_layer"].astype(np.intp)
        waits = self.model.edge.waiting + self.model.link.base_power
        spent = here["energy"]
        return {
            **{name: _sum(here[name]) for name in here},
            **{f"latency_{part}": time for part, time in here["latency"].items()},
            "energy_edge": spent["edge"] + spent["waiting"],
            "energy_cloud": spent["transfer"] + spent["cloud"],
            **{f"{name}_floor": _sum(ideal[name]) for name in ideal},
            "transfer_bits": 8.0 * self.model.sizes[split],
            "transfer_power": np.full(len(split), waits),
        }

    def _parts(self, columns: Columns, bandwidth: float) -> dict[str, dict[str, FloatArray]]:
        link = np.full(len(columns["split_layer"]), bandwidth)
        return self.model.parts({**columns, "bandwidth": link})


def _sum(parts: Mapping[str, FloatArray]) -> FloatArray:
    return np.asarray(np.sum(list(parts.values()), axis=0), dtype=np.float64)


METRICS: Mapping[str, str] = {
    name: unit for name, unit in SplitAt.outputs.items() if not name.startswith("transfer_")
}


def compose(settings: Settings, _spread: Spreader, _watch: Watcher) -> Composed:
    """Board, link and node for the network at the link's bandwidth; nothing here is measured."""
    model = priced(settings)
    facts = {
        "network": settings.network, "bandwidth_bit_s": repr(model.bandwidth), **table_facts()
    }  # fmt: skip
    return Composed(InBatches(model), facts)


def priced(settings: Settings) -> SplitAt:
    """Board, link and node of a study."""
    testbed = priced_testbed(
        settings.network,
        settings.sequence_length,
        waiting=settings.waiting_w,
        idle=settings.cloud_idle_w,
        cpu_slowdown=settings.cloud_cpu_slowdown,
    )
    given = settings.bandwidth_mbit_s
    return SplitAt(testbed, lan_testbed()[1] if given is None else given * 1e6)


def _space(settings: Settings, parameters: tuple[Parameter, ...]) -> SearchSpace:
    return narrowed(settings.network, parameters)


def _breakdown(settings: Settings, columns: Columns) -> Breakdown:
    model = priced(settings)
    asked = {**columns, "bandwidth": np.full(len(columns["split_layer"]), model.bandwidth)}
    parts = break_down_split(model.model, asked)
    return {"energy": parts.energy, "latency": parts.latency}


SYSTEM = System(
    name="dynasplit",
    knobs=DOMAIN,
    metrics=METRICS,
    compose=compose,
    settings=Settings,
    space=_space,
    corners=lambda _settings, space: corners(space),
    breakdown=_breakdown,
    requests=Requests("latency", "energy", "split_layer"),
)
"""A network that is cut between an edge board and a cloud node."""
