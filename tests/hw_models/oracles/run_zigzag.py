"""Regenerates zigzag_latency.json; needs an environment with zigzag-dse==3.9.1 and six.

python tests/hw_models/oracles/run_zigzag.py > tests/hw_models/oracles/zigzag_latency.json

Encoder layers on ZigZag's own `tpu_like` accelerator, its array and its off-chip port varied;
latency-optimal mapping for each of the five distinct products. `records` were at hand when the form
of `systolic` was chosen; `held_out` were run after it was fixed: other arrays, other ports, and the
layer of a smaller network.
"""

import itertools
import json
import logging
import os
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml
import zigzag
from zigzag.api import get_hardware_performance_zigzag

LAYERS = {
    "base": {"q": (4, 128, 768, 768), "qk": (12, 128, 128, 64), "av": (12, 128, 64, 128),
             "ff1": (1, 128, 3072, 768), "ff2": (1, 128, 768, 3072)},
    "small": {"q": (4, 64, 384, 384), "qk": (12, 64, 64, 32), "av": (12, 64, 32, 64),
              "ff1": (1, 64, 1536, 384), "ff2": (1, 64, 384, 1536)},
}  # fmt: skip
"""BERT-base at 128 tokens; MiniLM of 384 wide at 64."""

POINTS = [("base", *p) for p in itertools.product((8, 16, 32, 64), (64, 128, 256, 512, 1024))]
HELD_OUT = [("base", *p) for p in itertools.product((12, 24, 48, 96), (96, 192, 384, 768))] + [
    ("small", *p) for p in itertools.product((8, 16, 32, 64), (64, 256, 1024))
]


def workload(m, n, k):
    """One product in ZigZag's form: 8-bit inputs and results, 16-bit partial sums."""
    return [{
        "id": 0, "name": "gemm", "operator_type": "Gemm",
        "equation": "O[k][b]+=W[k][c]*I[c][b]", "loop_dims": ["B", "C", "K"],
        "loop_sizes": [m, k, n], "operand_precision": {"O": 16, "O_final": 8, "W": 8, "I": 8},
        "operand_source": {"W": 0, "I": 0},
    }]  # fmt: skip


def accelerator(side, port):
    """The shipped accelerator with another array and another off-chip port."""
    shipped = Path(zigzag.__file__).parent / "inputs" / "hardware" / "tpu_like.yaml"
    machine = yaml.safe_load(shipped.read_text())
    machine["operational_array"]["sizes"] = [side, side]
    for end in machine["memories"]["dram"]["ports"]:
        end["bandwidth_min"] = end["bandwidth_max"] = port
    return machine


def mapping(side):
    """Weights stay: columns of the result along one side, the reduction along the other."""
    return [{
        "name": "default", "spatial_mapping": {"D1": [f"K, {side}"], "D2": [f"C, {side}"]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }]  # fmt: skip


def cycles(folder, side, port, product):
    """Latency of one product in cycles."""
    work = folder / "workload.yaml"
    work.write_text(yaml.safe_dump(workload(*product), sort_keys=False))
    (folder / "machine.yaml").write_text(yaml.safe_dump(accelerator(side, port), sort_keys=False))
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping(side), sort_keys=False))
    with Path(os.devnull).open("w") as silent, redirect_stdout(silent), redirect_stderr(silent):
        _, latency, _ = get_hardware_performance_zigzag(
            str(work), str(folder / "machine.yaml"), str(folder / "mapping.yaml"), opt="latency",
            dump_folder=str(folder / "out"), lpf_limit=4, loma_show_progress_bar=False,
        )  # fmt: skip
    return float(latency)


def run(points):
    """Cycles of every product of a layer on every machine."""
    for layer, side, port in points:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            each = {name: cycles(Path(folder), side, port, product)
                    for name, (_, *product) in LAYERS[layer].items()}  # fmt: skip
        spent = round(time.process_time() - started, 2)
        yield {"layer": layer, "side": side, "port_bits": port, "cycles": each,
               "cpu_seconds": spent}  # fmt: skip


def main():
    """Print the fixture."""
    logging.disable(logging.CRITICAL)
    origin = {
        "tool": "zigzag-dse 3.9.1 with six, lpf_limit 4, opt latency",
        "command": "python tests/hw_models/oracles/run_zigzag.py",
        "layers": "name -> product -> copies, rows, columns, reduction",
    }
    parts = [f'"origin": {json.dumps(origin)}', f'"layers": {json.dumps(LAYERS)}']
    for name, points in (("records", POINTS), ("held_out", HELD_OUT)):
        lines = ",\n".join(json.dumps(record) for record in run(points))
        parts.append(f'"{name}": [\n{lines}\n]')
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
