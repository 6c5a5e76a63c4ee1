"""Why a design has no metrics: a kind that programs can tell apart, and a text for people."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from dse.core.texts import safe_line

FailureKind: TypeAlias = Literal[
    "raised",
    "not as declared",
    "not finite",
    "timed out",
    "crashed",
    "stopped early",
    "not begun",
]
"""What became of the evaluation of a design:

- `raised`: the evaluator raised an exception, or named the row in `RowsFailed`.
- `not as declared`: what it gave is not what its signature declares, or does not fit float64.
- `not finite`: a metric is NaN or infinite, or too far from a bound to subtract.
- `timed out`: no answer within the time that a row may take.
- `crashed`: the worker's process died each time.
- `stopped early`: broken off on purpose, because it could join no front; not counted as failed.
- `not begun`: nobody began it, because an end was asked for; never stored.
"""

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

LONGEST = 500
"""Characters of a reason at most."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a design has no metrics.

    The reason is made safe: one line of at most `LONGEST` characters that can be encoded as UTF-8
    and holds no control character; such characters stand there as escapes.

    Attributes:
        kind: Where it happened; never taken from a text.
        reason: What happened, for people; `no reason given` where nothing was said.

    Raises:
        ValueError: If the kind is none of `KINDS`.
    """

    kind: FailureKind
    reason: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"failure kind {self.kind!r} is not one of {', '.join(KINDS)}")
        # Here and nowhere else, so that no text gets into a run that is not safe.
        object.__setattr__(self, "reason", safe_line(self.reason, LONGEST) or "no reason given")

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def one_line(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    try:
        message = str(error)
    except Exception as another:  # its own code says what it is
        message = f"its message cannot be shown: {type(another).__name__}"
    return " ".join(f"{type(error).__name__}: {message}".split())
