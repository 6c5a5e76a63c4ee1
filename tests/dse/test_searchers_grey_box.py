"""The grey box learns what runs give, computes the rest, and wastes no run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import dse.searchers.grey_box.surrogate as surrogate_module
from dse.core.errors import CompositionError, RowsFailed
from dse.core.evaluation import Cached, Chain
from dse.core.failure import Failure
from dse.core.parameters import Categorical, Integer, Ordinal, Real
from dse.core.problem import Constraint, Objective, Problem, Trials
from dse.core.signature import Cost, Signature
from dse.core.space import ActiveWhen, Columns, Forbidden, SearchSpace
from dse.pareto.dominance import non_dominated
from dse.pareto.hypervolume import Reference, hypervolume
from dse.search.loop import explore
from dse.searchers.exhaustive import Exhaustive
from dse.searchers.grey_box.acquisition import OpenBox, count, nodes
from dse.searchers.grey_box.candidates import Candidates
from dse.searchers.grey_box.grey_box import GreyBox
from dse.searchers.grey_box.history import History
from dse.searchers.grey_box.problem_split import Features, Parts
from dse.searchers.grey_box.surrogate import Likelihood, MixedKernel, Surrogate
from dse.searchers.optuna_search import Tpe
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.random_search import RandomSearch
from dse.searchers.searcher import Answers, Searcher
from dse.testing.contracts import SearcherContract


@dataclass(frozen=True)
class Stage:
    """An evaluator made of a formula."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    formula: Callable[[Columns], Columns]
    cost: Cost = "closed form"

    @property
    def signature(self):
        return Signature.uniform(self.inputs, self.outputs, "closed form", self.cost)

    def __call__(self, columns):
        return self.formula(columns)


def nobody(_columns):
    raise AssertionError("the searcher makes no run by itself")


class TestGreyBox(SearcherContract):
    def searcher(self, problem):
        return GreyBox(problem, seed=7, batch=10)

    def continuous(self):
        return True


# -- a network that is compressed, run, replayed and deployed ------------------------------------

SPACE = SearchSpace(
    (
        Ordinal("pruning", tuple(i / 10 for i in range(10)), "1"),
        Integer("bits", 2, 8, "bit"),
        Ordinal("threshold", tuple(i / 10 for i in range(11)), "nat", stage="run"),
        Categorical("cell", ("sram", "reram")),
        Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V", stage="run"),
    )
)


def compressed(columns):
    pairs = zip(columns["pruning"], columns["bits"], strict=True)
    return {"archive": np.array([f"p{p:.1f}b{b}" for p, b in pairs])}


def replayed(columns):
    pruning = np.array([float(h[1:4]) for h in columns["archive"]])
    bits = np.array([float(h[5:]) for h in columns["archive"]])
    t = columns["threshold"]
    full = 0.9 - 0.4 * pruning**3 - 0.8 * 2.0**-bits
    return {"accuracy": full - 0.2 * t**2 * (1 + pruning), "depth": 6 - 4 * t * (1 - pruning / 2)}


def deployed(columns):
    if ((columns["cell"] == "reram") & (columns["vdd"] > 0.75)).any():
        raise ValueError("reram breaks above 0.75 V")
    work = columns["depth"] * columns["bits"] * (1 - columns["pruning"])
    cost = np.where(columns["cell"] == "sram", 1.0, 0.7)
    return {"energy": work * columns["vdd"] ** 2 * cost, "latency": work / (columns["vdd"] - 0.3)}


def sized(columns):
    return {"area": columns["bits"] * np.where(columns["cell"] == "sram", 3.0, 1.0)}


def edge_problem(bound=0.8, area=20.0):
    chain = Chain(
        (
            Stage({"bits": "bit", "cell": "choice"}, {"area": "m^2"}, sized),
            Cached(
                Stage(
                    {"pruning": "1", "bits": "bit"}, {"archive": "handle"}, compressed, "measured"
                )
            ),
            Stage(
                {"archive": "handle", "threshold": "nat"},
                {"accuracy": "1", "depth": "layer"},
                replayed,
            ),
            Stage(
                {"depth": "layer", "bits": "bit", "pruning": "1", "cell": "choice", "vdd": "V"},
                {"energy": "J", "latency": "s"},
                deployed,
            ),
        )
    )
    objectives = (
        Objective("accuracy", "1", "max"),
        Objective("energy", "J"),
        Objective("latency", "s"),
    )
    limits = (Constraint("accuracy", "1", bound, "min"), Constraint("area", "m^2", area))
    return Problem(SPACE, chain, objectives, limits)


def test_stages_are_sorted_by_who_waits_for_a_run():
    parts = Parts.of(edge_problem())
    assert parts.roles == ("exact", "measured", "replay", "after")
    assert parts.run_knobs == ("pruning", "bits")
    assert parts.replay_knobs == ("threshold",)
    assert parts.learned == ("accuracy", "depth")
    assert parts.handed == ("archive",)
    assert parts.exact_constraints.tolist() == [False, True]
    assert not parts.separable


def test_a_candidate_is_priced_at_its_own_setting_however_many_there_are():
    rules = {"rule": "choice", "entropy": "nat", "patience": "layer", "trust": "1"}
    space = SearchSpace(
        (
            Integer("bits", 2, 8, "bit"),
            Categorical("rule", ("entropy", "patience"), stage="run"),
            Real("entropy", 0.0, 0.7, "nat", stage="run"),
            Integer("patience", 1, 6, "layer", stage="run"),
            Ordinal("trust", tuple(i / 40 for i in range(41)), "1", stage="run"),
            Ordinal("vdd", (0.5, 0.6, 0.7, 0.8), "V", stage="run"),
        ),
        (
            ActiveWhen("entropy", "rule", ("entropy",), 0.0),
            ActiveWhen("patience", "rule", ("patience",), 24),
        ),
        (Forbidden({"rule": ("patience",), "trust": (0.0,)}, "no such thing"),),
    )
    chain = Chain(
        (
            Stage({"bits": "bit"}, {"archive": "handle"}, nobody, "measured"),
            Stage({"archive": "handle", **rules}, {"accuracy": "1"}, nobody),
            Stage({"bits": "bit", "vdd": "V"}, {"energy": "J"}, lambda c: {"energy": c["bits"]}),
        )
    )
    objectives = (Objective("accuracy", "1", "max"), Objective("energy", "J"))
    candidates = Candidates(Parts.of(Problem(space, chain, objectives)))
    rng = np.random.default_rng(3)
    pool = candidates.drawn(space.sample(10, rng), 100, rng)
    assert len(pool.codes) > 100
    for knob in rules:
        np.testing.assert_array_equal(
            pool.columns[knob], candidates.settings[knob][pool.setting], err_msg=knob
        )
    # Both rules, and trust from end to end.
    assert set(candidates.settings["rule"].tolist()) == {"entropy", "patience"}
    assert np.ptp(candidates.settings["trust"]) > 0.9


def test_a_problem_without_runs_is_refused():
    problem = Problem(
        SearchSpace((Integer("bits", 2, 8, "bit"), Categorical("cell", ("sram", "reram")))),
        Stage({"bits": "bit", "cell": "choice"}, {"area": "m^2"}, sized),
        (Objective("area", "m^2"),),
    )
    with pytest.raises(CompositionError, match="every metric is a closed form"):
        GreyBox(problem, seed=1)


def test_answers_without_metrics_are_refused():
    searcher = GreyBox(edge_problem(), seed=1)
    n = len(searcher.ask())
    with pytest.raises(CompositionError, match="carry no archive"):
        searcher.tell(Answers(np.zeros((n, 3)), np.zeros((n, 2)), np.ones(n, dtype=bool)))


def front_of(trials):
    losses = trials.losses[trials.feasible]
    return losses[non_dominated(losses)]


def runs_of(problem):
    return len(problem.evaluator.stages[1])


def test_few_runs_give_most_of_the_front_that_all_runs_give():
    whole = edge_problem()
    truth = front_of(explore(whole, Exhaustive(whole), budget=10**6).trials)
    assert runs_of(whole) == 70
    reference = Reference.of(truth)

    def share(searcher, problem, runs):
        trials: list[Trials] = []
        explore(problem, Until(searcher, problem, runs), budget=10**5, on_batch=trials.append)
        losses = np.concatenate([t.losses[t.feasible] for t in trials])
        return hypervolume(losses, reference) / hypervolume(truth, reference)

    grey, blind = edge_problem(), edge_problem()
    found = share(GreyBox(grey, seed=1, batch=200), grey, 20)
    assert found > 0.95
    assert runs_of(grey) <= 22
    assert found > share(RandomSearch(blind, seed=1, batch=5), blind, 20)


class Until:
    """Stops asking once so many runs have been made."""

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True

    def __init__(self, searcher, problem, runs):
        self.searcher, self.problem, self.runs = searcher, problem, runs
        self.batch = searcher.batch

    def ask(self, n=None):
        if runs_of(self.problem) >= self.runs:
            return np.empty((0, len(SPACE.parameters)))
        return self.searcher.ask(n)

    def tell(self, answers):
        self.searcher.tell(answers)

    def learn(self, codes, answers):
        self.searcher.learn(codes, answers)


def test_what_is_known_to_break_a_limit_or_to_be_refused_is_never_proposed():
    problem = edge_problem()
    found = explore(problem, GreyBox(problem, seed=2, batch=60), budget=150)
    # Only the opening, ten good runs, cannot know yet what closed forms behind a run refuse.
    assert (~found.trials.ok[:60]).sum() < 5
    assert found.trials.ok[60:].all()
    assert (found.trials.metrics["area"] <= 20.0).all()


def test_a_run_that_is_known_gives_its_front_without_another_run():
    problem = edge_problem(bound=0.0)
    searcher = GreyBox(problem, seed=3, batch=500)
    known = None
    for _ in range(3):
        codes = searcher.ask()
        before = runs_of(problem)
        trials = problem.evaluate(codes)
        known = trials if known is None else known
        new = runs_of(problem) - before
        assert new <= 10 if before == 0 else new <= 2
        assert before == 0 or len(codes) > new
        searcher.tell(Answers(trials.losses, trials.violations, trials.ok, trials.metrics))


def test_a_limit_that_almost_nothing_keeps_is_met_sooner_than_by_chance():
    def feasible(make):
        problem = edge_problem(bound=0.885, area=9.0)
        explore(problem, Until(make(problem), problem, 18), budget=10**4, on_batch=kept.append)
        good = sum(int(t.feasible.sum()) for t in kept)
        kept.clear()
        return good

    kept = []
    grey = feasible(lambda problem: GreyBox(problem, seed=1, batch=50))
    assert grey > feasible(lambda problem: RandomSearch(problem, seed=1, batch=1))


def test_it_goes_on_after_a_stop_to_the_same_trials():
    problem = edge_problem()
    whole = explore(problem, GreyBox(problem, seed=4, batch=20), budget=60)
    problem = edge_problem()
    first = explore(problem, GreyBox(problem, seed=4, batch=20), budget=37)
    problem = edge_problem()
    again = explore(problem, GreyBox(problem, seed=4, batch=20), budget=60, known=first.trials)
    assert again.trials.codes.tobytes() == whole.trials.codes.tobytes()
    assert again.trials.losses.tobytes() == whole.trials.losses.tobytes()


# -- its parts -----------------------------------------------------------------------------------


def test_different_values_have_different_coordinates():
    knobs = (
        Categorical("cell", ("a", "b", "c")),
        Ordinal("verify", (0.0, 0.5, 1.0), "1"),
        Real("vdd", 0.5, 0.8, "V"),
    )
    features = Features(knobs, {"verify": 0.25})
    designs = {
        "cell": np.array(["a", "b", "c", "a"]),
        "verify": np.array([0.0, 0.25, 0.5, 1.0]),
        "vdd": np.array([0.5, 0.6, 0.65, 0.8]),
    }
    x = features.of(designs)
    np.testing.assert_allclose(x[:, 1], [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(x[:, 2], [0, 1 / 3, 0.5, 1])
    assert len(np.unique(x[:3, 0])) == 3
    assert features.named.tolist() == [True, False, False]


def mixed_runs(n, r=3, seed=0):
    """Coordinates of runs, the last without order, two numbers of each, and which has no order."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.integers(5, size=(n, r - 1)) / 4, rng.integers(3, size=n)])
    y = np.column_stack([np.sin(3 * x[:, 0]) + (x[:, -1] == 2), x.sum(axis=1)])
    return x, y + rng.normal(0, 0.1, size=y.shape), np.arange(r) == r - 1


def test_the_likelihood_is_that_of_the_kernel_and_its_slopes_are_its_own():
    x, y, named = mixed_runs(12)
    z = (y - y.mean(axis=0)) / y.std(axis=0)
    likelihood = Likelihood(x, z, named)
    theta = np.random.default_rng(1).normal(size=8) * 0.5
    covariance = MixedKernel(np.exp(theta[:-1]), named)(x) + np.exp(theta[-1]) * np.eye(12)
    value, slopes = likelihood(theta)
    density = multivariate_normal(cov=covariance).logpdf(z.T).sum()
    assert value == pytest.approx(-density, rel=1e-6)
    for i in range(8):
        step = np.zeros(8)
        step[i] = 1e-6
        above, below = likelihood(theta + step)[0], likelihood(theta - step)[0]
        assert slopes[i] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-6)


def test_covariances_are_those_of_a_process():
    x, _, named = mixed_runs(30)
    kernel = MixedKernel(np.full(7, 0.4), named)
    np.testing.assert_allclose(np.diag(kernel(x)), kernel.diag(x))
    assert np.linalg.eigvalsh(kernel(x)).min() > -1e-12


def test_a_first_fit_of_many_runs_is_about_as_likely_as_one_that_takes_its_time(monkeypatch):
    x, y, named = mixed_runs(150, r=5)
    found = {}
    for few in (surrogate_module.FEW, len(x)):
        monkeypatch.setattr(surrogate_module, "FEW", few)
        surrogate = Surrogate(named)
        surrogate.fit(x, y, choose=True)
        found[few] = surrogate.worth
    short, long = found.values()
    assert short > long - 0.01 > 0.5


def test_a_surrogate_foretells_what_it_was_not_shown_and_knows_how_well():
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.random(120), rng.integers(3, size=120)])
    y = np.exp(np.sin(3 * x[:, :1]) + 0.5 * (x[:, 1:] == 2) + [[0.0, 1.0]])
    surrogate = Surrogate(np.array([False, True]))
    surrogate.fit(x[:40], y[:40], choose=True)
    mean, deviation = surrogate.predict(x[40:])
    assert mean.shape == deviation.shape == (80, 2)
    np.testing.assert_allclose(surrogate.values(mean), y[40:], rtol=0.02)
    truth = np.log(y[40:]) if np.allclose(surrogate.values(mean), np.exp(mean)) else y[40:]
    assert (np.abs(truth - mean) < 6 * deviation + 1e-6).all()


def test_noise_is_not_learnt_by_heart():
    rng = np.random.default_rng(2)
    x = rng.random((80, 1))
    clean = np.sin(4 * x)
    surrogate = Surrogate(np.array([False]))
    surrogate.fit(x, clean + rng.normal(0, 0.2, size=x.shape), choose=True)
    mean, _ = surrogate.predict(x)
    assert np.abs(surrogate.values(mean) - clean).mean() < 0.1


def test_the_share_of_points_that_a_design_gains_is_the_hypervolume_it_adds():
    rng = np.random.default_rng(3)
    front = rng.random((30, 3))
    front = front[non_dominated(front)]
    frame = Reference.of(front)
    box = OpenBox.of(front, front, 1024, seed=1)
    for new in rng.random((5, 3)) * 0.6:
        gained = hypervolume(np.vstack([front, new]), frame) - hypervolume(front, frame)
        hits = box.hits(new[None], np.array([True]), np.array([0]), 1)
        assert count(hits)[0] / 1024 == pytest.approx(gained, abs=0.02)
        assert box.apart(hits).sum() == count(hits)[0]


def test_points_of_groups_are_those_of_their_rows_together():
    rng = np.random.default_rng(4)
    front = np.array([[0.0, 1.0], [1.0, 0.0]])
    box = OpenBox.of(front, front, 256, seed=2)
    losses, group = rng.random((40, 2)), rng.integers(5, size=40)
    usable = rng.random(40) < 0.8
    got = box.apart(box.hits(losses, usable, group, 5))
    for g in range(5):
        rows = losses[(group == g) & usable]
        scaled = (rows - box.ideal) / box.span
        slow = (scaled[:, None, :] <= box.points[None, :, :]).all(axis=2).any(axis=0)
        np.testing.assert_array_equal(got[g], slow)


@pytest.mark.parametrize("numbers", [1, 2, 3])
def test_nodes_carry_the_weight_one(numbers):
    places, weights = nodes(numbers)
    assert places.shape == (len(weights), numbers)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(places[0], 0.0, atol=1e-12)


def test_a_run_that_depends_on_a_condition_is_one_run_where_it_is_switched_off():
    space = SearchSpace(
        (
            Categorical("cell", ("sram", "reram")),
            Integer("bits", 1, 3, "bit"),
            Integer("w", 1, 4, "1"),
        ),
        (ActiveWhen("bits", "cell", ("reram",), 1),),
    )
    run = Stage({"bits": "bit"}, {"error": "1"}, lambda c: {"error": 1.0 / c["bits"]}, "measured")
    price = Stage(
        {"cell": "choice", "w": "1", "bits": "bit"},
        {"cost": "1"},
        lambda c: {"cost": c["w"] * c["bits"] + (c["cell"] == "sram")},
    )
    problem = Problem(
        space, Chain((Cached(run), price)), (Objective("error", "1"), Objective("cost", "1"))
    )
    found = explore(problem, GreyBox(problem, seed=1), budget=100)
    assert found.ending == "exhausted"
    chain = problem.evaluator
    assert isinstance(chain, Chain)
    cached = chain.stages[0]
    assert isinstance(cached, Cached)
    assert len(cached) == 3
    assert len(front_of(found.trials)) == 3


def noisy(columns):
    """Without any rule: neighbours tell nothing of each other."""
    mixed = np.zeros(len(columns["a"]))
    for name in ("a", "b", "c"):
        mixed = np.modf(np.abs(np.sin(mixed * 78.233 + columns[name] * 12.9898)) * 43758.5453)[0]
    return {"error": mixed}


def unlearnable_problem():
    space = SearchSpace(tuple(Integer(name, 0, 9, "1") for name in "abc"))
    run = Cached(Stage(dict.fromkeys("abc", "1"), {"error": "1"}, noisy, "measured"))
    price = Stage(
        dict.fromkeys("abc", "1"), {"cost": "1"}, lambda c: {"cost": c["a"] + c["b"] + c["c"]}
    )
    return Problem(space, Chain((run, price)), (Objective("error", "1"), Objective("cost", "1")))


def test_where_a_surrogate_foretells_nothing_the_best_black_box_goes_on():
    """And what is found is about what that one finds alone."""
    whole = unlearnable_problem()
    truth = front_of(explore(whole, Exhaustive(whole), budget=10**4).trials)
    reference = Reference.of(truth)
    fell_back = 0
    shares: dict[str, list[float]] = {"grey": [], "tpe": [], "nsga2": []}
    for seed in (1, 2):
        problem = unlearnable_problem()
        grey = GreyBox(problem, seed=seed, batch=10)
        black: dict[str, Searcher] = {
            "tpe": Tpe(problem, seed=seed, batch=4),
            "nsga2": Nsga2(problem, seed=seed, batch=20),
        }
        named: dict[str, Searcher] = {"grey": grey, **black}
        for name, searcher in named.items():
            found = explore(unlearnable_problem(), searcher, budget=60).trials
            share = hypervolume(front_of(found), reference) / hypervolume(truth, reference)
            shares[name].append(share)
        fell_back += grey.fell_back
    assert fell_back > 5
    assert np.mean(shares["grey"]) > 0.95 * max(np.mean(shares["tpe"]), np.mean(shares["nsga2"]))


@pytest.mark.parametrize("densities", [250, 30])
def test_a_search_that_fell_back_goes_on_after_a_stop_to_the_same_trials(densities, monkeypatch):
    """With TPE, and where NSGA-II takes over on the way; no design twice."""
    monkeypatch.setattr("dse.searchers.grey_box.history.DENSITIES", densities)
    searchers = []

    def explored(budget, known=None):
        problem = unlearnable_problem()
        searchers.append(GreyBox(problem, seed=1, batch=10))
        return explore(problem, searchers[-1], budget=budget, known=known)

    whole = explored(40)
    again = explored(40, known=explored(33).trials)
    assert searchers[0].fell_back > 3
    assert again.trials.codes.tobytes() == whole.trials.codes.tobytes()
    assert whole.repeats == 0


@pytest.mark.parametrize(("kind", "most"), [("stopped early", 1), ("raised", 2)])
def test_a_run_that_was_broken_off_is_given_up_at_once_and_one_that_failed_tried_again(kind, most):
    """Broken off is a run for all of its designs; a failure may be of one design alone."""

    def unfinished(columns):
        bad = np.flatnonzero(columns["pruning"] >= 0.5)
        if len(bad):
            reason = Failure(kind, "for a test")
            raise RowsFailed(dict.fromkeys(bad.tolist(), reason), compressed(columns))
        return compressed(columns)

    problem = edge_problem()
    run = Stage({"pruning": "1", "bits": "bit"}, {"archive": "handle"}, unfinished, "measured")
    stages = problem.evaluator.stages
    chain = Chain((stages[0], Cached(run), *stages[2:]))
    problem = Problem(SPACE, chain, problem.objectives, problem.constraints)
    trials = explore(problem, GreyBox(problem, seed=1, batch=10), budget=100).trials
    assert trials.stopped.any() == (kind == "stopped early")
    lost = np.stack([trials.designs["pruning"], trials.designs["bits"]], axis=1)[~trials.ok]
    assert np.unique(lost, axis=0, return_counts=True)[1].max() == most


def test_nsga2_takes_over_from_tpe_where_many_designs_are_known(monkeypatch):
    problem = unlearnable_problem()
    trials = problem.evaluate(problem.space.sample(40, np.random.default_rng(1)))
    told = History(problem)
    told.add(trials.codes, Answers(trials.losses, trials.violations, trials.ok))
    asked = []
    for name in ("optuna_search.OptunaSearch", "pymoo_search.PymooSearch"):
        where = f"dse.searchers.{name}.ask"
        monkeypatch.setattr(where, lambda _self, name=name: asked.append(name))
    told.others(1)
    monkeypatch.setattr("dse.searchers.grey_box.history.DENSITIES", 39)
    told.others(1)
    assert asked == ["optuna_search.OptunaSearch", "pymoo_search.PymooSearch"]


def test_surrogates_are_kept_where_runs_follow_a_rule():
    problem = edge_problem()
    searcher = GreyBox(problem, seed=1, batch=20)
    explore(problem, searcher, budget=200)
    assert runs_of(problem) > 20
    assert searcher.fell_back == 0
