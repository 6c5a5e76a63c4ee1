"""A table as one C99 header: the reader, the columns as constants, the checked bytes."""

from importlib.resources import files

from dse.lut.binary import pack
from dse.lut.identifiers import bytes_in_lines, identifiers
from dse.lut.table import LookupTable


def reader_text() -> str:
    """The C reader, as it is shipped."""
    return (files("dse.lut") / "reader.h").read_text("ascii")


def c_header(table: LookupTable) -> str:
    """One self-contained header for C99 and C++11.

    Raises:
        LutError: If two names would become one constant, or one is too long for C99.
    """
    data = pack(table)
    settings = identifiers("LUT_SET_", [s.name for s in table.settings])
    predictions = identifiers("LUT_PRED_", [p.name for p in table.predictions])
    lines = [
        reader_text(),
        "/* The table; dse_lut_open(&lut, lut_table, sizeof lut_table, &expected), once. */",
        "#ifndef DSE_LUT_TABLE",
        "#define DSE_LUT_TABLE",
        "",
        "enum {",
        *(f"    {name} = {i}," for i, name in enumerate(settings)),
        *(f"    {name} = {i}," for i, name in enumerate(predictions)),
        f"    LUT_ROWS = {len(table.rows)}",
        "};",
        "",
        f"static const uint8_t lut_table[{len(data)}] = {{",
        *bytes_in_lines(data, "    "),
        "};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)
