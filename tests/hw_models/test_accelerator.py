"""Laws of the whole evaluator; no absolute value that rests on an unverified table is asserted."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import (
    Accelerator,
    Datapath,
    Envm,
    OperatingPoints,
    Silicon,
    SparseStore,
    Storage,
    Supply,
    shipped,
)
from hw_models.accelerator import CHUNK
from hw_models.table import Table

CELLS = ("pcm", "rram", "sram", "stt")
STORES = ("envm", "sram", "dram")
DESIGN = st.tuples(
    st.floats(0, 1), st.integers(4, 16), st.sampled_from(CELLS), st.floats(0.5, 0.8),
    st.floats(1, 6), st.floats(1, 6),
)  # fmt: skip


def columns(*designs, **changes):
    batch = {
        name: np.array(values)
        for name, values in zip(Accelerator.inputs, zip(*designs, strict=True), strict=True)
    }
    return batch | {name: np.full(len(designs), value) for name, value in changes.items()}


def typical(**changes):
    return columns((0.5, 8, "rram", 0.7, 3.0, 5.0), **changes)


@pytest.fixture(scope="module", params=STORES)
def accelerator(request, minilm):
    return Accelerator(minilm, 64, storage=Storage(weights=request.param))


@given(st.lists(DESIGN, min_size=1, max_size=9))
def test_a_batch_equals_its_rows(accelerator, designs):
    batch = accelerator(columns(*designs))
    for i, design in enumerate(designs):
        row = accelerator(columns(design))
        assert {name: column[i] for name, column in batch.items()} == {
            name: column[0] for name, column in row.items()
        }


@given(DESIGN)
def test_parts_sum_to_totals_and_none_is_negative(accelerator, design):
    batch = columns(design)
    totals = accelerator(batch)
    assert list(totals) == list(accelerator.signature.outputs)
    for name, parts in accelerator.parts(batch).items():
        assert totals[name][0] == sum(part[0] for part in parts.values())
        assert all(part[0] >= 0 for part in parts.values())
        assert all(part.shape == (1,) for part in parts.values())


@given(DESIGN, st.floats(0, 1))
def test_more_zeros_never_cost_more_and_never_change_cycles(accelerator, design, other):
    few, many = sorted([design[0], other])
    a, b = (accelerator.parts(columns(design, pruning_ratio=s)) for s in (few, many))
    for name in ("matmul", "sfu", "embedding_read"):
        assert a["latency_p95"][name][0] == b["latency_p95"][name][0]
    for name in accelerator.signature.outputs:
        before, after = (sum(part[0] for part in p[name].values()) for p in (a, b))
        assert after <= before * (1 + 1e-12)


@given(DESIGN)
def test_more_bits_never_cost_less(accelerator, design):
    if design[1] == 16:
        return
    fewer = accelerator(columns(design))
    more = accelerator(columns(design, weight_bits=design[1] + 1))
    for name in accelerator.signature.outputs:
        assert fewer[name][0] <= more[name][0] * (1 + 1e-12)


@given(DESIGN, st.floats(0.5, 0.8))
def test_more_voltage_is_never_slower_and_costs_more_switching(accelerator, design, other):
    low, high = sorted([design[3], other])
    a, b = (accelerator.parts(columns(design, vdd=v)) for v in (low, high))
    slow, fast = (sum(part[0] for part in p["latency_p95"].values()) for p in (a, b))
    assert fast <= slow * (1 + 1e-12)
    for name in ("mac", "buffer", "sfu"):
        assert a["energy"][name][0] <= b["energy"][name][0]


@given(DESIGN, st.floats(1, 6))
def test_deeper_costs_more_in_proportion(accelerator, design, other):
    at = {
        depth: accelerator(columns(design, mean_exit_layer=depth, p95_exit_layer=depth))
        for depth in (1.0, other, 6.0)
    }
    for name in ("energy", "latency_p95"):
        first, middle, last = (at[depth][name][0] for depth in (1.0, other, 6.0))
        assert first <= middle * (1 + 1e-12)
        assert middle == pytest.approx(first + (other - 1) / 5 * (last - first), rel=1e-9)


def test_mean_energy_of_sentences_is_the_energy_of_their_mean_depth(accelerator):
    depths = np.array([1.0, 1, 2, 3, 6])
    each = columns(*5 * [(0.5, 8, "stt", 0.6, 1.0, 1.0)]) | {"mean_exit_layer": depths}
    mean = typical(envm_cell="stt", vdd=0.6, mean_exit_layer=depths.mean())
    assert accelerator(each)["energy"].mean() == pytest.approx(accelerator(mean)["energy"][0])


def test_minilm_at_eight_bits_takes_eleven_macros(minilm):
    parts = Accelerator(minilm, 64).parts(typical(pruning_ratio=0.0))
    macro = shipped("envm_nvsim_22nm").at(np.array(["rram"]), "area")[0]
    assert parts["area"]["envm"][0] == 11 * macro[0]
    separate = Accelerator(minilm, 64, storage=Storage(weights="sram")).parts(typical())
    assert separate["area"]["envm"][0] == 6 * macro[0]


@pytest.mark.parametrize("store", STORES)
def test_streaming_before_computing_is_never_faster(minilm, store):
    hidden, exposed = (
        Accelerator(minilm, 64, storage=Storage(weights=store, overlap=o))(typical())
        for o in (True, False)
    )
    assert hidden["latency_p95"][0] < exposed["latency_p95"][0]


@pytest.mark.parametrize("store", STORES)
def test_of_streamed_weights_only_what_computing_does_not_hide_is_waited_for(minilm, store):
    designs = [(p, b, "pcm", 0.8, 3.0, 5.0) for p in (0.0, 0.6, 1.0) for b in (4, 8, 16)]
    hidden, exposed = (
        Accelerator(minilm, 64, Datapath(32), Storage(weights=store, overlap=o)).parts(
            columns(*designs)
        )["latency_p95"]
        for o in (True, False)
    )
    busy, streamed = 5.0 * minilm_layer_time(minilm), exposed["stall"]
    assert (streamed > 1.1 * busy).any()
    assert (streamed < 0.9 * busy).any()
    np.testing.assert_allclose(hidden["stall"], np.maximum(streamed - busy, 0.0), rtol=1e-12)


def minilm_layer_time(minilm):
    """What one layer computes on 32 units at 0.8 V [s], without its weights."""
    deep, deeper = (
        Accelerator(minilm, 64, Datapath(32)).parts(typical(vdd=0.8, p95_exit_layer=depth))
        for depth in (1.0, 2.0)
    )
    return sum((deeper["latency_p95"][n] - deep["latency_p95"][n])[0] for n in ("matmul", "sfu"))


def test_without_idle_power_slower_saves_energy_with_it_slower_wastes(minilm):
    # The published array leakage outweighs the datapath, so it decides the sign of voltage scaling.
    fast, slow = typical(vdd=0.8), typical(vdd=0.5)
    gated = Accelerator(minilm, 64, storage=Storage(Envm(idle="gated")))
    powered = Accelerator(minilm, 64)
    assert gated(slow)["energy"][0] < gated(fast)["energy"][0]
    assert powered(slow)["energy"][0] > powered(fast)["energy"][0]


def test_no_gating_spends_every_slot(minilm):
    mac = [
        Accelerator(minilm, 64, Datapath(zero_gating=g)).parts(typical())["energy"]["mac"][0]
        for g in ("element", "vector", "none")
    ]
    assert mac[0] < mac[1] <= mac[2]


def test_the_larger_array_is_faster_and_larger(albert):
    results = [Accelerator(albert, 128, Datapath(n))(typical()) for n in (2, 4, 8, 16, 32)]
    assert (np.diff([r["latency_p95"][0] for r in results]) < 0).all()
    assert (np.diff([r["area"][0] for r in results]) > 0).all()


def test_bounds_of_the_tables_bound_the_results(minilm):
    def built(bound):
        datapath = Datapath(silicon=Silicon(shipped("datapath_12nm", bound)))
        storage = Storage(Envm(shipped("envm_nvsim_22nm", bound)))
        return Accelerator(minilm, 64, datapath, storage)(typical())

    low, nominal, high = built("low"), built("nominal"), built("high")
    for name in Accelerator.outputs:
        assert low[name][0] <= nominal[name][0] <= high[name][0]


def test_survives_the_trip_to_a_worker(accelerator):
    there = pickle.loads(pickle.dumps(accelerator))
    assert there(typical()) == accelerator(typical())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pruning_ratio", -0.1, "pruning_ratio = -0.1 1 is outside 0 to 1"),
        ("pruning_ratio", np.nan, "pruning_ratio = nan"),
        (
            "weight_bits",
            3,
            "weight_bits = 3.0 bit is outside 4 to 16 bit, sign and 3 exponent bits",
        ),
        ("weight_bits", 7.5, "weight_bits = 7.5 bit is not a whole number"),
        ("envm_cell", "flash", "cell = 'flash' is not one of"),
        ("vdd", 0.85, "vdd = 0.85 V is outside 0.5 to 0.8 V, the range of table 'dvfs_12nm'"),
        ("mean_exit_layer", 0.5, "mean_exit_layer = 0.5 layer is outside 1 to 6 layer"),
        ("p95_exit_layer", 7.0, "p95_exit_layer = 7.0 layer .* the network's depth"),
    ],
)
def test_a_bad_row_is_refused_with_value_limit_and_authority(accelerator, name, value, message):
    batch = columns(*2 * [(0.5, 8, "rram", 0.7, 3.0, 5.0)])
    batch[name] = np.array([batch[name][0], value])
    with pytest.raises(ValueError, match=message):
        accelerator(batch)


def test_missing_or_ragged_columns_are_refused(accelerator):
    batch = typical()
    with pytest.raises(ValueError, match=r"columns \['vdd'\] are missing"):
        accelerator({name: column for name, column in batch.items() if name != "vdd"})
    with pytest.raises(ValueError, match=r"columns must share one shape \(n,\)"):
        accelerator(batch | {"vdd": np.array([0.7, 0.8])})


def test_other_columns_are_not_looked_at(accelerator):
    assert accelerator(typical() | {"colour": np.array(["red", "blue"])}) == accelerator(typical())


def test_a_sequence_beyond_the_positions_is_refused(minilm):
    with pytest.raises(ValueError, match="sequence_length = 513 is outside 1 to 512"):
        Accelerator(minilm, 513)


def test_silicon_and_points_must_agree_on_the_nominal_supply(minilm):
    t = shipped("dvfs_12nm")
    scaled = dict(t.columns) | {"leakage_scale": t.columns["leakage_scale"] / 0.6699}
    points = OperatingPoints(Table("other", t.key, scaled, t.units, t.origin), nominal_vdd=0.7)
    with pytest.raises(ValueError, match=r"nominal_vdd = 0\.7 V of table 'other' is not 0\.8 V"):
        Accelerator(minilm, 64, points=points)


def test_no_rows_in_no_rows_out(accelerator):
    empty = {name: column[:0] for name, column in typical().items()}
    assert all(column.shape == (0,) for column in accelerator(empty).values())


def test_a_batch_longer_than_a_chunk_equals_its_pieces(accelerator):
    n = CHUNK + 3
    rng = np.random.default_rng(0)
    batch = {"pruning_ratio": rng.uniform(0, 1, n), "weight_bits": rng.integers(4, 9, n),
             "envm_cell": rng.choice(np.array(CELLS), n), "vdd": rng.uniform(0.5, 0.8, n),
             "mean_exit_layer": rng.uniform(1, 6, n),
             "p95_exit_layer": np.full(n, 6.0)}  # fmt: skip
    whole = accelerator(batch)
    for rows in (slice(0, 100), slice(CHUNK - 1, None)):
        piece = accelerator({name: column[rows] for name, column in batch.items()})
        for name, column in piece.items():
            assert (column == whole[name][rows]).all()
    with pytest.raises(ValueError, match=r"vdd = 0\.9 V"):
        accelerator(batch | {"vdd": np.append(batch["vdd"][:-1], 0.9)})


@pytest.mark.parametrize("cell", ["rram", "stt"])
def test_published_macros_make_a_larger_and_hungrier_memory(minilm, cell):
    model, silicon = (
        Accelerator(minilm, 64, storage=Storage(Envm(shipped(name)))).parts(typical(envm_cell=cell))
        for name in ("envm_array_22nm", "envm_macro")
    )
    assert silicon["area"]["envm"][0] > 2.9 * model["area"]["envm"][0]
    assert silicon["energy"]["weight_read"][0] > 2.9 * model["energy"]["weight_read"][0]


def test_multi_level_cells_pay_for_mask_and_weights_in_single_level_macros(minilm):
    # The same design with both at risk in the data's cells: fewer macros, cheaper reads.
    table = shipped("envm_array_22nm")
    design = typical(envm_cell="rram_mlc2")
    apart, together = (
        Accelerator(minilm, 64, storage=Storage(Envm(table, mask=mask))).parts(design)
        for mask in ("single_level", "same")
    )
    assert apart["energy"]["weight_read"][0] > together["energy"]["weight_read"][0]
    assert apart["area"]["envm"][0] > together["area"]["envm"][0]
    slc = Accelerator(minilm, 64, storage=Storage(Envm(table))).parts(typical(envm_cell="rram"))
    assert apart["area"]["envm"][0] < slc["area"]["envm"][0]
    assert apart["energy"]["mac"][0] == slc["energy"]["mac"][0]


@given(st.floats(0, 1), st.integers(4, 16), st.sampled_from(["rram_mlc2", "rram_mlc3"]))
@settings(deadline=None, max_examples=30)
def test_the_embeddings_of_a_machine_are_kept_as_in_a_sparse_store(minilm, sparsity, bits, cell):
    table = shipped("envm_array_22nm")
    machine = Accelerator(
        minilm, 64, storage=Storage(Envm(table), "dram", embedding_sparsity=sparsity)
    )
    area = machine.parts(columns((0.5, bits, cell, 0.7, 3.0, 5.0)))["area"]["envm"][0]
    batch = (np.array([cell]), np.array([float(minilm.embedding_parameters)]),
             np.array([sparsity]), np.array([float(bits)]))  # fmt: skip
    assert area == pytest.approx(SparseStore(Envm(table)).keep(*batch).area[0], rel=1e-12)


@given(st.floats(0, 1), st.integers(4, 16), st.sampled_from(["rram_mlc2", "rram_mlc3"]))
@settings(deadline=None, max_examples=30)
def test_weights_beside_multi_level_embeddings_are_read_as_from_single_level_ones(
    minilm, pruning, bits, cell
):
    single, multi = (
        Accelerator(minilm, 64).parts(columns((pruning, bits, name, 0.7, 3.0, 5.0)))
        for name in ("rram", cell)
    )
    assert multi["energy"]["weight_read"][0] == single["energy"]["weight_read"][0]
    assert multi["latency_p95"]["stall"][0] == single["latency_p95"]["stall"][0]
    at_risk = Accelerator(minilm, 64, storage=Storage(Envm(mask="same")))
    risked = at_risk.parts(columns((pruning, bits, cell, 0.7, 3.0, 5.0)))
    assert risked["energy"]["weight_read"][0] < multi["energy"]["weight_read"][0]


@pytest.mark.parametrize("cell", ["rram", "rram_mlc2"])
def test_the_projection_before_the_first_layer_is_computed_read_and_waited_for(albert, cell):
    table = shipped("envm_array_22nm")
    machine = Accelerator(albert, 128, storage=Storage(Envm(table), overlap=False))
    stages = machine.stages(typical(envm_cell=cell, vdd=0.8))
    silicon, eight = machine.datapath.silicon, np.array([8.0])
    mac = silicon.mac_energy(eight, eight, 3, 16)[0]
    assert stages.energy_input["mac"][0] == pytest.approx(mac * 128 * 128 * 768)
    word = table.at(np.array(["rram"]), "read_energy")[0][0]
    words = albert.projection_parameters * 8 / 64
    assert stages.energy_input["weight_read"][0] == pytest.approx(words * word)
    seconds = sum(part[0] for part in stages.time_input.values())
    assert stages.time_input["stall"][0] > 0
    leakage = stages.energy_input["logic_leakage"][0]
    assert leakage == pytest.approx(silicon.leakage(16) * seconds)


def test_a_network_without_projection_streams_nothing_before_its_first_layer(accelerator):
    stages = accelerator.stages(typical())
    assert stages.energy_input["mac"][0] == stages.energy_input["weight_read"][0] == 0
    assert stages.time_input["stall"][0] == stages.time_input["matmul"][0] == 0


@given(DESIGN)
@settings(deadline=None)
def test_regulator_and_clock_generator_are_parts_of_their_own(minilm, design):
    bare, supplied = (Accelerator(minilm, 64, supply=s) for s in (None, Supply()))
    batch = columns(design)
    before, after = bare.parts(batch)["energy"], supplied.parts(batch)["energy"]
    assert list(after) == [*before, "regulator", "clock_generator"]
    assert all(after[name][0] == before[name][0] for name in before)
    load = sum(before[n][0] for n in before if n not in ("embedding_read", "weight_read",
                                                         "envm_leakage"))  # fmt: skip
    efficiency = Supply().efficiency(batch["vdd"])[0]
    assert after["regulator"][0] == pytest.approx(load * (1 / efficiency - 1))
    assert after["clock_generator"][0] > 0
    assert supplied(batch)["energy"][0] == sum(part[0] for part in after.values())
    assert supplied(batch)["latency_p95"][0] == bare(batch)["latency_p95"][0]


def test_behind_a_linear_regulator_a_lower_voltage_saves_less(minilm):
    gated = Storage(Envm(idle="gated"))
    bare, supplied = (Accelerator(minilm, 64, storage=gated, supply=s) for s in (None, Supply()))
    saved = [m(typical(vdd=0.8))["energy"][0] / m(typical(vdd=0.5))["energy"][0]
             for m in (bare, supplied)]  # fmt: skip
    assert 1 < saved[1] < saved[0]
