"""Evaluators: columns in, columns out, with declarations that let the engine cache and spread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import CompositionError, EvaluationError, RowsFailed
from dse.core.failure import Failure, one_line
from dse.core.parameters import Column
from dse.core.signature import EVIDENCE, TEXT_UNITS, Label, Signature
from dse.core.space import Columns, join, length, take


class Evaluator(Protocol):
    """Answers output columns for input columns; its signature says beforehand which.

    Laws: a batch equals its rows; only `signature.inputs` are read; exactly `signature.outputs`
    are given, each shape (n,); nothing else changes. A design that has no answer raises, naming
    value, limit and authority.
    """

    @property
    def signature(self) -> Signature:
        """Columns read and given, their units and evidence, and what a row costs."""

    def __call__(self, columns: Columns) -> Columns:
        """Output columns of a batch of n rows."""


def evaluate_rows(evaluator: Evaluator, columns: Columns) -> dict[str, Column]:
    """Call an evaluator so that a bad row fails alone.

    A batch that raises is halved until the rows at fault stand alone; because a batch equals its
    rows, the others lose nothing by it.

    Returns:
        Exactly the declared outputs, each shape (n,).

    Raises:
        RowsFailed: If at least one row failed; the others' results are inside.
    """
    wanted = evaluator.signature.inputs
    missing = [name for name in wanted if name not in columns]
    if missing:
        reader = type(evaluator).__name__
        raise EvaluationError(
            f"{reader} reads {', '.join(missing)}; there are {', '.join(columns)}"
        )
    inputs = {name: columns[name] for name in wanted}
    n = length(inputs)
    if n == 0:
        return unanswered(evaluator, 0)
    reasons: dict[int, Failure] = {}
    answered = _bisect(evaluator, inputs, 0, n, reasons)
    return _assemble(evaluator, answered, n, reasons)


def unanswered(evaluator: Evaluator, n: int) -> dict[str, Column]:
    """Output columns of n rows without answer: NaN, or the empty string."""
    return {
        name: np.full(n, "" if unit in TEXT_UNITS else np.nan)
        for name, unit in evaluator.signature.outputs.items()
    }


_GREATEST = int(np.iinfo(np.int64).max)
"""Whole numbers above it fit no signed integer of a file."""

_Part: TypeAlias = tuple[NDArray[np.int64], Columns]
"""Row numbers in a batch, and the outputs of these rows."""


def _assemble(
    evaluator: Evaluator, answered: list[_Part], n: int, reasons: Mapping[int, Failure]
) -> dict[str, Column]:
    """The outputs of a batch from those of its parts; raises RowsFailed if there are reasons."""
    good = [(rows, part) for rows, part in answered if len(rows)]
    if not good:
        raise RowsFailed(reasons, unanswered(evaluator, n))
    joined = join([part for _, part in good])
    if not reasons:
        return joined
    rows = np.concatenate([rows for rows, _ in good])
    filled = {name: np.repeat(column[:1], n) for name, column in joined.items()}
    for name, column in joined.items():
        filled[name][rows] = column
    raise RowsFailed(reasons, filled)


def _bisect(
    evaluator: Evaluator, inputs: Columns, start: int, stop: int, reasons: dict[int, Failure]
) -> list[_Part]:
    n = stop - start
    batch = {name: column[start:stop].copy() for name, column in inputs.items()}
    try:
        outputs, failed = _answer(evaluator, batch)
    # Libraries leave the process by SystemExit; here it is one more way to have no answer.
    except (Exception, SystemExit) as error:
        why = Failure("raised", one_line(error))
    else:
        try:
            part = _kept(evaluator, outputs, failed, n)
        except EvaluationError as error:
            why = Failure("not as declared", str(error))
        except Exception as error:  # what came may be anything at all
            why = Failure("not as declared", one_line(error))
        else:
            reasons.update({start + row: reason for row, reason in failed.items()})
            return [(start + part[0], part[1])]
    if n == 1:
        reasons[start] = why
        return []
    middle = (start + stop) // 2
    left = _bisect(evaluator, inputs, start, middle, reasons)
    return left + _bisect(evaluator, inputs, middle, stop, reasons)


def _answer(evaluator: Evaluator, batch: Columns) -> tuple[Columns, Mapping[int, Failure]]:
    """What an evaluator gives for a batch, and the rows that it says have failed."""
    try:
        return evaluator(batch), {}
    except RowsFailed as error:
        return error.columns, error.reasons


def _kept(evaluator: Evaluator, outputs: Columns, failed: Mapping[int, Failure], n: int) -> _Part:
    """Rows that have an answer and their outputs, checked."""
    strange = [row for row in failed if row not in range(n)]
    if strange:
        raise EvaluationError(
            f"{type(evaluator).__name__} says that row {strange[0]} failed; the batch has rows 0 "
            f"to {n - 1}"
        )
    if len(failed) == n:
        return np.arange(0), {}
    checked = _checked(evaluator, outputs, n)
    if not failed:
        return np.arange(n), checked
    kept = np.flatnonzero(~np.isin(np.arange(n), list(failed)))
    return kept, take(checked, kept)


def _checked(evaluator: Evaluator, outputs: Columns, n: int) -> dict[str, Column]:
    name, declared = type(evaluator).__name__, evaluator.signature.outputs
    if set(outputs) != set(declared):
        raise EvaluationError(
            f"{name} gave the columns {sorted(outputs)}, it declares {sorted(declared)}"
        )
    checked = {}
    for key, unit in declared.items():
        column = outputs[key]
        # A list would let numpy turn a truth value or a string beside it into a number, or back;
        # a masked array would lose its mask.
        if type(column) is not np.ndarray:
            raise EvaluationError(
                f"{name} gave {key} as {type(column).__name__}; a plain numpy array is wanted"
            )
        if column.shape != (n,):
            raise EvaluationError(
                f"{name} gave {key} with shape {column.shape}; (n,) = ({n},) is wanted"
            )
        kinds, wanted = ("U", "strings are") if unit in TEXT_UNITS else ("fiu", "real numbers are")
        if column.dtype.kind not in kinds:
            raise EvaluationError(f"{name} gave {key} [{unit}] as {column.dtype}; {wanted} wanted")
        _require_storable(f"{name} gave {key} [{unit}]", column)
        checked[key] = column
    return checked


def _require_storable(gave: str, column: Column) -> None:
    """Refuse what would not be the same when it is read from a file again."""
    kind = column.dtype.kind
    if kind == "f" and column.dtype.itemsize > 8:
        raise EvaluationError(f"{gave} as {column.dtype}; numbers have at most 64 bits (float64)")
    if kind == "u" and (column > _GREATEST).any():
        raise EvaluationError(
            f"{gave} as {column.dtype} up to {column.max()}; whole numbers are at most "
            f"2^63 - 1 = {_GREATEST} (int64)"
        )
    if kind == "U" and not _encodable("".join(column.tolist())):
        strange = [text for text in column.tolist() if not _encodable(text)]
        raise EvaluationError(f"{gave} as {strange[0]!a}, which cannot be encoded as UTF-8")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _weakness(label: Label) -> int:
    # A label that does not exist is the weakest, so that it survives until the problem refuses it.
    return EVIDENCE.index(label) if label in EVIDENCE else len(EVIDENCE)


def _weakened(own: Signature, before: Mapping[str, Label]) -> dict[str, Label]:
    """Each output's own label, or that of the weakest column it is made of."""
    behind = [before[name] for name in own.inputs if name in before]
    labels: dict[str, Label] = {}
    # A closed form over a measured column stays a closed form; a measurement that a closed form
    # set up stays measured; over an unverified column both are that.
    for name, label in own.evidence.items():
        passed = "closed form" if label == "measured" else ""
        labels[name] = max([label, *(b for b in behind if b != passed)], key=_weakness)
    return labels


@dataclass(frozen=True)
class Chain:
    """Evaluators one after the other, each reading the knobs and what came before it.

    Args:
        stages: In the order of calling.

    Raises:
        CompositionError: If there is no stage, a stage reads a column in another unit than an
            earlier stage gives, or two stages give the same column.
    """

    stages: tuple[Evaluator, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise CompositionError("a chain needs at least one stage")
        given: dict[str, tuple[str, str]] = {}
        wanted: dict[str, tuple[str, str]] = {}
        for stage in self.stages:
            name = type(stage).__name__
            for column, unit in stage.signature.inputs.items():
                source = given.get(column) or wanted.get(column)
                if source is not None and source[0] != unit:
                    raise CompositionError(
                        f"{column}: {name} reads it in {unit}, {source[1]} has it in {source[0]}"
                    )
                wanted.setdefault(column, (unit, name))
            for column, unit in stage.signature.outputs.items():
                if column in given or column in wanted:
                    other = (given.get(column) or wanted[column])[1]
                    raise CompositionError(f"{column}: {name} gives it, but {other} has it before")
                given[column] = (unit, name)

    @cached_property
    def signature(self) -> Signature:
        """Reads what no stage gives; gives what any stage gives; measured if one stage is."""
        inputs: dict[str, str] = {}
        outputs: dict[str, str] = {}
        evidence: dict[str, Label] = {}
        for stage in self.stages:
            own = stage.signature
            inputs.update({k: u for k, u in own.inputs.items() if k not in outputs})
            evidence.update(_weakened(own, evidence))
            outputs.update(own.outputs)
        measured = any(stage.signature.cost == "measured" for stage in self.stages)
        return Signature(inputs, outputs, evidence, "measured" if measured else "closed form")

    def __call__(self, columns: Columns) -> Columns:
        """All stages' outputs; a row that fails in one stage is not sent to the next."""
        n = length(columns)
        alive = np.arange(n)
        reasons: dict[int, Failure] = {}
        known: dict[str, Column] = {name: columns[name] for name in self.signature.inputs}
        for stage in self.stages:
            try:
                outputs = evaluate_rows(stage, known)
            except RowsFailed as error:
                reasons.update({int(alive[row]): why for row, why in error.reasons.items()})
                good = ~np.isin(np.arange(len(alive)), list(error.reasons))
                alive = alive[good]
                known, outputs = take(known, good), take(error.columns, good)
            if n and not len(alive):
                return _assemble(self, [], n, reasons)
            known.update(outputs)
        results = {name: known[name] for name in self.signature.outputs}
        return results if not reasons else _assemble(self, [(alive, results)], n, reasons)


@dataclass(frozen=True)
class Cached:
    """Answers each distinct projection of a design on the evaluator's inputs once.

    Mutable on purpose: it remembers. A failed row is not remembered, so it is tried again when
    asked again.
    """

    evaluator: Evaluator
    _known: dict[bytes, tuple[Column, ...]] = field(
        default_factory=dict, repr=False, compare=False, init=False
    )

    @property
    def signature(self) -> Signature:
        """As the evaluator inside."""
        return self.evaluator.signature

    def __len__(self) -> int:
        """Distinct projections answered so far."""
        return len(self._known)

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs; only projections not seen before reach it, each once."""
        read, given = self.signature.inputs, self.signature.outputs
        keys = _row_keys({name: columns[name] for name in read})
        if not keys:
            return evaluate_rows(self.evaluator, columns)
        fresh = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        failed: dict[bytes, Failure] = {}
        if fresh:
            rows = np.array(sorted(fresh.values()))
            try:
                outputs = evaluate_rows(self.evaluator, take(columns, rows))
            except RowsFailed as error:
                failed = {keys[rows[i]]: why for i, why in error.reasons.items()}
                outputs = dict(error.columns)
            for position, row in enumerate(rows):
                if keys[row] not in failed:
                    self._known[keys[row]] = tuple(
                        outputs[name][position : position + 1] for name in given
                    )
        return self._collect(keys, failed)

    def _collect(self, keys: list[bytes], failed: Mapping[bytes, Failure]) -> Columns:
        reasons = {row: failed[key] for row, key in enumerate(keys) if key in failed}
        rows = [row for row, key in enumerate(keys) if key not in failed]
        if not rows:
            return _assemble(self, [], len(keys), reasons)
        answers = [self._known[keys[row]] for row in rows]
        columns = {
            name: np.concatenate([answer[i] for answer in answers])
            for i, name in enumerate(self.signature.outputs)
        }
        return _assemble(self, [(np.array(rows), columns)], len(keys), reasons)


def _row_keys(columns: Columns) -> list[bytes]:
    """One hashable key per row: its exact values, strings free of the batch's padding."""
    parts = [[repr(value).encode() for value in column.tolist()] for column in columns.values()]
    return [b"\0".join(row) for row in zip(*parts, strict=True)]


@dataclass(frozen=True)
class InBatches:
    """Calls an evaluator on at most `rows` rows at a time: temporaries stay in cache.

    Raises:
        CompositionError: If `rows` is below 1.
    """

    evaluator: Evaluator
    rows: int = 16_384

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise CompositionError(f"rows = {self.rows}: a batch needs at least 1")

    @property
    def signature(self) -> Signature:
        """As the evaluator inside."""
        return self.evaluator.signature

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs, batch after batch."""
        n = length(columns)
        if n <= self.rows:
            return self.evaluator(columns)
        parts: list[_Part] = []
        reasons: dict[int, Failure] = {}
        read = self.signature.inputs
        for start in range(0, n, self.rows):
            stop = min(start + self.rows, n)
            batch = {name: columns[name][start:stop] for name in read}
            rows = np.arange(start, stop)
            try:
                parts.append((rows, evaluate_rows(self.evaluator, batch)))
            except RowsFailed as error:
                reasons.update({start + row: why for row, why in error.reasons.items()})
                good = ~np.isin(np.arange(stop - start), list(error.reasons))
                parts.append((rows[good], take(error.columns, good)))
        return _assemble(self, parts, n, reasons)


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts how many archives a run made and how many it found, each archive once.

    Mutable on purpose: it counts. Looks before and after, so a pass that failed counts as neither.
    """

    evaluator: Evaluator
    handles: Callable[[Columns], NDArray[np.str_]]
    exist: Callable[[NDArray[np.str_]], NDArray[np.bool_]]
    _made: set[str] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)

    @property
    def signature(self) -> Signature:
        """As the evaluator inside."""
        return self.evaluator.signature

    def counts(self) -> tuple[int, int]:
        """Archives made, archives found."""
        return len(self._made), len(self._found)

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs."""
        handles = np.unique(self.handles(columns))
        before = self.exist(handles)
        try:
            return self.evaluator(columns)
        finally:
            made = self.exist(handles) & ~before
            self._made.update(handles[made].tolist())
            self._found.update(set(handles[before].tolist()) - self._made)
