"""What `dse plot` leaves: a page, a picture and the data behind both."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from dse.core.errors import DseError
from dse.plots.files import write_plots
from dse.plots.points_table import points_csv


def test_a_run_gives_a_page_a_picture_and_its_data(stored_run, folder):
    paths = write_plots(stored_run, folder / "deep")
    assert [path.name for path in paths] == ["front.html", "front.png", "points.csv"]
    assert sorted(path.name for path in (folder / "deep").iterdir()) == sorted(
        path.name for path in paths
    )
    assert all(path.stat().st_size > 1000 for path in paths)


def test_writing_twice_replaces_the_files_with_equal_bytes(stored_run, folder):
    first = [path.read_bytes() for path in write_plots(stored_run, folder)]
    second = [path.read_bytes() for path in write_plots(stored_run, folder)]
    assert first == second


def test_a_folder_that_cannot_be_made_is_named(stored_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DseError, match="file/plots: the plots cannot be written there"):
        write_plots(stored_run, tmp_path / "file" / "plots")


def test_the_data_are_all_trials_in_si_units_with_class_and_full_precision(view):
    rows = list(csv.DictReader(points_csv(view).splitlines()))
    assert list(rows[0])[:4] == ["trial", "class", "pruning_ratio [1]", "weight_bits [bit]"]
    assert list(rows[0])[-1] == "failure"
    assert [row["class"] for row in rows] == view.classes.tolist()
    ok = np.flatnonzero(view.trials.ok)
    assert [float(rows[i]["energy [J]"]) for i in ok] == view.trials.metrics["energy"][ok].tolist()
    assert [row["envm_cell [choice]"] for row in rows] == view.trials.designs["envm_cell"].tolist()


def test_a_failed_trial_has_a_reason_and_no_metrics_in_the_data(view):
    rows = list(csv.DictReader(points_csv(view).splitlines()))
    failed = [row for row in rows if row["class"] == "failed"]
    assert failed
    for row in failed:
        assert row["energy [J]"] == row["accuracy [1]"] == ""
        assert "vdd = 0.500 V" in row["failure"]
    assert not any(row["failure"] for row in rows if row["class"] != "failed")


@pytest.mark.parametrize("module", ["dse.plots", "dse.plots.front_view", "dse.plots.points_table"])
def test_preparing_a_plot_loads_no_plotting_library(module):
    code = f"import sys, {module}; print({{'plotly', 'matplotlib'}} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("module", "other"),
    [("dse.plots.interactive", "matplotlib"), ("dse.plots.static", "plotly")],
)
def test_each_twin_loads_its_own_library_only(module, other):
    code = f"import sys, {module}; print({other!r} in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
