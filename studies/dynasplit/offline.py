"""DynaSplit's offline phase measured: what a search of a fifth of the space is worth online.

    python -m studies.dynasplit.offline > docs/dynasplit_offline.csv

For each network and searcher, over seeds: share of the true front's hypervolume, and what the
published rule then costs on 10,000 requests of the published form, against the true front.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.problem import Problem, Trials
from dse.online.policies.deadline import LeastEnergy
from dse.online.policies.switching_costs import Switching
from dse.online.requests import Requests
from dse.online.rows import Rows
from dse.online.simulation.outcome_models import AsPriced
from dse.online.simulation.simulator import simulate
from dse.online.simulation.workloads import PUBLISHED_SEED, stretched_weibull
from dse.pareto.hypervolume import Reference, hypervolume
from dse.runs.run_schema import Question
from dse.search.loop import explore
from dse.searchers.registry import make_searcher
from dse.study.loader import load_study
from search_spaces.dynasplit import budget
from studies.dynasplit.system import SYSTEM

NAMES = ("optuna_nsga3", "nsga3", "nsga2", "tpe", "sobol", "random")
"""The published searcher first: Optuna's NSGA-III, population 50."""

ENDS = " and ends"
"""After a searcher's name: two of its trials are all-cloud and all-edge at full speed."""

POPULATION = 50


def problem_of(file: str) -> Problem:
    """The problem of one of DynaSplit's study files."""
    study = load_study(Path(__file__).with_name(file), {SYSTEM.name: SYSTEM})
    composed = SYSTEM.compose(study.settings, lambda e, _needs=None: e, lambda *_: None)
    return Problem(study.space, composed.evaluator, study.objectives, study.constraints)


def searched(problem: Problem, name: str, seed: int, trials: int) -> Trials:
    """The trials of one search, population as published; with both ends if its name says so."""
    ends = ends_of(problem) if name.endswith(ENDS) else np.empty((0, len(problem.space.parameters)))
    searcher = make_searcher(name.removesuffix(ENDS), problem, seed=seed, batch=POPULATION)
    # The published searches open with nothing.
    found = explore(problem, searcher, budget=trials - len(ends), opening=ends[:0]).trials
    return problem.evaluate(np.concatenate([ends, found.codes])) if len(ends) else found


def ends_of(problem: Problem) -> FloatArray:
    """All in the cloud with its GPU, and all on the edge with its fastest accelerator; (2, d)."""
    rows = np.concatenate(list(problem.space.enumerate()))
    split, last = rows[:, problem.space.index("split_layer")], len(rows) - 1
    # Codes count upwards, so the last row of a cut has the highest clock and everything on.
    return rows[[int(np.flatnonzero(split == 0)[-1]), last]]


def online_cost(problem: Problem, trials: Trials, deadlines: FloatArray) -> tuple[float, float]:
    """Mean energy [J] and share of missed deadlines [1] of the published rule on the trials."""
    choices = Rows.of(Question.of("offline", "offline", problem), trials)
    run = simulate(
        LeastEnergy.of(choices),
        Requests.of(deadlines),
        AsPriced(choices),
        Switching(choices.settings),
    )
    return float(run.energy.mean()), float(run.late.mean())


def rows(seeds: int) -> Iterator[dict[str, object]]:
    """One row per network and searcher: medians and worst of the seeds."""
    for file in ("encoder.yaml", "vgg16.yaml"):
        problem = problem_of(file)
        size = problem.space.size or 0
        trials = budget(size)
        whole = problem.evaluate(np.concatenate(list(problem.space.enumerate())))
        frame = Reference.of(whole.losses)
        true_volume = hypervolume(whole.losses, frame)
        latency = whole.metrics["latency"]
        rng = np.random.default_rng(PUBLISHED_SEED)
        deadlines = stretched_weibull(10_000, float(latency.min()), float(latency.max()), rng)
        true_energy, _ = online_cost(problem, whole, deadlines)
        for name in (*NAMES, NAMES[0] + ENDS):
            found = [searched(problem, name, seed, trials) for seed in range(1, seeds + 1)]
            volumes = [hypervolume(each.losses, frame) / true_volume for each in found]
            costs = [online_cost(problem, each, deadlines) for each in found]
            yield {
                "study": f"dynasplit_{file.removesuffix('.yaml')}",
                "searcher": name,
                "trials": trials,
                "of": size,
                "seeds": seeds,
                "hypervolume_median": round(float(np.median(volumes)), 4),
                "hypervolume_worst": round(min(volumes), 4),
                "energy_over_true_median": round(
                    float(np.median([e for e, _ in costs])) / true_energy, 4
                ),
                "late_median": round(float(np.median([late for _, late in costs])), 4),
                "late_worst": round(max(late for _, late in costs), 4),
            }


def main() -> None:
    """Print the table as CSV; takes about a minute."""
    writer = None
    for row in rows(20):
        writer = writer or csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
        if row["searcher"] == NAMES[0] and row["study"] == "dynasplit_encoder":
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
