"""Tuning that ends where its learning curve has settled: a law of the rule, and real tunings."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.archive import read_archive
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.compression.pruning import in_layers, share_pruned
from dse.accuracy.data.tasks import read_split
from dse.accuracy.networks import tuning
from dse.accuracy.networks.finetune_early_stopping import CurveJudge, FinetuneEnd, FinetuneStop
from dse.accuracy.networks.learning_curve import FEWEST, Curve
from dse.accuracy.networks.loop import fit
from dse.accuracy.networks.network import load_trained
from dse.accuracy.networks.training import Trained, trained_network
from dse.accuracy.networks.tuning import Tuning, ending_of, tuned_network
from dse.accuracy.sequential_evaluation import PartRun, joined
from dse.cli.terminal import Bars
from dse.core.errors import DseError
from dse.results.exports import trials_csv
from dse.runs.store import read_run
from dse.search.interrupts import Stop
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from dse.study.runner import run_study

TUNING = Tuning(0.6, "magnitude", 40, 0.0)
"""The ramp ends after 24 steps, and the masks are chosen anew after 30: nine looks, 31 to 39."""
LOOSE = FinetuneStop(checkpoints=20, tolerance=0.5, sentences=60)
"""Ends a tuning as soon as there are predictions enough, whatever the curve."""
NEVER = FinetuneStop(checkpoints=20, window=10, tolerance=0.5, sentences=60)
"""Wants more predictions than a tuning of 40 steps has looks."""


@pytest.fixture(scope="module")
def here(made_task, tiny):
    """Cache, task, dense network."""
    cache, task = made_task
    return cache, task, trained_network(tiny, task, "small", cache)


@pytest.fixture(scope="module")
def ended(here):
    cache, task, dense = here
    return tuned_network(dense, task, TUNING, cache, stop=LOOSE)


def cache_like(cache, folder):
    """The same tasks, nothing else."""
    folder.mkdir(exist_ok=True)
    (folder / "tasks").symlink_to(cache / "tasks")
    return folder


# -- the rule -------------------------------------------------------------------------------


@given(st.integers(7, 60), st.integers(0, 900), st.integers(1, 900))
def test_looks_lie_between_the_ramp_and_the_last_step(checkpoints, first, more):
    looks = FinetuneStop(checkpoints=checkpoints).looks(first, first + more)
    assert looks == sorted(set(looks))
    assert all(first < look < first + more for look in looks)
    assert len(looks) <= checkpoints - 1
    if more >= 2 * checkpoints:
        assert len(looks) == checkpoints - 1
        assert np.ptp(np.diff([first, *looks, first + more])) <= 1


@given(st.integers(1, 1500), st.floats(0.05, 0.95))
def test_looks_begin_where_the_masks_hold_their_final_share(steps, share):
    ended = replace(TUNING, steps=steps, pruning_ratio=share).ramp_ended
    assert 0.6 * steps - 1e-6 <= ended <= min(steps, 0.6 * steps + TUNING.refreshed)
    if ended < steps:
        assert ended % TUNING.refreshed == 0
        assert share_pruned(ended, steps, share, TUNING.ramp) == pytest.approx(share)
    assert replace(TUNING, steps=steps, pruning_ratio=0.0).ramp_ended == 0


def judged(accuracies, resumed_at=None):
    """Steps made and what was foretold, by a judge that is broken off once or not."""
    values = iter(accuracies)
    rule = FinetuneStop(checkpoints=len(accuracies) + 1, tolerance=0.004)
    judge = CurveJudge(rule, 300, 1000, lambda: float(next(values)))
    for made in range(1, 1001):
        if made == resumed_at:
            before, judge = judge, CurveJudge(rule, 300, 1000, lambda: float(next(values)))
            judge.seen[:] = before.seen
        if judge.ends(made):
            return judge.ending(made)
    return judge.ending(1000)


def test_a_settled_curve_ends_tuning_and_foretells_its_end():
    at = 35.0 * np.arange(1.0, 20.0)  # of the 700 steps after the ramp
    true = Curve(0.88, 0.08, 120.0)
    noise = np.random.default_rng(1).normal(scale=0.001, size=19)
    ending = judged(true.at(at) + noise)
    assert 300 + 35 * (FEWEST + 2) <= ending.made <= 800
    assert ending.foretold == pytest.approx(float(true.at(700.0)), abs=0.01)
    assert [step for step, _ in ending.seen] == list(range(335, ending.made + 1, 35))
    for resumed_at in (336, ending.made):
        assert judged(true.at(at) + noise, resumed_at) == ending


def test_a_curve_that_never_settles_is_followed_to_its_end():
    # Ever steeper: whatever was foretold, the next checkpoint foretells more.
    ending = judged(0.2 + 0.7 * (np.arange(1, 12) / 12) ** 2)
    assert (ending.asked, ending.made, ending.foretold) == (1000, 1000, None)
    assert len(ending.seen) == 11


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"window": 1}, "window >= 2"), ({"tolerance": 0.0}, "tolerance"), ({"sentences": 0}, "1"),
     ({"checkpoints": 6}, "at least 7"), ({"checkpoints": 8, "window": 5}, "at least 9")],
)  # fmt: skip
def test_a_rule_that_could_end_nothing_is_refused(wrong, said):
    with pytest.raises(DseError, match=said):
        FinetuneStop(**wrong)


# -- real tunings ---------------------------------------------------------------------------


def test_a_tuning_ends_early_as_a_pruned_network_that_says_so(ended):
    ending = ending_of(ended)
    assert ending is not None
    assert (ending.asked, ending.made) == (40, 36)
    assert [step for step, _ in ending.seen] == [31, 32, 33, 34, 35, 36]
    assert all(accuracy * 60 == pytest.approx(round(accuracy * 60)) for _, accuracy in ending.seen)
    assert ending.foretold is not None
    assert 0.3 < ending.foretold <= 1.0
    for name, p in load_trained(ended.path, ended.folder).encoder.named_parameters():
        if p.dim() == 2 and in_layers(name):
            assert (p == 0).sum() == round(0.6 * p.numel()), name


def test_the_curve_is_seen_on_sentences_of_the_validation_split_only(here):
    cache, task, _ = here
    held = LOOSE.held(task, cache)
    assert held.sentences == read_split(task, cache, "validation").sentences[:60]
    for other in ("train", "test"):
        assert not set(held.sentences) & set(read_split(task, cache, other).sentences)


def test_a_rule_that_ends_nothing_changes_nothing(here):
    cache, task, dense = here
    plain = tuned_network(dense, task, TUNING, cache)
    looked = tuned_network(dense, task, TUNING, cache, stop=NEVER)
    ending = ending_of(looked)
    assert ending is not None
    assert (ending.made, ending.foretold, len(ending.seen)) == (40, None, 9)
    assert ending_of(plain) is None
    assert plain.path != looked.path
    one, two = load_file(plain.path), load_file(looked.path)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


class Broken(Exception):
    pass


@pytest.mark.parametrize("at", [32, 35])
def test_a_broken_tuning_ends_at_the_same_step_with_the_same_bytes(
    at, here, ended, tmp_path, monkeypatch
):
    """Broken off before and after a checkpoint at step 33, at which three looks were taken."""
    monkeypatch.setattr(tuning, "fit", partial(fit, every=33))
    cache, task, dense = here
    cache = cache_like(cache, tmp_path / "cache")

    def stumble(what, share):
        if what == "tuning the network" and round(share * 40) == at:
            raise Broken

    with pytest.raises(Broken):
        tuned_network(dense, task, TUNING, cache, stumble, stop=LOOSE)
    assert len(list(cache.rglob("*.checkpoint"))) == (at > 33)
    again = tuned_network(dense, task, TUNING, cache, stop=LOOSE)
    assert again.path.name == ended.path.name
    assert again.path.read_bytes() == ended.path.read_bytes()
    assert not list(cache.rglob("*.checkpoint"))


def accuracy_run(here, cache, stop):
    _, task, dense = here
    fixed = Compression(pruning_ratio=0.6)
    knobs = ("finetune_steps", "weight_bits")
    return AccuracyRun(dense, task, cache, knobs=knobs, fixed=fixed, finetune_stop=stop)


def columns(*rows):
    steps, bits = zip(*rows, strict=True)
    return {"finetune_steps": np.array(steps), "weight_bits": np.array(bits)}


def test_the_archive_says_how_tuning_ended(here, ended):
    cache = here[0]
    run = accuracy_run(here, cache, LOOSE)
    asked = columns((0, 8), (40, 8), (2, 8), (40, 6))
    handles = run(asked)["archive"]
    said = FinetuneEnd(cache)({"archive": handles})["finetune_ended"].tolist()
    ending = ending_of(ended)
    assert ending is not None
    foretold = ending.foretold
    told = (
        f"ended after 36 of 40 steps: accuracy {foretold:.4f} foretold for the last, "
        "predictions within 0.5"
    )
    assert said == ["not tuned", told, "all 2 steps made", told]
    record = read_archive(cache, str(handles[1])).provenance
    assert record["finetune_stop"] == asdict(LOOSE)
    assert record["finetune_ending"] == json.loads(json.dumps(ending.facts()))


def test_parts_of_a_run_say_how_tuning_ended_too(here):
    cache = here[0]
    run = accuracy_run(here, cache, LOOSE)
    whole = run.passed(run.compressions(columns((40, 8)))[0])
    part = PartRun(run)
    spans = {"first": np.array([0]), "last": np.array([30])}
    rest = {"first": np.array([30]), "last": np.array([80])}
    parts = [
        read_archive(cache, str(part({**columns((40, 8)), **span})["part"][0]))
        for span in (spans, rest)
    ]
    assert joined(parts).provenance["finetune_ending"] == json.loads(
        json.dumps(whole.provenance["finetune_ending"])
    )
    assert part.whole(columns((40, 8))) != PartRun(replace(run, finetune_stop=None)).whole(
        columns((40, 8))
    )


def test_a_rule_is_in_the_address_of_what_is_tuned_alone(here):
    cache, task, _ = here
    trained = Trained(Path("x"), "0" * 64, Path("y"))
    run = AccuracyRun(trained, task, cache, sentences=400, precision="float32")
    tuned = Compression(pruning_ratio=0.6, finetune_steps=500)
    one_shot = Compression(pruning_ratio=0.6)
    ruled = replace(run, finetune_stop=LOOSE)
    assert ruled.archive_facts(one_shot) == run.archive_facts(one_shot)
    assert ruled.archive_facts(tuned) != run.archive_facts(tuned)
    others = replace(run, finetune_stop=replace(LOOSE, tolerance=0.4))
    assert others.archive_facts(tuned) != ruled.archive_facts(tuned)


def test_sentences_that_do_not_exist_and_learned_spans_are_refused(here):
    cache, task, dense = here
    many = replace(LOOSE, sentences=101)
    with pytest.raises(DseError, match=r"finetune_stop.sentences = 101; the validation .* has 100"):
        tuned_network(dense, task, TUNING, cache, stop=many)
    with pytest.raises(DseError, match=r"span_penalty = 0\.05 move on"):
        tuned_network(dense, task, replace(TUNING, span_penalty=0.05), cache, stop=LOOSE)


STUDY = Path(__file__).resolve().parents[2] / "studies" / "edgebert/sentiment.yaml"


@pytest.mark.slow
def test_a_trial_says_how_its_tuning_ended(here, tiny, tmp_path, monkeypatch):
    """Serial and in a pool, also where runs may be broken off: the same trials, nothing shared."""
    runs = []
    ways = (("serial", "null"), ("pool", "null"), ("pool", "{}"))
    for number, (executor, early) in enumerate(ways):
        cache = cache_like(here[0], tmp_path / f"cache{number}")
        monkeypatch.setenv("EDGE_DSE_CACHE", str(cache))
        sets = (
            f"settings={{task: '{here[1]}', network: '{tiny}', recipe: small, sentences: 60, "
            "finetune_stop: {tolerance: 0.5, sentences: 60}}",
            "knobs.pruning_ratio.values=[0.6]",
            "knobs.weight_bits.values=[5, 8]",
            "knobs.finetune_steps={values: [0, 40], unit: step}",
            "constraints={}",
            f"search={{searcher: random, batch: 4, trials: 12, early_stop: {early}}}",
            f"execution.executor={executor}",
        )
        study = load_study(STUDY, InstalledSystems(), sets)
        run_study(study, tmp_path / f"run{number}", Bars(), Stop())
        runs.append(read_run(tmp_path / f"run{number}"))
    one, two, parts = runs
    trials = one.trials
    assert trials.ok.all()
    tuned = trials.designs["finetune_steps"] == 40
    said = trials.metrics["finetune_ended"]
    assert set(said[~tuned]) == {"not tuned"}
    (told,) = set(said[tuned])
    assert told.startswith("ended after 36 of 40 steps: accuracy 0.")
    assert told in trials_csv(one.question, trials)
    (quantity,) = [q for q in one.question.metrics if q.name == "finetune_ended"]
    assert (quantity.unit, quantity.evidence) == ("choice", "unverified")
    assert trials.metrics["archive"].tolist() == two.trials.metrics["archive"].tolist()
    assert trials.losses.tobytes() == two.trials.losses.tobytes()
    whole = parts.trials.ok
    assert (whole & tuned).any()
    assert parts.trials.metrics["finetune_ended"][whole].tolist() == said[whole].tolist()
