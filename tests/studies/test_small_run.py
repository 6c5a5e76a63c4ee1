"""A study of the real system, start to end in seconds: a tiny network, made-up sentences."""

from pathlib import Path

import numpy as np
import pytest

from dse.cli.terminal import Bars
from dse.results.front import Front
from dse.runs.store import read_run
from dse.search.interrupts import Stop
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from dse.study.runner import run_study

STUDY = Path(__file__).resolve().parents[2] / "studies" / "edgebert/sentiment.yaml"


@pytest.fixture(scope="module")
def run(made_task, tiny, tmp_path_factory):
    """120 designs of four networks, three layers each."""
    cache, task = made_task
    sets = (
        f"settings={{task: '{task}', network: '{tiny}', recipe: small, sentences: 60, "
        "test_sentences: 50}",
        "knobs.pruning_ratio.values=[0.0, 0.5]",
        "knobs.weight_bits.values=[5, 8]",
        "constraints={}",
        "search={searcher: nsga2, batch: 20, trials: 120}",
        "execution.executor=serial",
    )
    folder = tmp_path_factory.mktemp("small") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DSE_CACHE", str(cache))
        run_study(load_study(STUDY, InstalledSystems(), sets), folder, Bars(), Stop())
    return read_run(folder)


def test_four_real_runs_price_all_designs(run):
    assert len(run.trials) == 120
    assert run.trials.ok.all()
    assert run.manifest["real_runs_made"] == len(set(run.trials.metrics["archive"])) == 4


def test_accuracies_are_shares_of_the_sentences_and_depths_are_layers(run):
    accuracy = run.trials.metrics["accuracy"]
    np.testing.assert_allclose(60 * accuracy, np.rint(60 * accuracy), atol=1e-9)
    depth = run.trials.metrics["mean_exit_layer"]
    assert ((depth >= 1) & (depth <= 3)).all()
    assert (depth[run.trials.designs["exit_threshold"] == 0.0] == 3).all()


def test_the_front_is_measured_once_more_on_sentences_that_chose_nothing(run):
    front = Front.of(run.question, run.trials)
    assert 0 < len(front) < 120
    assert "test_accuracy" in (run.folder / "front.json").read_text(encoding="utf-8")
