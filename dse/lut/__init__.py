"""From a front to the lookup table that a runtime obeys.

Every name below is imported when it is first used.
"""

from typing import TYPE_CHECKING

from dse.core.lazy import lazy_names

if TYPE_CHECKING:
    from dse.lut.build import Order, lookup_table
    from dse.lut.error_codes import Fault, LutError
    from dse.lut.exports import exported
    from dse.lut.files import read_table
    from dse.lut.pretty_print import differences, shown
    from dse.lut.reader import Reader, Why
    from dse.lut.table import LookupTable, Validity
    from dse.lut.thinning import thinned

__all__ = [
    "Fault", "LookupTable", "LutError", "Order", "Reader", "Validity", "Why", "differences",
    "exported", "lookup_table", "read_table", "shown", "thinned",
]  # fmt: skip

_HOMES = {
    **dict.fromkeys(("Order", "lookup_table"), "dse.lut.build"),
    **dict.fromkeys(("Fault", "LutError"), "dse.lut.error_codes"),
    "exported": "dse.lut.exports",
    "read_table": "dse.lut.files",
    **dict.fromkeys(("differences", "shown"), "dse.lut.pretty_print"),
    **dict.fromkeys(("Reader", "Why"), "dse.lut.reader"),
    **dict.fromkeys(("LookupTable", "Validity"), "dse.lut.table"),
    "thinned": "dse.lut.thinning",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
