"""A table as canonical JSON, the source of every other form, and as CBOR of the same content."""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from typing import Any

import cbor2
from pydantic import TypeAdapter, ValidationError

from dse.core.files import canonical_json
from dse.lut.error_codes import Fault, LutError
from dse.lut.table import VERSION, LookupTable

MOST_BYTES = 16 * 2**20
"""No table within the limits is written longer."""


@cache
def _adapter() -> TypeAdapter[LookupTable]:
    return TypeAdapter(LookupTable)


def schema() -> dict[str, Any]:
    """The published JSON Schema of a table file."""
    drawn = _adapter().json_schema()
    drawn["properties"]["sha256"] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    # What has a default when a table is made is still written out in every file.
    for part in (drawn, *drawn["$defs"].values()):
        part["required"] = sorted(part["properties"])
    drawn["title"] = f"Edge DSE lookup table, version {VERSION}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **drawn}


def digest(table: LookupTable) -> bytes:
    """SHA-256 of the canonical JSON of the content, 32 bytes."""
    return hashlib.sha256(canonical_json(asdict(table)).encode("ascii")).digest()


def _sealed(table: LookupTable) -> dict[str, Any]:
    return {**asdict(table), "sha256": digest(table).hex()}


def to_json(table: LookupTable) -> str:
    """Canonical JSON with the SHA-256 of all else in it; equal tables are equal bytes."""
    return canonical_json(_sealed(table))


def from_json(text: str | bytes) -> LookupTable:
    """Read a table back.

    Raises:
        LutError: If it is no such table, of another version, not canonical, or a single character
            of it was changed since it was written.
    """
    if len(text) > MOST_BYTES:
        raise LutError(Fault.LAYOUT, f"{len(text)} bytes; at most {MOST_BYTES} are read")
    try:
        text = text.decode("ascii") if isinstance(text, bytes) else text
        content = json.loads(
            text,
            object_pairs_hook=_no_doubles,
            parse_constant=_no_float,
            parse_float=_no_float,
        )
    except (ValueError, RecursionError) as error:
        raise LutError(Fault.FORM, str(error)) from error
    text = text.removesuffix("\n")
    table = _from_content(content)
    if to_json(table) != text:
        raise LutError(Fault.FORM, "its text is not canonical")
    return table


def _from_content(content: object) -> LookupTable:
    if not isinstance(content, dict):
        raise LutError(Fault.FORM, f"an object is expected, got {type(content).__name__}")
    version = content.get("version")
    if version == 0 and type(version) is int:
        said = "version 0 was never frozen; export the run again to get version 1"
        raise LutError(Fault.VERSION, said)
    if type(version) is int and version != VERSION:
        raise LutError(Fault.VERSION, f"version {version}; this reader knows {VERSION}")
    sha256 = content.pop("sha256", None)
    try:
        table = _adapter().validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the table"
        raise LutError(Fault.FORM, f"{place}: {first['msg']}") from error
    except ValueError as error:
        raise LutError(Fault.FORM, str(error)) from error
    found = digest(table).hex()
    if sha256 != found:
        raise LutError(Fault.DIGEST, f"SHA-256 says {sha256!a:.80}, the content has {found}")
    return table


def to_cbor(table: LookupTable) -> bytes:
    """The content of the JSON as CBOR in the canonical form of RFC 8949, section 4.2.3."""
    return cbor2.dumps(_sealed(table), canonical=True)


def from_cbor(data: bytes) -> LookupTable:
    """Read a table from CBOR.

    Raises:
        LutError: As `from_json`.
    """
    if len(data) > MOST_BYTES:
        raise LutError(Fault.LAYOUT, f"{len(data)} bytes; at most {MOST_BYTES} are read")
    try:
        content = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, TypeError, EOFError, RecursionError) as error:
        raise LutError(Fault.FORM, f"{type(error).__name__}: {error}"[:300]) from error
    _require_plain(content, len(data))
    table = _from_content(content)
    if to_cbor(table) != data:
        raise LutError(Fault.FORM, "its bytes are not canonical")
    return table


def _require_plain(content: object, size: int) -> None:
    """Refuse what tags can make: other types, and items shared until they outgrow their bytes."""
    left, seen = [content], 0
    while left:
        item = left.pop()
        seen += 1
        if seen > size:
            raise LutError(Fault.FORM, "more items than bytes: it refers to its own parts")
        if type(item) is dict:
            left.extend((*item.keys(), *item.values()))
        elif type(item) is list:
            left.extend(item)
        elif item is not None and type(item) not in (str, int):
            raise LutError(Fault.FORM, f"{type(item).__name__} has no place in a table")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands twice among {keys}"[:300])
    return dict(pairs)


def _no_float(text: str) -> None:
    raise ValueError(f"{text:.40} is no integer; every number of a table is one")
