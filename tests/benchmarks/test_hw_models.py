"""Designs per second of the hardware models, one thread; and beside them, what other tools take.

ZigZag and SCALE-Sim answer a larger question: ZigZag searches the mapping of every product,
SCALE-Sim simulates every cycle. We price one fixed mapping in closed form, so the seconds are not a
race; they say what a search over designs can afford.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dse.study.loader import load_study
from hw_models import Accelerator, ArrayChip, Chip, EncoderShape
from hw_models.latency_aware import LatencyAware, share_column
from hw_models.workload import encoder
from search_spaces.joint import DEFAULTS
from studies.edgebert.system import Settings, chip_of
from studies.joint.system import SYSTEM, priced
from studies.joint.system import Settings as JointSettings

STUDY = Path(__file__).parents[2] / "studies" / "joint" / "sentiment.yaml"
MINILM = EncoderShape(6, 384, 12, 1536, 384, 30522, 512, 2, 2, 6, "mean_pool")
ORACLES = Path(__file__).parents[1] / "hw_models" / "oracles"

FRESH = """
import time
from test_hw_models import MINILM, designs
from hw_models import Accelerator
accelerator, batch = Accelerator(MINILM, 64), designs(1_000_000)
started = time.process_time()
accelerator(batch)
print(time.process_time() - started)
"""


def designs(n):
    """A random batch of n designs of the six-layer MiniLM."""
    rng = np.random.default_rng(0)
    return {
        "pruning_ratio": rng.uniform(0.0, 0.9, n),
        "weight_bits": rng.integers(4, 9, n),
        "envm_cell": rng.choice(np.array(["pcm", "rram", "sram", "stt"]), n),
        "vdd": rng.choice(np.linspace(0.5, 0.8, 13), n),
        "mean_exit_layer": rng.uniform(1.0, 5.0, n),
        "p95_exit_layer": rng.uniform(5.0, 6.0, n),
    }


@pytest.mark.parametrize("n", [1, 1_000, 10_000, 100_000, 1_000_000])
def test_designs_per_second(benchmark, n):
    accelerator, batch = Accelerator(MINILM, 64), designs(n)
    benchmark(accelerator, batch)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["min"] / 1e6


def test_ten_million_designs_by_the_million(benchmark):
    # A search hands batches over, so memory is that of one batch, however many follow.
    accelerator, batch = Accelerator(MINILM, 64), designs(1_000_000)
    accelerator(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def ten_million():
        for _ in range(10):
            accelerator(batch)

    benchmark.pedantic(ten_million, rounds=2)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    benchmark.extra_info["million designs per CPU second"] = 10 / benchmark.stats["min"]
    benchmark.extra_info["peak memory added after the first million [MB]"] = (after - before) / 1e3


def test_designs_per_second_of_a_fresh_process(benchmark):
    # Nothing is warm: memory comes from the system, page by page.
    def first_call():
        command, here = [sys.executable, "-c", FRESH], Path(__file__).parent
        answer = subprocess.run(command, capture_output=True, check=True, cwd=here)
        return float(answer.stdout)

    seconds = benchmark.pedantic(first_call, rounds=3)
    benchmark.extra_info["million designs per CPU second"] = 1 / seconds


@pytest.mark.parametrize("n", [1_000, 16_384])
def test_latency_aware_designs_per_second(benchmark, n):
    batch = {k: v for k, v in designs(n).items() if k in Accelerator.inputs}
    batch |= {"deadline": np.full(n, 5e-3)}
    batch |= {share_column(layer): np.full(n, 1 / 6) for layer in range(1, 7)}
    aware = LatencyAware(Accelerator(MINILM, 64))
    benchmark.pedantic(aware, (batch,), rounds=5)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["median"] / 1e6


def joint_space():
    return load_study(STUDY, {"joint": SYSTEM}).space


def joint_mix(n):
    """A random mix of the space of joint_sentiment, with random shares of sentences."""
    rng, space = np.random.default_rng(0), joint_space()
    designs = space.decode(space.sample(n, rng))
    mix = {name: np.full(n, value) for name, value in DEFAULTS.items()} | designs
    split, sends = mix["split_layer"], mix["offload"] != "none"
    shares = rng.dirichlet(np.ones(7), n).T
    shares[:6] *= np.arange(6)[:, np.newaxis] < split
    shares[6] = np.where(sends, shares[6], 0.0)
    shares /= shares.sum(axis=0)
    answered = {f"answered_{i + 1}": share for i, share in enumerate(shares[:6])}
    return mix | answered | {"offloaded": shares[6]}


@pytest.mark.parametrize("n", [100, 2_000, 20_000, 200_000])
def test_joint_designs_from_columns_to_objectives(benchmark, n):
    """The price stage of the joint study, on what its searchers may ask for."""
    model, mix = priced(JointSettings(), encoder(MINILM, 64)), joint_mix(n)
    benchmark.pedantic(model, (mix,), rounds=5, warmup_rounds=1)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["min"] / 1e6
    benchmark.extra_info["share under sentence-level DVFS"] = float(
        (mix["dvfs"] == "sentence").mean()
    )


def test_joint_designs_are_sampled_and_decoded(benchmark):
    """What comes before the price stage where a search draws at random."""
    space, n = joint_space(), 20_000
    rng = np.random.default_rng(0)
    benchmark.pedantic(lambda: space.decode(space.sample(n, rng)), rounds=3, warmup_rounds=1)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["min"] / 1e6


def test_memory_of_a_million_joint_designs(benchmark):
    model, mix = priced(JointSettings(), encoder(MINILM, 64)), joint_mix(20_000)
    million = {name: np.tile(column, 50) for name, column in mix.items()}
    model(mix)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = benchmark.pedantic(model, (million,), rounds=1)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    outputs = sum(column.nbytes for column in found.values())
    benchmark.extra_info["peak memory added [MB]"] = added / 1e3
    benchmark.extra_info["of which outputs [MB]"] = outputs / 1e6


def test_edgebert_designs_of_2000_embedding_sparsities(benchmark):
    n, rng = 50_000, np.random.default_rng(0)
    batch = designs(n) | {
        "attention_span": rng.choice([8, 16, 32, 128], n),
        "embedding_sparsity": rng.choice(np.linspace(0.0, 0.9, 2_000), n),
        "activation_bits": rng.integers(4, 17, n),
    }
    benchmark.pedantic(chip_of(Settings(), encoder(MINILM, 64)), (batch,), rounds=5)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["min"] / 1e6


def test_designs_with_bits_and_pruning_of_each_of_12_layers(benchmark):
    n, rng = 4_096, np.random.default_rng(0)
    base = EncoderShape(12, 768, 12, 3072, 768, 30522, 512, 2, 2, 12, "mean_pool")
    chip = Chip(ArrayChip(), encoder(base, 64))
    batch = {name: designs(n)[name] for name in ("envm_cell", "vdd")}
    batch |= {"weight_bits": rng.integers(4, 9, (13, n)), "pruning_ratio": rng.random((13, n))}
    limit = np.ones(n)
    benchmark.pedantic(chip.depths, (batch, limit, limit), rounds=9, warmup_rounds=1)
    benchmark.extra_info["million designs per CPU second"] = n / benchmark.stats["min"] / 1e6


def test_one_encoder_layer_beside_other_tools(benchmark):
    # Frozen CPU seconds of the other tools; the command that repeats them is in the fixtures.
    albert = EncoderShape(1, 768, 12, 3072, 768, 30000, 512, 2, 2, 1)
    batch = designs(16_384) | {
        "mean_exit_layer": np.ones(16_384),
        "p95_exit_layer": np.ones(16_384),
    }
    benchmark(Accelerator(albert, 128), batch)
    zigzag = json.loads((ORACLES / "zigzag_latency.json").read_text())["records"]
    seconds = benchmark.stats["min"] / 16_384
    zigzag_seconds = float(np.median([r["cpu_seconds"] for r in zigzag]))
    products, scalesim_seconds = scalesim_products()
    benchmark.extra_info |= {
        "CPU microseconds of one layer here": seconds * 1e6,
        "CPU seconds of one layer, ZigZag 3.9.1, five distinct products": zigzag_seconds,
        f"CPU seconds of SCALE-Sim 3.0.0, {products} of the five products": scalesim_seconds,
        "ZigZag / here": zigzag_seconds / seconds,
        "SCALE-Sim / here, at least": scalesim_seconds / seconds,
        "remark": "they also search mappings (ZigZag) or simulate every cycle (SCALE-Sim); "
        "here one fixed mapping is priced. Their seconds are frozen: run_zigzag.py, "
        "run_scalesim.py",
    }


def scalesim_products():
    """Products of the layer that are frozen for SCALE-Sim on 32 x 32, and their CPU seconds."""
    records = json.loads((ORACLES / "scalesim_cycles.json").read_text())["records"]
    mine = [r for r in records if r["array"] == [32, 32] and r["dataflow"] == "ws"
            and r["gemm"][0] == 128]  # fmt: skip
    return len(mine), sum(r["cpu_seconds"] for r in mine)
