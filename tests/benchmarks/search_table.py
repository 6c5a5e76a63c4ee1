"""How many accuracy runs each searcher needs: the campaign behind the table, and the table.

    python tests/benchmarks/search_table.py run --seeds 10        # hours; goes on where it stopped
    python tests/benchmarks/search_table.py show

One line of `search_table.jsonl` is one search: hypervolume (share of that of the exact front) after
so many *distinct accuracy runs*, that is distinct projections on what the measured evaluator reads.
The engine answers a design with a known projection from its cache, whoever proposes it; so every
engine here gets that for free, the bare libraries as well.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from problems import accel3, cim4, edge4, mixp2
from problems.enumerable import Frame, exact_front
from problems.peers import BareOptuna, BarePymoo

from dse.core.problem import Problem
from dse.searchers.registry import make_searcher
from dse.searchers.searcher import Answers

RESULTS = Path(__file__).with_name("search_table.jsonl")
CHECKPOINTS = (10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 700, 1000)
LEVELS = (0.8, 0.9, 0.95, 0.97)
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "accel3": accel3.problem,
    "cim4": cim4.problem,
    "mixp2": mixp2.problem,
    "edge4": edge4.problem,
}


def ours(name, batch):
    return lambda problem, seed: make_searcher(name, problem, seed=seed, batch=batch)


@dataclass(frozen=True)
class Engine:
    """A searcher with its budget of designs, or of accuracy runs for the costly ones."""

    make: Callable
    designs: int
    runs: int = 10**9


ENGINES = {
    "random": Engine(ours("random", 50), 2000),
    "sobol": Engine(ours("sobol", 50), 2000),
    "nsga2": Engine(ours("nsga2", 50), 2000),
    "nsga3": Engine(ours("nsga3", 50), 2000),
    "bare pymoo NSGA-II": Engine(lambda p, s: BarePymoo(p, s, "nsga2"), 2000),
    "bare pymoo NSGA-III": Engine(lambda p, s: BarePymoo(p, s, "nsga3"), 2000),
    "optuna_nsga2": Engine(ours("optuna_nsga2", 50), 700),
    "optuna_nsga3": Engine(ours("optuna_nsga3", 50), 700),
    "bare Optuna NSGA-II": Engine(lambda p, s: BareOptuna(p, s, "nsga2"), 700),
    "tpe": Engine(ours("tpe", 4), 250),
    "bare Optuna TPE multivariate": Engine(lambda p, s: BareOptuna(p, s, "tpe-mv"), 250),
    "bare Optuna TPE default": Engine(lambda p, s: BareOptuna(p, s, "tpe"), 250),
    "grey_box": Engine(ours("grey_box", 64), 10**6, runs=120),
    "gp": Engine(ours("gp", 4), 40),
    "botorch": Engine(ours("botorch", 4), 40),
    "bare Optuna GP": Engine(lambda p, s: BareOptuna(p, s, "gp"), 40),
}


def signature_of(problem):
    """The columns that the measured evaluator reads."""
    return list(problem.evaluator.stages[0].signature.inputs)


@dataclass
class Log:
    """Feasible losses in the order of evaluation, each with the accuracy runs made by then."""

    losses: list
    runs: list

    def curve(self, frame, most):
        """Hypervolume after 1, 2, ... distinct runs."""
        losses, runs = np.array(self.losses), np.array(self.runs)
        shares, last = [], 0.0
        for run in range(1, most + 1):
            if (runs == run).any():
                last = frame.share(losses[runs <= run])
            shares.append(last)
        return shares


def search(problem, searcher, engine):
    """One search up to its budget; designs and runs are counted as the engine would pay them."""
    names = signature_of(problem)
    known: dict[bytes, int] = {}
    table: list = []
    signatures: set[tuple] = set()
    log, calls = Log([], []), 0
    while len(known) < engine.designs and len(signatures) < engine.runs and calls < 3 * 10**4:
        codes = searcher.ask()
        if not len(codes):
            break
        calls += len(codes)
        new = {c.tobytes(): i for i, c in reversed(list(enumerate(codes)))}
        rows = sorted(i for key, i in new.items() if key not in known)
        if rows:
            trials = problem.evaluate(codes[rows])
            for i, row in enumerate(rows):
                known[codes[row].tobytes()] = len(table)
                table.append((trials, i))
                signatures.add(tuple(trials.designs[name][i] for name in names))
                if trials.feasible[i]:
                    log.losses.append(trials.losses[i])
                    log.runs.append(len(signatures))
        searcher.tell(answers([table[known[c.tobytes()]] for c in codes]))
    return log, len(signatures), len(known), calls


def answers(places):
    metrics = {}
    for name in places[0][0].metrics:
        metrics[name] = np.array([t.metrics[name][i] for t, i in places])
    return Answers(
        np.array([t.losses[i] for t, i in places]),
        np.array([t.violations[i] for t, i in places]).reshape(len(places), -1),
        np.array([not t.failures[i] for t, i in places]),
        metrics,
    )


def campaign(problem_name, problem, frame, name, seed):
    """One line of the results."""
    engine = ENGINES[name]
    began, wall = time.process_time(), time.monotonic()
    log, runs, designs, calls = search(problem, engine.make(problem, seed), engine)
    spent = time.process_time() - began
    shares = log.curve(frame, runs)
    return {
        "problem": problem_name,
        "engine": name,
        "seed": seed,
        "runs": runs,
        "designs": designs,
        "proposals": calls,
        "cpu_s": round(spent, 2),
        "wall_s": round(time.monotonic() - wall, 2),
        "share": {str(c): round(shares[c - 1], 5) for c in CHECKPOINTS if c <= runs},
        "to_level": {str(v): _first(shares, v) for v in LEVELS},
    }


def _first(shares, level):
    return next((i + 1 for i, share in enumerate(shares) if share >= level), None)


def read(path):
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def run(options):
    """Make the missing lines."""
    have = {(r["problem"], r["engine"], r["seed"]) for r in read(options.file)}
    problems = {name: PROBLEMS[name]() for name in options.problems}
    frames = {name: Frame(exact_front(problem)) for name, problem in problems.items()}
    for seed in range(1, options.seeds + 1):
        for engine in options.engines:
            for name, problem in problems.items():
                if (name, engine, seed) in have:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    line = campaign(name, problem, frames[name], engine, seed)
                with options.file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def show(options):
    """Median share at some budgets and median runs to some levels, as Markdown."""
    results = read(options.file)
    for problem in options.problems:
        at, level = (30, 60, 100, 200, 500), ("0.8", "0.9", "0.95")
        head = [problem, "seeds", *(f"@{c}" for c in at), *(f"runs to {v}" for v in level), "CPU s"]
        lines = ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for engine in ENGINES:
            rows = [r for r in results if r["problem"] == problem and r["engine"] == engine]
            if not rows:
                continue
            cells = [_median([r["share"].get(str(c)) for r in rows], "{:.3f}") for c in at]
            cells += [_median_to([r["to_level"][v] for r in rows], rows) for v in level]
            spent = np.median([r["cpu_s"] for r in rows])
            lines.append(f"| {engine} | {len(rows)} | " + " | ".join(cells) + f" | {spent:.1f} |")
        sys.stdout.write("\n".join(lines) + "\n")


def _median(values, form):
    return "-" if None in values else form.format(np.median(values))


def _median_to(values, rows):
    """Searches that never reach the level count as infinitely long."""
    median = np.median([np.inf if v is None else v for v in values])
    return (
        f"{median:.0f}" if np.isfinite(median) else f"> {np.median([r['runs'] for r in rows]):.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["run", "show"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--file", type=Path, default=RESULTS)
    options = parser.parse_args()
    {"run": run, "show": show}[options.command](options)


if __name__ == "__main__":
    main()
