"""What it is worth to open a search with both ends: `python tests/benchmarks/opening.py [seeds]`.

Share of the exact front's hypervolume after so many designs, mean and worst over the seeds, of
NSGA-II and random search, 20 designs per ask, with and without `boundary_designs`. Two minutes with
10 seeds.
"""

import sys

import numpy as np
from problems import accel3, cim4, edge4, mixp2
from problems.enumerable import Frame, exact_front

from dse.search.initial_designs import boundary_designs
from dse.search.loop import explore
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.random_search import RandomSearch
from studies.dynasplit.offline import problem_of

PROBLEMS = {
    "vgg16": (lambda: problem_of("vgg16.yaml"), (60, 184)),
    "encoder": (lambda: problem_of("encoder.yaml"), (35,)),
    "mixp2": (mixp2.problem, (100,)),
    "accel3": (accel3.problem, (100,)),
    "edge4": (edge4.problem, (100,)),
    "cim4": (cim4.problem, (100,)),
}


def shares(problem, frame, kind, opening, budgets, seeds):
    """Shape (seeds, budgets)."""
    found = []
    for seed in range(1, seeds + 1):
        searcher = kind(problem, seed=seed, batch=20)
        trials = explore(problem, searcher, budget=max(budgets), opening=opening).trials
        losses = np.where(trials.feasible[:, None], trials.losses, np.inf)
        found.append([frame.share(losses[:budget]) for budget in budgets])
    return np.array(found)


def main(seeds):
    for name, (make, budgets) in PROBLEMS.items():
        problem = make()
        frame = Frame(exact_front(problem))
        ends = boundary_designs(problem.space)
        for kind in (Nsga2, RandomSearch):
            for said, opening in (("without", ends[:0]), ("both ends", ends)):
                table = shares(problem, frame, kind, opening, budgets, seeds)
                for budget, column in zip(budgets, table.T, strict=True):
                    sys.stdout.write(
                        f"{name} {kind.__name__} {said} @{budget} "
                        f"{column.mean():.3f} ({column.min():.3f})\n"
                    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
