"""Who decides whether an input stays on the edge: every router is a score, high means stay.

    appeal             q of the predictor head, trained jointly (arXiv 2105.04104)
    max-softmax        max p
    margin             p of the best class less p of the second
    entropy            1 - H / ln K
    learning-to-exit   1 - the chance of being wrong, as a head on a finished network foretells it
                       (BERxiT, Xin et al., EACL 2021)
    random             a uniform number, the same for the same row
    oracle             0 where only the large network is right, 1/3 where neither, 2/3 where both,
                       1 where only the small one is: no order of the inputs needs fewer appeals
                       for any accuracy

All scores lie in [0, 1] and the rule is always: stay if score >= threshold. So threshold 0 keeps
everything, and one above 1 appeals everything. The published learning-to-exit head foretells the
chance of being *wrong* and leaves below its threshold; here it is turned round once, in this file.
With two classes max-softmax, margin and entropy order inputs alike.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.exits import entropy
from dse.core.errors import DseError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Confidence: TypeAlias = Literal["max-softmax", "margin", "entropy"]
"""Routers that read the class probabilities alone."""

Router: TypeAlias = Literal[
    "appeal", "max-softmax", "margin", "entropy", "learning-to-exit", "random", "oracle"
]
"""See the list above."""

ROUTERS: tuple[Router, ...] = get_args(Router)
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)

DEGENERATE = 0.98
"""Mean trust above which a head has stopped to tell inputs apart."""


def confidence(router: Confidence, logits: NDArray[np.floating[Any]]) -> FloatArray:
    """Score of each answer, shape (...,), 0 to 1.

    Args:
        router: Which.
        logits: Unnormalised log probabilities, shape (..., classes), at least two classes.

    Raises:
        DseError: If the router reads more than probabilities.
    """
    if router == "entropy":
        most = np.log(logits.shape[-1])
        # A uniform answer may exceed ln K by a rounding error; a score is not negative.
        return np.asarray(np.maximum(1.0 - entropy(logits) / most, 0.0))
    x = np.asarray(logits, dtype=np.float64)
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    best = np.sort(x / x.sum(axis=-1, keepdims=True), axis=-1)
    if router == "max-softmax":
        return np.asarray(best[..., -1])
    if router == "margin":
        return np.asarray(best[..., -1] - best[..., -2])
    raise DseError(f"router {router!r} is not one of {', '.join(CONFIDENCES)}")


def sigmoid(logit: NDArray[np.floating[Any]]) -> FloatArray:
    """1 / (1 + exp(-s)) in float64, so that far apart logits stay apart; shape as given."""
    s = np.asarray(logit, dtype=np.float64)
    small = np.exp(-np.abs(s))
    return np.asarray(np.where(s >= 0, 1.0, small) / (1.0 + small))


def degenerate(trust: FloatArray) -> bool:
    """Whether a head trusts everything: beta was too large, and it stopped learning."""
    return bool(trust.mean() > DEGENERATE)


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """What a router knows of n inputs, and what would become of them; shape (n,) each.

    Attributes:
        score: Stay on the edge where it is at or above the threshold [1].
        edge_right: Whether the small network's answer is right.
        cloud_right: Whether the large network's answer is right.
    """

    score: FloatArray
    edge_right: BoolArray
    cloud_right: BoolArray

    def __post_init__(self) -> None:
        shapes = {self.score.shape, self.edge_right.shape, self.cloud_right.shape}
        if len(shapes) != 1 or self.score.ndim != 1 or not len(self.score):
            raise DseError(
                "score, edge_right and cloud_right must be of one shape (n,), n at least 1; got "
                f"{self.score.shape}, {self.edge_right.shape}, {self.cloud_right.shape}"
            )
        if not np.isfinite(self.score).all():
            raise DseError("a router's scores must be finite")


def oracle_score(edge_right: BoolArray, cloud_right: BoolArray) -> FloatArray:
    """The oracle's score, shape (n,): see the list above."""
    return np.asarray((1.0 + 2.0 * edge_right - cloud_right) / 3.0)


def random_score(n: int, seed: int = 0) -> FloatArray:
    """The random router's score, shape (n,)."""
    return np.random.default_rng(seed).random(n)
