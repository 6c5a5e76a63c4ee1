"""Generated source is compiled and read back; no name of a table gets out of it."""

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dse.lut.binary import pack
from dse.lut.c_header import c_header, reader_text
from dse.lut.canonical import from_json, to_json
from dse.lut.device_tree import operating_points, overlay
from dse.lut.error_codes import Fault, LutError
from dse.lut.exit_csv import exit_csv
from dse.lut.exports import FILE_NAMES, exported
from dse.lut.identifiers import identifiers
from dse.lut.rust_source import rust_source
from dse.lut.sources import read_exit_predictor
from dse.lut.table import ExitPredictor, OperatingPoint, Row, Setting

HOSTILE = [
    "*/", "/*", "//", "*/ int main", "a*/b", "/* */", "??/", "??/??/", "a??/", "\\", "a\\", "\\\\",
    '"', '";', '"; system("x"); "', "'", "%s", "%n%n", "%", "{", "}", "};", "#", "#include", "##",
    "$(x)", "`x`", "${x}", "a;b", "a b", " ", "  ", "a/b", "../x", "..", ".", "-", "--", "-x", "0",
    "9lives", "int", "return", "while", "static", "fn", "unsafe", "crate", "self", "Self", "class",
    "_", "__FILE__", "_Static_assert", "NULL", "EOF", "main", "lut_table", "TABLE", "]]>", "<!--",
    "</script>", "&amp;", "<x>", "=", "==", "a,b", ",", ":", "|", "~", "!", "@", "^", "()", "[]",
    "r#\"", "b\"", "\\u{202e}", "\\x41", "\\n", "/dts-v1/;", "/include/ \"x\"", "a" * 22,
]  # fmt: skip
"""Printable ASCII: a table may hold these."""

UNHOLDABLE = [
    "a\nb", "a\rb", "a\r\nb", "\n", "\r", "\t", "a\tb", "\0", "a\0b", "\x1b[31m", "\x7f", "\x80",
    "\u2028", "\u2029", "\u202e", "\u200b", "\ufeff", "é", "ß", "\u0131", "Ω", "😀", "\ud800",
    "a\x85b", "x" * 201, "x" * 300, "",
]  # fmt: skip
"""What no table may hold as a name."""


def named(table, name):
    """The table with a name in every place that a table has for one."""
    settings = (dataclasses.replace(table.settings[0], name=name),
                dataclasses.replace(table.settings[1], choices=("eco", name)))  # fmt: skip
    predictions = (dataclasses.replace(table.predictions[0], name=name), *table.predictions[1:])
    return dataclasses.replace(
        table,
        study=name,
        run_identity=name,
        valid_for=dataclasses.replace(table.valid_for, device=name, context=name, task=name),
        depends_on={name: name},
        design=(dataclasses.replace(table.design[0], unit="choice", choices=("x", name)),),
        settings=settings,
        predictions=predictions,
        kept_limits=(dataclasses.replace(table.kept_limits[0], name=name),),
        sorted_by=name,
    )


@pytest.mark.parametrize("form", FILE_NAMES)
def test_no_hostile_name_escapes(form, small_table):
    assert len(HOSTILE) >= 60
    plain = exported(small_table, form).decode("latin-1")
    for name in HOSTILE:
        table = named(small_table, name)
        data = exported(table, form)
        if form == "json":
            assert from_json(data) == table
            assert data.count(b"\n") == 1
        elif form in ("c", "rust"):
            # The same lines as for a tame name, but for identifiers and numbers.
            shape = [skeleton(line) for line in generated(data.decode("ascii"))]
            tame = [skeleton(line) for line in generated(plain)]
            assert [s for s in shape if s != "BYTES"] == [s for s in tame if s != "BYTES"]
            words = re.findall(r"\b(?:LUT_)?(?:SET|PRED)_\w*", "\n".join(generated(data.decode())))
            assert len(words) == 5
            assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,30}", word) for word in words)
        elif form in ("dts", "csv"):
            assert data.decode("ascii") == plain


def generated(source):
    """What follows the reader, which is shipped text."""
    mark = "/* The table;" if "/* The table;" in source else "pub const SET_"
    return source[source.index(mark) :].splitlines()


def skeleton(line):
    if re.fullmatch(r"    (0x[0-9a-f]{2}, )*0x[0-9a-f]{2},", line):
        return "BYTES"
    line = re.sub(r"\b(LUT_|)(SET|PRED)_[A-Z0-9_]*", r"\1\2", line)
    return re.sub(r"[\[;] ?[0-9]+\]", "[N]", line)


@pytest.mark.parametrize("name", UNHOLDABLE)
def test_a_name_beyond_printable_ascii_never_enters_a_table(name, small_table):
    with pytest.raises(LutError) as caught:
        named(small_table, name)
    assert caught.value.fault is Fault.STRING
    text = to_json(small_table).replace('"study":"small"', f'"study":"{name}"')
    if name:
        with pytest.raises(LutError):
            from_json(text)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a b", "a-b"], "would both be LUT_SET_A_B"),
        (["vdd", "VDD"], "would both be LUT_SET_VDD"),
        (["*/", "??"], "would both be LUT_SET___"),
        (["x" * 24], "more than 31 characters"),
    ],
)
@pytest.mark.parametrize("make", [c_header, rust_source])
def test_names_that_become_one_or_grow_too_long_are_refused(make, names, said, small_table):
    settings = [Setting(name, "V", 6) for name in (*names, "third")[:2]]
    table = dataclasses.replace(
        small_table, settings=tuple(settings) + tuple(small_table.settings[2:])
    )
    if make is rust_source:
        said = said.replace("LUT_", "")
        if "31" in said:
            table = dataclasses.replace(table, settings=(Setting("x" * 28, "V", 6), settings[1]))
    with pytest.raises(LutError, match=re.escape(said)) as caught:
        make(table)
    assert caught.value.fault is Fault.NAMES


def test_identifiers_are_capitals_digits_and_underscores():
    assert identifiers("LUT_", ["vdd", "a.b", "9", "ß", "µ_x"]) == [
        "LUT_VDD", "LUT_A_B", "LUT_9", "LUT__", "LUT___X",
    ]  # fmt: skip


MAIN = """
#include <stdio.h>
#include "lut.h"
int main(void)
{
    dse_lut t;
    int64_t limits[3] = {DSE_LUT_NO_LIMIT, 2000, DSE_LUT_NO_LIMIT};
    dse_lut_choice c;
    if (dse_lut_open(&t, lut_table, sizeof lut_table, NULL) != DSE_LUT_OK) {
        return 1;
    }
    c = dse_lut_select(&t, limits, LUT_PRED_ENERGY, DSE_LUT_NO_ROW);
    printf("%d %d %d %ld\\n", (int)c.row, (int)c.why, LUT_ROWS,
           (long)dse_lut_setting(&t, c.row, LUT_SET_VDD));
    return 0;
}
"""


SLOW = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "compiler",
    ["gcc", "g++", pytest.param("clang", marks=SLOW), pytest.param("clang++", marks=SLOW)],
)
def test_the_c_header_compiles_and_selects(compiler, small_table, tmp_path, strict_c):
    (tmp_path / "lut.h").write_text(c_header(small_table))
    (tmp_path / "main.c").write_text(MAIN)
    command = strict_c(compiler)
    subprocess.run([*command, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert ran.stdout == "2 0 4 700000\n"


def test_hostile_headers_compile_without_a_warning(small_table, tmp_path, strict_c):
    # All hostile names in one translation unit: the second header onwards defines another table.
    includes = []
    for number, name in enumerate(HOSTILE):
        text = c_header(named(small_table, name)).removeprefix(reader_text())
        text = re.sub(r"\b(LUT_(?:SET|PRED)_\w+|LUT_ROWS)\b", rf"\1_{number}", text)
        text = text.replace("lut_table[", f"lut_table_{number}[").replace(
            "DSE_LUT_TABLE", f"DSE_LUT_TABLE_{number}"
        )
        (tmp_path / f"lut{number}.h").write_text(text)
        includes.append(f'#include "lut{number}.h"\n')
    uses = "".join(f"    sum += (int)lut_table_{n}[9];\n" for n in range(len(HOSTILE)))
    (tmp_path / "reader.h").write_text(reader_text())
    (tmp_path / "main.c").write_text(
        '#include "reader.h"\n' + "".join(includes)
        + f"int main(void)\n{{\n    int sum = 0;\n{uses}    return sum;\n}}\n"
    )  # fmt: skip
    command = [*strict_c("gcc"), "-O0", "main.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.parametrize("target", ["thumbv7m-none-eabi", "armeb-none-eabi", "riscv32-none-elf"])
def test_the_reader_compiles_for_small_cores_of_either_byte_order(target, strict_c, tmp_path):
    (tmp_path / "main.c").write_text('#include "reader.h"\n')
    for compiler, language in (("clang", "c"), ("clang++", "c++")):
        flags = [flag for flag in strict_c(compiler) if flag.startswith(("-std", "-W", "-ped"))]
        command = [compiler, f"--target={target}", "-ffreestanding", *flags, "-fsyntax-only"]
        command += ["-I", str(ROOT / "dse" / "lut"), "-x", language, "main.c"]
        subprocess.run(command, cwd=tmp_path, check=True)


def test_the_reader_needs_stdint_and_stddef_only():
    included = re.findall(r"#include (.*)", reader_text())
    assert included == ["<stddef.h>", "<stdint.h>"]
    assert not re.search(r"\b(malloc|free|memcpy|strcmp|float|double)\b", code_of(reader_text()))


def code_of(source):
    return re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)


def test_the_rust_module_compiles_without_std_and_selects(small_table, tmp_path, tool):
    (tmp_path / "lut.rs").write_text(rust_source(small_table))
    root = "#![no_std]\n#![deny(warnings)]\n#![forbid(unsafe_code)]\npub mod lut;\n"
    (tmp_path / "lib.rs").write_text(root)
    flags = [tool("rustc"), "--edition", "2021"]
    subprocess.run([*flags, "--crate-type", "lib", "lib.rs"], cwd=tmp_path, check=True)
    (tmp_path / "main.rs").write_text(
        "use lib::lut::*;\nfn main() {\n"
        "    let t = Lut::open(&TABLE, &Identity::default()).unwrap();\n"
        "    let (row, why) = t.select(&[None, Some(2000), None], PRED_ENERGY, None);\n"
        '    println!("{row} {} {} {}", why as u8, t.rows, t.setting(row, SET_VDD));\n}\n'
    )
    command = [*flags, "--extern", "lib=liblib.rlib", "main.rs"]
    subprocess.run(command, cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert ran.stdout == "2 0 4 700000\n"


def read_back(text, folder, tool):
    """Compile an overlay with dtc and read its points from the blob, 64-bit cells and all."""
    tool("fdtget")
    (folder / "lut.dts").write_text(text)
    command = [tool("dtc"), "-@", "-I", "dts", "-O", "dtb", "-o", "lut.dtbo", "lut.dts"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stderr == ""

    def get(*arguments):
        got = ["fdtget", *arguments[:-2], folder / "lut.dtbo", *arguments[-2:]]
        return subprocess.run(got, capture_output=True, text=True, check=True).stdout.split()

    place = "/fragment@0/__overlay__/dse-opp-table"
    listed = ["fdtget", "-l", folder / "lut.dtbo", place]
    nodes = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    assert get("-t", "s", place, "compatible") == ["operating-points-v2"]
    points = []
    for node in nodes:
        high, low = (int(cell, 16) for cell in get("-t", "x", f"{place}/{node}", "opp-hz"))
        (volt,) = get("-t", "u", f"{place}/{node}", "opp-microvolt")
        points.append(OperatingPoint(int(volt), high * 2**32 + low))
    return points


def test_the_overlay_compiles_and_comes_back_exactly(small_table, tmp_path, tool):
    rng = np.random.default_rng(0)
    volts = np.unique(rng.integers(1, 2**32, 40)).tolist()
    hertz = np.unique(rng.integers(1, 2**53, 40)).tolist()
    points = tuple(map(OperatingPoint, volts, hertz))
    for chosen in (small_table.operating_points, points):
        table = dataclasses.replace(small_table, operating_points=chosen)
        assert read_back(overlay(table), tmp_path, tool) == list(chosen)


SETTINGS_POINTS = [OperatingPoint(500_000, 400_000_000), OperatingPoint(800_000, 10**9)]


@pytest.fixture
def without_vf_table(small_table, build):
    """Two voltages, a clock to each, and no points of its own."""
    settings = (Setting("vdd", "V", 6), Setting("clock", "Hz", 0))
    rows = [
        Row((500_000, 400_000_000), (3, 9, 1)),
        Row((800_000, 10**9), (7, 2, 1)),
        Row((800_000, 10**9), (7, 3, 2)),
    ]
    parts = {
        "study": "s", "run_identity": "", "valid_for": small_table.valid_for, "depends_on": {},
        "design": (), "settings": settings, "kept_limits": (),
    }  # fmt: skip
    return build(parts, small_table.predictions, rows, "energy", "latency")


def test_without_a_vf_table_the_settings_give_the_points(without_vf_table):
    assert operating_points(without_vf_table) == SETTINGS_POINTS


def test_points_that_settings_give_come_back_from_the_overlay(without_vf_table, tmp_path, tool):
    assert read_back(overlay(without_vf_table), tmp_path, tool) == SETTINGS_POINTS


def test_a_voltage_that_the_tree_cannot_hold_is_refused(small_table):
    points = (OperatingPoint(2**32, 1),)
    with pytest.raises(LutError, match="32 bits") as caught:
        overlay(dataclasses.replace(small_table, operating_points=points))
    assert caught.value.fault is Fault.UNFIT


def test_the_exit_csv_is_edgeberts_and_comes_back_exactly(small_table, tmp_path):
    rng = np.random.default_rng(0)
    entropies = tuple(map(tuple, rng.integers(0, 700_000, (100, 11)).tolist()))
    exits = ExitPredictor(1, 10_000, entropies)
    text = exit_csv(dataclasses.replace(small_table, exit_predictor=exits))
    path = tmp_path / "exit_lut.csv"
    path.write_text(text)
    assert read_exit_predictor(path, 1) == exits
    # As numpy's savetxt writes, and as loadtxt reads: 100 rows, no header, '%.18e'.
    matrix = np.loadtxt(path, delimiter=",")
    assert matrix.shape == (100, 12)
    assert (matrix[:, 0] == np.arange(100) / 100).all()
    assert (matrix[:, 1:] == np.array(entropies) / 1e6).all()
    cells = [cell for line in text.splitlines() for cell in line.split(",")]
    assert all(re.fullmatch(r"[0-9]\.[0-9]{18}e[+-][0-9]{2}", cell) for cell in cells)


def test_every_export_of_one_table_carries_the_same_binary(small_table):
    data = pack(small_table)
    for text in (c_header(small_table), rust_source(small_table)):
        lines = [line for line in text.splitlines() if skeleton(line) == "BYTES"]
        found = bytes(int(number, 16) for number in re.findall(r"0x(..)\b", "".join(lines)))
        assert found == data
