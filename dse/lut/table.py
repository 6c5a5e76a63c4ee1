"""The lookup table of one device: integers with a stated scale, checked when it comes to be."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

from dse.lut.error_codes import Fault, LutError

VERSION: Literal[1] = 1

LARGEST = 2**53 - 1
"""Largest size of an integer: what every JSON reader holds exactly."""
MOST_ROWS = 4096
MOST_COLUMNS = 32
"""Of each kind: design knobs, settings, predictions, kept limits."""
MOST_LABELS = 1024
MOST_FACTS = 64
MOST_POINTS = 256
MOST_EXIT_ROWS = 256
MOST_EXIT_COLUMNS = 64
MOST_DECIMALS = 18
LONGEST = 200
"""Characters of a text."""

Whole: TypeAlias = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Positive: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]
Entropy: TypeAlias = Annotated[int, Field(ge=0, le=2**32 - 1)]
Step: TypeAlias = Annotated[int, Field(ge=1, le=2**32 - 1)]
Decimals: TypeAlias = Annotated[int, Field(ge=0, le=MOST_DECIMALS)]
Text: TypeAlias = Annotated[str, Field(pattern=r"^[ -~]*$", max_length=LONGEST)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[ -~]+$", max_length=LONGEST)]
Labels: TypeAlias = Annotated[tuple[Name, ...], Field(max_length=MOST_LABELS)]
Integers: TypeAlias = Annotated[tuple[Whole, ...], Field(min_length=1, max_length=MOST_COLUMNS)]
Entropies: TypeAlias = Annotated[
    tuple[Entropy, ...], Field(min_length=1, max_length=MOST_EXIT_COLUMNS)
]
Evidence: TypeAlias = Literal["measured", "closed form", "published", "unverified"]

Knob: TypeAlias = "FixedKnob | Setting"
AnyColumn: TypeAlias = "FixedKnob | Setting | Prediction | KeptLimit"

STRICT = ConfigDict(extra="forbid", strict=True)
_PRINTABLE = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Validity:
    """Where the table holds; an empty text says nothing about it.

    Attributes:
        device: Device the predictions were made for.
        network: Digest of the trained network.
        task: What the network answers.
        context: Anything else, such as the bandwidth class `wifi-good`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    device: Text = ""
    network: Text = ""
    task: Text = ""
    context: Text = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A knob to set per request; its values count 10^-decimals of the unit.

    Attributes:
        name: Of the knob.
        unit: SI unit; `choice` where the values are positions in `choices`.
        decimals: V and 6 say microvolts.
        choices: Labels of a choice, else empty.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Name
    unit: Name
    decimals: Decimals
    choices: Labels = ()


@dataclass(frozen=True, slots=True)
class FixedKnob:
    """A knob that the silicon or the trained network has settled; as a setting, with its value."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Name
    unit: Name
    decimals: Decimals
    value: Whole
    choices: Labels = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a row is expected to cost or to reach.

    Attributes:
        name: Of the objective.
        unit: SI unit.
        decimals: J and 12 say picojoules.
        direction: Which way is better.
        evidence: How well the number is founded.
        margin: A runtime keeps its row unless another is better by more than this.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Name
    unit: Name
    decimals: Decimals
    direction: Literal["min", "max"]
    evidence: Evidence
    margin: Annotated[int, Field(ge=0, le=LARGEST)] = 0


@dataclass(frozen=True, slots=True)
class KeptLimit:
    """A limit that every row keeps: at most (`max`) or at least (`min`) the bound."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Name
    unit: Name
    decimals: Decimals
    side: Literal["min", "max"]
    bound: Whole


@dataclass(frozen=True, slots=True)
class Row:
    """One operating point: settings and predictions in the order of their columns."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    settings: Integers
    predictions: Integers


@dataclass(frozen=True, slots=True)
class Default:
    """The answer when nothing fits: the row that is best in one objective."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    row: Annotated[int, Field(ge=0, lt=MOST_ROWS)]
    best: Name


@dataclass(frozen=True, slots=True)
class ExitPredictor:
    """Entropy after one layer -> predicted entropies after each later layer, all in 10^-6 nat.

    Attributes:
        layer: Layer whose entropy is looked up, from 1.
        step: Row i stands for the entropy i * step.
        entropies: Per row, of the layers layer + 1, layer + 2, ...
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    layer: Annotated[int, Field(ge=1, le=999)]
    step: Step
    entropies: Annotated[tuple[Entropies, ...], Field(min_length=1, max_length=MOST_EXIT_ROWS)]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A supply voltage and the highest clock it carries."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    microvolt: Positive
    hertz: Positive


@dataclass(frozen=True, slots=True)
class LookupTable:
    """What a runtime needs: settings to choose from, their cost, and what if nothing fits.

    Attributes:
        study: Which study it was exported from.
        run_identity: Digest of what that run asked.
        valid_for: Where the table holds.
        depends_on: Digests of data and cost tables, versions.
        design: Knobs that are fixed in the device.
        settings: Knobs to set per request.
        predictions: Objectives.
        kept_limits: Limits that every row keeps.
        sorted_by: Prediction that sorts the rows, best first; ties by all predictions in their
            order, then by the settings.
        default: The answer when nothing fits.
        rows: The operating points.
        exit_predictor: For policies that predict the exit layer.
        operating_points: For policies that set the clock per request; voltage and clock increase.

    Raises:
        LutError: With the first fault found.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    study: Text
    run_identity: Text
    valid_for: Validity
    depends_on: Annotated[dict[Name, Text], Field(max_length=MOST_FACTS)]
    design: Annotated[tuple[FixedKnob, ...], Field(max_length=MOST_COLUMNS)]
    settings: Annotated[tuple[Setting, ...], Field(min_length=1, max_length=MOST_COLUMNS)]
    predictions: Annotated[tuple[Prediction, ...], Field(min_length=1, max_length=MOST_COLUMNS)]
    kept_limits: Annotated[tuple[KeptLimit, ...], Field(max_length=MOST_COLUMNS)]
    sorted_by: Name
    default: Default
    rows: Annotated[tuple[Row, ...], Field(min_length=1, max_length=MOST_ROWS)]
    exit_predictor: ExitPredictor | None = None
    operating_points: Annotated[tuple[OperatingPoint, ...], Field(max_length=MOST_POINTS)] = ()
    format: Literal["edge-dse-lut"] = "edge-dse-lut"
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        _check_counts(self)
        for text, may_be_empty in self.texts():
            _check_text(text, may_be_empty)
        _check_columns(self)
        _check_names(self)
        _check_values(self)
        _check_order(self)
        _check_default(self)
        _check_exit(self.exit_predictor)
        _check_points(self.operating_points)

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Fixed knobs, then settings."""
        return (*self.design, *self.settings)

    @property
    def columns(self) -> tuple[AnyColumn, ...]:
        """Fixed knobs, settings, predictions, kept limits."""
        return (*self.design, *self.settings, *self.predictions, *self.kept_limits)

    @property
    def objectives(self) -> dict[str, int]:
        """Prediction name -> its position."""
        return {p.name: i for i, p in enumerate(self.predictions)}

    def losses(self, row: Row) -> tuple[int, ...]:
        """Predictions of a row such that less is better."""
        return tuple(
            -v if p.direction == "max" else v
            for p, v in zip(self.predictions, row.predictions, strict=True)
        )

    def order(self, objective: int) -> list[int]:
        """Row numbers, best in an objective first, ties as the rows stand."""
        flip = -1 if self.predictions[objective].direction == "max" else 1
        losses = [flip * row.predictions[objective] for row in self.rows]
        return sorted(range(len(losses)), key=losses.__getitem__)

    def texts(self) -> Iterable[tuple[str, bool]]:
        """Every text, in the order in which the binary stores them, and whether it may be empty."""
        v = self.valid_for
        for text in (self.study, self.run_identity, v.device, v.network, v.task, v.context):
            yield text, True
        for key in sorted(self.depends_on):
            yield key, False
            yield self.depends_on[key], True
        for column in self.columns:
            yield column.name, False
            yield column.unit, False
        for knob in self.knobs:
            for label in knob.choices:
                yield label, False


def _require(holds: bool, fault: Fault, said: str) -> None:
    if not holds:
        raise LutError(fault, said)


def _check_counts(t: LookupTable) -> None:
    for what, count in (
        ("row", len(t.rows)), ("setting", len(t.settings)), ("prediction", len(t.predictions)),
    ):  # fmt: skip
        _require(count > 0, Fault.EMPTY, f"there is no {what}")
    labels = sum(len(knob.choices) for knob in t.knobs)
    columns = max(map(len, (t.design, t.settings, t.predictions, t.kept_limits)))
    for what, count, most in (
        ("rows", len(t.rows), MOST_ROWS),
        ("columns of a kind", columns, MOST_COLUMNS),
        ("labels", labels, MOST_LABELS),
        ("facts", len(t.depends_on), MOST_FACTS),
        ("operating points", len(t.operating_points), MOST_POINTS),
    ):
        _require(count <= most, Fault.LAYOUT, f"{count} {what}; at most {most} are allowed")
    widths = (len(t.settings), len(t.predictions))
    for i, row in enumerate(t.rows):
        found = (len(row.settings), len(row.predictions))
        said = f"row {i} has {found} settings and predictions, the columns are {widths}"
        _require(found == widths, Fault.LAYOUT, said)


def _check_text(text: str, may_be_empty: bool) -> None:
    if not (text or may_be_empty):
        raise LutError(Fault.STRING, "a name, a unit or a label is empty")
    if len(text) > LONGEST:
        raise LutError(Fault.STRING, f"a text of {len(text)} characters; at most {LONGEST}")
    if not _PRINTABLE.fullmatch(text):
        raise LutError(Fault.STRING, f"{text!a} holds more than printable ASCII")


def _check_columns(t: LookupTable) -> None:
    for column in t.columns:
        fits = 0 <= column.decimals <= MOST_DECIMALS
        said = f"{column.name}: {column.decimals} decimals; 0 to {MOST_DECIMALS} are allowed"
        _require(fits, Fault.COLUMN, said)
        chooses = isinstance(column, FixedKnob | Setting)
        said = f"{column.name}: a choice is no prediction and no limit"
        _require(chooses or column.unit != "choice", Fault.COLUMN, said)
    for knob in t.knobs:
        said = f"{knob.name}: unit {knob.unit!a} with {len(knob.choices)} choices"
        _require((knob.unit == "choice") == bool(knob.choices), Fault.COLUMN, said)
        _require(not (knob.choices and knob.decimals), Fault.COLUMN, f"{knob.name}: decimals")
    for p in t.predictions:
        _require(0 <= p.margin <= LARGEST, Fault.COLUMN, f"{p.name}: margin {p.margin}")


def _check_names(t: LookupTable) -> None:
    groups: dict[str, Sequence[str]] = {
        "knob": [k.name for k in t.knobs],
        "prediction": [p.name for p in t.predictions],
        **{f"label of {k.name}": k.choices for k in t.knobs},
    }
    for what, names in groups.items():
        twice = {name for name in names if names.count(name) > 1}
        _require(not twice, Fault.NAMES, f"a {what} stands twice: {sorted(twice)}")


def _check_values(t: LookupTable) -> None:
    for knob in t.design:
        _check_value(knob, knob.value)
    for limit in t.kept_limits:
        _check_value(limit, limit.bound)
    for row in t.rows:
        for setting, value in zip(t.settings, row.settings, strict=True):
            _check_value(setting, value)
        for prediction, value in zip(t.predictions, row.predictions, strict=True):
            _check_value(prediction, value)


def _check_value(column: AnyColumn, value: int) -> None:
    if isinstance(column, FixedKnob | Setting) and column.choices:
        if not 0 <= value < len(column.choices):
            said = f"{column.name}: {value} is no position in {len(column.choices)} choices"
            raise LutError(Fault.VALUE, said)
    elif not -LARGEST <= value <= LARGEST:
        raise LutError(Fault.VALUE, f"{column.name}: {value} is beyond 2^53 - 1")


def _check_order(t: LookupTable) -> None:
    known = t.objectives
    _require(t.sorted_by in known, Fault.ORDER, f"sorted by {t.sorted_by!a}, no prediction")
    first = known[t.sorted_by]
    keys = [(losses[first], losses, r.settings) for r in t.rows for losses in [t.losses(r)]]
    for i, (a, b) in enumerate(pairwise(keys)):
        _require(a < b, Fault.ORDER, f"rows {i} and {i + 1} are not in the order of the table")


def _check_default(t: LookupTable) -> None:
    known = t.objectives
    _require(t.default.best in known, Fault.DEFAULT, f"default best in {t.default.best!a}")
    best = t.order(known[t.default.best])[0]
    said = f"the default is row {t.default.row}; best in {t.default.best} is row {best}"
    _require(t.default.row == best, Fault.DEFAULT, said)


def _check_exit(exits: ExitPredictor | None) -> None:
    if exits is None:
        return
    rows, columns = len(exits.entropies), {len(row) for row in exits.entropies}
    fits = 1 <= rows <= MOST_EXIT_ROWS and len(columns) == 1
    fits = fits and 1 <= min(columns) <= MOST_EXIT_COLUMNS
    _require(fits, Fault.EXIT, f"{rows} rows of {sorted(columns)} entropies")
    said = f"layer {exits.layer}, step {exits.step}"
    _require(1 <= exits.layer <= 999 and 1 <= exits.step < 2**32, Fault.EXIT, said)
    in_range = all(0 <= value < 2**32 for row in exits.entropies for value in row)
    _require(in_range, Fault.EXIT, "an entropy is negative or beyond 2^32")


def _check_points(points: tuple[OperatingPoint, ...]) -> None:
    floor = OperatingPoint(0, 0)
    for low, high in pairwise((floor, *points)):
        rises = low.microvolt < high.microvolt <= LARGEST and low.hertz < high.hertz <= LARGEST
        said = f"{high} after {low}: voltage and clock must both increase"
        _require(rises, Fault.POINTS, said)
