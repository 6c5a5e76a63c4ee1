"""Long accuracy campaigns; each prints a JSON line per result; docs/accuracy.jsonl collects them.

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
from dse.accuracy.report import marks
from dse.accuracy.tasks import fetch_task
from dse.accuracy.training import trained_network
from studies.edgebert import misread_cells

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


def sweeps(which: list[str]) -> None:
    """One knob at a time on the fully trained network, one shot, both splits."""
    ways = {
        "float32": [Compression(weight_bits=32)],
        "sparsity": [Compression(pruning_ratio=r / 10) for r in range(10)],
        "embeddings": [Compression(embedding_sparsity=r) for r in (0.4, 0.6, 0.8, 0.9)],
        "bits": [
            Compression(weight_bits=b, exponent_bits=e)
            for e in (3, 4, 2)
            for b in (8, 7, 6, 5, 4)
            if b > e
        ],
        "activations": [Compression(activation_bits=b) for b in (8, 6, 5, 4)],
        "span": [Compression(attention_span=s) for s in (32, 16, 12, 8, 6, 4, 2, 1, 0)],
    }
    for name in which or ways:
        for how in ways[name]:
            measure(f"sweep {name}", "full", how)


def cells(_: list[str]) -> None:
    """The embeddings, 60 % pruned, in cells of 1, 2 and 3 bits at their own fault rates."""
    for bits in (1, 2, 3):
        how = Compression(embedding_sparsity=0.6, cell_bits=bits)
        measure("cells", "full", how, cells=misread_cells(), draws=5)


def tasks(which: list[str]) -> None:
    """Every packaged task: accuracy of each exit of the dense network, both splits."""
    for chosen in which or ("rt-sentiment:full", "tweet3:demo", "bbc-topic:frozen", "spam:frozen"):
        task, _, recipe = chosen.partition(":")
        fetch_task(task, cache_root())
        wall, cpu = time.perf_counter(), time.process_time()
        trained = trained_network(NETWORK, task, recipe, cache_root())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        for split in ("validation", "test"):
            found = marks(trained, task, cache_root(), split)
            say(
                campaign="task",
                task=task,
                recipe=recipe,
                split=split,
                accuracy=rounded(found.accuracy),
                macro_f1=rounded(found.macro_f1),
                majority=round(found.majority, 4),
                training_seconds={"wall": round(wall, 1), "cpu": round(cpu, 1)},
            )


def tuning(which: list[str]) -> None:
    """Pruning-aware training and learned spans; weights of 8 bits."""
    designs = {
        "60": Compression(pruning_ratio=0.6, finetune_steps=750),
        "80": Compression(pruning_ratio=0.8, finetune_steps=2000),
        "span": Compression(finetune_steps=400, span_penalty=0.02),
        "movement": Compression(pruning_ratio=0.8, pruning_method="movement", finetune_steps=2000),
    }
    for name in which or designs:
        measure("tuning", "full", designs[name])


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
