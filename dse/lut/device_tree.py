"""The voltages and clocks of a table as a device-tree overlay (operating-points-v2)."""

from collections.abc import Sequence

from dse.lut.error_codes import Fault, LutError
from dse.lut.table import LookupTable, OperatingPoint

_MOST_MICROVOLT = 2**32 - 1


def overlay(table: LookupTable) -> str:
    """Source of an overlay with one node per operating point, slowest first.

    The points are those of the V/f table; without one, the pairs of a setting in volts and one in
    hertz, if the table has exactly one of each.

    Raises:
        LutError: If the table has neither, the pairs contradict each other, or a number is no
            whole microvolt within 32 bits or no whole hertz.
    """
    nodes = [
        f"                opp-{p.hertz} {{\n"
        f"                    opp-hz = /bits/ 64 <{p.hertz}>;\n"
        f"                    opp-microvolt = <{p.microvolt}>;\n"
        "                };"
        for p in operating_points(table)
    ]
    return "\n".join(
        [
            "/dts-v1/;",
            "/plugin/;",
            "",
            "/ {",
            "    fragment@0 {",
            '        target-path = "/";',
            "        __overlay__ {",
            "            dse-opp-table {",
            '                compatible = "operating-points-v2";',
            *nodes,
            "            };",
            "        };",
            "    };",
            "};",
            "",
        ]
    )


def operating_points(table: LookupTable) -> Sequence[OperatingPoint]:
    """The points that the overlay holds; errors as there."""
    points = table.operating_points or _from_settings(table)
    for p in points:
        if p.microvolt > _MOST_MICROVOLT:
            raise LutError(Fault.UNFIT, f"{p.microvolt} uV is beyond the 32 bits of opp-microvolt")
    return points


def _from_settings(table: LookupTable) -> Sequence[OperatingPoint]:
    volts = [i for i, s in enumerate(table.settings) if s.unit == "V"]
    clocks = [i for i, s in enumerate(table.settings) if s.unit == "Hz"]
    if len(volts) != 1 or len(clocks) != 1:
        raise LutError(
            Fault.NO_SUCH_PART,
            "a device tree needs voltages and clocks: the table has no operating points and not "
            "one setting in V beside one in Hz; give a V/f table (--points)",
        )
    v, f = volts[0], clocks[0]
    up = [table.settings[v].decimals, table.settings[f].decimals]
    pairs = {(row.settings[f], row.settings[v]) for row in table.rows}
    points = []
    for hertz, volt in sorted(pairs):
        microvolt, left = divmod(volt * 10**6, 10 ** up[0])
        whole, rest = divmod(hertz, 10 ** up[1])
        if left or rest or microvolt <= 0 or whole <= 0:
            raise LutError(Fault.UNFIT, f"({volt}, {hertz}) is no whole microvolt and hertz")
        points.append(OperatingPoint(microvolt, whole))
    if len({p.hertz for p in points}) < len(points):
        raise LutError(Fault.UNFIT, "one clock stands with two voltages")
    return points
