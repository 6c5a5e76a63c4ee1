"""Regenerates scalesim_cycles.json; needs an environment with scalesim==3.0.0 and numpy<2.3.

python tests/hw_models/oracles/run_scalesim.py > tests/hw_models/oracles/scalesim_cycles.json
"""

import csv
import itertools
import json
import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from scalesim.scale_sim import scalesim

GEMMS = [(128, 128, 64), (128, 64, 128), (17, 33, 65), (64, 48, 100), (1, 96, 96), (100, 7, 31)]
ARRAYS = [(16, 16), (32, 32), (8, 32), (32, 8)]
LAYER = [(128, 768, 768), (128, 128, 64), (128, 64, 128), (128, 3072, 768), (128, 768, 3072)]
"""The five distinct products of an encoder layer of BERT-base at 128 tokens."""

CONFIG = """[general]
run_name = oracle
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
ifmapsramszkB = 1024
filtersramszkB = 1024
ofmapsramszkB = 1024
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 1000
Dataflow = {dataflow}
MemoryBanks = 1
ReadRequestBuffer = 512
WriteRequestBuffer = 512
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def cycles(folder: Path, gemm, array, dataflow):
    """Total cycles without prefetch, as its compute report prints them."""
    (folder / "c.cfg").write_text(CONFIG.format(rows=array[0], columns=array[1], dataflow=dataflow))
    m, n, k = gemm
    (folder / "t.csv").write_text(f"Layer,M,N,K,\ngemm,{m},{n},{k},\n")
    (folder / "l.csv").write_text("Layer" + ",x" * 24 + "\ngemm" + ",1" * 24 + ",\n")
    with Path(os.devnull).open("w") as silent, redirect_stdout(silent):
        simulation = scalesim(True, False, str(folder / "c.cfg"), str(folder / "t.csv"),
                              str(folder / "l.csv"), True)  # fmt: skip
        simulation.run_scale(top_path=str(folder))
    report = next(folder.rglob("COMPUTE_REPORT.csv"))
    row = list(csv.reader(report.open()))[1]
    report.unlink()
    return [float(cell) for cell in row[1:4]]


def main():
    """Print the fixture."""
    records = []
    runs = [*itertools.product(GEMMS, ARRAYS, ("ws", "os"))]
    runs += [(gemm, (32, 32), "ws") for gemm in LAYER]
    for gemm, array, dataflow in runs:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            prefetch, total, stall = cycles(Path(folder), gemm, array, dataflow)
        spent = round(time.process_time() - started, 2)
        records.append({"gemm": gemm, "array": array, "dataflow": dataflow, "total": total,
                        "stall": stall, "with_prefetch": prefetch,
                        "cpu_seconds": spent})  # fmt: skip
    origin = {
        "tool": "scalesim 3.0.0, numpy < 2.3",
        "command": "python tests/hw_models/oracles/run_scalesim.py",
        "gemm": "rows, columns, reduction",
    }
    lines = ",\n".join(json.dumps(record) for record in records)
    sys.stdout.write(f'{{"origin": {json.dumps(origin)},\n"records": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
