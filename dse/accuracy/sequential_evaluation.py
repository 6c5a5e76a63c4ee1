"""Accuracy runs in parts: a few sentences first, and the others only where it still matters.

The sentences of a run are passed in an order that is drawn once, from the run's own address. After
some of them, what all of them will give is bounded: the split is finite and the sentences seen are
a sample without replacement, so a count over all of them has Clopper and Pearson's limit
(Biometrika 26, 1934) on the hypergeometric distribution, which is exact and becomes the count
itself when nothing is left unseen. A run that can no longer join the front is stopped early.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from scipy.stats import hypergeom

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.address import PART, address_of, computed_by, part_address
from dse.accuracy.archive import (
    Archive,
    archive_path,
    read_archive,
    reads,
    rows_of,
    write_archive,
)
from dse.accuracy.cache import make_folder
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.exits import OUTPUTS, ExitCurve, FloatArray, Rule, limits
from dse.core.errors import DseError, RowsFailed
from dse.core.evaluation import Evaluator, evaluate_rows, unanswered
from dse.core.problem import STOPPED_EARLY
from dse.core.signature import Signature
from dse.core.space import length, take
from dse.search.sequential import EarlyStop

STREAM = 1
"""Of the random numbers that an order is drawn from, beside the address of the run."""


@lru_cache(maxsize=256)
def upper_limits(seen: int, total: int, risk: float) -> NDArray[np.int64]:
    """Largest believable count among all, for each count among those seen, shape (seen + 1,).

    The largest K of `total` with P(at most x of `seen` drawn without replacement) > `risk`:
    whatever the true count is, it lies above its limit with a probability of at most `risk`.

    Args:
        seen: Drawn, 0 to `total`.
        total: Of the split.
        risk: Of being wrong, above 0 and below 1.

    Raises:
        DseError: If one of them is out of range.
    """
    if not 0 <= seen <= total or not 0 < risk < 1:
        raise DseError(f"seen = {seen} of {total} at risk = {risk}: 0 <= seen, 0 < risk < 1")
    counts = np.arange(seen + 1)
    low, high = counts.copy(), counts + total - seen
    while (low < high).any():
        middle = (low + high + 1) // 2
        believable = hypergeom.cdf(counts, total, middle, seen) > risk
        low, high = np.where(believable, middle, low), np.where(believable, high, middle - 1)
    return low


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What some sentences of a run have shown, and what all of them may give at best.

    Attributes:
        curves: One per draw, of the sentences seen.
        seen: Sentences seen, at least 1.
        total: Sentences of the split.
        risk: That one setting's optimistic values are not optimistic, at this look.
    """

    curves: tuple[ExitCurve, ...]
    seen: int
    total: int
    risk: float

    @classmethod
    def of(cls, part: Archive, total: int, rule: Rule, risk: float) -> "Seen":
        """What an archive of some sentences shows."""
        seen = len(part.labels) // part.draws
        rows = [slice(d * seen, (d + 1) * seen) for d in range(part.draws)]
        curves = tuple(ExitCurve.of(part.logits[r], part.labels[r], rule) for r in rows)
        return cls(curves, seen, total, risk)

    def at_best(self, below: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """What `ExitCurve.at` gives of all sentences, at best: most accurate, shallowest.

        At any one limit, all four hold together with a probability of at least 1 - risk: half of
        it is spent on the answers, half on the depths, evenly over draws and layers.

        Args:
            below: Scores below which a sentence leaves, shape (n,).
        """
        draws, layers = len(self.curves), self.curves[0].left_by.shape[1]
        share = self.risk / (2 * draws)
        right = upper_limits(self.seen, self.total, share)
        gone = upper_limits(self.seen, self.total, share / max(1, layers - 1))
        rows = [np.searchsorted(c.breakpoints, below, side="left") for c in self.curves]
        correct = np.stack(
            [right[c.correct[row, 0]] for c, row in zip(self.curves, rows, strict=True)]
        )
        left = np.stack(
            [gone[c.left_by[row, :-1]] for c, row in zip(self.curves, rows, strict=True)]
        ).mean(axis=0)
        mean = 1.0 + (1.0 - left / self.total).sum(axis=1)
        p95 = 1.0 + (100 * left < 95 * self.total).sum(axis=1)
        accuracy = correct / self.total
        return accuracy.mean(axis=0), mean, p95, accuracy.min(axis=0)


@dataclass(frozen=True, slots=True)
class OptimisticReplay:
    """What `ExitReplay` will give at best, of one run of which some sentences have been seen.

    Attributes:
        seen: Of that run.
        rule: Which score decides.
    """

    seen: Seen
    rule: Rule

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """The replay's columns at their best, each shape (n,)."""
        found = self.seen.at_best(limits(self.rule, columns["exit_threshold"]))
        return dict(zip(OUTPUTS, found, strict=True))


def order_of(handle: str, total: int) -> NDArray[np.int64]:
    """In which order a run passes its sentences, shape (total,)."""
    return np.random.default_rng([STREAM, int(handle[:16], 16)]).permutation(total)


@dataclass(frozen=True, slots=True)
class PartRun:
    """Evaluator: some sentences of an accuracy run, as an archive of their own.

    Attributes:
        run: Which sentences there are, and what is done to the network.
    """

    run: AccuracyRun

    @property
    def signature(self) -> Signature:
        """Reads what the run reads, and from which to before which sentence of its order."""
        reads = {**self.run.signature.inputs, "first": "1", "last": "1"}
        return Signature.uniform(reads, {"part": "handle"}, "measured", "measured")

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Handles of the parts, shape (n,)."""
        hows = self.run.compressions(columns)
        handles = self.whole(columns)
        spans = zip(columns["first"].tolist(), columns["last"].tolist(), strict=True)
        parts = []
        for how, handle, (first, last) in zip(hows, handles, spans, strict=True):
            part = part_address(str(handle), int(first), int(last))
            path = archive_path(self.run.cache, part)
            make_folder(path.parent)
            with FileLock(path.with_suffix(".lock")):
                if not reads(self.run.cache, part):
                    rows = order_of(str(handle), self.run.total)[int(first) : int(last)]
                    passed = self.run.passed(how, rows)
                    said = {**passed.provenance, **self._facts(how), PART: [int(first), int(last)]}
                    write_archive(self.run.cache, part, replace(passed, provenance=said))
            parts.append(part)
        return {"part": np.array(parts, dtype="<U64")}

    def whole(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
        """Handles of the archives that all parts of a run make together, shape (n,).

        Not those of runs in one piece: a sum's last bits depend on who shares a batch.
        """
        hows = self.run.compressions(columns)
        return np.array([address_of(self._facts(how)) for how in hows], dtype="<U64")

    def _facts(self, how: Compression) -> dict[str, object]:
        return {**self.run.archive_facts(how), "in_parts": computed_by(__name__)["code"]}


def joined(parts: list[Archive]) -> Archive:
    """Archives of different sentences as one, each draw's sentences in the order of the parts."""
    draws = parts[0].draws
    pieces = [
        Archive(p.logits[rows], p.labels[rows], p.tokens[rows], p.provenance)
        for draw in range(draws)
        for p in parts
        for rows in [slice(draw * len(p.labels) // draws, (draw + 1) * len(p.labels) // draws)]
    ]
    return Archive(
        np.concatenate([p.logits for p in pieces]),
        np.concatenate([p.labels for p in pieces]),
        np.concatenate([p.tokens for p in pieces]),
        {name: said for name, said in parts[0].provenance.items() if name != PART},
        draws=draws,
    )


def write_whole_run(cache: Path, handle: str, parts: list[Archive]) -> None:
    """Store all parts of a run, in the order of the run, as one archive in the split's order."""
    together = joined(parts)
    order = order_of(handle, len(together.labels) // together.draws)
    write_archive(cache, handle, rows_of(together, np.argsort(order)))


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
        """Record how many sentences of a run were needed."""
        self.seen[handle] = max(sentences, self.seen.get(handle, 0))

    def counts(self) -> tuple[int, int, int]:
        """Runs that were stopped early, sentences that were needed, and sentences in total."""
        stopped = sum(seen < self.whole for seen in self.seen.values())
        return stopped, sum(self.seen.values()), self.whole * len(self.seen)


@dataclass(frozen=True, eq=False)
class StagedRun:
    """Evaluator: as the accuracy run, but a row whose designs are all hopeless is stopped early.

    Such a row fails with a reason that begins with `STOPPED_EARLY`. What is stopped depends on
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
            RowsFailed: If a run failed, or was stopped early.
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
        make_folder(path.parent)
        with FileLock(path.with_suffix(".lock")):
            if not reads(self._cache, handle):
                write_whole_run(self._cache, handle, self._parts[run])
