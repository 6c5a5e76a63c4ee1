"""Loading, looking up, refusing; and that every shipped table says where it comes from."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.table import Origin, Table, _codes, _letters, label, read, shipped, shipped_names

ORIGIN = Origin("a test", "none", "none", "seen")
TOML = 'source = "a test"\nprocess = "none"\nconditions = "none"\nevidence = "seen"\n'


def written(folder, text, toml=TOML):
    (folder / "t.csv").write_text(text)
    (folder / "t.toml").write_text(toml)
    return folder / "t.csv"


def line() -> Table:
    columns = {"vdd": np.array([0.5, 0.6, 0.8]), "f_max": np.array([1.0, 2.0, 6.0])}
    return Table("line", "vdd", columns, {"vdd": "V", "f_max": "Hz"}, ORIGIN)


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("bound", ["low", "nominal", "high"])
def test_every_table_states_source_conditions_and_evidence(name, bound):
    table = shipped(name, bound)
    assert table.origin.source
    assert table.origin.conditions
    assert table.origin.evidence in ("seen", "derived", "second-hand", "unverified")
    assert all(not column.flags.writeable for column in table.columns.values())
    wide = any(
        (shipped(name, "low").columns[c] != shipped(name, "high").columns[c]).any()
        for c in table.columns
    )
    assert wide == bool(table.origin.bounds)


@given(st.floats(0.5, 0.8))
def test_values_lie_between_their_rows(vdd):
    table = line()
    (value,) = table.at(np.array([vdd]), "f_max")
    expected = np.interp(vdd, table.columns["vdd"], table.columns["f_max"])
    assert value[0] == pytest.approx(expected, rel=1e-12)


def test_values_are_exact_on_rows():
    table = shipped("dvfs_12nm")
    for column in ("f_max", "leakage_scale"):
        (values,) = table.at(table.columns["vdd"], column)
        assert values.tolist() == table.columns[column].tolist()


@pytest.mark.parametrize("vdd", [0.45, 0.8000001, np.nan])
def test_never_extrapolates(vdd):
    with pytest.raises(ValueError, match=rf"vdd = {vdd} V is outside 0.5 to 0.8 V.*table 'line'"):
        line().at(np.array([0.6, vdd]), "f_max")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"cell = 'zram' is not one of \['pcm', .*'stt'\]"):
        shipped("envm_nvsim_22nm").at(np.array(["rram", "zram"]), "area")


def test_names_are_looked_up_row_by_row():
    table = shipped("envm_nvsim_22nm")
    names = np.array(["stt", "rram", "stt", "pcm", "sram"])
    (area,) = table.at(names, "area")
    known = dict(zip(table.columns["cell"].tolist(), table.columns["area"].tolist(), strict=True))
    assert area.tolist() == [known[name] for name in names.tolist()]


@pytest.mark.parametrize("dtype", ["<U4", "<U12", ">U9", object])
def test_names_of_any_width_are_found_and_strange_ones_are_not(dtype):
    table = shipped("envm_nvsim_22nm")
    names = np.array(["stt", "rram", "pcm"], dtype=dtype)
    for view in (names, names[::-1], names[:0], names[::2]):
        assert table.columns["cell"][table.rows(view)].tolist() == view.tolist()
    for strange in ("rra", "ramr", "rr", "", "zzzz"):
        with pytest.raises(ValueError, match=f"cell = '{strange}' is not one of"):
            table.rows(np.array(["rram", strange], dtype=dtype))


def test_a_name_with_the_code_of_another_is_not_taken_for_it(monkeypatch):
    table = shipped("envm_nvsim_22nm")
    codes = _codes(_letters(table.columns["cell"]))
    for code in codes:
        monkeypatch.setattr("hw_models.table._codes", lambda _, code=code: np.array([code]))
        with pytest.raises(ValueError, match="cell = 'zram' is not one of"):
            table.rows(np.array(["zram"]))
    monkeypatch.setattr("hw_models.table._codes", lambda names: np.zeros(len(names), np.uint32))
    with pytest.raises(ValueError, match=r"two of .* share a code"):
        replace(table, columns=dict(table.columns))


def test_a_name_that_a_narrow_column_cuts_off_is_not_taken_for_the_whole():
    # A table of one name leads every other name to it.
    table = Table("t", "cell", {"cell": np.array(["rram_mlc2"])}, {"cell": "choice"}, ORIGIN)
    for narrow in (np.array(["rram"]), np.array(["rram_mlc"]), np.array(["rram_mlc22"])):
        with pytest.raises(ValueError, match=f"cell = '{narrow[0]}' is not one of"):
            table.rows(narrow)
    assert table.rows(np.array(["rram_mlc2"])).tolist() == [0]


def test_a_table_of_several_rows_holds_no_constant():
    with pytest.raises(ValueError, match="table 'line' has 3 rows"):
        line().constant("f_max")


def test_units_are_turned_into_si_once(tmp_path):
    table = read(written(tmp_path, "vdd_mV,f_max_MHz\n500,10\n800,20\n"))
    assert table.columns["vdd"].tolist() == [0.5, 0.8]
    assert table.columns["f_max"].tolist() == [1e7, 2e7]
    assert table.units == {"vdd": "V", "f_max": "Hz"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vdd_kV\n1\n", "header 'vdd_kV' must be <column>_<unit>"),
        ("vdd\n1\n", "header 'vdd'"),
        ("vdd_V\nabc\n", "column 'vdd': could not convert"),
        ("vdd_V,f_max_MHz\n1,nan\n", "column 'f_max' holds"),
        ("vdd_V\n1\n1\n", "key 'vdd' must strictly increase"),
        ("a_choice,bound_choice,x_1\nk,low,1\nk,nominal,2\n", "one low, nominal and high row"),
        ("a_choice,bound_choice,x_1\nk,low,3\nk,nominal,2\nk,high,4\n", "not low <= nominal"),
        ("a_choice,bound_choice,x_1\nk,low,1\nj,nominal,2\nk,high,4\n", "not low <= nominal"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [('"seen"', '"guess"', "evidence = 'guess'"), ('"a test"', '""', "source = ''")],
)
def test_a_table_without_origin_is_refused(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path, "vdd_V\n1\n", TOML.replace(old, new)))


def test_only_csv_files_are_tables(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        read(tmp_path / "t.txt")


def test_an_unknown_shipped_table_is_refused():
    with pytest.raises(ValueError, match="table 'magic' is not one of"):
        shipped("magic")


def test_columns_must_have_one_length():
    with pytest.raises(ValueError, match=r"shape \(k,\) = \(2,\), got \(1,\)"):
        Table("t", "a", {"a": np.array([1.0, 2.0]), "b": np.array([1.0])}, {}, ORIGIN)


def test_the_weakest_link_labels_a_number():
    assert label() == "closed form"
    assert label(shipped("envm_nvsim_22nm"), shipped("dram")) == "published"
    assert label(shipped("dram"), shipped("dvfs_12nm")) == "unverified"
