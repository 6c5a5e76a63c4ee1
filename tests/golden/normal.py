r"""What is taken out of texts and files before they are compared.

It is everything that hangs on code identity, time, date, version, place or machine; nothing else:

texts (what a command prints)
    the temporary folder, the folder of the source, the interpreter -> <tmp>, <root>, <python>
    date and time -> <time>
    `in 1.2 s`, trials/s, `"speed"`, `"seconds"`, `"minutes"` -> without the number; `3 s left` out
    64 hexadecimal digits (identities, digests, archives) -> <64 hex>
    `source` and 16 hexadecimal digits (code identity) -> source <16 hex>
    `edge-dse` and its version -> edge-dse <version>
    only where one of these was found: widths of tables (runs of spaces and of rules)
    of a command marked `loose` (doctor, status, top) only the first lines are kept
trials and fronts
    64 hexadecimal digits of an archive -> their number in the order in which they appear; what
    they are is compared on its own, as `archives_sha256`
    of the table in run.sqlite: the seals (`digest`), which begin with the run's identity
manifest.json, events.jsonl
    identity, facts.code, versions, libraries, processor, artefacts, the run that a warm start
    took; `at`, `began`, `ended`, `last`, `seconds`, `pid`, `host`
lookup tables
    run identity and code identity -> zeros of the same length, in all forms; SHA-256 and CRC of
    the content, which cover them -> zeros or nothing (the bytes in a C or Rust source are read as
    those of the binary). Of imported measurements, which hang on no code, nothing is taken out.
not compared: PNG, HTML, Parquet, NPZ (only that they are there); run.lock; run.sqlite as bytes
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONG = re.compile(r"\b[0-9a-f]{64}\b")
_RULES = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?"), "<time>"),
    (LONG, "<64 hex>"),
    (re.compile(r"source [0-9a-f]{16}"), "source <16 hex>"),
    (re.compile(r"edge-dse \d+(\.\d+)+"), "edge-dse <version>"),
    (re.compile(r"\bin \d+\.\d s\b"), "in <> s"),
    (re.compile(r", \d+ s left"), ""),
    (re.compile(r"[\d.,e+]+ trials/s"), "<> trials/s"),
    (re.compile(r'("(?:speed|seconds|minutes)":\s*)[\d.e+-]+'), r"\1<>"),
)
_SPACES = (
    (re.compile(r"[━─]{2,}"), "─"),
    (re.compile(r" {2,}"), " "),
)
_VOLATILE = {
    "identity", "code", "versions", "libraries", "at", "began", "ended", "last", "seconds", "pid",
    "host", "run", "processor", "artefacts", "network_sha256",
}  # fmt: skip
_BINARY_SHA = slice(56, 88)
_BINARY_CRC = slice(-4, None)
_BYTES = re.compile(r"(?:0x[0-9a-f]{2},?\s+){100,}")


def sha256(content: str | bytes) -> str:
    """SHA-256 of a text or of bytes, in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def text_of(said: str, places: Mapping[str, str]) -> str:
    """A text as it is compared.

    Args:
        said: What a command printed.
        places: Path -> what stands for it, the longest first.
    """
    plain = said
    for path, name in places.items():
        plain = plain.replace(path, name)
    for rule, name in _RULES:
        plain = rule.sub(name, plain)
    if plain != said:
        for rule, name in _SPACES:
            plain = rule.sub(name, plain)
    return plain


def places_of(folder: Path, root: Path) -> dict[str, str]:
    """What stands for the paths that hang on where a record is made."""
    found = {str(folder): "<tmp>", str(root): "<root>", sys.executable: "<python>"}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def numbered(text: str) -> tuple[str, list[str]]:
    """A text with its archives numbered, and the archives."""
    seen: dict[str, int] = {}
    plain = LONG.sub(lambda found: f"archive {seen.setdefault(found[0], len(seen))}", text)
    return plain, list(seen)


def plain_facts(content: object) -> object:
    """JSON content without what is volatile, at any depth."""
    if isinstance(content, Mapping):
        return {
            k: plain_facts(v)
            for k, v in content.items()
            if k not in _VOLATILE and not (k.startswith("cloud_") and is_digest(v))
        }
    return [plain_facts(part) for part in content] if isinstance(content, list) else content


def is_digest(value: object) -> bool:
    """Whether a value is 64 hexadecimal digits."""
    return isinstance(value, str) and LONG.fullmatch(value) is not None


def manifest_of(text: str) -> dict[str, Any]:
    """A manifest as it is compared."""
    content = plain_facts(json.loads(text))
    assert isinstance(content, dict)
    return content


def events_of(text: str) -> str:
    """The events of a run as they are compared, one a line."""
    lines = [plain_facts(json.loads(line)) for line in text.splitlines()]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)


def table_of(content: bytes, name: str, identities: list[str]) -> bytes:
    """A lookup table as it is compared.

    Args:
        content: Of the file.
        name: Of the file; its ending tells the form.
        identities: Hexadecimal digits that hang on the code, of any length.
    """
    ending = Path(name).suffix
    if ending in (".h", ".rs"):
        return _source(content, identities)
    plain = _without(content, identities)
    if ending == ".bin":
        return _binary(plain)
    plain = re.sub(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":""', plain)
    return re.sub(rb"fsha256x@[0-9a-f]{64}", b"fsha256", plain)


def _without(content: bytes, identities: list[str]) -> bytes:
    for digits in identities:
        content = content.replace(digits.encode(), b"0" * len(digits))
    return content


def _binary(content: bytes) -> bytes:
    data = bytearray(content)
    data[_BINARY_SHA] = bytes(32)
    data[_BINARY_CRC] = bytes(4)
    return bytes(data)


def _source(content: bytes, identities: list[str]) -> bytes:
    """A C or Rust source: its text, then the bytes of its table."""
    text = content.decode("ascii")
    found = _BYTES.search(text)
    assert found is not None
    raw = bytes(int(number, 16) for number in re.findall(r"0x([0-9a-f]{2})", found[0]))
    rest = text[: found.start()] + text[found.end() :]
    return _without(rest.encode(), identities) + _binary(_without(raw, identities))
