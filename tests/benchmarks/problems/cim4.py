"""cim4: a compute-in-memory macro; energy, time, area and error; 453,600 designs, two limits.

The published numbering has 691,200 ids; those that differ only in a dead parameter are one design.
"""

import numpy as np
from problems.enumerable import Analytic, Measured, grey

from dse.core.parameters import Categorical, Integer, Ordinal
from dse.core.problem import Constraint, Objective
from dse.core.space import ActiveWhen, Forbidden, SearchSpace

DEVICES = ("nvm_a", "nvm_b", "fefet", "sram")
MAPPINGS = ("plain", "packed", "duplicated")
COUNTS = (4, 4, 4, 4, 6, 5, 5, 3, 3, 2)
SPACE = SearchSpace(
    (
        Categorical("device", DEVICES),
        Integer("cell_bits", 1, 4, "bit"),
        Ordinal("rows", (64, 128, 256, 512), "1"),
        Ordinal("columns", (64, 128, 256, 512), "1"),
        Integer("adc_bits", 3, 8, "bit"),
        Ordinal("shared", (1, 2, 4, 8, 16), "1"),
        Integer("weight_bits", 4, 8, "bit"),
        Ordinal("dac_bits", (1, 2, 4), "bit"),
        Categorical("mapping", MAPPINGS),
        Integer("verify", 0, 1, "1"),
    ),
    (
        ActiveWhen("cell_bits", "device", DEVICES[:3], 1),
        ActiveWhen("verify", "device", DEVICES[:3], 0),
    ),
    (Forbidden({"device": ("fefet",), "cell_bits": (3, 4)}, "two levels only"),),
)


def canonical_levels(levels):
    """The published canonical form: SRAM has 1 bit and no verify, FeFET at most 2 bits."""
    rows = levels.copy()
    sram, fefet = rows[:, 0] == 3, rows[:, 0] == 2
    rows[sram, 1], rows[sram, 9] = 0, 0
    rows[fefet, 1] = np.minimum(rows[fefet, 1], 1)
    return rows


def _of(columns, values):
    return np.select([columns["device"] == name for name in DEVICES], values)


def analytic(columns):
    """Logarithms of energy [nJ], time [us] and area, and the area."""
    c, r, n_c, b, s, w, q, v = (
        columns[k]
        for k in (
            "cell_bits", "rows", "columns", "adc_bits", "shared", "weight_bits", "dac_bits",
            "verify",
        )
    )  # fmt: skip
    packed = columns["mapping"] == "packed"
    dup = np.where(columns["mapping"] == "duplicated", 2, 1)
    g = _of(columns, (1.0, 0.7, 0.4, 0.25))
    alpha = _of(columns, (12.0, 16.0, 10.0, 160.0))
    k = _of(columns, (1.0, 2.0, 0.3, 0.0))
    n = 256 * np.ceil(w / c)
    n_r = np.ceil(1152 / r)
    arrays = n_r * np.ceil(n / n_c) * dup
    phases = np.ceil(8 / q)
    cycle = 4e-9 * (r / 64) ** 0.35 + s * (0.6 + 0.12 * b) * 1e-9
    time = (196 / dup) * phases * cycle * np.where(packed, 0.8, 1.0)
    adc = 0.027e-12 * 2.0**b + 0.1e-12 * b
    cell = 1.2e-15 * g * q**1.4
    step = n * adc + r * n * cell + 0.05e-12 * r * q**1.7 + 0.0025e-12 * n * w
    energy = 196 * phases * n_r * step + 3e-8 * k * v
    converters = 0.9e-6 * (n_c / s) * (120 + 38 * 2 ** (0.8 * b))
    area = arrays * (1e-8 * alpha * r * n_c + converters + 20e-6 * q * r + 0.001 * np.log2(s + 1))
    return {
        "energy": np.log10(1e9 * energy),
        "time": np.log10(1e6 * time),
        "log_area": np.log10(area),
        "area": area,
    }


def error(columns):
    """Share of wrong answers."""
    c, r, n_c, b, w, q = (
        columns[k] for k in ("cell_bits", "rows", "columns", "adc_bits", "weight_bits", "dac_bits")
    )
    sigma = _of(columns, (0.06, 0.09, 0.045, 0.01)) * np.where(columns["verify"] == 1, 0.45, 1.0)
    g = _of(columns, (1.0, 0.7, 0.4, 0.25))
    clip = np.maximum(0, np.log2(r) + c + q - 1 - b - 2.2)
    nu = 0.5 * sigma * 2.0 ** (c - 1) * np.sqrt(r / 64)
    lost = 0.22 * clip**1.7 + 1.6 * nu**1.5 + 3 * 2 ** (-1.5 * (w - 2.0))
    drop = 0.02 * g * r * n_c / 512**2 * np.where(columns["mapping"] == "packed", 1.6, 1.0)
    return {"error": 0.07 + 0.6 * (1 - np.exp(-lost)) + drop}


UNITS = SPACE.units


def problem():
    return grey(
        SPACE,
        Measured({k: u for k, u in UNITS.items() if k != "shared"}, {"error": "1"}, error),
        Analytic(UNITS, dict.fromkeys(("energy", "time", "log_area", "area"), "1"), analytic),
        tuple(Objective(k, "1") for k in ("energy", "time", "log_area", "error")),
        (Constraint("area", "1", 6.0), Constraint("error", "1", 0.45)),
    )
