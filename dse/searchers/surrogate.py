"""A Gaussian process over mixed knobs, fitted by scikit-learn; the only importer of it."""

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel, WhiteKernel

from dse.parameters import FloatArray

ROWS = 512
"""Rows of a covariance matrix computed at a time: so many stay in the cache."""

STEPS = 40, 15
"""Most steps of the first fit, and of a later one, which goes on from the last parameters."""


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
        low = np.concatenate([np.full(r, 0.05), np.full(r, 1e-5), [1e-5]])
        high = np.concatenate([np.full(r, 20.0), np.full(r, 30.0), [100.0]])
        return Hyperparameter("theta0", "numeric", np.stack([low, high], axis=1), 2 * r + 1)

    def _apart(self, x: FloatArray, y: FloatArray) -> FloatArray:
        apart = np.abs(x[:, None, :] - y[None, :, :])
        apart[..., self.named] = apart[..., self.named] > 0
        return apart

    def __call__(
        self,
        X: FloatArray,
        Y: FloatArray | None = None,
        eval_gradient: bool = False,
    ) -> Any:  # noqa: ANN401  # scikit-learn decides by a flag what comes back
        """Covariances, shape (n, k), and their slopes in the logarithm of each parameter."""
        if not eval_gradient:
            return self._values(X, X if Y is None else Y)
        r = len(self.named)
        length, alone, joint = self.theta0[:r], self.theta0[r:-1], self.theta0[-1]
        d = self._apart(X, X if Y is None else Y) / length
        together = np.sqrt((d**2).sum(axis=-1))
        k_joint = joint * _matern(together)
        k_alone = alone * _matern(d)
        k = k_joint + k_alone.sum(axis=-1)
        gradient = np.empty((*k.shape, 2 * r + 1))
        # dM/dr = -5/3 r (1 + sqrt(5) r) exp(-sqrt(5) r); dr/dlog l_i = -d_i^2 / r.
        gradient[..., :r] = joint * _slope(together)[..., None] * d**2 + alone * _slope(d) * d**2
        gradient[..., r:-1] = k_alone
        gradient[..., -1] = k_joint
        return k, gradient

    def _values(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Covariances alone, shape (n, k): the rows of a pool share few levels of each knob."""
        r = len(self.named)
        length, alone, joint = self.theta0[:r], self.theta0[r:-1], self.theta0[-1]
        tables = []
        for i in range(r):
            levels, place = np.unique(x[:, i], return_inverse=True)
            d = np.abs(levels[:, None] - y[:, i])
            d = (d > 0 if self.named[i] else d) / length[i]
            tables.append((place, d**2, alone[i] * _matern(d)))
        k = np.empty((len(x), len(y)))
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            far, single = np.zeros_like(k[rows]), np.zeros_like(k[rows])
            for place, squared, term in tables:
                far += squared[place[rows]]
                single += term[place[rows]]
            k[rows] = single + joint * _matern(np.sqrt(far))
        return k

    def diag(self, X: FloatArray) -> FloatArray:  # scikit-learn's name
        """Prior variance of each row."""
        return np.full(len(X), self.theta0[len(self.named) :].sum())

    def is_stationary(self) -> bool:
        """Only distances count."""
        return True


def _matern(distance: FloatArray) -> FloatArray:
    s = np.sqrt(5.0) * distance
    return np.asarray((1.0 + s + s**2 / 3.0) * np.exp(-s))


def _slope(distance: FloatArray) -> FloatArray:
    """-dM/dr / r."""
    s = np.sqrt(5.0) * distance
    return np.asarray(5.0 / 3.0 * (1.0 + s) * np.exp(-s))


def _prior(r: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the logarithm of each parameter, before any run.

    Length scales about the range of a knob, variance shared by the knobs, almost no noise: with
    few runs the likelihood alone is sure of too much.
    """
    mean = np.concatenate([np.zeros(r), np.full(r, np.log(1.0 / r)), [np.log(0.5), np.log(1e-4)]])
    spread = np.concatenate([np.full(r, 0.7), np.full(r, 1.0), [1.0, 3.0]])
    return mean, spread


def _fit(
    objective: Any,  # noqa: ANN401
    start: FloatArray,
    bounds: FloatArray,
    *,
    steps: int,
) -> tuple[FloatArray, float]:
    """Most probable parameters: likelihood times prior."""
    mean, spread = _prior((len(start) - 2) // 2)

    def with_prior(theta: FloatArray) -> tuple[float, FloatArray]:
        value, slope = objective(theta)
        z = (theta - mean) / spread
        return value + 0.5 * float(z @ z), slope + z / spread

    found = minimize(
        with_prior, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}
    )
    return found.x, found.fun


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
        with warnings.catch_warnings():
            # A parameter at its bound is no news: the bounds are wide on purpose.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._fitted(x, y, choose=choose or self._theta is None)
        error, deviation = _left_out(self._process)
        self._modesty = max(1.0, float(np.sqrt(((error / deviation) ** 2).mean())))
        self.worth = _worth(error, np.asarray(self._process.y_train_).reshape(error.shape))

    def _fitted(self, x: FloatArray, y: FloatArray, *, choose: bool) -> None:
        if choose:
            scales = [False, True] if (y > 0).all() else [False]
            fits = [(log, *self._likelihood(x, y, log)) for log in scales]
            self._log, self._process, _ = max(fits, key=lambda fit: fit[2])
            self._theta = self._process.kernel_.theta
            return
        self._process = self._regressor(optimised=False).fit(x, self._scaled(y))

    def _likelihood(self, x: FloatArray, y: FloatArray, log: bool) -> tuple[Any, float]:
        z = np.log(y) if log else y
        process = self._regressor(optimised=True).fit(x, z)
        # Densities are compared in units of y: the process sees z standardised.
        spread = np.maximum(z.std(axis=0), 1e-300)
        jacobian = -np.log(spread).sum() * len(y) - (np.log(y).sum() if log else 0.0)
        return process, float(process.log_marginal_likelihood_value_ + jacobian)

    def _regressor(self, *, optimised: bool) -> Any:  # noqa: ANN401
        r = len(self.named)
        start = np.exp(_prior(r)[0][:-1])
        noise = WhiteKernel(1e-4, (1e-7, 0.5))
        kernel = MixedKernel(start, self.named) + noise
        fit = partial(_fit, steps=STEPS[0])
        if self._theta is not None:
            fit = partial(_fit, steps=STEPS[1])
            kernel = kernel.clone_with_theta(self._theta)
        return GaussianProcessRegressor(
            kernel, alpha=1e-9, optimizer=fit if optimised else None, normalize_y=True
        )

    def _scaled(self, y: FloatArray) -> FloatArray:
        return np.log(y) if self._log else y

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation, each shape (n, t), on the scale that `values` undoes."""
        mean, deviation = self._process.predict(x, return_std=True)
        return mean.reshape(len(x), -1), self._modesty * deviation.reshape(len(x), -1)

    def values(self, scaled: FloatArray) -> FloatArray:
        """Numbers of what `predict` gives."""
        return np.exp(scaled) if self._log else scaled


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
