"""Checks documentation pages against the checkout: paths, names, commands, study keys, figures.

`make check` runs it. Each finding is one line: where, what stands there, what is true, what to do.

- A path in backticks, in a link or in the prose must exist; `*`, `{a,b}` and `<name>` are globs.
- A dotted name of a package must resolve; any other name in backticks must be defined somewhere.
- `make TARGET`, `dse COMMAND` with its flags, and study keys such as `search.plateau` must exist.
- A fenced block `floors` or `homes` must repeat the import contracts of `pyproject.toml`.
- Each number in the prose must stand in `docs/figures.toml`, with the place that it comes from.
"""

import builtins
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from source_tree import PACKAGES, SourceTree

PAGES = ("docs/design.md", "CONTRIBUTING.md")
FIGURES = "docs/figures.toml"
WIDEST = 100

EXTERNAL: Mapping[str, str] = {
    "SIGTERM": "a signal of POSIX",
    "kill -9": "a command of POSIX",
    "pyproject.toml": "read by name",
    "run.sqlite-shm": "made by SQLite",
    "run.sqlite-wal": "made by SQLite",
    "run.sqlite.damaged-1": "its name is composed",
}
"""Names on the pages that the source does not spell, and why."""

COUNTERS: Mapping[str, Callable[[SourceTree], int]] = {
    "rooms of dse": lambda tree: sum(map(len, tree.floors)),
    "floors of dse": lambda tree: len(tree.floors),
    "import contracts": lambda tree: len(tree.contracts),
    "searchers": lambda tree: len(tree.searchers),
}
"""What a figure can be counted as."""

SOURCES = ("json", "count", "code", "file", "measured")
NUMBER = re.compile(r"(?<![\w.\-/])-?\d+(?:,\d{3})*(?:\.\d+)?")
NAME = re.compile(r"[A-Za-z_][\w.]*\w|[A-Za-z_]")
FILE = r"[\w.*{},<>-]+\.(?:py|md|toml|yaml|json|jsonl|csv|sqlite|parquet|ipynb|lock|txt|html|png)"
PATH = re.compile(rf"(?:[\w.*{{}},<>-]+/)+[\w.*{{}},<>-]*|{FILE}")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOT_FIGURES = (
    FENCE,
    CODE,
    LINK,
    re.compile(r"<!--.*?-->", flags=re.DOTALL),
    re.compile(r"^\s*\d+\.(?=\s)", flags=re.MULTILINE),  # of a list
    re.compile(r"\b\d{4}\.\d{5}\b"),  # of arXiv
    re.compile(r"\b(?:19|20)\d\d(?=\))"),  # the year of a reference
)

Problem: TypeAlias = tuple[int, str]
"""Offset in the page, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the tree that it speaks of.

    Attributes:
        tree: Of the checkout.
        name: Path from the root.
        text: What it says.
        figures: Entries of `docs/figures.toml` for this page.
    """

    tree: SourceTree
    name: str
    text: str
    figures: Sequence[Mapping[str, Any]]

    def findings(self) -> list[str]:
        """What is wrong on the page, one line each, in the order of the page."""
        parts = (_wide_lines, _links, _spans, _prose_paths, _fences, _figures)
        found = sorted({problem for part in parts for problem in part(self)})
        return [f"{self.name}:{self.text.count(chr(10), 0, at) + 1}: {says}" for at, says in found]


def _wide_lines(page: Page) -> Iterator[Problem]:
    at = 0
    for line in page.text.splitlines(keepends=True):
        if len(line.rstrip("\n")) > WIDEST:
            yield at, f"a line of {len(line) - 1} characters; {WIDEST} are the limit; wrap it"
        at += len(line)


def _links(page: Page) -> Iterator[Problem]:
    folder = page.tree.root.joinpath(page.name).parent
    for link in LINK.finditer(page.text):
        target = link[1].partition("#")[0]
        if target and "://" not in target and not (folder / target).exists():
            yield link.start(1), f"link to {target}; there is no such file; correct the link"


def _spans(page: Page) -> Iterator[Problem]:
    """Code between backticks, outside of fenced blocks."""
    for span in CODE.finditer(_blanked(page.text, (FENCE,))):
        for says in _code(page.tree, span[1]):
            yield span.start(1), says


def _prose_paths(page: Page) -> Iterator[Problem]:
    """Paths that stand in the prose without backticks, if they begin in a folder of ours."""
    for path in PATH.finditer(_blanked(page.text, (FENCE, CODE, LINK))):
        ours = (page.tree.root / path[0].partition("/")[0]).is_dir()
        if "/" in path[0] and ours and not _path_exists(page.tree, path[0].rstrip(".,")):
            yield path.start(), _no_path(path[0])


def _fences(page: Page) -> Iterator[Problem]:
    drawings = {"floors": _floors, "homes": _homes}
    for fence in FENCE.finditer(page.text):
        at = fence.start(2)
        check = drawings.get(fence[1], _listing)
        yield from ((at, says) for says in check(page.tree, fence[2]))


def _floors(tree: SourceTree, text: str) -> Iterator[str]:
    drawn = [sorted(line.split(" | ")) for line in text.split("\n") if line]
    if drawn != tree.floors:
        truth = "; ".join(" | ".join(floor) for floor in tree.floors)
        yield f"the drawing of the floors differs; pyproject.toml says {truth}; draw these"


def _homes(tree: SourceTree, text: str) -> Iterator[str]:
    drawn: dict[str, list[str]] = {}
    for library, *homes in (line.replace(",", " ").split() for line in text.split("\n") if line):
        drawn.setdefault(library, []).extend(homes)
    for library in sorted(drawn.keys() | tree.homes.keys()):
        truth = tree.homes.get(library, [])
        if sorted(drawn.get(library, [])) != truth:
            said = ", ".join(truth) or "no home"
            yield f"homes of {library} differ; pyproject.toml says {said}; list these"


def _listing(tree: SourceTree, text: str) -> Iterator[str]:
    """Commands of ours in a fenced block; what else stands there is an example."""
    for line in text.split("\n"):
        if re.match(r"(make|dse) [a-z]", line):
            yield from _command_line(tree, line.partition(" #")[0].split())


def _code(tree: SourceTree, code: str) -> Iterator[str]:
    """What is wrong with one span of code."""
    words = code.split()
    if code in EXTERNAL or tree.says(code):
        return
    if words[0] in ("make", "dse") and len(words) > 1:
        yield from _command_line(tree, words)
    elif words[0] == "python" and len(words) > 1:
        yield from _script(tree, words[1], words[2:])
    elif len(words) == 1 and PATH.fullmatch(code):
        if not _path_exists(tree, code):
            yield _no_path(code)
    else:
        yield from _names(tree, code)


def _command_line(tree: SourceTree, words: list[str]) -> Iterator[str]:
    program, *rest = words
    if program == "make":
        if rest[0] not in tree.targets and rest[0] != "TARGET":
            known = ", ".join(sorted(tree.targets))
            yield f"`make {rest[0]}`; the Makefile has {known}; correct the target"
        return
    names = {" ".join(rest[:1]), " ".join(rest[:2])}
    if not names & tree.commands and not rest[0].isupper():
        known = ", ".join(sorted(tree.commands))
        yield f"`dse {' '.join(rest[:2])}`; there are {known}; correct the command"
    for flag in (word.removeprefix("--") for word in rest if word.startswith("--")):
        if not tree.says(f"--{flag}") and not tree.defines(flag.replace("-", "_")):
            yield f"`--{flag}`; no command has such a flag; correct it"


def _script(tree: SourceTree, path: str, words: list[str]) -> Iterator[str]:
    """A script and its arguments; each must stand in the script as a text."""
    if not _path_exists(tree, path):
        yield _no_path(path)
        return
    source = (tree.root / path).read_text(encoding="utf-8")
    for word in words:
        if f'"{word}"' not in source:
            yield f"`{word}`; {path} takes no such argument; correct it"


def _names(tree: SourceTree, code: str) -> Iterator[str]:
    """Names in a span that is no path; numbers and what stands between quotes are values."""
    for part in code.split():
        path = part.strip("\"'(),")
        if PATH.fullmatch(path):
            if not _path_exists(tree, path):
                yield _no_path(path)
            continue
        for name in NAME.findall(part):
            says = _name(tree, name)
            if says:
                yield says


def _name(tree: SourceTree, name: str) -> str:
    """What is wrong with a name; nothing if it is one."""
    first = name.partition(".")[0]
    if name in EXTERNAL or len(name) == 1:
        return ""
    if "." in name and first in (*PACKAGES, "tests"):
        known, truth = tree.find(name) is not None, "no module, class or attribute is called so"
    elif "." in name and (first == "settings" or tree.has_key(first)):
        known, truth = tree.has_key(name), "neither the schema nor a system has this study key"
    elif "." in name:
        known, truth = _attribute(tree, name), "no class with this attribute is defined"
    else:
        known, truth = _word(tree, name), "nothing of this name is defined"
    return "" if known else f"`{name}`; {truth}; correct the name or remove it"


def _attribute(tree: SourceTree, name: str) -> bool:
    owner, _, attribute = name.rpartition(".")
    owners = [m for m in tree.mentioning(f"class {owner}") if owner in m.names]
    known = any(tree.find(f"{m.dotted}.{owner}.{attribute}") is not None for m in owners)
    return known or tree.says(name) or name.partition(".")[0] in tree.libraries


def _word(tree: SourceTree, name: str) -> bool:
    """Whether a single word is a name of anything."""
    commands = {word for command in tree.commands for word in command.split()}
    known = hasattr(builtins, name) or name in tree.targets | tree.libraries | commands
    known = known or name in ("make", "dse", "tests") or (tree.root / name).exists()
    return known or tree.says(name) or tree.defines(name)


def _no_path(path: str) -> str:
    return f"`{path}`; there is no such file or folder; correct the path"


def _path_exists(tree: SourceTree, path: str) -> bool:
    """Whether a path or a glob leads to something; a bare name may be a file that code writes."""
    if "/" not in path and tree.says(path):
        return True
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    choices = [part.split(",") for part in re.split(r"[{}]", pattern)]
    # Between braces are alternatives; around them a comma is no part of a path.
    return all(any(tree.root.glob("".join(one))) for one in product(*choices))


def _blanked(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """The text with spaces for what matches, so that offsets stay."""
    for pattern in patterns:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def _figures(page: Page) -> Iterator[Problem]:
    listed: set[int] = set()
    for entry in page.figures:
        found = list(_pattern(entry["text"]).finditer(page.text))
        for match in found:
            listed |= {match.start(group + 1) for group in range(len(match.groups()))}
        says = _figure(page.tree, entry) if found else "this text is not on the page"
        if says:
            at = found[0].start() if found else 0
            yield at, f"figure {entry['text']!r}; {says}; correct page or {FIGURES}"
    for number in NUMBER.finditer(_blanked(page.text, NOT_FIGURES)):
        if number.start() not in listed:
            says = f"the number {number[0]}; {FIGURES} does not say where it comes from"
            yield number.start(), f"{says}; list it or remove it"


def _pattern(text: str) -> re.Pattern[str]:
    """Finds the text of an entry, however it is wrapped; figures are groups."""
    pieces = re.split(r"\{([^}]*)\}", text)
    spaced = [r"\s+".join(map(re.escape, re.split(r"\s+", piece))) for piece in pieces]
    ends = (r"(?<![\w.])", r"(?![\w]|[.,]\d)")
    return re.compile(
        "".join(p if i % 2 == 0 else f"{ends[0]}({p}){ends[1]}" for i, p in enumerate(spaced))
    )


def _figure(tree: SourceTree, entry: Mapping[str, Any]) -> str:
    """What is wrong with an entry of the table of figures; nothing if it holds."""
    kinds = [kind for kind in SOURCES if kind in entry]
    claims = re.findall(r"\{([^}]*)\}", entry["text"])
    if len(kinds) != 1 or not claims:
        return f"an entry marks its numbers {{so}} and has one of {', '.join(SOURCES)}"
    if kinds == ["measured"]:
        return "" if "date" in entry else "a measured figure needs its date"
    if kinds == ["file"]:
        return _quoted(tree, entry, claims)
    try:
        value = _value(tree, entry, kinds[0])
    except (LookupError, OSError, ValueError) as error:
        return f"its source gives nothing: {error}"
    value *= entry.get("times", 1)
    true = round(value, entry["round"]) if "round" in entry else value
    wrong = [claim for claim in claims if float(claim.replace(",", "")) != true]
    return f"{', '.join(wrong)} stands there, {entry[kinds[0]]} says {true:g}" if wrong else ""


def _quoted(tree: SourceTree, entry: Mapping[str, Any], claims: Sequence[str]) -> str:
    """Whether a file has the line that an entry quotes, and the line has the figures."""
    path = tree.root / entry["file"]
    if not path.is_file() or entry["line"] not in path.read_text(encoding="utf-8"):
        return f"{entry['file']} does not say {entry['line']!r}"
    said = {number.replace(",", "") for number in NUMBER.findall(entry["line"])}
    missing = [claim for claim in claims if claim.replace(",", "") not in said]
    return f"{entry['line']!r} does not say {', '.join(missing)}" if missing else ""


def _value(tree: SourceTree, entry: Mapping[str, Any], kind: str) -> float:
    """The number that a source gives."""
    if kind == "count":
        return COUNTERS[entry["count"]](tree)
    if kind == "code":
        return tree.value(entry["code"], entry.get("at", ""))
    value = json.loads((tree.root / entry["json"]).read_text(encoding="utf-8"))
    for key in entry["at"]:
        value = value[key]
    return float(value)


def check(root: Path, pages: Sequence[str] = PAGES) -> list[str]:
    """All findings on some pages of a checkout."""
    tree = SourceTree(root)
    listed = tomllib.loads((root / FIGURES).read_text(encoding="utf-8"))["figure"]
    found = [
        f"{FIGURES}: {entry['text']!r} is of {entry['page']}; that page is not checked; remove it"
        for entry in listed
        if entry["page"] not in pages
    ]
    for name in pages:
        text = (root / name).read_text(encoding="utf-8")
        found += Page(tree, name, text, [e for e in listed if e["page"] == name]).findings()
    return found


if __name__ == "__main__":
    findings = check(Path(__file__).resolve().parents[1])
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    sys.exit(bool(findings))
