"""Optuna's samplers behind our protocol, in memory; the only importer of optuna."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from dse.core.parameters import Categorical, FloatArray, Parameter
from dse.core.problem import Problem
from dse.pareto.dominance import non_dominated
from dse.searchers.deduplication import Unseen
from dse.searchers.searcher import Answers, BatchSearcher

TRIES = {"tpe": 5, "nsga2": 10, "nsga3": 10, "gp": 2}
"""How often a useless proposal is asked again before a random unseen design takes its place; a
Gaussian process thinks for seconds and mostly says the same."""

RECENT = 500
"""Trials that TPE remembers beside its best ones; it forgets the others at twice as many."""

Sampler: TypeAlias = Literal["tpe", "nsga2", "nsga3", "gp"]


class OptunaSearch(BatchSearcher):
    """A sampler of Optuna with its study in memory.

    Constraints reach Optuna as named constraints; a failed row as a failed trial. A design that
    was proposed before is answered at once with what became of it, as if it had been evaluated
    again, and Optuna is asked anew; so is, as a failed trial, one that a forbidden combination
    excludes. TPE (multivariate) forgets all but its best and its recent trials, so that its time
    per proposal stays bounded.

    Args:
        problem: What is searched; conditions of its space are flattened, so an inactive knob is
            proposed and ignored.
        seed: Of the sampler and of the fallback.
        batch: Designs per ask; each is drawn without the answers of the others of its batch. The
            population of the genetic samplers.

    Attributes:
        sampler: Which one; set by the subclass.
    """

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True
    sampler: ClassVar[Sampler]

    def __init__(self, problem: Problem, *, seed: int, batch: int = 10) -> None:
        super().__init__(problem, batch)
        self._space = space = problem.space
        self._unseen = Unseen(space)
        self._rng = np.random.default_rng(seed)
        self._tries = TRIES[self.sampler]
        self._distributions = {p.name: _distribution(p) for p in space.parameters}
        with _quiet():
            self._study = optuna.create_study(
                directions=["minimize"] * len(problem.objectives),
                sampler=_sampler(self.sampler, seed, batch),
            )
        self._known: dict[bytes, tuple[FloatArray, FloatArray] | None] = {}
        self._trials: list[optuna.Trial] = []

    def _propose(self, n: int) -> FloatArray:
        """Fewer than n rows only when all designs are proposed."""
        rows: list[FloatArray] = []
        with _quiet():
            while len(rows) < n and (codes := self._one()) is not None:
                rows.append(codes)
        return np.concatenate([np.empty((0, len(self._space.parameters))), *rows])

    def _one(self) -> FloatArray | None:
        for _ in range(self._tries):
            if self._space.size is not None and len(self._unseen) >= self._space.size:
                return None
            trial = self._study.ask(self._distributions)
            raw = np.array([[float(trial.params[name]) for name in self._space.names]])
            codes = self._space.canonical(raw)
            if not self._space.allowed(codes)[0]:
                self._study.tell(trial, state=TrialState.FAIL)
            elif self._unseen.mask(codes)[0]:
                self._unseen.add(codes)
                self._trials.append(trial)
                return codes
            else:
                self._again(trial, codes[0].tobytes())
        codes = self._unseen.draw(1, self._rng)
        if not len(codes):
            return None
        self._trials.append(self._trial_of(codes[0]))
        return codes

    def _trial_of(self, code: FloatArray) -> optuna.Trial:
        """A trial of Optuna's whose design is ours."""
        self._study.enqueue_trial(self._params(code))
        trial = self._study.ask(self._distributions)
        sampler = self._study.sampler
        if isinstance(sampler, optuna.samplers.BaseGASampler):
            # A trial that it did not sample would belong to no generation and never be a parent.
            frozen = self._study.get_trials(deepcopy=False)[trial.number]
            sampler.get_trial_generation(self._study, frozen)
        return trial

    def _params(self, code: FloatArray) -> dict[str, float | int]:
        numbers = np.maximum(code, 0.0).tolist()
        pairs = zip(self._space.parameters, numbers, strict=True)
        return {p.name: v if p.count is None else int(v) for p, v in pairs}

    def _again(self, trial: optuna.Trial, key: bytes) -> None:
        """Answer a design that was proposed before; one of the batch at hand has no answer yet."""
        known = self._known.get(key)
        if known is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._tell(trial, *known)

    def _tell(self, trial: optuna.Trial, losses: FloatArray, violations: FloatArray) -> None:
        for i, violation in enumerate(violations.tolist()):
            trial.set_constraint(f"c{i}", violation)
        self._study.tell(trial, losses.tolist())

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Hand every row of the batch to Optuna, in order."""
        with _quiet():
            self._answered(self._trials, codes, answers, range(len(codes)))
        self._trials.clear()

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:
        """Enter designs that another searcher chose, as if Optuna had asked for them."""
        rows = np.flatnonzero(self._unseen.mask(codes)).tolist()
        self._unseen.add(codes[rows])
        with _quiet():
            self._answered([self._trial_of(codes[row]) for row in rows], codes, answers, rows)

    def _answered(
        self,
        trials: list[optuna.Trial],
        codes: FloatArray,
        answers: Answers,
        rows: Iterable[int],
    ) -> None:
        """Tell Optuna what became of some rows, one trial each."""
        for row, trial in zip(rows, trials, strict=True):
            key = codes[row].tobytes()
            if not answers.ok[row]:
                self._known[key] = None
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            known = answers.losses[row].copy(), answers.violations[row].copy()
            self._known[key] = known
            self._tell(trial, *known)
        if self.sampler == "tpe":
            self._forget()

    def _forget(self) -> None:
        """Keep the best and the recent trials once there are twice as many."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(trials) <= 2 * RECENT:
            return
        old, recent = trials[:-RECENT], trials[-RECENT:]
        study = optuna.create_study(directions=self._study.directions, sampler=self._study.sampler)
        study.add_trials(_best(old) + recent)
        self._study = study


def _best(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """At most `RECENT` non-dominated feasible trials, the youngest."""
    feasible = [t for t in trials if all(v <= 0 for v in t.constraints.values())]
    losses = np.array([t.values for t in feasible], dtype=np.float64)
    if not len(losses):
        return []
    return [feasible[i] for i in np.flatnonzero(non_dominated(losses))][-RECENT:]


def _sampler(kind: Sampler, seed: int, population: int) -> optuna.samplers.BaseSampler:
    if kind == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(population, 2))
    if kind == "nsga3":
        return optuna.samplers.NSGAIIISampler(seed=seed, population_size=max(population, 2))
    if kind == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No notes and no warnings of being experimental, while ours is the call; then as before."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.count is None:
        return FloatDistribution(0.0, 1.0)
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(tuple(range(parameter.count)))
    return IntDistribution(0, parameter.count - 1)


class Tpe(OptunaSearch):
    """Multivariate tree-structured Parzen estimator; arguments as `OptunaSearch`."""

    sampler = "tpe"


class OptunaNsga2(OptunaSearch):
    """NSGA-II as Optuna implements it; arguments as `OptunaSearch`."""

    sampler = "nsga2"


class OptunaNsga3(OptunaSearch):
    """NSGA-III as Optuna implements it; arguments as `OptunaSearch`."""

    sampler = "nsga3"


class OptunaGp(OptunaSearch):
    """Gaussian process with expected hypervolume improvement; needs torch; as `OptunaSearch`."""

    sampler = "gp"
