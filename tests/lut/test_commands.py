"""`dse export` and `dse lut`: files that verify, show and compare, and exit codes that say so."""

import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from dse.lut.exports import FILE_NAMES
from dse.lut.files import read_table
from dse.runs.store import RunWriter


@pytest.fixture
def command(small_run):
    app = command_line({})
    # The small run was begun without a study file, so it lacks what the study says of exports.
    with RunWriter.reopen(small_run.folder) as writer:
        writer.record({"export": {"sort_by": "energy", "fallback": "delay"}})

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return run


@pytest.fixture
def csv_files(tmp_path):
    exits = tmp_path / "exits.csv"
    exits.write_text("".join(f"{i / 100:.18e},{0.6 - i / 1000:.18e},0\n" for i in range(100)))
    points = tmp_path / "points.csv"
    points.write_text("vdd_V,f_max_MHz,leakage_scale_1\n0.500,569.5,0.2441\n0.8,1000,1\n")
    return exits, points


@pytest.mark.parametrize("form", FILE_NAMES)
def test_every_form_is_written_under_its_own_name(form, command, csv_files, small_run):
    exits, points = csv_files
    result = command("export", small_run.folder, "--format", form, "--exit-lut", exits,
                     "--points", points, "--rows", 3, "--device", "board")  # fmt: skip
    assert result.exit_code == 0, result.output
    path = small_run.folder / "tables" / FILE_NAMES[form]
    assert result.stdout.strip() == str(path)
    assert path.stat().st_size > 100


def test_the_three_checked_forms_verify_and_do_not_differ(command, small_run):
    tables = small_run.folder / "tables"
    for form in ("json", "binary", "cbor"):
        assert command("export", small_run.folder, "--format", form).exit_code == 0
        verified = command("lut", "verify", tables / FILE_NAMES[form])
        assert verified.exit_code == 0
        assert f"sound, {form}, 4 rows" in verified.stdout
        same = command("lut", "diff", tables / "lut.json", tables / FILE_NAMES[form])
        assert (same.exit_code, same.stdout) == (0, "")


def test_a_damaged_file_ends_with_5_and_the_fault(command, small_run, tmp_path):
    command("export", small_run.folder, "--format", "binary")
    data = bytearray((small_run.folder / "tables" / "lut.bin").read_bytes())
    data[150] ^= 1
    bad = tmp_path / "bad.bin"
    bad.write_bytes(data)
    for verb in (["verify"], ["show"], ["diff", bad]):
        result = command("lut", *verb, bad)
        assert result.exit_code == 5
        assert result.stdout == ""
        assert "refused, CRC" in result.stderr


def test_tables_that_differ_end_with_3_and_say_where(command, small_run, tmp_path):
    command("export", small_run.folder, "--device", "a", "--out", tmp_path / "a.json")
    command("export", small_run.folder, "--device", "b", "--rows", 3, "--format", "cbor",
            "--out", tmp_path / "b.cbor")  # fmt: skip
    result = command("lut", "diff", tmp_path / "a.json", tmp_path / "b.cbor")
    assert result.exit_code == 3
    assert "valid_for.device: 'a' -> 'b'" in result.stdout
    assert "rows[3].settings" in result.stdout or "rows[3]:" in result.stdout


def test_show_prints_units_evidence_and_the_default(command, small_run):
    command("export", small_run.folder, "--device", "board")
    shown = command("lut", "show", small_run.folder / "tables" / "lut.json").stdout
    assert "device board" in shown
    assert "vdd [uV]" in shown
    assert "predicted: energy, min, unverified" in shown
    assert "fixed: cell = a" in shown
    assert "kept: delay <= 1.000000000 s" in shown
    assert sum("*" in line and "default" not in line for line in shown.splitlines()) == 1


def test_csv_and_device_tree_say_what_they_need(command, small_run):
    result = command("export", small_run.folder, "--format", "csv")
    assert "no exit predictor; export with one (--exit-lut)" in str(result.exception)
    result = command("export", small_run.folder, "--format", "dts")
    assert "give a V/f table (--points)" in str(result.exception)


def test_both_extras_travel_with_the_table(command, csv_files, small_run, tmp_path):
    exits, points = csv_files
    out = tmp_path / "t.bin"
    command("export", small_run.folder, "--format", "binary", "--exit-lut", exits,
            "--exit-layer", 3, "--points", points, "--out", out)  # fmt: skip
    table, form = read_table(out)
    assert form == "binary"
    assert table.exit_predictor is not None
    assert (table.exit_predictor.layer, table.exit_predictor.step) == (3, 10_000)
    assert len(table.exit_predictor.entropies) == 100
    assert table.exit_predictor.entropies[99] == (501_000, 0)
    assert [(p.microvolt, p.hertz) for p in table.operating_points] == [
        (500_000, 569_500_000), (800_000, 1_000_000_000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,0.5\n0.01,-0.1\n", "an entropy is negative"),
        ("0,0.5\n0.01,nan\n", "no number that a table holds"),
        ("0,0.5\n0.01,0.4,0.3\n", "equally many columns"),
        ("0,0.5\n0.01,0.4\n0.03,0.3\n", "column 0 must be 0, step"),
        ("", "two or more rows"),
    ],
)
def test_an_exit_lut_that_does_not_read_is_refused(text, said, command, small_run, tmp_path):
    path = tmp_path / "exits.csv"
    path.write_text(text)
    result = command("export", small_run.folder, "--exit-lut", path)
    assert said in str(result.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vdd_V,f_max_MHz\n0.5000001,500\n", "no whole number of microvolt"),
        ("vdd_mV,f_max_MHz\n500,500\n", "columns vdd_V and one of f_max_Hz"),
        ("vdd_V,f_max_MHz\n0.6,500\n0.5,400\n", "voltage and clock must both increase"),
        ("vdd_V,f_max_MHz\n0.6\n", "a row of 1 cells"),
    ],
)
def test_operating_points_that_do_not_read_are_refused(text, said, command, small_run, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(text)
    result = command("export", small_run.folder, "--points", path)
    assert said in str(result.exception)
