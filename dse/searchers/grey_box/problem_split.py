"""What of a problem is known beforehand and what has to be learned, read off its evaluators."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import CompositionError, RowsFailed
from dse.core.evaluation import Chain, Evaluator, evaluate_rows
from dse.core.parameters import Categorical, Column, FloatArray, Parameter, Real
from dse.core.problem import Problem
from dse.core.signature import TEXT_UNITS
from dse.core.space import Columns, length


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """Candidates with everything that is known or assumed of them.

    Attributes:
        losses: Shape (n, m).
        violations: Shape (n, c).
        ok: Shape (n,); False where a closed form refuses the design or is not finite.
    """

    losses: FloatArray
    violations: FloatArray
    ok: NDArray[np.bool_]

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Rows that keep every constraint, shape (n,)."""
        return self.ok & (self.violations <= 0).all(axis=1)

    def rows(self, which: NDArray[np.bool_]) -> "Priced":
        """Some rows, by mask."""
        return Priced(self.losses[which], self.violations[which], self.ok[which])


@dataclass(frozen=True, eq=False)
class Parts:
    """A chain of evaluators, sorted by who must wait for a real run.

    A *measured* stage makes real runs; its projection is what it reads. A *replay* is a closed form
    that reads a text (a handle to what a run left behind) and so cannot be computed beforehand.
    *Learned* are the numbers that come out of the two; all else is exact, or exact given these.

    Attributes:
        problem: The whole.
        stages: In the order of calling.
        roles: `exact`, `measured`, `replay` or `after` of each stage.
        run_knobs: Knobs that measured stages read, directly or through exact stages.
        replay_knobs: Further knobs that replays read.
        handed: Columns of measured stages: numbers and texts.
        learned: Names of the numbers to learn.
        uncertain: Every column that a learned one enters, itself included.
    """

    problem: Problem
    stages: tuple[Evaluator, ...]
    roles: tuple[str, ...]
    run_knobs: tuple[str, ...]
    replay_knobs: tuple[str, ...]
    handed: tuple[str, ...]
    learned: tuple[str, ...]
    uncertain: frozenset[str]

    @classmethod
    def of(cls, problem: Problem) -> "Parts":
        """Sort the stages of a problem's evaluator.

        Raises:
            CompositionError: If no stage is measured: then nothing has to be learned.
        """
        stages = tuple(_flat(problem.evaluator))
        knobs: dict[str, frozenset[str]] = {n: frozenset({n}) for n in problem.space.names}
        texts: set[str] = set()
        uncertain: set[str] = set()
        roles, handed, learned = [], [], []
        run: set[str] = set()
        replay: set[str] = set()
        for stage in stages:
            behind = frozenset[str]().union(*(knobs[name] for name in stage.signature.inputs))
            knobs.update(dict.fromkeys(stage.signature.outputs, behind))
            numbers = [k for k, unit in stage.signature.outputs.items() if unit not in TEXT_UNITS]
            role = _role(stage, texts, uncertain)
            roles.append(role)
            if role == "exact":
                continue
            uncertain |= set(stage.signature.outputs)
            if role == "after":
                continue
            texts |= set(stage.signature.outputs) - set(numbers)
            learned += numbers
            if role == "measured":
                run |= behind
                handed += list(stage.signature.outputs)
            else:
                replay |= behind
        if "measured" not in roles:
            raise CompositionError(
                "grey_box learns what measured evaluators give, and this problem has none: every "
                "metric is a closed form. Use exhaustive, nsga2 or another searcher"
            )
        order = problem.space.names
        return cls(
            problem,
            stages,
            tuple(roles),
            tuple(n for n in order if n in run),
            tuple(n for n in order if n in replay - run),
            tuple(handed),
            tuple(learned),
            frozenset(uncertain),
        )

    @property
    def exact_objectives(self) -> NDArray[np.bool_]:
        """Which objectives no learned number enters, shape (m,)."""
        return np.array([o.name not in self.uncertain for o in self.problem.objectives])

    @property
    def exact_constraints(self) -> NDArray[np.bool_]:
        """Which constraints no learned number enters, shape (c,)."""
        return np.array(
            [c.name not in self.uncertain for c in self.problem.constraints], dtype=bool
        )

    @property
    def entered(self) -> frozenset[str]:
        """Learned numbers that a closed form reads: it may refuse what no run ever gave."""
        after = [s for s, role in zip(self.stages, self.roles, strict=True) if role == "after"]
        return frozenset(self.learned) & {
            name for stage in after for name in stage.signature.inputs
        }

    @property
    def separable(self) -> bool:
        """Whether learned numbers are objectives and constraints themselves and enter no other.

        Then two designs with one run and one replay setting differ only in exact columns.
        """
        names = [o.name for o in self.problem.objectives]
        names += [c.name for c in self.problem.constraints]
        return all(n not in self.uncertain or n in self.learned for n in names)

    def exactly(self, designs: Columns) -> tuple[dict[str, Column], NDArray[np.bool_]]:
        """Knobs and every exact column, and which rows no exact stage refuses."""
        return self._through(designs, ("exact",))

    def recalled(self, designs: Columns, handed: Columns) -> tuple[dict[str, Column], Priced]:
        """All columns of designs whose runs have been made, and their losses."""
        columns, ok = self._through({**designs, **handed}, ("exact", "replay", "after"))
        return columns, self._judged(columns, ok)

    def assumed(
        self, columns: Columns, learned: Mapping[str, FloatArray], ok: NDArray[np.bool_]
    ) -> Priced:
        """Losses of designs, given their exact columns and assumed values of the learned ones."""
        done, fine = self._through({**columns, **learned}, ("after",))
        return self._judged(done, fine & ok)

    def replayed(self, handed: Columns, settings: Columns) -> dict[str, FloatArray]:
        """What replays make of one run at some settings of their knobs, each shape (t,)."""
        if "replay" not in self.roles:
            return {}
        n = length(settings) if settings else 1
        columns = {name: np.repeat(column, n) for name, column in handed.items()}
        done, _ = self._through({**columns, **settings}, ("replay",))
        return {k: np.asarray(done[k], np.float64) for k in self.learned if k not in handed}

    def known_losses(self, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Exact losses and violations only; NaN where a learned number enters."""
        n = length(columns)
        nothing = {name: np.full(n, np.nan) for name in self.uncertain}
        priced = self._judged({**columns, **nothing}, np.ones(n, dtype=bool))
        return priced.losses, priced.violations

    def _through(
        self, columns: Columns, roles: tuple[str, ...]
    ) -> tuple[dict[str, Column], NDArray[np.bool_]]:
        known = dict(columns)
        ok = np.ones(length(columns), dtype=bool)
        for stage, role in zip(self.stages, self.roles, strict=True):
            if role not in roles or any(name not in known for name in stage.signature.inputs):
                continue
            try:
                known.update(evaluate_rows(stage, known))
            except RowsFailed as error:
                ok[list(error.reasons)] = False
                known.update(error.columns)
        return known, ok

    def _judged(self, columns: Columns, ok: NDArray[np.bool_]) -> Priced:
        n = len(ok)
        wanted = self.problem.objectives, self.problem.constraints
        losses = np.full((n, len(wanted[0])), np.nan)
        violations = np.full((n, len(wanted[1])), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            for i, objective in enumerate(wanted[0]):
                losses[:, i] = objective.sign * np.asarray(columns[objective.name], np.float64)
            for i, constraint in enumerate(wanted[1]):
                values = np.asarray(columns[constraint.name], dtype=np.float64)
                violations[:, i] = constraint.violation(values)
        fine = ok & np.isfinite(losses).all(axis=1) & np.isfinite(violations).all(axis=1)
        return Priced(losses, violations, fine)


def _flat(evaluator: Evaluator) -> Iterable[Evaluator]:
    if not isinstance(evaluator, Chain):
        return [evaluator]
    return [inner for stage in evaluator.stages for inner in _flat(stage)]


def _role(stage: Evaluator, texts: set[str], uncertain: set[str]) -> str:
    if stage.signature.cost == "measured":
        return "measured"
    if texts & set(stage.signature.inputs):
        return "replay"
    return "after" if uncertain & set(stage.signature.inputs) else "exact"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Knobs as coordinates: ordered ones from 0 to 1, names as numbers without order.

    Args:
        knobs: In the order of the coordinates.
        otherwise: Values of knobs that a condition switches off.
    """

    knobs: tuple[Parameter, ...]
    otherwise: Mapping[str, float | int | str]

    @property
    def named(self) -> NDArray[np.bool_]:
        """Which coordinates have no order, shape (r,)."""
        return np.array([isinstance(k, Categorical) for k in self.knobs], dtype=bool)

    def of(self, designs: Columns) -> FloatArray:
        """Coordinates of designs, shape (n, r); different values have different coordinates."""
        n = length(designs)
        found = np.empty((n, len(self.knobs)))
        for i, knob in enumerate(self.knobs):
            found[:, i] = self._coordinate(knob, designs[knob.name])
        return found

    def _coordinate(self, knob: Parameter, values: Column) -> FloatArray:
        if isinstance(knob, Real):
            inside = (values >= knob.low) & (values <= knob.high)
            # An inactive knob may have a value that no active one has; it gets a place outside.
            found = np.full(len(values), -0.5)
            found[inside] = knob.encode(values[inside])
            return found
        codes = np.arange(float(knob.count))
        levels = list(dict.fromkeys([*knob.decode(codes).tolist()]))
        if knob.name in self.otherwise:
            levels = [*levels, *({self.otherwise[knob.name]} - set(levels))]
        if isinstance(knob, Categorical):
            place = {level: i for i, level in enumerate(levels)}
            return np.array([place[v] for v in values.tolist()], dtype=np.float64)
        ordered = np.sort(np.array(levels, dtype=np.float64))
        return np.searchsorted(ordered, values) / max(len(ordered) - 1, 1)
