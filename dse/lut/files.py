"""Table files: read in whatever form they are, written only where they were asked for."""

import re
import stat
from pathlib import Path
from typing import Literal, TypeAlias

from dse.core.errors import DseError
from dse.core.files import write_atomically
from dse.lut.binary import MAGIC, unpack
from dse.lut.canonical import MOST_BYTES, from_cbor, from_json
from dse.lut.error_codes import Fault, LutError
from dse.lut.table import LookupTable

Form: TypeAlias = Literal["json", "binary", "cbor"]

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def read_table(path: Path) -> tuple[LookupTable, Form]:
    """A table from JSON, binary or CBOR, and which of them it is; the content tells.

    Raises:
        LutError: If it is no table, or too long for one.
        DseError: If it is no regular file or does not read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DseError(f"{path} is no regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise DseError(f"{path} cannot be read: {error}") from error
    return table_of(data)


def table_of(data: bytes) -> tuple[LookupTable, Form]:
    """As `read_table`, from bytes."""
    if len(data) > MOST_BYTES:
        raise LutError(Fault.LAYOUT, f"more than {MOST_BYTES} bytes; no table is so long")
    if data[:1] == MAGIC[:1]:
        return unpack(data), "binary"
    if data[:1] == b"{":
        return from_json(data), "json"
    if data[:1] and 0xA0 <= data[0] <= 0xBF:
        return from_cbor(data), "cbor"
    raise LutError(Fault.FORM, "it begins like no JSON, binary or CBOR table")


def write_within(folder: Path, name: str, data: str | bytes) -> Path:
    """Write a file into a folder: whole or not at all, through no link, nowhere else.

    Args:
        folder: Made if missing.
        name: Letters, digits, `.`, `_`, `-`; begins with a letter or digit; at most 100.
        data: What it shall hold.

    Raises:
        DseError: If the name is another, or folder or target is a link or no plain file.
    """
    if not _FILE_NAME.fullmatch(name) or _RESERVED.fullmatch(name) or name.endswith("."):
        raise DseError(
            f"{name!a:.120} is no file name that we write: letters, digits, '.', '_', '-', at most "
            "100, a letter or digit first, and no device name"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise DseError(f"{folder} is a link; nothing was written")
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise DseError(f"{path} is a link or no plain file; nothing was written")
        write_atomically(path, data)
    except (OSError, ValueError) as error:
        raise DseError(f"{folder}: cannot be written: {error}") from error
    return path
