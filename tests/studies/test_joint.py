"""The joint study: its space, a real run of it, and its ablation, with small budgets."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dse.accuracy.compression.pipeline import Compression
from dse.core.errors import DseError, SpaceError, StudyError
from dse.core.parameters import Categorical
from dse.core.problem import Objective, Problem
from dse.core.signature import Signature
from dse.runs.manifest import require_system
from dse.runs.store import read_run
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from hw_models import EncoderShape
from hw_models.workload import encoder
from search_spaces.joint import (
    DEFAULTS,
    DEVICE_KNOBS,
    DOMAIN,
    OFFLOAD,
    SPLIT_LAYER,
    corners,
    joint_space,
)
from studies.analyses.ablation import ARMS, arm_space
from studies.analyses.coordinate_descent import energy_of, run_keys, tuned
from studies.analyses.network_proposals import COMPRESSION, Network, Networks, Picked, real_runs
from studies.joint.system import Settings, layers_of, priced

LAYERS = layers_of()

SYSTEMS = InstalledSystems()
ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "joint/sentiment.yaml"
SMALL = (
    "settings.recipe=small",
    "settings.clouds=[small]",
    "settings.sentences=60",
    "settings.test_sentences=50",
    "knobs.cloud_network.values=[small]",
    "knobs.pruning_ratio.values=[0.0, 0.5]",
    "knobs.embedding_sparsity.values=[0.0]",
    "knobs.attention_span.values=[128]",
    "knobs.weight_bits.values=[5, 8]",
    "knobs.exponent_bits.values=[3]",
    "knobs.activation_bits.values=[8]",
    "knobs.link_bits.values=[4]",
    "knobs.split_layer.step=3",
    "execution.executor=serial",
)


@pytest.fixture(scope="module")
def study():
    return load_study(STUDY, SYSTEMS)


@pytest.fixture(scope="module")
def dse(real_cache, trained_small):
    """Runs the command on the session's cache; returns the finished process."""
    assert trained_small.path.is_file()

    def run(*arguments, cwd, small=SMALL):
        overrides = [part for text in small for part in ("--set", text)]
        return subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "studies.command",
                *map(str, arguments),
                *overrides,
            ],
            cwd=cwd,
            env={**os.environ, "EDGE_DSE_CACHE": str(real_cache), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


def test_every_knob_has_a_default_but_the_split():
    assert {p.name for p in DOMAIN} - set(DEFAULTS) == {"split_layer"}


def test_sampled_designs_obey_every_rule_of_the_page(study):
    space = study.space
    designs = space.decode(space.sample(2000, np.random.default_rng(1)))
    state, appeal = designs["offload"] == "state", designs["offload"] == "input"
    split, sentence = designs["split_layer"], designs["dvfs"] == "sentence"
    assert not (state & ((split == 0) | (split == LAYERS))).any()
    assert not ((designs["offload"] == "none") & (split == 0)).any()
    assert (designs["link_bits"][~state] == 32).all()
    assert (designs["appeal_threshold"][~appeal] == 0).all()
    assert (designs["vdd"][sentence] == 0.8).all()
    assert (designs["exit_rule"][sentence] == "entropy").all()
    assert (designs["predict_layer"][sentence] < split[sentence]).all()
    assert (designs["predict_layer"][sentence] <= LAYERS - 2).all()
    patient = designs["exit_rule"] == "patience"
    assert (designs["exit_patience"][patient] <= split[patient]).all()
    for knob in DEVICE_KNOBS:
        if knob in designs:
            asleep = 5 if knob == "exit_patience" else DEFAULTS[knob]  # a level of the study
            assert (designs[knob][split == 0] == asleep).all()
    assert state.any()
    assert appeal.any()
    assert sentence.any()


@pytest.mark.parametrize("name", ["sentiment", "board"], ids=lambda name: f"joint_{name}")
def test_a_search_opens_with_all_on_the_device_all_in_the_cloud_and_always_asking(name):
    study = load_study(STUDY.with_name(f"{name}.yaml"), SYSTEMS)
    assert study.system.corners is not None
    found = study.system.corners(study.settings, study.space)
    for design in found.values():
        code = study.space.encode({name: np.array([value]) for name, value in design.items()})
        assert study.space.allowed(code).all()
    cuts = [(design["split_layer"], design["offload"]) for design in found.values()]
    assert cuts == [(LAYERS, "none"), (0, "input"), (LAYERS, "input")]
    assert found["always asked"]["appeal_threshold"] == 1.0


@pytest.mark.parametrize(
    ("may_leave", "left", "opened"),
    [("state", {"none", "state"}, 1), ("nothing", {"none"}, 1), ("input", set(OFFLOAD.values), 3)],
)
@pytest.mark.parametrize("name", ["sentiment", "board"], ids=lambda name: f"joint_{name}")
def test_what_may_not_leave_the_device_is_in_no_design(name, may_leave, left, opened):
    override = f"settings.may_leave={may_leave}"
    study = load_study(STUDY.with_name(f"{name}.yaml"), SYSTEMS, overrides=[override])
    designs = study.space.decode(study.space.sample(300, np.random.default_rng(1)))
    assert set(designs["offload"].tolist()) == left
    if may_leave != "input":
        assert (designs["split_layer"] > 0).all()
        assert (designs["appeal_threshold"] == DEFAULTS["appeal_threshold"]).all()
    assert study.system.corners is not None
    found = study.system.corners(study.settings, study.space).values()
    rows = {name: [design[name] for design in found] for name in study.space.names}
    codes = study.space.encode({name: np.array(values) for name, values in rows.items()})
    assert study.space.allowed(codes).sum() == opened
    for arm in ARMS:
        inside = arm_space(arm, study.space, LAYERS)
        drawn = inside.decode(inside.sample(50, np.random.default_rng(2)))
        assert set(drawn["offload"].tolist()) <= left


def test_a_study_that_always_sends_a_state_opens_with_no_corner():
    knobs = (SPLIT_LAYER, Categorical("offload", ("state",)))
    assert not corners(joint_space(knobs, LAYERS), LAYERS)


def test_a_study_that_may_send_nothing_and_always_does_is_refused():
    overrides = ["settings.may_leave=nothing", "knobs.offload.values=[state]"]
    with pytest.raises(StudyError, match="may_leave = nothing leaves none"):
        load_study(STUDY, SYSTEMS, overrides=overrides)


@pytest.mark.parametrize("name", ["sentiment", "board"], ids=lambda name: f"joint_{name}")
def test_every_design_of_the_space_has_a_network_and_a_price(name):
    study = load_study(STUDY.with_name(f"{name}.yaml"), SYSTEMS)
    rng = np.random.default_rng(2)
    designs = study.space.decode(study.space.sample(500, rng))
    names = (*COMPRESSION, "link_bits")
    for values in zip(*(designs[name].tolist() for name in names), strict=True):
        Compression(link_layer=1, **dict(zip(names, values, strict=True)))
    shares = rng.dirichlet(np.ones(LAYERS + 1), len(designs["offload"])).T
    shares[:LAYERS] *= np.arange(LAYERS)[:, np.newaxis] < designs["split_layer"]
    answered = {f"answered_{i + 1}": share for i, share in enumerate(shares[:-1])}
    shape = EncoderShape(
        layers=LAYERS, hidden=384, heads=12, ffn=1536, embedding=384, vocabulary=30522,
        positions=512, segments=2, classes=2, groups=LAYERS,
    )  # fmt: skip
    assert isinstance(study.settings, Settings)
    network = encoder(shape, study.settings.sequence_length)
    found = priced(study.settings, network)({**designs, **answered, "offloaded": shares[-1]})
    assert all(np.isfinite(column).all() for column in found.values())


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("settings.clouds=[full]", "cloud_network = 'demo' is not among settings.clouds, full"),
        ("settings.device=board", "is no choice of a board"),
        ("knobs.offload.values=[none]", "is a choice only with offload = state"),
        ("settings.voltage_table=dvfs_silicon_12nm", "vdd = 0.5 V is below 0.62 V, the lowest of"),
        (
            "knobs.activation_bits.values=[8, 32]",
            "activation_bits = 32 bit is above 16 bit, the wi",
        ),
    ],
)
def test_knobs_that_do_not_go_together_are_refused(override, why):
    with pytest.raises(StudyError, match=why):
        load_study(STUDY, SYSTEMS, (override,))


def test_a_real_run_shows_its_front_on_both_splits(dse, tmp_path):
    found = dse("run", STUDY, "--out", "run", "--searcher", "nsga2", "--trials", 90,
                "--set", "search.batch=30", cwd=tmp_path)  # fmt: skip
    assert found.returncode == 0, found.stderr
    run = read_run(tmp_path / "run")
    trials = run.trials
    assert len(trials) == 90
    assert trials.ok.all()
    answered = sum(trials.metrics[f"answered_{i + 1}"] for i in range(LAYERS))
    assert answered + trials.metrics["offloaded"] == pytest.approx(np.ones(90), abs=1e-12)
    alone = trials.designs["split_layer"] == 0
    assert (trials.metrics["offloaded"][alone] == 1).all()
    assert (trials.metrics["area"][alone] == 0).all()
    shown = front_of(tmp_path)
    assert "test_accuracy" in shown


def test_the_board_is_searched_and_shows_its_front(dse, tmp_path):
    small = [text for text in SMALL if "knobs." not in text or "split" in text or "cloud" in text]
    found = dse("run", STUDY.with_name("board.yaml"), "--out", "run", "--trials", 60,
                "--set", "search.batch=20", "--set", "knobs.pruning_ratio.values=[0.0]",
                "--set", "knobs.weight_bits.values=[8]", "--set", "knobs.link_bits.values=[4]",
                cwd=tmp_path, small=small)  # fmt: skip
    assert found.returncode == 0, found.stderr
    trials = read_run(tmp_path / "run").trials
    assert len(trials) == 60
    assert trials.ok.all()
    assert (trials.metrics["energy_total"] >= trials.metrics["energy"]).all()
    assert (trials.metrics["bytes_sent"][trials.designs["offload"] == "none"] == 0).all()
    # What sleeps stands at a level that the study has.
    assert set(trials.designs["cloud_network"].tolist()) == {"small"}
    assert "test_accuracy" in front_of(tmp_path)
    for command, wanted in (("sentences", "edgebert"), ("appeals", "appealnet")):
        with pytest.raises(DseError, match=f"run of the system joint; .* reads runs of {wanted}"):
            require_system(tmp_path / "run", wanted)
        refused = subprocess.run(
            [sys.executable, "-m", "studies.command", command, "run", "--deadline", "10ms"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert refused.returncode == 2
        assert f"this command reads runs of {wanted}" in refused.stderr


def front_of(folder):
    found = subprocess.run(
        [sys.executable, "-m", "studies.command", "front", "run", "--format", "csv"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return found.stdout


def test_the_ablation_gives_every_arm_the_same_budget(dse, tmp_path):
    found = dse("ablate", STUDY, "--runs", 3, "--trials", 120, "--seeds", 1, "--out", "a.json",
                "--plot", "a.png", cwd=tmp_path)  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((tmp_path / "a.json").read_text())
    lines = {line["arm"]: line for line in content["lines"]}
    assert set(lines) == set(ARMS)
    assert all(1 <= line["runs"] <= 3 for line in lines.values())
    assert all(0 < line["hypervolume"] <= 1 for line in lines.values())
    assert all(0 < line["test_hypervolume"] <= 1 for line in lines.values())
    assert all(0 < line["priced"] <= 600 for line in lines.values())
    device = lines["EdgeBERT"]
    for line in lines.values():
        for level, energy in line["energy"].items():
            assert (energy is None) == (line["test_accuracy"][level] is None)
    assert device["energy"]["device less 1 %"] is not None


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_frees_its_own_knobs_and_no_other(study, name):
    space = arm_space(name, study.space, LAYERS)
    free = {p.name for p in space.parameters if p.count != 1}
    assert free <= set(ARMS[name] or study.space.names)
    designs = space.decode(space.sample(200, np.random.default_rng(0)))
    if name == "EdgeBERT":
        assert (designs["split_layer"] == LAYERS).all()
        assert (designs["offload"] == "none").all()
    if name in ("DynaSplit", "AppealNet"):
        assert (designs["exit_entropy"] == 0).all()
        assert (designs["pruning_ratio"] == 0).all()
        assert (designs["weight_bits"] == 8).all()
    if name == "AppealNet":
        assert "state" not in designs["offload"]
    if name == "DynaSplit":
        cuts = set(zip(designs["split_layer"].tolist(), designs["offload"].tolist(), strict=True))
        between = {(s, "state") for s in range(1, LAYERS)}
        assert cuts == {(0, "input"), *between, (LAYERS, "none")}


def test_networks_are_distinct_dense_first_and_no_more_than_there_are(study):
    space = study.space
    networks = Networks(space, LAYERS, 1)
    first = networks.more([], 12, None)
    assert len(set(first)) == len(first)
    assert real_runs(first) == 12
    dense = dict(zip(COMPRESSION, first[0].compression, strict=True))
    assert dense["pruning_ratio"] == 0.0
    assert dense["weight_bits"] == 8
    assert first[0].link_layer == 0
    more = networks.more(first, 20, None)
    assert real_runs([*first, *more]) == 20
    assert not set(first) & set(more)
    few = arm_space("AppealNet", space, LAYERS)
    assert Networks(few, LAYERS, 1).size == 1
    assert len(Networks(few, LAYERS, 1).more([], 5, None)) == 1


def test_no_network_is_written_in_numbers_that_do_not_exist():
    few = ("pruning_ratio.values=[0.0]", "embedding_sparsity.values=[0.0]",
           "attention_span.values=[128]", "split_layer.stop=2")  # fmt: skip
    small = load_study(STUDY, SYSTEMS, tuple(f"knobs.{knob}" for knob in few))
    networks = Networks(small.space, LAYERS, 1)
    every = networks.more([], 1000, None)
    # Widths 4, 5, 6, 8 with 3 or 4 exponent bits, but for 4 with 4; no link, or 2 cuts x 4, 6, 8.
    assert len(every) == networks.size == 4 * (1 + 2 * 3) + 3 * (1 + 2 * 2)
    width, exponent = COMPRESSION.index("weight_bits"), COMPRESSION.index("exponent_bits")
    widths = [float(n.compression[width]) for n in every]
    exponents = [float(n.compression[exponent]) for n in every]
    assert all(w > e for w, e in zip(widths, exponents, strict=True))
    assert all(n.link_bits > e for n, e in zip(every, exponents, strict=True))


def test_a_network_sends_few_bits_at_its_own_cut_alone():
    dense = tuple(DEFAULTS[name] for name in COMPRESSION)
    picked = Picked((Network(dense), Network(dense, 3, 4.0)))
    columns = {
        "network": np.array([0.0, 1.0, 1.0, 1.0]),
        "split_layer": np.array([3, 3, 2, 3]),
        "offload": np.array(["state", "state", "state", "input"]),
    }
    assert picked(columns)["link_bits"].tolist() == [32.0, 4.0, 32.0, 32.0]


def test_an_arm_that_is_none_is_refused(study):
    with pytest.raises(Exception, match="arm 'all'; there are EdgeBERT"):
        arm_space("all", study.space, LAYERS)


def test_a_space_says_which_choice_has_no_ground(study):
    knobs = [p for p in study.space.parameters if p.name != "exit_rule"]
    rule = Categorical("exit_rule", ("entropy",))
    with pytest.raises(
        SpaceError, match="exit_patience is a choice only with exit_rule = patience"
    ):
        joint_space((*knobs, rule), LAYERS)


@dataclass(frozen=True)
class Uphill:
    """Accuracy of the device 0.8 less what compression takes, of the cloud 0.9; reads all knobs."""

    inputs: Mapping[str, str]

    @property
    def signature(self):
        return Signature.uniform(self.inputs, {"accuracy": "1", "energy": "J"}, "closed form")

    def __call__(self, columns):
        sent = np.where(columns["offload"] == "input", columns["appeal_threshold"], 0.0)
        sent = np.where(columns["split_layer"] == 0, 1.0, sent)
        device = 0.8 - 0.01 * (8 - columns["weight_bits"]) - 0.02 * (6 - columns["split_layer"])
        used = columns["split_layer"] * columns["vdd"] ** 2 * columns["weight_bits"]
        return {
            "accuracy": (1 - sent) * device + sent * 0.9,
            "energy": used + 100.0 * sent,
        }


def uphill(space):
    objectives = (Objective("accuracy", "1", "max"), Objective("energy", "J"))
    return Problem(space, Uphill(space.units), objectives)


def test_tuning_by_hand_tries_every_level_that_needs_no_new_network(study):
    found = tuned(uphill(study.space), LAYERS, 1, 1, [0.8])
    assert len(set(run_keys(study.space, found.codes))) == 1
    tried = {tuple(c) for c in zip(*(found.designs[k].tolist() for k in ("split_layer", "offload")),
                                   strict=True)}  # fmt: skip
    assert tried >= {(s, "none") for s in range(1, LAYERS + 1)}
    assert set(found.designs["vdd"].tolist()) == {0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8}


def test_tuning_by_hand_keeps_each_accuracy_and_hangs_on_its_order(study):
    def frugal(seed, least):
        found = tuned(uphill(study.space), LAYERS, 16, seed, [least])
        assert len(set(run_keys(study.space, found.codes))) <= 16
        accurate = found.metrics["accuracy"] >= least - 1e-9
        return found.metrics["energy"][accurate].min()

    # In the space's order the split comes first: it spends all accuracy that may be given away
    # (4 bits on 6 layers would be 6 J), and ends where everything is sent (half would do).
    assert frugal(1, 0.76) == pytest.approx(4 * 0.25 * 8)
    assert frugal(1, 0.85) == pytest.approx(100.0)
    assert frugal(4, 0.85) == pytest.approx(62.0)


def test_an_ablation_without_an_energy_is_refused():
    with pytest.raises(DseError, match="no objective energy"):
        energy_of((Objective("accuracy", "1", "max"),))
