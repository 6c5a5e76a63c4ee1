"""mixp2: a number format per layer; energy and error; 823,543 designs, each its own error run."""

import numpy as np
from problems.enumerable import Analytic, Measured, grey

from dse.core.parameters import Categorical
from dse.core.problem import Objective
from dse.core.space import SearchSpace

FORMATS = tuple(f"level{i}" for i in range(7))
PHI = np.array([0, 6, 2, 4, 3, 5, 1])
NOISE = 2.0 ** -np.array([2.2, 3.6, 5, 7.2, 9, 6.4, 10])
ENERGY = np.array([0.08, 0.14, 0.22, 0.42, 0.7, 0.5, 1.3])
SENSITIVITY = (
    1.001107751, 1.308486314, 0.781356264, 0.448640825, 0.664178921, 0.409637810, 1.055621024,
)  # fmt: skip
MACS = (
    2.234749514, 0.744290464, 0.689157846, 1.341656749, 1.238786418, 1.065291584, 0.572191916,
)  # fmt: skip
COUPLING = (0.454093433, 0.498147617, 0.895950255, 0.713395727, 0.559961306, 0.890064133)
CONVERSION = np.array(
    [
        [0, 0.111716777, 0.082922625, 0.071411765, 0.069687343, 0.044751492, 0.021179403],
        [0.039240214, 0, 0.040060672, 0.056953631, 0.020373424, 0.103004773, 0.035446108],
        [0.046759930, 0.108033215, 0, 0.104715025, 0.083971717, 0.094177095, 0.029149561],
        [0.074114382, 0.070777224, 0.107133938, 0, 0.079818407, 0.025925164, 0.058763180],
        [0.052303635, 0.035019973, 0.101633810, 0.057944617, 0, 0.078999169, 0.080505625],
        [0.083799658, 0.087645024, 0.035078802, 0.064031347, 0.043956396, 0, 0.029670409],
        [0.116782805, 0.041500404, 0.087176516, 0.050042008, 0.107407703, 0.086221474, 0],
    ]
)
NAMES = tuple(f"layer{i}" for i in range(7))
SPACE = SearchSpace(tuple(Categorical(name, FORMATS) for name in NAMES))


def _formats(columns):
    names = [columns[name] for name in NAMES]
    return [PHI[np.array([int(v[5:]) for v in FORMATS])][_level(column)] for column in names]


def _level(column):
    return np.searchsorted(np.array(FORMATS), column)


def energy(columns):
    """Logarithm of the energy of one inference."""
    phi = _formats(columns)
    total = sum(ENERGY[f] * m for f, m in zip(phi, MACS, strict=True))
    for i in range(6):
        total = total + CONVERSION[phi[i], phi[i + 1]] * np.sqrt(MACS[i] * MACS[i + 1])
    return {"energy": np.log10(total)}


def error(columns):
    """Logarithm of the share of wrong answers."""
    phi = _formats(columns)
    n = [NOISE[f] * s for f, s in zip(phi, SENSITIVITY, strict=True)]
    eta = sum(n)
    for i in range(6):
        eta = eta + COUPLING[i] * np.sqrt(n[i] * n[i + 1])
    odd = sum((f == 5).astype(np.int64) for f in phi) % 2
    return {"error": np.log10(0.05 + 0.9 * (1 - np.exp(-1.1 * eta)) + 0.015 * odd)}


def problem():
    units = SPACE.units
    return grey(
        SPACE,
        Measured(units, {"error": "1"}, error),
        Analytic(units, {"energy": "1"}, energy),
        (Objective("energy", "1"), Objective("error", "1")),
    )
