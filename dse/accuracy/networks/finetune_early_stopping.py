"""Tuning that ends once its learning curve says how it would end.

From where the pruning ramp has reached its target the accuracy recovers along a learning curve;
before, the network is being damaged and the curve is none. PEng4NN's idea (arXiv 2101.04185) on
`dse.accuracy.networks.learning_curve`: a curve is fitted to the accuracies at checkpoints, and when
successive predictions of the end agree, tuning ends there. What comes out is the network as tuned
so far, and every accuracy of it is measured; the prediction is told beside it and decides nothing
else.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.archive import read_archive
from dse.accuracy.data.tasks import Examples, read_split
from dse.accuracy.networks.learning_curve import FEWEST, Extrapolation
from dse.core.errors import DseError
from dse.core.signature import Signature


@dataclass(frozen=True, slots=True)
class FinetuneStop:
    """When tuning may end before its last step.

    Attributes:
        checkpoints: Evenly spaced from where the pruning ramp ends to the last step; at most one a
            step.
        window: Successive predictions that must agree, at least 2.
        tolerance: How far they may lie apart [1].
        sentences: Of the validation split, the first ones: on these the curve is seen.

    Raises:
        DseError: If a value is out of its range, or the predictions could agree at the last step
            only.
    """

    checkpoints: int = 20
    window: int = 3
    tolerance: float = 0.005
    sentences: int = 400

    def __post_init__(self) -> None:
        if self.window < 2 or not 0 < self.tolerance < 1 or self.sentences < 1:
            raise DseError(
                "window >= 2, 0 < tolerance < 1 and sentences >= 1 are wanted; got window = "
                f"{self.window}, tolerance = {self.tolerance}, sentences = {self.sentences}"
            )
        least = FEWEST + self.window
        if self.checkpoints < least:
            raise DseError(
                f"checkpoints = {self.checkpoints} could end nothing early: a prediction takes "
                f"{FEWEST} of them and window = {self.window} predictions must agree before the "
                f"last one; at least {least}"
            )

    def held(self, task: str, cache: Path) -> Examples:
        """The sentences on which the curve is seen: of the validation split, so never trained on.

        Raises:
            DseError: If the task is not fetched, or has fewer.
        """
        split = read_split(task, cache, "validation")
        if self.sentences > len(split.sentences):
            raise DseError(
                f"finetune_stop.sentences = {self.sentences}; the validation split of {task} has "
                f"{len(split.sentences)}"
            )
        return split.first(self.sentences)

    def looks(self, first: int, last: int) -> list[int]:
        """Steps made at each checkpoint but the last step, rising.

        Args:
            first: Steps made when the pruning ramp has ended.
            last: Steps asked for.
        """
        shares = np.arange(1, self.checkpoints) / self.checkpoints
        steps = {first + round(share * (last - first)) for share in shares.tolist()}
        return sorted(step for step in steps if first < step < last)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a tuning ended.

    Attributes:
        asked: Steps that it was to make.
        made: Steps that it made.
        foretold: Accuracy of the answering layer [1] after all steps, on the sentences of the
            rule, as it was predicted when tuning ended; None where it made all its steps.
        seen: Steps made and accuracy [1] at each checkpoint.
    """

    asked: int
    made: int
    foretold: float | None
    seen: tuple[tuple[int, float], ...]

    def facts(self) -> dict[str, object]:
        """As an archive's record has it."""
        return asdict(self)


class CurveJudge:
    """Looks at a tuning at its checkpoints and ends it. Mutable on purpose: it has seen a curve.

    Args:
        rule: When.
        first: Steps made when the pruning ramp has ended.
        last: Steps asked for.
        accuracy: Of the network as it is [1]; must leave it as it is.
    """

    def __init__(
        self, rule: FinetuneStop, first: int, last: int, accuracy: Callable[[], float]
    ) -> None:
        self._looks, self._first, self._last = rule.looks(first, last), first, last
        self._accuracy = accuracy
        self._rule = Extrapolation(max(1, last - first), rule.window, rule.tolerance)
        self.seen: list[float] = []
        self.foretold: float | None = None

    def ends(self, made: int) -> bool:
        """Whether tuning ends after so many steps."""
        if made not in self._looks:
            return False
        self.seen.append(self._accuracy())
        steps = [step - self._first for step in self._looks[: len(self.seen)]]
        self.foretold = self._rule.converged(steps, self.seen)
        return self.foretold is not None

    def ending(self, made: int) -> Ending:
        """How it ended, after so many steps."""
        seen = tuple(zip(self._looks, self.seen, strict=False))
        return Ending(self._last, made, self.foretold, seen)


@dataclass(frozen=True, slots=True)
class FinetuneEnd:
    """Evaluator: archive to how the tuning of its network ended, in words.

    Words and not numbers: a network that was not tuned, or to its last step, has no foretold
    accuracy, and nothing is to be searched, learned or limited by one.

    Attributes:
        cache: Cache folder that holds the archives.
    """

    cache: Path

    signature: ClassVar[Signature] = Signature(
        {"archive": "handle"}, {"finetune_ended": "choice"}, {"finetune_ended": "unverified"}
    )

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """What happened, shape (n,).

        Raises:
            DseError: If an archive is missing or damaged.
        """
        handles, row_of = np.unique(columns["archive"], return_inverse=True)
        said = np.array([_said(self.cache, str(handle)) for handle in handles], dtype=np.str_)
        return {"finetune_ended": said[row_of.ravel()]}


@lru_cache(maxsize=1024)
def _said(cache: Path, handle: str) -> str:
    """Content-addressed, so remembering it can never be stale."""
    facts = read_archive(cache, handle).provenance
    if "finetune_ending" not in facts:
        return "not tuned"
    ending, tolerance = facts["finetune_ending"], facts["finetune_stop"]["tolerance"]
    if ending["foretold"] is None:
        return f"all {ending['made']} steps made"
    return (
        f"ended after {ending['made']} of {ending['asked']} steps: accuracy "
        f"{ending['foretold']:.4f} foretold for the last, predictions within {tolerance:g}"
    )
