"""What several fronts attain: losses for which so many of them have a design nowhere worse."""

import json
from collections.abc import Sequence

import moocore
import numpy as np

from dse.core.files import canonical_json
from dse.core.parameters import FloatArray
from dse.pareto.dominance import non_dominated
from dse.runs.store import Run


def runs_by_search(runs: Sequence[Run]) -> list[tuple[str, list[int]]]:
    """Searcher, and which runs differ in their seed alone, in the order of the first of each."""
    groups: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(_search(run), []).append(i)
    return [(str(runs[g[0]].manifest.get("searcher", "search")), g) for g in groups.values()]


def surfaces_of(fronts: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Losses attained by at least one, at least half, and all of some fronts.

    Args:
        fronts: Each shape (k, m) with m of 1 to 3 and k >= 0; at least one front.
    """
    m = fronts[0].shape[1]
    needed = (1, (len(fronts) + 1) // 2, len(fronts))
    filled = [front for front in fronts if len(front)]
    if not filled:
        return np.empty((0, m)), np.empty((0, m)), np.empty((0, m))
    rows = np.concatenate(filled)
    if m == 1:
        least = np.sort([front.min() for front in filled])
        levels = [least[k - 1 : k, None] if k <= len(filled) else rows[:0] for k in needed]
        return levels[0], levels[1], levels[2]
    which = np.repeat(np.arange(1, len(filled) + 1), [len(front) for front in filled])
    # A front without a row attains nothing, so a share of all is a larger share of the others.
    shares = [100.0 * k / len(filled) for k in needed]
    reached = sorted({share for share in shares if share <= 100})
    table = moocore.eaf(rows, which, percentiles=reached)
    levels = [_surface(table, share) if share <= 100 else rows[:0] for share in shares]
    return levels[0], levels[1], levels[2]


def _surface(table: FloatArray, share: float) -> FloatArray:
    losses = table[np.isclose(table[:, -1], share), :-1]
    return np.asarray(losses[non_dominated(losses)])


def _search(run: Run) -> str:
    """What a run asks and how, but for the seed; runs of which it is not known stand alone."""
    identified = run.manifest.get("identified_by")
    if identified is None:
        return str(run.folder)
    content = json.loads(json.dumps(identified))
    content["study"]["search"].pop("seed", None)
    budget = run.manifest.get("trials_asked"), run.manifest.get("stopping")
    return canonical_json([content, budget])
