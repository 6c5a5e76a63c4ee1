"""Where rows are evaluated changes no result: in this process, in a pool, or on Ray."""

import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dse.core.errors import DseError, EvaluationError
from dse.core.evaluation import Cached, Chain
from dse.core.parameters import Categorical, Ordinal
from dse.core.problem import Constraint, Objective, Problem
from dse.core.space import SearchSpace
from dse.pareto.dominance import non_dominated
from dse.search.loop import explore
from dse.searchers.pymoo_search import Nsga2
from dse.testing.contracts import Inverse, WorkerProcessesContract, WorkersContract, rows_of
from dse.workers.process_pool import ProcessPool, _Processes
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import NOT_BEGUN, Needs, Outcome, Spread, nothing


@pytest.fixture(scope="module")
def cluster():
    """Two Ray nodes of two processors each on this machine: a start takes seconds."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 10**8, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=node)
    nodes.add_node(num_cpus=2, object_store_memory=10**8)
    with RayWorkers(1, address=nodes.address):  # the connection stays until the last test
        yield nodes
    assert not ray.is_initialized()
    nodes.shutdown()


@pytest.fixture
def ray_started(cluster):
    """Two actors on the cluster."""
    with RayWorkers(2, address=cluster.address) as workers:
        yield workers


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
    searcher = Nsga2(problem, seed=11, batch=6)
    trials = explore(problem, searcher, budget=19).trials  # of 21, three of which fail
    feasible = trials.rows(trials.feasible)
    front = feasible.rows(non_dominated(feasible.losses))
    assert len(front)
    assert not trials.ok.all()
    everything = (trials.codes, np.nan_to_num(trials.losses), front.codes, front.losses)
    columns = [np.asarray(column)[trials.ok].tolist() for column in trials.metrics.values()]
    return [a.tobytes() for a in everything], columns, trials.failures


@pytest.fixture(scope="module")
def serial_front():
    with Serial() as serial:
        return front_bytes(serial)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_pool_of_any_size_finds_the_same_bytes(workers, serial_front):
    with ProcessPool(workers) as pool:
        assert front_bytes(pool) == serial_front


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ray_on_one_or_two_nodes_finds_the_same_bytes(workers, cluster, serial_front):
    """A node has two processors, so that four workers are on two nodes."""
    import ray

    assert [node["Resources"]["CPU"] for node in ray.nodes()] == [2.0, 2.0]
    with RayWorkers(workers, address=cluster.address) as spread:
        assert front_bytes(spread) == serial_front


def test_spread_rows_are_counted_as_they_finish():
    ticks = []
    problem = spread_problem(Serial(), lambda: ticks.append(1))
    problem.evaluate(np.concatenate(list(problem.space.enumerate())))
    assert len(ticks) == 21


def test_an_outcome_without_columns_and_reason_is_still_a_failure():
    class Silent(Serial):
        def map(self, _, rows, *__):
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


def test_more_workers_than_ray_has_processors_are_refused_instead_of_waited_for(cluster):
    with (
        pytest.raises(DseError, match=r"workers = 5: 5 CPU are needed, .* of Ray's 4 are free"),
        RayWorkers(5, address=cluster.address),
    ):
        pass


def test_processors_that_somebody_else_has_are_not_counted(cluster):
    with RayWorkers(3, address=cluster.address) as first:
        assert all(o.columns for o in first.map(Inverse(), rows_of([1.0, 2.0, 4.0]), nothing))
        with (
            pytest.raises(DseError, match=r"workers = 2: 2 CPU are needed, 1 of Ray's 4 are free"),
            RayWorkers(2, address=cluster.address),
        ):
            pass


def test_what_a_row_needs_is_reserved_or_refused(cluster):
    with RayWorkers(2, address=cluster.address) as workers:
        outcomes = workers.map(Inverse(), rows_of([1.0, 2.0]), nothing, Needs(cpus=2))
        assert all(o.columns for o in outcomes)
        with pytest.raises(DseError, match=r"2 GPU are needed, 0 of Ray's 0 are free"):
            workers.map(Inverse(), rows_of([1.0]), nothing, Needs(gpus=1))
    with ProcessPool(1) as pool, pytest.raises(DseError, match="does not share out accelerators"):
        pool.map(Inverse(), rows_of([1.0]), nothing, Needs(gpus=1))
    with pytest.raises(DseError, match="cannot break off"):
        Serial().map(Inverse(), rows_of([1.0]), nothing, Needs(timeout=1.0))


@pytest.mark.parametrize(
    ("wrong", "said"), [({"cpus": 0}, "cpus = 0"), ({"gpus": -1}, "gpus"), ({"timeout": 0}, "0 s")]
)
def test_impossible_needs_are_refused(wrong, said):
    with pytest.raises(DseError, match=said):
        Needs(**wrong)


@pytest.mark.ci  # Ray looks for it for some seconds
def test_a_cluster_that_is_not_there_is_named():
    code = (
        "from dse.workers.ray_workers import RayWorkers\n"
        "with RayWorkers(1, address='127.0.0.1:1999'): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DseError: no Ray cluster at 127.0.0.1:1999" in done.stderr


def test_a_stop_lets_finish_what_was_begun_and_begins_nothing_more():
    done: list[int] = []
    with ProcessPool(1, lambda: len(done) >= 2) as pool:
        outcomes = pool.map(Inverse(), rows_of([1.0, 2.0, 4.0, 5.0]), lambda: done.append(1))
    assert [o.failure for o in outcomes] == [None, None, NOT_BEGUN, NOT_BEGUN]
    with Serial(lambda: len(done) >= 3) as serial:
        outcomes = serial.map(Inverse(), rows_of([1.0, 2.0]), lambda: done.append(1))
    assert [o.failure for o in outcomes] == [None, NOT_BEGUN]


def test_an_evaluator_travels_once_to_each_process_and_not_with_each_row():
    class Watched(Inverse):
        times: ClassVar[list[int]] = []

        def __reduce__(self):
            self.times.append(1)
            return Inverse, ()

    evaluator = Watched()
    with ProcessPool(2) as pool:
        for _ in range(3):
            pool.map(evaluator, rows_of([1.0, 2.0, 4.0]), nothing)
        assert len(Watched.times) == 1
        changed = pool.map(Inverse(), rows_of([5.0]), nothing)
    assert changed[0].columns is not None
    assert changed[0].columns["rate"] == 0.2


def test_a_process_of_the_pool_is_deaf_to_ctrl_c_before_its_first_import():
    crew = _Processes()
    crew.prepare(Inverse(), Needs())
    slot = crew.start()
    try:
        status = Path(f"/proc/{slot.process.pid}/status").read_text(encoding="ascii")
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        assert int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        slot.process.kill()
        slot.process.join()
        slot.pipe.close()
