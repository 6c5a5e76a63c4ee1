"""Energy, tail latency and area of early-exit inference on EdgeBERT's accelerator, in closed form.

For one sentence of fixed padded length on one supply voltage, with L executed layers:

    T(L) = T_read + T_input + L T_layer        T_stage = matmul + special functions + stall
    E(L) = E_read + E_input + L E_layer + P_leak T(L)

A layer is counted with the off-ramp that follows it, the last one too. Both are affine in L, so the
mean exit layer gives the exact mean energy; T grows with L, so the p95 exit layer gives the exact
p95 latency.

Sources: equations of EdgeBERT, arXiv 2011.14203; what one operation costs is told by the modules
`datapath`, `silicon`, `memory`, `storage` and `operating_points`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hw_models.attention_span import AttentionSpan
from hw_models.columns import (
    Columns,
    FloatArray,
    in_chunks,
    pick,
    require_range,
    require_whole,
)
from hw_models.datapath import Datapath, Work
from hw_models.memory import MACRO_WORD_BITS, Macro
from hw_models.operating_points import OperatingPoints
from hw_models.storage import BANK_BYTES, PORT_BITS, Storage, word_time
from hw_models.table import Label, label
from hw_models.workload import EncoderShape, stored_bits

CHUNK = 32_768
"""Rows evaluated at a time [1]."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything about a workload that no design column changes; elements are parameters."""

    input: Work
    layer: Work
    prunable: float  # elements of all distinct encoder matrices
    dense: float  # elements never pruned: biases, layer norms, off-ramps, projection
    layer_prunable: float  # elements streamed per layer, one pass per buffer-full of rows
    layer_dense: float  # streamed with it: biases, layer norms, the off-ramp
    input_dense: float  # streamed once: the projection


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """A batch, checked and looked up; every array of shape (n,)."""

    bits: FloatArray
    stored: FloatArray
    active: FloatArray
    macro: Macro
    period: FloatArray
    energy_scale: FloatArray
    leakage_scale: FloatArray
    mean_layer: FloatArray
    p95_layer: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Transfers:
    """What moves, in bits and in time; every array of shape (n,) or (1,)."""

    embedding_words: FloatArray
    embedding_time: FloatArray
    input_bits: FloatArray
    input_time: FloatArray
    layer_bits: FloatArray
    layer_time: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """The affine parts of a sentence by component; every array of shape (n,).

    Attributes:
        energy_input: Before the first layer [J].
        energy_layer: Of one executed layer with its off-ramp [J].
        time_input: Before the first layer [s].
        time_layer: Of one executed layer with its off-ramp [s].
    """

    energy_input: Mapping[str, FloatArray]
    energy_layer: Mapping[str, FloatArray]
    time_input: Mapping[str, FloatArray]
    time_layer: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Evaluator: compression, memory, voltage and depth distribution to energy, latency and area.

    A word on sizes: the embeddings of a six-layer MiniLM (30522 x 384) are 11.7 MB at 8 bit, so
    they take six 2 MiB macros, and its encoder five more; unpruned, most of the chip's area is
    memory, and so is most of its leakage if idle macros stay powered.

    Left out: pipeline fill, result writes (1/reduction of the reads), spills of activations that
    exceed the input buffer (their weights are streamed once per buffer-full of rows instead), DRAM
    standby, regulator and clock generator.

    Attributes:
        shape: The network.
        sequence_length: Tokens per sentence, padding included [1], 1 to `shape.positions`.
        datapath: Array, formats, zero gating, process.
        storage: Where embeddings and weights live.
        points: Voltage/frequency table; each design runs at the limit of its vdd.
        span: Keys that each head sees, in every layer; everything if None. Weights of a head that
            is off are stored but neither streamed nor multiplied.
    """

    shape: EncoderShape
    sequence_length: int
    datapath: Datapath = field(default_factory=Datapath)
    storage: Storage = field(default_factory=Storage)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    span: AttentionSpan | None = None
    _plan: _Plan = field(init=False, repr=False, compare=False)

    inputs: ClassVar[Mapping[str, str]] = {
        "pruning_ratio": "1",
        "weight_bits": "bit",
        "envm_cell": "choice",
        "vdd": "V",
        "mean_exit_layer": "layer",
        "p95_exit_layer": "layer",
    }
    outputs: ClassVar[Mapping[str, str]] = {"energy": "J", "latency_p95": "s", "area": "m^2"}
    cost: ClassVar[Literal["closed form"]] = "closed form"

    def __post_init__(self) -> None:
        if not 1 <= self.sequence_length <= self.shape.positions:
            raise ValueError(
                f"sequence_length = {self.sequence_length} is outside 1 to {self.shape.positions}, "
                "the position embedding"
            )
        characterised = self.datapath.silicon.nominal_vdd
        if self.points.nominal_vdd != characterised:
            raise ValueError(
                f"nominal_vdd = {self.points.nominal_vdd} V of table '{self.points.table.name}' is "
                f"not {characterised} V, at which the silicon's energies are characterised"
            )
        object.__setattr__(self, "_plan", self._make_plan())

    @property
    def evidence(self) -> Mapping[str, Label]:
        """Output name -> its weakest link among the tables used."""
        silicon, points, envm = self.datapath.silicon, self.points.table, self.storage.envm.table
        dram = (self.storage.dram,) if self.storage.weights == "dram" else ()
        return {
            "energy": label(*silicon.tables, points, envm, *dram),
            "latency_p95": label(silicon.sram.table, points, envm),
            "area": label(*silicon.tables, envm),
        }

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per sentence [J], p95 latency [s] and chip area [m^2], each of shape (n,).

        Raises:
            ValueError: If a column is missing or a value is out of range; see `parts`.
        """
        return in_chunks(self._totals, columns, tuple(self.inputs), CHUNK)

    def _totals(self, columns: Columns) -> dict[str, FloatArray]:
        return {name: total(parts) for name, parts in self.parts(columns).items()}

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """The outputs by component.

        Args:
            columns: pruning_ratio [1] of the encoder matrices, 0 to 1; weight_bits [bit], whole;
                envm_cell, a name in the macro table; vdd [V], within the voltage table;
                mean_exit_layer and p95_exit_layer [layer], 1 to `shape.layers`, fractions allowed.
                Each of shape (n,).

        Returns:
            energy [J]: mac, buffer, sfu, embedding_read, weight_read, logic_leakage, envm_leakage,
            bank_leakage. latency_p95 [s]: embedding_read, matmul, sfu, stall. area [m^2]:
            accelerator, envm, banks. Summed in this order they are the outputs, bit for bit.

        Raises:
            ValueError: If a column is missing, or a value is out of the range stated here; the
                message shows value, limit and who sets it.
        """
        design = self._look_up(columns)
        transfers = self._transfers(design)
        macros, banks = self._capacity(design)
        energy = self._dynamic_energy(design, transfers)
        energy.update(self._leakage_energy(design, transfers, macros, banks))
        logic = self.datapath.silicon.area(self.datapath.mac_width)
        bank = self.datapath.silicon.sram.area(BANK_BYTES)
        return {
            "energy": energy,
            "latency_p95": self._time(design, transfers, design.p95_layer),
            "area": {
                "accelerator": np.full_like(design.bits, logic),
                "envm": macros * design.macro.area,
                "banks": banks * bank,
            },
        }

    def stages(self, columns: Columns) -> Stages:
        """What the input stage and one layer cost, so that any depth and voltage can be composed.

        Args:
            columns: As for `parts`; the two depth columns are not read.

        Raises:
            ValueError: As `parts`.
        """
        ones = np.ones(np.shape(columns.get("vdd", ())))
        design = self._look_up({**columns, "mean_exit_layer": ones, "p95_exit_layer": ones})
        start = replace(design, mean_layer=np.zeros_like(ones))
        transfers = self._transfers(design)
        macros, banks = self._capacity(design)
        energies, times = [], []
        for depth in (start, design):
            energy = self._dynamic_energy(depth, transfers)
            energy.update(self._leakage_energy(depth, transfers, macros, banks))
            energies.append(energy)
            times.append(self._time(depth, transfers, depth.mean_layer))
        return Stages(energies[0], _increase(*energies), times[0], _increase(*times))

    def _make_plan(self) -> _Plan:
        shape, path, sequence = self.shape, self.datapath, self.sequence_length
        streamed, rows = 0.0, np.array([float(sequence)])
        spanned = self.span.layer_matmuls(shape, rows) if self.span else None
        for matmul in spanned or shape.layer_matmuls(rows):
            operand = float((matmul.rows * matmul.reduction)[0]) * path.activation_bits / 8.0
            passes = float(np.ceil(operand / path.silicon.buffer_bytes))
            streamed += float(matmul.weights[0]) * passes
        off_ramps = shape.layers * shape.off_ramp_parameters
        vectors = shape.groups * shape.layer_vectors
        return _Plan(
            input=path.input_work(shape, sequence),
            layer=path.layer_work(shape, sequence, self.span) + path.off_ramp_work(shape, sequence),
            prunable=float(shape.groups * shape.layer_weights),
            dense=float(vectors + off_ramps + shape.projection_parameters),
            layer_prunable=streamed,
            layer_dense=float(shape.layer_vectors + shape.off_ramp_parameters),
            input_dense=float(shape.projection_parameters),
        )

    def _look_up(self, columns: Columns) -> _Design:
        """Check every column once, then read the tables once."""
        pruning, bits, cell, vdd, mean, p95 = pick(columns, tuple(self.inputs))
        require_range("pruning_ratio", pruning, (0.0, 1.0), "1", "a fraction")
        format_limit = f"sign and {self.datapath.exponent_bits} exponent bits at least"
        require_range("weight_bits", bits, self.datapath.bit_range, "bit", format_limit)
        require_whole("weight_bits", bits, "bit", "a number format")
        depth = (1.0, float(self.shape.layers))
        require_range("mean_exit_layer", mean, depth, "layer", "the network's depth")
        require_range("p95_exit_layer", p95, depth, "layer", "the network's depth")
        pruning, bits = _float(pruning), _float(bits)
        f_max, energy_scale, leakage_scale = self.points.at(_float(vdd))
        return _Design(
            bits=bits,
            stored=stored_bits(bits, pruning),
            active=self.datapath.active(pruning),
            macro=self.storage.envm.at(cell),
            period=1.0 / f_max,
            energy_scale=energy_scale,
            leakage_scale=leakage_scale,
            mean_layer=_float(mean),
            p95_layer=_float(p95),
        )

    def _embedding_bits(self, design: _Design) -> FloatArray:
        """Stored bits of one embedding element [bit], shape (n,)."""
        return stored_bits(design.bits, np.full(1, self.storage.embedding_sparsity))

    def _capacity(self, design: _Design) -> tuple[FloatArray, FloatArray]:
        """ENVM macros and SRAM banks [1], each of shape (n,)."""
        embeddings = self.shape.embedding_parameters * self._embedding_bits(design)
        weights = self._plan.prunable * design.stored + self._plan.dense * design.bits
        return self.storage.macros(embeddings, weights), self.storage.banks(weights)

    def _transfers(self, design: _Design) -> _Transfers:
        """A sentence reads a token row and a position row per token, and one segment row."""
        plan, sram = self._plan, self.datapath.silicon.sram
        rows = 2 * self.sequence_length + (self.shape.segments > 0)
        words = (rows * self.shape.embedding / MACRO_WORD_BITS) * self._embedding_bits(design)
        bit_time = self.storage.weight_bit_time(design.macro, design.period, sram)
        input_bits = plan.input_dense * design.bits
        layer_bits = plan.layer_prunable * design.stored + plan.layer_dense * design.bits
        return _Transfers(
            embedding_words=words,
            embedding_time=words * word_time(design.macro, design.period),
            input_bits=input_bits,
            input_time=input_bits * bit_time,
            layer_bits=layer_bits,
            layer_time=layer_bits * bit_time,
        )

    def _time(
        self, design: _Design, transfers: _Transfers, layers: FloatArray
    ) -> dict[str, FloatArray]:
        """Parts of the duration of a sentence that executes so many layers [s], shape (n,)."""
        once, each, period = self._plan.input, self._plan.layer, design.period
        stall_once = self._stall(once, transfers.input_time, period)
        stall_each = self._stall(each, transfers.layer_time, period)
        return {
            "embedding_read": transfers.embedding_time,
            "matmul": (once.matmul_cycles + layers * each.matmul_cycles) * period,
            "sfu": (once.sfu_cycles + layers * each.sfu_cycles) * period,
            "stall": stall_once + layers * stall_each,
        }

    def _stall(self, work: Work, streaming: FloatArray, period: FloatArray) -> FloatArray:
        """Time a stage waits for its weights [s], shape (n,)."""
        if not self.storage.overlap:
            return streaming
        busy = work.matmul_cycles + work.sfu_cycles
        return np.maximum(streaming - busy * period, 0.0)

    def _dynamic_energy(self, design: _Design, transfers: _Transfers) -> dict[str, FloatArray]:
        """Switching energy; the accelerator's scales with its supply squared, eNVM's does not."""
        path, silicon, n = self.datapath, self.datapath.silicon, self.datapath.mac_width
        once, each, layers = self._plan.input, self._plan.layer, design.mean_layer
        act = np.full(1, float(path.activation_bits))
        mixed = silicon.mac_energy(design.bits, act, path.exponent_bits, n)
        same = silicon.mac_energy(act, act, path.exponent_bits, n)
        gated = each.weight_macs * design.active + each.dense_macs
        mac = mixed * (once.dense_macs + layers * gated) + (same * each.attention_macs) * layers
        vector = silicon.vector_energy(n * act)
        pruned = silicon.vector_energy(n * design.stored) + vector
        dense = silicon.vector_energy(n * design.bits) + vector
        read = each.weight_cycles * pruned + (2.0 * each.attention_cycles) * vector
        buffer = layers * (read + each.dense_cycles * dense) + once.dense_cycles * dense
        # One special-function state: n lanes, and one n-wide access to the auxiliary buffer.
        state = n * silicon.lane_energy() + silicon.auxiliary_energy(np.full(1, n * 16.0))
        streamed = transfers.input_bits + layers * transfers.layer_bits
        written = silicon.vector_energy(np.full(1, float(PORT_BITS))) / PORT_BITS
        store = self.storage.weight_bit_energy(design.macro, design.energy_scale, silicon.sram)
        return {
            "mac": mac * design.energy_scale,
            "buffer": (buffer + streamed * written) * design.energy_scale,
            "sfu": (once.sfu_states + layers * each.sfu_states) * state * design.energy_scale,
            "embedding_read": transfers.embedding_words * design.macro.read_energy,
            "weight_read": streamed * store,
        }

    def _leakage_energy(
        self, design: _Design, transfers: _Transfers, macros: FloatArray, banks: FloatArray
    ) -> dict[str, FloatArray]:
        """Leakage of everything powered, over the mean duration of a sentence."""
        silicon, layers = self.datapath.silicon, design.mean_layer
        duration = total(self._time(design, transfers, layers))
        reading = transfers.embedding_time
        if self.storage.weights == "envm":
            reading = reading + (transfers.input_time + layers * transfers.layer_time)
        leaking = duration * design.leakage_scale
        return {
            "logic_leakage": silicon.leakage(self.datapath.mac_width) * leaking,
            "envm_leakage": self.storage.envm.leakage_energy(
                design.macro, macros, duration, reading
            ),
            "bank_leakage": banks * (silicon.sram.bank_leakage * leaking),
        }


def _float(values: NDArray[Any]) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _increase(
    before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    # Sums round, so a component that one layer does not touch may differ by a last bit below zero.
    return {name: np.maximum(after[name] - before[name], 0.0) for name in before}


def total(parts: Mapping[str, FloatArray]) -> FloatArray:
    """Sum in the order of the parts: the same bits as a reader who adds them up."""
    first, *rest = parts.values()
    total = first.copy()
    for part in rest:
        total += part
    return total
