"""Memory cells as an accuracy run sees them: how often each level is misread."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cells:
    """How often the cells of one memory are misread.

    Attributes:
        bits: Of a full cell [bit].
        down: Probability that level i is read as i - 1 [1], for each width of a cell from 1 to
            `bits`, 2^width values each.
        up: The same for i + 1.
    """

    bits: int
    down: Mapping[int, tuple[float, ...]]
    up: Mapping[int, tuple[float, ...]]
