"""pymoo's NSGA-II behind our protocol; the only importer of pymoo."""

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.repair import Repair
from pymoo.problems.static import StaticProblem

from dse.parameters import FloatArray
from dse.searchers.searcher import Answers, check_ask, check_batch, check_tell
from dse.space import SearchSpace


class _OntoLevels(Repair):  # type: ignore[misc]  # pymoo ships no types
    """Moves children onto existing levels before duplicates are removed."""

    def __init__(self, counts: FloatArray) -> None:
        super().__init__()
        self._counts = counts

    def _do(self, _problem: object, rows: FloatArray, **_: object) -> FloatArray:
        """Called by pymoo with whatever its version passes along."""
        return _onto_levels(rows, self._counts)


def _onto_levels(rows: FloatArray, counts: FloatArray) -> FloatArray:
    finite = counts > 0
    snapped = rows.copy()
    # Genes live in [0, 1]; level k of c owns the k-th of c equal intervals, so that each is equally
    # likely.
    c = counts[finite]
    snapped[:, finite] = (np.minimum(np.floor(rows[:, finite] * c), c - 1) + 0.5) / c
    return snapped


class Nsga2:
    """NSGA-II (Deb et al., 2002) over level indices, as pymoo implements it.

    A failed row is left out of the generation that pymoo is told, never replaced by a penalty.
    Where the whole first generation failed, a fresh random one follows; where a later one did, the
    same parents mate again. Where mating finds nothing new, random designs are proposed.
    Children that a forbidden combination excludes are replaced by random allowed designs.

    Args:
        space: What may be chosen.
        objectives: Number of losses m.
        constraints: Number of violations c.
        seed: Of pymoo's generator and of ours.
        population: Designs per generation.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int,
        constraints: int,
        seed: int,
        population: int = 100,
    ) -> None:
        check_batch("population", population)
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._population = population
        self._shape = (objectives, constraints)
        self._counts = np.array([float(p.count or 0) for p in space.parameters])
        self._problem = PymooProblem(
            n_var=len(space.parameters), n_obj=objectives, n_ieq_constr=constraints, xl=0.0, xu=1.0
        )
        self._algorithm = NSGA2(
            pop_size=population,
            sampling=self._genes(space.sample(population, self._rng)),
            repair=_OntoLevels(self._counts),
        )
        self._algorithm.setup(self._problem, seed=seed, termination=("n_gen", 10**9), verbose=False)
        self._started = False
        self._asked: object | None = None
        self._waiting: int | None = None

    def _genes(self, codes: FloatArray) -> FloatArray:
        finite = self._counts > 0
        genes = np.where(codes < 0, 0.0, codes)
        genes[:, finite] = (genes[:, finite] + 0.5) / self._counts[finite]
        return genes

    def _codes(self, genes: FloatArray) -> FloatArray:
        finite = self._counts > 0
        codes = np.clip(genes, 0.0, 1.0)
        c = self._counts[finite]
        codes[:, finite] = np.minimum(np.floor(codes[:, finite] * c), c - 1)
        return self._space.canonical(codes)

    def ask(self) -> FloatArray:
        """The next generation, shape (n, d) with n <= population."""
        check_ask(self._waiting)
        population = self._algorithm.ask()
        if population is None:
            population = self._random_generation()
        genes = np.asarray(population.get("X"), dtype=np.float64)
        codes = self._codes(genes)
        excluded = ~self._space.allowed(codes)
        if excluded.any():
            codes[excluded] = self._space.sample(int(excluded.sum()), self._rng)
            population.set("X", self._genes(codes))
        self._asked = population
        self._waiting = len(codes)
        return codes

    def _random_generation(self) -> Population:
        """What follows when mating finds no child that the population does not hold already."""
        self._algorithm.termination.force_termination = False
        codes = self._space.sample(self._population, self._rng)
        return Population.new("X", self._genes(codes))

    def tell(self, answers: Answers) -> None:
        """Hand the generation's good rows to pymoo."""
        check_tell(self._waiting, answers)
        self._waiting = None
        if not answers.ok.any():
            if not self._started:
                self._restart()
            return
        self._started = True
        population = self._asked[answers.ok]  # type: ignore[index]  # pymoo ships no types
        values: dict[str, NDArray[np.float64]] = {"F": answers.losses[answers.ok]}
        if self._shape[1]:
            values["G"] = answers.violations[answers.ok]
        PymooEvaluator().eval(StaticProblem(self._problem, **values), population)
        self._algorithm.tell(infills=population)

    def _restart(self) -> None:
        """Draw another first generation: pymoo cannot begin with one in which nothing succeeded."""
        self._algorithm = NSGA2(
            pop_size=self._population,
            sampling=self._genes(self._space.sample(self._population, self._rng)),
            repair=_OntoLevels(self._counts),
        )
        seed = int(self._rng.integers(2**31))
        self._algorithm.setup(self._problem, seed=seed, termination=("n_gen", 10**9), verbose=False)
