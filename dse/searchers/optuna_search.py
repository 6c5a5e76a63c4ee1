"""Optuna's TPE behind our protocol; the only importer of optuna."""

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dse.parameters import Categorical, FloatArray, Parameter
from dse.searchers.searcher import Answers, check_ask, check_batch, check_tell
from dse.space import SearchSpace

TRIES = 20
"""How often an excluded design is asked again before a random allowed one takes its place."""


class Tpe:
    """Multivariate tree-structured Parzen estimator, as Optuna implements it, in memory.

    Constraints reach Optuna as named constraints; a failed row as a failed trial.

    Args:
        space: What may be chosen; conditions are flattened, so an inactive knob is proposed and
        ignored.
        objectives: Number of losses m.
        constraints: Number of violations c.
        seed: Of the sampler and of the fallback.
        batch: Designs per ask; each is drawn without the answers of the others of its batch.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int,
        constraints: int,
        seed: int,
        batch: int = 10,
    ) -> None:
        check_batch("batch", batch)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._batch = batch
        self._constraints = constraints
        self._distributions = {p.name: _distribution(p) for p in space.parameters}
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        self._study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
        self._trials: list[optuna.Trial] = []
        self._waiting: int | None = None

    def ask(self) -> FloatArray:
        """The next `batch` rows, shape (batch, d)."""
        check_ask(self._waiting)
        rows = [self._one() for _ in range(self._batch)]
        self._waiting = len(rows)
        return np.concatenate(rows)

    def _one(self) -> FloatArray:
        for _ in range(TRIES):
            trial = self._study.ask(self._distributions)
            raw = np.array([[float(trial.params[name]) for name in self._space.names]])
            codes = self._space.canonical(raw)
            if self._space.allowed(codes)[0]:
                self._trials.append(trial)
                return codes
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        codes = self._space.sample(1, self._rng)
        fixed = dict(zip(self._space.names, np.maximum(codes[0], 0.0).tolist(), strict=True))
        self._study.enqueue_trial(
            {
                p.name: fixed[p.name] if p.count is None else int(fixed[p.name])
                for p in self._space.parameters
            }
        )
        self._trials.append(self._study.ask(self._distributions))
        return codes

    def tell(self, answers: Answers) -> None:
        """Hand every row of the batch to Optuna, in order."""
        check_tell(self._waiting, answers)
        for row, trial in enumerate(self._trials):
            if not answers.ok[row]:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            for i in range(self._constraints):
                trial.set_constraint(f"c{i}", float(answers.violations[row, i]))
            self._study.tell(trial, answers.losses[row].tolist())
        self._trials.clear()
        self._waiting = None


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.count is None:
        return FloatDistribution(0.0, 1.0)
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(tuple(range(parameter.count)))
    return IntDistribution(0, parameter.count - 1)
