"""The C reader under ASan and UBSan, on mutants of two tables; fuzz_campaign.py is the long run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dse.lut.binary import pack

HERE = Path(__file__).parent
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_no_mutant_makes_the_reader_leave_its_bytes(
    seconds, small_table, table_of_4_kib, tmp_path, strict_c
):
    sources = ["-I", str(HERE.parents[1] / "dse" / "lut"), str(HERE / "drivers" / "fuzz.c")]
    command = [*strict_c("gcc"), "-O1", "-g", *SANITIZERS, *sources, "-o", "fuzz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for number, table in enumerate((small_table, table_of_4_kib)):
        (tmp_path / "seed").write_bytes(pack(table))
        ran = subprocess.run(
            [tmp_path / "fuzz", tmp_path / "seed", str(seconds / 2), str(number)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-3000:]
        tried, opened = map(int, ran.stdout.split())
        assert tried > 1000
        assert opened > 2  # some mutants are sound tables, so that every call is reached


@pytest.mark.parametrize("seconds", [10, pytest.param(3600, marks=pytest.mark.slow)])
@pytest.mark.timeout(7200)
def test_guided_fuzzing_finds_nothing(seconds, tmp_path, strict_c):
    strict_c("clang")
    command = [sys.executable, str(HERE / "fuzz_campaign.py"), str(seconds), tmp_path / "r.json"]
    subprocess.run(command, check=True)
    assert json.loads((tmp_path / "r.json").read_text())["inputs"] > 1000
