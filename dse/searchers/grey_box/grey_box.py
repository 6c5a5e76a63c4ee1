"""Grey box: learns what real runs give, and computes everything else exactly."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dse.core.errors import CompositionError
from dse.core.parameters import Column, FloatArray
from dse.core.problem import Problem
from dse.pareto.dominance import non_dominated
from dse.searchers.grey_box.acquisition import OpenBox, gains_of, nodes, together
from dse.searchers.grey_box.candidates import Candidates, Pool
from dse.searchers.grey_box.history import History, Runs
from dse.searchers.grey_box.problem_split import Parts, Priced
from dse.searchers.grey_box.surrogate import Surrogate
from dse.searchers.searcher import Answers, BatchSearcher, check_batch

OPENING = 10
"""Runs made before the first surrogate."""

SPREAD = 4
"""Random runs among which the one farthest from the others opens; more would seek only corners."""

FEASIBLE = 5
"""Feasible runs that must be known before the front counts more than feasibility."""

BASES = 16_384
"""Runs among which the next one is chosen, at most."""

PER_RUN = 256
"""Of these for each run made where a run reads a continuous knob: without levels that repeat,
covariances take many times longer."""

COVARIANCES = 1_500_000
"""Most covariances between these and the runs made: so an ask does not grow with the runs."""

CLOSER = 4096
"""Neighbours of the best of these that are looked at as well, at most."""

DOUBT = 20
"""Runs from which on surrogates must foretell better than the mean."""

GROWTH = 1.2
"""Surrogates are fitted anew whenever the runs have grown by this factor."""


class GreyBox(BatchSearcher):
    """Spends real runs where they enlarge the front most, and prices everything else by itself.

    Surrogates (Gaussian processes) learn the numbers that measured evaluators give, over the knobs
    these read. Of each candidate run, all settings of the other knobs are priced by the closed
    forms at several values of what is uncertain, and the expected hypervolume improvement of them
    together decides. A run that has been made is worth a little front: its designs are known
    exactly and those that are on the front are proposed at once. Designs that break an exact
    constraint, or that a closed form refuses, are never proposed. Where a limit on a learned number
    leaves too little feasible, likely feasibility comes first. Where the surrogates foretell the
    runs made no better than their mean does, one left out at a time, new runs are what the best
    black box tries that knows all of them: TPE, and NSGA-II after many designs.

    Args:
        problem: At least one evaluator of its chain is measured.
        seed: With the number of the ask, the seed of every random choice.
        batch: Most designs per ask.
        runs: Most real runs per ask after the opening.

    Raises:
        CompositionError: If no evaluator is measured.
    """

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, seed: int, batch: int = 100, runs: int = 2) -> None:
        super().__init__(problem, batch)
        check_batch("runs", runs)
        self._parts = Parts.of(problem)
        self._seed, self._asks, self._per_ask = seed, 0, runs
        self._candidates = Candidates(self._parts)
        named = self._candidates.features.named
        self._surrogates = {name: Surrogate(named) for name in self._parts.learned}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._fitted = 0
        self._history = History(problem)
        self.fell_back = 0
        self._runs = Runs()
        self._fresh: list[FloatArray] = []
        self._proposed: set[bytes] = set()
        d, m = len(problem.space.parameters), len(problem.objectives)
        self._front, self._front_codes = np.empty((0, m)), np.empty((0, d))
        self._elite = np.empty((0, d))
        self._nothing = np.empty((0, d))

    # -- the protocol -----------------------------------------------------------------------

    def _propose(self, n: int) -> FloatArray:
        """Designs of known runs that enlarge the front, then designs that need new runs."""
        rng = np.random.default_rng([self._seed, self._asks])
        self._asks += 1
        # One thread: the order of a sum must not depend on the machine's, or proposals would.
        with threadpool_limits(1):
            codes, losses = self._harvest(rng)
            probes = self._probes(losses, rng)[:n]
        rows = np.concatenate([codes[: n - len(probes)], probes])
        self._proposed.update(row.tobytes() for row in rows)
        return rows

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:
        """Learn from runs that somebody else made; they need not be made again."""
        self._told(codes, answers)
        self._proposed.update(row.tobytes() for row in codes)

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Learn what the runs gave."""
        ok = answers.ok
        self._history.add(codes, answers)
        missing = [name for name in self._parts.handed if name not in answers.metrics]
        if ok.any() and missing:
            raise CompositionError(f"the answers carry no {', '.join(missing)}: nothing to learn")
        designs = self.problem.space.decode(codes)
        numbers = self._runs.known(x := self._candidates.features.of(designs))
        for row in np.flatnonzero((numbers == -1) & ok):
            handed = {n: answers.metrics[n][row : row + 1] for n in self._parts.handed}
            # A replay may read what decides the run as well as what the run left behind.
            handed |= {n: designs[n][row : row + 1] for n in self._parts.run_knobs}
            self._remember(codes[row], x[row], handed)
        self._candidates.refuse(codes[~ok])
        stopped = np.zeros_like(ok) if answers.stopped is None else answers.stopped
        for row in np.flatnonzero((numbers == -1) & ~ok):
            (self._runs.stopped if stopped[row] else self._runs.failed)(x[row])
        feasible = ok & (np.nan_to_num(answers.violations, nan=np.inf) <= 0).all(axis=1)
        self._runs.feasible |= {int(i) for i in self._runs.known(x[feasible]) if i >= 0}
        self._grow(answers.losses[feasible], codes[feasible])

    def _grow(self, losses: FloatArray, codes: FloatArray) -> None:
        losses = np.concatenate([self._front, losses])
        codes = np.concatenate([self._front_codes, codes])
        best = non_dominated(losses)
        self._front, self._front_codes = losses[best], codes[best]

    def _remember(self, code: FloatArray, x: FloatArray, handed: dict[str, Column]) -> None:
        key = x.tobytes()
        if key in self._runs.place:
            return
        number = len(self._runs)
        self._runs.place[key] = number
        self._runs.x.append(x)
        # Strings of their own length: the padding of a batch is not part of a handle.
        self._runs.handed.append({k: np.array(v.tolist()) for k, v in handed.items()})
        self._runs.learned.append({})
        self._fresh.append(code.copy())

    # -- designs of runs that have been made ------------------------------------------------

    def _harvest(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Designs of known runs that no known design dominates, best first, and their losses."""
        nothing = self._nothing, self._front[:0]
        if not len(self._runs):
            return nothing
        pool = self._known_pool(rng)
        numbers = self._runs.known(pool.runs)
        pool = pool.of_groups(numbers >= 0)
        numbers = numbers[numbers >= 0]
        self._fresh.clear()
        if not len(pool.codes):
            return nothing
        priced = self._recalled(pool, numbers[pool.group])
        self._candidates.refuse(pool.codes[~priced.ok])
        new = np.array([code.tobytes() not in self._proposed for code in pool.codes])
        rows = np.flatnonzero(priced.feasible & new)
        rows = rows[np.unique(pool.codes[rows], axis=0, return_index=True)[1]]
        union = np.concatenate([self._front, priced.losses[rows]])
        rows = rows[non_dominated(union)[len(self._front) :]]
        rows = rows[rng.permutation(len(rows))]
        return pool.codes[rows], priced.losses[rows]

    def _known_pool(self, rng: np.random.Generator) -> Pool:
        whole = self._candidates.whole()
        if whole is not None:
            return whole.of_groups(self._runs.known(whole.runs) >= 0)
        told = np.array(self._fresh) if self._fresh else self._nothing
        rows = self._candidates.completed(told, self._front_codes, rng, most=1024)
        if len(self._front_codes) and self._candidates.free:
            near = self._candidates.neighbours(self._front_codes, 1024, rng, free=True)
            rows = np.concatenate([rows, near])
        return self._candidates.pool(rows)

    def _recalled(self, pool: Pool, numbers: NDArray[np.int64]) -> Priced:
        handed = {
            name: np.concatenate([run[name] for run in self._runs.handed])[numbers]
            for name in self._parts.handed
        }
        return self._parts.recalled(pool.columns, handed)[1]

    # -- designs that need a new run --------------------------------------------------------

    def _probes(self, harvested: FloatArray, rng: np.random.Generator) -> FloatArray:
        """One design of each run to make next."""
        parents = np.concatenate([self._front_codes, self._elite])
        bases = min(BASES, COVARIANCES // max(1, len(self._runs)))
        if self._candidates.continuous:
            bases = min(bases, PER_RUN * (1 + len(self._runs)))
        pool = self._unknown(
            self._candidates.whole() or self._candidates.drawn(parents, bases, rng)
        )
        if not len(pool.runs):
            pool = self._unknown(self._listed())
        if not len(pool.runs):
            return self._nothing
        if len(self._runs) < OPENING:
            return self._opening(pool, rng)
        self._learn()
        if not self._earn_their_keep() and len(others := self._others(rng)):
            self.fell_back += 1
            return others
        front = np.concatenate([self._front, harvested])
        chosen = self._improving(pool, front, rng)
        if self._candidates.whole() is None and self._candidates.runs > bases and len(self._elite):
            # A second look: the best of a draw that cannot hold every run have better neighbours.
            pool = self._unknown(self._candidates.near(self._elite, min(CLOSER, bases), rng))
            chosen = self._improving(pool, front, rng)
        return chosen

    def _earn_their_keep(self) -> bool:
        """Whether any learned number is foretold better than by the mean of the runs."""
        worth = [surrogate.worth for surrogate in self._surrogates.values()]
        return len(self._runs) < DOUBT or max(worth) > 0

    def _others(self, rng: np.random.Generator) -> FloatArray:
        """Designs that the best black box would try next and that need new runs."""
        codes = self._history.others(int(rng.integers(2**31)))
        pool = self._unknown(self._candidates.pool(codes))
        return self._representatives(pool, np.arange(min(self._per_ask, len(pool.runs))))

    def _unknown(self, pool: Pool) -> Pool:
        return pool.of_groups(self._runs.known(pool.runs) == -1)

    def _listed(self) -> Pool:
        """Where sampling finds no new run, the space is searched for one, if it can be."""
        for codes in self.problem.space.enumerate(16_384) if self._countable() else ():
            pool = self._candidates.pool(codes)
            if len(self._unknown(pool).runs):
                return pool
        return self._candidates.pool(self._nothing)

    def _countable(self) -> bool:
        size = self.problem.space.size
        return size is not None and size <= 1 << 22

    def _opening(self, pool: Pool, rng: np.random.Generator) -> FloatArray:
        """Corners (the best of each exact objective), then runs far from each other."""
        losses, _ = self._parts.known_losses(pool.columns)
        exact = losses[:, self._parts.exact_objectives]
        chosen = [int(pool.group[i]) for i in exact.argmin(axis=0)]
        rows = dict(zip(chosen, exact.argmin(axis=0).tolist(), strict=True))
        known = np.array(self._runs.x) if self._runs.x else pool.runs[chosen]
        apart = np.full(len(pool.runs), np.inf)
        for x in [*known, *pool.runs[chosen]]:
            apart = np.minimum(apart, self._apart(pool.runs, x))
        while len(rows) < min(OPENING - len(self._runs), len(pool.runs)):
            few = rng.integers(len(apart), size=SPREAD)
            best = int(few[np.argmax(apart[few])])
            if apart[best] < 0:
                best = int(np.argmax(apart))
            members = np.flatnonzero(pool.group == best)
            rows.setdefault(best, int(members[rng.integers(len(members))]))
            apart = np.minimum(apart, self._apart(pool.runs, pool.runs[best]))
            apart[list(rows)] = -1.0
        return pool.codes[list(rows.values())]

    def _apart(self, x: FloatArray, other: FloatArray) -> FloatArray:
        gap = np.abs(x - other)
        gap[:, self._candidates.features.named] = gap[:, self._candidates.features.named] > 0
        return np.asarray(np.sqrt((gap**2).sum(axis=1)))

    def _learn(self) -> None:
        """Bring the surrogates up to the runs."""
        choose = len(self._runs) >= GROWTH * self._fitted
        if choose:
            self._fitted = len(self._runs)
        x = np.array(self._runs.x)
        for name in self._parts.learned:
            y = np.array([self._curve(number, name) for number in range(len(x))])
            self._surrogates[name].fit(x, y, choose=choose)
            if name in self._parts.entered:
                # A depth beyond the last layer is no depth: a closed form is asked only for
                # numbers between those that runs gave.
                self._ranges[name] = float(y.min()), float(y.max())

    def _curve(self, number: int, name: str) -> FloatArray:
        """A learned number of a run, at each replay setting where these matter, shape (t,)."""
        known = self._runs.learned[number]
        if not known:
            handed = self._runs.handed[number]
            known.update(
                {
                    k: np.asarray(v, np.float64)
                    for k, v in handed.items()
                    if k in self._parts.learned
                }
            )
            known.update(self._parts.replayed(handed, self._candidates.settings))
        return known[name]

    def _assumed(self, pool: Pool) -> tuple[Pool, list[Priced], FloatArray]:
        """The candidates at several values of what is uncertain, and the weights of these.

        Those that a closed form refuses at the mean are left out, now and later.
        """
        places, weights = nodes(len(self._parts.learned))
        guesses = [self._surrogates[n].predict(pool.runs) for n in self._parts.learned]
        mean = self._at(pool, guesses, places[0])
        if not mean.ok.all():
            self._candidates.refuse(pool.codes[~mean.ok])
            pool, mean = pool.of_rows(mean.ok), mean.rows(mean.ok)
            guesses = [self._surrogates[n].predict(pool.runs) for n in self._parts.learned]
        return pool, [mean, *(self._at(pool, guesses, place) for place in places[1:])], weights

    def _at(
        self, pool: Pool, guesses: list[tuple[FloatArray, FloatArray]], place: FloatArray
    ) -> Priced:
        learned = {}
        for name, (mean, deviation), z in zip(self._parts.learned, guesses, place, strict=True):
            values = self._surrogates[name].values(mean + z * deviation)
            if name in self._ranges:
                values = np.clip(values, *self._ranges[name])
            learned[name] = values[pool.group, pool.setting if values.shape[1] > 1 else 0]
        ok = np.ones(len(pool.codes), dtype=bool)
        return self._parts.assumed(pool.columns, learned, ok)

    def _improving(self, pool: Pool, front: FloatArray, rng: np.random.Generator) -> FloatArray:
        """The designs whose runs promise the largest fronts together."""
        pool, priced, weights = self._assumed(pool)
        if not len(pool.codes):
            return pool.codes
        if self._seeks_feasible():
            return self._likeliest(pool, priced, weights, rng)
        likely = priced[0].losses[priced[0].feasible]
        likely = likely[non_dominated(likely)]
        around = np.concatenate([front, likely])
        around = around[non_dominated(around)]
        box = OpenBox.of(front, around, 4096, self._asks)
        gains = gains_of(pool, priced, weights, box)
        best = np.argsort(-gains, kind="stable")[: min(64, len(gains))]
        self._elite = self._representatives(pool, best[:32])
        return together(pool, priced, weights, best, box, self._per_ask)

    def _representatives(self, pool: Pool, runs: NDArray[np.int64]) -> FloatArray:
        """One design of each of some runs."""
        return pool.codes[[int(np.argmax(pool.group == run)) for run in runs]]

    # -- feasibility first ------------------------------------------------------------------

    def _seeks_feasible(self) -> bool:
        limited = not self._parts.exact_constraints.all()
        return limited and len(self._runs.feasible) < FEASIBLE

    def _likeliest(
        self, pool: Pool, priced: list[Priced], weights: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """The designs that most likely keep every limit, of runs that differ."""
        chance = sum(w * p.feasible for w, p in zip(weights, priced, strict=True))
        over = np.where(priced[0].ok, np.maximum(priced[0].violations, 0).sum(axis=1), np.inf)
        order = np.lexsort((rng.random(len(chance)), over, -chance))
        chosen: list[int] = []
        for row in order:
            near = [
                self._apart(pool.runs[[pool.group[row]]], pool.runs[pool.group[c]])[0]
                for c in chosen
            ]
            if not near or min(near) > 0.5:
                chosen.append(int(row))
            if len(chosen) == self._per_ask:
                break
        self._elite = pool.codes[order[:32]]
        return pool.codes[chosen]
