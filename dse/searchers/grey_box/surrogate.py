"""Gaussian processes over mixed knobs: likelihood, its slope, and the fit by scikit-learn."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, get_lapack_funcs
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel, WhiteKernel

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


ROWS = 512
"""Rows of a covariance matrix computed at a time: so many stay in the cache."""

STEPS = 40, 15
"""Most steps of the first fit, and of a later one, which goes on from the last parameters."""

FEW = 64
"""Runs with which a first fit of more than these begins."""


class MixedKernel(Kernel):  # type: ignore[misc]  # scikit-learn ships no types
    """Matern 5/2 of all knobs together plus one of each knob alone.

    The distance along a knob without order is 0 or 1. With v and u as shares of variance and l as
    length scales: k = v0 M(|d / l|) + sum_i u_i M(d_i / l_i), M(r) = (1 + s + s^2 / 3) exp(-s),
    s = sqrt(5) r. Sums of one-knob functions are learnt from few runs, the rest by the first term.

    Args:
        theta0: log of l (r values), u (r values) and v0, shape (2 r + 1,).
        named: Which knobs have no order, shape (r,).
    """

    def __init__(self, theta0: FloatArray, named: NDArray[np.bool_]) -> None:
        self.theta0 = theta0
        self.named = named

    @property
    def hyperparameter_theta0(self) -> Hyperparameter:
        """All parameters as one vector; scikit-learn works with its logarithm."""
        r = len(self.named)
        return Hyperparameter("theta0", "numeric", _bounds(r)[:-1], 2 * r + 1)

    def __call__(
        self,
        X: FloatArray,
        Y: FloatArray | None = None,
        eval_gradient: bool = False,
    ) -> FloatArray:
        """Covariances, shape (n, k): the rows of a pool share few levels of each knob."""
        assert not eval_gradient, "Likelihood gives the slopes"
        x, y = X, X if Y is None else Y
        r = len(self.named)
        length, alone, joint = self.theta0[:r], self.theta0[r:-1], self.theta0[-1]
        tables = []
        for i in range(r):
            levels, place = np.unique(x[:, i], return_inverse=True)
            d = np.abs(levels[:, None] - y[:, i])
            d = (d > 0 if self.named[i] else d) / length[i]
            tables.append((place, d**2, alone[i] * matern(d)))
        k = np.empty((len(x), len(y)))
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            far, single = np.zeros_like(k[rows]), np.zeros_like(k[rows])
            for place, squared, term in tables:
                far += squared[place[rows]]
                single += term[place[rows]]
            k[rows] = single + joint * matern(np.sqrt(far))
        return k

    def diag(self, X: FloatArray) -> FloatArray:  # scikit-learn's name
        """Prior variance of each row."""
        return np.full(len(X), self.theta0[len(self.named) :].sum())

    def is_stationary(self) -> bool:
        """Only distances count."""
        return True


def _bounds(r: int) -> FloatArray:
    """Smallest and largest value of each parameter, noise last, shape (2 r + 2, 2); wide."""
    low = np.concatenate([np.full(r, 0.05), np.full(r, 1e-5), [1e-5, 1e-7]])
    high = np.concatenate([np.full(r, 20.0), np.full(r, 30.0), [100.0, 0.5]])
    return np.stack([low, high], axis=1)


def _prior(r: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the logarithm of each parameter, before any run.

    Length scales about the range of a knob, variance shared by the knobs, almost no noise: with
    few runs the likelihood alone is sure of too much.
    """
    mean = np.concatenate([np.zeros(r), np.full(r, np.log(1.0 / r)), [np.log(0.5), np.log(1e-4)]])
    spread = np.concatenate([np.full(r, 0.7), np.full(r, 1.0), [1.0, 3.0]])
    return mean, spread


def _likeliest(
    x: FloatArray, z: FloatArray, named: NDArray[np.bool_], start: FloatArray, steps: int
) -> tuple[FloatArray, float]:
    """Most probable parameters, and the logarithm of likelihood times prior there."""
    r = len(named)
    mean, spread = _prior(r)
    likelihood = Likelihood(x, z, named)

    def with_prior(theta: FloatArray) -> tuple[float, FloatArray]:
        value, slopes = likelihood(theta)
        far = (theta - mean) / spread
        return value + 0.5 * float(far @ far), slopes + far / spread

    found = minimize(
        with_prior,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.log(_bounds(r)),
        options={"maxiter": steps},
    )
    return found.x, -float(found.fun)


@dataclass(eq=False)
class Surrogate:
    """Learns one number, or a curve of numbers, per run. Mutable on purpose: it learns.

    The numbers are learnt as they are or as logarithms, whichever the runs make likelier; noise is
    a parameter of the fit.

    Args:
        named: Which coordinates have no order, shape (r,).
    """

    named: NDArray[np.bool_]
    _process: Any = field(default=None, init=False)
    _theta: FloatArray | None = field(default=None, init=False)
    _log: bool = field(default=False, init=False)
    _modesty: float = field(default=1.0, init=False)
    worth: float = field(default=0.0, init=False)

    def fit(self, x: FloatArray, y: FloatArray, *, choose: bool) -> None:
        """Learn runs at coordinates x, shape (n, r), with numbers y, shape (n, t).

        With `choose`, parameters and scale are fitted anew; without, the last ones are kept.
        """
        if choose or self._theta is None:
            self._choose(x, y)
        self._process = self._regressor().fit(x, self._scaled(y))
        error, deviation = _left_out(self._process)
        self._modesty = max(1.0, float(np.sqrt(((error / deviation) ** 2).mean())))
        self.worth = _worth(error, np.asarray(self._process.y_train_).reshape(error.shape))

    def _choose(self, x: FloatArray, y: FloatArray) -> None:
        """Scale and parameters; of many runs at once, few of them show where to begin."""
        scales = [False, True] if (y > 0).all() else [False]
        if self._theta is None and len(x) > FEW:
            few = np.linspace(0, len(x) - 1, FEW).astype(np.intp)
            self._choose(x[few], y[few])
            scales = [self._log]
        fits = [(log, *self._likelihood(x, y, log)) for log in scales]
        self._log, self._theta, _ = max(fits, key=lambda fit: fit[2])

    def _likelihood(self, x: FloatArray, y: FloatArray, log: bool) -> tuple[FloatArray, float]:
        """Parameters for one scale, and how likely they make the runs, in units of y."""
        z, spread = _standard(np.log(y) if log else y)
        start, steps = self._theta, STEPS[1]
        if start is None:
            start, steps = _prior(x.shape[1])[0], STEPS[0]
        theta, value = _likeliest(x, z, self.named, start, steps)
        jacobian = -np.log(spread).sum() * len(y) - (np.log(y).sum() if log else 0.0)
        return theta, float(value + jacobian)

    def _regressor(self) -> Any:  # noqa: ANN401
        theta = self._theta
        assert theta is not None
        kernel = MixedKernel(np.exp(theta[:-1]), self.named) + WhiteKernel(np.exp(theta[-1]))
        return GaussianProcessRegressor(kernel, alpha=JITTER, optimizer=None, normalize_y=True)

    def _scaled(self, y: FloatArray) -> FloatArray:
        return np.log(y) if self._log else y

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation, each shape (n, t), on the scale that `values` undoes."""
        mean, deviation = self._process.predict(x, return_std=True)
        return mean.reshape(len(x), -1), self._modesty * deviation.reshape(len(x), -1)

    def values(self, scaled: FloatArray) -> FloatArray:
        """Numbers of what `predict` gives."""
        return np.exp(scaled) if self._log else scaled


def _standard(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns with mean 0 and deviation 1, and their deviations; a constant keeps its own scale."""
    spread = z.std(axis=0)
    spread = np.where(spread < 10.0 * np.finfo(np.float64).eps, 1.0, spread)
    return (z - z.mean(axis=0)) / spread, spread


def _left_out(process: Any) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401  # no types
    """Error of each run as foretold by the others, shape (n, t), and its deviation, shape (n, 1).

    error = alpha_i / (K^-1)_ii, deviation = 1 / sqrt((K^-1)_ii) (Rasmussen and Williams, 2006,
    section 5.4.2).
    """
    inverse = cho_solve((process.L_, True), np.eye(len(process.L_)))
    share = np.diag(inverse)[:, None]
    return process.alpha_.reshape(len(inverse), -1) / share, 1.0 / np.sqrt(share)


def _worth(error: FloatArray, y: FloatArray) -> float:
    """1 - (squared errors) / (squared errors of the mean of the others); 1 where y is constant."""
    n = len(y)
    plain = (y - y.mean(axis=0)) * n / max(n - 1, 1)
    total = float((plain**2).sum())
    return 1.0 - float((error**2).sum()) / total if total > 0 else 1.0
