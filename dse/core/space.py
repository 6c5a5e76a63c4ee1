"""The search space: ordered parameters, when each is active, which combinations are forbidden."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import EvaluationError, SpaceError
from dse.core.parameters import Column, FloatArray, Parameter, Value

Columns: TypeAlias = Mapping[str, Column]
"""Name -> one-dimensional array; all arrays of one mapping have the same length n."""

INACTIVE = -1.0
"""Code of a parameter that its condition switches off; every active code is >= 0."""

CHUNK = 16_384
"""Rows per chunk of an enumeration: what stays in cache."""


def length(columns: Columns) -> int:
    """Rows of a batch.

    Raises:
        EvaluationError: If the columns differ in length or are not one-dimensional.
    """
    shapes = {name: np.shape(column) for name, column in columns.items()}
    if not shapes or any(len(shape) != 1 for shape in shapes.values()):
        raise EvaluationError(f"columns must have shape (n,), got {shapes}")
    if len(set(shapes.values())) > 1:
        raise EvaluationError(f"columns must have one length n, got {shapes}")
    return int(next(iter(shapes.values()))[0])


def take(columns: Columns, rows: Column) -> dict[str, Column]:
    """The same columns, restricted to some rows (a mask or indices)."""
    return {name: column[rows] for name, column in columns.items()}


def join(parts: list[Columns]) -> dict[str, Column]:
    """The rows of several batches, one after the other; all must have the same columns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True)
class ActiveWhen:
    """`parameter` is a choice only where `depends_on` has one of `values`; else `otherwise`.

    Where several say so of one parameter, it is a choice only where all of them hold.
    The value elsewhere is spoken out because evaluators read it: a bit mask in a memory without
    multi-level cells has 1 bit per cell, a threshold that is switched off is 0.
    """

    parameter: str
    depends_on: str
    values: tuple[Value, ...]
    otherwise: Value


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Excludes the designs that have, for every parameter named, one of the values listed."""

    combination: Mapping[str, tuple[Value, ...]]
    reason: str


@dataclass(frozen=True)
class SearchSpace:
    """Everything that may be chosen.

    A design is written as a code row, shape (d,): the columns follow `parameters`. The
    *canonical* row has `INACTIVE` for each parameter that a condition switches off, so that two
    rows that differ only there are one design.

    Args:
        parameters: The knobs; a condition may only look at knobs before its own.
        conditions: Those of one parameter look at different knobs and agree on `otherwise`.
        forbidden: Combinations that do not exist.

    Raises:
        SpaceError: If a name is unknown or doubled, a value does not exist, or an order is broken.
    """

    parameters: tuple[Parameter, ...]
    conditions: tuple[ActiveWhen, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters:
            raise SpaceError("a search space needs at least one parameter")
        if len(set(self.names)) != len(self.names):
            raise SpaceError(f"a parameter stands twice in {', '.join(self.names)}")
        for condition in self.conditions:
            self._check_condition(condition)
        for rule in self.forbidden:
            if not rule.combination:
                raise SpaceError(f"forbidden combination ({rule.reason}): it names no parameter")
            for name, values in rule.combination.items():
                self._check_values(name, values, f"forbidden combination ({rule.reason})")

    def _check_condition(self, condition: ActiveWhen) -> None:
        said = f"condition of {condition.parameter}"
        self._check_values(condition.depends_on, condition.values, said)
        own = self._conditions[condition.parameter]
        if len({c.depends_on for c in own}) < len(own):
            raise SpaceError(f"{said}: {condition.depends_on} stands in it twice")
        if len({c.otherwise for c in own}) > 1:
            raise SpaceError(f"{said}: otherwise is {' and '.join(str(c.otherwise) for c in own)}")
        if self.index(condition.depends_on) >= self.index(condition.parameter):
            raise SpaceError(f"{said}: {condition.depends_on} must stand before it in the space")
        if isinstance(condition.otherwise, str) != (self[condition.parameter].unit == "choice"):
            raise SpaceError(
                f"{said}: otherwise = {condition.otherwise!r} is not of the parameter's kind"
            )
        if not isinstance(condition.otherwise, str) and not math.isfinite(condition.otherwise):
            raise SpaceError(f"{said}: otherwise = {condition.otherwise} is not finite")

    def _check_values(self, name: str, values: tuple[Value, ...], said_by: str) -> None:
        if not values:
            raise SpaceError(f"{said_by}: no value given for {name}")
        try:
            self[name].encode(np.asarray(values))
        except SpaceError as error:
            raise SpaceError(f"{said_by}: {error}") from error

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(p.name for p in self.parameters)

    @property
    def units(self) -> dict[str, str]:
        """Parameter name -> unit."""
        return {p.name: p.unit for p in self.parameters}

    def index(self, name: str) -> int:
        """Position of a parameter; raises SpaceError for an unknown name."""
        if name not in self.names:
            raise SpaceError(f"unknown parameter {name!r}; the space has {', '.join(self.names)}")
        return self.names.index(name)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[self.index(name)]

    # -- codes and values -------------------------------------------------------------------

    def canonical(self, codes: FloatArray) -> FloatArray:
        """The same designs with `INACTIVE` where a condition says so, shape (n, d).

        Raises:
            SpaceError: If the shape is wrong or an active parameter carries `INACTIVE`.
        """
        # Adding zero turns -0.0 into 0.0: one design, one pattern of bits.
        rows = np.array(codes, dtype=np.float64) + 0.0
        if rows.ndim != 2 or rows.shape[1] != len(self.parameters):
            raise SpaceError(
                f"codes must have shape (n, d) = (n, {len(self.parameters)}), got {np.shape(codes)}"
            )
        for name, conditions in self._conditions.items():
            parents = {c.depends_on: self._column(rows, c.depends_on) for c in conditions}
            column = rows[:, self.index(name)]
            active = self._active(name, parents)
            if (column[active] == INACTIVE).any():
                raise SpaceError(
                    f"{name}: code {INACTIVE:g} says inactive, "
                    f"but {' and '.join(parents)} makes it active"
                )
            column[~active] = INACTIVE
        return rows

    def _active(self, name: str, designs: Columns) -> NDArray[np.bool_]:
        """Where a parameter with conditions is a choice, shape (n,)."""
        holds = [
            np.isin(designs[c.depends_on], np.asarray(c.values)) for c in self._conditions[name]
        ]
        return np.asarray(np.logical_and.reduce(holds), dtype=np.bool_)

    def decode(self, codes: FloatArray) -> dict[str, Column]:
        """Columns of values for code rows, each shape (n,), in the declared units.

        Raises:
            SpaceError: If a code does not exist, or an active parameter carries `INACTIVE`.
        """
        rows = self.canonical(codes)
        return {name: self._column(rows, name) for name in self.names}

    def _column(self, rows: FloatArray, name: str) -> Column:
        position = self.index(name)
        parameter, codes = self.parameters[position], rows[:, position]
        if name not in self._conditions:
            return parameter.decode(codes)
        otherwise = self._conditions[name][0].otherwise
        off = codes == INACTIVE
        values = parameter.decode(np.where(off, 0.0, codes))
        if isinstance(otherwise, str):
            wide = max(values.dtype.itemsize // 4, len(otherwise))
            values = values.astype(f"<U{wide}")
        elif not float(otherwise).is_integer():
            values = values.astype(np.float64)
        return np.where(off, np.asarray(otherwise, dtype=values.dtype), values)

    @cached_property
    def _conditions(self) -> dict[str, tuple[ActiveWhen, ...]]:
        """Parameter -> its conditions, parameters in the order of the space."""
        names = sorted({c.parameter for c in self.conditions}, key=self.index)
        return {name: tuple(c for c in self.conditions if c.parameter == name) for name in names}

    def encode(self, designs: Columns) -> FloatArray:
        """Canonical code rows, shape (n, d), of columns of values.

        Raises:
            SpaceError: If a column is missing or of another length, or holds a value that does
            not exist; where a parameter is inactive, only the value of its condition does.
        """
        missing = [name for name in self.names if name not in designs]
        if missing:
            raise SpaceError(f"no column for {', '.join(missing)}")
        shapes = {name: np.shape(designs[name]) for name in self.names}
        n = len(np.asarray(designs[self.names[0]]))
        if set(shapes.values()) != {(n,)}:
            raise SpaceError(f"columns must have one length n and shape (n,), got {shapes}")
        rows = np.full((n, len(self.parameters)), INACTIVE)
        for position, parameter in enumerate(self.parameters):
            active = np.ones(n, dtype=bool)
            conditions = self._conditions.get(parameter.name, ())
            values = np.asarray(designs[parameter.name])
            if conditions:
                active = self._active(parameter.name, designs)
                otherwise = conditions[0].otherwise
                strange = ~active & (values != otherwise)
                if strange.any():
                    raise SpaceError(
                        f"{parameter.name} = {values[strange][0]} where "
                        f"{' or '.join(c.depends_on for c in conditions)} switches it off; "
                        f"only {otherwise} stands there"
                    )
            rows[active, position] = parameter.encode(values[active])
        return rows

    def allowed(self, codes: FloatArray) -> NDArray[np.bool_]:
        """Which designs no forbidden combination excludes, shape (n,)."""
        rows = self.canonical(codes)
        allowed = np.ones(len(rows), dtype=bool)
        for rule in self.forbidden:
            hit = np.ones(len(rows), dtype=bool)
            for name, values in rule.combination.items():
                hit &= np.isin(self._column(rows, name), np.asarray(values))
            allowed &= ~hit
        return allowed

    # -- counting, listing, drawing ---------------------------------------------------------

    @cached_property
    def size(self) -> int | None:
        """Exact number of different allowed designs; None if a `Real` makes them uncountable.

        Only parameters that conditions and forbidden combinations tie together are enumerated, one
        group after the other; the groups multiply.
        """
        if any(p.count is None for p in self.parameters):
            return None
        return math.prod(_count(self, group) for group in _tied(self))

    def enumerate(self, chunk: int = CHUNK) -> Iterator[FloatArray]:
        """All allowed designs once, canonical, in mixed-radix order, last parameter fastest.

        Yields:
            Code rows, shape (k, d) with 1 <= k <= chunk; memory does not grow with the space.

        Raises:
            SpaceError: If a `Real` makes the space uncountable, the raw rows outnumber 64 bits, or
            `chunk` is below 1.
        """
        if chunk < 1:
            raise SpaceError(f"chunk = {chunk}: at least 1 row is needed")
        counts = []
        for parameter in self.parameters:
            if parameter.count is None:
                raise SpaceError(f"{parameter.name} is continuous: its values cannot be listed")
            counts.append(parameter.count)
        total = math.prod(counts)
        if total >= 2**63:
            raise SpaceError(f"{float(total):.3g} combinations of levels are too many to list")
        for start in range(0, total, chunk):
            ids = np.arange(start, min(start + chunk, total))
            raw = np.stack(np.unravel_index(ids, counts), axis=1).astype(np.float64)
            rows = self.canonical(raw)
            # Of the raw rows that share one canonical form, the one with code 0 stands for all.
            first = ~((rows == INACTIVE) & (raw != 0)).any(axis=1)
            rows = rows[first & self.allowed(rows)]
            if len(rows):
                yield rows

    def sample(self, n: int, rng: "np.random.Generator") -> FloatArray:
        """Draw n allowed designs, each parameter evenly, canonical, shape (n, d); repeats happen.

        Raises:
            SpaceError: If 1,000 rounds of rejection do not find enough allowed designs.
        """
        kept: list[FloatArray] = []
        found = 0
        # Where much is forbidden, a few designs are worth many draws.
        draws = max(n, 1000) if self.forbidden else n
        for _ in range(1000):
            if found >= n:
                break
            draw = np.stack([_draw(p, draws, rng) for p in self.parameters], axis=1)
            rows = self.canonical(draw)
            rows = rows[self.allowed(rows)]
            kept.append(rows)
            found += len(rows)
        if found < n:
            raise SpaceError(f"only {found} of {n} drawn designs escape the forbidden combinations")
        return np.concatenate(kept)[:n] if kept else np.empty((0, len(self.parameters)))


def _draw(parameter: Parameter, n: int, rng: "np.random.Generator") -> FloatArray:
    if parameter.count is None:
        return rng.random(n)
    return rng.integers(parameter.count, size=n).astype(np.float64)


def _tied(space: SearchSpace) -> list[set[str]]:
    """Groups of parameters that no condition and no forbidden combination connects."""
    links = [{c.parameter, c.depends_on} for c in space.conditions]
    links += [set(rule.combination) for rule in space.forbidden]
    groups = [{name} for name in space.names]
    for link in links:
        touched = [group for group in groups if group & link]
        groups = [group for group in groups if not group & link] + [set().union(*touched)]
    return groups


def _count(space: SearchSpace, group: set[str]) -> int:
    """Allowed designs of one group.

    A conditional parameter that nothing looks at (a leaf) is not enumerated: it multiplies the
    designs in which it is active.
    """
    conditions = [c for c in space.conditions if c.parameter in group]
    forbidden = tuple(r for r in space.forbidden if group.issuperset(r.combination))
    looked_at = {c.depends_on for c in conditions}.union(*(r.combination for r in forbidden))
    leaves = {c.parameter for c in conditions if c.parameter not in looked_at}
    inner = group - leaves
    parameters = tuple(p for p in space.parameters if p.name in inner)
    if not conditions and not forbidden:
        return parameters[0].count or 0
    core = SearchSpace(parameters, tuple(c for c in conditions if c.parameter in inner), forbidden)
    total = 0
    for rows in core.enumerate():
        designs = core.decode(rows)
        weights = np.ones(len(rows), dtype=object)  # Python integers: no product overflows
        for leaf in leaves:
            weights[space._active(leaf, designs)] *= space[leaf].count
        total += int(weights.sum())
    return total
