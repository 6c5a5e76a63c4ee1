"""BoTorch over a pool of designs: the contract, limits, failures, and that it learns."""

import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from dse.core.errors import DseError, MissingDependency
from dse.core.parameters import Categorical, Integer
from dse.core.space import ActiveWhen, SearchSpace
from dse.pareto.hypervolume import Reference, hypervolume
from dse.runs.store import read_run
from dse.search.interrupts import Stop
from dse.searchers import botorch_search
from dse.searchers.botorch_search import BotorchSearch
from dse.searchers.candidate_pool import CandidatePool, coordinates
from dse.searchers.deduplication import Unseen
from dse.searchers.random_search import RandomSearch
from dse.searchers.searcher import Answers
from dse.study.loader import load_study
from dse.study.runner import run_study
from dse.testing.contracts import (
    SearcherContract,
    conditional_space,
    searched_problem,
    tiny_space,
)


@pytest.fixture
def in_haste(monkeypatch):
    """Fewer candidates and steps per fit: for what does not depend on how good a model is."""
    monkeypatch.setattr(botorch_search, "CANDIDATES", 16)
    monkeypatch.setattr(botorch_search.acquisition(), "STEPS", 5)
    monkeypatch.setattr(botorch_search.acquisition(), "SAMPLES", 4)


@pytest.mark.usefixtures("in_haste")
class TestBotorch(SearcherContract):
    def searcher(self, problem):
        # A listed space is searched to its end by several tests: models choose the last third.
        return BotorchSearch(
            problem, seed=7, batch=3, starts=3 if problem.space.size is None else 30
        )

    def continuous(self):
        return True


def cube(levels=10, knobs=3):
    return SearchSpace(tuple(Integer(f"x{i}", 0, levels - 1, "1") for i in range(knobs)))


def distances(codes, *centres):
    """Squared distance to each centre, one loss per centre."""
    return np.stack([((codes - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def all_fine(codes, losses, violations=None):
    violations = np.empty((len(codes), 0)) if violations is None else violations
    return Answers(losses, violations, np.ones(len(codes), dtype=bool))


# -- where designs lie, and which ones are looked at ------------------------------------------


def test_designs_lie_at_their_levels_and_names_1_apart():
    space = conditional_space(continuous=True)
    raw = np.array([[1, 3, 0, 2, 0.25], [0, -1, -1, 1, 1.0]])
    np.testing.assert_allclose(
        coordinates(space, raw),
        [[0, 0.7, 0, 1, 0, 1, 0.25], [0.7, 0, 0, 0.5, 0.5, 0.5, 1]],
    )


def test_no_two_designs_lie_at_one_place():
    space = conditional_space(continuous=False)
    places = coordinates(space, np.concatenate(list(space.enumerate())))
    assert len(np.unique(places, axis=0)) == space.size
    assert places.min() == 0
    assert places.max() == 1


def test_a_named_knob_that_is_switched_off_lies_at_none_of_its_names():
    space = SearchSpace(
        (Categorical("cell", ("a", "b")), Categorical("kind", ("x", "y"))),
        (ActiveWhen("kind", "cell", ("b",), "x"),),
    )
    np.testing.assert_allclose(coordinates(space, np.array([[0.0, -1.0]])), [[0.7, 0, 0, 0]])


@pytest.mark.parametrize("continuous", [True, False])
def test_a_pool_holds_new_allowed_designs_once(continuous):
    space = conditional_space(continuous=continuous)
    rng = np.random.default_rng(3)
    unseen = Unseen(space)
    parents = space.sample(3, rng)
    unseen.add(parents)
    pool = CandidatePool(space, unseen, most=10)
    for _ in range(20):
        codes = pool.drawn(parents, rng)
        assert len(codes) <= 10
        assert space.allowed(codes).all()
        assert unseen.mask(codes).all()
        np.testing.assert_array_equal(codes, space.canonical(codes))


def test_half_of_a_pool_differs_from_a_parent_in_at_most_two_knobs():
    space = cube(levels=100, knobs=6)
    rng = np.random.default_rng(3)
    parent = np.full((1, 6), 50.0)
    codes = CandidatePool(space, Unseen(space), most=100).drawn(parent, rng)
    near = (codes != 50).sum(axis=1) <= 2
    assert 30 < near.sum() <= 50  # the same neighbour may come twice, and is kept once
    assert np.abs(codes[near] - 50).max() < 25


def test_a_small_space_is_looked_at_whole():
    space = conditional_space(continuous=False)
    rng = np.random.default_rng(3)
    assert space.size is not None
    pool = CandidatePool(space, Unseen(space), most=space.size // 2 + 1)
    assert len(pool.drawn(space.sample(1, rng), rng)) == space.size


# -- which candidates are best ----------------------------------------------------------------


def best_of(*arguments, **options):
    return botorch_search.acquisition().best_of(*arguments, **options)


def no_limits(x):
    return np.empty((len(x), 0))


def test_the_best_of_a_slope_is_its_foot():
    x = np.linspace(0.2, 1, 9)[:, None]
    pool = np.array([[0.9], [0.5], [0.0], [0.7]])
    assert best_of(pool, x, 3 * x, no_limits(x), q=1, seed=1).tolist() == [2]


def test_a_limit_moves_the_best_to_where_it_is_kept():
    x = np.linspace(0.02, 0.98, 9)[:, None]
    pool = np.array([[0.9], [0.45], [0.0], [0.7]])
    assert best_of(pool, x, 3 * x, 0.42 - x, q=1, seed=1).tolist() == [1]
    assert best_of(pool, x, 3 * x, no_limits(x), q=1, seed=1).tolist() == [2]


def test_as_long_as_nothing_is_feasible_the_likeliest_to_be_is_best():
    x = np.linspace(0.0, 0.6, 9)[:, None]
    pool = np.array([[0.3], [1.0], [0.05], [0.5]])
    for losses in (x, np.concatenate([x, 1 - x], axis=1)):
        assert best_of(pool, x, losses, 0.9 - x, q=1, seed=1).tolist() == [1]


def test_the_second_of_a_batch_knows_of_the_first():
    """Next to the first there is nothing more to gain, though it is second best by itself."""
    x = np.linspace(0.3, 0.7, 5)[:, None]
    losses = np.concatenate([x, 1 - x], axis=1)
    pool = np.array([[0.9], [0.01], [0.0]])
    assert best_of(pool[:2], x, losses, no_limits(x), q=1, seed=1).tolist() == [1]
    assert best_of(pool, x, losses, no_limits(x), q=2, seed=1).tolist() == [2, 0]


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_a_large_front_is_represented_by_rows_all_over_it(objectives):
    """Within 3 times the distance to which as many balls could cover a front of that dimension."""
    acquisition = botorch_search.acquisition()
    rng = np.random.default_rng(3)
    losses = np.abs(rng.normal(size=(500, objectives)))
    losses = 1 - losses / np.linalg.norm(losses, axis=1, keepdims=True)
    runs = acquisition.Runs(losses, losses, no_limits(losses))
    most = {2: 100, 3: 40, 4: 20}[objectives]
    chosen = losses[runs.front]
    assert len(np.unique(chosen, axis=0)) == most
    gaps = np.linalg.norm(losses[:, None, :] - chosen, axis=2).min(axis=1)
    assert gaps.max() < 3 * most ** (-1 / (objectives - 1))


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("objectives", [1, 3])
@pytest.mark.parametrize("kind", ["constant", "twice", "steep"])
def test_whatever_the_numbers_rows_of_the_pool_come_back(kind, objectives, scale):
    rng = np.random.default_rng(5)
    x, pool = rng.random((8, 3)), rng.random((6, 3))
    losses = rng.random((8, objectives))
    violations = rng.random((8, 2)) - 0.5
    if kind == "constant":
        losses[:, 0], violations[:, 0] = 1.0, 0.0
    if kind == "twice":
        x[4:], losses[4:] = x[:4], losses[:4]
    if kind == "steep":
        losses[0] *= 1e6
    rows = best_of(pool, x, scale * losses, scale * violations, q=9, seed=2)
    assert sorted(rows) == list(range(6))


# -- the search --------------------------------------------------------------------------------


def told(searcher, losses, rounds, violations=None):
    """All rows proposed in some rounds."""
    seen = []
    for _ in range(rounds):
        codes = searcher.ask()
        limits = None if violations is None else violations(codes)
        searcher.tell(all_fine(codes, losses(codes), limits))
        seen.append(codes)
    return np.concatenate(seen)


def two_hills(codes):
    return distances(codes, 2.0, 7.0)


def test_it_finds_the_front_of_two_hills_where_random_draws_find_little(monkeypatch):
    """Of a million designs 40 are tried, 20 of them at random; those between the tops are best."""
    monkeypatch.setattr(botorch_search, "CANDIDATES", 256)
    monkeypatch.setattr(botorch_search.acquisition(), "SAMPLES", 8)
    space = cube(levels=10, knobs=6)
    # Whatever lies outside 2 to 7 in one knob comes closer to both tops by going there.
    between = 2.0 + np.concatenate(list(cube(levels=6, knobs=6).enumerate()))
    losses = two_hills(between)
    frame = Reference.of(losses)

    def share(searcher, rounds):
        found = two_hills(told(searcher, two_hills, rounds))
        return hypervolume(found, frame) / hypervolume(losses, frame)

    found = share(BotorchSearch(searched_problem(space, 2, 0), seed=1, batch=5), 8)
    assert found > 0.85
    assert share(RandomSearch(searched_problem(space, 2, 0), seed=1, batch=40), 1) < 0.75


@pytest.mark.usefixtures("in_haste")
def test_a_limit_that_is_told_is_learnt(monkeypatch):
    monkeypatch.setattr(botorch_search, "CANDIDATES", 256)
    space = cube(levels=20)

    def limit(codes):
        # Small x0 and x1 are wanted, and all together at least 45 of 57.
        return 45.0 - codes.sum(axis=1, keepdims=True)

    def feasible_share(constraints):
        searcher = BotorchSearch(searched_problem(space, 2, constraints), seed=2, batch=5)
        told_of = limit if constraints else None
        return (limit(told(searcher, lambda codes: codes[:, :2], 7, told_of)[20:]) <= 0).mean()

    assert feasible_share(1) > 0.5
    assert feasible_share(0) < 0.1


@pytest.mark.usefixtures("in_haste")
def test_one_objective_is_enough():
    space = cube(levels=30)
    searcher = BotorchSearch(searched_problem(space, 1, 0), seed=1, batch=5, starts=10)
    losses = distances(told(searcher, lambda codes: distances(codes, 20.0), 6), 20.0)[:, 0]
    assert losses.min() < losses[:10].min() / 3


@pytest.mark.usefixtures("in_haste")
def test_a_space_half_of_which_fails_is_searched_to_its_end_and_nothing_twice():
    space = cube(levels=3)
    searcher = BotorchSearch(searched_problem(space, 2, 1), seed=1, batch=7, starts=5)
    seen = []
    while len(codes := searcher.ask()):
        seen += [row.tobytes() for row in codes]
        ok = codes[:, 1] < 1
        losses, violations = two_hills(codes), codes[:, :1] - 1.0
        losses[~ok], violations[~ok] = np.nan, np.nan
        searcher.tell(Answers(losses, violations, ok))
    assert len(seen) == len(set(seen)) == space.size


@pytest.mark.usefixtures("in_haste")
def test_designs_learnt_count_as_starts():
    space = cube()
    known = space.sample(30, np.random.default_rng(1))
    searcher = BotorchSearch(searched_problem(space, 2, 0), seed=1, batch=5)
    searcher.learn(known, all_fine(known, two_hills(known)))
    best = two_hills(searcher.ask()).sum(axis=1)
    assert np.median(best) < np.median(two_hills(known).sum(axis=1)) - 10


def test_models_learn_the_front_and_the_most_recent(monkeypatch):
    monkeypatch.setattr(botorch_search, "LEARNT", 30)
    monkeypatch.setattr(botorch_search, "FRONT", 10)
    space = cube()
    old = np.array([[2.0, 2, 2], [7, 7, 7]])
    others = np.concatenate(list(space.enumerate()))
    others = others[(others[:, 0] <= 1) & (others[:, 1] >= 8)]  # dominated by both
    searcher = BotorchSearch(searched_problem(space, 2, 0), seed=1)
    codes = np.concatenate([old, others])
    searcher.learn(codes, all_fine(codes, two_hills(codes)))
    asked = []

    def seen(_, x, losses, *__, q, **___):
        asked.append((x, losses))
        return np.arange(q)

    monkeypatch.setattr(botorch_search.acquisition(), "best_of", seen)
    searcher.ask()
    x, losses = asked[0]
    assert len(x) == len(losses) == 30
    np.testing.assert_allclose(x[:2], old / 9)
    np.testing.assert_allclose(x[2:], others[-28:] / 9)


@pytest.mark.usefixtures("in_haste")
def test_torch_is_left_as_it_was_and_does_not_matter():
    """Generators, threads, default type and filters of warnings; the proposals are the same."""
    import torch

    space = conditional_space(continuous=True)
    known = space.sample(12, np.random.default_rng(4))
    answers = all_fine(known, two_hills(known), known[:, :1] - 1.0)
    threads, proposals = torch.get_num_threads(), []
    try:
        for number, default in ((1, torch.float32), (2, torch.float64)):
            torch.manual_seed(number)
            torch.set_num_threads(number)
            torch.set_default_dtype(default)
            searcher = BotorchSearch(searched_problem(space, 2, 1), seed=9, starts=10)
            searcher.learn(known, answers)
            before, filters = torch.get_rng_state(), list(warnings.filters)
            proposals.append(searcher.ask())
            assert torch.equal(torch.get_rng_state(), before)
            assert torch.get_num_threads() == number
            assert torch.get_default_dtype() == default
            assert warnings.filters == filters
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
    one, two = proposals
    np.testing.assert_array_equal(one, two)


# -- how it is asked for -----------------------------------------------------------------------


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(MissingDependency, match=r"needs botorch, .*'\.\[botorch\]'"):
        BotorchSearch(searched_problem(tiny_space(), 2, 0), seed=1)


def test_the_library_is_loaded_by_the_first_model_only():
    """Naming the searcher, and its random starts, cost no second of imports."""
    look = (
        "import sys\n"
        "from dse.searchers.botorch_search import BotorchSearch\n"
        "from dse.testing.contracts import searched_problem, tiny_space\n"
        "BotorchSearch(searched_problem(tiny_space(), 1, 0), seed=1).ask()\n"
        "print({'torch', 'botorch', 'gpytorch'} & set(sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


@pytest.mark.parametrize(("batch", "starts"), [(0, 20), (-1, 20), (4, 1)])
def test_too_few_are_refused(batch, starts):
    with pytest.raises(DseError, match="at least"):
        BotorchSearch(searched_problem(tiny_space(), 1, 0), seed=1, batch=batch, starts=starts)


@pytest.mark.usefixtures("in_haste")
def test_a_study_file_that_asks_for_it_runs_to_the_end(tmp_path):
    toy = runpy.run_path(str(Path(__file__).parents[1] / "faults" / "toy.py"))
    asked = "botorch, trials: 30, batch: 5"
    path = tmp_path / "study.yaml"
    path.write_text(toy["STUDY"].replace("nsga2, trials: 200, batch: 10", asked), encoding="utf-8")
    study = load_study(path, toy["SYSTEMS"], ())
    found = run_study(study, tmp_path / "run", Silent(), Stop())
    assert found.ending == "budget"
    trials = read_run(tmp_path / "run").trials
    assert len(np.unique(trials.codes, axis=0)) == len(trials) == 30


class Silent:
    """A listener that keeps nothing."""

    def preparing(self, what, share):
        pass

    def searching(self, progress):
        pass

    def noting(self, what):
        pass
