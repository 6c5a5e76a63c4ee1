"""Energy, tail latency and area of early-exit inference on EdgeBERT's accelerator, in closed form.

For one sentence of fixed padded length on one supply voltage, with L executed layers:

    T(L) = T_read + T_input + L T_layer        T_stage = matmul + special functions + stall
    E(L) = E_read + E_input + L E_layer + P_leak T(L)

A layer is counted with the off-ramp that follows it, the last one too. Both are affine in L, so the
mean exit layer gives the exact mean energy; T grows with L, so the p95 exit layer gives the exact
p95 latency. With a supply, what regulator and clock generator draw is added:

    E_regulator = (1/efficiency(V) - 1) (logic, buffers and banks)     E_clock = P_pll(f) T(L)

Sources: equations of EdgeBERT, arXiv 2011.14203; what one operation costs is told by the modules
`datapath`, `silicon`, `sram`, `memory`, `storage`, `operating_points` and `supply`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dse.core.signature import Signature
from hw_models.attention_span import AttentionSpan
from hw_models.columns import Columns, FloatArray, in_chunks, pick, require_range, require_whole
from hw_models.datapath import Datapath
from hw_models.flow import Design, Flow, layer_time, make_flow, of_sentence
from hw_models.memory import Held
from hw_models.operating_points import OperatingPoints
from hw_models.plan import Plan, make_plan
from hw_models.stages import Stages, increase, total
from hw_models.storage import Storage
from hw_models.supply import Supply
from hw_models.table import label
from hw_models.workload import EncoderShape, stored_bits

CHUNK = 8_192
"""Most rows evaluated at a time [1]: a column of them stays in cache and off the page allocator."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Evaluator: compression, memory, voltage and depth distribution to energy, latency and area.

    A word on sizes: the embeddings of a six-layer MiniLM (30522 x 384) are 11.7 MB at 8 bit, so
    they take six 2 MiB macros, and its encoder five more; unpruned, most of the chip's area is
    memory, and so is most of its leakage if idle macros stay powered.

    Left out: pipeline fill, result writes (1/reduction of the reads), spills of activations that
    exceed the input buffer (their weights are streamed once per buffer-full of rows instead), DRAM
    standby; regulator and clock generator unless `supply` is given.

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
    """

    shape: EncoderShape
    sequence_length: int
    datapath: Datapath = field(default_factory=Datapath)
    storage: Storage = field(default_factory=Storage)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    span: AttentionSpan | None = None
    supply: Supply | None = None
    _plan: Plan = field(init=False, repr=False, compare=False)

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
        characterised = self.datapath.silicon.nominal_vdd
        if self.points.nominal_vdd != characterised:
            raise ValueError(
                f"nominal_vdd = {self.points.nominal_vdd} V of table '{self.points.table.name}' is "
                f"not {characterised} V, at which the silicon's energies are characterised"
            )
        plan = make_plan(self.shape, self.sequence_length, self.datapath, self.storage, self.span)
        object.__setattr__(self, "_plan", plan)

    @property
    def plan(self) -> Plan:
        """What the machine has worked out once."""
        return self._plan

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        silicon, points, envm = self.datapath.silicon, self.points.table, self.storage.envm.table
        weights = self.storage.weights
        banks = silicon.sram.tables if weights == "sram" else ()
        dram = (self.storage.dram,) if weights == "dram" else ()
        supply = (self.supply.table,) if self.supply else ()
        evidence = {
            "energy": label(*silicon.tables, points, envm, *dram, *supply),
            "latency_p95": label(silicon.anchor, *banks, points, envm),
            "area": label(*silicon.tables, envm),
        }
        return Signature(self.inputs, self.outputs, evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy per sentence [J], p95 latency [s] and chip area [m^2], each of shape (n,).

        Raises:
            ValueError: If a column is missing or a value is out of range; see `parts`.
        """
        return in_chunks(self._totals, columns, tuple(self.inputs), CHUNK)

    def _totals(self, picked: Columns) -> dict[str, FloatArray]:
        parts = self._parts(tuple(picked.values()))
        return {name: total(part) for name, part in parts.items()}

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
        return self._parts(pick(columns, tuple(self.inputs)))

    def _parts(self, taken: tuple[NDArray[Any], ...]) -> dict[str, dict[str, FloatArray]]:
        design = self._look_up(taken)
        flow = self._flow(design)
        return {
            "energy": self._energy(design, flow, design.mean_layer),
            "latency_p95": self._time(design, flow, design.p95_layer),
            "area": self._area(design, flow),
        }

    def _area(self, design: Design, flow: Flow) -> dict[str, FloatArray]:
        """Parts of the chip's area [m^2], shape (n,)."""
        none = np.zeros(design.bits.shape)
        return {
            "accelerator": none + self._plan.logic_area,
            "envm": design.macros.area(flow.macros),
            "banks": none if flow.banks is None else flow.banks * self._plan.bank_area,
        }

    def stages(self, columns: Columns) -> Stages:
        """What the input stage and one layer cost, so that any depth can be composed.

        Args:
            columns: As for `parts`; the two depth columns are not read.

        Raises:
            ValueError: As `parts`.
        """
        ones = np.ones(np.shape(columns.get("pruning_ratio", ())))
        whole = {**columns, "mean_exit_layer": ones, "p95_exit_layer": ones}
        return self.stages_of(self._look_up(pick(whole, tuple(self.inputs))))

    def at_nominal(self, columns: Columns) -> Design:
        """Designs on the nominal supply, looked up for `on`, `stages_of` and what they cost.

        Args:
            columns: As for `parts`; vdd and the two depth columns are not read.

        Raises:
            ValueError: As `parts`.
        """
        ones = np.ones(np.shape(columns.get("pruning_ratio", ())))
        whole = {**columns, "mean_exit_layer": ones, "p95_exit_layer": ones}
        whole["vdd"] = self.points.nominal_vdd * ones
        return self._look_up(pick(whole, tuple(self.inputs)))

    def on(self, design: Design, vdd: FloatArray) -> Design:
        """The same designs on other supplies [V], shape (m, n) or (m, 1).

        Raises:
            ValueError: If a voltage is outside the table.
        """
        f_max, energy, leakage = self.points.at(vdd)
        return design._replace(
            vdd=vdd, period=1.0 / f_max, energy_scale=energy, leakage_scale=leakage
        )

    def stages_of(self, design: Design) -> Stages:
        """As `stages`."""
        flow = self._flow(design)
        ones = np.ones(design.bits.shape)
        times = [self._time(design, flow, layers) for layers in (np.zeros_like(ones), ones)]
        kept = design.macros.retention(self.storage.envm.idle, flow.macros)
        kept = kept + self._bank_leakage(flow, design.leakage_scale)
        return Stages(
            *self._energies(design, flow), times[0], increase(*times), flow.layer_time, kept,
            self._area(design, flow),
        )  # fmt: skip

    def layer_energy(self, design: Design) -> dict[str, FloatArray]:
        """Energy of one executed layer with its off-ramp by component [J], as that of `stages`."""
        return self._energies(design, self._flow(design))[1]

    def layer_duration(self, design: Design) -> FloatArray:
        """Time of one executed layer with its off-ramp [s], as that of `stages`."""
        return layer_time(self._plan, self.storage, self.datapath.silicon.sram, design)

    def _energies(
        self, design: Design, flow: Flow
    ) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Parts of the energy before the first layer, and of one layer [J]."""
        ones = np.ones(design.bits.shape)
        once = self._energy(design, flow, np.zeros_like(ones))
        return once, increase(once, self._energy(design, flow, ones))

    def _look_up(self, taken: tuple[NDArray[Any], ...]) -> Design:
        """Check every column once, then read the tables once."""
        pruning, bits, cell, vdd, mean, p95 = taken
        require_range("pruning_ratio", pruning, (0.0, 1.0), "1", "a fraction")
        format_limit = f"sign and {self.datapath.exponent_bits} exponent bits at least"
        require_range("weight_bits", bits, self.datapath.bit_range, "bit", format_limit)
        require_whole("weight_bits", bits, "bit", "a number format")
        depth = (1.0, float(self.shape.layers))
        require_range("mean_exit_layer", mean, depth, "layer", "the network's depth")
        require_range("p95_exit_layer", p95, depth, "layer", "the network's depth")
        pruning, width, vdd = _float(pruning), _float(bits), _float(vdd)
        f_max, energy_scale, leakage_scale = self.points.at(vdd)
        macros = self.storage.envm.at(cell)
        # Without masks of their own, those rows are not wanted.
        table = self._plan.by_format if macros.split else self._plan.by_format[:4]
        kept, read, mixed_mac, dense_vector, *masks = table.take(
            bits.astype(np.intp, copy=False), axis=1
        )
        return Design(
            bits=width,
            pruning=pruning,
            stored=stored_bits(width, pruning),
            embeddings=macros.held(kept, masks[0]) if masks else Held(kept),
            read=macros.held(read, masks[1]) if masks else Held(read),
            mixed_mac=mixed_mac,
            dense_vector=dense_vector,
            macros=macros,
            vdd=vdd,
            period=1.0 / f_max,
            energy_scale=energy_scale,
            leakage_scale=leakage_scale,
            mean_layer=_float(mean),
            p95_layer=_float(p95),
        )

    def _flow(self, design: Design) -> Flow:
        return make_flow(self._plan, self.storage, self.datapath.silicon.sram, design)

    def _time(self, design: Design, flow: Flow, layers: FloatArray) -> dict[str, FloatArray]:
        """Parts of the duration of a sentence that executes so many layers [s], shape (n,)."""
        once, each = self._plan.input, self._plan.layer
        return {
            "embedding_read": flow.embedding_time.total,
            "matmul": (layers * each.matmul_cycles + once.matmul_cycles) * design.period,
            "sfu": (layers * each.sfu_cycles + once.sfu_cycles) * design.period,
            "stall": of_sentence(
                layers * flow.layer.stall, flow.projection and flow.projection.stall
            ),
        }

    def _energy(self, design: Design, flow: Flow, layers: FloatArray) -> dict[str, FloatArray]:
        """Parts of the energy of a sentence that executes so many layers [J], shape (n,)."""
        duration = layers * flow.layer_time + flow.input_time
        energy = self._dynamic_energy(design, flow, layers)
        energy |= self._leakage_energy(design, flow, layers, duration)
        if self.supply is not None:
            load = {name: part for name, part in energy.items() if name not in self._own_supply}
            loss = 1.0 / self.supply.efficiency(design.vdd) - 1.0
            energy["regulator"] = total(load) * loss
            energy["clock_generator"] = self.supply.pll_power(1.0 / design.period) * duration
        return energy

    @property
    def _own_supply(self) -> tuple[str, ...]:
        """Parts that macros and DRAM draw, past the regulator."""
        macros = ("embedding_read", "envm_leakage")
        return macros if self.storage.weights == "sram" else (*macros, "weight_read")

    def _dynamic_energy(
        self, design: Design, flow: Flow, layers: FloatArray
    ) -> dict[str, FloatArray]:
        """Switching energy; the accelerator's scales with its supply squared, eNVM's does not."""
        plan = self._plan
        gated = plan.weight_macs * self.datapath.active(design.pruning) + plan.unpruned_macs
        macs = of_sentence(layers * gated, plan.projection_macs)
        read = plan.weight_cycles * plan.weight_read.at(design.stored) + plan.activation_reads
        dense_cycles = of_sentence(layers * plan.unpruned_cycles, plan.projection_cycles)
        streamed = of_sentence(layers * flow.layer.bits, flow.projection and flow.projection.bits)
        buffer = layers * read + dense_cycles * design.dense_vector + streamed * plan.buffered_bit
        sfu = layers * plan.layer.sfu_energy + plan.input.sfu_energy
        return {
            "mac": (design.mixed_mac * macs + layers * plan.products) * design.energy_scale,
            "buffer": buffer * design.energy_scale,
            "sfu": sfu * design.energy_scale,
            "embedding_read": design.macros.read_energy(design.read),
            "weight_read": self._weight_read(design, flow, layers, streamed),
        }

    def _weight_read(
        self, design: Design, flow: Flow, layers: FloatArray, streamed: FloatArray
    ) -> FloatArray:
        """Energy of reading the streamed weights from their store [J], shape (n,)."""
        if self.storage.weights == "envm":
            held = Held(streamed)
            if flow.layer.held.mask is not None:
                held = flow.layer.held.times(layers)
                held = held.plus(flow.projection.held) if flow.projection else held
            return design.macros.read_energy(held)
        energy = streamed * self._plan.weight_bit
        return energy * design.energy_scale if self.storage.weights == "sram" else energy

    def _leakage_energy(
        self, design: Design, flow: Flow, layers: FloatArray, duration: FloatArray
    ) -> dict[str, FloatArray]:
        """Leakage of everything powered, over the duration of a sentence."""
        plan, idle, reading = self._plan, self.storage.envm.idle, flow.embedding_time
        if idle == "gated" and self.storage.weights == "envm":
            reading = reading.plus(flow.projection.time) if flow.projection else reading
            reading = reading.plus(flow.layer.time.times(layers))
        leaking = duration * design.leakage_scale
        return {
            "logic_leakage": leaking * plan.logic_leakage,
            "envm_leakage": design.macros.leakage_energy(idle, flow.macros, duration, reading),
            "bank_leakage": self._bank_leakage(flow, leaking),
        }

    def _bank_leakage(self, flow: Flow, leaking: FloatArray) -> FloatArray:
        """Of all banks [J], from seconds of leakage at nominal; or [W], from the leakage scale."""
        if flow.banks is None:
            return np.zeros(leaking.shape)
        return leaking * flow.banks * self._plan.bank_leakage


def _float(values: NDArray[Any]) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
