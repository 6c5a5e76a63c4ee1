"""The kernel against a slow oracle: any network, any knobs by group and stage, number by number.

The oracle follows the formulas of the pages row by row in plain Python, without templates, slots
or arrays.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Envm, Supply, shipped
from hw_models.cost.costs import at_depth, by_depth, by_layer
from hw_models.cost.kernel import areas, demand, durations, operate, rail, retention
from hw_models.cost.operations import Knobs
from hw_models.cost.templates import alike, templates
from hw_models.machine import ArrayChip
from hw_models.machine.edgebert import InitiationIntervals
from hw_models.systems.power_on import power_on
from hw_models.workload import Product, Size, Tensor, Vector, Workload

LAYERS = st.integers(1, 4)
COUNT = st.integers(1, 70).map(float)
SYMBOL = st.sampled_from(["1", "1", "tokens", "keys", "heads"])
SIZE = st.builds(Size, COUNT, SYMBOL)
COPIES = st.builds(Size, st.integers(1, 3).map(float), st.sampled_from(["1", "heads"]))
KINDS = "softmax", "norm", "add", "entropy", "activation:gelu"


@st.composite
def networks(draw):
    """A network of up to four layers whose rows are anything."""
    layers = draw(LAYERS)
    stage = st.integers(0, layers)
    count = draw(st.integers(1, 4))
    stages = st.lists(stage, min_size=1, max_size=3, unique=True).map(lambda s: tuple(sorted(s)))
    roles = ["weight", "dense", *(draw(st.sampled_from(["weight", "dense"])) for _ in range(count))]
    tensors = [
        Tensor(f"t{i}", draw(COUNT) * 1e5, role, draw(st.integers(0, 2)), draw(stages))
        for i, role in enumerate(roles)
    ]
    read = st.builds(Size, COUNT, st.sampled_from(["1", "tokens"]))
    tensors += [
        Tensor(f"e{i}", draw(COUNT) * 1e5, "embedding", draw(st.integers(0, 2)), draw(stages),
               draw(read))
        for i in range(2)
    ]  # fmt: skip
    products = []
    for _ in range(draw(st.integers(1, 6))):
        tensor = draw(st.sampled_from([*tensors, None]))
        at = draw(stage) if tensor is None else draw(st.sampled_from(tensor.stages))
        kind: Any = "activation" if tensor is None else tensor.role.replace("embedding", "dense")
        m, k, n = draw(SIZE), draw(SIZE), draw(SIZE)
        name = "" if tensor is None else tensor.name
        row = Product(at, "p", kind, m, k, n, draw(COPIES), name)
        products += [row] * draw(st.integers(1, 2))
    vectors = [
        Vector(draw(stage), draw(st.sampled_from(KINDS)), draw(SIZE), draw(SIZE), draw(COPIES))
        for _ in range(draw(st.integers(0, 5)))
    ]
    cuts = (Size(8.0, "tokens"),) * (layers + 1)
    return Workload("any", layers, 20.0, 4.0, tuple(products), tuple(vectors), tuple(tensors),
                    cuts, (), 128.0)  # fmt: skip


TABLE = shipped("envm_nvsim_22nm")
CHOICES: tuple[tuple[Any, ...], ...] = (
    ("gated", "single_level", "adder_tree", "element", True, None, 3.0),
    ("powered", "single_level", "adder_tree", "vector", False, Supply(), 1.0),
    ("gated", "same", "adder_tree", "none", True, Supply(), 2.0),
    ("gated", "single_level", "weight_stationary", "element", True, Supply(), 3.0),
    ("powered", "same", "output_stationary", "vector", True, None, 1.0),
    ("gated", "single_level", "behind_port", "none", False, None, 3.0),
)
MACHINES = pytest.mark.parametrize(
    "machine",
    [
        ArrayChip(
            envm=Envm(TABLE, idle, mask), array=array, gating=gating, overlap=overlap,
            supply=supply, initiation=InitiationIntervals(softmax=interval),
        )
        for idle, mask, array, gating, overlap, supply, interval in CHOICES
    ],
    ids=lambda machine: machine.array,
)  # fmt: skip
CELLS = ["rram", "rram_mlc2", "rram_mlc3", "stt", "sram"]


@st.composite
def designs(draw, network, apart):
    """Knobs of one design as numbers: by group and stage where they are apart."""
    rows, groups = network.layers + 1, network.groups

    def each(values, count):
        column = [draw(values) for _ in range(count)]
        return column if apart else column[:1] * count

    exponent = draw(st.sampled_from([2.0, 3.0, 4.0]))
    bits = st.integers(int(exponent) + 1, 16).map(float)
    return {
        "side": draw(st.sampled_from([2.0, 8.0, 32.0])),
        "exponent_bits": exponent,
        "activation_bits": each(bits, rows),
        "weight_bits": each(bits, groups),
        "pruning": each(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), groups),
        "embedding_sparsity": draw(st.sampled_from([0.0, 0.3, 0.8])),
        "tokens": each(st.integers(1, 128).map(float), rows),
        "keys": each(st.integers(0, 128).map(float), rows),
        "heads": each(st.integers(0, 4).map(float), rows),
        "held": draw(st.integers(0, network.layers)),
        "cell": draw(st.sampled_from(CELLS)),
        "store": draw(st.integers(0, 2)),
        "vdd": draw(st.sampled_from([0.5, 0.6125, 0.8])),
    }


def knobs_of(machine, many):
    """Designs as the kernel reads them, one column each."""

    def column(name):
        values = np.array([d[name] for d in many], dtype=np.float64)
        return np.ascontiguousarray(values.T)

    whole = {n: column(n) for n in Knobs._fields if n not in ("cell", "held", "store")}
    return Knobs(
        **whole,
        held=column("held").astype(np.intp),
        cell=machine.cells(np.array([d["cell"] for d in many])),
        store=column("store").astype(np.intp),
    )


def stored(bits, zeros):
    return min(bits, (1 - zeros) * bits + 1)


def masked(bits, zeros):
    return 1.0 if (1 - zeros) * bits + 1 < bits else 0.0


class Slow:
    """One design on one machine, stage by stage, in plain Python."""

    def __init__(self, network, machine, d):
        self.network, self.machine, self.tech, self.d = network, machine, machine.technology, d
        self.n = d["side"]
        f_max, self.switching, self.leak = (
            float(x[0]) for x in machine.points.at(np.array([d["vdd"]]))
        )
        self.period = 1 / f_max
        self.cell = int(machine.cells(np.array([d["cell"]]))[0])
        self.single = int(self.tech.memory.single[self.cell])
        self.place = self.single if d["store"] == 0 else int(self.tech.stores[d["store"]])
        self.group = {t.name: t.group for t in network.tensors}

    def size(self, size, stage):
        return size.base if size.symbol == "1" else size.base * self.d[size.symbol][stage]

    def word(self, bits):
        return float(self.machine.silicon.buffer_read().of(max(self.n * bits, 0.0)))

    def multiply(self, weight, activation):
        anchor, read = self.machine.silicon.anchor.constant, self.machine.silicon.buffer_read()
        n, bits = anchor("mac_width"), anchor("bits")
        slot = (anchor("power") - anchor("leakage_density") * anchor("area")) / anchor("frequency")
        size = slot / n**2 - 2 * read.of(n * bits) / n**2
        size /= self.law(bits, bits, anchor("exponent_bits"), n)
        return size * self.law(weight, activation, self.d["exponent_bits"], self.n)

    def law(self, weight, activation, e, n):
        """The width law of the page, mantissas without the hidden bit."""
        c = self.machine.silicon.operators.constant
        q, line = c("multiply") / c("width") ** 2, c("add") / c("width")
        w, a = weight - 1 - e, activation - 1 - e
        accumulator = w + a + 2 + 2 * (2**e - 1) + math.log2(n)
        return q * (w + 1) * (a + 1) + line * (e + 1 + accumulator)

    def array(self, m, k, n, weight_bits, input_bits):
        """Cycles, slots, and accesses for weights, inputs and partial sums."""
        side, tiles = self.n, math.ceil(k / self.n) * math.ceil(n / self.n)
        wide = math.ceil(n / side)
        kind = self.machine.array
        if kind == "adder_tree":
            cycles = math.ceil(m / side) * tiles * side
            return cycles, cycles * side**2, cycles, cycles, 0.0
        if kind == "output_stationary":
            blocks = math.ceil(m / side) * wide
            steps = k * blocks
            return (2 * side + k - 2) * blocks - 1, steps * side**2, steps, steps, m * wide
        accesses = m * tiles * side**2, tiles * side, m * tiles, m * (2 * tiles - wide)
        if kind == "weight_stationary":
            return m * tiles, *accesses
        port, compute = self.tech.port, m * tiles
        t_in, t_out = m * k * input_bits / port, m * n * input_bits / port
        t_w = k * n * weight_bits / port
        chunk = min(max(t_in, t_w / tiles), t_w)
        spare = compute if chunk >= t_w else max(compute - t_w, 0)
        busy = max(t_in, chunk) + compute + (1 - chunk / t_w) * max(t_w - compute, 0)
        return busy + max(t_out - spare, 0) + 2 * side - 2, *accesses

    def active(self, zeros):
        return {"element": 1 - zeros, "vector": 1 - zeros ** int(self.n), "none": 1.0}[
            self.machine.gating
        ]

    def product(self, p, stage):
        """Cycles, energy of multiplications and of buffers, and streamed bits of one product."""
        d = self.d
        a = d["activation_bits"][stage]
        m, k, n, copies = (self.size(size, stage) for size in p.shape)
        if 0 in (m, k, n, copies):
            return [0.0] * 4
        w, zeros = a, 0.0
        if p.tensor:
            w, zeros = (d[x][self.group[p.tensor]] for x in ("weight_bits", "pruning"))
        prunable = p.kind == "weight"
        took, slots, weights, inputs, sums = self.array(m, k, n, stored(w, zeros), a)
        macs = slots if self.machine.gating == "none" else m * k * n
        spent = self.active(zeros) if prunable else 1.0
        kept = stored(w, zeros) if prunable else w
        buffer = weights * self.word(kept) + inputs * self.word(a)
        buffer += sums * self.word(a) if p.tensor else 0.0
        streamed = k * n * math.ceil(m * k * a / 8 / self.tech.buffer_bytes) * kept
        each = took, macs * spent * self.multiply(w, a), buffer, streamed * prunable
        return [copies * x for x in each]

    def stage(self, stage):
        """Cycles, streamed bits, and switching energy at the nominal supply by component."""
        rows = [self.product(p, stage) for p in self.network.products if p.stage == stage]
        cycles, mac, buffer, streamed = np.sum([[0.0] * 4, *rows], axis=0).tolist()
        tied = {p.tensor for p in self.network.products if p.stage == stage}
        for t in self.network.tensors:
            named = t.role == "embedding" and t.name in tied
            if stage in t.stages and (t.role == "dense" or named):
                streamed += t.elements * self.d["weight_bits"][t.group]
        states = sfu = 0.0
        for v in self.network.vectors:
            if v.stage == stage and v.kind in self.tech.units:
                rows, length, copies = (self.size(size, stage) for size in v.shape)
                per_vector, per_row, interval = self.tech.units[v.kind]
                took = copies * rows * (per_vector * math.ceil(length / self.n) + per_row)
                states, sfu = states + took, sfu + took * interval
        lane = self.machine.silicon.auxiliary_read().of(16 * self.n)
        state = self.n * self.machine.silicon.lane_energy() + lane
        buffer += streamed * self.tech.write_bit
        return cycles, sfu, streamed, {"mac": mac, "buffer": buffer, "sfu": states * state}

    def image(self):
        """Bits of embeddings, of their mask, and of parameters."""
        d, zeros = self.d, self.d["embedding_sparsity"]
        embeddings = mask = parameters = 0.0
        for t in self.network.tensors:
            bits = d["weight_bits"][t.group]
            if t.role == "embedding":
                embeddings += t.elements * stored(bits, zeros) * (d["held"] > 0)
                mask += t.elements * masked(bits, zeros) * (d["held"] > 0)
            elif t.stages[0] > d["held"]:
                continue
            elif t.role == "dense":
                parameters += t.elements * bits
            else:
                parameters += t.elements * stored(bits, d["pruning"][t.group])
        return embeddings, mask, parameters

    def kept(self):
        """Memory row -> bits in it."""
        embeddings, mask, parameters = self.image()
        rows = {self.cell: embeddings}
        if self.single != self.cell:
            rows = {self.cell: embeddings - mask, self.single: mask}
        rows[self.place] = rows.get(self.place, 0.0) + parameters
        return rows

    def power(self):
        """Standby of macros and of banks, area of both, logic [W, m^2]."""
        memory, own, banks, envm, bank_area = self.tech.memory, 0.0, 0.0, 0.0, 0.0
        for row, bits in self.kept().items():
            macros = math.ceil(bits * memory.per_bit[row])
            if memory.core[row]:
                banks += macros * memory.leakage[row] * self.leak
                bank_area += macros * memory.area[row]
                continue
            idle = self.machine.envm.idle == "powered" or memory.volatile[row]
            own += macros * memory.leakage[row] * idle
            envm += macros * memory.area[row]
        return own, banks, envm, bank_area

    def bit_time(self, row):
        memory = self.tech.memory
        return max(self.period, memory.latency[row]) * memory.per_word[row]

    def gated(self, row):
        memory = self.tech.memory
        idle = self.machine.envm.idle == "powered" or memory.volatile[row] or memory.core[row]
        return 0.0 if idle else memory.leakage[row]

    def looked_up(self):
        """Time, energy and gated leakage of reading the embeddings of one input."""
        time = energy = leaked = 0.0
        for t in self.network.tensors:
            bits = self.d["weight_bits"][t.group]
            elements = self.size(t.read, 0)
            zeros = self.d["embedding_sparsity"]
            own = masked(bits, zeros) if self.single != self.cell else 0.0
            for row, wide in ((self.cell, stored(bits, zeros) - own), (self.single, own)):
                took = elements * wide * self.bit_time(row)
                time += took
                energy += elements * wide * self.tech.memory.read[row]
                leaked += took * self.gated(row)
        return time, energy, leaked

    def costs(self, stage):
        """Time of a stage by component [s], and its energy by component [J]."""
        cycles, sfu, streamed, switched = self.stage(stage)
        memory, row = self.tech.memory, self.place
        busy, stream = (cycles + sfu) * self.period, streamed * self.bit_time(row)
        hidden = self.machine.overlap or self.machine.array == "behind_port"
        stall = max(stream - busy, 0.0) if hidden else stream
        reading, lookup, leaked = self.looked_up() if stage == 0 else (0.0, 0.0, 0.0)
        time = {"embedding_read": reading, "matmul": cycles * self.period,
                "sfu": sfu * self.period, "stall": stall}  # fmt: skip
        whole = reading + busy + stall
        own, banks, *_ = self.power()
        area = self.machine.silicon.area(int(self.n))
        logic = self.tech.leakage_density * area * self.leak
        energy = {name: part * self.switching for name, part in switched.items()}
        energy["embedding_read"] = lookup
        core = self.switching if memory.core[row] else 1.0
        energy["weight_read"] = streamed * memory.read[row] * core
        energy["logic_leakage"] = whole * logic
        energy["envm_leakage"] = whole * own + stream * self.gated(row) + leaked
        energy["bank_leakage"] = whole * banks
        if self.machine.supply is not None:
            fed = ["mac", "buffer", "sfu", "logic_leakage", "bank_leakage"]
            fed += ["weight_read"] if memory.core[row] else []
            efficiency = self.machine.supply.efficiency(np.array([self.d["vdd"]]))[0]
            energy["regulator"] = sum(energy[name] for name in fed) * (1 / efficiency - 1)
            pll = self.machine.supply.pll_power(np.array([1 / self.period]))[0]
            energy["clock_generator"] = pll * whole
        return time, energy


CASES = networks().flatmap(
    lambda network: st.tuples(
        st.just(network),
        st.booleans().flatmap(
            lambda apart: st.lists(designs(network, apart), min_size=1, max_size=3)
        ),
    )
)


def close(found, wanted, scale=0.0):
    assert found == pytest.approx(wanted, rel=1e-11, abs=1e-13 * scale)


@MACHINES
@given(CASES)
@settings(max_examples=30, deadline=None)
def test_every_stage_costs_what_the_slow_oracle_says(machine, case):
    network, many = case
    plan, tech = templates(network, apart=True), machine.technology
    asked = demand(plan, tech, knobs_of(machine, many))
    on = rail(tech, np.array([d["vdd"] for d in many]))
    op = operate(asked, tech, on, parts=True)
    area, loaded, kept = areas(asked, tech), power_on(asked, tech, on), retention(asked, tech, on)
    for i, d in enumerate(many):
        slow = Slow(network, machine, d)
        own, banks, envm, bank_area = slow.power()
        close(np.broadcast_to(area["envm"], (len(many),))[i], envm)
        close(np.broadcast_to(area["banks"], (len(many),))[i], bank_area)
        close(np.broadcast_to(kept, (len(many),))[i], own + banks)
        close(loaded["image_bytes"][i], sum(slow.kept().values()) / 8)
        for stage in range(network.layers + 1):
            time, energy = slow.costs(stage)
            whole = sum(energy.values())
            close(op.time[stage, i], sum(time.values()))
            close(op.energy[stage, i], whole)
            for name, part in energy.items():
                close(op.parts[name][stage, i], part, whole)
            for name, part in time.items():
                close(op.times[name][stage, i], part, sum(time.values()))
            if stage:
                close(durations(asked, tech, on, stage)[i], sum(time.values()))


@MACHINES
@given(CASES)
@settings(max_examples=10, deadline=None)
def test_power_on_loads_what_forgets(machine, case):
    network, many = case
    tech, memory = machine.technology, machine.technology.memory
    asked = demand(templates(network, apart=True), tech, knobs_of(machine, many))
    on = rail(tech, np.array([d["vdd"] for d in many]))
    found = power_on(asked, tech, on)
    for i, d in enumerate(many):
        slow = Slow(network, machine, d)
        energy = time = 0.0
        for row, bits in slow.kept().items():
            if memory.volatile[row]:
                scale = slow.switching if memory.core[row] else 1.0
                energy += bits * (memory.read[tech.stores[2]] + memory.write[row] * scale)
                word = max(slow.period, memory.write_latency[row]) * memory.per_word[row]
                time += bits * max(slow.period / 64, word)
        close(np.broadcast_to(found["power_on_energy"], (len(many),))[i], energy)
        close(np.broadcast_to(found["power_on_time"], (len(many),))[i], time)


@MACHINES
@given(networks(), st.data())
@settings(max_examples=10, deadline=None)
def test_one_template_for_all_layers_is_the_sum_of_the_layers(machine, network, data):
    """A network of equal layers: stage 1 as often as there are layers, or each on its own."""
    first = [row for row in network.products if row.stage == 1]
    vectors = [row for row in network.vectors if row.stage == 1]
    layers = data.draw(st.integers(2, 5))
    every = tuple(range(1, layers + 1))
    tied = {row.tensor for row in first}
    tensors = [
        t._replace(
            stages=every if t.role != "embedding" else (0, *every) if t.name in tied else (0,)
        )
        for t in network.tensors
    ]
    same = Workload(
        "same", layers, 20.0, 4.0, tuple(r._replace(stage=s) for s in every for r in first),
        tuple(r._replace(stage=s) for s in every for r in vectors), tuple(tensors),
        (Size(8.0, "tokens"),) * (layers + 1), (), 128.0,
    )  # fmt: skip
    assert alike(same)
    many = [data.draw(designs(same, apart=False)) for _ in range(2)]
    tech, knobs = machine.technology, knobs_of(machine, many)
    single = {"activation_bits", "weight_bits", "pruning", "tokens", "keys", "heads"}
    flat = knobs._replace(**{name: getattr(knobs, name)[0] for name in single})
    on = rail(tech, np.array([d["vdd"] for d in many]))
    short = demand(templates(same), tech, flat)
    whole = demand(templates(same, apart=True), tech, knobs)
    assert short.repeated
    assert not whole.repeated
    depth = np.array([1.0, layers - 0.25])
    share = np.linspace(1.0, 0.2, layers)[:, None] * np.ones(2)
    once, each = (operate(asked, tech, on, parts=True) for asked in (short, whole))
    for a, b in ((once.energy, each.energy), (once.time, each.time)):
        close(by_depth(a, short), by_depth(b, whole))
        close(at_depth(a, short, depth), at_depth(b, whole, depth))
    parts, others = (by_layer(o.parts, asked, share) for o, asked in ((once, short), (each, whole)))
    for name, part in parts.items():
        close(part, others[name], float(np.abs(once.energy).max()))


def test_layers_that_differ_in_work_or_in_what_they_stream_are_not_alike():
    size = Size(4.0)
    base = (Product(1, "p", "weight", size, size, size, tensor="a"),
            Product(2, "p", "weight", size, size, size, tensor="a"))  # fmt: skip
    tensors = (Tensor("a", 16.0, "weight", 0, (1, 2)), Tensor("b", 4.0, "dense", 0, (1, 2)))

    def network(products=base, vectors=(), held=tensors):
        return Workload("two", 2, 1.0, 1.0, products, vectors, held, (size,) * 3, (), 1.0)

    assert alike(network())
    wider = (base[0], base[1]._replace(columns=Size(5.0)))
    assert not alike(network(products=wider))
    assert not alike(network(vectors=(Vector(2, "add", size, size),)))
    for one in ((1,), (2,)):
        assert not alike(network(held=(tensors[0], tensors[1]._replace(stages=one))))
    for layers in (3, 4):
        rows = tuple(base[0]._replace(stage=stage) for stage in range(1, layers + 1))
        held = (tensors[0]._replace(stages=tuple(range(1, layers + 1))),)
        for changed in range(1, layers + 1):
            other = [row._replace(rows=Size(5.0)) if row.stage == changed else row for row in rows]
            cuts = (size,) * (layers + 1)
            deep = Workload("deep", layers, 1.0, 1.0, tuple(other), (), held, cuts, (), 1.0)
            assert not alike(deep)


def test_vector_work_without_a_unit_is_refused_and_fused_activations_are_free():
    size = Size(4.0)

    def network(kind):
        return Workload(
            "one", 1, 1.0, 1.0, (), (Vector(1, kind, size, size),), (), (size,) * 2, (), 1.0
        )

    machine = ArrayChip()
    d = {"side": 16.0, "exponent_bits": 3.0, "activation_bits": 8.0, "weight_bits": 8.0,
         "pruning": 0.0, "embedding_sparsity": 0.0, "tokens": 1.0, "keys": 1.0, "heads": 1.0,
         "held": 1, "cell": "rram", "store": 0}  # fmt: skip
    knobs = knobs_of(machine, [d])
    fused = demand(templates(network("activation:gelu")), machine.technology, knobs)
    assert fused.sfu.tolist() == [[0.0], [0.0]]
    with pytest.raises(ValueError, match=r"vector work 'roll' has no unit.*'add', 'entropy'"):
        demand(templates(network("roll")), machine.technology, knobs)
