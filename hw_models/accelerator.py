"""Energy, tail latency and area of early-exit inference on EdgeBERT's accelerator.

For one sentence of fixed padded length on one supply voltage, with L executed layers:

    T(L) = T_input + L T_layer        T_stage = matmul + special functions + stall
    E(L) = E_input + L E_layer        with P_leak T in each

A layer is counted with the off-ramp that follows it, the last one too. Both are affine in L, so the
mean exit layer gives the exact mean energy; T grows with L, so the p95 exit layer gives the exact
p95 latency. With a supply, what regulator and clock generator draw is added:

    E_regulator = (1/efficiency(V) - 1) (logic, buffers and banks)     E_clock = P_pll(f) T(L)

The arithmetic is that of `hw_models.cost`; this class fills the constants of one machine in. A
design whose array, formats or stores are searched is a `hw_models.systems.chip.Chip`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dse.core.signature import Signature
from hw_models.attention_span import AttentionSpan
from hw_models.columns import Columns, FloatArray, in_chunks, total
from hw_models.cost.kernel import areas, durations, operate, retention
from hw_models.datapath import Datapath
from hw_models.machine.edgebert import ArrayChip
from hw_models.operating_points import OperatingPoints
from hw_models.storage import Storage
from hw_models.supply import Supply
from hw_models.systems.chip import Chip
from hw_models.systems.early_exit import CHUNK as CHUNK
from hw_models.systems.early_exit import EarlyExit
from hw_models.workload.encoder import EncoderShape, encoder


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """What the input stage and one layer with its off-ramp cost, by component; shape (n,) each.

    Attributes:
        energy_input: Before the first layer [J].
        energy_layer: Of one layer [J].
        time_input: Before the first layer [s].
        time_layer: Of one layer [s].
        duration: Of one layer [s]: `time_layer` but for rounding.
        retention: Power of memories that keep what they hold while nothing is computed [W].
        area: Of the chip [m^2].
    """

    energy_input: Mapping[str, FloatArray]
    energy_layer: Mapping[str, FloatArray]
    time_input: Mapping[str, FloatArray]
    time_layer: Mapping[str, FloatArray]
    duration: FloatArray
    retention: FloatArray
    area: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Evaluator: compression, memory, voltage and depth distribution to energy, latency and area.

    A word on sizes: the embeddings of a six-layer MiniLM (30522 x 384) are 11.7 MB at 8 bit, so
    they take six 2 MiB macros, and its encoder five more; unpruned, most of the chip's area is
    memory, and so is most of its leakage if idle macros stay powered.

    Attributes:
        shape: The network.
        sequence_length: Tokens per sentence, padding included [1], 1 to `shape.longest`.
        datapath: Array, formats, zero gating, process.
        storage: Where embeddings and weights live.
        points: Voltage/frequency table; each design runs at the limit of its vdd.
        span: Keys that each head sees, in every layer; everything if None. Weights of a head that
            is off are stored but neither streamed nor multiplied.
        supply: Regulator and clock generator whose draw is added to the energy; None: the load
            alone, as the published energies count it.
        chip: The network on the machine that these describe.
    """

    shape: EncoderShape
    sequence_length: int
    datapath: Datapath = field(default_factory=Datapath)
    storage: Storage = field(default_factory=Storage)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    span: AttentionSpan | None = None
    supply: Supply | None = None
    chip: Chip = field(init=False, repr=False, compare=False)

    inputs: ClassVar[Mapping[str, str]] = {
        "pruning_ratio": "1",
        "weight_bits": "bit",
        "envm_cell": "choice",
        "vdd": "V",
        "mean_exit_layer": "layer",
        "p95_exit_layer": "layer",
    }
    outputs: ClassVar[Mapping[str, str]] = {"energy": "J", "latency_p95": "s", "area": "m^2"}

    def __post_init__(self) -> None:
        if not 1 <= self.sequence_length <= self.shape.longest:
            raise ValueError(
                f"sequence_length = {self.sequence_length} is outside 1 to {self.shape.longest}, "
                "the position embedding"
            )
        path, storage = self.datapath, self.storage
        machine = ArrayChip(
            path.silicon, storage.envm, self.points, storage.dram, storage.dram_technology,
            self.supply, gating=path.zero_gating, initiation=path.initiation,
            overlap=storage.overlap,
        )  # fmt: skip
        length = np.array([float(self.sequence_length)])
        keys = None if self.span is None else self.span.keys(length)[:, 0].tolist()
        chip = Chip(
            machine,
            encoder(self.shape, self.sequence_length, keys=keys),
            fixed={
                "mac_width": float(path.mac_width),
                "exponent_bits": float(path.exponent_bits),
                "activation_bits": float(path.activation_bits),
                "embedding_sparsity": storage.embedding_sparsity,
                "weight_store": storage.weights,
            },
        )
        object.__setattr__(self, "chip", chip)

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        known = EarlyExit(self.chip).signature.evidence
        return Signature(self.inputs, self.outputs, {name: known[name] for name in self.outputs})

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per sentence [J], p95 latency [s] and chip area [m^2], each of shape (n,).

        Raises:
            ValueError: If a column is missing or a value is out of range; see `parts`.
        """
        return in_chunks(self._totals, columns, tuple(self.inputs), CHUNK)

    def _totals(self, columns: Columns) -> dict[str, FloatArray]:
        return {name: total(part) for name, part in self.parts(columns).items()}

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """The outputs by component.

        Args:
            columns: pruning_ratio [1] of the encoder matrices, 0 to 1; weight_bits [bit], whole;
                envm_cell, a name in the macro table; vdd [V], within the voltage table;
                mean_exit_layer and p95_exit_layer [layer], 1 to `shape.layers`, fractions allowed.
                Each of shape (n,).

        Returns:
            energy [J]: mac, buffer, sfu, embedding_read, weight_read, logic_leakage, envm_leakage,
            bank_leakage, and with a supply regulator, clock_generator. latency_p95 [s]:
            embedding_read, matmul, sfu, stall. area [m^2]: accelerator, envm, banks. Summed in this
            order they are the outputs, bit for bit.

        Raises:
            ValueError: If a column is missing, or a value is out of the range stated here; the
                message shows value, limit and who sets it.
        """
        return EarlyExit(self.chip).parts(columns)

    def stages(self, columns: Columns) -> Stages:
        """What the input stage and one layer cost, so that any depth can be composed.

        Args:
            columns: As for `parts`; the two depth columns are not read.

        Raises:
            ValueError: As `parts`.
        """
        design, tech = self.chip.design(columns), self.chip.machine.technology
        asked, on = self.chip.demand(design), self.chip.on(design.vdd)
        op = operate(asked, tech, on, parts=True)
        one = np.ones(design.vdd.shape)
        return Stages(
            _row(op.parts, 0, one),
            _row(op.parts, 1, one),
            _row(op.times, 0, one),
            _row(op.times, 1, one),
            one * durations(asked, tech, on, 1),
            one * retention(asked, tech, on),
            {name: one * area for name, area in areas(asked, tech).items()},
        )


def _row(parts: Mapping[str, FloatArray], stage: int, one: FloatArray) -> dict[str, FloatArray]:
    return {name: one * stages[stage] for name, stages in parts.items()}
