"""Whatever is a column of a chip gives what a machine that is built for it gives."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator, Datapath, EncoderShape, Envm, break_down
from hw_models.cost.kernel import operate
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.systems.early_exit import EarlyExit
from hw_models.table import Table, shipped
from hw_models.workload import Product, Size, Tensor, Workload, encoder

SIZE = st.tuples(st.sampled_from([2, 4, 8, 16, 32]), st.sampled_from([16, 64, 128]),
                 st.floats(0, 1), st.sampled_from(["rram", "stt", "pcm"]))  # fmt: skip


SEARCHED = ("pruning_ratio", "weight_bits", "envm_cell", "vdd", "mac_width", "sequence_length")


def sized(shape):
    return EarlyExit(Chip(ArrayChip(), encoder(shape, 64), SEARCHED))


def batch(*designs):
    width, length, pruning, cell = (np.array(c) for c in zip(*designs, strict=True))
    n = len(width)
    return {"pruning_ratio": pruning, "weight_bits": np.full(n, 8), "envm_cell": cell,
            "vdd": np.full(n, 0.7), "mean_exit_layer": np.full(n, 3.0),
            "p95_exit_layer": np.full(n, 5.0), "mac_width": width,
            "sequence_length": length}  # fmt: skip


@given(st.lists(SIZE, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_each_row_is_priced_by_its_own_machine(minilm, designs):
    together = sized(minilm)(batch(*designs))
    for i, design in enumerate(designs):
        machine = Accelerator(minilm, design[1], Datapath(design[0]))
        for name, column in machine(batch(design)).items():
            assert column[0] == pytest.approx(together[name][i], rel=1e-12)


@given(SIZE, st.sampled_from([16, 64, 128]))
@settings(max_examples=30, deadline=None)
def test_longer_sentences_never_cost_less(minilm, design, other):
    short, long = sorted([design[1], other])
    width, _, pruning, cell = design
    result = sized(minilm)(batch((width, short, pruning, cell), (width, long, pruning, cell)))
    for name in ("energy", "latency_p95"):
        assert result[name][0] <= result[name][1]
    assert result["area"][0] == result["area"][1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("mac_width", 12, "mac_width = 12 is not one of"),
     ("mac_width", 2.5, r"mac_width = 2\.5 1 is not a whole number"),
     ("sequence_length", 513, "sequence_length = 513.0 token is outside 1 to 512 token")],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(minilm, name, value, message):
    machine = sized(minilm)
    with pytest.raises(ValueError, match=message):
        machine(batch((16, 64, 0.5, "rram")) | {name: np.array([value])})


def test_it_travels_and_keeps_spans_and_evidence(minilm):
    machine = sized(minilm)
    columns = batch((16, 64, 0.5, "rram"))
    assert pickle.loads(pickle.dumps(machine))(columns) == machine(columns)
    alone = Accelerator(minilm, 64).signature.evidence
    assert {name: machine.signature.evidence[name] for name in alone} == alone
    empty = {name: column[:0] for name, column in columns.items()}
    assert all(column.shape == (0,) for column in machine(empty).values())


B12 = EncoderShape(12, 768, 12, 3072, 768, 30522, 512, 2, 2, 12, "mean_pool")


def columns(n, **changes):
    rng = np.random.default_rng(3)
    drawn = {"pruning_ratio": rng.uniform(0, 0.9, n), "weight_bits": rng.integers(4, 9, n),
             "envm_cell": rng.choice(["rram", "stt", "rram_mlc2", "sram"], n),
             "vdd": rng.choice([0.5, 0.65, 0.8], n)}  # fmt: skip
    return drawn | changes


@pytest.mark.parametrize("name", ["weight_bits", "pruning_ratio", "activation_bits",
                                  "attention_span", "sequence_length"])  # fmt: skip
def test_the_same_value_for_every_group_or_stage_is_one_value_for_all(minilm, name):
    searched = {*Chip(ArrayChip(), encoder(minilm, 64)).searched, name}
    chip = Chip(ArrayChip(), encoder(minilm, 64), tuple(searched))
    n = 5
    one = columns(n, activation_bits=np.full(n, 8), attention_span=np.full(n, 16),
                  sequence_length=np.full(n, 48))  # fmt: skip
    many = one | {name: np.repeat(one[name][np.newaxis], 7, axis=0)}
    limit = np.full(n, 1.0)
    alone, each = (chip.depths(c, limit, limit) for c in (one, many))
    for field in ("energy", "latency", "area", "retention"):
        np.testing.assert_allclose(getattr(each, field), getattr(alone, field), rtol=1e-12)
    for output, values in alone.extra.items():
        np.testing.assert_allclose(each.extra[output], values, rtol=1e-12)


@given(st.lists(st.integers(4, 16), min_size=7, max_size=7), st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_a_layer_costs_what_its_own_width_makes_it_cost(minilm, widths, layer):
    # Parameters off the chip and embeddings that remember: no layer moves the standby of another.
    chip = Chip(ArrayChip(envm=Envm(idle="gated")), encoder(minilm, 64),
                ("weight_bits",), {"weight_store": "dram"})  # fmt: skip
    wide = np.array(widths, dtype=float)[:, np.newaxis]
    limit = np.ones(1)
    mixed = chip.depths({"weight_bits": wide}, limit, limit)
    plain = chip.depths({"weight_bits": wide[layer]}, limit, limit)
    for field in ("energy", "latency"):
        costs, alone = (np.diff(getattr(x, field)[:, 0], prepend=0) for x in (mixed, plain))
        assert costs[layer] == pytest.approx(alone[layer], rel=1e-9)


def test_knobs_by_layer_say_how_many_rows_the_network_has(minilm):
    chip = Chip(ArrayChip(), encoder(minilm, 64), ("weight_bits", "attention_span"))
    with pytest.raises(ValueError, match="weight_bits has 6 rows; the network has 7 groups"):
        chip.design({"weight_bits": np.full((6, 2), 8), "attention_span": np.full(2, 8)})
    with pytest.raises(ValueError, match="attention_span has 3 rows; the network has 7 stages"):
        chip.design({"weight_bits": np.full(2, 8), "attention_span": np.full((3, 2), 8)})
    with pytest.raises(ValueError, match=r"columns must share one shape \(n,\)"):
        chip.design({"weight_bits": np.full((7, 3), 8), "attention_span": np.full(2, 8)})


def test_what_is_no_knob_or_both_is_refused(minilm):
    network = encoder(minilm, 64)
    with pytest.raises(ValueError, match=r"searched = \['colour'\] are no knobs of a chip"):
        Chip(ArrayChip(), network, ("colour",))
    with pytest.raises(ValueError, match=r"fixed = \['colour'\] are no knobs of a chip"):
        Chip(ArrayChip(), network, fixed={"colour": 1.0})
    with pytest.raises(ValueError, match=r"\['vdd'\] are searched and fixed"):
        Chip(ArrayChip(), network, ("vdd",), {"vdd": 0.8})
    with pytest.raises(ValueError, match=r"exponent_bits = 6\.0 bit is outside 1 to 5 bit"):
        Chip(ArrayChip(), network, ("vdd",), {"exponent_bits": 6})
    with pytest.raises(ValueError, match="split_layer is no knob of a chip alone"):
        EarlyExit(Chip(ArrayChip(), network, ("split_layer",)))
    narrow = Chip(ArrayChip(), network, ("exponent_bits", "weight_bits"))
    with pytest.raises(
        ValueError, match=r"weight_bits = 5\.0 bit is outside 6 to 16 bit, sign and"
    ):
        narrow.design({"exponent_bits": np.array([2, 5]), "weight_bits": np.array([5, 5])})
    stored = Chip(ArrayChip(), network, ("weight_store",))
    with pytest.raises(ValueError, match=r"weight_store = 'flash' is not one of \['envm', 'sram'"):
        stored.design({"weight_store": np.array(["sram", "flash"])})


def test_a_mean_depth_says_nothing_of_layers_that_differ(minilm):
    chip = EarlyExit(Chip(ArrayChip(), encoder(minilm, 64), ("weight_bits",)))
    bits = np.array([[8.0], [8], [8], [8], [4], [4], [4]])
    depths = {"mean_exit_layer": np.array([3.0]), "p95_exit_layer": np.array([6.0])}
    with pytest.raises(ValueError, match="mean_exit_layer says what sentences cost only where"):
        chip({"weight_bits": bits} | depths)
    whole = depths | {"mean_exit_layer": np.array([6.0])}
    found = chip({"weight_bits": bits} | whole)
    for name, parts in chip.parts({"weight_bits": bits} | whole).items():
        assert found[name][0] == pytest.approx(sum(part[0] for part in parts.values()), rel=1e-12)


@given(st.lists(st.integers(4, 8), min_size=5, max_size=5), st.integers(1, 4),
       st.floats(1e-4, 2e-2), st.booleans())  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_sentences_on_layers_that_differ_take_the_lowest_supply_in_time(
    minilm, widths, early, deadline, by_layer
):
    shape = replace(minilm, layers=4, groups=4)
    bits = np.array(widths if by_layer else widths[:1] * 5, dtype=float)[:, np.newaxis]
    chip = Chip(ArrayChip(envm=Envm(idle="gated")), encoder(shape, 64),
                ("weight_bits", "vdd", "dvfs", "predict_layer"))  # fmt: skip
    asked = {"weight_bits": bits, "vdd": np.array([0.8]), "dvfs": np.array(["sentence"]),
             "predict_layer": np.array([early])}  # fmt: skip
    limit = np.array([deadline])
    found = chip.depths(asked, limit, limit)
    supplies = chip.machine.points.table.columns["vdd"]
    tech = chip.machine.technology

    def stages(vdd):
        one = chip.design(asked | {"vdd": np.array([vdd])})
        done = operate(chip.demand(one), tech, chip.on(one.vdd))
        rows = slice(None) if len(done.time) == 5 else [0, 1, 1, 1, 1]
        return done.time[rows, 0], done.energy[rows, 0]

    time, energy = stages(0.8)
    for layer in range(1, 5):
        first = min(early, layer)
        begun, spent = time[: first + 1].sum(), energy[: first + 1].sum()
        if layer > early:
            for vdd in supplies:
                slow, less = stages(vdd)
                settling = chip.settling.switching_time(np.array([0.8]), np.array([vdd]))[0]
                late = slow[first + 1 : layer + 1].sum()
                if begun + settling + late <= deadline * (1 + 1e-12) or vdd == supplies[-1]:
                    break
            begun += settling + late
            spent += less[first + 1 : layer + 1].sum()
        assert found.latency[layer, 0] == pytest.approx(begun, rel=1e-11)
        assert found.energy[layer, 0] == pytest.approx(spent, rel=1e-11)
    assert found.latency_sent[0] == found.latency[4, 0]
    whole = np.zeros((5, 1))
    whole[4] = 1.0
    parts = chip.by_layer(asked, {"kept": (limit, whole)})
    assert sum(part.sum() for part in parts.values()) == pytest.approx(found.energy[4, 0])


def test_a_device_that_holds_no_layer_costs_nothing_and_fewer_layers_are_a_shorter_network(minilm):
    searched = ("pruning_ratio", "weight_bits", "envm_cell", "vdd", "split_layer", "weight_store")
    network = encoder(minilm, 64)
    chip, n = Chip(ArrayChip(), network, searched), 7
    asked = columns(n, split_layer=np.arange(n), weight_store=np.resize(["envm", "sram"], n))
    limit = np.ones(n)
    found = chip.depths(asked, limit, limit)
    assert found.area[0] == found.energy_sent[0] == found.latency_sent[0] == 0.0
    assert [values[0] for values in found.extra.values()] == [0.0, 0.0, 0.0]
    for layers in range(1, n):
        short = Chip(
            ArrayChip(), network.up_to(layers), tuple(x for x in searched if x != "split_layer")
        )
        row = {name: column[layers : layers + 1] for name, column in asked.items()}
        alone = short.depths(row, limit[:1], limit[:1])
        assert found.area[layers] == pytest.approx(alone.area[0], rel=1e-12)
        np.testing.assert_allclose(
            found.energy[1 : layers + 1, layers], alone.energy[1:, 0], rtol=1e-12
        )
        assert found.energy_sent[layers] == found.energy[layers, layers]
        assert found.latency_sent[layers] == pytest.approx(alone.latency[-1, 0], rel=1e-12)
        for name, values in alone.extra.items():
            assert found.extra[name][layers] == pytest.approx(values[0], rel=1e-12)


def test_a_batch_by_layer_equals_its_rows_and_memory_follows_the_piece():
    chip = Chip(ArrayChip(), encoder(B12, 64), ("weight_bits", "pruning_ratio", "vdd"))
    rng, n = np.random.default_rng(0), 50
    batch = {"weight_bits": rng.integers(4, 9, (13, n)), "pruning_ratio": rng.random((13, n)),
             "vdd": rng.choice([0.5, 0.7, 0.8], n)}  # fmt: skip
    limit = np.ones(n)
    whole = chip.depths(batch, limit, limit)
    for i in (0, 17, 49):
        row = chip.depths({k: v[..., i : i + 1] for k, v in batch.items()}, limit[:1], limit[:1])
        assert (row.energy[:, 0] == whole.energy[:, i]).all()
        assert (row.latency[:, 0] == whole.latency[:, i]).all()


def test_a_chip_travels_and_forgets_nothing(minilm):
    chip = EarlyExit(Chip(ArrayChip(array="output_stationary"), encoder(minilm, 64)))
    asked = columns(3, mean_exit_layer=np.full(3, 2.5), p95_exit_layer=np.full(3, 6.0))
    there = pickle.loads(pickle.dumps(chip))
    assert all((there(asked)[name] == values).all() for name, values in chip(asked).items())


def test_a_memory_that_forgets_and_says_nothing_of_writing_has_no_power_on(minilm):
    table = shipped("envm_nvsim_22nm")
    columns_of = {n: c for n, c in table.columns.items() if not n.startswith("write")}
    bare = Table("bare", table.key, columns_of, table.units, table.origin)
    chip = EarlyExit(Chip(ArrayChip(envm=Envm(bare)), encoder(minilm, 64)))
    depths = {"mean_exit_layer": np.full(2, 2.0), "p95_exit_layer": np.full(2, 6.0)}
    remembers = chip(columns(2, envm_cell=np.array(["rram", "stt"])) | depths)
    assert remembers["power_on_energy"].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"memory 'sram' forgets .* no write_energy"):
        chip(columns(2, envm_cell=np.array(["rram", "sram"])) | depths)


def test_constants_are_checked_when_a_chip_is_made(minilm):
    network = encoder(minilm, 64)
    for fixed, message in (
        ({"weight_store": "flash"}, r"weight_store = 'flash' is not one of"),
        ({"envm_cell": "flash"}, r"cell = 'flash' is not one of"),
        ({"vdd": 5.0}, r"vdd = 5\.0 V is outside 0\.5 to 0\.8 V"),
        ({"weight_bits": 2.5}, r"weight_bits = 2\.5 bit is outside 4 to 16 bit"),
        ({"dvfs": "always"}, r"dvfs = 'always' is not one of \['fixed', 'sentence'\]"),
        ({"mac_width": "16"}, r"mac_width = .*'16'.* is no number \[1\]"),
        ({"weight_bits": np.full(7, 8.0)}, r"fixed weight_bits = .* is not one value"),
        ({"attention_span": 0.6}, r"attention_span = 0\.6 token is not a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            Chip(ArrayChip(), network, ("pruning_ratio",), fixed)  # type: ignore[arg-type]


def test_a_chip_without_a_searched_knob_prices_depths(minilm):
    chip = EarlyExit(Chip(ArrayChip(), encoder(minilm, 64), ()))
    depths = {"mean_exit_layer": np.array([1.0, 3.5]), "p95_exit_layer": np.array([2.0, 6.0])}
    found, parts = chip(depths), chip.parts(depths)
    assert found["energy"][0] < found["energy"][1]
    assert found["area"][0] == found["area"][1] == sum(part[0] for part in parts["area"].values())
    whole = break_down(chip, depths, np.ones((6, 2)))
    assert all(part.shape == (7, 2) for part in whole.energy.values())


def test_a_tied_head_streams_the_table_that_it_multiplies_with():
    size, wide = Size(64.0), Size(1000.0)

    def network(role, kind):
        table = Tensor("table", 64_000.0, role, 0, (0, 1), Size(64.0))
        head = Product(1, "head", kind, Size(1.0), size, wide, tensor="table")
        return Workload("head", 1, 1.0, 1.0, (head,), (), (table,), (size, wide), (), 1.0)

    limit = np.ones(1)
    dense, tied = (
        Chip(ArrayChip(), network(role, "dense"), ("vdd",), {"weight_store": "dram"}).by_layer(
            {"vdd": np.array([0.8])}, {"kept": (limit, np.array([[0.0], [1.0]]))}
        )
        for role in ("dense", "embedding")
    )
    assert tied["weight_read"][1] == dense["weight_read"][1] == 64_000 * 8 * 8e-12
    with pytest.raises(ValueError, match=r"kind 'weight' and names tensor 'table' of role 'dense'"):
        network("dense", "weight")
