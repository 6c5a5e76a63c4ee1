"""Every voltage table that a study may name prices a design."""

from typing import get_args

import numpy as np
import pytest

from hw_models import Accelerator, EncoderShape, OperatingPoints, shipped
from hw_models.workload import encoder
from search_spaces.joint import DEFAULTS
from studies.joint.system import Settings, priced

LAYERS = 6
SHAPE = EncoderShape(6, 384, 12, 1536, 384, 30522, 512, 2, 2, 6, off_ramp="mean_pool")
TABLES = get_args(Settings.model_fields["voltage_table"].annotation)


def price(table, **knobs):
    model = priced(Settings(voltage_table=table), encoder(SHAPE, 64))
    shares = {f"answered_{i + 1}": 1.0 / LAYERS for i in range(LAYERS)}
    design = {**DEFAULTS, **shares, "split_layer": LAYERS, "offloaded": 0.0, **knobs}
    return model({name: np.array([design[name]]) for name in model.signature.inputs})


def test_the_settings_name_the_shipped_tables():
    assert TABLES == ("dvfs_12nm", "dvfs_silicon_12nm")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("knobs", [{"vdd": 0.65}, {"vdd": 0.8}, {"dvfs": "sentence"}])
def test_a_design_is_priced(table, knobs):
    found = price(table, **knobs)
    for name in ("energy", "latency_p95", "area"):
        assert np.isfinite(found[name][0]), name
        assert found[name][0] > 0, name


@pytest.mark.parametrize("table", TABLES)
def test_at_the_characterised_voltage_switching_costs_the_same_whatever_the_clock(table):
    machine, other = (
        Accelerator(SHAPE, 64, points=OperatingPoints(shipped(name)))
        for name in ("dvfs_12nm", table)
    )
    design = {"pruning_ratio": 0.5, "weight_bits": 8, "envm_cell": "rram", "vdd": 0.8,
              "mean_exit_layer": 3.0, "p95_exit_layer": 5.0}  # fmt: skip
    columns = {name: np.array([value]) for name, value in design.items()}
    ours, theirs = machine.parts(columns), other.parts(columns)
    for part in ("mac", "buffer", "sfu"):
        assert ours["energy"][part][0] == theirs["energy"][part][0]
    clocks = [m.points.at(np.array([0.8]))[0][0] for m in (machine, other)]
    for part in ("matmul", "sfu"):
        cycles = [
            p["latency_p95"][part][0] * f for p, f in zip((ours, theirs), clocks, strict=True)
        ]
        assert cycles[0] == pytest.approx(cycles[1], rel=1e-12)


def test_a_voltage_outside_the_table_is_refused_with_its_range():
    with pytest.raises(ValueError, match=r"vdd = 0\.5 V is outside 0\.62 to 1 V, .*silicon"):
        price("dvfs_silicon_12nm", vdd=0.5)
