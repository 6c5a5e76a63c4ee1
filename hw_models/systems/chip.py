"""A network on an accelerator: every knob is a column, or a constant of the chip.

The same chip serves alone (`early_exit`) and, through `depths`, with a link and a cloud behind it
(`journey`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label
from hw_models.columns import Columns, FloatArray, codes_of, pick, total
from hw_models.cost.costs import by_depth, by_layer, executed_shares
from hw_models.cost.kernel import Demand, Rail, areas, demand, operate, rail, retention
from hw_models.cost.operations import Knobs, Operations
from hw_models.cost.templates import Templates, templates
from hw_models.machine.edgebert import STORES, ArrayChip
from hw_models.supply import Supply
from hw_models.systems.depths import Depths
from hw_models.systems.knobs import (
    BY_ROW,
    DVFS,
    KNOBS,
    Value,
    as_float,
    require_formats,
    require_known,
)
from hw_models.systems.power_on import OUTPUTS as POWER_ON
from hw_models.systems.power_on import power_on
from hw_models.systems.sentence_dvfs import Sentences
from hw_models.table import label, weakest
from hw_models.workload.table import Workload

_STRUCTURAL = ("mac_width", "activation_bits", "sequence_length", "attention_span")
"""Knobs that change what the products and vectors of a network take."""

_LEAST = float(np.finfo(np.float64).tiny)


class Design(NamedTuple):
    """Designs, checked and decoded.

    Attributes:
        knobs: What the kernel reads.
        vdd: Supply [V], shape () or (n,).
        early: Layers before the voltage changes [layer]; 0: it does not; shape () or (n,).
    """

    knobs: Knobs
    vdd: FloatArray
    early: FloatArray

    def take(self, rows: NDArray[np.intp]) -> "Design":
        """Some of the designs."""
        some = [c if c.ndim == 0 else c[..., rows] for c in (*self.knobs, self.vdd, self.early)]
        *knobs, vdd, early = some
        return Design(Knobs(*knobs), vdd, early)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A network on an accelerator.

    Attributes:
        machine: The accelerator.
        workload: The network.
        searched: Knobs that are columns.
        fixed: Value of knobs that are not, one number or name each. A knob named nowhere is at what
            EdgeBERT has: dense, 8 bits with 3 exponent bits, everything seen, an array of 16, all
            layers and parameters in RRAM macros, the nominal supply for all sentences.
        settling: Regulator whose settling sentence-level DVFS waits for.
    """

    machine: ArrayChip
    workload: Workload
    searched: tuple[str, ...] = ("pruning_ratio", "weight_bits", "envm_cell", "vdd")
    fixed: Mapping[str, Value] = field(default_factory=dict)
    settling: Supply = field(default_factory=Supply)
    _plan: Templates = field(init=False, repr=False)
    _constants: Columns = field(init=False, repr=False)
    _sums: dict[str, FloatArray] | None = field(init=False, repr=False)

    outputs: ClassVar[Mapping[str, str]] = POWER_ON
    by_row: ClassVar[Collection[str]] = tuple(BY_ROW)

    def __post_init__(self) -> None:
        for where, names in (("searched", self.searched), ("fixed", self.fixed)):
            unknown = sorted({*names} - {*KNOBS})
            if unknown:
                raise ValueError(f"{where} = {unknown} are no knobs of a chip: {list(KNOBS)}")
        both = sorted({*self.searched} & {*self.fixed})
        if both:
            raise ValueError(f"{both} are searched and fixed; a knob is one of the two")
        given = {**self._defaults(), **self.fixed}
        for name, value in given.items():
            if np.ndim(value):
                raise ValueError(f"fixed {name} = {value!r} is not one value; search it instead")
        constants = {n: np.asarray([v]) for n, v in given.items() if n not in self.searched}
        decoded = {name: column[0] for name, column in self._decoded(constants).items()}
        object.__setattr__(self, "_plan", templates(self.workload))
        object.__setattr__(self, "_constants", {n: np.asarray(v) for n, v in decoded.items()})
        object.__setattr__(self, "_sums", self._structure())

    def _structure(self) -> dict[str, FloatArray] | None:
        """What the network takes, where no searched knob changes it; a few kB."""
        if self.machine.array == "behind_port" or {*_STRUCTURAL} & {*self.searched}:
            return None
        known = {**{n: np.asarray(v) for n, v in self._defaults().items()}, **self._constants}
        for name in ("envm_cell", "weight_store", "dvfs"):
            known[name] = np.zeros((), dtype=np.intp)
        return Operations(self._plan, self.machine.technology, self._knobs(known)).sums

    def _defaults(self) -> dict[str, Value]:
        return {
            "pruning_ratio": 0.0, "weight_bits": 8.0, "envm_cell": "rram",
            "vdd": self.machine.points.nominal_vdd, "attention_span": np.inf,
            "embedding_sparsity": 0.0, "activation_bits": 8.0, "exponent_bits": 3.0,
            "mac_width": 16.0, "weight_store": "envm", "sequence_length": self.workload.tokens,
            "split_layer": float(self.workload.layers), "dvfs": "fixed", "predict_layer": 1.0,
        }  # fmt: skip

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name and unit of the knobs that are columns."""
        return {name: KNOBS[name] for name in KNOBS if name in self.searched}

    @property
    def layers(self) -> int:
        """L of the network."""
        return self.workload.layers

    @property
    def evidence(self) -> Mapping[str, Label]:
        """Weakest link of energy, latency, area and power-on among the tables read."""
        stores: tuple[str, ...] = STORES
        if "weight_store" not in self.searched:
            stores = (STORES[int(self._constants["weight_store"])],)
        found = self.machine.evidence(stores)
        if "dvfs" in self.searched or self._constants["dvfs"]:
            waited = label(self.settling.table)
            found |= {n: weakest(found[n], waited) for n in ("energy", "latency")}
        return found

    def design(self, columns: Columns) -> Design:
        """Designs as the kernel reads them.

        Args:
            columns: `inputs`, shape (n,) each; those of `by_row` may have a row for each group or
                stage, shape (groups, n) or (L + 1, n).

        Raises:
            ValueError: If a column is missing or a value is out of range; the message shows value,
                limit and who sets it.
        """
        names = tuple(self.inputs)
        taken = dict(zip(names, pick(columns, names, self.by_row), strict=True))
        c = {**self._constants, **self._decoded(taken)}
        early = np.where(c["dvfs"], c["predict_layer"], 0.0)
        return Design(self._knobs(c), c["vdd"], early)

    def _knobs(self, c: Columns) -> Knobs:
        tokens = c["sequence_length"]
        keys = np.minimum(np.maximum(2.0 * c["attention_span"] - 1.0, 0.0), tokens)
        return Knobs(
            side=c["mac_width"],
            exponent_bits=c["exponent_bits"],
            activation_bits=c["activation_bits"],
            weight_bits=c["weight_bits"],
            pruning=c["pruning_ratio"],
            embedding_sparsity=c["embedding_sparsity"],
            tokens=tokens,
            keys=keys,
            heads=np.where(keys > 0, self.workload.heads, 0.0),
            held=c["split_layer"].astype(np.intp),
            cell=c["envm_cell"],
            store=c["weight_store"],
        )

    def _decoded(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Columns checked; names as their places, all else as real numbers."""
        require_known(columns, self.workload)
        require_formats({**getattr(self, "_constants", {}), **columns})
        found: dict[str, NDArray[Any]] = {}
        for name, column in columns.items():
            if name == "envm_cell":
                found[name] = self.machine.cells(column)
            elif KNOBS[name] == "choice":
                found[name] = codes_of(name, column, STORES if name == "weight_store" else DVFS)
            else:
                found[name] = as_float(column)
        if "vdd" in found:
            self.machine.points.table.inside(found["vdd"])
        return found

    def demand(self, design: Design) -> Demand:
        """What designs ask of the machine."""
        tech = self.machine.technology
        if design.knobs.apart:
            return demand(templates(self.workload, apart=True), tech, design.knobs)
        return demand(self._plan, tech, design.knobs, self._sums)

    def on(self, vdd: FloatArray) -> Rail:
        """The machine on some supplies [V].

        Raises:
            ValueError: If a voltage is outside the machine's table.
        """
        return rail(self.machine.technology, vdd)

    def depths(self, columns: Columns, deadline: FloatArray, sent: FloatArray) -> Depths:
        """As `Device.depths`: a device that holds no layer has no chip, and costs nothing."""
        design, tech = self.design(columns), self.machine.technology
        asked, on, n = self.demand(design), self.on(design.vdd), len(deadline)
        held = np.broadcast_to(design.knobs.held, (n,))
        some = held > 0
        op, none = operate(asked, tech, on), np.zeros((self.layers + 1, n))
        energy, latency = (none + by_depth(stages, asked) for stages in (op.energy, op.time))
        found = Depths(
            energy,
            latency,
            energy[held, np.arange(n)] * some,
            latency[held, np.arange(n)] * some,
            total(areas(asked, tech)) * some,
            retention(asked, tech, on) * some,
            {name: values * some for name, values in power_on(asked, tech, on).items()},
        )
        rows = np.flatnonzero(np.broadcast_to(design.early > 0, (n,)) & some)
        if len(rows):
            part = design.take(rows)
            limits = deadline[rows], sent[rows]
            self._by_sentence(found, rows, asked.take(rows), part, limits)
        return found

    def _by_sentence(
        self,
        found: Depths,
        rows: NDArray[np.intp],
        asked: Demand,
        part: Design,
        limits: tuple[FloatArray, FloatArray],
    ) -> None:
        """Costs of designs whose sentences choose their voltage."""
        sentences = self._sentences(asked, part, len(rows))
        # A time that is over leaves none: the sentence runs as fast as it can and is late.
        deadline, sent = (np.maximum(limit, _LEAST) for limit in limits)
        exits = sentences.exits(deadline)
        found.energy[1:, rows], found.latency[1:, rows] = exits.energy, exits.latency
        held = np.broadcast_to(part.knobs.held, rows.shape).astype(np.float64)
        supply, latency = sentences.leaving(held, sent)
        found.latency_sent[rows] = latency
        found.energy_sent[rows] = sentences.energy(held, sentences.supplies(supply, held))

    def _sentences(self, asked: Demand, part: Design, n: int) -> Sentences:
        early = np.broadcast_to(part.early, (n,))
        return Sentences.of(asked, self.machine.technology, early, self.settling)

    def by_layer(
        self, columns: Columns, limits: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> dict[str, FloatArray]:
        """As `Device.by_layer`."""
        design = self.design(columns)
        asked, on = self.demand(design), self.on(design.vdd)
        op = operate(asked, self.machine.technology, on, parts=True)
        shares = np.sum([share[1:] for _, share in limits.values()], axis=0)
        n = shares.shape[1]
        some = np.broadcast_to(design.knobs.held > 0, (n,))
        parts = by_layer(op.parts, asked, executed_shares(shares))
        found = {name: layers * some for name, layers in parts.items()}
        rows = np.flatnonzero(np.broadcast_to(design.early > 0, (n,)) & some)
        if len(rows):
            sentences = self._sentences(asked.take(rows), design.take(rows), len(rows))
            each = [
                sentences.by_layer(np.maximum(limit[rows], _LEAST), share[1:, rows])[0]
                for limit, share in limits.values()
            ]
            for name, layers in found.items():
                layers[:, rows] = sum(part[name] for part in each)
        return found
