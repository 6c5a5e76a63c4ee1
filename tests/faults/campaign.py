"""Campaigns of faults; each prints what it did and what it found as one JSON object.

python tests/faults/campaign.py kills --count 2000 --seed 1
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from cuts import cuts
from damage import damage
from disks import disk_faults
from kills import kills
from moves import HOSTS, SEARCHERS, moves
from stops import stops
from worker_faults import worker_faults

KILLED = ("nsga2", "random", "exhaustive", "tpe")


def main() -> None:
    """Run one campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "campaign", choices=["kills", "cuts", "damage", "stops", "moves", "workers", "disks"]
    )
    parser.add_argument(
        "--count", type=int, help="kills (200) or damages (240); stops or seeds per searcher"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--searchers", default="", help="of kills, stops and moves")
    parser.add_argument("--hosts", default=",".join(HOSTS), help="of the moves, in order")
    parser.add_argument("--reach", type=float, default=1.0, help="of kills: share of a run's time")
    parser.add_argument("--step", type=int, default=1, help="bytes between two cuts")
    parser.add_argument("--resume-every", type=int, default=1, help="of the cuts")
    parser.add_argument("--executor", help="of the workers (pool) and of kills (serial)")
    parser.add_argument("--root", help="where the runs lie; default: the temporary folder")
    given = parser.parse_args()
    chosen = [name for name in given.searchers.split(",") if name]
    count = given.count or (240 if given.campaign == "damage" else 200)
    seed, executor = given.seed, given.executor
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults", dir=given.root) as name:
        root = Path(name)
        found = {
            "kills": lambda: kills(
                count, seed, root, chosen or KILLED, given.reach, executor or "serial"
            ),
            "cuts": lambda: cuts(given.step, given.resume_every, root),
            "damage": lambda: damage(count, seed, root),
            "workers": lambda: worker_faults(count, executor or "pool", root),
            "disks": lambda: disk_faults(root),
            "moves": lambda: moves(count, root, given.hosts.split(","), chosen or SEARCHERS),
            "stops": lambda: stops(count, seed, root, chosen),
        }[given.campaign]()
    command = f"python tests/faults/campaign.py {' '.join(sys.argv[1:])}"
    found |= {"command": command, "seconds": round(time.monotonic() - began, 1)}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
