"""Labelled sentences from the Hugging Face hub or from files of one's own, through `datasets`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dse.accuracy.data.tasks import Row, ordered
from dse.core.errors import DseError, MissingDependency
from dse.core.extras import install

HELD_OUT = 1000
"""Rows taken from the training split for validation where the data set has no split to spare."""

_GLUE_TEXT: Mapping[str, tuple[str, ...]] = {
    "sst2": ("sentence",),
    "qnli": ("question", "sentence"),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
}
_KINDS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}


class _Table(Protocol):
    """What is used of a `datasets.Dataset`."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Type of each column."""

    def __getitem__(self, column: str) -> Sequence[Any]:
        """A column."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A data set as rows.

    Attributes:
        classes: Names, in label order.
        origin: Where it came from.
        splits: train, validation and test, each in the order of content hashes.
    """

    classes: tuple[str, ...]
    origin: str
    splits: Mapping[str, Sequence[Row]]


def labelled_rows(name: str, cache: Path) -> Labelled:
    """Load `hub:PATH[/CONFIG]` or `local:FOLDER`.

    A local folder holds train.csv (or .tsv, .jsonl, .json, .parquet) and, if it likes, validation
    and test of the same kind, with a column `label` and one or two text columns. A published split
    whose labels are withheld (-1, as GLUE's test) is left out: then the published validation split
    serves as test and validation is taken from train.

    Raises:
        DseError: If the data set cannot be had or holds no labelled sentences.
        MissingDependency: If `datasets` is not installed.
    """
    kind, _, place = name.partition(":")
    data = _from_hub(place, cache) if kind == "hub" else _from_folder(Path(place), cache)
    config = place.rsplit("/", maxsplit=1)[-1]
    labelled: dict[str, list[Row]] = {}
    classes: tuple[str, ...] | None = None
    if "train" not in data:
        raise DseError(f"{name} has no split named train; it has {', '.join(data)}")
    columns = _text_columns(name, data["train"], _GLUE_TEXT.get(config))
    classes, numbers = _classes(name, data["train"])
    for split, table in data.items():
        rows = _rows(name, split, table, columns, numbers)
        if rows:
            labelled[split.removesuffix("_matched")] = rows
    return Labelled(classes, f"{kind} data set {place}", _splits(labelled))


def _library() -> Any:  # noqa: ANN401  (an optional library without a stub here)
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency(
            f"hub: and local: tasks are read by `datasets`: {install('hub')}"
        ) from error
    datasets.disable_progress_bars()
    return datasets


def _from_hub(place: str, cache: Path) -> Mapping[str, _Table]:
    path, _, config = place.rpartition("/") if "/" in place else (place, "", "")
    datasets = _library()
    try:
        # nyu-mll/glue/sst2 and glue/sst2 name a configuration; owner/name alone does not.
        known = config in _GLUE_TEXT or path.count("/") == 1
        arguments = (path, config) if known else (place,)
        return dict(datasets.load_dataset(*arguments, cache_dir=str(cache / "datasets")))
    except (OSError, ValueError, RuntimeError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DseError(
            f"hub:{place} could not be loaded{offline}: {reason}. Packaged tasks need no hub "
            "(dse data list); files of your own: dse data fetch local:FOLDER"
        ) from error


def _from_folder(folder: Path, cache: Path) -> Mapping[str, _Table]:
    files = {p.stem: p for p in sorted(folder.glob("*")) if p.suffix in _KINDS}
    files = {stem: p for stem, p in files.items() if stem in ("train", "validation", "test")}
    if "train" not in files:
        raise DseError(f"local:{folder} holds no train file; one of train{', train'.join(_KINDS)}")
    datasets = _library()
    found = {}
    for split, path in files.items():
        options = {"delimiter": "\t"} if path.suffix == ".tsv" else {}
        try:
            found[split] = datasets.load_dataset(
                _KINDS[path.suffix],
                data_files=str(path),
                split="train",
                cache_dir=str(cache / "datasets"),
                **options,
            )
        except Exception as error:  # `datasets` raises its readers' own, whatever they are
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DseError(f"{path} cannot be read as {_KINDS[path.suffix]}: {reason}") from error
    return found


def _text_columns(name: str, table: _Table, known: tuple[str, ...] | None) -> tuple[str, ...]:
    columns = [
        c for c, f in table.features.items() if str(getattr(f, "dtype", "")).endswith("string")
    ]
    chosen = known or tuple(c for c in columns if c != "label")
    if (
        "label" not in table.features
        or not 1 <= len(chosen) <= 2
        or not set(chosen) <= set(columns)
    ):
        raise DseError(
            f"{name} needs a column `label` and one or two text columns; it has "
            f"{', '.join(table.features)}"
        )
    return chosen


def _classes(name: str, table: _Table) -> tuple[tuple[str, ...], Mapping[object, int]]:
    """Class names and what each label of the file stands for."""
    names = getattr(table.features["label"], "names", None)
    if names:
        return tuple(names), {i: i for i in range(len(names))}
    distinct = sorted(set(table["label"]), key=lambda label: (str(type(label)), label))
    if not 2 <= len(distinct) <= 1000 or any(isinstance(v, float) or v is None for v in distinct):
        raise DseError(f"{name}: the column `label` must hold 2 to 1,000 classes, whole or named")
    return tuple(str(v) for v in distinct), {v: i for i, v in enumerate(distinct)}


def _rows(
    name: str, split: str, table: _Table, columns: tuple[str, ...], numbers: Mapping[object, int]
) -> list[Row]:
    """Rows of a split; none if its labels are withheld."""
    labels = list(table["label"]) if "label" in table.features else []
    if not labels or all(label == -1 for label in labels):
        return []
    strange = sorted({str(label) for label in labels if label not in numbers})
    if strange:
        raise DseError(f"{name}, split {split}: label {strange[0]} does not occur in train")
    firsts = table[columns[0]]
    seconds: Sequence[str | None] = table[columns[1]] if len(columns) == 2 else [None] * len(labels)
    rows = zip(firsts, seconds, labels, strict=True)
    return ordered([(str(s), None if t is None else str(t), numbers[y]) for s, t, y in rows])


def _splits(labelled: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Three splits, taking from train what is missing; no row is in two of them."""
    train = list(labelled["train"])
    held_out = min(HELD_OUT, len(train) // 10)
    test, validation = labelled.get("test"), labelled.get("validation")
    if test is None:
        test, validation = validation, None
    if test is None:
        test, train = train[:held_out], train[held_out:]
    if validation is None:
        validation, train = train[:held_out], train[held_out:]
    seen = {row[:2] for row in (*test, *validation)}
    return {
        "train": [row for row in train if row[:2] not in seen],
        "validation": [row for row in validation if row[:2] not in {r[:2] for r in test}],
        "test": list(test),
    }
