"""What a sentence costs by the layer after which it leaves a device, chip or board, and behind it.

    energy  = sum over l of answered_l E(l) + offloaded (E(s) + E_link + P_wait (t_link + t_cloud))
    P_wait  = of the idle device + of memories that must not forget
    latency = T(l), or T(s) + t_link + t_cloud for a sentence that is sent

E and T are those of `hw_models`: the accelerator's at one voltage or under sentence-level DVFS, or
a board's at its clock. A sentence that is sent has the deadline less link and cloud for its layers;
so has one that reaches the device's last layer and may yet be appealed, for its voltage is chosen
before its answer is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.signature import Label, Signature
from dse.core.space import Columns
from hw_models import CloudNode, EdgeDevice
from hw_models.latency_aware import weighted_quantile
from hw_models.link import Link
from hw_models.stages import total

BYTES_PER_TOKEN = 2
"""Of a token's number in a request [byte]."""


@dataclass(frozen=True, slots=True, eq=False)
class Depths:
    """What layers cost on a device; energies [J] and times [s].

    Attributes:
        energy: By layers executed, 0 to L, shape (L + 1, n).
        latency: The same, shape (L + 1, n).
        energy_sent: Of the device's layers for a sentence that is sent on, shape (n,).
        latency_sent: The same, shape (n,).
        area: Of the silicon [m^2], shape (n,).
        retention: Power of memories while the device waits [W], shape (n,).
    """

    energy: FloatArray
    latency: FloatArray
    energy_sent: FloatArray
    latency_sent: FloatArray
    area: FloatArray
    retention: FloatArray


class Device(Protocol):
    """Chip or board."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name and unit of the device's knobs."""

    def depths(self, columns: Columns, deadline: FloatArray, sent: FloatArray) -> Depths:
        """Prices of all depths.

        Args:
            columns: The device's knobs.
            deadline: Of a sentence [s], shape (n,).
            sent: Of the device's layers, for a sentence that is sent [s], shape (n,).
        """


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A finished board on its processor: no silicon of ours, so no area.

    Attributes:
        device: Characterised for the network.
    """

    device: EdgeDevice

    inputs: ClassVar[Mapping[str, str]] = {"split_layer": "layer", "cpu_frequency": "Hz"}

    def depths(
        self,
        columns: Columns,
        deadline: FloatArray,  # noqa: ARG002  (one clock for all sentences)
        sent: FloatArray,  # noqa: ARG002
    ) -> Depths:
        """As the protocol says."""
        frequency = np.asarray(columns["cpu_frequency"], dtype=np.float64)
        held = columns["split_layer"].astype(np.intp)
        off = np.full(len(held), "off")
        power = self.device.power(frequency, off)
        layers = range(self.device.layers + 1)
        time = np.stack(
            [self.device.latency(np.full(len(held), k), frequency, off) for k in layers]
        )
        last = time[held, np.arange(len(held))]
        none = np.zeros(len(held))
        return Depths(power * time, time, power * last, last, none, none)


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """Evaluator: shares of sentences and the knobs of device, link and cloud to cost.

    Attributes:
        device: Chip or board.
        link: Between device and cloud.
        goodput: Of the link [bit/s].
        cloud: Characterised for the network.
        layers: L of the network.
        hidden: Width of a state [1].
        tokens: Charged per sentence, padding included [token].
        waiting: Power of the device while link or cloud is waited for, but for its memories [W].
        deadline: Of a sentence [s].
    """

    device: Device
    link: Link
    goodput: float
    cloud: CloudNode
    layers: int
    hidden: int
    tokens: int
    waiting: float
    deadline: float

    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J",
        "energy_cloud": "J",
        "energy_total": "J",
        "latency_p95": "s",
        "latency_mean": "s",
        "late_share": "1",
        "area": "m^2",
        "bytes_sent": "byte",
    }

    @property
    def signature(self) -> Signature:
        """Reads the device's knobs, what is sent, and the shares of sentences.

        Device, radio and node stand on recalled or inferred constants.
        """
        reads = {
            **self.device.inputs,
            "offload": "choice",
            "link_bits": "bit",
            "cloud_gpu": "choice",
            **{f"answered_{i + 1}": "1" for i in range(self.layers)},
            "offloaded": "1",
        }
        evidence: dict[str, Label] = {
            name: "closed form" if name == "bytes_sent" else "unverified" for name in self.outputs
        }
        return Signature(reads, self.outputs, evidence)

    def __call__(self, columns: Columns) -> Columns:
        """Mean energy [J], latency [s], lateness [1], area [m^2] and bytes sent; (n,) each.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        parts = self.parts(columns)
        share, latency = parts.share, parts.latency
        energy, cloud = total(parts.energy), parts.energy_cloud
        return {
            "energy": energy,
            "energy_cloud": cloud,
            "energy_total": energy + cloud,
            "latency_p95": weighted_quantile(share, latency, 0.95),
            "latency_mean": (share * latency).sum(axis=0),
            "late_share": (share * (latency > self.deadline)).sum(axis=0),
            "area": parts.area,
            "bytes_sent": parts.bytes_sent,
        }

    def parts(self, columns: Columns) -> "Parts":
        """The outputs before they are summed.

        Args:
            columns: As for the call.
        """
        size, wait, radio, cloud = self.journey(columns)
        n = len(size)
        prices = self.device.depths(columns, np.full(n, self.deadline), self.deadline - wait)
        held = np.asarray(columns["split_layer"]).astype(np.intp)
        appealing = np.flatnonzero((columns["offload"] == "input") & (held > 0))
        for kept, sent in (
            (prices.energy, prices.energy_sent), (prices.latency, prices.latency_sent),
        ):  # fmt: skip
            kept[held[appealing], appealing] = sent[appealing]
        answered = np.stack([columns[f"answered_{i + 1}"] for i in range(self.layers)])
        sent = np.asarray(columns["offloaded"], dtype=np.float64)
        return Parts(
            share=np.concatenate([answered, sent[np.newaxis]]),
            latency=np.concatenate([prices.latency[1:], (prices.latency_sent + wait)[np.newaxis]]),
            energy={
                "device": total(
                    {str(i): share * prices.energy[i + 1] for i, share in enumerate(answered)}
                )
                + sent * prices.energy_sent,
                "link": sent * radio,
                "waiting": sent * ((self.waiting + prices.retention) * wait),
            },
            energy_cloud=sent * cloud,
            area=prices.area,
            bytes_sent=sent * size,
        )

    def journey(self, columns: Columns) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Bytes, time away [s], radio [J] and cloud [J] of a sentence that is sent, (n,) each."""
        state = columns["offload"] == "state"
        elements = self.tokens * self.hidden / 8.0
        size = np.where(
            state,
            np.ceil(elements * np.asarray(columns["link_bits"], dtype=np.float64)),
            float(self.tokens * BYTES_PER_TOKEN),
        )
        crossing = self.link.latency(size, np.full(len(size), self.goodput))
        done = np.where(state, columns["split_layer"], 0).astype(np.intp)
        computing = self.cloud.latency(done, columns["cloud_gpu"])
        node = self.cloud.energy(computing, columns["cloud_gpu"])
        return size, crossing + computing, self.link.energy(size, crossing), node


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the outputs are sums of.

    Attributes:
        share: Of sentences answered after layers 1 to L, then of those sent, shape (L + 1, n).
        latency: Of each [s], shape (L + 1, n).
        energy: By component, per request [J]: device, link, waiting; shape (n,) each.
        energy_cloud: Per request [J], shape (n,).
        area: [m^2], shape (n,).
        bytes_sent: Per request [byte], shape (n,).
    """

    share: FloatArray
    latency: FloatArray
    energy: Mapping[str, FloatArray]
    energy_cloud: FloatArray
    area: FloatArray
    bytes_sent: FloatArray
