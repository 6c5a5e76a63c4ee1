"""Designs per second of the exhaustive sweep: `python tests/benchmarks/sweep_speed.py 10000000 2`.

Sweeps a part of accel10 (three objectives, fewer sizes of columns and buses) of about that many
designs on so many processes, and prints wall seconds, CPU seconds and peak memory.
"""

import json
import math
import resource
import sys
import time

from problems import accel3

from dse.core.parameters import Integer
from dse.core.problem import Problem
from dse.core.space import SearchSpace
from dse.searchers.exhaustive_front import sweep


def part_of_accel10(designs):
    """accel10 with as many column counts and bus widths as make about so many designs."""
    problem = accel3.problem10()
    knobs = {p.name: p for p in problem.space.parameters}
    rest = math.prod(p.count for n, p in knobs.items() if n not in ("columns", "bus"))
    buses = min(6, max(1, round(designs / rest)))
    columns = min(16, max(1, round(designs / rest / buses)))
    knobs["bus"] = Integer("bus", 0, buses - 1, "1")
    knobs["columns"] = Integer("columns", 4, 4 * columns, "1", step=4)
    space = SearchSpace(tuple(knobs.values()))
    return Problem(space, problem.evaluator, problem.objectives, problem.constraints)


def main():
    designs, processes = int(sys.argv[1]), int(sys.argv[2])
    problem = part_of_accel10(designs)
    began = time.monotonic()
    swept = sweep(problem, processes=processes)
    wall = time.monotonic() - began
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    facts = {
        "designs": swept.designs,
        "front": len(swept.codes),
        "processes": processes,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak_MiB_of_the_largest_process": round(max(own.ru_maxrss, children.ru_maxrss) / 1024),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
