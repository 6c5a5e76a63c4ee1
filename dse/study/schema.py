"""The schema of a study file, and the parameters that its knobs ask for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, field_validator
from pydantic_core.core_schema import literal_schema

from dse.core.errors import DseError, SpaceError
from dse.core.evaluation import Evaluator
from dse.core.parameters import Categorical, Integer, Ordinal, Parameter, Real, Value
from dse.core.space import Columns, SearchSpace
from dse.core.units import notations, to_si
from dse.searchers.registry import SEARCHERS

if TYPE_CHECKING:
    from dse.search.sequential import EarlyStop
    from dse.workers.workers import Needs


class Section(BaseModel):
    """A part of a study file: unknown keys, quoted numbers and NaN are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


Number: TypeAlias = int | float

SearcherName: TypeAlias = Annotated[
    str, GetPydanticSchema(lambda _type, _handler: literal_schema(list(SEARCHERS)))
]
"""One that the table of searchers has."""


SECONDS: Mapping[str, float] = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Notations of a time that people wait for."""


class Wait(Section):
    """A time that a person is ready to wait."""

    value: Annotated[Number, Field(gt=0)]
    unit: Literal["s", "min", "h"]

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.value * SECONDS[self.unit]


class PlateauRule(Section):
    """A search ends when its hypervolume grows too little; see `dse.search.termination.Plateau`.

    It ends once the hypervolume has grown by less than a share `gain` of what it is now over the
    last `trials` trials, whole batches, in the frame of the front of now.
    """

    gain: Annotated[float, Field(gt=0, lt=1)] = 0.01
    trials: Annotated[int, Field(ge=1)] = 500


class WarmStart(Section):
    """Designs of others that are tried first: of a run folder, or of a table (CSV, Parquet, JSONL).

    `take` says which of a run: its front, or all designs that have not failed. Of a table: all.
    """

    path: str = Field(min_length=1)
    take: Literal["front", "all"] = "front"


class EarlyStopRule(Section):
    """Measured runs are broken off where nothing that they can still give joins the front.

    A run is looked at after each of `looks`, shares of its sentences. With `confidence`, no run is
    broken off one of whose designs the front would have held.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    looks: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.1, 0.25, 0.5], min_length=1)


class Search(Section):
    """Who searches, how long, and from which seed.

    `batch` is the population of the genetic searchers and the designs per proposal of the others.
    A run whose failed trials pass `max_failed_share` ends with its own exit code. A search ends
    after `trials` trials, after `max_wall`, at a `plateau`, or when there is nothing left; the
    designs of the system's `corners` and of a `warm_start` are its first trials.
    """

    searcher: SearcherName = "nsga2"
    trials: Annotated[int, Field(ge=1)] = 2000
    batch: Annotated[int, Field(ge=2, le=100_000)] = 100
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_wall: Wait | None = None
    plateau: PlateauRule | None = None
    corners: bool = True
    warm_start: WarmStart | None = None
    early_stop: EarlyStopRule | None = None


class Knob(Section):
    """Which values of a knob are searched: a list, or a range with or without a step."""

    values: list[int | float | str] | None = Field(None, min_length=1)
    start: Number | None = None
    stop: Number | None = None
    step: Annotated[Number, Field(gt=0)] | None = None
    unit: str | None = None

    @field_validator("unit", mode="before")
    @classmethod
    def _plain_one(cls, unit: object) -> object:
        """YAML reads the unit of a pure number, 1, as a number."""
        return "1" if unit == 1 and not isinstance(unit, bool) else unit


class Limit(Section):
    """Bounds on a metric; at least one of the two."""

    min: Number | None = None
    max: Number | None = None
    unit: str | None = None

    @field_validator("unit", mode="before")
    @classmethod
    def _plain_one(cls, unit: object) -> object:
        """YAML reads the unit of a pure number, 1, as a number."""
        return "1" if unit == 1 and not isinstance(unit, bool) else unit


class Execution(Section):
    """Where measured evaluators run; never part of what a run asks.

    One evaluation takes `cpus` processors and `gpus` accelerators, and is given up after
    `timeout_s` seconds, unless the system asks for something else for it.
    """

    executor: Literal["serial", "pool", "ray"] = "pool"
    workers: Annotated[int, Field(ge=1, le=4096)] = 2
    address: str | None = None
    cpus: Annotated[int, Field(ge=1)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0.0
    timeout_s: Annotated[float, Field(gt=0)] | None = None


class Export(Section):
    """How the lookup table is ordered, and which metric names its fallback row (the smallest)."""

    sort_by: str
    fallback: str


class StudyFile(Section):
    """One question: what may be chosen, what is wanted, and how long to look."""

    study: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    question: str = Field(min_length=1, max_length=2000)
    system: str
    settings: dict[str, Any] = Field(default_factory=dict)
    knobs: dict[str, Knob]
    objectives: dict[str, Literal["min", "max"]] = Field(min_length=1)
    constraints: dict[str, Limit] = Field(default_factory=dict)
    search: Search = Search()
    execution: Execution = Execution()
    export: Export


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
        facts: What the numbers depend on beside the study file (digests of networks, data, tables).
        count_runs: Real runs made and results reused so far, for the report.
        held_out: From the knobs to metrics on data that no choice has seen; asked about the front
            alone, once it is known.
        staged: The evaluator again, with measured runs that can be broken off, and what decides
            it; None where the system has no such runs.
        artefacts: From the metrics of answered trials to the files that they rest on: path in the
            cache -> SHA-256, of those that are there; None where there are no such files.
    """

    evaluator: Evaluator
    facts: Mapping[str, str]
    count_runs: Callable[[], tuple[int, int]]
    held_out: Evaluator | None = None
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


class System(Protocol):
    """What a study file can name: widest knobs, metrics, settings, and how they compose."""

    @property
    def domain(self) -> tuple[Parameter, ...]:
        """Every knob, as wide as the models reach."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """Metric -> unit of everything that an objective or a constraint may name."""

    @property
    def settings(self) -> type[Section]:
        """Schema of the file's `settings`."""

    def compose(self, settings: Section, spread: Spreader, watch: Watcher) -> Composed:
        """Build the evaluator: measured parts through `spread`, long preparation told to `watch`.

        `settings` is an instance of the class that `settings` names.
        """


@runtime_checkable
class Ruled(Protocol):
    """A system whose knobs do not all go together: conditions and forbidden combinations."""

    def space(self, settings: Section, parameters: tuple[Parameter, ...]) -> SearchSpace:
        """The designs that exist among the knobs that a study file asks for.

        Raises:
            SpaceError: If a knob asks for what these settings do not have.
        """


@runtime_checkable
class Defaulted(Protocol):
    """A system some of whose knobs a study file may leave out."""

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Knob -> the value that it is fixed at, in SI units."""


@runtime_checkable
class Cornered(Protocol):
    """A system that knows extreme designs which are worth a look before any searcher has one."""

    def corners(self, settings: Section, space: SearchSpace) -> Mapping[str, Mapping[str, Value]]:
        """Name of a corner -> its design, a value in SI units for every knob of the space.

        A corner may be forbidden in the space; it is then left out.
        """


@runtime_checkable
class Needing(Protocol):
    """A system whose studies need more than the plain installation has."""

    def needs(self, settings: Section) -> Sequence[str]:
        """One line for each thing that is missing here, with what to do; none if all is here."""


def parameter_of(knob: Knob, widest: Parameter) -> Parameter:
    """The parameter that a knob of a study file asks for, in SI units, within the widest one.

    Raises:
        DseError: If the unit is missing or foreign, or a value does not exist; the message names
            value, limit, and that the system sets it.
    """
    if isinstance(widest, Categorical):
        return _choice(knob, widest)
    if knob.unit is None:
        allowed = ", ".join(notations(widest.unit))
        raise DseError(f"the unit is missing; allowed: {allowed}")
    if knob.values is not None:
        if (knob.start, knob.stop, knob.step) != (None, None, None):
            raise DseError("give either values, or start and stop (and step), not both")
        return _listed(_numbers(knob.values, knob.unit, widest), widest)
    if knob.start is None or knob.stop is None:
        raise DseError("give values: [...], or start: and stop: (and step:)")
    if knob.start >= knob.stop:
        raise DseError(f"the range {knob.start} to {knob.stop} {knob.unit} is empty")
    if knob.step is None:
        return _range(_numbers([knob.start, knob.stop], knob.unit, widest), widest)
    steps = _steps(knob.start, knob.stop, knob.step)
    return _listed(_numbers(steps, knob.unit, widest), widest)


def _choice(knob: Knob, widest: Categorical) -> Categorical:
    if knob.unit is not None:
        raise DseError(f"a choice has no unit; got {knob.unit!r}")
    if knob.values is None or not all(isinstance(v, str) for v in knob.values):
        raise DseError(f"give values: a list of names out of {', '.join(widest.values)}")
    names = tuple(str(v) for v in knob.values)
    for name in names:
        if name not in widest.values:
            raise UnknownName(name, widest.values)
    return Categorical(widest.name, names, widest.stage)


class UnknownName(DseError):
    """A name that is not on a closed list.

    Attributes:
        given: The name.
        allowed: The list.
    """

    def __init__(self, given: str, allowed: Sequence[str]) -> None:
        self.given = given
        self.allowed = tuple(allowed)
        super().__init__(f"got {given!r}; allowed: {', '.join(allowed)}")


def _numbers(given: Sequence[Number | str], unit: str, widest: Parameter) -> list[float]:
    numbers = []
    for value in given:
        if isinstance(value, str):
            raise DseError(f"got the text {value!r}; a number in {unit} is wanted")
        numbers.append(to_si(value, unit, widest.unit))
        low, high = _reach(widest)
        if not low <= numbers[-1] <= high:
            raise DseError(
                f"{value} {unit} is outside {low:g} to {high:g} {widest.unit}, "
                f"the reach of {widest.name} in this system"
            )
    return numbers


def _reach(widest: Parameter) -> tuple[float, float]:
    if isinstance(widest, Ordinal):
        return widest.values[0], widest.values[-1]
    if isinstance(widest, Categorical):
        raise SpaceError(f"{widest.name} is a choice and has no range")
    return float(widest.low), float(widest.high)


def _steps(start: Number, stop: Number, step: Number) -> list[Number]:
    # In decimal, so that 0.55 + 3 * 0.05 is 0.7 and the end is met exactly or not at all.
    first, last, width = (Decimal(repr(x)) for x in (start, stop, step))
    if (last - first) % width:
        raise DseError(f"step {step} does not lead from {start} to {stop}")
    count = int((last - first) / width) + 1
    if count > 100_000:
        raise DseError(f"{count} steps from {start} to {stop}; at most 100000 are allowed")
    values = [first + i * width for i in range(count)]
    whole = all(isinstance(x, int) for x in (start, stop, step))
    return [int(v) if whole else float(v) for v in values]


def _range(ends: list[float], widest: Parameter) -> Parameter:
    low, high = ends
    if isinstance(widest, Integer):
        return Integer(widest.name, _whole(low), _whole(high), widest.unit, widest.stage)
    if isinstance(widest, Ordinal):
        inside = [v for v in widest.values if low <= v <= high]
        return Ordinal(widest.name, tuple(inside), widest.unit, widest.stage)
    return Real(widest.name, low, high, widest.unit, widest.stage)


def _listed(numbers: list[float], widest: Parameter) -> Parameter:
    if isinstance(widest, Ordinal):
        for number in numbers:
            if number not in widest.values:
                raise UnknownName(f"{number:g}", [f"{v:g}" for v in widest.values])
    if isinstance(widest, Integer):
        whole = [_whole(n) for n in numbers]
        gaps = {b - a for a, b in pairwise(whole)}
        if len(gaps) == 1 and min(gaps) > 0:
            return Integer(
                widest.name, whole[0], whole[-1], widest.unit, widest.stage, step=min(gaps)
            )
    return Ordinal(widest.name, tuple(numbers), widest.unit, widest.stage)


def _whole(number: float) -> int:
    if not float(number).is_integer():
        raise DseError(f"{number:g} is not a whole number")
    return int(number)
