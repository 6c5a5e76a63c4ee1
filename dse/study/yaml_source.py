"""A YAML 1.2 text as plain data, with the place of every key, and hostile texts refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from dse.core.errors import StudyError

MOST_BYTES = 1_000_000
MOST_DEPTH = 20
MOST_NODES = 20_000

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """Parsed text.

    Attributes:
        name: What to call the file in a message.
        text: As given.
        data: Plain dictionaries, lists, strings, numbers.
        places: Key path -> (line, column), both from 1.
        problems: Complete lines about duplicate keys; the first of equal keys is kept in `data`.
    """

    name: str
    text: str
    data: dict[str, Any]
    places: Mapping[KeyPath, tuple[int, int]]
    problems: tuple[str, ...]

    def place(self, path: KeyPath) -> str:
        """`file:line:column` of a key, or of the nearest key above it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return f"{self.name}:{line}:{column}"
        return f"{self.name}:1:1"


def read_yaml(path: Path) -> YamlSource:
    """Read and parse a file.

    Raises:
        StudyError: If it is missing, too large, not UTF-8, not YAML, or no mapping of keys.
    """
    name = str(path)
    try:
        if not path.is_file():
            kind = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise StudyError((f"{name}: {kind}",))
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise StudyError((f"{name}: {size} bytes; a study file has at most {MOST_BYTES}",))
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(
            (f"{name}: not UTF-8 text: {error.reason} at byte {error.start}",)
        ) from error
    except OSError as error:
        raise StudyError((f"{name}: cannot be read: {error.strerror}",)) from error
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> YamlSource:
    """Parse a text.

    Raises:
        StudyError: If it is not YAML, no mapping, or nested beyond the limits.
    """
    try:
        _check_limits(text, name)
        yaml = _loader()
        node = yaml.compose(text)
        data = _loader().load(text)
    except YAMLError as error:
        raise StudyError((_yaml_problem(name, error),)) from error
    except (ValueError, RecursionError) as error:
        raise StudyError((f"{name}: not readable as YAML: {error}",)) from error
    if not isinstance(data, dict) or not isinstance(node, MappingNode):
        raise StudyError(
            (f"{name}:1:1: a study file is a mapping of keys; got {type(data).__name__}",)
        )
    places: dict[KeyPath, tuple[int, int]] = {}
    problems: list[str] = []
    for path, place, doubled in _walk(node, ()):
        if doubled:
            line, column = place
            first = places[path][0]
            key = ".".join(map(str, path))
            problems.append(
                f"{name}:{line}:{column}: {key}: key stands twice, first in line {first}"
            )
        else:
            places[path] = place
    return YamlSource(name, text, data, places, tuple(problems))


def _loader() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    return yaml


def _check_limits(text: str, name: str) -> None:
    depth = nodes = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise StudyError((f"{name}:{line}: aliases (*name) are not allowed in a study file",))
        nodes += isinstance(event, NodeEvent)
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise StudyError((f"{name}:{line}: nested deeper than {MOST_DEPTH} levels",))
        if nodes > MOST_NODES:
            raise StudyError((f"{name}:{line}: more than {MOST_NODES} values",))


def _yaml_problem(name: str, error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
    return f"{place}: not YAML: {what}"


def _walk(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, tuple[int, int], bool]]:
    if isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            mark = key.start_mark
            name = str(key.value)
            yield (*path, name), (mark.line + 1, mark.column + 1), name in seen
            if name not in seen:
                yield from _walk(value, (*path, name))
            seen.add(name)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            mark = value.start_mark
            yield (*path, index), (mark.line + 1, mark.column + 1), False
            yield from _walk(value, (*path, index))
