"""Nothing is written but the file that was asked for, whatever a name says."""

import dataclasses
import json
import os
from pathlib import Path

import jsonschema
import pytest

from dse.core.errors import DseError
from dse.lut.canonical import schema, to_json
from dse.lut.exports import FILE_NAMES, exported
from dse.lut.files import read_table, write_within

NAMES = [
    "..", ".", "", "/", "//", "a/b", "a/", "/etc/x", "../x", "../../x", "..\\x", "a\\b", "C:\\x",
    "C:x", "\\\\host\\share", "./x", "a/../../x", "%2e%2e/x", "~", "~/x", "~root/x", "$HOME", "*",
    "?", "a\0b", "\0", "a\nb", "a\rb", "x\u2028y", "\u202ex", "é", "x" * 101, "x" * 256, "x" * 5000,
    "con", "CON.json", "nul", "aux.h", "COM1", "lpt9.bin", "PRN", ".hidden", "-rf", "a:stream",
    "a|b", "a>b", "a<b", "a b", " a", "a ", "a.", "|id",
]  # fmt: skip


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


@pytest.fixture
def walled(tmp_path, monkeypatch):
    """A folder to write into, beside things that must stay as they are."""
    inside, beside = tmp_path / "out", tmp_path / "beside"
    inside.mkdir()
    beside.mkdir()
    (beside / "keep").write_text("as it was")
    monkeypatch.chdir(beside)
    return inside, beside


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_plain_file_name_writes_nothing(name, walled):
    assert len(NAMES) >= 40
    inside, _ = walled
    before = everything(inside.parent)
    with pytest.raises(DseError, match="no file name that we write"):
        write_within(inside, name, b"data")
    assert everything(inside.parent) == before


def test_names_inside_a_table_never_become_paths(small_table, walled):
    inside, _ = walled
    possible = [n for n in NAMES if n and n.isascii() and n.isprintable() and len(n) <= 200]
    for number, name in enumerate(possible):
        table = dataclasses.replace(
            small_table,
            study=name,
            valid_for=dataclasses.replace(small_table.valid_for, device=name),
            depends_on={name: name},
        )
        form = list(FILE_NAMES)[number % len(FILE_NAMES)]
        write_within(inside, FILE_NAMES[form], exported(table, form))
    assert everything(inside.parent) == sorted(
        ["beside", "beside/keep", "out", *(f"out/{name}" for name in FILE_NAMES.values())]
    )


@pytest.mark.parametrize("kind", ["link to a file", "dangling link", "folder", "pipe"])
def test_a_target_that_is_no_plain_file_is_refused(kind, walled):
    inside, beside = walled
    target = inside / "lut.bin"
    if kind == "link to a file":
        target.symlink_to(beside / "keep")
    elif kind == "dangling link":
        target.symlink_to(beside / "new")
    elif kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    with pytest.raises(DseError, match="a link or no plain file; nothing was written"):
        write_within(inside, "lut.bin", b"data")
    assert everything(beside) == ["keep"]
    assert (beside / "keep").read_text() == "as it was"


def test_a_folder_that_is_a_link_is_refused(walled):
    inside, beside = walled
    (inside / "tables").symlink_to(beside)
    with pytest.raises(DseError, match="is a link; nothing was written"):
        write_within(inside / "tables", "lut.bin", b"data")
    assert everything(beside) == ["keep"]


def test_a_plain_file_is_replaced_whole(walled):
    inside, _ = walled
    write_within(inside / "tables", "lut.bin", b"old and long")
    path = write_within(inside / "tables", "lut.bin", b"new")
    assert path.read_bytes() == b"new"
    assert everything(inside) == ["tables", "tables/lut.bin"]


@pytest.mark.parametrize("path", ["/dev/zero", ".", "missing", "/dev/null"])
def test_only_regular_files_are_read(path, walled):
    assert walled
    with pytest.raises(DseError, match=r"no regular file|cannot be read"):
        read_table(Path(path))


def test_the_published_schema_is_the_one_in_use_and_holds(random_tables, small_table):
    path = Path(__file__).resolve().parents[2] / "dse" / "lut" / "lut.schema.json"
    published = json.loads(path.read_text(encoding="ascii"))
    assert published == schema()
    check = jsonschema.Draft202012Validator(published)
    check.check_schema(published)
    for table in [small_table, *random_tables[:60]]:
        check.validate(json.loads(to_json(table)))
    content = json.loads(to_json(small_table))
    for key in content:
        without = {k: v for k, v in content.items() if k != key}
        assert not check.is_valid(without), key
    assert not check.is_valid({**content, "more": 1})
