"""Where a surrogate does not earn its keep: `python tests/benchmarks/fallback.py [seeds]`.

Three problems on the space of mixp2 in which both objectives are measured, so that there is nothing
to compute exactly. `noise`: each design its own random numbers. `half noise`: mixp2 plus as much
of them, its levels numbered out of order, so that neighbours mislead. `shuffled`: mixp2 with its
levels numbered out of order. Shares of the exact front's hypervolume after so many runs, median.
"""

import sys
import warnings

import numpy as np
import search_table
from problems import mixp2
from problems.enumerable import Frame, Measured, exact_front

from dse.core.evaluation import Cached
from dse.core.parameters import Integer
from dse.core.problem import Objective, Problem
from dse.core.space import SearchSpace

SPACE = SearchSpace(tuple(Integer(name, 0, 6, "1") for name in mixp2.NAMES))
AFTER = (40, 60, 100)


def random_number(columns, salt):
    """From 0 to 1, a function of the design alone: splitmix64 of its number."""
    number = np.zeros(len(columns[mixp2.NAMES[0]]), dtype=np.uint64)
    for name in mixp2.NAMES:
        number = number * np.uint64(7) + columns[name].astype(np.uint64)
    z = (number + np.uint64(salt) * np.uint64(1 << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) / 2.0**64


def formula(signal, noise):
    """Both objectives, each so many spreads of mixp2's own and of random numbers."""

    def found(columns):
        named = {n: np.array(mixp2.FORMATS)[columns[n].astype(np.intp)] for n in mixp2.NAMES}
        own = {**mixp2.energy(named), **mixp2.error(named)}
        # Spreads of the two over the whole space; of a number from 0 to 1: sqrt(1 / 12).
        spreads = {"energy": 0.138, "error": 0.194}
        return {
            name: signal * own[name] / spreads[name]
            + noise * np.sqrt(12.0) * random_number(columns, salt)
            for salt, name in enumerate(spreads, 1)
        }

    return found


PROBLEMS = {"noise": (0.0, 1.0), "half noise": (1.0, 1.0), "shuffled": (1.0, 0.0)}


def problem_of(name):
    outputs = {"energy": "1", "error": "1"}
    run = Cached(Measured(SPACE.units, outputs, formula(*PROBLEMS[name])))
    return Problem(SPACE, run, tuple(Objective(o, "1") for o in outputs))


def main(seeds):
    engines = {
        "random": search_table.Engine(search_table.ours("random", 50), AFTER[-1]),
        "nsga2": search_table.Engine(search_table.ours("nsga2", 50), 150),
        "tpe": search_table.Engine(search_table.ours("tpe", 4), AFTER[-1]),
        "grey_box": search_table.Engine(search_table.ours("grey_box", 64), 10**6, runs=AFTER[-1]),
    }
    search_table.signature_of = lambda problem: problem.space.names
    for name in PROBLEMS:
        frame = Frame(exact_front(problem_of(name)))
        for engine, how in engines.items():
            curves, bred = [], []
            for seed in range(1, seeds + 1):
                problem = problem_of(name)
                searcher = how.make(problem, seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    log, runs, *_ = search_table.search(problem, searcher, how)
                curve = log.curve(frame, runs)
                curves.append([curve[n - 1] for n in AFTER])
                bred.append(getattr(searcher, "fell_back", 0))
            shares = " | ".join(f"{share:.3f}" for share in np.median(curves, axis=0))
            sys.stdout.write(f"| {name} | {engine} | {shares} | {np.median(bred):.0f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
