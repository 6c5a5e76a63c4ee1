"""Every coefficient of board, link and cloud from a table of measured trials, with its residuals.

Per (mode, split) least squares of the board's time over 1/f; per mode of the board's energy over
(t, f^3 t); over all trials of the transfer time over bytes, and of the node's energy over its time.
Trials it was fitted to are calibration: agreement with them validates nothing.

Cycles, times and powers are not negative. Where trials say so nonetheless, beyond what their
scatter explains, the law does not hold for them and the fit is refused; within the scatter the
coefficient stays as fitted and is named.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw_models.cloud import GPU, CloudNode
from hw_models.columns import Columns, FloatArray, pick
from hw_models.edge_device import EdgeDevice
from hw_models.link import Link
from hw_models.split import SplitComputing

_PROOF = 5.0
"""Standard errors below zero at which a coefficient is refused [1]: scatter is no excuse there."""

_SPARE = 3
"""Trials more than coefficients that a standard error is trusted from [1]."""

_QUANTITIES = ("latency_edge", "latency_transfer", "latency_cloud", "energy_edge", "energy_cloud")

TRIALS = ("split_layer", "cpu_frequency", "tpu_mode", "cloud_gpu", "size", *_QUANTITIES)
"""Columns of the trials: layer, Hz, names, byte, s, J; means per inference, shape (k,) each."""

_CSV: Mapping[str, tuple[str, float]] = {
    "split_layer": ("split_layer", 1.0),
    "cpu_frequency": ("cpu_freq_mhz", 1e6),
    "size": ("tensor_kb", 1024.0),
    "latency_edge": ("latency_edge_ms", 1e-3),
    "latency_transfer": ("latency_transfer_ms", 1e-3),
    "latency_cloud": ("latency_cloud_ms", 1e-3),
    "energy_edge": ("energy_edge_j", 1.0),
    "energy_cloud": ("energy_cloud_j", 1.0),
}


@dataclass(frozen=True, slots=True)
class Residual:
    """How far a fitted quantity is from the trials: |fitted - measured| over the mean measured [1].

    Attributes:
        largest: Of all trials that have the quantity.
        rms: Root of the mean square.
        trials: How many have it.
    """

    largest: float
    rms: float
    trials: int


@dataclass(frozen=True, slots=True, eq=False)
class SplitFit:
    """A fitted evaluator.

    Attributes:
        model: Ready to price any characterised configuration.
        goodput: Of the link in the trials [bit/s]; the bandwidth column of `model` at that link.
        residuals: Quantity -> residual.
        suspect: Coefficients of the board below zero, with their values: the trials scatter too
            much, or are too few, to tell. More clocks decide; until then do not trust what the
            model says of other clocks there.
    """

    model: SplitComputing
    goodput: float
    residuals: Mapping[str, Residual]
    suspect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Least squares, per coefficient: value, standard error, largest share of the quantity [1]."""

    values: FloatArray
    errors: FloatArray
    shares: FloatArray

    def doubts(self, names: Sequence[tuple[str, str]]) -> list[str]:
        """The negative coefficients that the trials do not prove to be so, as text.

        Args:
            names: Name and unit of each.

        Raises:
            ValueError: If the trials prove one to be negative; it is named.
        """
        found = []
        for (name, unit), value, error, share in zip(
            names, self.values, self.errors, self.shares, strict=True
        ):
            if value >= 0 or share < 1e-9:  # a zero, but for rounding
                continue
            text = f"{name} = {value:g} {unit}"
            if value < -_PROOF * error:
                raise ValueError(
                    f"{text} is negative, {error:g} its standard error: no board works like that, "
                    "so the trials do not follow the law or their columns are mixed up"
                )
            found.append(text)
        return found


def read_trials(path: Path) -> dict[str, NDArray[np.float64] | NDArray[np.str_]]:
    """Trials from a CSV file with the unit in the header, in SI.

    Args:
        path: Columns split_layer, cpu_freq_mhz (as applied), tpu_mode, gpu (true or false),
            tensor_kb, latency_edge_ms, latency_transfer_ms, latency_cloud_ms, energy_edge_j,
            energy_cloud_j; others are ignored, but totals are checked where they stand.

    Raises:
        ValueError: If a column is missing, a cell is no number, or a total is not its sum.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = ["tpu_mode", "gpu", *(name for name, _ in _CSV.values())]
    missing = [name for name in wanted if not rows or name not in rows[0]]
    if missing:
        raise ValueError(f"'{path.name}': columns {missing} are missing, {len(rows)} rows")
    numbers = {n: np.array([float(row[c]) for row in rows]) * f for n, (c, f) in _CSV.items()}
    for total, unit, factor in (("latency", "ms", 1e-3), ("energy", "j", 1.0)):
        if f"{total}_total_{unit}" in rows[0]:
            stated = np.array([float(row[f"{total}_total_{unit}"]) for row in rows]) * factor
            parts = sum(numbers[name] for name in _QUANTITIES if name.startswith(total))
            if not np.allclose(stated, parts, rtol=1e-3, atol=0):
                bad = float(stated[~np.isclose(stated, parts, rtol=1e-3, atol=0)][0])
                raise ValueError(
                    f"'{path.name}': {total} total {bad:g} is not the sum of its parts"
                )
    switch = {"true": GPU[1], "false": GPU[0], "1": GPU[1], "0": GPU[0]}
    gpu = [switch.get(row["gpu"].strip().lower(), row["gpu"]) for row in rows]
    names = {"tpu_mode": np.array([row["tpu_mode"] for row in rows]), "cloud_gpu": np.array(gpu)}
    return {**numbers, **names}


def fit_split(trials: Columns) -> SplitFit:
    """Board, link and cloud from measured trials.

    Args:
        trials: Columns `TRIALS`, shape (k,). The deepest split is the whole network on the board.
            A (mode, split) needs two clocks.

    Raises:
        ValueError: If a column is missing, a coefficient has too few trials, or one is negative
            beyond the scatter of the trials; it is named.
    """
    taken = dict(zip(TRIALS, pick(trials, TRIALS), strict=True))
    edge, suspect = _edge(taken)
    link, goodput = _link(taken)
    model = SplitComputing(edge, link, _cloud(taken, edge.layers), _sizes(taken, edge.layers))
    bandwidth = np.full(len(taken["size"]), goodput)
    parts = model.parts({**taken, "bandwidth": bandwidth})
    fitted = {
        "latency_edge": parts["latency"]["edge"],
        "latency_transfer": parts["latency"]["transfer"],
        "latency_cloud": parts["latency"]["cloud"],
        "energy_edge": parts["energy"]["edge"] + parts["energy"]["waiting"],
        "energy_cloud": parts["energy"]["cloud"],
    }
    residuals = {name: _residual(fitted[name], taken[name]) for name in _QUANTITIES}
    return SplitFit(model, goodput, residuals, tuple(suspect))


def _edge(t: Columns) -> tuple[EdgeDevice, list[str]]:
    split, frequency, mode = t["split_layer"].astype(np.intp), t["cpu_frequency"], t["tpu_mode"]
    modes = tuple(str(m) for m in np.unique(mode))
    cycles = np.full((len(modes), int(split.max()) + 1), np.nan)
    fixed = cycles.copy()
    doubts: list[str] = []
    for i, name in enumerate(modes):
        for layer in np.unique(split[mode == name]):
            rows = (mode == name) & (split == layer)
            if len(np.unique(frequency[rows])) < 2:
                raise ValueError(
                    f"split_layer = {layer} layer with tpu_mode = {name!r} has one clock among the "
                    "trials; time over clock needs two"
                )
            x = np.stack([1.0 / frequency[rows], np.ones(rows.sum())], axis=1)
            solved = _least_squares(
                x, t["latency_edge"][rows], f"latency_edge of split_layer = {layer}"
            )
            where = f"of split_layer = {layer} with tpu_mode = {name!r}"
            doubts += solved.doubts([(f"cycles {where}", "cycle"), (f"fixed time {where}", "s")])
            cycles[i, layer], fixed[i, layer] = solved.values
    power = _edge_power(t, modes)
    names = [("waiting power", "W")]
    for name in modes:
        where = f"power with tpu_mode = {name!r}"
        names += [(f"static {where}", "W"), (f"cubic {where}", "W/Hz^3")]
    doubts += power.doubts(names)
    limits = (float(frequency.min()), float(frequency.max()))
    waiting, static, cubic = float(power.values[0]), power.values[1::2], power.values[2::2]
    return EdgeDevice(modes, cycles, fixed, static, cubic, waiting, limits), doubts


def _edge_power(t: Columns, modes: tuple[str, ...]) -> _Solved:
    """One system: one power of waiting for all, then static and cubic power per mode."""
    time, waited = t["latency_edge"], t["latency_transfer"] + t["latency_cloud"]
    columns = [waited]
    for name in modes:
        on = (t["tpu_mode"] == name).astype(np.float64)
        columns += [on * time, on * time * t["cpu_frequency"] ** 3]
    x = np.stack(columns, axis=1)
    if not (t["energy_edge"] > 0).all():
        raise ValueError(f"energy_edge = {float(t['energy_edge'].min())!r} J must be positive")
    # A relative fit: short runs would otherwise count for nothing.
    weight = 1.0 / t["energy_edge"]
    return _least_squares(x * weight[:, np.newaxis], np.ones(len(weight)), "energy_edge")


def _link(t: Columns) -> tuple[Link, float]:
    sent = t["size"] > 0
    if len(np.unique(t["size"][sent])) < 2:
        raise ValueError(
            f"size has {len(np.unique(t['size'][sent]))} distinct values above 0 byte among the "
            "trials; fixed and per-byte time need two"
        )
    x = np.stack([np.ones(sent.sum()), t["size"][sent]], axis=1)
    fixed, per_byte = _least_squares(x, t["latency_transfer"][sent], "latency_transfer").values
    if not per_byte > 0:
        raise ValueError(f"time per byte = {per_byte:g} s must be positive: larger was not slower")
    return Link(float(fixed)), 8.0 / float(per_byte)


def _cloud(t: Columns, layers: int) -> CloudNode:
    split = t["split_layer"].astype(np.intp)
    tail, power = np.full((2, layers + 1), np.nan), np.zeros(2)
    for i, name in enumerate(GPU):
        on = t["cloud_gpu"] == name
        for layer in np.unique(split[on]):
            tail[i, layer] = t["latency_cloud"][on & (split == layer)].mean()
        time = t["latency_cloud"][on]
        if (time > 0).any():
            power[i] = float(time @ t["energy_cloud"][on] / (time @ time))
    return CloudNode(tail, power)


def _sizes(t: Columns, layers: int) -> FloatArray:
    sizes = np.zeros(layers + 1)
    sizes[t["split_layer"].astype(np.intp)] = t["size"]
    return sizes


def _least_squares(x: FloatArray, y: FloatArray, what: str) -> _Solved:
    """Coefficients, columns scaled to one first: 1/f and f^3 differ by 36 orders of magnitude.

    Raises:
        ValueError: If the trials do not tell the coefficients apart.
    """
    scale = np.abs(x).max(axis=0)
    scale[scale == 0] = 1.0
    solved, _, rank, _ = np.linalg.lstsq(x / scale, y, rcond=None)
    if rank < x.shape[1]:
        raise ValueError(
            f"{what}: the {len(y)} trials tell only {rank} of {x.shape[1]} coefficients apart; "
            "vary clock, split and mode"
        )
    spare = len(y) - x.shape[1]
    rest = y - (x / scale) @ solved
    spread = float(rest @ rest) / spare if spare >= _SPARE else np.inf
    errors = np.sqrt(spread) * np.linalg.norm(np.linalg.pinv(x / scale), axis=1)
    shares = np.abs(solved) / max(float(np.abs(y).max()), np.finfo(np.float64).tiny)
    return _Solved(np.asarray(solved / scale, dtype=np.float64), errors / scale, shares)


def _residual(fitted: FloatArray, measured: FloatArray) -> Residual:
    spent = measured > 0
    if not spent.any():
        return Residual(0.0, 0.0, 0)
    error = np.abs(fitted[spent] - measured[spent]) / measured[spent].mean()
    return Residual(float(error.max()), float(np.sqrt((error**2).mean())), int(spent.sum()))
