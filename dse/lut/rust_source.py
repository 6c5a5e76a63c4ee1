"""A table as one Rust module for `no_std`: the reader, the columns as constants, the bytes."""

from importlib.resources import files

from dse.lut.binary import pack
from dse.lut.identifiers import bytes_in_lines, identifiers
from dse.lut.table import LookupTable


def reader_text() -> str:
    """The Rust reader, as it is shipped."""
    return (files("dse.lut") / "reader.rs").read_text("ascii")


def rust_source(table: LookupTable) -> str:
    """One module that needs `core` only.

    Raises:
        LutError: If two names would become one constant, or one is too long.
    """
    data = pack(table)
    settings = identifiers("SET_", [s.name for s in table.settings])
    predictions = identifiers("PRED_", [p.name for p in table.predictions])
    lines = [
        reader_text(),
        *(f"pub const {name}: usize = {i};" for i, name in enumerate(settings)),
        *(f"pub const {name}: usize = {i};" for i, name in enumerate(predictions)),
        "",
        "/// The table; open it once: `Lut::open(&TABLE, &expected)`.",
        "#[rustfmt::skip]",
        f"pub static TABLE: [u8; {len(data)}] = [",
        *bytes_in_lines(data, "    "),
        "];",
        "",
    ]
    return "\n".join(lines)
