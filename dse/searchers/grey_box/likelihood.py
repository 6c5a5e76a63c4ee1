"""How likely runs are under a Gaussian process over mixed knobs, and where that grows."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, get_lapack_funcs

from dse.core.parameters import FloatArray

JITTER = 1e-9
"""Added to the diagonal beside the noise."""


class Likelihood:
    """Minus the logarithm of the density of runs, over the logarithms of the parameters.

    The kernel is that of `MixedKernel` plus noise. A slope is the sum over all pairs of runs of a
    weight times the slope of their covariance. Along a knob few distances occur: the weights are
    summed per distance first, so no array of pairs times parameters is formed.

    Args:
        x: Coordinates of runs, shape (n, r).
        z: Their numbers, each column with mean 0 and deviation 1, shape (n, t).
        named: Which coordinates have no order, shape (r,).
    """

    def __init__(self, x: FloatArray, z: FloatArray, named: NDArray[np.bool_]) -> None:
        self._z = z
        one, other = np.tril_indices(len(x), -1)
        self._pairs = one * len(x) + other  # in the lower triangle, row after row
        apart = np.abs(x[one] - x[other])
        apart[:, named] = apart[:, named] > 0
        found = [np.unique(column, return_inverse=True) for column in apart.T]
        counts = [len(distances) for distances, _ in found]
        # The distances of all knobs in one row, and which of them each pair has along each knob.
        self._squared = np.concatenate([distances for distances, _ in found]) ** 2
        self._knob = np.repeat(np.arange(len(found)), counts)
        starts = np.cumsum([0, *counts[:-1]])
        self._place = np.stack([place for _, place in found]) + starts[:, None]

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value, infinite where there is none, and slopes, shape (2 r + 2,).

        Args:
            theta: Logarithms of length scales (r), shares of variance (r), of the variance of all
                knobs together, and of the noise.
        """
        (n, t), r = self._z.shape, len(self._place)
        alone, (joint, noise) = np.exp(theta[r:-2]), np.exp(theta[-2:])
        squared = self._squared * np.exp(-2.0 * theta[:r])[self._knob]
        each = alone[self._knob] * matern(root := np.sqrt(squared))
        far = np.sqrt(squared[self._place].sum(axis=0))
        bell = joint * matern(far)
        k = np.zeros(n * n)
        k[self._pairs] = each[self._place].sum(axis=0) + bell
        k = k.reshape(n, n)
        k[np.diag_indices(n)] = alone.sum() + joint + noise + JITTER
        try:
            lower = cholesky(k, lower=True, check_finite=False)
        except LinAlgError:
            return np.inf, np.zeros_like(theta)
        alpha = cho_solve((lower, True), self._z, check_finite=False)
        value = 0.5 * (self._z * alpha).sum() + t * np.log(np.diag(lower)).sum()
        weights = alpha @ alpha.T - t * _inverse(lower)
        own, weight = 0.5 * np.trace(weights), weights.ravel()[self._pairs]
        per = self._summed(weight)
        together = joint * self._summed(weight * slope(far))
        stretched = squared * (together + alone[self._knob] * slope(root) * per)
        slopes = np.concatenate(
            [
                np.bincount(self._knob, stretched),
                np.bincount(self._knob, each * per) + alone * own,
                [bell @ weight + joint * own, noise * own],
            ]
        )
        return float(value + 0.5 * n * t * np.log(2.0 * np.pi)), -slopes

    def _summed(self, weight: FloatArray) -> FloatArray:
        """Weights of pairs, shape (p,), summed per distance along each knob."""
        every = np.tile(weight, len(self._place))
        summed = np.bincount(self._place.ravel(), every, len(self._squared))
        return np.asarray(summed, dtype=np.float64)


def _inverse(lower: FloatArray) -> FloatArray:
    """Inverse of what a Cholesky factor stands for; its lower triangle and diagonal only."""
    (potri,) = get_lapack_funcs(("potri",), (lower,))
    return np.asarray(potri(lower, lower=True)[0])


def matern(distance: FloatArray) -> FloatArray:
    """Matern 5/2: (1 + s + s^2 / 3) exp(-s), s = sqrt(5) distance."""
    s = np.sqrt(5.0) * distance
    return np.asarray((1.0 + s + s**2 / 3.0) * np.exp(-s))


def slope(distance: FloatArray) -> FloatArray:
    """-dM/dr / r of `matern`, finite at 0; with dr / dlog l = -r it gives slopes in log l."""
    s = np.sqrt(5.0) * distance
    return np.asarray(5.0 / 3.0 * (1.0 + s) * np.exp(-s))
