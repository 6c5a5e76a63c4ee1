"""The schema of a study file, and the parameters that its knobs ask for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import Field, field_validator

from dse.core.errors import DseError, SpaceError
from dse.core.evaluation import Evaluator
from dse.core.parameters import Categorical, Integer, Ordinal, Parameter, Real, Value
from dse.core.space import SearchSpace
from dse.core.units import notations, to_si
from dse.study.search_rules import EarlyStopRule as EarlyStopRule
from dse.study.search_rules import Number
from dse.study.search_rules import Search as Search
from dse.study.search_rules import Section as Section
from dse.study.search_rules import Wait as Wait
from dse.study.search_rules import WarmStart as WarmStart

if TYPE_CHECKING:
    from dse.search.sequential import EarlyStop
    from dse.workers.workers import Needs


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
    """

    evaluator: Evaluator
    facts: Mapping[str, str]
    count_runs: Callable[[], tuple[int, int]]
    held_out: Evaluator | None = None
    staged: Callable[[EarlyStopRule], Staged] | None = None


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
