"""A network on an accelerator: every knob is a column, or a constant of the chip.

The same chip serves alone (`EarlyExit`: energy, tail latency, area and power-on of sentences that
leave early) and, through `depths`, with a link and a cloud behind it (`journey`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Label, Signature
from hw_models.columns import (
    Columns,
    FloatArray,
    codes_of,
    in_chunks,
    pick,
    require_range,
    require_whole,
    total,
)
from hw_models.cost.costs import at_depth, by_depth, by_layer, executed_shares
from hw_models.cost.kernel import Demand, Knobs, Rail, areas, demand, operate, rail, retention
from hw_models.cost.templates import Templates, templates
from hw_models.machine.edgebert import STORES, ArrayChip
from hw_models.supply import Supply
from hw_models.systems.depths import Depths
from hw_models.systems.power_on import OUTPUTS as POWER_ON
from hw_models.systems.power_on import power_on
from hw_models.systems.sentence_dvfs import Sentences
from hw_models.workload.table import Workload

CHUNK = 8_192
"""Most rows evaluated at a time [1]: a column of them stays in cache and off the page allocator."""

MAC_WIDTHS = (2, 4, 8, 16, 32)
"""Datapath sizes the design was studied for."""

WIDEST_FORMAT = 16.0
"""Of a number that the array computes with [bit]; the accumulators are as wide."""

DVFS = ("fixed", "sentence")
"""One supply for all sentences, or for each the lowest that meets its deadline."""

Value: TypeAlias = float | str

KNOBS: Mapping[str, str] = MappingProxyType(
    {"pruning_ratio": "1", "weight_bits": "bit", "envm_cell": "choice", "vdd": "V",
     "attention_span": "token", "embedding_sparsity": "1", "activation_bits": "bit",
     "exponent_bits": "bit", "mac_width": "1", "weight_store": "choice",
     "sequence_length": "token", "split_layer": "layer", "dvfs": "choice",
     "predict_layer": "layer"}
)  # fmt: skip
"""Every knob of a chip and its unit.

attention_span is the reach r to either side: a query sees 2 r - 1 keys. split_layer: layers that
the chip holds, from the first. predict_layer: layers at the nominal supply before the exit is known
and the voltage chosen, read where dvfs is `sentence`."""

BY_ROW: Mapping[str, str] = MappingProxyType(
    {"pruning_ratio": "group", "weight_bits": "group", "activation_bits": "stage",
     "attention_span": "stage", "sequence_length": "stage"}
)  # fmt: skip
"""Knobs that may have a row for each group of parameters, or for each stage from 0 to L."""

_LEAST = float(np.finfo(np.float64).tiny)


class Design(NamedTuple):
    """Designs, checked and decoded.

    Attributes:
        knobs: What the kernel reads.
        vdd: Supply [V], shape (n,).
        early: Layers before the voltage changes [layer]; 0: it does not.
        n: Designs.
    """

    knobs: Knobs
    vdd: FloatArray
    early: FloatArray
    n: int

    def take(self, rows: NDArray[np.intp]) -> "Design":
        """Some of the designs."""
        some = (c if c.ndim == 0 else c[..., rows] for c in self.knobs)
        knobs = Knobs(*some)  # type: ignore[arg-type]
        early = self.early if self.early.ndim == 0 else self.early[rows]
        return Design(knobs, self.vdd if self.vdd.ndim == 0 else self.vdd[rows], early, len(rows))


@dataclass(frozen=True, slots=True)
class Chip:
    """A network on an accelerator.

    Attributes:
        machine: The accelerator.
        workload: The network.
        searched: Knobs that are columns.
        fixed: Value of knobs that are not, by name. A knob named nowhere is at what EdgeBERT has:
            dense, 8 bits with 3 exponent bits, everything seen, an array of 16, all layers and
            parameters in RRAM macros, the nominal supply for all sentences.
        settling: Regulator whose settling sentence-level DVFS waits for.
    """

    machine: ArrayChip
    workload: Workload
    searched: tuple[str, ...] = ("pruning_ratio", "weight_bits", "envm_cell", "vdd")
    fixed: Mapping[str, Value] = field(default_factory=dict)
    settling: Supply = field(default_factory=Supply)
    _plan: Templates = field(init=False, repr=False, compare=False)
    _constants: Columns = field(init=False, repr=False, compare=False)

    outputs: ClassVar[Mapping[str, str]] = POWER_ON

    def __post_init__(self) -> None:
        for where, names in (("searched", self.searched), ("fixed", self.fixed)):
            unknown = sorted({*names} - {*KNOBS})
            if unknown:
                raise ValueError(f"{where} = {unknown} are no knobs of a chip: {list(KNOBS)}")
        both = sorted({*self.searched} & {*self.fixed})
        if both:
            raise ValueError(f"{both} are searched and fixed; a knob is one of the two")
        given = {**self._defaults(), **self.fixed}
        constants = {n: np.asarray(v) for n, v in given.items() if n not in self.searched}
        object.__setattr__(self, "_plan", templates(self.workload))
        object.__setattr__(self, "_constants", constants)
        require_known({n: np.atleast_1d(c) for n, c in constants.items()}, self.workload)

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
            stores = (str(self._constants["weight_store"]),)
        return self.machine.evidence(stores)

    def design(self, columns: Columns) -> Design:
        """Designs as the kernel reads them.

        Args:
            columns: `inputs`, shape (n,) each; those of `BY_ROW` may have a row for each group or
                stage, shape (groups, n) or (L + 1, n).

        Raises:
            ValueError: If a column is missing or a value is out of range; the message shows value,
                limit and who sets it.
        """
        names = tuple(self.inputs)
        taken = dict(zip(names, pick(columns, names, BY_ROW), strict=True))
        require_known(taken, self.workload)
        c = {**self._constants, **taken}
        require_formats(c)
        tokens, heads = _float(c["sequence_length"]), np.asarray(self.workload.heads)
        span = _float(c["attention_span"])
        keys = np.minimum(np.maximum(2.0 * span - 1.0, 0.0), tokens)
        foretold = codes_of("dvfs", c["dvfs"], DVFS) == 1
        return Design(
            Knobs(
                side=_float(c["mac_width"]),
                exponent_bits=_float(c["exponent_bits"]),
                activation_bits=_float(c["activation_bits"]),
                weight_bits=_float(c["weight_bits"]),
                pruning=_float(c["pruning_ratio"]),
                embedding_sparsity=_float(c["embedding_sparsity"]),
                tokens=tokens,
                keys=keys,
                heads=np.where(keys > 0, heads, 0.0),
                held=c["split_layer"].astype(np.intp),
                cell=np.asarray(self.machine.cells(np.atleast_1d(c["envm_cell"]))).reshape(
                    np.shape(c["envm_cell"])
                ),
                store=codes_of("weight_store", c["weight_store"], STORES),
            ),
            vdd=_float(c["vdd"]),
            early=np.where(foretold, _float(c["predict_layer"]), 0.0),
            n=max((column.shape[-1] for column in taken.values()), default=1),
        )

    def demand(self, design: Design) -> Demand:
        """What designs ask of the machine."""
        plan = templates(self.workload, apart=True) if design.knobs.apart else self._plan
        return demand(plan, self.machine.technology, design.knobs)

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
        sentences = self._sentences(asked, part)
        # A time that is over leaves none: the sentence runs as fast as it can and is late.
        deadline, sent = (np.maximum(limit, _LEAST) for limit in limits)
        exits = sentences.exits(deadline)
        found.energy[1:, rows], found.latency[1:, rows] = exits.energy, exits.latency
        held = np.broadcast_to(part.knobs.held, (part.n,)).astype(np.float64)
        supply, latency = sentences.leaving(held, sent)
        found.latency_sent[rows] = latency
        found.energy_sent[rows] = sentences.energy(held, sentences.supplies(supply, held))

    def _sentences(self, asked: Demand, part: Design) -> Sentences:
        early = np.broadcast_to(part.early, (part.n,))
        return Sentences.of(asked, self.machine.technology, early, self.settling)

    def by_layer(
        self, columns: Columns, limits: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> dict[str, FloatArray]:
        """As `Device.by_layer`."""
        design = self.design(columns)
        asked, on = self.demand(design), self.on(design.vdd)
        some = np.broadcast_to(design.knobs.held > 0, (design.n,))
        op = operate(asked, self.machine.technology, on, parts=True)
        shares = np.sum([share[1:] for _, share in limits.values()], axis=0)
        parts = by_layer(op.parts, asked, executed_shares(shares))
        found = {name: layers * some for name, layers in parts.items()}
        rows = np.flatnonzero(np.broadcast_to(design.early > 0, (design.n,)) & some)
        if len(rows):
            sentences = self._sentences(asked.take(rows), design.take(rows))
            each = [
                sentences.by_layer(np.maximum(limit[rows], _LEAST), share[1:, rows])[0]
                for limit, share in limits.values()
            ]
            for name, layers in found.items():
                layers[:, rows] = sum(part[name] for part in each)
        return found


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """Evaluator: designs and how deep their sentences run to energy, tail latency and area.

    T grows with the layers run, so the p95 exit layer gives the exact p95 latency; where all layers
    are alike the mean exit layer gives the exact mean energy.

    Attributes:
        chip: The chip, all of whose sentences run on one supply.
    """

    chip: Chip

    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J", "latency_p95": "s", "area": "m^2", **POWER_ON
    }  # fmt: skip
    depth_inputs: ClassVar[Mapping[str, str]] = {
        "mean_exit_layer": "layer",
        "p95_exit_layer": "layer",
    }

    def __post_init__(self) -> None:
        for name in ("dvfs", "split_layer"):
            if name in self.chip.searched or name in self.chip.fixed:
                raise ValueError(f"{name} is no knob of a chip alone; a journey prices it")

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        known = self.chip.evidence
        evidence = {n: known["latency" if n == "latency_p95" else n] for n in self.outputs}
        return Signature({**self.chip.inputs, **self.depth_inputs}, self.outputs, evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy [J], p95 latency [s], area [m^2] and power-on of each design, shape (n,).

        Args:
            columns: The chip's knobs; mean_exit_layer and p95_exit_layer [layer], 1 to the
                network's depth, fractions allowed.

        Raises:
            ValueError: If a column is missing, a value is out of range, or sentences of several
                depths are to run on layers that are not alike.
        """
        return in_chunks(self._priced, columns, tuple(self.signature.inputs), CHUNK, BY_ROW)

    def _priced(self, columns: Columns) -> dict[str, FloatArray]:
        design = self.chip.design(columns)
        mean, p95 = exit_layers(columns, self.chip.layers)
        tech, on = self.chip.machine.technology, self.chip.on(design.vdd)
        asked = self._demand(design, mean, p95)
        op = operate(asked, tech, on)
        found = {
            "energy": at_depth(op.energy, asked, mean),
            "latency_p95": at_depth(op.time, asked, p95),
            "area": total(areas(asked, tech)),
            **power_on(asked, tech, on),
        }
        return {name: np.broadcast_to(values, mean.shape) for name, values in found.items()}

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Energy, latency and area by component; a power-on has none.

        Args:
            columns: As for the call.

        Returns:
            energy [J]: mac, buffer, sfu, embedding_read, weight_read, logic_leakage, envm_leakage,
            bank_leakage, and with a supply regulator, clock_generator. latency_p95 [s]:
            embedding_read, matmul, sfu, stall. area [m^2]: accelerator, envm, banks. They sum to
            the outputs up to rounding (1e-12).

        Raises:
            ValueError: As the call.
        """
        pick(columns, tuple(self.signature.inputs), BY_ROW)
        mean, p95 = exit_layers(columns, self.chip.layers)
        design, tech = self.chip.design(columns), self.chip.machine.technology
        asked = self._demand(design, mean, p95)
        op, none = operate(asked, tech, self.chip.on(design.vdd), parts=True), np.zeros(design.n)
        return {
            "energy": {n: none + at_depth(part, asked, mean) for n, part in op.parts.items()},
            "latency_p95": {n: none + at_depth(part, asked, p95) for n, part in op.times.items()},
            "area": {name: none + area for name, area in areas(asked, tech).items()},
        }

    def _demand(self, design: Design, mean: FloatArray, p95: FloatArray) -> Demand:
        """What designs ask for, if two depths say what their sentences cost."""
        asked = self.chip.demand(design)
        if not asked.repeated and (mean != p95).any():
            raise ValueError(
                "mean_exit_layer says what sentences cost only where all layers are alike; these "
                "differ, by the network or by knobs, so price the share of each exit in a journey"
            )
        return asked


def exit_layers(columns: Columns, layers: int) -> tuple[FloatArray, FloatArray]:
    """Mean and p95 exit layer of some designs [layer], shape (n,) each.

    Raises:
        ValueError: If one is missing or outside 1 to the network's depth.
    """
    limits = (1.0, float(layers))
    taken = pick(columns, tuple(EarlyExit.depth_inputs))
    for name, column in zip(EarlyExit.depth_inputs, taken, strict=True):
        require_range(name, column, limits, "layer", "the network's depth")
    mean, p95 = taken
    return _float(mean), _float(p95)


def require_known(columns: Columns, workload: Workload) -> None:
    """Refuse values that no chip has.

    Args:
        columns: Some of `KNOBS`.
        workload: The network.

    Raises:
        ValueError: If a value is out of range; the message shows value, limit and who sets it.
    """
    layers, longest = float(workload.layers), workload.longest
    limits = {
        "pruning_ratio": (0.0, 1.0, "a fraction"),
        "embedding_sparsity": (0.0, 1.0, "a fraction"),
        "exponent_bits": (1.0, 5.0, "the width law"),
        "sequence_length": (1.0, longest, "the position embedding"),
        "attention_span": (0.0, np.inf, "a reach"),
        "split_layer": (0.0, layers, "the network's depth"),
        "predict_layer": (1.0, layers, "the network's depth"),
    }
    for name, (low, high, authority) in limits.items():
        if name in columns:
            require_range(name, columns[name], (low, high), KNOBS[name], authority)
    for name in ("exponent_bits", "sequence_length", "split_layer", "predict_layer", "mac_width"):
        if name in columns:
            require_whole(name, columns[name], KNOBS[name], "a count")
    if "mac_width" in columns and not np.isin(columns["mac_width"], MAC_WIDTHS).all():
        bad = columns["mac_width"][~np.isin(columns["mac_width"], MAC_WIDTHS)].flat[0]
        raise ValueError(f"mac_width = {bad:g} is not one of {list(MAC_WIDTHS)}")
    _require_rows(columns, workload)


def _require_rows(columns: Columns, workload: Workload) -> None:
    """Refuse a knob by group or stage that does not have a row for each of them."""
    for name, axis in BY_ROW.items():
        rows = workload.groups if axis == "group" else workload.layers + 1
        if name in columns and columns[name].ndim > 1 and len(columns[name]) != rows:
            raise ValueError(
                f"{name} has {len(columns[name])} rows; the network has {rows} {axis}s"
            )


def require_formats(columns: Columns) -> None:
    """Refuse numbers too narrow for sign and exponent, or wider than the array computes with.

    Raises:
        ValueError: If there is such a number; the message shows value, limit and who sets it.
    """
    exponent = np.asarray(columns["exponent_bits"])
    for name in ("weight_bits", "activation_bits"):
        bits = np.atleast_1d(columns[name])
        if exponent.ndim and bits.size:
            short = np.broadcast_to(bits < exponent + 1, np.broadcast(bits, exponent).shape)
            if short.any():
                bits = np.broadcast_to(bits, short.shape)[short]
                exponent = np.broadcast_to(exponent, short.shape)[short][:1]
        low = float(exponent.flat[0]) if exponent.size else 0.0
        if exponent.size > 1:
            low = float(exponent.min())
        authority = f"sign and {low:g} exponent bits at least"
        require_range(name, bits, (low + 1.0, WIDEST_FORMAT), "bit", authority)
        require_whole(name, bits, "bit", "a number format")


def _float(values: NDArray[Any]) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
