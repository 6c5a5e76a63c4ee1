"""Knobs of a chip: names, units, and which values there are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import Columns, FloatArray, require_range, require_whole
from hw_models.workload.table import Workload

MAC_WIDTHS = (2, 4, 8, 16, 32)
"""Datapath sizes the design was studied for."""

WIDEST_FORMAT = 16.0
"""Of a number that the array computes with [bit]; the accumulators are as wide."""

DVFS = ("fixed", "sentence")
"""One supply for all sentences, or for each the lowest that meets its deadline."""

Value: TypeAlias = float | str

KNOBS: Mapping[str, str] = MappingProxyType(
    {"pruning_ratio": "1", "weight_bits": "bit", "envm_cell": "choice", "vdd": "V",
     "attention_span": "token", "embedding_sparsity": "1", "activation_bits": "bit",
     "exponent_bits": "bit", "mac_width": "1", "weight_store": "choice",
     "sequence_length": "token", "split_layer": "layer", "dvfs": "choice",
     "predict_layer": "layer"}
)  # fmt: skip
"""Every knob of a chip and its unit.

attention_span is the reach r to either side: a query sees 2 r - 1 keys. split_layer: layers that
the chip holds, from the first. predict_layer: layers at the nominal supply before the exit is known
and the voltage chosen, read where dvfs is `sentence`."""

BY_ROW: Mapping[str, str] = MappingProxyType(
    {"pruning_ratio": "group", "weight_bits": "group", "activation_bits": "stage",
     "attention_span": "stage", "sequence_length": "stage"}
)  # fmt: skip
"""Knobs that may have a row for each group of parameters, or for each stage from 0 to L."""


def require_known(columns: Columns, workload: Workload) -> None:
    """Refuse values that no chip has.

    Args:
        columns: Some of `KNOBS`, shape (n,); those of `BY_ROW` also (groups, n) or (L + 1, n).
        workload: The network.

    Raises:
        ValueError: If a value is out of range; the message shows value, limit and who sets it.
    """
    layers, longest = float(workload.layers), workload.longest
    limits = {
        "pruning_ratio": (0.0, 1.0, "a fraction"),
        "embedding_sparsity": (0.0, 1.0, "a fraction"),
        "exponent_bits": (1.0, 5.0, "the width law"),
        "sequence_length": (1.0, longest, "the position embedding"),
        "attention_span": (0.0, np.inf, "a reach"),
        "split_layer": (0.0, layers, "the network's depth"),
        "predict_layer": (1.0, layers, "the network's depth"),
    }
    for name, column in columns.items():
        if KNOBS[name] != "choice" and column.dtype.kind not in "fiub":
            bad = column.flat[0] if column.size else column.dtype
            raise ValueError(f"{name} = {bad!r} is no number [{KNOBS[name]}]")
        if name in limits:
            low, high, authority = limits[name]
            require_range(name, column, (low, high), KNOBS[name], authority)
        if name in _WHOLE:
            require_whole(name, column, KNOBS[name], "a count")
    _require_built(columns)
    _require_rows(columns, workload)


_WHOLE = (
    "exponent_bits", "sequence_length", "split_layer", "predict_layer", "mac_width",
    "attention_span",
)  # fmt: skip


def _require_built(columns: Columns) -> None:
    """Refuse an array of another size."""
    width = columns.get("mac_width", np.zeros(0))
    built = np.zeros(width.shape, dtype=np.bool_)
    for known in MAC_WIDTHS:
        built |= width == known
    if not built.all():
        raise ValueError(f"mac_width = {width[~built].flat[0]:g} is not one of {list(MAC_WIDTHS)}")


def _require_rows(columns: Columns, workload: Workload) -> None:
    """Refuse a knob by group or stage that does not have a row for each of them."""
    for name, axis in BY_ROW.items():
        rows = workload.groups if axis == "group" else workload.layers + 1
        if name in columns and columns[name].ndim > 1 and len(columns[name]) != rows:
            raise ValueError(
                f"{name} has {len(columns[name])} rows; the network has {rows} {axis}s"
            )


def require_formats(columns: Columns) -> None:
    """Refuse numbers too narrow for sign and exponent, or wider than the array computes with.

    Args:
        columns: weight_bits, activation_bits and exponent_bits [bit], those that are known.

    Raises:
        ValueError: If there is such a number; the message shows value, limit and who sets it.
    """
    exponent = np.atleast_1d(columns.get("exponent_bits", np.ones(1)))
    for name in ("weight_bits", "activation_bits"):
        bits, least = np.broadcast_arrays(np.atleast_1d(columns.get(name, exponent + 1)), exponent)
        bad = ~((bits > least) & (bits <= WIDEST_FORMAT))
        if bad.any():
            low = float(least[bad][0])
            authority = f"sign and {low:g} exponent bits at least"
            require_range(name, bits[bad], (low + 1.0, WIDEST_FORMAT), "bit", authority)
        require_whole(name, bits, "bit", "a number format")


def as_float(values: NDArray[Any]) -> FloatArray:
    """Values as real numbers, of the same shape."""
    return np.asarray(values, dtype=np.float64)
