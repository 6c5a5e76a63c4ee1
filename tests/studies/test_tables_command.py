"""`dse tables` prints every table with its evidence."""

import os
import subprocess
import sys

import pytest

from dse.lut.sources import read_operating_points
from hw_models import shipped, shipped_names


def tables(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "studies.command", "tables", *arguments],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_list_names_every_table_with_its_evidence():
    lines = tables().stdout.splitlines()
    for name in shipped_names():
        (line,) = (text for text in lines if f" {name} " in text)
        assert shipped(name).origin.evidence in line


@pytest.mark.parametrize("name", ["dvfs_12nm", "dram"])
def test_one_table_shows_units_source_and_evidence(name):
    text = tables(name).stdout
    assert f"evidence: {shipped(name).origin.evidence}" in text
    assert "source: " in text
    assert "[V]" in text or "[J" in text


def test_an_unknown_table_is_refused_with_the_list():
    result = tables("dvfs")
    assert result.returncode == 2
    assert "dvfs_12nm" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_csv_of_a_voltage_table_is_one_that_an_export_reads(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(tables("dvfs_12nm", "--format", "csv").stdout, encoding="utf-8")
    points = read_operating_points(path)
    volts = [point.microvolt * 1e-6 for point in points]
    assert volts == pytest.approx(shipped("dvfs_12nm").columns["vdd"])
    assert tables("--format", "csv").returncode == 2
