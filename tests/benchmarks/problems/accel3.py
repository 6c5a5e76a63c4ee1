"""accel3: a systolic accelerator; energy, time and error; 544,320 designs, 1,260 error runs.

accel10 is the same accelerator with ten knobs, for exhaustive search: 928,972,800 designs.
"""

import numpy as np
from problems.enumerable import Analytic, Measured, grey

from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.problem import Objective, Problem
from dse.core.space import SearchSpace

LAYERS = (
    (64, 147, 12544),
    (64, 576, 3136),
    (128, 1152, 784),
    (256, 2304, 196),
    (512, 4608, 49),
    (1000, 512, 1),
)
FLOWS = ("weight", "output", "row")
SPACE = SearchSpace(
    (
        Ordinal("rows", (8, 16, 24, 32, 48, 64), "1"),
        Ordinal("columns", (8, 16, 24, 32, 48, 64), "1"),
        Ordinal("sram", (32, 64, 128, 256, 512, 1024), "KiB"),
        Categorical("flow", FLOWS),
        Integer("weight_bits", 2, 8, "bit"),
        Ordinal("activation_bits", (3, 4, 5, 6, 8), "bit"),
        Ordinal("vdd", (0.55, 0.6, 0.7, 0.8, 0.9, 1.0), "V"),
        Ordinal("batch", (1, 2, 4, 8), "1"),
    )
)


def energy_and_time(columns, keep=1.0, byte_energy=80e-12, bandwidth=16e9):
    """Joules per inference and seconds per batch; `keep` is the share of weights not pruned."""
    r, c, s = columns["rows"], columns["columns"], columns["sram"]
    w, a, v, b = (columns[k] for k in ("weight_bits", "activation_bits", "vdd", "batch"))
    weight, output = columns["flow"] == "weight", columns["flow"] == "output"
    f = 2e9 * (v - 0.35) / v**0.6
    reuse = np.where(weight, c, np.where(output, r, (r + c) / 2))
    per_mac = 0.05 + 0.004 * w * a + (0.3 + 0.02 * np.sqrt(s)) * (w + a) / (4 * reuse)
    energy, time = 0.0, 0.0
    for k, q, p0 in LAYERS:
        p = b * p0
        macs = k * q * p
        u = np.where(weight, q, np.where(output, p, q / 3))
        x = np.where(weight, k, np.where(output, k, p))
        wb, ib, ob = keep * k * q * w / 8, q * p * a / 72, k * p * a / 8
        tile = np.clip(np.where(output, ob, wb) / (512 * s), 1, 8)
        dram = np.where(
            weight,
            wb + tile * ib + ob,
            np.where(output, tile * wb + ib + ob, tile**0.6 * (wb + ib) + ob),
        )
        compute = macs * keep * np.ceil(u / r) * np.ceil(x / c) / (u * x * f)
        memory = dram / bandwidth
        time = time + np.maximum(compute, memory) + 0.15 * np.minimum(compute, memory)
        energy = energy + 1e-12 * v**2 * macs * keep * per_mac + byte_energy * dram
    leakage = (6e-5 * r * c + 8e-5 * s) * v**2 * time / b
    return energy / b + leakage, time


def quantisation(w, a):
    """Error that narrow numbers cause."""
    narrow = 0.55 * 2 ** (-1.55 * (w - 1.2)) + 0.9 * 2 ** (-1.3 * (a - 1.5))
    return 0.08 + 0.9 * (1 - np.exp(-2.2 * narrow))


def error(columns):
    """Share of wrong answers."""
    w, a, v, s = (columns[k] for k in ("weight_bits", "activation_bits", "vdd", "sram"))
    upset = 0.35 * np.exp(-38 * (v - 0.5)) * (1 + 0.5 * np.log2(s / 32))
    return {"error": quantisation(w, a) + upset + 0.002 * np.abs(w - a)}


def analytic(columns):
    """Logarithms of energy [mJ] and time [ms]."""
    energy, time = energy_and_time(columns)
    return {"energy": np.log10(1000 * energy), "time": np.log10(1000 * time)}


UNITS = SPACE.units
SIGNATURE = ("sram", "weight_bits", "activation_bits", "vdd")
OBJECTIVES = (Objective("energy", "1"), Objective("time", "1"), Objective("error", "1"))


def problem():
    return grey(
        SPACE,
        Measured({k: UNITS[k] for k in SIGNATURE}, {"error": "1"}, error),
        Analytic(UNITS, {"energy": "1", "time": "1"}, analytic),
        OBJECTIVES,
    )


SPACE10 = SearchSpace(
    (
        Integer("rows", 4, 64, "1", step=4),
        Integer("columns", 4, 64, "1", step=4),
        Ordinal("sram", tuple(2.0 ** (i + 4) for i in range(10)), "KiB"),
        Categorical("flow", FLOWS),
        Integer("weight_bits", 2, 8, "bit"),
        Integer("activation_bits", 3, 8, "bit"),
        Ordinal("vdd", tuple(0.55 + 0.05 * i for i in range(10)), "V"),
        Ordinal("batch", tuple(2.0**i for i in range(6)), "1"),
        Integer("sparsity", 0, 7, "1"),
        Integer("bus", 0, 5, "1"),
    )
)


def all_closed(columns):
    """Everything of accel10: energy [J], time [s] and error."""
    bus, p = columns["bus"], columns["sparsity"]
    energy, time = energy_and_time(columns, 1 - 0.08 * p, (60 + 6 * bus) * 1e-12, 4e9 * (bus + 1))
    w, a, v = columns["weight_bits"], columns["activation_bits"], columns["vdd"]
    upset = 0.35 * np.exp(-38 * (v - 0.5))
    wrong = quantisation(w, a) + upset + 0.004 * p**2
    return {"energy": energy, "time": time, "error": wrong}


def problem10():
    outputs = {"energy": "1", "time": "1", "error": "1"}
    return Problem(SPACE10, Analytic(SPACE10.units, outputs, all_closed), OBJECTIVES)
