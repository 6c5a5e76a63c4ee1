"""One decision of a runtime: `select` in C and in Python, beside the plain loop over all rows.

Workload: a front of three predictions on an octant of a sphere; each request limits latency and
accuracy anywhere in the table's range, minimises energy, and has a row in use.
"""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dse.lut.binary import pack
from dse.lut.reader import Reader
from dse.lut.table import Default, LookupTable, Prediction, Row, Setting, Validity

HERE = Path(__file__).resolve().parents[1] / "lut" / "drivers"
READER = Path(__file__).resolve().parents[2] / "dse" / "lut"
NO_LIMIT = -(2**63)
REQUESTS = 4000


def table_of(rows):
    points = np.abs(np.random.default_rng(0).normal(size=(rows, 3)))
    points = (1e6 * points / np.linalg.norm(points, axis=1)[:, None]).astype(np.int64)
    made = [Row((i,), (int(e), int(t), 10**6 - int(a))) for i, (e, t, a) in enumerate(points)]
    made.sort(key=lambda r: (r.predictions[0], r.predictions[1], -r.predictions[2], r.settings))
    fastest = min(range(rows), key=lambda i: made[i].predictions[1])
    return LookupTable(
        study="benchmark",
        run_identity="",
        valid_for=Validity(),
        depends_on={},
        design=(),
        settings=(Setting("vdd", "V", 6),),
        predictions=(
            Prediction("energy", "J", 12, "min", "unverified", 1000),
            Prediction("latency", "s", 9, "min", "unverified"),
            Prediction("accuracy", "1", 6, "max", "measured"),
        ),
        kept_limits=(),
        sorted_by="energy",
        default=Default(fastest, "latency"),
        rows=tuple(made),
    )


def requests_of(table):
    rng = np.random.default_rng(1)
    values = np.array([row.predictions for row in table.rows])
    low, high = values.min(axis=0), values.max(axis=0)
    return [
        ([None, int(latency), int(accuracy)], 0, int(current))
        for latency, accuracy, current in zip(
            rng.uniform(low[1], high[1], REQUESTS),
            rng.uniform(low[2], high[2], REQUESTS),
            rng.integers(len(values), size=REQUESTS),
            strict=True,
        )
    ]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "driver"
    assert shutil.which("gcc")
    command = ["gcc", "-std=c99", "-D_POSIX_C_SOURCE=199309L", "-O2", "-I", str(READER)]
    subprocess.run([*command, str(HERE / "driver.c"), "-o", path], check=True)
    return path


def nanoseconds(driver, mode, table, requests):
    """Least of several runs, per decision; processor time of the process."""
    asked = b"".join(
        struct.pack("<3qIi", NO_LIMIT, limits[1], limits[2], objective, current)
        for limits, objective, current in requests
    )
    stream = b"".join(struct.pack("<I", len(part)) + part for part in (pack(table), asked))
    runs = [
        subprocess.run([driver, mode, "20"], input=stream, capture_output=True, check=True)
        for _ in range(9)
    ]
    return min(float(run.stdout.split()[0]) for run in runs)


@pytest.mark.parametrize("rows", [16, 64, 256])
def test_select_in_c(benchmark, driver, rows):
    table = table_of(rows)
    requests = requests_of(table)
    benchmark.pedantic(nanoseconds, (driver, "time", table, requests), rounds=1)
    ns = nanoseconds(driver, "time", table, requests)
    peer = nanoseconds(driver, "scan", table, requests)
    values = np.array([row.predictions for row in table.rows])
    # Each limit alone can be kept, both together cannot: every row is looked at.
    hard = [([None, int(values[:, 1].min()), int(values[:, 2].max())], 0, 0)] * REQUESTS
    worst = nanoseconds(driver, "time", table, hard)
    benchmark.extra_info.update(select_ns=ns, plain_loop_ns=peer, worst_ns=worst)
    print(f"{rows} rows: {ns:.0f} ns, plain loop {peer:.0f} ns, nothing fits {worst:.0f} ns")  # noqa: T201
    assert rows == 16 or ns < peer


@pytest.mark.parametrize("rows", [16, 64, 256])
def test_select_in_python(benchmark, rows):
    table = table_of(rows)
    reader, requests = Reader(table), requests_of(table)

    def decide():
        for request in requests:
            reader.select(*request)

    decide()
    benchmark.pedantic(decide, rounds=20)
    benchmark.extra_info["us_per_decision"] = 1e6 * benchmark.stats.stats.min / REQUESTS
    print(f"{rows} rows: {benchmark.extra_info['us_per_decision']:.2f} us")  # noqa: T201


@pytest.mark.parametrize("rows", [16, 64, 256])
def test_peer_numpy_mask_over_all_rows(benchmark, rows):
    table = table_of(rows)
    requests = requests_of(table)
    values = np.array([row.predictions for row in table.rows])

    def decide():
        for limits, _, _ in requests:
            fits = (values[:, 1] <= limits[1]) & (values[:, 2] >= limits[2])
            int(np.argmax(fits)) if fits.any() else table.default.row

    benchmark.pedantic(decide, rounds=5)
