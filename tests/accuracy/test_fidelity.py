"""Runs that see few sentences first: limits that hold, parts that make the whole, honest stops."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, hypergeom

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.address import part_address
from dse.accuracy.archive import Archive, archive_path, read_archive, rows_of, write_archive
from dse.accuracy.cache import key_of
from dse.accuracy.exits import ExitCurve, ExitReplay, limits
from dse.accuracy.sequential_evaluation import (
    Looks,
    PartRun,
    Seen,
    StagedRun,
    Tally,
    joined,
    order_of,
    upper_limits,
)
from dse.core.errors import CompositionError, DseError, RowsFailed
from dse.core.evaluation import Chain
from dse.core.parameters import Categorical, Integer, Ordinal, Real
from dse.core.problem import Constraint, Direction, Objective, Problem
from dse.core.signature import Signature
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from dse.pareto.dominance import non_dominated
from dse.runs.failures import failure_counts
from dse.search.loop import explore
from dse.search.sequential import EarlyStop
from dse.searchers.searcher import BatchSearcher

# -- limits ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_count_lies_above_its_limit_with_no_more_than_the_risk(data):
    """Exactly, by enumeration of every sample's probability, for every true count."""
    total = data.draw(st.integers(1, 40))
    seen = data.draw(st.integers(0, total))
    risk = data.draw(st.sampled_from([0.3, 0.05, 0.001]))
    upper = upper_limits(seen, total, risk)
    x = np.arange(seen + 1)
    for true in range(total + 1):
        missed = hypergeom.pmf(x, total, true, seen)[upper < true].sum()
        assert missed <= risk + 1e-12
    assert (np.diff(upper) >= 0).all()
    assert ((upper >= x) & (upper <= x + total - seen)).all()


def test_nothing_unseen_is_known_and_a_huge_split_has_clopper_and_pearsons_limit():
    np.testing.assert_array_equal(upper_limits(30, 30, 0.01), np.arange(31))
    x, seen, total, risk = np.arange(50), 50, 4_000_000, 0.02
    closed = beta.ppf(1 - risk, x + 1, seen - x)
    np.testing.assert_allclose(upper_limits(seen, total, risk)[:50] / total, closed, atol=3e-5)


@pytest.mark.parametrize(("seen", "total", "risk"), [(5, 4, 0.1), (-1, 4, 0.1), (1, 4, 0.0)])
def test_limits_out_of_range_are_refused(seen, total, risk):
    with pytest.raises(DseError, match="0 <= seen"):
        upper_limits(seen, total, risk)


def archive_of(rng, n=200, layers=4, draws=1, skill=1.0):
    """Logits whose margin grows with the layer."""
    labels = np.tile(rng.integers(2, size=n), draws)
    depth = skill * np.linspace(0.3, 1.5, layers)
    margin = (2 * labels - 1)[:, None] * depth + rng.normal(size=(n * draws, layers))
    logits = np.stack([-margin, margin], axis=-1).astype(np.float32)
    return Archive(logits, labels, np.full(n * draws, 9), {}, draws)


@pytest.mark.parametrize("draws", [1, 3])
def test_what_a_part_promises_at_best_the_whole_rarely_beats(draws):
    """Of 400 orders, each setting's four limits fail together in no more than the risk says."""
    rng = np.random.default_rng(1)
    whole, risk = archive_of(rng, draws=draws), 0.1
    below = limits("entropy", np.linspace(0.0, 0.69, 12))
    true = ExitCurve.of(whole.logits, whole.labels, draws=draws).at(below)
    wrong = np.zeros(len(below))
    for _ in range(400):
        part = rows_of(whole, rng.permutation(200)[:60])
        best = Seen.of(part, 200, "entropy", risk).at_best(below)
        better = (true[0] > best[0] + 1e-12) | (true[1] < best[1] - 1e-12)
        wrong += better | (true[2] < best[2]) | (true[3] > best[3] + 1e-12)
    assert (wrong / 400 <= risk).all()
    assert wrong.sum() > 0  # a limit that never fails would be wider than it says


def test_once_all_is_seen_the_best_is_the_truth():
    whole = archive_of(np.random.default_rng(2), draws=2)
    below = limits("entropy", np.linspace(0.0, 0.69, 30))
    best = Seen.of(whole, 200, "entropy", 0.05).at_best(below)
    true = ExitCurve.of(whole.logits, whole.labels, draws=2).at(below)
    for one, other in zip(best, true, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


# -- parts ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 3), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_parts_joined_and_put_in_order_are_the_whole(draws, sizes):
    n = sum(sizes)
    whole = archive_of(np.random.default_rng(n), n=n, draws=draws)
    order = np.random.default_rng(0).permutation(n)
    ends = np.cumsum([0, *sizes])
    parts = [rows_of(whole, order[a:b]) for a, b in pairwise(ends)]
    again = rows_of(joined(parts), np.argsort(order))
    assert again.draws == draws
    np.testing.assert_array_equal(again.logits, whole.logits)
    np.testing.assert_array_equal(again.labels, whole.labels)


def test_a_run_in_parts_answers_as_a_run_in_one_piece(trained_made, made_task, tmp_path):
    cache, name = made_task
    (tmp_path / "tasks").symlink_to(cache / "tasks")
    run = AccuracyRun(trained_made, name, tmp_path, sentences=48)
    design = {"pruning_ratio": np.array([0.2]), "weight_bits": np.array([6])}
    part = PartRun(run)
    early = EarlyStop(None, ExitReplay(tmp_path), {})
    staged = StagedRun(part, part, Looks((0.25, 0.5)), "entropy", early, Tally(48))
    problem = Problem(
        SearchSpace((Ordinal("pruning_ratio", (0.2,), "1"), Integer("weight_bits", 6, 6, "bit"),
                     Ordinal("exit_threshold", (0.0, 0.3), "nat"))),
        Chain((staged, ExitReplay(tmp_path))),
        (Objective("accuracy", "1", "max"),),
    )  # fmt: skip
    early.follow(problem, "archive")
    one = read_archive(tmp_path, str(run(design)["archive"][0]))
    handle = str(staged(design)["archive"][0])
    other = read_archive(tmp_path, handle)
    np.testing.assert_allclose(other.logits, one.logits, atol=1e-4)
    np.testing.assert_array_equal(other.labels, one.labels)
    np.testing.assert_array_equal(other.tokens, one.tokens)
    assert handle != str(run(design)["archive"][0])
    assert staged.tally.counts() == (0, 48, 48)


# -- stops ----------------------------------------------------------------------------------

SKILLS = tuple(np.random.default_rng(8).permutation(np.linspace(0.0, 1.5, 40)).tolist())
WORST_ONES = np.argsort(SKILLS)[:3].astype(float).tolist()
BEST_ONE = float(np.argmax(SKILLS))
SENTENCES = 400


@dataclass(frozen=True)
class Recorded:
    """Networks whose answers were recorded beforehand; counts the sentences that are asked for."""

    cache: Path
    archives: tuple[Archive, ...]
    asked: list[int] = field(default_factory=list)
    signature: ClassVar[Signature] = Signature(
        {"network": "1", "first": "1", "last": "1"},
        {"part": "handle"},
        {"part": "measured"},
        "measured",
    )
    total: ClassVar[int] = SENTENCES

    @property
    def run(self):
        return Whole(self.cache)

    def whole(self, columns):
        return np.array([key_of({"network": int(n)}) for n in columns["network"]])

    def __call__(self, columns):
        found = []
        handles = self.whole(columns)
        spans = zip(columns["first"].tolist(), columns["last"].tolist(), strict=True)
        for handle, network, (a, b) in zip(handles, columns["network"], spans, strict=True):
            rows = order_of(handle, SENTENCES)[a:b]
            found.append(part_address(str(handle), a, b))
            said = {"network": int(network), "first_and_last": [a, b]}
            part = rows_of(self.archives[int(network)], rows)
            write_archive(self.cache, found[-1], replace(part, provenance=said))
            self.asked.append(b - a)
        return {"part": np.array(found)}


@dataclass(frozen=True)
class Whole:
    """What a staged run asks of the run that its parts are of."""

    cache: Path
    signature: ClassVar[Signature] = Signature.uniform(
        {"network": "1"}, {"archive": "handle"}, "measured", "measured"
    )
    total: ClassVar[int] = SENTENCES


@dataclass(frozen=True)
class Chip:
    """Depth costs energy; a stronger network costs more of it, a wider chip too, but it is fast."""

    signature: ClassVar[Signature] = Signature.uniform(
        {
            "network": "1",
            "width": "1",
            "mean_exit_layer": "layer",
            "p95_exit_layer": "layer",
        },
        {"energy": "J", "time": "s"},
        "closed form",
    )

    def __call__(self, columns):
        burden = 1.0 + 0.002 * columns["network"]
        energy = burden * columns["mean_exit_layer"] * np.sqrt(columns["width"])
        return {"energy": energy, "time": burden * columns["p95_exit_layer"] / columns["width"]}


BEST: dict[str, Direction] = {
    "accuracy": "max",
    "accuracy_worst_draw": "max",
    "energy": "min",
    "time": "min",
}
KNOBS = (
    Integer("network", 0, len(SKILLS) - 1, "1"),
    Integer("width", 1, 3, "1"),
    Ordinal("exit_threshold", tuple(np.linspace(0.0, 0.69, 12)), "nat", stage="run"),
)
OBJECTIVES = (Objective("accuracy", "1", "max"), Objective("energy", "J"), Objective("time", "s"))


CONDITIONAL = SearchSpace(
    (KNOBS[0], KNOBS[1], KNOBS[2]),
    (ActiveWhen("exit_threshold", "width", (2, 3), 0.0),),
    (Forbidden({"width": (3,), "exit_threshold": tuple(KNOBS[2].values[:4])}, "too hot"),),
)
"""A narrow chip never leaves early, a wide one always does."""


def staged_problem(cache, archives, confidence=0.95, limits_=(), space=None):
    recorded = Recorded(cache, archives)
    part: Any = recorded  # gives what a part of a run gives
    early = EarlyStop(None, Chip(), BEST)
    staged = StagedRun(
        part, recorded, Looks((0.1, 0.25, 0.5), confidence), "entropy", early, Tally(SENTENCES)
    )
    chain = Chain((staged, ExitReplay(cache), Chip()))
    problem = Problem(space or SearchSpace(KNOBS), chain, OBJECTIVES, limits_)
    early.follow(problem, "archive")
    return problem, staged, recorded


class NetworkByNetwork(BatchSearcher):
    """Proposes all designs of two networks at a time, as a search does that harvests its runs."""

    def __init__(self, problem, seed):
        codes = np.concatenate(list(problem.space.enumerate()))
        super().__init__(problem, len(codes))
        order = np.random.default_rng(seed).permutation(len(SKILLS))
        self._batches = [
            codes[np.isin(codes[:, 0], order[i : i + 2])] for i in range(0, len(order), 2)
        ]

    def _propose(self, n):  # noqa: ARG002
        return self._batches.pop(0)

    def _told(self, codes, answers):
        pass

    def _learnt(self, codes, answers):
        pass


def searched(  # noqa: PLR0913
    cache, archives, seed, budget=1440, known=None, confidence=0.95, space=None
):
    problem, staged, recorded = staged_problem(cache, archives, confidence, space=space)

    def told(batch):
        staged.early.saw(batch)
        return ""

    search = NetworkByNetwork(problem, seed)
    found = explore(
        problem, search, budget=budget, opening=np.empty((0, 0)), enough=told, known=known
    )
    return found.trials, staged, recorded


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(5)
    return tuple(archive_of(rng, n=SENTENCES, skill=skill) for skill in SKILLS)


def true_losses(networks, trials):
    """What the designs reach when nothing is broken off."""
    losses = np.empty((len(trials), 3))
    for number, archive in enumerate(networks):
        row = trials.designs["network"] == number
        knobs = {name: column[row] for name, column in trials.designs.items()}
        curve = ExitCurve.of(archive.logits, archive.labels)
        accuracy, mean, p95, _ = curve.at(limits("entropy", knobs["exit_threshold"]))
        priced = Chip()({**knobs, "mean_exit_layer": mean, "p95_exit_layer": p95})
        losses[row] = np.stack([-accuracy, priced["energy"], priced["time"]], axis=1)
    return losses


@pytest.mark.parametrize(("space", "seeds"), [(SearchSpace(KNOBS), 8), (CONDITIONAL, 2)])
def test_stops_save_sentences_and_cost_no_design_of_the_front(space, seeds, networks, tmp_path):
    """Over some searches: what was broken off is not missing on any front."""
    needed = whole = stops = wrong = 0
    for seed in range(seeds):
        trials, staged, _ = searched(tmp_path / str(seed % 2), networks, seed, space=space)
        losses = true_losses(networks, trials)
        best = non_dominated(losses)
        wrong += int((best & trials.stopped).sum())
        stops += int(trials.stopped.sum())
        needed += staged.tally.counts()[1]
        whole += staged.tally.counts()[2]
        ok = trials.ok
        np.testing.assert_allclose(trials.losses[ok], losses[ok], atol=1e-12)
        assert not trials.feasible[trials.stopped].any()
        assert not trials.failed.any()
    assert stops > 12 * seeds
    assert wrong == 0
    assert needed < 0.9 * whole


def test_settings_of_a_run_are_all_designs_that_it_prices_and_no_other():
    """Also where the run reads knobs that a condition switches off, to a level or to none."""
    space = SearchSpace(
        (
            Categorical("cell", ("sram", "reram", "mram")),
            Integer("bits", 1, 3, "bit"),
            Ordinal("verify", (0.0, 0.5, 1.0), "1"),
            Integer("width", 1, 3, "1"),
        ),
        (
            ActiveWhen("bits", "cell", ("reram", "mram"), otherwise=1),
            ActiveWhen("verify", "bits", (2, 3), otherwise=0.25),
        ),
        (Forbidden({"cell": ("mram",), "bits": (3,)}, "no such cell"),),
    )
    early = EarlyStop(None, Chip(), {})
    problem: Any = SimpleNamespace(space=space, objectives=(), constraints=())
    early.follow(problem, "archive")
    every = np.concatenate(list(space.enumerate()))
    runs = space.decode(every)
    for read in (("bits",), ("verify",), ("bits", "verify"), ("cell", "verify")):
        for row in range(len(every)):
            run = {name: runs[name][row] for name in read}
            alike = np.all([runs[name] == value for name, value in run.items()], axis=0)
            found = early.settings(run)
            got = space.encode({name: found[name] for name in space.names})
            assert sorted(got.tolist()) == sorted(every[alike].tolist())


def test_a_stopped_trial_says_after_how_many_sentences_and_how_surely(networks, tmp_path):
    trials, staged, _ = searched(tmp_path, networks, 1)
    said = [why for why in trials.failures if why]
    assert said
    for why in said:
        assert why.kind == "stopped early"
        assert "of 400 sentences: at 95.00% confidence its accuracy is at most 0." in why.reason
    assert failure_counts(trials.failures) == {}
    assert staged.tally.counts()[0] >= len(set(said))


@pytest.mark.parametrize("stop", [1, 72, 719])
def test_a_stopped_search_goes_on_to_the_same_stops_whatever_lies_in_the_cache(
    stop, networks, tmp_path
):
    whole, _, _ = searched(tmp_path / "a", networks, 3)
    again, _, recorded = searched(tmp_path / "a", networks, 3)
    assert again.failures == whole.failures
    first, _, _ = searched(tmp_path / "b", networks, 3, budget=stop)
    rest, _, _ = searched(tmp_path / ("b" if stop % 2 else "c"), networks, 3, known=first)
    assert rest.failures == whole.failures
    assert rest.losses.tobytes() == whole.losses.tobytes()
    assert rest.metrics["archive"][rest.ok].tolist() == whole.metrics["archive"][whole.ok].tolist()
    # What is whole is not passed again; of what was broken off, the parts are asked for.
    assert sum(recorded.asked) < SENTENCES * len(SKILLS)


def test_a_run_that_a_trial_rests_on_is_never_broken_off(networks, tmp_path):
    problem, staged, _ = staged_problem(tmp_path, networks)
    known, unknown, _ = WORST_ONES
    weak = problem.evaluate(np.array([[known, 0.0, 0.0]]))
    assert weak.ok.all()
    staged.early.saw(weak)
    codes = np.concatenate(list(problem.space.enumerate()))
    staged.early.saw(problem.evaluate(codes[codes[:, 0] == BEST_ONE]))
    again = problem.evaluate(
        np.array([[known, 1.0, 3.0], [unknown, 1.0, 3.0], [unknown, 2.0, 0.0]])
    )
    assert again.ok.tolist() == [True, False, False]
    assert again.failures[1] == again.failures[2]


def test_a_limit_that_cannot_be_kept_stops_as_a_front_does(networks, tmp_path):
    limit = Constraint("accuracy", "1", 0.8, "min")
    problem, staged, _ = staged_problem(tmp_path, networks, limits_=(limit,))
    strong = problem.evaluate(np.array([[BEST_ONE, 0.0, 0.0]]))
    assert strong.feasible.all()
    assert problem.evaluate(np.array([[WORST_ONES[0], 2.0, 11.0]])).ok.all()  # nothing is known yet
    staged.early.saw(strong)
    assert problem.evaluate(np.array([[WORST_ONES[1], 2.0, 11.0]])).stopped.all()


@pytest.mark.parametrize(
    ("knobs", "objective", "said"),
    [
        ((Real("exit_threshold", 0.0, 0.6, "nat"),), ("accuracy", "max"), "give it a step"),
        (KNOBS[2:], ("accuracy", "min"), "accuracy is best"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_early_is_refused_before_any_run(
    knobs, objective, said, networks, tmp_path
):
    problem, staged, _ = staged_problem(tmp_path, networks)
    name, direction = objective
    space = SearchSpace((*KNOBS[:2], *knobs))
    other = Problem(
        space, problem.evaluator, (Objective(name, "1", direction),), problem.constraints
    )
    with pytest.raises(CompositionError, match=said):
        staged.early.follow(other, "archive")


def test_a_part_that_fails_fails_its_run_and_no_other(networks, tmp_path):
    class Fragile(Recorded):
        def __call__(self, columns):
            if (columns["network"] == 4).any() and columns["first"][0] > 0:
                raise ValueError("network 4 is broken")
            return super().__call__(columns)

    _, staged, _ = staged_problem(tmp_path, networks)
    fragile = replace(staged, spread=Fragile(tmp_path, networks))
    with pytest.raises(RowsFailed) as failed:
        fragile({"network": np.array([4, 5, 4, 6])})
    assert sorted(failed.value.reasons) == [0, 2]
    assert "network 4 is broken" in failed.value.reasons[0].reason
    assert archive_path(tmp_path, str(failed.value.columns["archive"][1])).is_file()
    assert not archive_path(tmp_path, str(failed.value.columns["archive"][0])).is_file()
