"""Every form in which a table leaves, and what its file is called."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from dse.core.errors import DseError
from dse.lut.binary import pack
from dse.lut.c_header import c_header
from dse.lut.canonical import to_cbor, to_json
from dse.lut.device_tree import overlay
from dse.lut.exit_csv import exit_csv
from dse.lut.rust_source import rust_source
from dse.lut.table import LookupTable

Format: TypeAlias = Literal["json", "binary", "c", "rust", "dts", "csv", "cbor"]

FILE_NAMES: Mapping[Format, str] = {
    "json": "lut.json",
    "binary": "lut.bin",
    "c": "lut.h",
    "rust": "lut.rs",
    "dts": "lut.dts",
    "csv": "exit_lut.csv",
    "cbor": "lut.cbor",
}


def exported(table: LookupTable, form: Format) -> bytes:
    """The bytes of a table file.

    Raises:
        LutError: If the form cannot hold the table.
        DseError: If there is no such form.
    """
    if form not in FILE_NAMES:
        raise DseError(f"format {form!r} of a table: there are {', '.join(FILE_NAMES)}")
    if form == "binary":
        return pack(table)
    if form == "cbor":
        return to_cbor(table)
    text = {"c": c_header, "rust": rust_source, "dts": overlay, "csv": exit_csv}.get(form)
    return (text(table) if text else to_json(table) + "\n").encode("ascii")
