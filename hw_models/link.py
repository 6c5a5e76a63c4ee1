"""A link with a fixed and a per-byte cost in time and in energy.

    t = fixed + 8 bytes / goodput      E = P t + e_frame ceil(bytes / MTU) + e_byte bytes + E_tail

One number per bit is wrong for small activations, where the fixed part rules. Nothing is sent, and
nothing spent, for zero bytes.
"""

from dataclasses import dataclass

import numpy as np

from dse.core.signature import Label
from hw_models.columns import FloatArray, require_range
from hw_models.table import label, shipped


@dataclass(frozen=True, slots=True)
class Link:
    """One link; energies default to zero because a board's meter already contains its radio.

    Attributes:
        fixed: Time of an empty transfer [s], at least 0.
        base_power: While a transfer lasts [W], at least 0.
        frame_energy: Per frame [J], at least 0.
        byte_energy: Per byte [J/byte], at least 0.
        tail_energy: Per transfer, while the radio stays awake [J], at least 0.
        frame_bytes: Payload of a frame [byte], at least 1.
        founded: How well the numbers are founded; closed form: they are the user's.
    """

    fixed: float
    base_power: float = 0.0
    frame_energy: float = 0.0
    byte_energy: float = 0.0
    tail_energy: float = 0.0
    frame_bytes: float = 1500.0
    founded: Label = "closed form"

    def __post_init__(self) -> None:
        units = {"fixed": "s", "base_power": "W", "frame_energy": "J", "byte_energy": "J/byte",
                 "tail_energy": "J"}  # fmt: skip
        for name, unit in units.items():
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)} {unit} must not be negative")
        if not self.frame_bytes >= 1:
            raise ValueError(f"frame_bytes = {self.frame_bytes} byte must be at least 1")

    def latency(self, size: FloatArray, goodput: FloatArray) -> FloatArray:
        """Time of a transfer [s], shape (n,).

        Args:
            size: Bytes sent [byte], at least 0, shape (n,).
            goodput: Bandwidth that a payload sees [bit/s], above 0, shape (n,).

        Raises:
            ValueError: If a size is negative or a bandwidth not positive.
        """
        require_range("size", size, (0.0, np.inf), "byte", "a payload")
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("bandwidth", goodput, limits, "bit/s", "a link that moves something")
        return np.where(size > 0, self.fixed + 8.0 * size / goodput, 0.0)

    def energy(self, size: FloatArray, latency: FloatArray) -> FloatArray:
        """Energy of a transfer of that size and duration [J], shape (n,)."""
        frames = np.ceil(size / self.frame_bytes)
        sent = self.frame_energy * frames + self.byte_energy * size + self.tail_energy
        return np.where(size > 0, self.base_power * latency + sent, 0.0)


def lan_testbed() -> tuple[Link, float]:
    """The local network of DynaSplit's testbed, and its goodput [bit/s].

    Source:
        tables/link_testbed.toml; evidence: derived.
    """
    table = shipped("link_testbed")
    link = Link(table.constant("fixed"), founded=label(table))
    return link, 8.0 / table.constant("byte_time")


def shipped_link(name: str) -> tuple[Link, float]:
    """A link of the shipped table, and its goodput [bit/s].

    Args:
        name: lan, wifi or lte.

    Source:
        tables/links.toml; evidence: unverified.

    Raises:
        ValueError: If the table has no such link.
    """
    table = shipped("links")
    names = table.columns["link"]
    if name not in names:
        raise ValueError(f"link = {name!r} is not one of {names.tolist()}, table 'links'")
    row = int(np.flatnonzero(names == name)[0])
    fixed, byte_time, base_power, byte_energy = (
        float(table.columns[column][row])
        for column in ("fixed", "byte_time", "base_power", "byte_energy")
    )
    link = Link(fixed, base_power=base_power, byte_energy=byte_energy, founded=label(table))
    return link, 8.0 / byte_time
