"""Contract tests that a searcher, an evaluator or workers of anybody can inherit; needs pytest.

Subclass a contract in a test module, override its hooks, and pytest collects the rest:

    class TestMySearcher(SearcherContract):
        def searcher(self, problem):
            return MySearcher(problem, seed=1, batch=10)

        def continuous(self):
            return True
"""

import os
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from dse.core.errors import CallOrderError, CompositionError, DseError
from dse.core.evaluation import Evaluator
from dse.core.failure import Failure
from dse.core.parameters import Categorical, Column, FloatArray, Integer, Ordinal, Parameter, Real
from dse.core.problem import Constraint, Objective, Problem
from dse.core.signature import EVIDENCE, TEXT_UNITS, Signature
from dse.core.space import ActiveWhen, Columns, Forbidden, SearchSpace, length, take
from dse.searchers.searcher import Answers, Searcher
from dse.workers.workers import Outcome, Workers, nothing

# -- searchers ------------------------------------------------------------------------------


def conditional_space(*, continuous: bool) -> SearchSpace:
    """A space with every kind of knob, nested conditions and a forbidden combination."""
    kinds: tuple[Parameter, ...] = (
        Categorical("cell", ("sram", "reram", "mram")),
        Integer("bits", 1, 4, "bit"),
        Ordinal("verify", (0.0, 0.5, 1.0), "1"),
        Integer("rows", 64, 192, "1", step=64),
    )
    real = (Real("vdd", 0.5, 0.8, "V", stage="run"),) if continuous else ()
    return SearchSpace(
        kinds + real,
        (
            ActiveWhen("bits", "cell", ("reram", "mram"), otherwise=1),
            ActiveWhen("verify", "bits", (2, 3, 4), otherwise=0.25),
            ActiveWhen("verify", "cell", ("reram",), otherwise=0.25),
        ),
        (Forbidden({"cell": ("mram",), "bits": (3, 4)}, "no such cell"),),
    )


def tiny_space() -> SearchSpace:
    """Three designs."""
    return SearchSpace(
        (Categorical("cell", ("a", "b")), Integer("bits", 1, 2, "bit")),
        (ActiveWhen("bits", "cell", ("b",), otherwise=1),),
    )


@dataclass(frozen=True)
class _Unasked:
    """A measured evaluator that no searcher may call: the contract answers in its place."""

    signature: Signature

    def __call__(self, columns: Columns) -> Columns:
        raise AssertionError(f"a searcher evaluates nothing; it asked for {length(columns)} rows")


def searched_problem(space: SearchSpace, objectives: int, constraints: int) -> Problem:
    """A problem of so many objectives `f0`, `f1`, ... and constraints `c0 <= 0`, `c1 <= 0`, ..."""
    wanted = tuple(Objective(f"f{i}", "1") for i in range(objectives))
    limits = tuple(Constraint(f"c{i}", "1", 0.0) for i in range(constraints))
    outputs = {part.name: part.unit for part in wanted} | {part.name: part.unit for part in limits}
    run = _Unasked(Signature.uniform(space.units, outputs, "measured", "measured"))
    return Problem(space, run, wanted, limits)


def answers_to(codes: FloatArray, objectives: int, constraints: int, ok: Column) -> Answers:
    """Losses and violations that are a fixed function of the codes; NaN where `ok` is False.

    The metrics are the losses as `f0`, `f1`, ... and the violations as `c0`, `c1`, ...
    """
    weights = np.arange(1.0, codes.shape[1] + 1)
    score = codes @ weights
    losses = np.stack([np.abs(score - 4.0 * i) for i in range(objectives)], axis=1)
    violations = np.empty((len(codes), constraints))
    for i in range(constraints):
        violations[:, i] = score - 6.0 - i
    metrics = {f"f{i}": losses[:, i].copy() for i in range(objectives)}
    metrics |= {f"c{i}": violations[:, i].copy() for i in range(constraints)}
    losses[~ok], violations[~ok] = np.nan, np.nan
    return Answers(losses, violations, ok, metrics)


class SearcherContract:
    """What every searcher promises the loop."""

    def searcher(self, problem: Problem) -> Searcher:
        """Hook: a fresh searcher of a problem, with always the same seed."""
        raise NotImplementedError

    def continuous(self) -> bool:
        """Hook: whether the searcher takes a space with a `Real` knob."""
        raise NotImplementedError

    def _batches(
        self, space: SearchSpace, *, rounds: int = 6, constraints: int = 0, failing: str = "none"
    ) -> Iterator[FloatArray]:
        """Ask and tell for some rounds; `failing`: `none`, `some`, `first`, `later` or `all`."""
        searcher = self.searcher(searched_problem(space, 2, constraints))
        for turn in range(rounds):
            codes = searcher.ask()
            if not len(codes):
                return
            yield codes
            ok = np.full(len(codes), fill_value=True)
            if failing == "some":
                ok[::3] = False
            if failing == "all" or failing == ("later" if turn else "first"):
                ok[:] = False
            searcher.tell(answers_to(codes, 2, constraints, ok))

    def test_same_seed_and_same_answers_give_the_same_rows(self) -> None:
        """Whatever the state of the generators that belong to everybody."""
        space = conditional_space(continuous=self.continuous())
        runs = []
        for global_seed in (1, 2):
            random.seed(global_seed)
            np.random.seed(global_seed)  # noqa: NPY002  # the global generator is the point
            runs.append(list(self._batches(space, constraints=1, failing="some")))
        assert len(runs[0]) == len(runs[1])
        for one, other in zip(*runs, strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("constraints", [0, 2])
    def test_proposes_only_allowed_canonical_codes(self, constraints: int) -> None:
        """Each batch has shape (n, d), is its own canonical form, and decodes."""
        space = conditional_space(continuous=self.continuous())
        for codes in self._batches(space, constraints=constraints):
            assert codes.ndim == 2
            assert codes.shape[1] == len(space.parameters)
            assert codes.dtype == np.float64
            np.testing.assert_array_equal(codes, space.canonical(codes))
            assert space.allowed(codes).all()
            assert length(space.decode(codes)) == len(codes)

    @pytest.mark.parametrize("failing", ["some", "first", "later", "all"])
    def test_failed_rows_do_not_stop_the_search(self, failing: str) -> None:
        """Neither a few of them nor a whole generation, first or later; something else follows."""
        space = conditional_space(continuous=self.continuous())
        seen = list(self._batches(space, constraints=1, failing=failing))
        assert len(seen) == 6 or sum(map(len, seen)) == space.size
        assert len({codes.tobytes() for codes in seen}) == len(seen)

    def test_a_tiny_space_is_exhausted_or_proposed_again(self) -> None:
        """No searcher breaks when nothing new is left."""
        space = tiny_space()
        seen = {row.tobytes() for codes in self._batches(space, rounds=12) for row in codes}
        assert len(seen) == space.size == 3

    def test_a_finite_space_is_searched_to_its_end_without_a_batch_of_repeats(self) -> None:
        """Then nothing is proposed, rather than the same again."""
        space = conditional_space(continuous=False)
        seen: set[bytes] = set()
        for codes in self._batches(space, rounds=1000, constraints=1):
            new = {row.tobytes() for row in codes} - seen
            assert new
            seen |= new
        assert len(seen) == space.size

    def test_a_space_of_one_design_is_searched(self) -> None:
        """The smallest space there is."""
        space = SearchSpace((Integer("bits", 8, 8, "bit"),))
        for codes in self._batches(space, rounds=4):
            np.testing.assert_array_equal(codes, np.zeros((len(codes), 1)))

    def test_says_what_it_can(self) -> None:
        """The flags are plain truth values of the class."""
        searcher = self.searcher(searched_problem(tiny_space(), 2, 0))
        for flag in ("learns", "limited", "continuous"):
            assert getattr(type(searcher), flag) in (True, False)
        assert searcher.continuous == self.continuous()

    def test_never_more_rows_than_wanted(self) -> None:
        """And whoever asks for few at a time is not kept from the rest; 0 are refused."""
        space = conditional_space(continuous=False)
        searcher = self.searcher(searched_problem(space, 2, 1))
        with pytest.raises(DseError, match="n = 0: at least 1"):
            searcher.ask(0)
        seen: set[bytes] = set()
        for turn in range(1000):
            wanted = 1 + turn % 3
            codes = searcher.ask(wanted)
            if not len(codes):
                break
            assert len(codes) <= wanted
            seen |= {row.tobytes() for row in codes}
            searcher.tell(answers_to(codes, 2, 1, np.arange(len(codes)) != 1))
        assert len(seen) == space.size

    def test_learns_of_designs_that_it_did_not_propose(self) -> None:
        """Failed ones too; twice is as good as once; they are not proposed for want of ideas."""
        space = conditional_space(continuous=False)
        known = np.concatenate(list(space.enumerate()))[::2]
        answers = answers_to(known, 2, 1, np.arange(len(known)) % 5 != 0)
        searcher = self.searcher(searched_problem(space, 2, 1))
        searcher.learn(known[:0], answers_to(known[:0], 2, 1, np.zeros(0, dtype=bool)))
        searcher.learn(known, answers)
        searcher.learn(known, answers)
        seen = {row.tobytes() for row in known}
        while len(codes := searcher.ask()):
            new = {row.tobytes() for row in codes} - seen
            assert new
            seen |= new
            searcher.tell(answers_to(codes, 2, 1, np.full(len(codes), fill_value=True)))
        assert len(seen) == space.size

    def test_learning_in_the_middle_of_a_batch_is_refused(self) -> None:
        """And so are rows without an answer each; what waits is answered afterwards."""
        searcher = self.searcher(searched_problem(tiny_space(), 2, 0))
        codes = searcher.ask()
        answers = answers_to(codes, 2, 0, np.full(len(codes), fill_value=True))
        with pytest.raises(CallOrderError, match="learn came before"):
            searcher.learn(codes, answers)
        searcher.tell(answers)
        with pytest.raises(CallOrderError, match="designs to learn"):
            searcher.learn(np.concatenate([codes, codes]), answers)

    def test_tell_before_ask_is_refused(self) -> None:
        """Nothing waits for an answer, at the start and after an answer."""
        searcher = self.searcher(searched_problem(tiny_space(), 2, 0))
        nobody = answers_to(np.zeros((1, 2)), 2, 0, np.array([True]))
        with pytest.raises(CallOrderError, match="before ask"):
            searcher.tell(nobody)
        codes = searcher.ask()
        answers = answers_to(codes, 2, 0, np.full(len(codes), fill_value=True))
        searcher.tell(answers)
        with pytest.raises(CallOrderError, match="before ask"):
            searcher.tell(answers)

    def test_a_second_ask_before_the_answer_is_refused(self) -> None:
        """And the batch that waits is still answered afterwards."""
        searcher = self.searcher(searched_problem(tiny_space(), 2, 0))
        codes = searcher.ask()
        with pytest.raises(CallOrderError, match=str(len(codes))):
            searcher.ask()
        searcher.tell(answers_to(codes, 2, 0, np.full(len(codes), fill_value=True)))

    def test_a_wrong_number_of_answers_is_refused(self) -> None:
        """The message shows both numbers; the right number is accepted afterwards."""
        searcher = self.searcher(searched_problem(tiny_space(), 2, 0))
        codes = searcher.ask()
        n = len(codes)
        more = answers_to(np.zeros((n + 1, 2)), 2, 0, np.full(n + 1, fill_value=True))
        with pytest.raises(CallOrderError, match=rf"{n}.*{n + 1}"):
            searcher.tell(more)
        searcher.tell(answers_to(codes, 2, 0, np.full(n, fill_value=True)))

    def test_knows_its_problem_and_its_batch(self) -> None:
        """Whoever explores compares the problem; no ask gives more than a batch."""
        problem = searched_problem(conditional_space(continuous=False), 2, 1)
        searcher = self.searcher(problem)
        assert searcher.problem == problem
        assert 1 <= len(searcher.ask()) <= searcher.batch

    @pytest.mark.parametrize("told", [(1, 1), (3, 1), (2, 0), (2, 2), (3, 0)])
    @pytest.mark.parametrize("call", ["tell", "learn"])
    def test_answers_of_another_problem_are_refused(self, call: str, told: tuple[int, int]) -> None:
        """Too many or too few objectives or constraints; the right ones are taken afterwards."""
        answer, codes = self._answering(call, constraints=1)
        ok = np.full(len(codes), fill_value=True)
        with pytest.raises((CallOrderError, CompositionError)):
            answer(answers_to(codes, *told, ok))
        answer(answers_to(codes, 2, 1, ok))

    @pytest.mark.parametrize("call", ["tell", "learn"])
    def test_a_limit_that_the_problem_does_not_have_is_refused(self, call: str) -> None:
        """Nothing is dropped in silence."""
        answer, codes = self._answering(call, constraints=0)
        ok = np.full(len(codes), fill_value=True)
        with pytest.raises((CallOrderError, CompositionError)):
            answer(answers_to(codes, 2, 1, ok))
        answer(answers_to(codes, 2, 0, ok))

    @pytest.mark.parametrize("rows", [-1, 1])
    @pytest.mark.parametrize("column", ["violations", "ok", "stopped"])
    @pytest.mark.parametrize("call", ["tell", "learn"])
    def test_columns_of_another_length_are_refused(self, call: str, column: str, rows: int) -> None:
        """Every column of the answers has a row for each design."""
        answer, codes = self._answering(call, constraints=1)
        right = answers_to(codes, 2, 1, np.full(len(codes), fill_value=True))
        other = len(codes) + rows
        wrong = {
            "violations": replace(right, violations=np.zeros((other, 1))),
            "ok": replace(right, ok=np.full(other, fill_value=True)),
            "stopped": replace(right, stopped=np.full(other, fill_value=False)),
        }
        with pytest.raises((CallOrderError, CompositionError)):
            answer(wrong[column])
        answer(right)

    def test_codes_of_another_space_are_refused(self) -> None:
        """A row has one code per knob of the problem."""
        space = conditional_space(continuous=False)
        searcher = self.searcher(searched_problem(space, 2, 1))
        codes = next(space.enumerate())[:3]
        answers = answers_to(codes, 2, 1, np.full(3, fill_value=True))
        for wrong in (codes[:, 1:], np.concatenate([codes, codes], axis=1), codes[:, 0]):
            with pytest.raises((CallOrderError, CompositionError)):
                searcher.learn(wrong, answers)
        searcher.learn(codes, answers)

    def _answering(
        self, call: str, *, constraints: int
    ) -> tuple[Callable[[Answers], None], FloatArray]:
        """What takes answers to some designs of a problem with two objectives, and the designs."""
        space = conditional_space(continuous=False)
        searcher = self.searcher(searched_problem(space, 2, constraints))
        if call == "tell":
            codes = searcher.ask()
            return searcher.tell, codes
        codes = next(space.enumerate())[:3]
        return partial(searcher.learn, codes), codes

    def test_rows_and_answers_belong_to_the_caller(self) -> None:
        """Overwriting what was handed over changes nothing that comes later."""
        space = conditional_space(continuous=self.continuous())
        untouched = list(self._batches(space, rounds=4))
        searcher = self.searcher(searched_problem(space, 2, 0))
        for expected in untouched:
            codes = searcher.ask()
            np.testing.assert_array_equal(codes, expected)
            answers = answers_to(codes, 2, 0, np.full(len(codes), fill_value=True))
            codes[:] = 0.0
            searcher.tell(answers)
            answers.losses[:] = 0.0


# -- evaluators -----------------------------------------------------------------------------


def assert_same_columns(one: Columns, other: Columns) -> None:
    """The same names and the same bits, row for row; the padding of strings does not count."""
    assert set(one) == set(other)
    for name in one:
        left, right = np.asarray(one[name]), np.asarray(other[name])
        assert left.dtype.kind == right.dtype.kind, f"{name}: {left.dtype} and {right.dtype}"
        assert left.tolist() == right.tolist(), name
        if left.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(left), np.signbit(right), err_msg=name)


class EvaluatorContract:
    """What every evaluator promises the engine."""

    def evaluator(self) -> Evaluator:
        """Hook: the evaluator."""
        raise NotImplementedError

    def columns(self) -> Columns:
        """Hook: a batch of at least three different rows, all of which have an answer."""
        raise NotImplementedError

    def test_declares_units_evidence_and_cost(self) -> None:
        """Every column has a unit, every output a label of the list."""
        evaluator = self.evaluator()
        for name, unit in [
            *evaluator.signature.inputs.items(),
            *evaluator.signature.outputs.items(),
        ]:
            assert name
            assert unit, f"{name} has no unit"
        assert evaluator.signature.outputs
        assert set(evaluator.signature.evidence) == set(evaluator.signature.outputs)
        assert set(evaluator.signature.evidence.values()) <= set(EVIDENCE)
        assert evaluator.signature.cost in ("closed form", "measured")

    def test_gives_exactly_the_outputs_one_finite_value_per_row(self) -> None:
        """Text where the unit is `choice` or `handle`, real numbers elsewhere."""
        evaluator, columns = self.evaluator(), self.columns()
        outputs = evaluator(columns)
        assert set(outputs) == set(evaluator.signature.outputs)
        for name, unit in evaluator.signature.outputs.items():
            column = np.asarray(outputs[name])
            assert column.shape == (length(columns),), name
            if unit in TEXT_UNITS:
                assert column.dtype.kind == "U", f"{name} is {column.dtype}"
            else:
                assert column.dtype.kind in "fiu", f"{name} is {column.dtype}"
                assert np.isfinite(column).all(), name

    def test_a_batch_equals_its_rows(self) -> None:
        """Bit for bit, whatever the order and the company."""
        evaluator, columns = self.evaluator(), self.columns()
        n = length(columns)
        assert n >= 3
        whole = evaluator(columns)
        for row in range(n):
            index = np.array([row])
            assert_same_columns(evaluator(take(columns, index)), take(whole, index))
        mixed = np.concatenate([np.arange(n)[::-1], np.arange(n)])
        assert_same_columns(evaluator(take(columns, mixed)), take(whole, mixed))

    def test_reads_only_its_inputs_and_changes_none(self) -> None:
        """Inputs may be read-only; other columns may be absent, or anything."""
        evaluator, columns = self.evaluator(), self.columns()
        only = {name: np.array(columns[name]) for name in evaluator.signature.inputs}
        for column in only.values():
            column.flags.writeable = False
        strange = np.full(length(columns), np.nan)
        with_more = {**only, **{f"not_{name}": strange for name in only}}
        assert_same_columns(evaluator(only), evaluator(columns))
        assert_same_columns(evaluator(with_more), evaluator(columns))

    def test_travels_to_another_process(self) -> None:
        """A pickled copy gives the same answer."""
        evaluator, columns = self.evaluator(), self.columns()
        copy: Evaluator = pickle.loads(pickle.dumps(evaluator))
        assert_same_columns(copy(columns), evaluator(columns))
        assert dict(copy.signature.outputs) == dict(evaluator.signature.outputs)


# -- workers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inverse:
    """1 / x in its own process; refuses x = 0, and dies at x < 0 as often as it is told to.

    Args:
        deaths: Folder in which each death leaves a file, so that the next process knows of it.
        lives: How many deaths come before the answer at x < 0.
    """

    deaths: str = ""
    lives: int = 0
    signature: ClassVar[Signature] = Signature(
        {"x": "s", "name": "choice"},
        {"rate": "Hz", "label": "handle", "count": "1"},
        {
            "rate": "closed form",
            "label": "closed form",
            "count": "closed form",
        },
        "measured",
    )

    def __call__(self, columns: Columns) -> Columns:
        """Rate [Hz], a label and a whole number per row."""
        x, name = columns["x"], columns["name"]
        if (x == 0).any():
            raise ValueError("x = 0 s has no rate")
        if self.deaths and (x < 0).any():
            marks = sorted(Path(self.deaths).iterdir())
            if len(marks) < self.lives:
                (Path(self.deaths) / f"death{len(marks)}").touch()
                os._exit(1)
        label: NDArray[np.str_] = np.char.add(name.astype(np.str_), "!")
        return {"rate": 1 / x, "label": label, "count": np.rint(x).astype(np.int64)}


def rows_of(xs: list[float]) -> list[dict[str, Column]]:
    """One-row batches for `Inverse`."""
    return [{"x": np.array([x]), "name": np.array([f"row{i}"])} for i, x in enumerate(xs)]


def _failures(outcomes: list[Outcome]) -> list[int]:
    return [i for i, outcome in enumerate(outcomes) if outcome.columns is None]


class WorkersContract:
    """What all workers promise; one context per test, so that leaving it is tested as well."""

    def workers(self) -> AbstractContextManager[Workers]:
        """Hook: workers that have not been entered."""
        raise NotImplementedError

    def test_results_and_their_order_are_those_of_this_process(self) -> None:
        """Bit for bit, floats, strings and whole numbers; `done` is called once per row."""
        rows, ticks = rows_of([0.1, 3.0, 7.0, 1e-300, 2.0, 0.3, 11.0]), []
        with self.workers() as workers:
            outcomes = workers.map(Inverse(), rows, lambda: ticks.append(1))
        assert len(outcomes) == len(ticks) == len(rows)
        for row, outcome in zip(rows, outcomes, strict=True):
            assert outcome.columns is not None
            assert_same_columns(outcome.columns, Inverse()(row))

    def test_a_raising_row_fails_alone_with_its_reason(self) -> None:
        """And the workers are as good as before; no rows at all are no trouble either."""
        with self.workers() as workers:
            outcomes = workers.map(Inverse(), rows_of([1.0, 0.0, 2.0, 0.0]), nothing)
            assert workers.map(Inverse(), [], nothing) == []
            again = workers.map(Inverse(), rows_of([4.0]), nothing)
        assert _failures(outcomes) == [1, 3]
        assert outcomes[1].failure == Failure("raised", "ValueError: x = 0 s has no rate")
        assert outcomes[0].failure is None
        assert again[0].columns is not None


class WorkerProcessesContract:
    """What workers in processes of their own promise on top: a death is not the end."""

    def workers(self) -> AbstractContextManager[Workers]:
        """Hook: workers that have not been entered."""
        raise NotImplementedError

    def test_a_row_whose_process_dies_once_is_tried_again(self, tmp_path: Path) -> None:
        """A killed process costs time, never a result."""
        ticks: list[int] = []
        with self.workers() as workers:
            evaluator = Inverse(str(tmp_path), lives=1)
            outcomes = workers.map(
                evaluator, rows_of([1.0, -2.0, 3.0, 4.0]), lambda: ticks.append(1)
            )
        assert not _failures(outcomes)
        assert len(list(tmp_path.iterdir())) == 1
        assert len(ticks) == 4

    def test_a_row_that_always_kills_its_process_fails_alone(self, tmp_path: Path) -> None:
        """It is reported after a few attempts, and the others keep their results."""
        ticks: list[int] = []
        with self.workers() as workers:
            evaluator = Inverse(str(tmp_path), lives=1000)
            outcomes = workers.map(evaluator, rows_of([1.0, -2.0, 3.0]), lambda: ticks.append(1))
            again = workers.map(Inverse(), rows_of([4.0]), nothing)
        assert _failures(outcomes) == [1]
        assert outcomes[1].failure is not None
        assert outcomes[1].failure.kind == "crashed"
        assert len(list(tmp_path.iterdir())) == 3
        assert len(ticks) == 3
        assert again[0].columns is not None
