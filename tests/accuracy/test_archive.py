import os
import subprocess
import sys

import numpy as np
import pytest

from dse.accuracy.archive import Archive, archive_path, read_archive, write_archive
from dse.accuracy.cache import key_of
from dse.core.errors import DseError

HANDLE = key_of({"what": "a test"})


def an_archive():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20, 6, 2)).astype(np.float32)
    return Archive(logits, rng.integers(0, 2, 20), rng.integers(3, 64, 20), {"who": "a test"})


def test_what_is_read_is_what_was_written(tmp_path):
    written = an_archive()
    write_archive(tmp_path, HANDLE, written)
    read = read_archive(tmp_path, HANDLE)
    for name in ("logits", "labels", "tokens"):
        before, after = getattr(written, name), getattr(read, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)
    assert read.provenance == written.provenance


@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 0.8, 0.999])
def test_a_changed_bit_is_noticed(tmp_path, place):
    write_archive(tmp_path, HANDLE, an_archive())
    path = archive_path(tmp_path, HANDLE)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0x04
    path.write_bytes(content)
    with pytest.raises(DseError):
        read_archive(tmp_path, HANDLE)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_half_a_file_is_no_archive(tmp_path, share):
    write_archive(tmp_path, HANDLE, an_archive())
    path = archive_path(tmp_path, HANDLE)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DseError, match="damaged"):
        read_archive(tmp_path, HANDLE)


def test_a_write_that_dies_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    write_archive(tmp_path, HANDLE, an_archive())
    before = archive_path(tmp_path, HANDLE).read_bytes()

    def dies(_descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(OSError, match="disk full"):
        write_archive(tmp_path, HANDLE, an_archive())
    assert archive_path(tmp_path, HANDLE).read_bytes() == before
    assert len(list(archive_path(tmp_path, HANDLE).parent.iterdir())) == 1


def test_an_archive_under_a_wrong_name_is_refused(tmp_path):
    write_archive(tmp_path, HANDLE, an_archive())
    other = archive_path(tmp_path, "0" * 64)
    other.parent.mkdir(parents=True, exist_ok=True)
    archive_path(tmp_path, HANDLE).rename(other)
    with pytest.raises(DseError, match=HANDLE[:8]):
        read_archive(tmp_path, "0" * 64)


def test_a_handle_cannot_leave_the_cache(tmp_path):
    with pytest.raises(DseError, match="handle"):
        archive_path(tmp_path, "../" + "0" * 61)


def test_equal_archives_are_equal_bytes_in_every_process(tmp_path):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from dse.accuracy.archive import Archive, write_archive\n"
        "ones = np.ones(4, dtype=np.int64)\n"
        "archive = Archive(np.ones((4, 2, 2), np.float32), ones, ones, {'a': 1, 'b': 2})\n"
        "write_archive(pathlib.Path(sys.argv[1]), 'c' * 64, archive)\n"
    )
    contents = set()
    for number in range(6):  # a random order of two entries would pass with chance 1/32
        folder = tmp_path / str(number)
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
        contents.add(archive_path(folder, "c" * 64).read_bytes())
    assert len(contents) == 1


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(DseError, match="finite"):
        Archive(np.full((1, 2, 2), np.nan, np.float32), np.zeros(1, int), np.ones(1, int), {})
