"""Sentences that are answered on a device, chip or board, or sent over a link to a cloud.

    energy  = sum over l of answered_l E(l) + offloaded (E(s) + E_link + P_wait (t_link + t_cloud))
    P_wait  = of the idle device + of memories that must not forget
    latency = T(l), or T(s) + t_link + t_cloud for a sentence that is sent

E and T are the device's, by layers executed: an accelerator's at one voltage or under
sentence-level DVFS, or a board's at its clock. A sentence that is sent has the deadline less link
and cloud for its layers; so has one that reaches the device's last layer and may yet be appealed,
for its voltage is chosen before its answer is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label, Signature
from hw_models.cloud import CloudNode
from hw_models.columns import (
    Columns,
    FloatArray,
    codes_of,
    in_chunks,
    pick,
    require_range,
    require_whole,
)
from hw_models.cost.costs import weighted, weighted_quantile
from hw_models.link import Link
from hw_models.systems.depths import Depths, Device
from hw_models.table import weakest
from hw_models.workload.table import Workload

CHUNK = 16_384
"""Most rows evaluated at a time [1]: fewer cost as much in calls as in arithmetic, and more leave
the cache."""

BYTES_PER_TOKEN = 2
"""Of a token's number in a request [byte]."""

OFFLOAD = ("none", "state", "input")
"""What is sent of a sentence that the device does not answer: nothing, the state behind its last
layer, or the sentence itself."""

_STATE, _INPUT = 1, 2


class Away(NamedTuple):
    """A sentence that is sent; shape (n,) each.

    Attributes:
        size: What it sends [byte].
        time: Until it is answered, on the link and in the cloud [s].
        radio: Energy of the link [J].
        cloud: Energy of the node [J].
    """

    size: FloatArray
    time: FloatArray
    radio: FloatArray
    cloud: FloatArray


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
        extra: Outputs of the device's own.
    """

    share: FloatArray
    latency: FloatArray
    energy: Mapping[str, FloatArray]
    energy_cloud: FloatArray
    area: FloatArray
    bytes_sent: FloatArray
    extra: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Journey:
    """Evaluator: shares of sentences and the knobs of device, link and cloud to cost.

    Attributes:
        device: Chip or board.
        link: Between device and cloud.
        goodput: Of the link [bit/s].
        cloud: Characterised for the network.
        states: Elements that cross behind each layer [1], shape (L + 1,).
        input_bytes: Of a sentence that is sent itself [byte].
        waiting: Power of the device while link or cloud is waited for, but for its memories [W].
        deadline: Of a sentence [s].
    """

    device: Device
    link: Link
    goodput: float
    cloud: CloudNode
    states: FloatArray
    input_bytes: float
    waiting: float
    deadline: float

    own_outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J",
        "energy_cloud": "J",
        "energy_total": "J",
        "latency_p95": "s",
        "latency_mean": "s",
        "late_share": "1",
        "area": "m^2",
        "bytes_sent": "byte",
    }

    def __post_init__(self) -> None:
        if "split_layer" not in self.device.inputs:
            raise ValueError("split_layer is no column of the device; a journey reads it")
        if "sequence_length" in self.device.inputs:
            raise ValueError(
                "sequence_length is a column of the device, but link and cloud of a journey are "
                "characterised for one length; fix it"
            )
        wanted = self.device.layers + 1
        if self.states.shape != (wanted,) or self.cloud.tail.shape[1] != wanted:
            raise ValueError(
                f"states and cloud.tail must hold layers + 1 = {wanted} cuts, got "
                f"{self.states.shape} and {self.cloud.tail.shape}"
            )

    @property
    def layers(self) -> int:
        """L of the network."""
        return self.device.layers

    @property
    def outputs(self) -> Mapping[str, str]:
        """Name and unit of what the call gives."""
        return {**self.own_outputs, **self.device.outputs}

    @property
    def signature(self) -> Signature:
        """Reads the device's knobs, what is sent, and the shares of sentences.

        Each output's evidence is the weakest of device, link and cloud that it rests on.
        """
        reads = {
            **self.device.inputs,
            "offload": "choice",
            "link_bits": "bit",
            "cloud_gpu": "choice",
            **{f"answered_{i + 1}": "1" for i in range(self.layers)},
            "offloaded": "1",
        }
        known, way = self.device.evidence, (self.link.founded, self.cloud.founded)
        energy, latency = (weakest(known[name], *way) for name in ("energy", "latency"))
        evidence: dict[str, Label] = {
            "energy": energy,
            "energy_cloud": self.cloud.founded,
            "energy_total": energy,
            "latency_p95": latency,
            "latency_mean": latency,
            "late_share": latency,
            "area": known["area"],
            "bytes_sent": "closed form",
            **{name: known[name] for name in self.device.outputs},
        }
        return Signature(reads, self.outputs, evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy [J], latency [s], lateness [1], area [m^2] and bytes sent; (n,) each.

        Args:
            columns: The device's knobs; offload, link_bits [bit], cloud_gpu; answered_1 ..
                answered_L and offloaded, shares of the sentences [1].

        Raises:
            ValueError: If a column is missing or out of range.
        """
        names = tuple(self.signature.inputs)
        return in_chunks(self._priced, columns, names, CHUNK, self.device.by_row)

    def _priced(self, columns: Columns) -> dict[str, FloatArray]:
        parts = self.parts(columns)
        share, latency = parts.share, parts.latency
        energy = (parts.energy["device"] + parts.energy["link"]) + parts.energy["waiting"]
        return {
            "energy": energy,
            "energy_cloud": parts.energy_cloud,
            "energy_total": energy + parts.energy_cloud,
            "latency_p95": weighted_quantile(share, latency, 0.95),
            "latency_mean": weighted(share, latency),
            "late_share": weighted(share, np.asarray(latency > self.deadline, dtype=np.float64)),
            "area": parts.area,
            "bytes_sent": parts.bytes_sent,
            **parts.extra,
        }

    def parts(self, columns: Columns) -> Parts:
        """The outputs before they are summed.

        Args:
            columns: As for the call.

        Raises:
            ValueError: As the call.
        """
        route = self._checked(columns)
        away = self.away(columns, route)
        depths = self._depths(columns, route, self.deadline - away.time)
        answered = np.stack([columns[f"answered_{i + 1}"] for i in range(self.layers)])
        sent = np.asarray(columns["offloaded"], dtype=np.float64)
        return Parts(
            share=np.concatenate([answered, sent[np.newaxis]]),
            latency=np.concatenate([depths.latency[1:], (depths.latency_sent + away.time)[None]]),
            energy={
                "device": weighted(answered, depths.energy[1:]) + sent * depths.energy_sent,
                "link": sent * away.radio,
                "waiting": sent * ((self.waiting + depths.retention) * away.time),
            },
            energy_cloud=sent * away.cloud,
            area=depths.area,
            bytes_sent=sent * away.size,
            extra=depths.extra,
        )

    def _checked(self, columns: Columns) -> NDArray[np.intp]:
        """Route of each design, where all columns are there and say one thing."""
        pick(columns, tuple(self.signature.inputs), self.device.by_row)
        split = np.asarray(columns["split_layer"])
        limits = (0.0, float(self.layers))
        require_range("split_layer", split, limits, "layer", "the network's depth")
        require_whole("split_layer", split, "layer", "a place to cut")
        for layer in range(1, self.layers + 1):
            share = np.asarray(columns[f"answered_{layer}"])
            if (share[split < layer] > 0).any():
                bad = float(share[(split < layer) & (share > 0)][0])
                raise ValueError(
                    f"answered_{layer} = {bad!r} of a device that holds fewer layers; nothing is "
                    "answered behind split_layer"
                )
        return codes_of("offload", np.asarray(columns["offload"]), OFFLOAD)

    def _depths(self, columns: Columns, route: NDArray[np.intp], sent: FloatArray) -> Depths:
        """Costs on the device; what may yet be appealed has as little time as what is sent [s]."""
        depths = self.device.depths(columns, np.full(len(route), self.deadline), sent)
        held = np.asarray(columns["split_layer"]).astype(np.intp)
        rows = np.flatnonzero((route == _INPUT) & (held > 0))
        depths.energy[held[rows], rows] = depths.energy_sent[rows]
        depths.latency[held[rows], rows] = depths.latency_sent[rows]
        return depths

    def away(self, columns: Columns, route: NDArray[np.intp]) -> Away:
        """Bytes, time away [s], radio [J] and cloud [J] of a sentence that is sent."""
        state = route == _STATE
        split = np.asarray(columns["split_layer"]).astype(np.intp)
        bits = self.states.take(split) * np.asarray(columns["link_bits"], dtype=np.float64)
        size = np.where(state, np.ceil(bits / 8.0), self.input_bytes)
        crossing = self.link.latency(size, np.full(len(size), self.goodput))
        gpu = np.asarray(columns["cloud_gpu"])
        computing = self.cloud.latency(np.where(state, split, 0), gpu)
        radio, node = self.link.energy(size, crossing), self.cloud.energy(computing, gpu)
        return Away(size, crossing + computing, radio, node)

    def break_down(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per request by layer and component.

        Args:
            columns: As for the call, shape (n,).

        Returns:
            Component -> energy [J], shape (L + 1, n). Row 0 is what belongs to no layer of the
            device: its input stage, `link`, `waiting` and `cloud`. All together sum to
            `energy_total`, without `cloud` to `energy`, up to rounding (1e-12).

        Raises:
            ValueError: If a column is missing or out of range.
        """
        parts = self.parts(columns)
        route = self._checked(columns)
        wait = self.away(columns, route).time
        held = np.asarray(columns["split_layer"]).astype(np.intp)
        every = np.arange(len(held))
        # By layers executed, 0 to L. What is sent or may yet be appealed has less time.
        soon = np.vstack([np.zeros_like(wait), parts.share[:-1]])
        late = np.zeros_like(soon)
        late[held, every] = parts.share[-1]
        asked = every[(route == _INPUT) & (held > 0)]
        late[held[asked], asked] += soon[held[asked], asked]
        soon[held[asked], asked] = 0.0
        whole = np.full_like(wait, self.deadline)
        limits = {"kept": (whole, soon), "sent": (self.deadline - wait, late)}
        first = np.zeros((len(soon), 1))
        first[0] = 1.0
        spent = {"link": parts.energy["link"], "waiting": parts.energy["waiting"]}
        spent["cloud"] = parts.energy_cloud
        found = self.device.by_layer(columns, limits)
        return found | {name: first * energy for name, energy in spent.items()}


def states_of(network: Workload) -> FloatArray:
    """Elements that cross behind each layer of a network [1], shape (L + 1,)."""
    return np.array([cut.at(network.sizes) for cut in network.cuts])
