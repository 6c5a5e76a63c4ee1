"""A file of measured trials in the published schema: a small network's testbed with noise."""

import csv

import numpy as np
import pytest

from hw_models.link import lan_testbed
from search_spaces.dynasplit import dynasplit_space
from studies.dynasplit.system import SplitAt
from studies.dynasplit.testbed import priced_testbed

HEADER = ("network", "split_layer", "cpu_freq_mhz", "tpu_mode", "gpu", "tensor_kb",
          "latency_edge_ms", "latency_transfer_ms", "latency_cloud_ms", "latency_total_ms",
          "energy_edge_j", "energy_cloud_j", "energy_total_j", "accuracy", "repeat")  # fmt: skip


@pytest.fixture(scope="session")
def testbed_rows():
    """Rows of the file: minilm-l6, every configuration three times, 1 % noise on each part."""
    model = priced_testbed("minilm-l6", 128, waiting=2.7, idle=0.0, cpu_slowdown=5.0)
    space = dynasplit_space("minilm-l6")
    designs = space.decode(np.concatenate(list(space.enumerate())))
    prices = SplitAt(model, lan_testbed()[1])(designs)
    rng = np.random.default_rng(5)
    rows = []
    for repeat in range(3):
        for i in range(len(designs["split_layer"])):
            noise = 1 + 0.01 * rng.standard_normal(3)
            latency = [1e3 * prices[f"latency_{p}"][i] * noise[j]
                       for j, p in enumerate(("edge", "transfer", "cloud"))]  # fmt: skip
            energy = [prices["energy_edge"][i] * noise[0], prices["energy_cloud"][i] * noise[2]]
            rows.append({
                "network": "minilm-l6", "split_layer": int(designs["split_layer"][i]),
                "cpu_freq_mhz": round(designs["cpu_frequency"][i] / 1e6),
                "tpu_mode": str(designs["tpu_mode"][i]), "gpu": designs["cloud_gpu"][i] == "on",
                "tensor_kb": prices["transfer_bits"][i] / 8 / 1024,
                **dict(zip(HEADER[6:9], latency, strict=True)), "latency_total_ms": sum(latency),
                "energy_edge_j": energy[0], "energy_cloud_j": energy[1],
                "energy_total_j": sum(energy), "accuracy": 0.9, "repeat": repeat,
            })  # fmt: skip
    return rows


@pytest.fixture
def write_rows(tmp_path):
    """Writes rows to a CSV file of that name; returns its path."""

    def write(name, rows):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return write


@pytest.fixture
def trials_csv(testbed_rows, write_rows):
    return write_rows("trials.csv", testbed_rows)
