"""The chip of a joint design: an accelerator of EdgeBERT's kind that holds the first layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.core.space import Columns
from hw_models import Accelerator, AttentionSpan
from hw_models.latency_aware import LatencyAware
from hw_models.stages import total
from hw_models.storage import WeightStore
from studies.joint.device import Depths


class Layout(NamedTuple):
    """What decides how a chip is laid out: each is a machine of its own.

    Attributes:
        layers: That it holds [layer], at least 1.
        span: Reach of every attention head [token].
        sparsity: Of the embedding tables [1].
        mac_width: Side of the array [1].
        exponent_bits: Of every number [bit].
        activation_bits: Of an activation [bit].
        weights: Where the encoder's weights rest.
    """

    layers: int
    span: int
    sparsity: float
    mac_width: int
    exponent_bits: int
    activation_bits: int
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
        "activation_bits": "bit",
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
                 "exponent_bits", "activation_bits", "weight_store")  # fmt: skip
        return [
            Layout(int(held), int(span), sparsity, int(width), int(exponent), int(bits), weights)
            if held
            else None
            for held, span, sparsity, width, exponent, bits, weights in zip(
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
                    whole.datapath,
                    mac_width=layout.mac_width,
                    exponent_bits=layout.exponent_bits,
                    activation_bits=layout.activation_bits,
                ),
                storage=replace(
                    whole.storage, weights=layout.weights, embedding_sparsity=layout.sparsity
                ),
                span=span,
            )
        return self._made[layout]
