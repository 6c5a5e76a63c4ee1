"""Designs per second of the accelerator model, one thread, chunks that stay in cache."""

import numpy as np
import pytest

from hw_models import Accelerator, EncoderShape

MINILM = EncoderShape(6, 384, 12, 1536, 384, 30522, 512, 2, 2, 6, "mean_pool")


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


@pytest.mark.parametrize("n", [1, 1_000, 16_384, 1_000_000])
def test_designs_per_second(benchmark, n):
    accelerator, batch = Accelerator(MINILM, 64), designs(n)
    # Freeing one large array teaches the allocator to keep memory; else page faults are measured.
    np.ones(4_000_000).sum()
    benchmark(accelerator, batch)
    benchmark.extra_info["million designs per second"] = n / benchmark.stats["median"] / 1e6
