"""Characterised tables: CSV with the unit in the header, TOML with the origin, SI inside."""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import FloatArray, require_one_of, require_range
from hw_models.grid import Grid, Lines

Bound: TypeAlias = Literal["low", "nominal", "high"]
"""Which end of the disagreement between sources a table carries."""

Evidence: TypeAlias = Literal["seen", "derived", "second-hand", "unverified"]
"""seen in a primary source | derived from such | reported by others | from memory."""

_LABEL: Mapping[str, Label] = {
    "seen": "published",
    "derived": "published",
    "second-hand": "unverified",
    "unverified": "unverified",
}

_UNITS: Mapping[str, tuple[float, str]] = {
    "choice": (1.0, "choice"),
    "1": (1.0, "1"),
    "bit": (1.0, "bit"),
    "cycle": (1.0, "cycle"),
    "V": (1.0, "V"),
    "mV": (1e-3, "V"),
    "MHz": (1e6, "Hz"),
    "s": (1.0, "s"),
    "ms": (1e-3, "s"),
    "ns": (1e-9, "s"),
    "ns/byte": (1e-9, "s/byte"),
    "W": (1.0, "W"),
    "W/GHz3": (1e-27, "W/Hz3"),
    "pJ": (1e-12, "J"),
    "pJ/bit": (1e-12, "J/bit"),
    "pJ/byte": (1e-12, "J/byte"),
    "mA": (1e-3, "A"),
    "mW": (1e-3, "W"),
    "mW/mm2": (1e3, "W/m2"),
    "mm2": (1e-6, "m2"),
    "MiB": (2.0**20, "byte"),
    "KiB": (2.0**10, "byte"),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a table comes from and how far it may be trusted."""

    source: str
    process: str
    conditions: str
    evidence: Evidence
    bounds: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require_one_of("evidence", self.evidence, get_args(Evidence))
        for name in ("source", "process", "conditions"):
            if not getattr(self, name):
                raise ValueError(f"{name} = '' is not allowed: a table says where it comes from")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Read-only columns of k rows in SI units, ordered by their key column.

    Attributes:
        name: File stem, named in every refusal.
        key: First column: strictly increasing numbers (interpolated) or sorted names (looked up).
        columns: Column name -> array, shape (k,), read-only.
        units: Column name -> SI unit; "choice" for names.
        origin: Source, process, conditions and evidence.
        bound: Which end of the sources' disagreement the rows are.
    """

    name: str
    key: str
    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    origin: Origin
    bound: Bound = "nominal"
    _names: tuple[str, ...] = field(init=False, repr=False)
    _by_slot: NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keys = self.columns[self.key]
        if not (keys[:-1] < keys[1:]).all():
            raise ValueError(
                f"table '{self.name}': key '{self.key}' must strictly increase, got {keys.tolist()}"
            )
        for name, column in self.columns.items():
            if column.shape != keys.shape:
                raise ValueError(
                    f"table '{self.name}': column '{name}' must have shape (k,) = {keys.shape}, "
                    f"got {column.shape}"
                )
            if column.dtype.kind != "U" and not np.isfinite(column).all():
                raise ValueError(f"table '{self.name}': column '{name}' holds {column.tolist()}")
            column.flags.writeable = False
        names = keys if keys.dtype.kind == "U" else keys[:0].astype(np.str_)
        object.__setattr__(self, "_names", tuple(names.tolist()))
        object.__setattr__(self, "_by_slot", _slots(self.name, names))

    def at(self, keys: NDArray[Any], *columns: str) -> tuple[FloatArray, ...]:
        """Values of several columns at the keys: exact on rows, linear between, never outside.

        Args:
            keys: Key column of n designs, shape (n,): numbers [unit of the key] or names.
            columns: Which columns to read; the search for the row is done once for all.

        Returns:
            One array of shape (n,) per column asked [unit of that column].

        Raises:
            ValueError: If a key is outside the table, or a name is not in it.
        """
        if self.units[self.key] == "choice":
            rows = self.rows(keys)
            return tuple(self.columns[column].take(rows) for column in columns)
        return tuple(self.lines(*columns).at(self.inside(keys)))

    def lines(self, *columns: str) -> Lines:
        """Several columns over the key, for who reads them often; keys go through `inside`."""
        rows = np.stack([self.columns[column] for column in columns])
        return Lines(Grid(self.columns[self.key]), rows)

    def inside(self, keys: NDArray[Any]) -> NDArray[Any]:
        """The keys themselves, any shape [unit of the key].

        Raises:
            ValueError: If a key is outside the table.
        """
        grid = self.columns[self.key]
        limits = float(grid[0]), float(grid[-1])
        authority = f"the range of table '{self.name}'"
        require_range(self.key, keys, limits, self.units[self.key], authority)
        return keys

    def constant(self, column: str) -> float:
        """The value of a column in a table of one row [unit of that column].

        Raises:
            ValueError: If the table has several rows.
        """
        values = self.columns[column]
        if values.shape != (1,):
            raise ValueError(
                f"table '{self.name}' has {len(values)} rows, '{column}' is not one constant"
            )
        return float(values[0])

    def rows(self, names: NDArray[Any]) -> NDArray[np.intp]:
        """Row of each name in a table of names, shape (n,).

        Args:
            names: Shape (n,).

        Raises:
            ValueError: If a name is not in the table; the message lists the names.
        """
        names = np.ascontiguousarray(names, dtype=np.str_)
        letters = _letters(names)
        rows = self._by_slot.take(_codes(letters) & (len(self._by_slot) - 1))
        # Names of one slot are told apart letter by letter: quicker than as text.
        wrong = _spelled(self._names, letters.shape[1]).take(rows, axis=0) != letters
        if np.count_nonzero(wrong):
            raise ValueError(
                f"{self.key} = {str(names[wrong.any(axis=1)][0])!r} is not one of "
                f"{list(self._names)}, the rows of table '{self.name}'"
            )
        return rows


def _slots(table: str, names: NDArray[np.str_]) -> NDArray[np.intp]:
    """Row of the name whose code ends in these bits, by those bits; as few as tell all apart."""
    codes = _codes(_letters(names))
    for bits in range(20):
        slots = codes & (2**bits - 1)
        if len(set(slots.tolist())) == len(names):  # np.unique loads all of numpy.ma
            by_slot = np.zeros(2**bits, dtype=np.intp)
            by_slot[slots] = np.arange(len(names))
            return by_slot
    raise ValueError(f"table '{table}': two of {names.tolist()} share a code")


def _letters(names: NDArray[np.str_]) -> NDArray[np.uint32]:
    """Letters of names as numbers, shape (n, width), zeros after the last."""
    width = names.dtype.itemsize // 4
    return names.view(f"{names.dtype.byteorder}u4").reshape(len(names), width)


@lru_cache(maxsize=256)
def _spelled(names: tuple[str, ...], width: int) -> NDArray[np.uint32]:
    """As `_letters` in a column of that width; a name that does not fit equals nothing."""
    nothing = np.iinfo(np.uint32).max
    rows = [
        [*map(ord, name.ljust(width, "\0"))] if len(name) <= width else [nothing] * width
        for name in names
    ]
    return np.array(rows, dtype=np.uint32)


def _codes(letters: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A number for each name, shape (n,); trailing blanks of a wider column do not change it."""
    codes: NDArray[np.uint32] = letters @ _places(letters.shape[1])
    return codes


@cache
def _places(width: int) -> NDArray[np.uint32]:
    """Weight of each letter of a name: powers of an odd number, modulo 2^32, shape (width,)."""
    return np.asarray(np.uint32(2654435761) ** np.arange(width, dtype=np.uint32), dtype=np.uint32)


def label(*tables: Table) -> Label:
    """The weakest link of the tables that went into a number; without any it is a closed form."""
    return weakest("closed form", *(_LABEL[table.origin.evidence] for table in tables))


def weakest(*labels: Label) -> Label:
    """The worst of some labels, at least one."""
    return max(labels, key=get_args(Label).index)


@cache
def shipped_names() -> tuple[str, ...]:
    """Names of all tables that come with the package, sorted."""
    folder = files("hw_models") / "tables"
    return tuple(sorted(f.name[: -len(".csv")] for f in folder.iterdir() if f.name[-4:] == ".csv"))


@cache
def shipped(name: str, bound: Bound = "nominal") -> Table:
    """A table that comes with the package; read once, since a table never changes.

    Args:
        name: File stem in `hw_models/tables`.
        bound: End of the sources' disagreement; a table whose sources agree has one set of rows.

    Raises:
        ValueError: If there is no such table.
    """
    return read(_shipped_file(name), bound)


def shipped_csv(name: str) -> str:
    """A table that comes with the package as it is written: units in the header, all bounds.

    Args:
        name: File stem in `hw_models/tables`.

    Raises:
        ValueError: If there is no such table.
    """
    return _shipped_file(name).read_text(encoding="utf-8")


def _shipped_file(name: str) -> Traversable:
    if name not in shipped_names():
        raise ValueError(f"table {name!r} is not one of {list(shipped_names())}, shipped tables")
    return files("hw_models") / "tables" / f"{name}.csv"


def read(path: Traversable, bound: Bound = "nominal") -> Table:
    """A table from a CSV file and the TOML file of the same stem beside it.

    A header cell is `<column>_<unit>`; values are turned into SI here and nowhere else. A column
    `bound_choice` (low, nominal, high) triples the rows: three sets, ordered value by value.

    Args:
        path: The CSV file (`pathlib.Path` or a packaged file).
        bound: Which of the three sets to take.

    Raises:
        ValueError: If a unit is unknown, a set is incomplete, low exceeds nominal or nominal high,
            or the TOML lacks a field.
    """
    if not path.name.endswith(".csv"):
        raise ValueError(f"table file {path.name!r} must end in .csv")
    name = path.name[: -len(".csv")]
    header, *lines = csv.reader(path.read_text(encoding="utf-8").splitlines())
    names, units, factors = _parse_header(name, header)
    raw = {n: _numbers(name, n, u, [line[i] for line in lines])
           for i, (n, u) in enumerate(zip(names, units, strict=True))}  # fmt: skip
    columns = {n: a if a.dtype.kind == "U" else a * factors[n] for n, a in raw.items()}
    origin_file = _beside(path, f"{name}.toml")
    origin = Origin(**tomllib.loads(origin_file))
    key = next(n for n in names if n != "bound")
    chosen = _select(name, key, columns, bound)
    kept = {n: u for n, u in zip(names, units, strict=True) if n != "bound"}
    return Table(name, key, chosen, kept, origin, bound)


def _beside(path: Traversable, name: str) -> str:
    parent = getattr(path, "parent", None)
    if parent is None:
        raise ValueError(f"{path.name!r}: no folder to look for {name!r} in")
    text: str = (parent / name).read_text(encoding="utf-8")
    return text


def _parse_header(
    table: str, header: Iterable[str]
) -> tuple[list[str], list[str], dict[str, float]]:
    names, units, factors = [], [], {}
    for cell in header:
        name, _, unit = cell.rpartition("_")
        if not name or unit not in _UNITS:
            raise ValueError(
                f"table '{table}': header {cell!r} must be <column>_<unit>, "
                f"with a unit among {sorted(_UNITS)}"
            )
        factor, si = _UNITS[unit]
        names.append(name)
        units.append(si)
        factors[name] = factor
    return names, units, factors


def _numbers(table: str, column: str, unit: str, cells: list[str]) -> NDArray[Any]:
    if unit == "choice":
        return np.array(cells, dtype=np.str_)
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise ValueError(f"table '{table}': column '{column}': {error}") from error


def _select(
    table: str, key: str, columns: dict[str, NDArray[Any]], bound: Bound
) -> dict[str, NDArray[Any]]:
    """The rows of one bound, after checking that the three sets are complete and ordered."""
    if "bound" not in columns:
        return _sorted(key, columns)
    sets = {
        b: _sorted(key, {n: a[columns["bound"] == b] for n, a in columns.items() if n != "bound"})
        for b in get_args(Bound)
    }
    low, nominal, high = (sets[b] for b in get_args(Bound))
    for name, values in nominal.items():
        ends = (low[name], high[name])
        if any(end.shape != values.shape for end in ends):
            raise ValueError(f"table '{table}': each key needs one low, nominal and high row")
        if name == key:
            ordered = bool((ends[0] == values).all() and (ends[1] == values).all())
        else:
            ordered = bool((ends[0] <= values).all() and (values <= ends[1]).all())
        if not ordered:
            raise ValueError(f"table '{table}': column '{name}' is not low <= nominal <= high")
    return sets[bound]


def _sorted(key: str, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    order = np.argsort(columns[key], kind="stable")
    return {name: column[order] for name, column in columns.items()}
