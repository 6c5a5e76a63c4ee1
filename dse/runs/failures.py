"""What kind of failure a trial's reason tells of."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from dse.core.problem import STOPPED_EARLY
from dse.workers.workers import LOST, TIMED_OUT

FailureClass: TypeAlias = Literal["crashed", "timed out", "not finite", "wrong shape", "raised"]
"""The process died; no answer in time; NaN or infinity; not what was declared; an exception."""


def failure_class(reason: str) -> FailureClass:
    """The class of a failed trial's reason."""
    if reason.startswith(LOST):
        return "crashed"
    if reason.startswith(TIMED_OUT):
        return "timed out"
    if reason.endswith("is not a finite number"):
        return "not finite"
    # Only the engine raises this type, and only over columns that an evaluator did not declare so.
    return "wrong shape" if reason.startswith("EvaluationError:") else "raised"


def failure_counts(failures: Sequence[str]) -> dict[str, int]:
    """How many trials failed in which way; classes that do not occur are left out.

    A run that was broken off on purpose has not failed.
    """
    failed = [why for why in failures if why and not why.startswith(STOPPED_EARLY)]
    return dict(sorted(Counter(map(failure_class, failed)).items()))
