"""Names of a table as identifiers of generated source, by allow-list.

Generated source holds a name nowhere else: the texts of a table travel as bytes of its binary, so
there is no comment to close and no literal to leave.
"""

import re
from collections.abc import Iterable, Sequence

from dse.lut.error_codes import Fault, LutError

LONGEST = 31
"""Characters that C99 promises to tell apart."""

_ALLOWED = re.compile(r"[A-Z0-9_]")


def identifiers(prefix: str, names: Sequence[str]) -> list[str]:
    """One constant name per name, in order: the prefix, then the name in capitals.

    Every character that is no ASCII letter, digit or underscore becomes an underscore.

    Raises:
        LutError: If one is longer than C99 tells apart, or two names become one identifier.
    """
    found: dict[str, str] = {}
    for name in names:
        identifier = prefix + "".join(map(_letter, name))
        if len(identifier) > LONGEST:
            said = f"{name!a:.80} makes an identifier of more than {LONGEST} characters"
            raise LutError(Fault.NAMES, said)
        if identifier in found:
            said = f"{found[identifier]!a} and {name!a} would both be {identifier}; rename a knob"
            raise LutError(Fault.NAMES, said)
        found[identifier] = name
    return list(found)


def _letter(c: str) -> str:
    c = c.upper() if "a" <= c <= "z" else c
    return c if _ALLOWED.fullmatch(c) else "_"


def bytes_in_lines(data: bytes, indent: str) -> Iterable[str]:
    """Bytes as hexadecimal numbers with commas, twelve a line."""
    for at in range(0, len(data), 12):
        yield indent + ", ".join(f"0x{byte:02x}" for byte in data[at : at + 12]) + ","
