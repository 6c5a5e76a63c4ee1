"""How the classes of trials look in both twins: told apart by symbol and lightness, not by hue."""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from dse.plots.front_view import TrialClass

INK = "#222222"
LIMIT_COLOUR = "#8A3B00"

_CROWD = 150
_SMALLEST = 3.5


@dataclass(frozen=True, slots=True)
class Look:
    """A marker.

    Attributes:
        symbol: Its name in plotly.
        marker: The same in matplotlib.
        colour: Of the Okabe-Ito palette, which colour-blind readers can tell apart.
        size: Largest diameter [pixel] on a screen of 96 pixels per inch.
        opacity: 0 to 1.
    """

    symbol: str
    marker: str
    colour: str
    size: float
    opacity: float

    def size_among(self, count: int) -> float:
        """Diameter [pixel] with `count` markers of the class: crowds get smaller ones."""
        shrink = math.sqrt(math.sqrt(_CROWD / max(count, _CROWD)))
        return max(self.size * shrink, _SMALLEST)


LOOKS: Mapping[TrialClass, Look] = {
    "front": Look("circle", "o", "#0072B2", 9, 1.0),
    "dominated": Look("square", "s", "#ABABAB", 5, 0.75),
    "infeasible": Look("x-thin-open", "x", "#D55E00", 7, 0.9),
    "failed": Look("triangle-down-open", "v", "#000000", 7, 1.0),
}


def wrapped(lines: tuple[str, ...], width: int) -> list[str]:
    """Lines broken at words to at most `width` characters."""
    return [part for line in lines for part in textwrap.wrap(line, width) or [""]]
