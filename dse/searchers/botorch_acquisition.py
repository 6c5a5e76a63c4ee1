"""Which candidates BoTorch would try next; the only importer of botorch and gpytorch."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import botorch.acquisition.multi_objective.logei as logei
import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.exceptions.warnings import BotorchWarning, OptimizationWarning
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from botorch.optim.fit import fit_gpytorch_mll_scipy
from botorch.optim.optimize import optimize_acqf_discrete
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import MARGIN, Reference

SAMPLES = 32
"""Sobol samples of the posterior over which an improvement is averaged."""

STEPS = 100
"""Most steps of L-BFGS-B per fit of a Gaussian process."""

NUMBERS = 1 << 18
"""Numbers that one part of a pool may need at a time: samples x candidates x cells x losses."""

NOISE = 1e-4
"""Variance of what a run gives, as a share of the variance over all runs."""

FRONT = {1: 1, 2: 100, 3: 40}
"""Most rows of the front that an improvement is measured against, by number of losses: the space
beyond them is cut into boxes, whose number grows like rows ** (losses / 2)."""

FEWEST = 20
"""The same with more losses."""

Limit: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Samples of all outcomes -> how far beyond a limit they lie."""


def best_of(
    pool: FloatArray,
    x: FloatArray,
    losses: FloatArray,
    violations: FloatArray,
    *,
    q: int,
    seed: int,
) -> NDArray[np.int64]:
    """Rows of a pool worth trying next, shape (k,), k = min(q, p), the best first.

    One Gaussian process per loss and per violation (Matern 5/2, a length scale per coordinate).
    Two or more losses: the logarithm of the noisy expected hypervolume improvement (Daulton et al.,
    2021; Ament et al., 2023) beyond the front known, weighted by the probability of feasibility,
    in the frame of `Reference.of`. One loss: the same of its expected improvement. As long as
    nothing feasible is known: the probability of feasibility. Each row is chosen with those before
    it pending.

    Args:
        pool: Coordinates of candidates, shape (p, r), p >= 1, distinct, in [0, 1].
        x: Coordinates of runs, shape (n, r), n >= 2.
        losses: Of the runs, shape (n, m), smaller is better, finite.
        violations: Of the runs, shape (n, c), feasible at <= 0, finite.
        q: Most rows.
        seed: Of every random number; torch's own generators are left as they were.
    """
    with _aside(seed):
        candidates = torch.from_numpy(pool)
        chosen = _acquisition(Runs(x, losses, violations), seed)
        numbers = SAMPLES * losses.shape[1] * _cells(chosen)
        rows, _ = optimize_acqf_discrete(
            chosen, min(q, len(pool)), candidates, max_batch_size=max(1, NUMBERS // numbers)
        )
        same = (rows[:, None, :] == candidates).all(dim=-1)
        return np.asarray(same.to(torch.int64).argmax(dim=1).numpy(), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """What is known, and the scales on which it is learnt; arguments as of `best_of`."""

    x: FloatArray
    losses: FloatArray
    violations: FloatArray

    @property
    def outcomes(self) -> FloatArray:
        """Losses turned round, so that more is better, beside violations, shape (n, m + c)."""
        return np.concatenate([-self.losses, self.violations], axis=1)

    @property
    def scale(self) -> tuple[FloatArray, FloatArray]:
        """Mean and spread of each outcome; the processes learn (outcome - mean) / spread."""
        y = self.outcomes
        spread = y.std(axis=0)
        constant = spread <= 1e-12 * np.abs(y).max(axis=0)
        return y.mean(axis=0), np.where(constant, 1.0, spread)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Which runs keep all limits, shape (n,)."""
        return np.asarray((self.violations <= 0).all(axis=1))

    @property
    def front(self) -> NDArray[np.int64]:
        """Feasible runs that none dominates, shape (k,), if any is feasible; at most `FRONT`."""
        feasible = np.flatnonzero(self.feasible)
        front = feasible[non_dominated(self.losses[feasible])]
        return front[_far_apart(self.losses[front], FRONT.get(self.losses.shape[1], FEWEST))]


def _far_apart(losses: FloatArray, most: int) -> NDArray[np.int64]:
    """Rows of a front that stand for all: always the one farthest from those taken before it."""
    if len(losses) <= most:
        return np.arange(len(losses))
    frame = Reference.of(losses)
    places = (losses - frame.ideal) / (np.array(frame.nadir) - frame.ideal)
    chosen = [int(places[:, 0].argmin())]
    gap = np.full(len(places), np.inf)
    while len(chosen) < most:
        gap = np.minimum(gap, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(gap.argmax()))
    return np.sort(chosen)


def _fitted(x: FloatArray, y: FloatArray) -> SingleTaskGP:
    """Independent processes for the columns of y, shape (n, o), with the likeliest parameters."""
    inputs, outcomes = torch.from_numpy(x), torch.from_numpy(y)
    kernel = get_covar_module_with_dim_scaled_prior(
        x.shape[1],
        batch_shape=torch.Size([y.shape[1]] if y.shape[1] > 1 else []),
        use_rbf_kernel=False,
    )
    noise = torch.full_like(outcomes, NOISE)
    model = SingleTaskGP(inputs, outcomes, noise, covar_module=kernel, outcome_transform=None)
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    likelihood.train()
    fit_gpytorch_mll_scipy(likelihood, options={"maxiter": STEPS})
    likelihood.eval()
    return model


def _acquisition(runs: Runs, seed: int) -> AcquisitionFunction:
    m, c = runs.losses.shape[1], runs.violations.shape[1]
    mean, spread = runs.scale
    model = _fitted(runs.x, (runs.outcomes - mean) / spread)
    sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed)
    # A violation of 0 lies at -mean / spread.
    limits: list[Limit] = [
        partial(_beyond, m + i, float(-mean[m + i] / spread[m + i])) for i in range(c)
    ]
    if not runs.feasible.any():
        return qLogProbabilityOfFeasibility(model, limits, sampler)
    baseline = torch.from_numpy(runs.x[runs.front])
    if m == 1:
        return qLogNoisyExpectedImprovement(
            model,
            baseline,
            sampler,
            GenericMCObjective(_first),
            constraints=limits or None,
            prune_baseline=False,
        )
    frame = Reference.of(runs.losses[runs.feasible])
    ideal, nadir = -np.array(frame.ideal), -np.array(frame.nadir)
    stretch = spread[:m] / (ideal - nadir)
    shift = (mean[:m] - nadir) / (ideal - nadir)
    return qLogNoisyExpectedHypervolumeImprovement(
        model,
        [-MARGIN] * m,
        baseline,
        sampler,
        GenericMCMultiOutputObjective(
            partial(_in_frame, torch.from_numpy(stretch), torch.from_numpy(shift))
        ),
        limits or None,
    )


def _beyond(place: int, limit: float, samples: torch.Tensor) -> torch.Tensor:
    return samples[..., place] - limit


def _in_frame(
    stretch: torch.Tensor,
    shift: torch.Tensor,
    samples: torch.Tensor,
    X: torch.Tensor | None = None,  # noqa: ARG001  # BoTorch names it
) -> torch.Tensor:
    """Gains between 0, the nadir of the front, and 1, its ideal."""
    return samples[..., : len(stretch)] * stretch + shift


def _first(samples: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG001
    return samples[..., 0]


def _cells(acquisition: AcquisitionFunction) -> int:
    """Boxes into which the space beyond the front is cut, of the sample that needs most."""
    bounds = getattr(acquisition, "cell_lower_bounds", None)
    return 1 if bounds is None else int(bounds.shape[-2])


@contextlib.contextmanager
def _aside(seed: int) -> Iterator[None]:
    """One thread, own random numbers, no notes of rounding; afterwards all is as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), _uncompiled():
            torch.manual_seed(seed)
            # Near-equal runs: a little is added to the diagonal, or the slower way is taken.
            warnings.filterwarnings("ignore", "A not p.d., added jitter", NumericalWarning)
            warnings.filterwarnings("ignore", "Low-rank cholesky updates failed", BotorchWarning)
            # The only feasible run lies on its limit, and is now and then sampled beyond it.
            warnings.filterwarnings("ignore", "When all training points are inf", BotorchWarning)
            # A fit that ends early, at its last step, is good enough for a ranking.
            warnings.filterwarnings("ignore", ".*scipy_minimize", OptimizationWarning)
            yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """Without the C++ part that BoTorch 0.18 would compile for this machine at the first use.

    Its last bits, and so a choice between near equals, would depend on whether there is a compiler.
    """
    own = {"_load_attempted": True, "_C": None}
    before = {name: getattr(logei, name) for name in own if hasattr(logei, name)}
    for name in before:
        setattr(logei, name, own[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(logei, name, value)
