"""Where the energy of a joint design goes: device by layer and component, link, waiting, cloud."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.core.space import Columns
from hw_models import LatencyAware, executed_shares
from studies.joint.chip import Chip
from studies.joint.device import Board, Priced


def break_down(priced: Priced, columns: Columns) -> dict[str, FloatArray]:
    """Mean energy per request by layer and component.

    Args:
        priced: The device, its link and its cloud.
        columns: As for its call, shape (n,).

    Returns:
        Component -> energy [J], shape (layers + 1, n). Row 0 is what belongs to no layer of the
        device: its input stage, `link`, `waiting` and `cloud`. All together sum to `energy_total`,
        without `cloud` to `energy`, up to rounding (1e-12).

    Raises:
        ValueError: If a column is missing or out of range.
    """
    parts = priced.parts(columns)
    _, wait, _, _ = priced.journey(columns)
    held = np.asarray(columns["split_layer"]).astype(np.intp)
    every = np.arange(len(held))
    # By layers executed, 0 to L. What is sent or may yet be appealed has less time.
    soon = np.vstack([np.zeros_like(wait), parts.share[:-1]])
    late = np.zeros_like(soon)
    late[held, every] = parts.share[-1]
    asked = every[(columns["offload"] == "input") & (held > 0)]
    late[held[asked], asked] += soon[held[asked], asked]
    soon[held[asked], asked] = 0.0
    if isinstance(priced.device, Chip):
        limits = (np.full_like(wait, priced.deadline), priced.deadline - wait)
        found = _chip(priced.device, columns, limits, (soon, late))
    elif isinstance(priced.device, Board):
        found = _board(priced.device, columns, soon + late)
    else:
        raise ValueError(f"{type(priced.device).__name__} is neither a Chip nor a Board")
    first = np.zeros((len(soon), 1))
    first[0] = 1.0
    spent = {"link": parts.energy["link"], "waiting": parts.energy["waiting"]}
    spent["cloud"] = parts.energy_cloud
    return found | {name: first * energy for name, energy in spent.items()}


def _chip(
    device: Chip,
    columns: Columns,
    limits: tuple[FloatArray, FloatArray],
    shares: tuple[FloatArray, FloatArray],
) -> dict[str, FloatArray]:
    """Of the accelerators; each limit [s] has shares by layers executed."""
    found: dict[str, FloatArray] = {}
    for chip, early, rows in device.groups(columns):
        part = {name: columns[name][rows] for name in device.inputs}
        held = chip.shape.layers
        if early:
            aware = LatencyAware(chip, early_layers=early)
            least = np.finfo(np.float64).tiny
            for limit, share in zip(limits, shares, strict=True):
                asked = {**part, "deadline": np.maximum(limit[rows], least)}
                layers = aware.break_down(asked, share[1 : held + 1, rows]).energy
                _add(found, layers, rows, shares[0].shape)
            continue
        stages = chip.stages(part)
        executed = executed_shares((shares[0] + shares[1])[1 : held + 1, rows])
        layers = {
            name: np.vstack([executed[:1] * once, executed * stages.energy_layer[name]])
            for name, once in stages.energy_input.items()
        }
        _add(found, layers, rows, shares[0].shape)
    return found


def _add(
    found: dict[str, FloatArray],
    layers: Mapping[str, FloatArray],
    rows: NDArray[np.intp],
    shape: tuple[int, ...],
) -> None:
    """Add the layers of some rows to those of all."""
    for name, energy in layers.items():
        found.setdefault(name, np.zeros(shape))[: len(energy), rows] += energy


def _board(device: Board, columns: Columns, share: FloatArray) -> dict[str, FloatArray]:
    """Of a board, which has no components; `share` by layers executed, shape (layers + 1, n)."""
    frequency = np.asarray(columns["cpu_frequency"], dtype=np.float64)
    off = np.full(share.shape[1], "off")
    time = np.stack(
        [
            device.device.latency(np.full(share.shape[1], k), frequency, off)
            for k in range(device.device.layers + 1)
        ]
    )
    layers = np.diff(time, axis=0, prepend=0.0)
    return {"board": device.device.power(frequency, off) * layers * executed_shares(share)}
