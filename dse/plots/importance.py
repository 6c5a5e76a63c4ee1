"""Which knob moves which objective: permutation importance of a forest, and how much it knows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.problem import Trials
from dse.plots.looks import INK
from dse.plots.static import DPI
from dse.runs.run_schema import Question

FEWEST = 40
"""Trials below which a forest is not asked."""

TRUSTED = 0.8
"""R² on held-out trials below which a figure says that the forest knows too little."""

_TREES = 30
_MOST = 4_000  # trials a forest learns from: more cost time and change nothing
_REPEATS = 5


@dataclass(frozen=True, slots=True, eq=False)
class KnobImportance:
    """How large a part each knob has in the spread of each objective.

    Half of the permutation importance (Breiman, 2001) of a random forest, on a quarter of the
    trials that it has not seen: the R² that is lost when the knob's values are shuffled. Were the
    forest perfect and the knobs independent, it would be the share of the objective's variance in
    which the knob takes part, alone or with others (total Sobol' index; Gregorutti, Michel and
    Saint-Pierre, 2017), so the shares may sum to more than 1.

    What it is not: a direction, a cause, or a word about designs that the run did not try. A search
    crowds near its front, so a knob that it settled early looks unimportant; knobs that move
    together share what they explain.

    Attributes:
        knobs: Those with more than one value among the trials.
        objectives: All of the run.
        share: Of the variance [1], mean over shuffles, shape (knobs, objectives); a knob without
            part scatters around 0.
        deviation: Over the shuffles [1], shape as `share`.
        score: R² on the held-out trials [1], shape (objectives,).
        learned: Trials the forest saw.
    """

    knobs: tuple[str, ...]
    objectives: tuple[str, ...]
    share: FloatArray
    deviation: FloatArray
    score: FloatArray
    learned: int

    @classmethod
    def of(cls, question: Question, trials: Trials, *, seed: int = 0) -> "KnobImportance":
        """The importances in a run's evaluated trials, feasible or not.

        Args:
            question: Of the run.
            trials: Its trials.
            seed: Of split, forest and shuffles.

        Raises:
            DseError: If fewer than `FEWEST` trials were evaluated.
        """
        # Here and not above: scikit-learn takes two seconds that no other figure needs.
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance

        rows = np.flatnonzero(trials.ok)
        if len(rows) < FEWEST:
            raise DseError(f"{len(rows)} evaluated trials: importances need at least {FEWEST}")
        rng = np.random.default_rng(seed)
        rows = rng.permutation(rows)[:_MOST]
        codes, losses = trials.codes[rows], trials.losses[rows]
        free = np.flatnonzero([len(np.unique(column)) > 1 for column in codes.T])
        train, test = slice(len(rows) // 4, None), slice(0, len(rows) // 4)
        drops, deviations, scores = [], [], []
        for target in losses.T:
            forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=seed)
            forest.fit(codes[train][:, free], target[train])
            found = permutation_importance(
                forest, codes[test][:, free], target[test], n_repeats=_REPEATS, random_state=seed
            )
            drops.append(found.importances_mean)
            deviations.append(found.importances_std)
            scores.append(forest.score(codes[test][:, free], target[test]))
        return cls(
            tuple(question.knobs[i].name for i in free),
            tuple(o.name for o in question.objectives),
            np.array(drops).T / 2,
            np.array(deviations).T / 2,
            np.array(scores),
            len(rows) - len(rows) // 4,
        )


def importance_figure(found: KnobImportance, title: str) -> Figure:
    """One panel per objective, knobs in the same order in each; whiskers are one deviation."""
    count = len(found.objectives)
    width, height = 2.2 + 2.5 * count, 1.35 + 0.34 * len(found.knobs)
    figure = Figure(figsize=(max(width, 6.5), height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.02, 0.98, title.replace("$", r"\$"), va="top", fontsize=11, weight="bold")
    order = np.argsort(found.share.mean(axis=1))
    first: Axes | None = None
    wide = (0.97 - 0.19) / count
    for place, name in enumerate(found.objectives):
        box = (0.19 + place * wide, 0.48 / height, wide - 0.025, (height - 1.28) / height)
        axes = figure.add_axes(box, sharey=first)
        _draw_bars(axes, found, place, order)
        axes.set_title(_heading(name, float(found.score[place])), fontsize=8.5, loc="left")
        if first is None:
            axes.set_yticks(range(len(order)), _labels([found.knobs[i] for i in order]))
            first = axes
        else:
            axes.tick_params(labelleft=False)
    return figure


def _labels(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]


def _heading(name: str, score: float) -> str:
    doubt = "" if score >= TRUSTED else ": do not rely on it"
    return f"{name.replace('_', ' ')}\nforest R² {score:.2f}{doubt}"


def _draw_bars(axes: Axes, found: KnobImportance, objective: int, order: NDArray[np.intp]) -> None:
    trusted = found.score[objective] >= TRUSTED
    axes.barh(
        range(len(order)),
        np.maximum(found.share[order, objective], 0.0),
        xerr=found.deviation[order, objective],
        height=0.62,
        color="#0072B2" if trusted else "white",
        edgecolor="#0072B2",
        hatch=None if trusted else "////",
        error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2},
    )
    axes.set_xlim(0, max(1.08 * float((found.share + found.deviation).max()), 0.05))
    axes.set_xlabel("share of variance [1]", fontsize=8.5)
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
