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
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dse.evaluation import Cost
from dse.parameters import FloatArray
from dse.space import Columns
from hw_models import Accelerator, AttentionSpan, CloudNode, EdgeDevice
from hw_models.latency_aware import LatencyAware, weighted_quantile
from hw_models.link import Link
from hw_models.stages import total
from hw_models.storage import WeightStore

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


class Layout(NamedTuple):
    """What decides how a chip is laid out: each is a machine of its own.

    Attributes:
        layers: That it holds [layer], at least 1.
        span: Reach of every attention head [token].
        sparsity: Of the embedding tables [1].
        mac_width: Side of the array [1].
        exponent_bits: Of every number [bit].
        weights: Where the encoder's weights rest.
    """

    layers: int
    span: int
    sparsity: float
    mac_width: int
    exponent_bits: int
    weights: WeightStore


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """An accelerator of EdgeBERT's kind that holds the layers before the split and no other.

    Attributes:
        whole: That holds all layers, sees everything and stores every zero, after which those of
            the layouts are built; its tables are those of all.
    """

    whole: Accelerator
    _made: dict[Layout, Accelerator] = field(default_factory=dict, init=False)

    inputs: ClassVar[Mapping[str, str]] = {
        "split_layer": "layer",
        "attention_span": "token",
        "embedding_sparsity": "1",
        "mac_width": "1",
        "exponent_bits": "bit",
        "weight_store": "choice",
        "pruning_ratio": "1",
        "weight_bits": "bit",
        "envm_cell": "choice",
        "dvfs": "choice",
        "vdd": "V",
        "predict_layer": "layer",
    }

    @property
    def layers(self) -> int:
        """L of the network."""
        return self.whole.shape.layers

    def depths(self, columns: Columns, deadline: FloatArray, sent: FloatArray) -> Depths:
        """As the protocol says; machines that are built alike are priced together."""
        n = len(deadline)
        found = Depths(
            np.zeros((self.layers + 1, n)), np.zeros((self.layers + 1, n)),
            np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n),
        )  # fmt: skip
        for chip, early, where in self.groups(columns):
            part = {name: columns[name][where] for name in self.inputs}
            self._price(found, where, chip, early, part, (deadline[where], sent[where]))
        return found

    def groups(self, columns: Columns) -> list[tuple[Accelerator, int, NDArray[np.intp]]]:
        """Machine, layers before the voltage changes (0: it does not) and the rows that have both.

        A device that holds no layer has no chip, and is in no group.

        Args:
            columns: The device's knobs.
        """
        groups: dict[tuple[Layout, int], list[int]] = {}
        foretold = zip(columns["dvfs"].tolist(), columns["predict_layer"].tolist(), strict=True)
        for row, (layout, (dvfs, predict)) in enumerate(
            zip(self.layouts(columns), foretold, strict=True)
        ):
            if layout is not None:
                early = int(predict) if dvfs == "sentence" else 0
                groups.setdefault((layout, early), []).append(row)
        return [
            (self.machine(layout), early, np.array(places))
            for (layout, early), places in groups.items()
        ]

    def layouts(self, columns: Columns) -> list[Layout | None]:
        """How the chip of each design is laid out; None where the device holds no layer."""
        names = ("split_layer", "attention_span", "embedding_sparsity", "mac_width",
                 "exponent_bits", "weight_store")  # fmt: skip
        return [
            Layout(int(held), int(span), sparsity, int(width), int(exponent), weights)
            if held
            else None
            for held, span, sparsity, width, exponent, weights in zip(
                *(columns[name].tolist() for name in names), strict=True
            )
        ]

    def _price(
        self,
        found: Depths,
        rows: NDArray[np.intp],
        chip: Accelerator,
        early: int,
        part: Columns,
        limits: tuple[FloatArray, FloatArray],
    ) -> None:
        held = chip.shape.layers
        stages = chip.stages(part)
        found.area[rows] = total(stages.area)
        found.retention[rows] = stages.retention
        if early:
            aware = LatencyAware(chip, early_layers=early)
            # A time that is over leaves none: the sentence runs as fast as it can and is late.
            least = np.finfo(np.float64).tiny
            limit = np.maximum(np.concatenate(limits), least)
            twice = {name: np.concatenate([part[name], part[name]]) for name in self.inputs}
            exits, n = aware.exits({**twice, "deadline": limit}), len(rows)
            found.energy[1 : held + 1, rows] = exits.energy[:, :n]
            found.latency[1 : held + 1, rows] = exits.latency[:, :n]
            found.energy_sent[rows] = exits.energy[-1, n:]
            found.latency_sent[rows] = exits.latency[-1, n:]
            return
        once, each = total(stages.energy_input), total(stages.energy_layer)
        begin, step = total(stages.time_input), total(stages.time_layer)
        depth = np.arange(1.0, held + 1)[:, np.newaxis]
        found.energy[1 : held + 1, rows] = once + depth * each
        found.latency[1 : held + 1, rows] = begin + depth * step
        found.energy_sent[rows] = found.energy[held, rows]
        found.latency_sent[rows] = found.latency[held, rows]

    def machine(self, layout: Layout) -> Accelerator:
        """The chip of a layout. A reach of r tokens to either side lets a query see 2 r - 1 keys.

        Args:
            layout: What it is built for.
        """
        if layout not in self._made:
            whole, keys = self.whole, float(max(2 * layout.span - 1, 0))
            shape, held = whole.shape, layout.layers
            span = AttentionSpan((keys,) * shape.heads) if keys < whole.sequence_length else None
            self._made[layout] = replace(
                whole,
                shape=replace(shape, layers=held, groups=min(shape.groups, held)),
                datapath=replace(
                    whole.datapath, mac_width=layout.mac_width, exponent_bits=layout.exponent_bits
                ),
                storage=replace(
                    whole.storage, weights=layout.weights, embedding_sparsity=layout.sparsity
                ),
                span=span,
            )
        return self._made[layout]


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

    cost: ClassVar[Cost] = "closed form"
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
    def inputs(self) -> Mapping[str, str]:
        """The device's knobs, what is sent, and the shares of sentences."""
        return {
            **self.device.inputs,
            "offload": "choice",
            "link_bits": "bit",
            "cloud_gpu": "choice",
            **{f"answered_{i + 1}": "1" for i in range(self.layers)},
            "offloaded": "1",
        }

    @property
    def evidence(self) -> Mapping[str, Literal["closed form", "unverified"]]:
        """Device, radio and node stand on recalled or inferred constants."""
        return {n: "closed form" if n == "bytes_sent" else "unverified" for n in self.outputs}

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
