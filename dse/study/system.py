"""A system as a value: what a study can ask about, and how its parts compose.

A package offers its systems through the entry-point group `edge_dse.systems`; a file offers one
through `--system-from FILE.py:NAME` (`dse.study.plugins`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dse.core.evaluation import Evaluator
from dse.core.parameters import FloatArray, Parameter, Value
from dse.core.space import Columns, SearchSpace

if TYPE_CHECKING:
    from dse.search.sequential import EarlyStop
    from dse.workers.workers import Needs


class Section(BaseModel):
    """A part of a study file: unknown keys, quoted numbers and NaN are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class NoSettings(Section):
    """The settings of a system that has none."""


class EarlyStopRule(Section):
    """Measured runs are broken off where nothing that they can still give joins the front.

    A run is looked at after each of `looks`, shares of its sentences. With `confidence`, no run is
    broken off one of whose designs the front would have held.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    looks: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.1, 0.25, 0.5], min_length=1)


@dataclass(frozen=True, slots=True)
class Staged:
    """An evaluator whose real runs can be broken off.

    Attributes:
        evaluator: From the knobs to all metrics.
        early: Decides; is told of the trials.
        handle: Metric that names the run of a design.
        tally: Runs broken off, sentences that the runs needed, and sentences that they have.
    """

    evaluator: Evaluator
    early: "EarlyStop"
    handle: str
    tally: Callable[[], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Composed:
    """What a system makes of its settings.

    Attributes:
        evaluator: From the knobs to all metrics.
        facts: What the numbers depend on beside the study file and the code (digests of networks,
            data, tables).
        count_runs: Real runs made and results reused so far, for the report; None: every row that
            the workers answered is a real run.
        staged: The evaluator again, with measured runs that can be broken off, and what decides
            it; None where the system has no such runs.
        artefacts: From the metrics of answered trials to the files that they rest on: path in the
            cache -> SHA-256, of those that are there; None where there are no such files.
    """

    evaluator: Evaluator
    facts: Mapping[str, str] = field(default_factory=dict)
    count_runs: Callable[[], tuple[int, int]] | None = None
    staged: Callable[[EarlyStopRule], Staged] | None = None
    artefacts: Callable[[Columns], Mapping[str, str]] | None = None


class Watcher(Protocol):
    """Sees a long preparation go on: what is done, and which share of it."""

    def __call__(self, what: str, share: float, /) -> None:
        """Take note; share runs from 0 to 1 for each `what`."""


class Spreader(Protocol):
    """Puts an evaluator on the workers of a study."""

    def __call__(self, evaluator: Evaluator, needs: "Needs | None" = None) -> Evaluator:
        """An evaluator whose rows run there.

        Args:
            evaluator: A measured one; microseconds of arithmetic are not worth the journey.
            needs: What one row of it takes; None takes what the study's `execution` says.
        """


@dataclass(frozen=True, slots=True)
class Draws:
    """A pricing model at its nominal constants, and with constants drawn from their intervals.

    Attributes:
        nominal: Reads knobs and recorded metrics, gives metrics; must give the run's own figures.
        drawn: The same model, once per draw.
        constants: Names of what was drawn, for the report.
    """

    nominal: Evaluator
    drawn: Sequence[Evaluator]
    constants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requests:
    """Which columns of a run a stream of requests is simulated with.

    Attributes:
        latency: Metric [s] that deadlines are held against.
        energy: Metric [J] to be kept small.
        cut: Knob that counts the layers on the edge; empty if nothing is cut.
    """

    latency: str = "latency"
    energy: str = "energy"
    cut: str = ""


Breakdown: TypeAlias = Mapping[str, Mapping[str, FloatArray]]
"""Metric -> component -> its part, shape (stages, n); the parts of a metric sum to it."""

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class System(Generic[S]):
    """What a study file can name; `S` is the schema of its settings.

    Args:
        name: What the key `system` of a study file says.
        knobs: Every knob, as wide as the models reach.
        metrics: Metric -> unit of everything that an objective or a constraint may name.
        compose: Builds the evaluator of some settings; measured parts go through the spreader,
            and the watcher is told of long preparation.
        settings: Schema of the file's `settings`.
        defaults: Knob that a study file may leave out -> the value it is fixed at, in SI units.
        space: The designs that exist among the knobs that a study file asks for; raises a
            SpaceError where these settings do not have one. None: every combination exists.
        corners: Name -> extreme design (a value in SI units for every knob of the space) that opens
            a search; forbidden ones are left out.
        needs: One line for each thing that is missing here, with what to do.
        held_out: From the knobs to metrics on data that no choice has seen; asked about the front
            alone, once it is known.
        breakdown: Parts of metrics for some designs, given as columns of knobs and metrics.
        draws: The pricing model under constants drawn from their intervals: how many, and the
            source of randomness. `dse survive` needs it.
        requests: Which columns `dse simulate` reads; needed for it.
    """

    name: str
    knobs: tuple[Parameter, ...]
    metrics: Mapping[str, str]
    compose: Callable[[S, Spreader, Watcher], Composed]
    settings: type[S]
    defaults: Mapping[str, Value] = field(default_factory=dict)
    space: Callable[[S, tuple[Parameter, ...]], SearchSpace] | None = None
    corners: Callable[[S, SearchSpace], Mapping[str, Mapping[str, Value]]] | None = None
    needs: Callable[[S], Sequence[str]] | None = None
    held_out: Callable[[S, Spreader, Watcher], Evaluator] | None = None
    breakdown: Callable[[S, Columns], Breakdown] | None = None
    draws: Callable[[S, int, np.random.Generator], Draws] | None = None
    requests: Requests | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules that define what a study of the system computes; sorted."""
        parts = (self.compose, self.space, self.held_out, self.settings)
        return tuple(sorted({part.__module__ for part in parts if part is not None}))


AnySystem: TypeAlias = System[Any]
"""A system whose settings are known to itself alone."""
