"""The exit predictor of a table as the CSV that EdgeBERT's software reads."""

from decimal import Decimal

from dse.lut.error_codes import Fault, LutError
from dse.lut.table import LookupTable


def exit_csv(table: LookupTable) -> str:
    """No header; column 0 the entropy, then the later layers' predicted entropies [nat].

    Written with 18 decimals as `%.18e` writes, exactly: the micronats come back as they were.

    Raises:
        LutError: If the table holds no exit predictor.
    """
    exits = table.exit_predictor
    if exits is None:
        said = "the table has no exit predictor; export with one (--exit-lut)"
        raise LutError(Fault.NO_SUCH_PART, said)
    rows = ((i * exits.step, *row) for i, row in enumerate(exits.entropies))
    return "".join(",".join(map(_nat, row)) + "\n" for row in rows)


def _nat(micro: int) -> str:
    text = f"{Decimal(micro).scaleb(-6):.18e}"
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent):+03d}"
