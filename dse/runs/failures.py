"""How many trials failed, in which way, and why most of them did."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dse.core.errors import RunDamaged
from dse.core.failure import KINDS, Failure, FailureKind
from dse.runs.database import DATABASE, failed_rows

SHOWN = 3
"""Reasons that are told in one line."""

_LENGTH = 160
"""Characters of a reason in such a line."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def stored_failure(kind: str, reason: str) -> Failure | None:
    """A failure as a database keeps it; None for the empty kind of a trial that has metrics.

    Raises:
        RunDamaged: If there is no such kind.
    """
    if not kind:
        return None
    for known in KINDS:
        if kind == known:
            return Failure(known, reason)
    raise RunDamaged(f"failure kind {kind!r} is not one of {', '.join(KINDS)}")


def failure_counts(failures: Iterable[Failure | None]) -> dict[FailureKind, int]:
    """How many trials failed in which way; kinds that do not occur are left out.

    A run that was broken off on purpose has not failed.
    """
    return dict(sorted(Counter(why.kind for why in _failed(failures)).items()))


@dataclass(frozen=True, slots=True)
class CommonFailure:
    """A reason that trials share, numbers in it aside.

    Attributes:
        count: How many trials.
        kind: Of the failure.
        reason: The first of them.
        alike: Whether all have this very text.
    """

    count: int
    kind: FailureKind
    reason: str
    alike: bool

    def __str__(self) -> str:
        long = len(self.reason) > _LENGTH
        shown = f"{self.reason[: _LENGTH - 1]}…" if long else self.reason
        return f"{self.count:,} {self.kind}: {'' if self.alike else 'such as '}{shown}"


def common_failures(
    failures: Iterable[Failure | None], most: int = SHOWN
) -> tuple[CommonFailure, ...]:
    """The commonest reasons first; reasons of one kind that differ in numbers alone are one."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for why in _failed(failures):
        groups.setdefault((why.kind, _NUMBER.sub("#", why.reason)), []).append(why)
    ordered = sorted(groups.values(), key=len, reverse=True)  # of equal ones the earliest first
    return tuple(
        CommonFailure(len(g), g[0].kind, g[0].reason, len({f.reason for f in g}) == 1)
        for g in ordered[:most]
    )


def common_failures_of(folder: Path) -> tuple[CommonFailure, ...]:
    """The commonest reasons of a run's stored trials, without verifying any.

    Raises:
        RunDamaged: If its database does not read, or has an unknown kind.
    """
    return common_failures(stored_failure(*row) for row in failed_rows(folder / DATABASE))


def _failed(failures: Iterable[Failure | None]) -> list[Failure]:
    return [why for why in failures if why is not None and why.kind != "stopped early"]
