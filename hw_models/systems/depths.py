"""What layers cost on a device, by how many of them have run: what chip and board both answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dse.core.signature import Label
from hw_models.columns import Columns, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Depths:
    """Energies [J] and times [s] on a device that holds the first layers of a network.

    Attributes:
        energy: By layers executed, 0 to L, shape (L + 1, n); beyond the layers held it has no
            meaning.
        latency: The same, shape (L + 1, n).
        energy_sent: Of the device's layers for a sentence that is sent on, shape (n,).
        latency_sent: The same, shape (n,).
        area: Of the silicon [m^2], shape (n,).
        retention: Power of memories while the device waits [W], shape (n,).
        extra: Further outputs of the device, as `Device.outputs` names them, shape (n,) each.
    """

    energy: FloatArray
    latency: FloatArray
    energy_sent: FloatArray
    latency_sent: FloatArray
    area: FloatArray
    retention: FloatArray
    extra: Mapping[str, FloatArray] = field(default_factory=dict)


class Device(Protocol):
    """Chip or board."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name and unit of the device's knobs."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """Name and unit of outputs beside those of every device."""

    @property
    def by_row(self) -> Collection[str]:
        """Knobs that may have a row for each group of parameters or each stage."""

    @property
    def evidence(self) -> Mapping[str, Label]:
        """How well energy, latency, area and the outputs of its own are founded."""

    @property
    def layers(self) -> int:
        """L of the network."""

    def depths(self, columns: Columns, deadline: FloatArray, sent: FloatArray) -> Depths:
        """Costs at all depths, in new arrays that the caller may write into.

        Args:
            columns: The device's knobs, shape (n,) each.
            deadline: Of a sentence [s], shape (n,).
            sent: Of the device's layers, for a sentence that is sent [s], shape (n,).

        Raises:
            ValueError: If a column is missing or out of range.
        """

    def by_layer(
        self, columns: Columns, limits: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> dict[str, FloatArray]:
        """Mean energy by layer and component [J], shape (L + 1, n).

        Args:
            columns: The device's knobs.
            limits: For each kind of sentence its deadline [s], shape (n,), and the share of
                sentences by layers executed [1], shape (L + 1, n).

        Raises:
            ValueError: If a column is missing or out of range.
        """
