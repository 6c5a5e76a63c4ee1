"""Long accuracy campaigns; each prints one JSON line per result, which docs/accuracy.json collects.

python tests/accuracy/campaign.py tasks|sweeps|tuning|cost|table >> docs/accuracy.jsonl
"""

import json
import sys
import time
from collections.abc import Iterator

import numpy as np

from dse.accuracy.archive import Archive, read_archive
from dse.accuracy.cache import cache_root
from dse.accuracy.compression import Compression
from dse.accuracy.exits import ExitCurve
from dse.accuracy.measured import AccuracyRun
from dse.accuracy.training import trained_network

TASK, NETWORK = "rt-sentiment", "minilm-l6"
THRESHOLDS = (0.1, 0.3, 0.5)


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts, sort_keys=True) + "\n")
    sys.stdout.flush()


def rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()


def result(archive: Archive) -> dict[str, object]:
    """Accuracy by exit, of the worst draw, and accuracy and depth at fixed thresholds."""
    right = (archive.logits.argmax(axis=-1) == archive.labels[:, None]).astype(float)
    draws = right.reshape(archive.draws, -1, right.shape[1]).mean(axis=1)
    curve = ExitCurve.of(archive.logits, archive.labels, draws=archive.draws)
    accuracy, mean, _, worst = curve.at(np.array(THRESHOLDS))
    return {
        "by_exit": rounded(draws.mean(axis=0)),
        "worst_by_exit": rounded(draws.min(axis=0)),
        "at_thresholds": {
            str(t): {"accuracy": round(a, 4), "mean_exit_layer": round(m, 3), "worst": round(w, 4)}
            for t, a, m, w in zip(THRESHOLDS, accuracy, mean, worst, strict=True)
        },
    }


def passed(recipe: str, task: str, how: Compression, **more: object) -> Iterator[tuple]:
    """The archives of both splits of one compressed network, with the seconds they took."""
    cache = cache_root()
    trained = trained_network(NETWORK, task, recipe, cache)
    for split in ("validation", "test"):
        run = AccuracyRun(trained, task, cache, split, None, ("pruning_ratio",), how, **more)
        began, cpu = time.perf_counter(), time.process_time()
        handle = run({"pruning_ratio": np.array([how.pruning_ratio])})["archive"][0]
        seconds = time.perf_counter() - began, time.process_time() - cpu
        yield split, read_archive(cache, str(handle)), seconds


def measure(name: str, recipe: str, how: Compression, task: str = TASK, **more: object) -> None:
    said = {k: v for k, v in vars_of(how).items() if v != vars_of(Compression())[k]}
    found: dict[str, object] = {"campaign": name, "task": task, "recipe": recipe, **said}
    for split, archive, (wall, cpu) in passed(recipe, task, how, **more):
        found[split] = result(archive)
        found[f"{split}_seconds"] = {"wall": round(wall, 1), "cpu": round(cpu, 1)}
    say(**found)


def vars_of(how: Compression) -> dict[str, object]:
    return {name: getattr(how, name) for name in Compression.__dataclass_fields__}


def tuning(which: list[str]) -> None:
    """Pruning-aware training and learned spans; weights of 8 bits."""
    designs = {
        "60": Compression(pruning_ratio=0.6, finetune_steps=750),
        "80": Compression(pruning_ratio=0.8, finetune_steps=750),
        "span": Compression(finetune_steps=400, span_penalty=0.02),
        "movement": Compression(pruning_ratio=0.8, pruning_method="movement", finetune_steps=750),
    }
    for name in which or designs:
        measure("tuning", "full", designs[name])


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
