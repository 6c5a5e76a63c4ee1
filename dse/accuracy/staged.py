"""An accuracy run in parts, broken off where nothing that it can still give joins the front."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dse.accuracy.archive import Archive, archive_path, read_archive, rows_of
from dse.accuracy.exits import Rule
from dse.accuracy.fidelity import (
    OptimisticReplay,
    PartRun,
    Seen,
    joined,
    order_of,
    reads,
    write_whole_run,
)
from dse.core.errors import RowsFailed
from dse.core.evaluation import Evaluator, evaluate_rows, unanswered
from dse.core.problem import STOPPED_EARLY
from dse.core.signature import Signature
from dse.core.space import length, take
from dse.search.sequential import EarlyStop


@dataclass(frozen=True, slots=True)
class Looks:
    """After how many sentences a run is looked at, and how sure a stop must be.

    Attributes:
        shares: Of the sentences, rising, above 0 and below 1.
        confidence: That no look at a run breaks it off though one of its designs would be on the
            front: 1 minus the risk, which is shared evenly among the looks (Bonferroni).
    """

    shares: tuple[float, ...] = (0.1, 0.25, 0.5)
    confidence: float = 0.95

    @property
    def risk(self) -> float:
        """Of one look."""
        return (1.0 - self.confidence) / len(self.shares)

    def after(self, total: int) -> list[int]:
        """Numbers of sentences after which there is a look, each below `total`."""
        counts = sorted({max(1, round(share * total)) for share in self.shares})
        return [count for count in counts if count < total]


@dataclass(eq=False)
class Tally:
    """What looking early has spent and saved in this process. Mutable on purpose.

    Attributes:
        seen: Sentences that a run needed, by the run, whether or not an earlier process had passed
            them.
        whole: Sentences of a run.
    """

    whole: int
    seen: dict[str, int] = field(default_factory=dict)

    def needed(self, handle: str, sentences: int) -> None:
        """Take note that so many sentences of a run were needed."""
        self.seen[handle] = max(sentences, self.seen.get(handle, 0))

    def counts(self) -> tuple[int, int, int]:
        """Runs broken off, sentences that the runs needed, and sentences that they have."""
        stopped = sum(seen < self.whole for seen in self.seen.values())
        return stopped, sum(self.seen.values()), self.whole * len(self.seen)


@dataclass(frozen=True, eq=False)
class StagedRun:
    """Evaluator: as the accuracy run, but a row whose designs are all hopeless is broken off.

    Such a row fails with a reason that begins with `STOPPED_EARLY`. What is broken off depends on
    the trials that the early stop was told of, and on nothing that lies in a cache.

    Attributes:
        part: Some sentences of a run.
        spread: The same on the workers.
        looks: When, and how sure.
        rule: Which score makes a sentence leave.
        early: Follows the front.
        tally: What it has spent and saved.
    """

    part: PartRun
    spread: Evaluator
    looks: Looks
    rule: Rule
    early: EarlyStop
    tally: Tally

    @property
    def signature(self) -> Signature:
        """As the accuracy run's."""
        return self.part.run.signature

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Handles of the whole archives, shape (n,).

        Raises:
            RowsFailed: If a run failed, or was broken off.
        """
        handles = self.part.whole(columns)
        _, first, row_of = np.unique(handles, return_index=True, return_inverse=True)
        runs = _Runs(
            self, take({n: columns[n] for n in self.signature.inputs}, first), handles[first]
        )
        reasons = runs.answered()
        if not reasons:
            return {"archive": handles}
        failed = {i: reasons[run] for i, run in enumerate(row_of.tolist()) if run in reasons}
        if len(failed) == len(handles):
            raise RowsFailed(failed, unanswered(self, len(handles)))
        raise RowsFailed(failed, {"archive": handles})


class _Runs:
    """Distinct runs of one batch on their way through the looks. Mutable on purpose."""

    def __init__(
        self, staged: StagedRun, columns: Mapping[str, NDArray[Any]], handles: NDArray[np.str_]
    ) -> None:
        self._staged, self._columns = staged, columns
        self._handles = [str(handle) for handle in handles]
        self._cache, self._total = staged.part.run.cache, staged.part.run.total
        self._parts: dict[int, list[Archive]] = {run: [] for run in range(len(handles))}
        self._reasons: dict[int, str] = {}
        # Looked at once: another process may finish one of them at any time.
        self._whole = {r for r, h in enumerate(self._handles) if reads(self._cache, h)}

    def answered(self) -> dict[int, str]:
        """Pass what must be passed; why the other runs have no answer."""
        looks = self._staged.looks.after(self._total)
        for first, last in pairwise((0, *looks, self._total)):
            going = [run for run in self._parts if run not in self._reasons]
            self._pass([run for run in going if run not in self._whole], first, last)
            if last < self._total:
                for run in going:
                    if run not in self._reasons:
                        self._look(run, last)
        for run in [run for run in self._parts if run not in self._reasons]:
            self._staged.tally.needed(self._handles[run], self._total)
            self._store(run)
        return self._reasons

    def _pass(self, runs: list[int], first: int, last: int) -> None:
        if not runs:
            return
        columns = take(self._columns, np.array(runs))
        span = {"first": np.full(len(runs), first), "last": np.full(len(runs), last)}
        try:
            handles = evaluate_rows(self._staged.spread, {**columns, **span})["part"]
            failed: Mapping[int, str] = {}
        except RowsFailed as error:
            handles, failed = error.columns["part"], error.reasons
        for i, run in enumerate(runs):
            if i in failed:
                self._reasons[run] = failed[i]
            else:
                self._parts[run].append(read_archive(self._cache, str(handles[i])))

    def _look(self, run: int, seen: int) -> None:
        """Break a run off if nothing that it can still give joins the front."""
        staged = self._staged
        if staged.early.complete(self._handles[run]):
            return
        part = Seen.of(self._first(run, seen), self._total, staged.rule, staged.looks.risk)
        row = {n: column[run] for n, column in self._columns.items()}
        settings = staged.early.settings(row)
        at_best = OptimisticReplay(part, staged.rule)
        if not staged.early.hopeless(settings, at_best):
            return
        staged.tally.needed(self._handles[run], seen)
        accuracy = at_best(settings)["accuracy"].max()
        self._reasons[run] = (
            f"{STOPPED_EARLY} after {seen:,} of {self._total:,} sentences: at "
            f"{staged.looks.confidence:.2%} confidence its accuracy is at most {accuracy:.4f} and "
            f"all {length(settings):,} designs with this network are dominated by the front of the "
            f"{staged.early.trials:,} trials before its batch, or break a limit"
        )

    def _first(self, run: int, seen: int) -> Archive:
        if run not in self._whole:
            return joined(self._parts[run])
        whole = read_archive(self._cache, self._handles[run])
        return rows_of(whole, order_of(self._handles[run], self._total)[:seen])

    def _store(self, run: int) -> None:
        if run in self._whole:
            return
        handle = self._handles[run]
        path = archive_path(self._cache, handle)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not reads(self._cache, handle):
                write_whole_run(self._cache, handle, self._parts[run])
