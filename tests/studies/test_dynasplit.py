"""The testbed in closed form: what was published of it, its laws, and its study files."""

from pathlib import Path

import numpy as np
import pytest

from dse.core.errors import StudyError
from dse.core.problem import Objective, Problem
from dse.study.loader import load_study
from search_spaces.dynasplit import dynasplit_space
from studies.dynasplit.system import SYSTEM, Settings, SplitAt
from studies.dynasplit.testbed import cuts_of, priced_testbed

STUDIES = Path(__file__).resolve().parents[2] / "studies"
SYSTEMS = {"dynasplit": SYSTEM}
LATENCY, ENERGY = Objective("latency", "s"), Objective("energy", "J")


def here(evaluator, needs=None):
    """Nothing that a worker would have to be asked for."""
    assert needs is None
    return evaluator


def composed(**settings):
    own = Settings(**settings)
    evaluator = SYSTEM.compose(own, here, lambda *_: None).evaluator
    return Problem(dynasplit_space(own.network), evaluator, (LATENCY, ENERGY))


def priced(problem, **design):
    codes = problem.space.encode({k: np.array([v]) for k, v in design.items()})
    trials = problem.evaluate(codes)
    assert trials.failures == (None,)
    return {name: column[0] for name, column in trials.metrics.items()}


def edge(problem, layers, clock=1.8e9, mode="off"):
    return priced(problem, split_layer=layers, cpu_frequency=clock, tpu_mode=mode, cloud_gpu="off")


@pytest.mark.parametrize("network", ["vgg16", "vit", "bert-base", "minilm-l6"])
def test_every_configuration_that_exists_has_a_price(network):
    problem = composed(network=network)
    trials = problem.evaluate(np.concatenate(list(problem.space.enumerate())))
    assert trials.feasible.all()
    parts = [trials.metrics[f"latency_{part}"] for part in ("edge", "transfer", "cloud")]
    assert np.sum(parts, axis=0) == pytest.approx(trials.metrics["latency"], rel=1e-12)
    energy = trials.metrics["energy_edge"] + trials.metrics["energy_cloud"]
    assert energy == pytest.approx(trials.metrics["energy"], rel=1e-12)


def test_whole_networks_cost_what_was_published():
    # VGG16 on the board: 14.6 J at 0.6 GHz, 7.85 J at 1.8 GHz; slowest 5026.8 ms. With TPU
    # at 1.8 GHz: 434 ms, 2.415 J and 424.5 ms, 2.323 J. All of them are calibration.
    vgg = composed(network="vgg16")
    assert edge(vgg, 22, 0.6e9)["energy"] == pytest.approx(14.6, rel=0.06)
    assert edge(vgg, 22)["energy"] == pytest.approx(7.85, rel=0.06)
    assert edge(vgg, 22, 0.6e9)["latency"] == pytest.approx(5.0268, rel=0.03)
    for mode, latency, energy in (("std", 0.434, 2.415), ("max", 0.4245, 2.323)):
        on_tpu = edge(vgg, 22, mode=mode)
        assert on_tpu["latency"] == pytest.approx(latency, rel=1e-9)
        assert on_tpu["energy"] == pytest.approx(energy, rel=0.005)  # printed digits


@pytest.mark.parametrize(("network", "seconds"), [("vgg16", 0.0906), ("vit", 0.1188)])
def test_all_in_the_cloud_takes_the_fastest_published_time(network, seconds):
    cloud = priced(composed(network=network), split_layer=0, cpu_frequency=1.8e9, tpu_mode="off",
                   cloud_gpu="on")  # fmt: skip
    assert cloud["latency"] == pytest.approx(seconds, rel=1e-9)


def test_counts_of_the_networks_are_the_architectures_own():
    vgg, bert = cuts_of("vgg16", 0), cuts_of("bert-base", 128)
    assert vgg.macs[-1] == 15_470_264_320  # Simonyan and Zisserman's configuration D at 224 x 224
    assert vgg.weights[-1] == 138_357_544 - 4_224 - 9_192  # parameters less biases of both parts
    kib = [588, 3136, 3136, 784, 1568, 1568, 392, 784, 784, 784, 196, 392, 392, 392, 98, 98, 98, 98,
           24.5, 24.5, 4, 4, 0]  # fmt: skip
    # The published table, but for the output of 4096 and 4096 dense values, 4.0 KB each.
    assert vgg.sizes[:-1] / 1024 == pytest.approx(kib[:-1])
    assert bert.macs[-1] == 12 * 931_135_488
    vit = cuts_of("vit", 0)
    assert vit.sizes[[0, 1, 3, 17, 18, 19]] / 1024 == pytest.approx([588, 588, 591, 591, 3, 0])


def test_a_bandwidth_reprices_exactly():
    for megabit in (1.0, 20.0, 592.0):
        model = SplitAt(
            priced_testbed("vgg16", 0, waiting=2.7, idle=0.0, cpu_slowdown=5.0), megabit * 1e6
        )
        other = SplitAt(model.model, 7e6)
        space = dynasplit_space("vgg16")
        designs = space.decode(np.concatenate(list(space.enumerate())))
        here, there = model(designs), other(designs)
        sent = here["transfer_bits"] / 7e6
        assert here["latency_floor"] + sent == pytest.approx(there["latency"], rel=1e-12)
        energy = here["energy_floor"] + here["transfer_power"] * sent
        assert energy == pytest.approx(there["energy"], rel=1e-12)


@pytest.mark.parametrize(("name", "size"), [("encoder", 175), ("vgg16", 917)])
def test_the_study_files_ask_for_the_whole_space(name, size):
    study = load_study(STUDIES / "dynasplit" / f"{name}.yaml", SYSTEMS)
    assert study.space.size == size


def test_a_cut_that_the_network_does_not_have_is_said_with_its_line():
    with pytest.raises(StudyError, match=r"knobs: split_layer = 12 layer is deeper than minilm-l6"):
        load_study(STUDIES / "dynasplit/encoder.yaml", SYSTEMS, ["settings.network=minilm-l6"])
