"""A table as text for people, and how two tables differ."""

from dataclasses import asdict
from decimal import Decimal

from dse.lut.fixed_point import base_unit
from dse.lut.table import AnyColumn, LookupTable

_MOST_SHOWN = 40


def shown(table: LookupTable) -> str:
    """Where it holds, what is fixed, and its rows with units; the default row is marked."""
    v = table.valid_for
    lines = [
        f"{table.format} version {table.version}, study {table.study}",
        f"device {v.device or '-'}, network {v.network or '-'}, task {v.task or '-'}, "
        f"context {v.context or '-'}",
        *(f"fixed: {k.name} = {_value(k, k.value)}" for k in table.design),
        *(
            f"kept: {k.name} {'<=' if k.side == 'max' else '>='} {_value(k, k.bound)}"
            for k in table.kept_limits
        ),
        *(
            f"predicted: {p.name}, {p.direction}, {p.evidence}, margin {_value(p, p.margin)}"
            for p in table.predictions
        ),
        f"{len(table.rows)} rows by {table.sorted_by}; * is the default, best in "
        f"{table.default.best}",
    ]
    rows = [["row", *map(_head, table.settings), *map(_head, table.predictions)]]
    for i, row in enumerate(table.rows):
        mark = "*" if i == table.default.row else ""
        chosen = [
            c.choices[n] if c.choices else str(n)
            for c, n in zip(table.settings, row.settings, strict=True)
        ]
        rows.append([f"{i}{mark}", *chosen, *map(str, row.predictions)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(t.rjust(w) for t, w in zip(r, widths, strict=True)) for r in rows]
    if table.exit_predictor:
        e = table.exit_predictor
        lines.append(f"exit predictor after layer {e.layer}: {len(e.entropies)} rows")
    lines += [f"operating point {p.microvolt} uV {p.hertz} Hz" for p in table.operating_points]
    return "\n".join(lines)


def _head(column: AnyColumn) -> str:
    unit = base_unit(column.unit, column.decimals)
    return column.name if unit == "choice" else f"{column.name} [{unit}]"


def _value(column: AnyColumn, value: int) -> str:
    choices = getattr(column, "choices", ())
    if choices:
        return str(choices[value])
    return f"{Decimal(value).scaleb(-column.decimals):f} {column.unit}"


def differences(a: LookupTable, b: LookupTable) -> list[str]:
    """One line per place where two tables differ; empty for equal tables."""
    lines = list(_differ("", asdict(a), asdict(b)))
    more = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], f"... and {more} more"] if more > 0 else lines


def _differ(place: str, a: object, b: object) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = [(f"{place}.{k}".lstrip("."), a.get(k), b.get(k)) for k in sorted({**a, **b})]
    elif isinstance(a, tuple) and isinstance(b, tuple):
        longest = max(len(a), len(b))
        padded = [(*x, *[None] * (longest - len(x))) for x in (a, b)]
        pairs = [(f"{place}[{i}]", x, y) for i, (x, y) in enumerate(zip(*padded, strict=True))]
    else:
        return [] if a == b else [f"{place}: {a!a} -> {b!a}"]
    return [line for pair in pairs for line in _differ(*pair)]
