"""Where rows are evaluated changes no result: in this process, in a pool, or on Ray."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pytest

from dse.errors import DseError, EvaluationError
from dse.evaluation import Cached, Chain
from dse.explore import explore
from dse.parameters import Categorical, Ordinal
from dse.pareto import non_dominated
from dse.problem import Constraint, Objective, Problem
from dse.searchers.pymoo_search import Nsga2
from dse.space import SearchSpace
from dse.testing import Inverse, WorkerProcessesContract, WorkersContract, rows_of
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import Outcome, Spread, nothing


@pytest.fixture(scope="module")
def ray_started():
    """One local Ray and two actors for the whole module: a start takes seconds."""
    import ray

    with RayWorkers(2) as workers:
        assert ray.is_initialized()
        yield workers
    assert not ray.is_initialized()


class TestSerial(WorkersContract):
    def workers(self):
        return Serial()


class TestProcessPool(WorkersContract, WorkerProcessesContract):
    def workers(self):
        return ProcessPool(2)


class TestRay(WorkersContract, WorkerProcessesContract):
    @pytest.fixture(autouse=True)
    def _share(self, ray_started):
        self.entered = ray_started

    def workers(self):
        return nullcontext(self.entered)


@pytest.mark.parametrize("kind", [ProcessPool, RayWorkers])
@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(kind, workers):
    with pytest.raises(DseError, match=f"workers = {workers}"):
        kind(workers)


def test_a_row_that_kills_the_only_process_takes_no_other_row_with_it(tmp_path):
    with ProcessPool(1) as pool:
        outcomes = pool.map(Inverse(str(tmp_path), 1000), rows_of([-1.0, 2.0, 4.0]), nothing)
    assert [outcome.columns is None for outcome in outcomes] == [True, False, False]


def test_a_pool_can_be_left_without_having_been_used():
    with ProcessPool(1):
        pass


def spread_problem(workers, done=nothing):
    space = SearchSpace(
        (
            Ordinal("x", (-3.0, 0.0, 0.1, 0.7, 1.3, 2.0, 5.0), "s"),
            Categorical("name", ("a", "bb", "ccc")),
        )
    )
    evaluator = Chain((Cached(Spread(Inverse(), workers, done)),))
    objectives = (Objective("rate", "Hz", "max"), Objective("count", "1", "max"))
    return Problem(space, evaluator, objectives, (Constraint("rate", "Hz", 9.0),))


def front_bytes(workers):
    problem = spread_problem(workers)
    searcher = Nsga2(problem.space, objectives=2, constraints=1, seed=11, population=6)
    trials = explore(problem, searcher, budget=19).trials  # of 21, three of which fail
    feasible = trials.rows(trials.feasible)
    front = feasible.rows(non_dominated(feasible.losses))
    assert len(front)
    assert not trials.ok.all()
    everything = (trials.codes, np.nan_to_num(trials.losses), front.codes, front.losses)
    columns = [np.asarray(column)[trials.ok].tolist() for column in trials.metrics.values()]
    return [a.tobytes() for a in everything], columns, trials.failures


def test_the_same_front_whichever_ran_it(ray_started):
    with Serial() as serial, ProcessPool(2) as pool:
        one = front_bytes(serial)
        assert front_bytes(pool) == one
        assert front_bytes(ray_started) == one


def test_spread_rows_are_counted_as_they_finish():
    ticks = []
    problem = spread_problem(Serial(), lambda: ticks.append(1))
    problem.evaluate(np.concatenate(list(problem.space.enumerate())))
    assert len(ticks) == 21


def test_an_outcome_without_columns_and_reason_is_still_a_failure():
    class Silent(Serial):
        def map(self, _, rows, __):
            return [Outcome(None) for _ in rows]

    trials = spread_problem(Silent()).evaluate(np.zeros((2, 2)))
    assert not trials.ok.any()


@dataclass(frozen=True)
class Unpicklable(Inverse):
    """Cannot leave its process."""

    def __reduce__(self):
        raise TypeError("made of this process")


def test_an_evaluator_that_cannot_travel_is_named():
    with ProcessPool(1) as pool, pytest.raises(EvaluationError, match=r"Unpicklable .*made of"):
        pool.map(Unpicklable(), rows_of([1.0]), nothing)


def test_an_evaluator_that_cannot_travel_to_ray_is_named(ray_started):
    with pytest.raises(EvaluationError, match=r"Unpicklable .*made of"):
        ray_started.map(Unpicklable(), rows_of([1.0]), nothing)


@pytest.mark.usefixtures("ray_started")
def test_more_workers_than_ray_has_processors_are_refused_instead_of_waited_for():
    with pytest.raises(DseError, match=r"workers = 3.* 2 "), RayWorkers(3):
        pass
