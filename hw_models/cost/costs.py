"""Costs by depth: what a sentence costs by the layer after which it leaves, and means."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from hw_models.columns import FloatArray, total
from hw_models.cost.kernel import Demand


def by_depth(stages: FloatArray, asked: Demand) -> FloatArray:
    """Cost of having run layers 0 to L, shape (L + 1, n), from the cost of each stage.

    Args:
        stages: Of stage 0 and of one layer where all are alike, else of every stage, shape (D, n).
        asked: What the designs asked for.
    """
    if not asked.repeated:
        return np.asarray(np.cumsum(stages, axis=0), dtype=np.float64)
    depth = np.arange(asked.layers + 1.0)[:, np.newaxis]
    return np.asarray(stages[0] + depth * stages[1], dtype=np.float64)


def at_depth(stages: FloatArray, asked: Demand, depth: FloatArray) -> FloatArray:
    """Cost at a depth of each design, between two depths in proportion, shape (n,).

    Where all layers are alike, the cost at the mean depth of sentences is their mean cost.

    Args:
        stages: As for `by_depth`.
        asked: What the designs asked for.
        depth: Layers run [layer], 0 to L, shape (n,).
    """
    if asked.repeated:
        return np.asarray(stages[0] + depth * stages[1], dtype=np.float64)
    below = np.minimum(depth.astype(np.intp), asked.layers - 1)
    costs, every = by_depth(stages, asked), np.arange(len(depth))
    here, there = costs[below, every], costs[below + 1, every]
    return np.asarray(here + (depth - below) * (there - here), dtype=np.float64)


def weighted(share: FloatArray, values: FloatArray) -> FloatArray:
    """Mean over exits [unit of values], shape (n,); exit by exit, so a batch equals its rows.

    Args:
        share: Of the sentences that leave at each exit [1], shape (k, n).
        values: At each exit, shape (k, n).
    """
    return total({str(i): s * v for i, (s, v) in enumerate(zip(share, values, strict=True))})


def weighted_quantile(share: FloatArray, values: FloatArray, level: float) -> FloatArray:
    """Smallest value that a share of at least `level` does not exceed.

    Args:
        share: Of the cases, each column summing to 1, shape (k, n).
        values: Of the cases, shape (k, n).
        level: 0 to 1.

    Returns:
        Shape (n,).
    """
    columns = np.arange(values.shape[1])
    ranked = np.argsort(values, axis=0, kind="stable") * len(columns) + columns
    reached = share.take(ranked)
    for below, here in pairwise(reached):
        here += below
    first = (reached >= level - 1e-9).argmax(axis=0)
    return np.asarray(values.take(ranked[first, columns]), dtype=np.float64)


def executed_shares(exit_shares: FloatArray) -> FloatArray:
    """Share of sentences that run each layer [1], shape (layers, n).

    Args:
        exit_shares: Share of sentences that exit after each layer [1], shape (layers, n); their sum
            over the layers is 1.
    """
    return np.asarray(np.cumsum(exit_shares[::-1], axis=0)[::-1], dtype=np.float64)


def by_layer(
    parts: Mapping[str, FloatArray], asked: Demand, executed: FloatArray
) -> dict[str, FloatArray]:
    """Parts of a mean by stage, shape (L + 1, n): stage 0 once, each layer as often as it runs.

    Args:
        parts: Of each stage, shape (D, n).
        asked: What the designs asked for.
        executed: Share of sentences that run each layer [1], shape (L, n).
    """
    found = {}
    for name, stages in parts.items():
        layers = executed * (stages[1] if asked.repeated else stages[1:])
        once = np.broadcast_to(stages[:1], (1, executed.shape[1]))
        found[name] = np.vstack([once, layers])
    return found
