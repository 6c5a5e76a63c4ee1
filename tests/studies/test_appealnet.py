"""AppealNet whole on scikit-learn's digits: a study, its front beside both ends, and its costs."""

from pathlib import Path

import numpy as np
import pytest

import studies.appealnet.baselines_command
from dse.accuracy.appeal.routers import Routed
from dse.accuracy.data.images import read_images
from dse.cli.terminal import Bars
from dse.core.errors import DseError, StudyError
from dse.online.requests import Requests
from dse.online.testing import SettledBeforeTheSignalContract
from dse.results.front import Front
from dse.runs.store import read_run
from dse.search.interrupts import Stop
from dse.study.loader import load_study
from dse.study.runner import run_study
from hw_models.appeal import Appealing
from hw_models.cloud import CloudNode
from hw_models.edge_device import EdgeDevice
from hw_models.link import Link
from studies.appealnet.baselines_command import sides
from studies.appealnet.requests_command import appeals_of, rows_of, ways_of
from studies.appealnet.system import SYSTEM, Settings, priced
from studies.appealnet.testbed import text_macs
from studies.dynasplit.testbed import cuts_of, priced_testbed

STUDIES = Path(__file__).resolve().parents[2] / "studies"
SYSTEMS = {"appealnet": SYSTEM}


def made(payload=1000.0, link=None):
    """A board of 2 layers at 4 W, a node of 10 W, and 10 ms of arithmetic behind the link."""
    cycles = np.array([[0.0, 1e6, 3e6]])
    edge = EdgeDevice(("off",), cycles, np.zeros_like(cycles), np.array([4.0]), np.zeros(1), 1.0,
                      (1e9, 2e9))  # fmt: skip
    node = CloudNode(np.array([[0.05, 0.0], [0.01, 0.0]]), np.array([10.0, 20.0]))
    return Appealing(edge, link or Link(0.002, tail_energy=0.5), {"big": node}, payload, 8e6)


def design(rate, layers=2, gpu="on", network="big"):
    n = len(rate)
    return {
        "edge_layers": np.full(n, layers),
        "cpu_frequency": np.full(n, 1e9),
        "cloud_gpu": np.full(n, gpu),
        "cloud_network": np.full(n, network),
        "appeal_rate": np.asarray(rate, dtype=float),
    }


def test_the_edge_pays_for_every_input():
    # Reference, property 1: C at SR = 1 is the edge alone, at SR = 0 edge, link and cloud.
    found = made()(design([0.0, 0.5, 1.0]))
    edge, appeal = 4.0 * 3e-3, 1.0 * (0.003 + 0.01) + 0.5 + 20.0 * 0.01
    assert found["energy"] == pytest.approx([edge, edge + 0.5 * appeal, edge + appeal])
    assert found["latency"] == pytest.approx([0.003, 0.003 + 0.5 * 0.013, 0.016])
    assert found["sent"] == pytest.approx([0.0, 500.0, 1000.0])
    total = found["energy_edge"] + found["energy_cloud"]
    assert total == pytest.approx(found["energy"], rel=1e-12)


def test_parts_of_an_appeal_sum_to_what_it_costs():
    asked = design(np.linspace(0.0, 1.0, 7))
    found, parts = made()(asked), made().parts(asked)
    for name, components in parts.items():
        assert sum(components.values()) == pytest.approx(found[name], rel=1e-12)
    assert list(parts["energy"]) == ["edge", "waiting", "transfer", "cloud"]
    assert np.array_equal(parts["energy"]["cloud"], found["energy_cloud"])
    with pytest.raises(ValueError, match=r"appeal_rate = 1\.5 1"):
        made().parts(design([1.5]))


def test_the_link_has_a_fixed_and_a_per_byte_part():
    # A hundred times the bytes of a text cost little more: the fixed part rules.
    link = Link(0.002, byte_energy=1e-6, tail_energy=0.5)
    small, large = (made(size, link)(design([1.0])) for size in (256.0, 25_600.0))
    byte = 25_344 * (8 / 8e6 * 1.0 + 1e-6)
    assert large["energy"][0] - small["energy"][0] == pytest.approx(byte)
    assert large["energy"][0] < 1.1 * small["energy"][0]


def test_five_in_a_hundred_appeals_are_not_in_the_tail():
    found = made()(design([0.05, 0.051, 1 - 0.95]))
    assert found["latency_p95"] == pytest.approx([0.003, 0.016, 0.003])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("appeal_rate", 1.1, "0 to 1"),
        ("edge_layers", 3, "0 to 2"),
        ("edge_layers", 0, "answers"),
        ("cloud_network", "small", "not one of"),
    ],
)
def test_what_is_not_there_is_refused(column, value, message):
    columns = {**design([0.5]), column: np.array([value])}
    with pytest.raises(ValueError, match=message):
        made()(columns)


def test_appeal_and_split_stand_on_the_same_testbed():
    # Edge of k layers is the split's board up to the heads' arithmetic, and everything appealed
    # is the split's cloud beside it.
    model = priced(Settings(task="rt-sentiment", sequence_length=64))
    split = priced_testbed("minilm-l6", 64, waiting=2.7, idle=0.0, cpu_slowdown=5.0)
    clock, bandwidth = np.array([1.8e9]), np.array([model.bandwidth])
    heads = text_macs(64, 2, 32)[3] / cuts_of("minilm-l6", 64).macs[3]
    assert 1.0 < heads < 1.001
    at_cut = {"cpu_frequency": clock, "tpu_mode": np.array(["off"]), "bandwidth": bandwidth}
    three = split.parts({**at_cut, "split_layer": np.array([3]), "cloud_gpu": np.array(["on"])})
    whole = split.parts({**at_cut, "split_layer": np.array([0]), "cloud_gpu": np.array(["on"])})
    row = {
        "edge_layers": np.array([3]),
        "cpu_frequency": clock,
        "cloud_gpu": np.array(["on"]),
        "cloud_network": np.array(["demo"]),
        "appeal_rate": np.ones(1),
    }
    found = model(row)
    assert found["latency_kept"] == pytest.approx(three["latency"]["edge"] * heads, rel=1e-9)
    there = whole["latency"]["transfer"] + whole["latency"]["cloud"]
    assert found["latency_appealed"] - found["latency_kept"] == pytest.approx(there, rel=1e-3)


@pytest.mark.parametrize("name", ["appealnet/text.yaml", "appealnet/digits.yaml"])
def test_the_shipped_studies_are_sound(name):
    study = load_study(STUDIES / name, SYSTEMS)
    assert isinstance(study.settings, Settings)


def test_a_large_network_of_the_other_kind_is_refused():
    with pytest.raises(StudyError, match="none for images"):
        load_study(
            STUDIES / "appealnet/digits.yaml", SYSTEMS, ["knobs.cloud_network.values=['demo']"]
        )


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """The shipped study on digits with one depth, in a cache of its own."""
    folder = tmp_path_factory.mktemp("appeal")
    overrides = ["knobs.edge_layers.values=[1]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DSE_CACHE", str(folder / "cache"))
        study = load_study(STUDIES / "appealnet/digits.yaml", SYSTEMS, overrides)
        with Bars() as bars:
            run_study(study, folder / "run", bars, Stop())
        yield folder / "run"


def test_one_training_prices_every_threshold(digits_run):
    run = read_run(digits_run)
    assert len(run.trials) == 51
    assert run.trials.ok.all()
    assert len(set(run.trials.metrics["archive"])) == 1
    order = np.argsort(run.trials.designs["appeal_threshold"])
    rates = run.trials.metrics["appeal_rate"][order]
    assert rates[0] == 0.0
    assert (np.diff(rates) >= 0).all()
    assert (np.diff(run.trials.metrics["energy"][order]) >= 0).all()


def test_the_front_lies_between_edge_only_and_cloud_only(digits_run):
    lines = sides(digits_run, 5)
    who = [str(line["who"]).split(" ")[0] for line in lines]
    assert who[-2:] == ["edge", "cloud"]
    edge, cloud = lines[-2:]
    front = lines[:-2]
    least, most = (float(line["energy"]) for line in (edge, cloud))
    assert least < most
    assert float(edge["accuracy"]) < float(cloud["accuracy"])
    # The wide gap between a linear answer and a convolutional one leaves room in between.
    assert any(
        float(line["accuracy"]) > float(edge["accuracy"]) and float(line["energy"]) < most
        for line in front
    )


def test_the_rows_shown_are_the_best_on_validation_with_test_beside_it(digits_run):
    front = Front.of_run(read_run(digits_run))
    lines = sides(digits_run, 5)[:-2]
    validation = [line["accuracy_validation"] for line in lines]
    assert validation == sorted(validation, reverse=True)
    assert validation[0] == front.trials.metrics["accuracy"].max()
    for line in lines:
        number = int(str(line["who"]).split(" ")[1].rstrip(":"))
        assert line["accuracy"] == pytest.approx(front.held_out[number]["test_accuracy"])
        assert line["appeal_rate"] == pytest.approx(front.held_out[number]["test_appeal_rate"])


def test_the_test_split_decides_neither_rows_nor_their_order(digits_run, monkeypatch):
    before = sides(digits_run, 5)
    honest = studies.appealnet.baselines_command._answers

    def turned(settings, design, part, router):
        seen = honest(settings, design, part, router)
        if part == "validation":
            return seen
        return Routed(1.0 - seen.score, ~seen.edge_right, ~seen.cloud_right)

    monkeypatch.setattr(studies.appealnet.baselines_command, "_answers", turned)
    after = sides(digits_run, 5)
    assert [line["who"] for line in after] == [line["who"] for line in before]
    assert [line["accuracy"] for line in after] != [line["accuracy"] for line in before]


def test_an_accuracy_comes_with_its_standard_error(digits_run):
    inputs = len(read_images("digits", digits_run.parent / "cache", "test").labels)
    for line in sides(digits_run, 5):
        p = float(line["accuracy"])
        assert line["standard_error"] == pytest.approx(np.sqrt(p * (1 - p) / inputs))
    cloud = sides(digits_run, 5)[-1]
    assert (cloud["gain"], cloud["gain_error"]) == (0.0, 0.0)


def test_a_run_of_another_system_is_refused(small_run):
    with pytest.raises((DseError, StudyError)):
        sides(small_run.folder, 3)


class OnTheBoard(SettledBeforeTheSignalContract):
    """A board whose slow clocks save energy: there, a clock chosen by the score would pay."""

    way = ""

    @pytest.fixture(autouse=True)
    def _board(self):
        # 1 W at the lowest clock and the cube of it above: 1.8 GHz cost nine times as much per
        # input, so every deadline has a clock of its own.
        cycles = np.array([[0.0, 18e6]])
        edge = EdgeDevice(("off",), cycles, np.zeros_like(cycles), np.zeros(1),
                          np.array([0.6e9**-3.0]), 1.0, (0.6e9, 1.8e9))  # fmt: skip
        node = CloudNode(np.array([[0.05, 0.0], [0.01, 0.0]]), np.array([10.0, 20.0]))
        model = Appealing(edge, Link(0.002), {"big": node}, 1000.0, 8e6)
        self._branches = rows_of(model, 1, "big")

    def policy(self):
        return ways_of(self._branches, 0.5)[self.way]

    def settled(self):
        return self._branches.choices.settings

    def requests(self):
        rng = np.random.default_rng(9)
        return Requests.of(rng.uniform(0.008, 0.06, 60), signal=rng.random(60),
                           bandwidth=rng.choice([1e6, 8e6, np.inf], 60))  # fmt: skip

    def test_a_deadline_has_a_clock_of_its_own(self):
        rows = self.policy().select_all(self.requests(), -1)
        assert len(np.unique(self.settled()["cpu_frequency"][rows])) > 4


class TestEdge(OnTheBoard):
    way = "edge"


class TestCloud(OnTheBoard):
    way = "cloud"


class TestAlways(OnTheBoard):
    way = "always"


class TestInTime(OnTheBoard):
    way = "in time"


def test_test_inputs_one_by_one_under_a_deadline(digits_run):
    roomy, tight = 1.0, 0.030  # an appeal takes 58 ms
    rates = read_run(digits_run).trials.metrics["appeal_rate"]
    some = int(np.abs(rates - 0.5).argmin())
    assert 0.1 < rates[some] < 0.9
    lines = {
        (line["policy"], line["deadline"]): line
        for line in appeals_of(digits_run, [roomy, tight], some, [])
    }
    assert lines["always", roomy] == lines["in time", roomy] | {"policy": "always"}
    assert lines["in time", tight]["late"] == lines["in time", tight]["appealed"] == 0.0
    assert lines["always", tight]["late"] == lines["always", tight]["appealed"] != 0.0
    assert lines["in time", tight] == lines["edge", tight] | {"policy": "in time"}
    spent = [float(lines[who, roomy]["energy"]) for who in ("edge", "in time", "cloud")]
    assert spent[0] < spent[1] < spent[2]
