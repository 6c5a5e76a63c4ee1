"""What a proposal costs: `python tests/benchmarks/ask_speed.py nsga2` or `... grey_box`.

nsga2: milliseconds per proposal, ask and tell together, between 1,000 and 100,000 trials. grey_box:
seconds per ask (two runs) once 200 random runs are known, on mixp2 and cim4; the first ask of them
fits the surrogates anew.
"""

import sys
import time

import numpy as np
import search_table

from dse.core.parameters import Integer
from dse.core.space import SearchSpace
from dse.searchers.pymoo_search import Nsga2
from dse.searchers.searcher import Answers
from dse.testing.contracts import searched_problem


def timed(call, *args):
    """CPU seconds of a call, and what it gave."""
    began = time.process_time()
    found = call(*args)
    return time.process_time() - began, found


def nsga2():
    space = SearchSpace(tuple(Integer(f"p{i}", 0, 39, "1") for i in range(6)))
    searcher = Nsga2(searched_problem(space, 2, 0), seed=1, batch=100)
    trials, spent, last, weights = 0, 0.0, (0, 0.0), np.arange(1.0, 7.0)
    for mark in (1_000, 10_000, 50_000, 100_000):
        while trials < mark:
            asking, codes = timed(searcher.ask)
            x = codes @ weights / 800
            losses = np.stack([x, 1 - np.sqrt(x) + (codes - 20) ** 2 @ weights / 8000], axis=1)
            ok = np.ones(len(codes), dtype=bool)
            telling, _ = timed(searcher.tell, Answers(losses, np.empty((len(codes), 0)), ok))
            trials, spent = trials + len(codes), spent + asking + telling
        each = 1e3 * (spent - last[1]) / (trials - last[0])
        sys.stdout.write(f"to {trials} trials: {each:.4f} ms per proposal\n")
        last = trials, spent


def grey_box():
    for name in ("mixp2", "cim4"):
        problem = search_table.PROBLEMS[name]()
        searcher = search_table.ours("grey_box", 64)(problem, 1)
        trials = problem.evaluate(problem.space.sample(200, np.random.default_rng(1)))
        searcher.learn(trials.codes, search_table.answers([(trials, i) for i in range(200)]))
        seconds = []
        for _ in range(8):
            asking, codes = timed(searcher.ask)
            seconds.append(asking)
            told = problem.evaluate(codes)
            searcher.tell(search_table.answers([(told, i) for i in range(len(codes))]))
        first, rest = seconds[0], np.mean(seconds[1:])
        sys.stdout.write(f"{name}: first ask {first:.2f} s, then {rest:.2f} s\n")


if __name__ == "__main__":
    {"nsga2": nsga2, "grey_box": grey_box}[sys.argv[1]]()
