"""What an evaluator reads and gives, in which units, how well founded, and at what cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

Cost: TypeAlias = Literal["closed form", "measured"]
"""What one row costs: microseconds of arithmetic, or seconds to minutes of a real run."""

Label: TypeAlias = Literal["measured", "closed form", "published", "unverified"]
"""How well a number is founded, best first; one made of several has the weakest label."""

EVIDENCE: tuple[Label, ...] = get_args(Label)
"""All labels, best first."""

TEXT_UNITS: tuple[str, ...] = ("choice", "handle")
"""Units of columns that hold strings; all other columns hold real numbers."""


@dataclass(frozen=True)
class Signature:
    """What an evaluator says of itself before it is called.

    The engine derives from it what to cache, batch, send to workers, learn and compute exactly.

    Args:
        inputs: Column name -> unit of everything that is read.
        outputs: Column name -> unit of everything that is given.
        evidence: Output name -> one of `EVIDENCE`.
        cost: Whether a row is arithmetic or a real run.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    evidence: Mapping[str, Label]
    cost: Cost = "closed form"

    @classmethod
    def uniform(
        cls,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        evidence: Label,
        cost: Cost = "closed form",
    ) -> Self:
        """A signature whose outputs all carry the same evidence.

        Args:
            inputs: Column name -> unit.
            outputs: Column name -> unit.
            evidence: One of `EVIDENCE`, for every output.
            cost: Whether a row is arithmetic or a real run.
        """
        return cls(inputs, outputs, dict.fromkeys(outputs, evidence), cost)
