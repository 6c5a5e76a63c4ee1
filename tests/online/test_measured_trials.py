"""Measured trials: read with their units, kept as distributions, doubted aloud, used everywhere."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.errors import DseError
from dse.core.evaluation import Chain
from dse.online.trials.evaluator import (
    Measured,
    MeasuredTrials,
    at_quantile,
    suspicions,
    two_clusters,
)
from dse.online.trials.store import import_trials, read_measurements, reestimated
from dse.online.trials.table_file import read_layout, read_trials, si_unit
from dse.results.front import Front
from dse.runs.store import read_run
from dse.testing.contracts import EvaluatorContract
from hw_models.fit import fit_split

LAYOUT = read_layout()


def trials_of(path, layout=LAYOUT, where=None):
    return MeasuredTrials.of(read_trials(path, layout, where), layout.objectives)


@pytest.fixture
def broken(testbed_rows, write_rows):
    """The trials file with some cells of its third data row (line 4) changed."""

    def write(**cells):
        rows = [dict(row) for row in testbed_rows]
        rows[2].update(cells)
        return write_rows("broken.csv", rows)

    return write


def test_values_arrive_in_si_and_repeats_stay_a_distribution(trials_csv, testbed_rows):
    trials = trials_of(trials_csv)
    assert len(trials) == len(testbed_rows) == 273
    assert len(trials.designs["split_layer"]) == 91
    assert trials.raw.knobs["cpu_frequency"][0] == testbed_rows[0]["cpu_freq_mhz"] * 1e6
    assert set(trials.raw.knobs["cloud_gpu"]) == {"on", "off"}
    first = [row["latency_total_ms"] for row in testbed_rows[::91]]
    assert trials.samples("latency")[0] == pytest.approx(np.sort(first) * 1e-3, rel=1e-12)
    assert trials.raw.units["size"] == "B"


def test_parquet_and_csv_are_the_same_trials(trials_csv, testbed_rows, tmp_path):
    columns = {name: [row[name] for row in testbed_rows] for name in testbed_rows[0]}
    path = tmp_path / "trials.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    one, other = read_trials(trials_csv, LAYOUT), read_trials(path, LAYOUT)
    for name, column in {**one.knobs, **one.metrics}.items():
        assert (column == {**other.knobs, **other.metrics}[name]).all(), name


def test_estimates_are_measured_values_on_the_bad_side(trials_csv):
    trials = trials_of(trials_csv)
    low, median, high = (trials.estimates(q) for q in (0.01, 0.5, 1.0))
    for i, sample in enumerate(trials.samples("latency")):
        assert (low["latency"][i], median["latency"][i], high["latency"][i]) == tuple(sample)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0.001, 1.0))
def test_a_quantile_covers_its_share_and_no_smaller_value_does(values, q):
    sample = np.sort(np.array(values))
    bound = at_quantile(sample, q, "min")
    assert bound in sample
    assert (sample <= bound).mean() >= q - 1e-9
    below = sample[sample < bound]
    assert not len(below) or (sample <= below[-1]).mean() < q
    assert at_quantile(np.sort(-sample), q, "max") == -bound


class TestLookUpContract(EvaluatorContract):
    @pytest.fixture(autouse=True)
    def _measured(self, trials_csv):
        self.trials = trials_of(trials_csv)

    def evaluator(self):
        return Measured(self.trials)

    def columns(self):
        return {name: column[:12] for name, column in self.trials.designs.items()}


def test_an_unmeasured_design_is_refused_with_its_values(trials_csv):
    evaluator = Chain((Measured(trials_of(trials_csv)),))
    design = {"split_layer": np.array([6]), "cpu_frequency": np.array([1.8e9]),
              "tpu_mode": np.array(["off"]), "cloud_gpu": np.array(["on"])}  # fmt: skip
    with pytest.raises(
        Exception, match=r"split_layer = 6, .*was not measured; trials.csv holds 91"
    ):
        evaluator(design)


def test_the_closed_form_model_is_fitted_from_a_trials_file(trials_csv):
    fit = fit_split(trials_of(trials_csv).columns())
    assert fit.residuals["latency_edge"].rms < 0.015  # the noise is 1 %
    assert fit.residuals["latency_cloud"].rms < 0.015
    assert fit.goodput == pytest.approx(592e6, rel=0.1)


def test_an_imported_run_has_the_front_of_its_estimates(trials_csv, tmp_path):
    trials = trials_of(trials_csv)
    front = import_trials(trials, LAYOUT, tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert len(run.trials) == 91
    assert run.question["latency"].evidence == "measured"
    again = Front.of(run.question, run.trials)
    assert again.to_json() == front.to_json()
    more = read_measurements(tmp_path / "run")
    assert more is not None
    pessimist = reestimated(run.trials, run.question, more, 1.0)
    assert pessimist.metrics["latency"] == pytest.approx(trials.estimates(1.0)["latency"])
    assert (pessimist.losses[:, 0] >= run.trials.losses[:, 0]).all()


def test_the_best_of_single_measurements_is_optimistic(
    trials_csv, testbed_rows, write_rows, tmp_path
):
    # Winner's curse: a front of one measurement each promises less than the same designs cost.
    single = trials_of(write_rows("once.csv", testbed_rows[:91]))
    promised = import_trials(single, LAYOUT, tmp_path / "once")
    medians = trials_of(trials_csv).estimates(0.5)
    true = medians["latency"][promised.numbers]
    assert (true / promised.trials.metrics["latency"]).mean() > 1.0


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"latency_edge_ms": "fast"}, "line 4: latency_edge_ms: got 'fast'; a finite number in ms"),
        ({"latency_edge_ms": "nan"}, "line 4: latency_edge_ms: got 'nan'; a finite number"),
        ({"latency_edge_ms": ""}, "line 4: latency_edge_ms: is empty; a number in ms"),
        ({"energy_total_j": "-1"}, "line 4: energy_total_j: got '-1'; it cannot be negative"),
        ({"tpu_mode": "turbo"}, "line 4: tpu_mode: got 'turbo'; allowed: off, std, max"),
        ({"gpu": "maybe"}, "line 4: gpu: got 'maybe'; allowed: true, false"),
        ({"split_layer": "2.5"}, "line 4: split_layer: got '2.5'; a whole number"),
        ({"accuracy": ""}, "accuracy is empty in line 4 and 1 runs in all"),
    ],
)
def test_a_malformed_cell_is_named_with_file_line_and_column(broken, cells, said):
    with pytest.raises(DseError) as error:
        trials_of(broken(**cells))
    assert said in str(error.value)
    assert "broken.csv" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1: the file is empty"),
        (b"a,b,a\n", "line 1: column a stands twice"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells, the header has 2"),
        ("a,b\n".encode("utf-16"), "is not UTF-8"),
        (b'a,b\n"1,2\n', "unexpected end of data"),
        (b"a,b\n1,2\n", "no column split_layer, cpu_freq_mhz"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, said):
    path = tmp_path / "strange.csv"
    path.write_bytes(text)
    with pytest.raises(DseError, match=said):
        read_trials(path, LAYOUT)
    path.rename(tmp_path / "strange.parquet")
    with pytest.raises(DseError, match=r"strange\.parquet"):
        read_trials(tmp_path / "strange.parquet", LAYOUT)


def test_only_the_rows_asked_for_are_read(broken):
    path = broken(network="other", latency_edge_ms="nonsense")
    assert len(trials_of(path, where={"network": "minilm-l6"})) == 272
    with pytest.raises(DseError, match="no row with network = vgg16"):
        trials_of(path, where={"network": "vgg16"})


def test_suspicious_rows_are_reported_with_their_lines(testbed_rows, write_rows):
    rows = [dict(row, cpu_freq_requested_mhz=row["cpu_freq_mhz"]) for row in testbed_rows]
    rows[10]["cpu_freq_requested_mhz"] = 600 if rows[10]["cpu_freq_mhz"] != 600 else 800
    rows[91 + 60].update(latency_edge_ms=1.0, latency_total_ms=1.0 + sum(
        rows[91 + 60][f"latency_{p}_ms"] for p in ("transfer", "cloud")))  # fmt: skip
    rows[20]["energy_total_j"] *= 1.5
    trials = trials_of(write_rows("odd.csv", rows))
    found = [(s.lines, s.what) for s in suspicions(trials, LAYOUT)]
    for line, what in (
        (12, "was applied where"),
        (22, "the sum of energy_edge, energy_cloud"),
        (22, "energy of split_layer = "),
        (91 + 60 + 2, "latency of split_layer = "),
    ):
        assert any(lines == (line,) and what in said for lines, said in found), (line, what)
    assert len(found) == 4


def test_copied_and_impossible_rows_are_reported(testbed_rows, write_rows):
    rows = [dict(row) for row in testbed_rows]
    rows[3]["tpu_mode"] = "max"
    rows.append(dict(rows[50]))
    found = [(s.lines, s.what) for s in suspicions(trials_of(write_rows("odd.csv", rows)), LAYOUT)]
    assert rows[3]["split_layer"] == 0
    assert ((5,), "split_layer = 0, tpu_mode = max cannot have been run") in found
    assert ((52, len(rows) + 1), "the same knobs and the same measurements") in found
    assert len(found) == 2


def test_clean_trials_raise_no_suspicion(trials_csv):
    assert suspicions(trials_of(trials_csv), LAYOUT) == ()


@pytest.mark.parametrize(
    ("values", "cut"),
    [([1.0], None), ([1.0, 1.1], None), ([1.0, 1.3], 1), ([1, 1.01, 1.02, 2, 2.02], 3),
     ([1.0, 1.2, 1.45, 1.7], None), ([1, 1.01, 1.02, 1.9], 3), ([0.0, 0.0], None)],
)  # fmt: skip
def test_two_clusters_need_a_gap_well_above_their_spread(values, cut):
    assert two_clusters(np.array(values)) == cut


def test_a_layout_maps_foreign_headers_and_units(tmp_path):
    layout = tmp_path / "layout.toml"
    layout.write_text(
        '[knobs.cut]\nunit = "layer"\nwhole = true\nheader = "layer"\n'
        '[knobs.gpu]\nnames = { True = "on", False = "off" }\n'
        '[metrics.latency]\nheader = "t (us)"\nunit = "us"\n[objectives]\nlatency = "min"\n'
    )
    path = tmp_path / "foreign.csv"
    path.write_text("layer,gpu,t (us)\n3,True,1500\n4,False,2500\n")
    trials = trials_of(path, read_layout(layout))
    assert trials.raw.metrics["latency"].tolist() == [0.0015, 0.0025]
    assert trials.designs["gpu"].tolist() == ["on", "off"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[knobs.a]\n", "give either unit"),
        ('[knobs.a]\nunit = "s"\ncolour = 1\n', "knobs.a.colour: Extra inputs"),
        ("knobs = [", "is no TOML"),
        ('[knobs.a]\nunit="s"\n[metrics.b]\nunit="s"\n[objectives]\nc="min"\n', "c is no metric"),
    ],
)
def test_a_wrong_layout_says_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "layout.toml"
    path.write_text(text)
    with pytest.raises(DseError, match=said):
        read_layout(path)


@pytest.mark.parametrize(
    ("unit", "si", "factor"),
    [
        ("ms", "s", 1e-3),
        ("MHz", "Hz", 1e6),
        ("KiB", "B", 1024),
        ("layer", "layer", 1),
        ("%", "1", 0.01),
    ],
)
def test_units_are_those_of_the_engine(unit, si, factor):
    assert si_unit(unit) == (si, factor)


def test_the_measurements_beside_a_run_do_not_unpickle(trials_csv, tmp_path):
    folder = tmp_path / "run"
    import_trials(trials_of(trials_csv), LAYOUT, folder)
    np.savez(folder / "measurements.npz", trial=np.array([{}], dtype=object))
    with pytest.raises(DseError, match="does not read as measurements"):
        read_measurements(folder)
    (folder / "measurements.npz").unlink()
    assert read_measurements(folder) is None
    assert json.loads((folder / "manifest.json").read_text())["searcher"] == "import"
