"""Images from idx files, and what is refused of them."""

import gzip

import numpy as np
import pytest

from dse.accuracy.archive import tensors_digest
from dse.accuracy.data import images as image_data
from dse.accuracy.data.images import IMAGES, fetch_images, is_fetched, read_images
from dse.core.errors import DseError


def idx(values):
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    return head + values.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """70,000 images in the form of the package: two files gzipped, two plain."""
    rng = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("idx")
    parts = {}
    for stem, n in (("train", 60_000), ("t10k", 10_000)):
        parts[stem] = np.zeros((n, 28, 28), np.uint8), rng.integers(0, 9, n, np.uint8)
        zipped = gzip.compress(idx(parts[stem][1]), 1)
        (place / f"{stem}-labels-idx1-ubyte.gz").write_bytes(zipped)
        (place / f"{stem}-images-idx3-ubyte").write_bytes(idx(parts[stem][0]))
    pixels, labels = (np.concatenate([parts["train"][i], parts["t10k"][i]]) for i in (0, 1))
    return place, tensors_digest({"pixels": pixels, "labels": labels}), labels


def test_a_folder_of_other_images_is_refused(folder, tmp_path):
    with pytest.raises(DseError, match="nothing was kept"):
        fetch_images("fashion-mnist", tmp_path / "cache", source=folder[0])
    assert not is_fetched("fashion-mnist", tmp_path / "cache")


def test_the_known_images_are_cut_in_four(folder, tmp_path, monkeypatch):
    place, digest, labels = folder
    monkeypatch.setattr(image_data, "_PIXELS_SHA256", digest)
    fetch_images("fashion-mnist", tmp_path / "cache", source=place)
    parts = [
        read_images("fashion-mnist", tmp_path / "cache", part)
        for part in ("train", "apart", "validation", "test")
    ]
    assert tuple(len(part.labels) for part in parts) == IMAGES["fashion-mnist"].counts
    assert (parts[3].labels == labels[60_000:]).all()  # the published test set, in its order
    mixed = np.concatenate([part.labels for part in parts[:3]])
    assert (np.bincount(mixed) == np.bincount(labels[:60_000])).all()
    assert parts[0].pixels.shape == (40_000, 1, 28, 28)
    assert len({part.digest for part in parts}) == 1


def test_digits_need_no_fetching(tmp_path):
    parts = [read_images("digits", tmp_path, part) for part in ("train", "apart", "test")]
    assert [len(part.labels) for part in parts] == [500, 500, 500]
    assert all(part.pixels.min() == 0.0 and part.pixels.max() == 1.0 for part in parts)


def test_a_file_that_is_no_idx_file_is_refused(tmp_path):
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{stem}-ubyte").write_bytes(b"PNG")
    with pytest.raises(DseError, match="idx file"):
        fetch_images("fashion-mnist", tmp_path / "cache", source=tmp_path)


def test_a_package_that_is_none_says_what_it_lacks(tmp_path):
    package = tmp_path / "other.deb"
    package.write_bytes(b"not a package")
    with pytest.raises(DseError, match="holds no usr/share/datasets"):
        fetch_images("fashion-mnist", tmp_path / "cache", source=package)


def test_a_task_that_is_not_there_says_how_it_comes(tmp_path):
    with pytest.raises(DseError, match="dse data fetch fashion-mnist"):
        read_images("fashion-mnist", tmp_path, "test")
    with pytest.raises(DseError, match="there are digits, fashion-mnist"):
        read_images("mnist", tmp_path, "test")
