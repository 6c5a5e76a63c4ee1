"""How often a multi-level cell reads as its neighbour: Gaussian levels, optimal thresholds.

    threshold t between levels i < j: density_i(t) = density_j(t), between the means
    P(level i misread) = Phi((t_below - m_i)/s_i) + 1 - Phi((t_above - m_i)/s_i)

Method and level distributions: NVMExplorer (arXiv 2109.01188), fault injection. A fault moves a
cell by one level; which bits that flips depends on the code and is the fault injector's matter.
"""

import math

import numpy as np

from hw_models.columns import FloatArray
from hw_models.table import Table


def level_faults(mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Probability that each level is read as a neighbour [1], shape (k,).

    Args:
        mean: Centres of the levels, strictly increasing, shape (k,), k at least 2.
        deviation: Their standard deviations, positive, shape (k,).

    Raises:
        ValueError: If the levels are not ordered or a deviation is not positive.
    """
    down, up = level_misreads(mean, deviation)
    return np.asarray(down + up)


def level_misreads(mean: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Probabilities that each level is read as its lower and as its upper neighbour [1].

    Args:
        mean: Centres of the levels, strictly increasing, shape (k,), k at least 2.
        deviation: Their standard deviations, positive, shape (k,).

    Returns:
        Down and up, each of shape (k,); the lowest level has no lower neighbour, the highest no
        upper one.

    Raises:
        ValueError: If the levels are not ordered or a deviation is not positive.
    """
    if len(mean) < 2 or not (mean[:-1] < mean[1:]).all():
        raise ValueError(f"mean = {mean.tolist()} must hold at least two increasing levels")
    if not (deviation > 0).all():
        raise ValueError(f"deviation = {deviation.tolist()} must be positive")
    lower, upper = np.zeros(len(mean)), np.zeros(len(mean))
    for i in range(len(mean) - 1):
        low, high = float(deviation[i]), float(deviation[i + 1])
        t = _crossing(float(mean[i]), low, float(mean[i + 1]), high)
        upper[i] = _tail((t - mean[i]) / low)
        lower[i + 1] = _tail((mean[i + 1] - t) / high)
    return lower, upper


def fault_rate(levels: Table, cell_bits: int) -> float:
    """Mean fault probability of one cell with all levels equally likely [1].

    Args:
        levels: Columns cell_bits, mean, deviation.
        cell_bits: Bits stored in a cell [bit].

    Raises:
        ValueError: If the table has no levels for so many bits.
    """
    rows = levels.columns["cell_bits"] == cell_bits
    if not rows.any():
        known = sorted({int(bits) for bits in levels.columns["cell_bits"]})
        raise ValueError(f"cell_bits = {cell_bits} is not one of {known}, table '{levels.name}'")
    faults = level_faults(levels.columns["mean"][rows], levels.columns["deviation"][rows])
    return float(faults.mean())


def value_faults(
    bits: FloatArray, cell_bits: FloatArray, rate: FloatArray, rest_rate: FloatArray
) -> FloatArray:
    """Probability that a value has a faulty cell [1], shape (n,).

    A value fills whole cells; the bits left over go to one cell with fewer levels (8 bits at 3 per
    cell are 3 + 3 + 2).

    Args:
        bits: Width of a value [bit], shape (n,).
        cell_bits: Bits of a full cell [bit], shape (n,).
        rate: Fault rate of a full cell [1], shape (n,).
        rest_rate: Fault rate of the last, partly used cell [1], shape (n,).
    """
    full = np.floor(bits / cell_bits)
    rest = bits - full * cell_bits > 0
    sound = full * np.log1p(-rate) + np.where(rest, np.log1p(-rest_rate), 0.0)
    return np.asarray(-np.expm1(sound), dtype=np.float64)


def _crossing(m1: float, s1: float, m2: float, s2: float) -> float:
    """Where two normal densities cross between their means."""
    a = 1 / s2**2 - 1 / s1**2
    b = 2 * (m1 / s1**2 - m2 / s2**2)
    c = m2**2 / s2**2 - m1**2 / s1**2 + 2 * math.log(s2 / s1)
    if abs(a) < 1e-12 / s1**2:
        return -c / b
    root = math.sqrt(b * b - 4 * a * c)
    crossings = ((-b + root) / (2 * a), (-b - root) / (2 * a))
    inside = [t for t in crossings if m1 <= t <= m2]
    if not inside:
        raise ValueError(f"levels at {m1:g} and {m2:g} overlap: their densities cross outside")
    return inside[0]


def _tail(sigmas: float) -> float:
    return 0.5 * math.erfc(sigmas / math.sqrt(2.0))
