"""The long fuzz run of the C reader; tests/lut/test_fuzz.py has the short one.

Run: python tests/lut/fuzz_campaign.py CPU_SECONDS RESULT.json

libFuzzer (clang) under AddressSanitizer and UndefinedBehaviorSanitizer, coverage-guided, in turns
of two minutes or less on one growing corpus until the processor time is used up. Seeds are random
tables.
"""

import hashlib
import json
import re
import resource
import subprocess
import sys
import tempfile
from math import ceil
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
READER = ROOT / "dse" / "lut" / "reader.h"
FLAGS = (
    "-g", "-O1", "-DWITH_LIBFUZZER", "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
)  # fmt: skip
MOST_BYTES = 8192


def seeds(folder: Path) -> None:
    """Random tables as the first corpus."""
    sys.path.insert(0, str(HERE))
    from conftest import Draw

    from dse.lut.binary import pack

    source = Draw(7)
    for number in range(200):
        (folder / f"seed-{number:03d}").write_bytes(pack(source.table(most_rows=6)))


def cpu_seconds() -> float:
    """Processor time of all finished turns [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def turn(program: Path, corpus: Path, number: int, seconds: int) -> tuple[int, int]:
    """One run of so long: inputs tried, edges covered; raises on a crash."""
    ran = subprocess.run(
        [program, f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-seed={number + 1}",
         "-print_final_stats=1", f"-artifact_prefix={corpus.parent}/", corpus],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise SystemExit(f"the fuzzer found something:\n{ran.stderr[-4000:]}")
    tried = int(re.findall(r"stat::number_of_executed_units: (\d+)", ran.stderr)[-1])
    return tried, int(re.findall(r"cov: (\d+)", ran.stderr)[-1])


def campaign(budget: float, result: Path) -> None:
    """Turns until the budget [s] of processor time is used up; the result after each turn."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, program = Path(folder) / "corpus", Path(folder) / "fuzz"
        corpus.mkdir()
        seeds(corpus)
        source = HERE / "drivers" / "fuzz.c"
        subprocess.run(["clang", *FLAGS, "-I", READER.parent, source, "-o", program], check=True)
        digest = hashlib.sha256(READER.read_bytes()).hexdigest()
        start, inputs, number, edges = cpu_seconds(), 0, 0, 0
        while (used := cpu_seconds() - start) < budget:
            tried, edges = turn(program, corpus, number, min(120, ceil(budget)))
            inputs, number = inputs + tried, number + 1
            used = cpu_seconds() - start
            found = {
                "what": "C reader of lookup tables under ASan and UBSan, coverage-guided",
                "command": f"python tests/lut/fuzz_campaign.py {budget:g} {result.name}",
                "reader_sha256": digest,
                "cpu_seconds": round(used),
                "inputs": inputs,
                "opens": 2 * inputs,
                "edges_covered": edges,
                "corpus": len(list(corpus.iterdir())),
                "crashes": 0,
            }
            result.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    campaign(float(sys.argv[1]), Path(sys.argv[2]))
