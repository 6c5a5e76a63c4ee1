"""Images in two sizes: scikit-learn's digits, and Fashion-MNIST from Debian's package or a folder.

Brought once into the cache, checked, and cut into fixed parts: `train` for all networks, `apart`
held back for the predictor head, `validation` for choices and `test` for the report.
"""

import gzip
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dse.accuracy.archive import tensors_digest
from dse.accuracy.cache import make_folder, write_whole
from dse.accuracy.data.tasks import not_here
from dse.core.errors import DseError

Part: TypeAlias = Literal["train", "apart", "validation", "test"]

ImageTask: TypeAlias = Literal["digits", "fashion-mnist"]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image task and how it is cut.

    Attributes:
        name: As study files call it.
        side: Pixels along an edge; images are square and grey.
        classes: How many.
        counts: Images of train, apart, validation and test.
        origin: Who made it, and what ships it.
        licence: As stated there.
    """

    name: ImageTask
    side: int
    classes: int
    counts: tuple[int, int, int, int]
    origin: str
    licence: str


IMAGES: dict[str, ImageSource] = {
    "digits": ImageSource(
        "digits",
        8,
        10,
        (500, 500, 297, 500),
        "optical recognition of handwritten digits, Alpaydin and Kaynak, as scikit-learn ships it",
        "CC BY 4.0 (UCI), BSD-3-Clause (package)",
    ),
    "fashion-mnist": ImageSource(
        "fashion-mnist",
        28,
        10,
        (40_000, 15_000, 5_000, 10_000),
        "Fashion-MNIST, Xiao, Rasul, Vollgraf, arXiv 1708.07747, Debian dataset-fashion-mnist",
        "MIT (as stated by the package)",
    ),
}

_PACKAGE = "dataset-fashion-mnist"
_FOLDER = "usr/share/datasets/fashion-mnist"
_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_PIXELS_SHA256 = "2944ac129ba2de12e15c19c82e7918b9a9a19a41168a9211b8e0e89c28e3b794"
"""Of all pixels and labels in the order of the files: what any source must give."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """One part of an image task.

    Attributes:
        pixels: 0 to 1, shape (n, 1, side, side), float32.
        labels: Class of each, shape (n,), int64.
        digest: SHA-256 of the whole task: what a result says it was computed on.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]
    digest: str


def _path(name: str, cache: Path) -> Path:
    return cache / "tasks" / f"{name}.safetensors"


def require_images(name: str) -> ImageSource:
    """The facts of an image task.

    Raises:
        DseError: If there is no such task.
    """
    if name not in IMAGES:
        raise DseError(f"unknown image task {name!r}; there are {', '.join(IMAGES)}")
    return IMAGES[name]


def is_fetched(name: str, cache: Path) -> bool:
    """Whether an image task can be read; digits come with scikit-learn."""
    return name == "digits" or _path(name, cache).is_file()


def fetch_images(name: str, cache: Path, *, source: Path | None = None) -> Path:
    """Bring an image task into the cache once.

    Args:
        name: Of the task.
        cache: Cache folder.
        source: Folder with the four idx files, gzipped or not, or Debian's package file; None asks
            apt for the package.

    Returns:
        The task's file in the cache.

    Raises:
        DseError: If the task is unknown, cannot be had, or is not the known one.
    """
    require_images(name)
    path = _path(name, cache)
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            from safetensors.numpy import save  # here and not above: an extra brings it

            tensors = _digits() if name == "digits" else _fashion(source)
            write_whole(path, save(tensors))
    return path


def _digits() -> dict[str, NDArray[np.uint8]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.asarray(found.images, dtype=np.uint8)
    return {"pixels": pixels, "labels": np.asarray(found.target, dtype=np.uint8)}


def _fashion(source: Path | None) -> dict[str, NDArray[np.uint8]]:
    with tempfile.TemporaryDirectory() as folder:
        place = source
        if source is None or source.is_file():
            package = _downloaded(Path(folder)) if source is None else source
            place = _unpacked(package, Path(folder) / "files")
        assert place is not None
        images, labels, more, others = (_idx(place, stem) for stem in _FILES)
    tensors = {"pixels": np.concatenate([images, more]), "labels": np.concatenate([labels, others])}
    found = tensors_digest(tensors)
    if found != _PIXELS_SHA256:
        raise DseError(
            f"fashion-mnist: the pixels' SHA-256 is {found}, {_PIXELS_SHA256} is wanted; nothing "
            "was kept"
        )
    return tensors


def _downloaded(folder: Path) -> Path:
    reason = _run(["apt-get", "download", _PACKAGE], folder)
    files = sorted(folder.glob("*.deb"))
    if len(files) != 1:
        raise DseError(
            f"fashion-mnist: the package {_PACKAGE} did not come ({reason or 'no file'}). Fetch it "
            "elsewhere and run: dse data fetch fashion-mnist --archive FILE_OR_FOLDER"
        )
    return files[0]


def _unpacked(package: Path, folder: Path) -> Path:
    reason = _run(["dpkg-deb", "-x", str(package.resolve()), str(folder)], package.parent)
    if not (folder / _FOLDER).is_dir():
        raise DseError(f"{package} holds no {_FOLDER} ({reason or 'another package'})")
    return folder / _FOLDER


def _run(command: list[str], folder: Path) -> str:
    """The last line of complaint; empty where there is none."""
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    return (ran.stderr.strip().splitlines() or [""])[-1]


def _idx(folder: Path, stem: str) -> NDArray[np.uint8]:
    """An idx file of bytes: two zeros, 8, the number of axes, their sizes, the values."""
    plain, zipped = folder / f"{stem}-ubyte", folder / f"{stem}-ubyte.gz"
    try:
        content = plain.read_bytes() if plain.is_file() else gzip.decompress(zipped.read_bytes())
        axes = content[3]
        sizes = np.frombuffer(content, dtype=">u4", count=axes, offset=4)
        values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes)
        if content[:3] != b"\x00\x00\x08":
            raise ValueError("it is no idx file of bytes")
        return values.reshape(sizes.tolist())
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DseError(f"{zipped} cannot be read as an idx file: {error}") from error


def read_images(name: str, cache: Path, part: Part) -> Images:
    """One part of a task.

    Raises:
        DseError: If the task is unknown, not fetched, or its file is damaged.
    """
    source = require_images(name)
    pixels, labels, digest = _whole(name, cache)
    starts = np.cumsum([0, *source.counts]).tolist()
    which = ("train", "apart", "validation", "test").index(part)
    rows = slice(starts[which], starts[which + 1])
    scaled = pixels[rows].astype(np.float32) / (16.0 if name == "digits" else 255.0)
    return Images(scaled[:, None], labels[rows].astype(np.int64), digest)


@lru_cache(maxsize=2)
def _whole(name: str, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    if name == "digits":
        tensors = _digits()
    else:
        path = _path(name, cache)
        if not path.is_file():
            raise DseError(not_here(name))
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise DseError(f"{path} is damaged ({error}); remove it and fetch it again") from error
    # Digits come writer by writer, Fashion-MNIST's last 10,000 are its own test set: only what
    # comes before that is mixed, in an order that never changes.
    fixed = len(tensors["labels"]) - IMAGES[name].counts[3] if name == "fashion-mnist" else 0
    mixed = fixed or len(tensors["labels"])
    order = np.arange(len(tensors["labels"]))
    order[:mixed] = np.random.default_rng(0).permutation(mixed)
    digest = hashlib.sha256(tensors_digest(tensors).encode() + order.tobytes()).hexdigest()
    return tensors["pixels"][order], tensors["labels"][order], digest
