"""Column types and the border checks every model shares: presence, length, range."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = Mapping[str, NDArray[Any]]


def pick(
    columns: Columns, names: tuple[str, ...], by_row: Collection[str] = ()
) -> tuple[NDArray[Any], ...]:
    """Take the named columns of a batch, in the order asked.

    Args:
        columns: Batch of n designs, each column of shape (n,), or as `by_row` says.
        names: Columns to take; others are not looked at.
        by_row: Columns that may have several rows, one for each group or layer: shape (k, n).

    Returns:
        The arrays themselves.

    Raises:
        ValueError: If a column is missing, or the columns are not all of one length n.
    """
    if not names:
        return ()
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"columns {missing} are missing; the model reads {list(names)}")
    taken = tuple([np.asarray(columns[name]) for name in names])
    shapes = {
        array.shape[1:] if name in by_row and array.ndim == 2 else array.shape
        for name, array in zip(names, taken, strict=True)
    }
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        got = {name: array.shape for name, array in zip(names, taken, strict=True)}
        raise ValueError(f"columns must share one shape (n,), got {got}")
    return taken


def in_chunks(
    evaluate: Callable[[Columns], dict[str, FloatArray]],
    columns: Columns,
    names: tuple[str, ...],
    rows: int,
    by_row: Collection[str] = (),
) -> dict[str, FloatArray]:
    """Evaluate a batch piece by piece: temporaries stay in cache and memory follows the piece.

    Args:
        evaluate: Columns of a piece to its outputs, each of the piece's length.
        columns: Batch of n designs, each column of shape (n,).
        names: Columns that `evaluate` reads.
        rows: Most rows of a piece [1], at least 1.
        by_row: As for `pick`.

    Returns:
        Outputs of the whole batch, each of shape (n,).

    Raises:
        ValueError: If a column is missing or of another shape, or as `evaluate`.
    """
    taken = dict(zip(names, pick(columns, names, by_row), strict=True))
    n = next(iter(taken.values())).shape[-1]
    keep_freed_pages()
    if n <= rows:
        return evaluate(taken)
    results: dict[str, FloatArray] = {}
    # Pieces of one size: a short last one would pay the cost of a call for few rows.
    size = -(-n // -(-n // rows))
    for start in range(0, n, size):
        piece = slice(start, start + size)
        for name, values in evaluate({key: c[..., piece] for key, c in taken.items()}).items():
            results.setdefault(name, np.empty(n))[piece] = values
    return results


@cache
def keep_freed_pages() -> None:
    """Once per process: let the C allocator keep what a piece frees for the next piece.

    glibc gives freed memory back to the system until a block above 128 KiB has been freed once, and
    raises its limits to the size of that block then (mallopt(3)). Before, every piece pays a page
    fault for each 512 numbers, half of its time.
    """
    np.empty(2**19)


def require_range(
    name: str, values: NDArray[Any], limits: tuple[float, float], unit: str, authority: str
) -> None:
    """Refuse values outside a closed range; NaN counts as outside.

    Args:
        name: What the column is called in the message.
        values: Column, shape (n,).
        limits: Smallest and largest allowed value [unit], both included.
        unit: Unit of values and limits, for the message.
        authority: Who sets the limit, for the message.

    Raises:
        ValueError: If any value lies outside; the message shows the first such value.
    """
    low, high = limits
    if within(values, low, high):
        return
    bad = values[~((values >= low) & (values <= high))][0]
    raise ValueError(
        f"{name} = {float(bad)!r} {unit} is outside {low:g} to {high:g} {unit}, {authority}"
    )


def within(values: NDArray[Any], low: float, high: float) -> bool:
    """Whether all values lie in a closed range; NaN does not, and no values do."""
    # Places of the ends, not the ends: on a thousand values a reduction costs three times as much.
    # A NaN counts as both.
    return values.size == 0 or bool(
        values.item(values.argmin()) >= low and values.item(values.argmax()) <= high
    )


def require_one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a value that is not in a list.

    Raises:
        ValueError: If it is not; the message shows the list.
    """
    if value not in allowed:
        raise ValueError(f"{name} = {value!r} is not one of {list(allowed)}")


def require_whole(name: str, values: NDArray[Any], unit: str, authority: str) -> None:
    """Refuse values that are not whole numbers.

    Raises:
        ValueError: If any value has a fraction; the message shows the first such value.
    """
    if values.dtype.kind in "iu":
        return
    whole = values == np.floor(values)
    if not whole.all():
        bad = float(values[~whole][0])
        raise ValueError(f"{name} = {bad!r} {unit} is not a whole number, {authority}")


def codes_of(name: str, values: NDArray[Any], allowed: Sequence[str]) -> NDArray[np.intp]:
    """Place of each name in a list, of the shape of `values`.

    Raises:
        ValueError: If a name is not in the list; the message shows it and the list.
    """
    codes = np.full(values.shape, -1, dtype=np.intp)
    for place, one in enumerate(allowed):
        codes[values == one] = place
    if codes.size and codes.min() < 0:
        bad = str(values[codes < 0].flat[0])
        raise ValueError(f"{name} = {bad!r} is not one of {list(allowed)}")
    return codes


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Parts of two means; each array of shape (layers + 1, n), row 0 the input stage.

    Attributes:
        energy: Component -> mean energy [J].
        latency: Component -> mean latency [s]; the p95 latency has no parts per mean layer.
    """

    energy: Mapping[str, FloatArray]
    latency: Mapping[str, FloatArray]


def total(parts: Mapping[str, FloatArray]) -> FloatArray:
    """Sum in the order of the parts: the same bits as a reader who adds them up."""
    first, *rest = parts.values()
    if not rest:
        return first.copy()
    summed = first + rest[0]
    for part in rest[1:]:
        summed += part
    return summed
