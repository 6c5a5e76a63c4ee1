"""pymoo's NSGA-II and NSGA-III behind our protocol; the only importer of pymoo."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from dse.core.parameters import Categorical, FloatArray
from dse.core.problem import Problem
from dse.core.space import INACTIVE
from dse.searchers.deduplication import Unseen
from dse.searchers.searcher import Answers, BatchSearcher

MATINGS = 10
"""How often a generation mates again for children that it does not hold already."""


class _OntoLevels(Repair):  # type: ignore[misc]  # pymoo ships no types
    """Moves children onto the nearest levels before duplicates are removed."""

    def __init__(self, finite: NDArray[np.bool_]) -> None:
        super().__init__()
        self._finite = finite

    def _do(self, _problem: object, rows: FloatArray, **_: object) -> FloatArray:
        """Called by pymoo with whatever its version passes along."""
        return np.where(self._finite, np.around(rows), rows)


class PymooSearch(BatchSearcher):
    """NSGA-II (Deb et al., 2002) or NSGA-III (Deb and Jain, 2014) over level indices, by pymoo.

    pymoo is told whole generations, however few rows of them are asked at a time. A failed row is
    left out, never replaced by a penalty. Learnt designs take the place of random ones in the first
    generation, and join a later one as if they were its children.
    Where the whole first generation failed, a fresh random one follows; where a later one did, the
    same parents mate again. Where mating finds nothing that was not proposed before, random designs
    that were not follow, and when these are used up, nothing.
    A child that a forbidden combination excludes moves to the nearest level of a knob it names that
    is allowed.

    Args:
        problem: What is searched.
        seed: Of pymoo's generator and of ours.
        batch: Designs per generation (the population); NSGA-III has at most as many reference
            directions.

    Attributes:
        algorithm: Which of the two; set by the subclass.
    """

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True
    algorithm: ClassVar[Literal["nsga2", "nsga3"]]

    def __init__(self, problem: Problem, *, seed: int, batch: int = 100) -> None:
        super().__init__(problem, batch)
        self._space = space = problem.space
        self._unseen = Unseen(space)
        self._rng = np.random.default_rng(seed)
        self._shape = len(problem.objectives), len(problem.constraints)
        self._finite = np.array([p.count is not None for p in space.parameters])
        # A gene is a code: the number of a level, or the place of a Real between its ends.
        self._top = np.array([1.0 if p.count is None else p.count - 1.0 for p in space.parameters])
        objectives, constraints = self._shape
        self._asked_of_pymoo = PymooProblem(
            n_var=len(self._top), n_obj=objectives, n_ieq_constr=constraints, xl=0.0, xu=self._top
        )
        self._algorithm = self._first_generation(seed)
        self._started = False
        self._foreign = Population.new("X", np.empty((0, len(space.parameters))))
        self._bred: FloatArray = np.empty((0, len(space.parameters)))
        self._codes = self._bred
        self._handed = 0
        self._answers = _unknown(0, *self._shape)

    def _first_generation(self, seed: int) -> Any:  # noqa: ANN401  # pymoo ships no types
        options: dict[str, Any] = {
            "pop_size": self.batch,
            "sampling": self._genes(self._space.sample(self.batch, self._rng)),
            "repair": _OntoLevels(self._finite),
            # Wide distributions: on a handful of levels a narrow one gives back its parents.
            "crossover": SBX(prob=1.0, eta=3.0),
            "mutation": PM(prob=1.0, eta=3.0),
        }
        if self.algorithm == "nsga3":
            options["selection"] = TournamentSelection(func_comp=_less_violated)
            algorithm = NSGA3(_directions(self._shape[0], self.batch), **options)
        else:
            algorithm = NSGA2(**options)
        algorithm.mating.n_max_iterations = MATINGS
        algorithm.setup(
            self._asked_of_pymoo, seed=seed, termination=("n_gen", 10**9), verbose=False
        )
        return algorithm

    def _genes(self, codes: FloatArray) -> FloatArray:
        """Codes with some code for knobs that are off: in a child they may be on."""
        draw = self._rng.random(codes.shape)
        some = np.where(self._finite, np.floor(draw * (self._top + 1.0)), draw)
        return np.where(codes == INACTIVE, some, codes)

    def _codes_of(self, genes: FloatArray) -> FloatArray:
        return self._space.canonical(np.clip(genes, 0.0, self._top))

    def _propose(self, n: int) -> FloatArray:
        """Rows of a generation; none when all is proposed."""
        if self._handed == len(self._codes):
            self._breed()
        rows = self._codes[self._handed : self._handed + n]
        self._handed += len(rows)
        return rows

    def _breed(self) -> None:
        """Make the next generation."""
        if self._started or len(self._foreign) >= self.batch:
            self._advance(self._foreign)
            self._foreign = self._foreign[:0]
        population = self._algorithm.ask()
        if population is None:
            self._algorithm.termination.force_termination = False
            population = Population.new("X", np.empty((0, len(self._top))))
        genes = np.asarray(population.get("X"), dtype=np.float64).reshape(-1, len(self._top))
        genes = genes[: self.batch - len(self._foreign)]
        codes = self._codes_of(genes)
        excluded = ~self._space.allowed(codes)
        if excluded.any():
            codes[excluded] = self._repaired(codes[excluded])
            genes[excluded] = self._genes(codes[excluded])
        if not self._unseen.mask(codes).any():
            codes = self._unseen.draw(self.batch, self._rng)
            genes = self._genes(codes)
        self._unseen.add(codes)
        self._bred, self._codes, self._handed = genes, codes, 0
        self._answers = _unknown(len(codes), *self._shape)

    def _repaired(self, codes: FloatArray) -> FloatArray:
        """Allowed designs in place of forbidden ones, changed in one knob that a rule names.

        Knobs with an order before names, the smallest step that helps first; where no single knob
        helps, a random design.
        """
        fixed = self._space.sample(len(codes), self._rng)
        left = np.ones(len(codes), dtype=bool)
        for column, step in self._steps():
            rows = np.flatnonzero(left & (codes[:, column] != INACTIVE))
            tried = codes[rows]
            tried[:, column] += step
            inside = (tried[:, column] >= 0) & (tried[:, column] <= self._top[column])
            rows, tried = rows[inside], self._genes(tried[inside])
            good = self._space.allowed(tried)
            fixed[rows[good]] = self._space.canonical(tried[good])
            left[rows[good]] = False
        return fixed

    def _steps(self) -> list[tuple[int, float]]:
        """Columns that rules name and steps along them, in the order of trying."""
        named = {name for rule in self._space.forbidden for name in rule.combination}
        columns = sorted(self._space.index(name) for name in named)
        columns = [c for c in columns if self._finite[c]]
        ordered = [c for c in columns if not self._is_name(c)]
        steps = []
        for column in [*ordered, *(c for c in columns if self._is_name(c))]:
            far = range(1, int(self._top[column]) + 1)
            ways = [step for distance in far for step in (-float(distance), float(distance))]
            if self._is_name(column):
                ways = self._rng.permutation(ways).tolist()
            steps += [(column, way) for way in ways]
        return steps

    def _is_name(self, column: int) -> bool:
        return isinstance(self._space.parameters[column], Categorical)

    def _told(self, codes: FloatArray, answers: Answers) -> None:  # noqa: ARG002
        """Hand the good rows to pymoo once the generation is complete."""
        rows = slice(self._handed - len(answers), self._handed)
        self._answers.losses[rows] = answers.losses
        self._answers.violations[rows] = answers.violations
        self._answers.ok[rows] = answers.ok
        if self._handed < len(self._codes):
            return
        self._advance(Population.merge(self._evaluated(self._bred, self._answers), self._foreign))
        self._foreign = self._foreign[:0]

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:
        """Take the good rows into the population."""
        new = self._unseen.mask(codes)
        self._unseen.add(codes)
        rows = Answers(answers.losses[new], answers.violations[new], answers.ok[new])
        learnt = self._evaluated(self._genes(codes[new]), rows)
        self._foreign = Population.merge(self._foreign, learnt)

    def _evaluated(self, genes: FloatArray, answers: Answers) -> Any:  # noqa: ANN401
        """The rows that are ok, as pymoo wants them."""
        ok = answers.ok
        population = Population.new("X", genes[ok], "F", answers.losses[ok])
        if self._shape[1]:
            population.set("G", answers.violations[ok])
        return population

    def _advance(self, population: Any) -> None:  # noqa: ANN401  # pymoo ships no types
        """Let these rows compete with those that live."""
        if len(population):
            self._algorithm.tell(infills=population)
            self._started = True
        elif not self._started:
            # pymoo cannot begin with a generation in which nothing succeeded.
            self._algorithm = self._first_generation(int(self._rng.integers(2**31)))


def _less_violated(
    population: Any,  # noqa: ANN401
    pairs: NDArray[np.int64],
    random_state: np.random.Generator,
    **_: object,
) -> NDArray[np.int64]:
    """The winner of each pair, shape (n, 1): the less violated, else either by chance.

    NSGA-III's own rule. pymoo 0.6.2 leaves its generator out where both are violated equally, and
    so draws from one without a seed: no run could be repeated.
    """
    cv = population.get("CV")[:, 0]
    won = [
        a if cv[a] < cv[b] else b if cv[b] < cv[a] else random_state.choice([a, b])
        for a, b in pairs
    ]
    return np.array(won)[:, None]


def _unknown(rows: int, objectives: int, constraints: int) -> Answers:
    """Room for the answers to so many rows."""
    return Answers(
        np.full((rows, objectives), np.nan),
        np.full((rows, constraints), np.nan),
        np.zeros(rows, dtype=np.bool_),
    )


def _directions(objectives: int, population: int) -> FloatArray:
    """Even directions on the simplex (Das and Dennis, 1998), as many as the population carries.

    What one layer leaves of the population goes to layers within, each half as wide as the last
    (Deb and Jain, 2014, section IV-B).
    """
    if objectives == 1:
        return np.ones((1, 1))
    layers: list[FloatArray] = []
    width, left = 1.0, population
    while left >= objectives or not layers:
        partitions = 1
        while math.comb(partitions + objectives, objectives - 1) <= left:
            partitions += 1
        even = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
        layers.append(np.asarray(even) * width + (1.0 - width) / objectives)
        left -= len(even)
        width /= 2
    return np.concatenate(layers)[:population]


class Nsga2(PymooSearch):
    """NSGA-II; arguments as `PymooSearch`."""

    algorithm = "nsga2"


class Nsga3(PymooSearch):
    """NSGA-III; arguments as `PymooSearch`."""

    algorithm = "nsga3"
