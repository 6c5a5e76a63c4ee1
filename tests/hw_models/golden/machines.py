"""Random machines and designs of the golden of the hardware models, as columns of plain numbers.

A case is one machine and one design. Options are stored as their place in `OPTIONS`, whole numbers
as they are, reals as float64 in SI units. Spans count quarters of a token, so that they are exact.
The fixture holds what `draw` drew; nothing but `record.py` draws, so that a comparison does not
depend on NumPy's random streams.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hw_models import (
    Accelerator,
    AttentionSpan,
    Datapath,
    EncoderShape,
    Envm,
    InitiationIntervals,
    OperatingPoints,
    Silicon,
    Storage,
    Supply,
    shipped,
)
from hw_models.latency_aware import LatencyAware, share_column
from hw_models.table import Bound

Cases: TypeAlias = Mapping[str, NDArray[Any]]
"""Column name -> one number per case, shape (n,); `exit_weights` has shape (12, k)."""

DEEPEST = 12
"""Layers of the deepest network of `SHAPES` [1]."""

NOMINAL = 0.8
"""Supply at which the silicon is characterised [V]."""

SHAPES: Mapping[str, EncoderShape] = {
    "minilm": EncoderShape(6, 384, 12, 1536, 384, 30522, 512, 2, 2, 6, "mean_pool"),
    "albert": EncoderShape(12, 768, 12, 3072, 128, 30000, 512, 2, 2, 1),
    "bert": EncoderShape(12, 768, 12, 3072, 768, 30522, 512, 2, 2, 12),
    "distilbert": EncoderShape(6, 768, 12, 3072, 768, 30522, 512, 0, 2, 6),
    # No width is a multiple of a tile, and there is a projection before the first layer.
    "odd": EncoderShape(3, 150, 6, 451, 70, 5003, 300, 3, 5, 2, "mean_pool"),
}
"""Networks by name; fields are those of `EncoderShape` in their order."""

BOUNDS = get_args(Bound)

OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "shape": tuple(SHAPES),
    "sequence_length": (1, 16, 48, 64, 100, 128, 256),
    "mac_width": (2, 4, 8, 16, 32),
    "exponent_bits": (1, 2, 3, 4, 5),
    "zero_gating": ("element", "vector", "none"),
    "initiation": ("as published", "one"),
    "datapath_bound": BOUNDS,
    "envm_table": ("envm_nvsim_22nm", "envm_array_22nm", "envm_macro"),
    "envm_bound": BOUNDS,
    "envm_cell": (
        "sram", "rram", "stt", "pcm", "fefet", "rram_mlc2", "rram_mlc3", "fefet_mlc2",
    ),
    "idle": ("powered", "gated"),
    "mask": ("single_level", "same"),
    "weights": ("envm", "sram", "dram"),
    "overlap": (True, False),
    "embedding_sparsity": (0.0, 0.05, 0.3, 0.5, 0.6, 0.9, 1.0),
    "dram_technology": ("lpddr4", "lpddr", "ddr3", "hbm2", "hbm3"),
    "voltage_table": ("dvfs_12nm", "dvfs_silicon_12nm"),
    "voltage_bound": BOUNDS,
    "span": ("none", "uniform", "per head", "all off"),
    "rail_above_table": (None, 0.0, 0.2),
}  # fmt: skip
"""Column of places -> the options; `rail_above_table` [V], None for a machine without a supply."""

_CELL_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "envm_nvsim_22nm": {"sram": 5, "rram": 2, "stt": 2, "pcm": 4, "rram_mlc2": 3, "rram_mlc3": 4},
    "envm_array_22nm": {
        "rram": 1, "stt": 1, "pcm": 1, "fefet": 3, "rram_mlc2": 1, "rram_mlc3": 1, "fefet_mlc2": 3,
    },
    "envm_macro": {"rram": 1, "stt": 1, "rram_mlc2": 1},
}  # fmt: skip
"""How often a cell is drawn [1], so that each of them occurs in thousands of cases."""

_WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "sequence_length": (4, 3, 2, 2, 2, 2, 2),
    "mac_width": (3, 3, 3, 4, 5),
    "overlap": (3, 2),
    "envm_table": (2, 2, 1),
    "span": (4, 2, 2, 1),
    "rail_above_table": (2, 1, 1),
}
"""The same for other columns; short sentences on wide arrays wait for their weights."""


def option(cases: Cases, name: str, case: int) -> Any:
    """What the place of one case stands for."""
    return OPTIONS[name][int(cases[name][case])]


def draw(seed: int, count: int) -> dict[str, NDArray[Any]]:
    """Random cases, without deadlines.

    Args:
        seed: Of the random stream.
        count: Cases [1], n.

    Returns:
        Columns of shape (n,); exit_weights of shape (12, n).
    """
    rng = np.random.default_rng(seed)
    cases: dict[str, NDArray[Any]] = {}
    for name, options in OPTIONS.items():
        weights = np.array(_WEIGHTS.get(name, (1,) * len(options)), dtype=float)
        places = rng.choice(len(options), count, p=weights / weights.sum())
        cases[name] = places.astype(np.uint8)
    cases["envm_cell"] = _draw_cells(rng, cases)
    cases |= _draw_numbers(rng, cases)
    return cases


def _draw_cells(rng: np.random.Generator, cases: Cases) -> NDArray[np.uint8]:
    """A cell that the table of the case has."""
    cells = np.zeros_like(cases["envm_table"])
    for place, table in enumerate(OPTIONS["envm_table"]):
        here = np.flatnonzero(cases["envm_table"] == place)
        names, weights = zip(*_CELL_WEIGHTS[table].items(), strict=True)
        known = [OPTIONS["envm_cell"].index(name) for name in names]
        cells[here] = rng.choice(known, len(here), p=np.array(weights) / sum(weights))
    return cells


def _draw_numbers(rng: np.random.Generator, cases: Cases) -> dict[str, NDArray[Any]]:
    """Widths, spans and reals; reals lie on a grid, and often at the ends of their range."""
    n = len(cases["shape"])
    layers = np.array([shape.layers for shape in SHAPES.values()])[cases["shape"]]
    narrowest = np.array(OPTIONS["exponent_bits"])[cases["exponent_bits"]] + 1
    pruning = np.clip(rng.integers(-150, 1151, n), 0, 1000) / 1000
    depth = np.clip(rng.integers(-20, 221, (2, n)), 0, 200)
    mean, p95 = 1.0 + (layers - 1) * depth / 200
    return {
        "weight_bits": rng.integers(narrowest, 17).astype(np.uint8),
        "activation_bits": rng.integers(narrowest, 17).astype(np.uint8),
        "span_quarters": rng.integers(1, 1025, n).astype(np.uint16),
        "ramp_quarters": (rng.integers(0, 65, n) * rng.integers(0, 2, n)).astype(np.uint8),
        "pruning_ratio": pruning,
        "vdd": _draw_supplies(rng, cases),
        "mean_exit_layer": mean,
        "p95_exit_layer": p95,
        "early_layers": rng.integers(1, layers + 1).astype(np.uint8),
        "deadline_factor": np.round(10 ** rng.uniform(-1.0, 0.6, n), 3),
        "exit_weights": (
            rng.integers(0, 21, (DEEPEST, n)) * rng.integers(0, 2, (DEEPEST, n))
        ).astype(np.uint8),
    }  # fmt: skip


def _draw_supplies(rng: np.random.Generator, cases: Cases) -> NDArray[np.float64]:
    """One half rows of the voltage table, one half between them [V]."""
    vdd = np.empty(len(cases["voltage_table"]))
    for place, name in enumerate(OPTIONS["voltage_table"]):
        here = np.flatnonzero(cases["voltage_table"] == place)
        rows = shipped(name).columns["vdd"]
        between = np.round(rng.uniform(rows[0], rows[-1], len(here)), 4)
        vdd[here] = np.where(rng.random(len(here)) < 0.5, rng.choice(rows, len(here)), between)
    return vdd


def machine(cases: Cases, case: int) -> Accelerator:
    """The machine of one case."""
    shape = SHAPES[option(cases, "shape", case)]
    points = _points(option(cases, "voltage_table", case), option(cases, "voltage_bound", case))
    datapath = Datapath(
        option(cases, "mac_width", case),
        option(cases, "exponent_bits", case),
        int(cases["activation_bits"][case]),
        option(cases, "zero_gating", case),
        _initiation(option(cases, "initiation", case)),
        _silicon(option(cases, "datapath_bound", case)),
    )
    return Accelerator(
        shape,
        option(cases, "sequence_length", case),
        datapath,
        _storage(cases, case),
        points,
        _span(cases, case, shape.heads),
        _supply(points, option(cases, "rail_above_table", case)),
    )


def design(cases: Cases, case: int) -> dict[str, NDArray[Any]]:
    """Its design, as columns of shape (1,)."""
    numbers = ("pruning_ratio", "weight_bits", "vdd", "mean_exit_layer", "p95_exit_layer")
    columns = {name: cases[name][case : case + 1] for name in numbers}
    columns["weight_bits"] = columns["weight_bits"].astype(np.int64)
    return columns | {"envm_cell": np.array([option(cases, "envm_cell", case)])}


def latency_aware(cases: Cases, case: int, chip: Accelerator) -> LatencyAware:
    """The machine with a deadline, on the default regulator."""
    return LatencyAware(chip, int(cases["early_layers"][case]))


def exit_shares(cases: Cases, case: int, layers: int) -> NDArray[np.float64]:
    """Share of sentences that exit after each layer [1], shape (layers, 1).

    The weights of the network's layers over their sum; a weight of 1 is added to the last layer.
    """
    weights = cases["exit_weights"][:layers, case : case + 1].astype(np.float64)
    weights[-1] += 1.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def share_columns(shares: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The shares as columns of `LatencyAware`."""
    return {share_column(layer + 1): share for layer, share in enumerate(shares)}


def describe(cases: Cases, case: int) -> str:
    """One case in words, for the message of a comparison that fails."""
    words = {name: option(cases, name, case) for name in OPTIONS}
    words |= {
        name: column[case].item()
        for name, column in cases.items()
        if name not in OPTIONS and column.ndim == 1 and case < len(column)
    }
    return ", ".join(f"{name} {value}" for name, value in words.items())


def _span(cases: Cases, case: int, heads: int) -> AttentionSpan | None:
    """Spans per head: a third of the heads off and the others of different reach; or all alike."""
    kind, reach = option(cases, "span", case), int(cases["span_quarters"][case])
    if kind == "none":
        return None
    quarters = {
        "uniform": [reach] * heads,
        "per head": [reach * (head % 3) * (head + 1) // heads for head in range(heads)],
        "all off": [0] * heads,
    }[kind]
    ramp = int(cases["ramp_quarters"][case]) / 4.0
    return AttentionSpan(tuple(quarter / 4.0 for quarter in quarters), ramp)


def _storage(cases: Cases, case: int) -> Storage:
    names = ("weights", "overlap", "embedding_sparsity", "dram_technology")
    chosen = {name: option(cases, name, case) for name in names}
    envm = _envm(*(option(cases, n, case) for n in ("envm_table", "envm_bound", "idle", "mask")))
    return Storage(envm, **chosen)


# A machine is made of few different values; to make each once saves half of the time.


@cache
def _envm(table: str, bound: Bound, idle: Any, mask: Any) -> Envm:
    return Envm(shipped(table, bound), idle, mask)


@cache
def _silicon(bound: Bound) -> Silicon:
    return Silicon(shipped("datapath_12nm", bound))


@cache
def _initiation(name: str) -> InitiationIntervals:
    return InitiationIntervals() if name == "as published" else InitiationIntervals(1, 1, 1, 1)


@cache
def _points(table: str, bound: Bound) -> OperatingPoints:
    return OperatingPoints(shipped(table, bound), NOMINAL)


def _supply(points: OperatingPoints, above: float | None) -> Supply | None:
    """A rail at the highest voltage of the table, or above it."""
    if above is None:
        return None
    return Supply(rail=float(points.table.columns["vdd"][-1]) + above)
