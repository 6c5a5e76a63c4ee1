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

from hw_models import Accelerator, EncoderShape
from hw_models.latency_aware import LatencyAware, share_column

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
