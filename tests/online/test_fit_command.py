"""`dse trials fit`: what the fit found, and what of it is not to be trusted."""

import csv
import json

import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.online.trials.evaluator import MeasuredTrials
from dse.online.trials.table_file import read_layout, read_trials
from hw_models.fit import fit_split
from studies.command import COMMANDS
from studies.dynasplit.fit_command import coefficients


def fit_of(path):
    layout = read_layout()
    return fit_split(MeasuredTrials.of(read_trials(path, layout), layout.objectives).columns())


def fitted(*arguments):
    app = command_line({}, COMMANDS)
    return CliRunner().invoke(app, ["trials", "fit", *map(str, arguments)])


def test_the_command_prints_every_coefficient_and_first_the_suspects(trials_csv):
    fit = fit_of(trials_csv)
    assert fit.suspect  # an encoder has no fixed time, which noise puts on either side of zero
    result = fitted(trials_csv)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    for text in fit.suspect:
        assert f"suspect: {trials_csv.name}: {text}" in said
    for what, _, _ in coefficients(fit):
        assert what in said
    assert "latency_edge" in said


def test_json_has_full_precision_in_si(trials_csv):
    fit = fit_of(trials_csv)
    found = json.loads(fitted(trials_csv, "--format", "json").stdout)
    assert found["suspect"] == list(fit.suspect)
    assert [(c["what"], c["value"], c["unit"]) for c in found["coefficients"]] == list(
        coefficients(fit)
    )
    assert found["residuals"]["latency_edge"]["rms"] == fit.residuals["latency_edge"].rms


def test_trials_of_one_clock_are_refused_by_name(trials_csv, tmp_path):
    rows = list(csv.DictReader(trials_csv.read_text(encoding="utf-8").splitlines()))
    few = tmp_path / "few.csv"
    with few.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["cpu_freq_mhz"] == rows[0]["cpu_freq_mhz"])
    result = fitted(few)
    assert isinstance(result.exception, DseError)
    assert "few.csv: split_layer = " in str(result.exception)
    assert "needs two" in str(result.exception)


@pytest.mark.parametrize("text", ["network", "vgg16"])
def test_a_filter_without_an_equals_sign_is_refused(trials_csv, text):
    assert "write --where header=text" in str(fitted(trials_csv, "--where", text).exception)
