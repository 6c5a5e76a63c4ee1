"""A device that obeys its lookup table: the reader's own rule, limits and margins included."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Value
from dse.lut.reader import Reader
from dse.lut.table import LookupTable, Setting
from dse.online.requests import Request, Requests, State
from dse.online.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class TablePolicy:
    """What `select` of an exported table answers, in the row numbers of a run.

    Attributes:
        reader: The open table.
        rows: Row of the run for each row of the table.
        latency, energy: Positions among the table's predictions.
        accuracy: Position, if the table predicts one.
    """

    reader: Reader
    rows: tuple[int, ...]
    latency: int
    energy: int
    accuracy: int | None
    _table_rows: dict[int, int]

    @classmethod
    def of(cls, table: LookupTable, choices: Rows, names: tuple[str, str]) -> "TablePolicy":
        """The policy of a table that was exported from the run of these rows.

        Args:
            table: The table.
            choices: Rows of the run.
            names: Metrics of latency and energy.

        Raises:
            DseError: If the table predicts neither, or a row of it is none of the run's.
        """
        predicted = table.objectives
        for name in names:
            if name not in predicted:
                raise DseError(f"the table predicts no {name}; it has {', '.join(predicted)}")
        known = _rows_by_setting(choices, [s.name for s in table.settings])
        rows = []
        for number, row in enumerate(table.rows):
            settings = tuple(
                _value(setting, value)
                for setting, value in zip(table.settings, row.settings, strict=True)
            )
            if settings not in known:
                raise DseError(f"row {number} of the table, {settings}, is no trial of this run")
            rows.append(known[settings])
        back = {row: number for number, row in enumerate(rows)}
        latency, energy = (predicted[name] for name in names)
        return cls(Reader(table), tuple(rows), latency, energy, predicted.get("accuracy"), back)

    @property
    def remembers(self) -> bool:
        """Yes: a table's margins keep the row that is set."""
        return True

    def select(self, request: Request, state: State) -> int:
        """The row that the table's reader selects."""
        predictions = self.reader.table.predictions
        limits: list[int | None] = [None] * len(predictions)
        # Down for what must stay below, up for what must be reached.
        if request.deadline < math.inf:
            decimals = predictions[self.latency].decimals
            limits[self.latency] = _steps(request.deadline, decimals, ROUND_FLOOR)
        if self.accuracy is not None and request.accuracy > 0:
            decimals = predictions[self.accuracy].decimals
            limits[self.accuracy] = _steps(request.accuracy, decimals, ROUND_CEILING)
        current = self._table_rows.get(state.row)
        return self.rows[self.reader.select(limits, self.energy, current)[0]]

    def select_all(self, requests: Requests, row: int) -> NDArray[np.intp]:
        """The row for each request, shape (n,), were `row` set when it arrives."""
        state = State(row)
        rows = [self.select(requests.request(i), state) for i in range(len(requests))]
        return np.array(rows, dtype=np.intp)


def _steps(limit: float, decimals: int, rounding: str) -> int:
    """A limit in whole steps of 10^-decimals.

    The point is moved in decimal, as an export moves that of the predictions: in binary, 1.001 s
    times 10^9 is a nanosecond short, and a row of just that latency would be refused.
    """
    return int(Decimal(repr(float(limit))).scaleb(decimals).to_integral_value(rounding))


def _value(setting: Setting, value: int) -> Value:
    if setting.choices:
        return setting.choices[value]
    return float(Decimal(value).scaleb(-setting.decimals))


def _rows_by_setting(choices: Rows, names: Sequence[str]) -> dict[tuple[Value, ...], int]:
    missing = [name for name in names if name not in choices.settings]
    if missing:
        raise DseError(f"the table sets {', '.join(missing)}; the run has no such knob")
    columns = [choices.settings[name] for name in names]
    values = [c.tolist() if c.dtype.kind == "U" else c.astype(float).tolist() for c in columns]
    return {row: number for number, row in enumerate(zip(*values, strict=True))}
