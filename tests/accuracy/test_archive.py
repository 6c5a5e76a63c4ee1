import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dse.accuracy.address import part_address
from dse.accuracy.archive import (
    Archive,
    archive_path,
    files_of,
    read_archive,
    reads,
    write_archive,
)
from dse.accuracy.cache import CacheUnsafe, key_of
from dse.core.errors import DseError

SAID = {"who": "a test", "rows": (1, 2)}
HANDLE = key_of(SAID)


def an_archive():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20, 6, 2)).astype(np.float32)
    return Archive(logits, rng.integers(0, 2, 20), rng.integers(3, 64, 20), SAID)


def test_what_is_read_is_what_was_written(tmp_path):
    written = an_archive()
    write_archive(tmp_path, HANDLE, written)
    read = read_archive(tmp_path, HANDLE)
    for name in ("logits", "labels", "tokens"):
        before, after = getattr(written, name), getattr(read, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)
    assert read.provenance == json.loads(json.dumps(SAID))


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


def test_an_archive_that_says_something_else_of_itself_is_refused(tmp_path):
    """As a file that was copied over another one, with its name changed inside."""
    write_archive(tmp_path, HANDLE, replace(an_archive(), provenance={"who": "someone else"}))
    with pytest.raises(DseError, match="what it says of itself belongs to the address"):
        read_archive(tmp_path, HANDLE)
    assert not reads(tmp_path, HANDLE)
    late = {**SAID, "finetune_ending": {"made": 3}}  # is known only when the archive is there
    write_archive(tmp_path, HANDLE, replace(an_archive(), provenance=late))
    assert reads(tmp_path, HANDLE)
    part = part_address(HANDLE, 2, 9)
    write_archive(
        tmp_path, part, replace(an_archive(), provenance={**SAID, "first_and_last": [2, 9]})
    )
    assert reads(tmp_path, part)
    write_archive(
        tmp_path, part, replace(an_archive(), provenance={**SAID, "first_and_last": [2, 8]})
    )
    with pytest.raises(DseError, match="belongs to the address"):
        read_archive(tmp_path, part)


@pytest.mark.parametrize("place", ["", "archives", "archives/{0:.2}", "archives/{0:.2}/{0}"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_write_is_not_read(place, mode, tmp_path):
    cache = tmp_path / "cache"
    write_archive(cache, HANDLE, an_archive())
    assert reads(cache, HANDLE)
    path = cache / place.format(HANDLE)
    path = path.with_suffix(".safetensors") if path.name == HANDLE else path
    path.chmod(path.stat().st_mode | mode)
    for read in (read_archive, reads):
        with pytest.raises(
            CacheUnsafe, match=f"{path} may be written to by others .*chmod -R go-w"
        ):
            read(cache, HANDLE)


def test_a_cache_that_is_made_under_a_wide_mask_is_nobody_elses(tmp_path):
    before = os.umask(0o002)
    try:
        write_archive(tmp_path / "cache", HANDLE, an_archive())
    finally:
        os.umask(before)
    made = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o022 for path in made] == [0] * 4
    assert reads(tmp_path / "cache", HANDLE)


def test_files_of_results_have_digests_by_their_place(tmp_path):
    write_archive(tmp_path, HANDLE, an_archive())
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks/n.safetensors").write_bytes(b"weights")
    networks = [tmp_path / "networks" / name for name in ("n.safetensors", "gone.safetensors")]
    found = files_of(tmp_path, np.array([HANDLE, "", HANDLE, "0" * 64]), networks)
    archive = archive_path(tmp_path, HANDLE)
    assert found == {
        "networks/n.safetensors": hashlib.sha256(b"weights").hexdigest(),
        archive.relative_to(tmp_path).as_posix(): hashlib.sha256(archive.read_bytes()).hexdigest(),
    }


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
