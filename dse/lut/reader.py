"""The Python reader: opens a checked binary and selects a row in microseconds."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dse.lut.binary import unpack
from dse.lut.error_codes import Fault, LutError
from dse.lut.table import LookupTable, Validity


class Why(IntEnum):
    """Why a row was selected; the numbers are those of the C reader."""

    FITS = 0
    KEPT = 1
    NOTHING_FITS = 2
    BAD_REQUEST = 3


@dataclass(frozen=True, slots=True)
class _Prefixes:
    """Per rank r in a column: the rows that keep a limit which r rows keep, as bits."""

    losses: list[int]
    masks: list[int]


class Reader:
    """An open table: columns of integers and the selection rule of docs/lut.md.

    Selection is three steps: each limit is a binary search in its column, which answers the set of
    rows that keep it as the bits of an integer; the sets are intersected; the lowest bit is the
    best row, because bits stand in the order of the objective. Mutable on purpose: the sets of an
    objective are made when it is first asked for, n^2 bits per prediction.

    Attributes:
        table: The table.
        settings: Shape (n, s).
        predictions: Shape (n, m).
    """

    def __init__(self, table: LookupTable) -> None:
        self.table = table
        self.settings: NDArray[np.int64] = np.array([r.settings for r in table.rows], np.int64)
        self.predictions: NDArray[np.int64] = np.array(
            [r.predictions for r in table.rows], np.int64
        )
        count = len(table.predictions)
        self._losses = [table.losses(row) for row in table.rows]
        self._flips = [-1 if p.direction == "max" else 1 for p in table.predictions]
        self._orders = [table.order(j) for j in range(count)]
        self._margins = [p.margin for p in table.predictions]
        self._all = (1 << len(table.rows)) - 1
        self._prefixes: dict[int, list[_Prefixes]] = {}

    def _prefixes_of(self, objective: int) -> list[_Prefixes]:
        found = self._prefixes.get(objective)
        if found is None:
            count = len(self._orders)
            found = [self._prefix(objective, column) for column in range(count)]
            self._prefixes[objective] = found
        return found

    def _prefix(self, objective: int, column: int) -> _Prefixes:
        bit = {row: 1 << rank for rank, row in enumerate(self._orders[objective])}
        masks = [0]
        for row in self._orders[column]:
            masks.append(masks[-1] | bit[row])
        return _Prefixes([self._losses[row][column] for row in self._orders[column]], masks)

    @classmethod
    def open(cls, data: bytes, expected: Validity | None = None) -> "Reader":
        """Check a binary whole, and that it is for what is expected.

        Args:
            data: The bytes.
            expected: Only its texts that are not empty are asked for.

        Raises:
            LutError: With the first fault, in the order of the C reader.
        """
        table = unpack(data)
        require_valid(table, expected or Validity())
        return cls(table)

    def select(
        self, limits: Sequence[int | None], objective: int, current: int | None = None
    ) -> tuple[int, Why]:
        """The row to use now, and why.

        Args:
            limits: Per prediction, what a row may cost at most or must reach; None asks nothing.
            objective: The prediction to be best in.
            current: The row in use.
        """
        default = self.table.default.row
        if not 0 <= objective < len(self._orders):
            return default, Why.BAD_REQUEST
        if current is not None and not 0 <= current < len(self._losses):
            return default, Why.BAD_REQUEST
        fitting = self._all
        prefixes = self._prefixes_of(objective)
        for flip, limit, prefix in zip(self._flips, limits, prefixes, strict=True):
            if limit is not None:
                fitting &= prefix.masks[bisect_right(prefix.losses, flip * limit)]
        if not fitting:
            return default, Why.NOTHING_FITS
        row = self._orders[objective][(fitting & -fitting).bit_length() - 1]
        if current is None:
            return row, Why.FITS
        if self._keeps(current, row, limits, objective):
            return current, Why.KEPT
        return row, Why.FITS

    def predicted_exit(self, entropy: int, threshold: int) -> int | None:
        """Layer at which a sentence is predicted to leave; None: at none, or without such a table.

        The nearest row counts, a tie the lower, beyond the last row the last; the first later layer
        that is predicted strictly below the threshold.

        Args:
            entropy: After the table's layer [10^-6 nat], not negative.
            threshold: [10^-6 nat].
        """
        exits = self.table.exit_predictor
        if exits is None:
            return None
        row, rest = divmod(entropy, exits.step)
        row = min(row + (rest > exits.step // 2), len(exits.entropies) - 1)
        later = enumerate(exits.entropies[row], exits.layer + 1)
        return next((layer for layer, predicted in later if predicted < threshold), None)

    def point_for(self, hertz: int) -> int | None:
        """Lowest operating point with at least this clock [Hz]; None if none is fast enough."""
        clocks = [point.hertz for point in self.table.operating_points]
        found = bisect_left(clocks, hertz)
        return found if found < len(clocks) else None

    def _keeps(self, current: int, row: int, limits: Sequence[int | None], objective: int) -> bool:
        held = self._losses[current]
        if held[objective] - self._losses[row][objective] > self._margins[objective]:
            return False
        return all(
            limit is None or loss <= flip * limit
            for flip, limit, loss in zip(self._flips, limits, held, strict=True)
        )


def require_valid(table: LookupTable, expected: Validity) -> None:
    """Refuse a table that holds for something else; an empty text asks nothing.

    Raises:
        LutError: With what the table is for, and what was expected.
    """
    v = table.valid_for
    for fault, found, wanted in (
        (Fault.DEVICE, v.device, expected.device),
        (Fault.NETWORK, v.network, expected.network),
        (Fault.TASK, v.task, expected.task),
        (Fault.CONTEXT, v.context, expected.context),
    ):
        if wanted and found != wanted:
            said = f"it is for the {fault.name.lower()} {found!a}, not for {wanted!a}"
            raise LutError(fault, said)
