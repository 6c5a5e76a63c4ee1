"""Routers compared over seeds; prints a JSON line per pair, docs/appealnet.jsonl collects them.

python tests/appeal/campaign.py text [TASK ...]|images LAYERS >> docs/appealnet.jsonl
python tests/appeal/campaign.py table|doubt|figure
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dse.accuracy.appeal.appeal_run import archived
from dse.accuracy.appeal.archive import PairArchive, read_pair
from dse.accuracy.appeal.curve import Prices, RoutingCurve, auroc
from dse.accuracy.appeal.losses import CloudAccess
from dse.accuracy.appeal.pairing import IMAGE_SCHEDULE, TEXT_SCHEDULE, Pairing
from dse.accuracy.appeal.routers import CONFIDENCES, ROUTERS, Routed, Router, degenerate
from dse.accuracy.cache import cache_root
from studies.appealnet.system import Settings, priced

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = DOCS / "appealnet.jsonl"
STYLES: dict[Router, str] = {
    "appeal": "C3-", "max-softmax": "C0-", "margin": "C2--", "learning-to-exit": "C4:",
    "random": "C7:", "oracle": "k-.",
}  # fmt: skip
SEEDS = (1, 2, 3, 4, 5)
IMPROVEMENTS = (0.5, 0.75, 0.9, 0.95)
BETAS: dict[CloudAccess, tuple[float, ...]] = {"white-box": (0.03, 0.1), "black-box": (0.2,)}
TEXT = {
    "tweet3": ("demo", "demo", (2, 1)),
    "rt-sentiment": ("demo", "demo", (2,)),
    "bbc-topic": ("frozen", "frozen", (1,)),
}
"""Task -> recipe of the edge's encoder, that of the cloud's, and the layers of the edge."""


def targets(archive: PairArchive) -> list[float]:
    """Accuracies [1] at fixed improvements, of the plain small network and the large one."""
    curve = RoutingCurve.of(archive.routed("max-softmax"))
    gap = curve.cloud_accuracy - curve.edge_accuracy
    return [curve.edge_accuracy + share * gap for share in IMPROVEMENTS]


def needed(archive: PairArchive, router: Router) -> list[float | None]:
    """Appealing rates at those accuracies; None where one is out of reach."""
    curve = RoutingCurve.of(archive.routed(router))
    most = curve.accuracies.max()
    return [round(curve.appeal_rate_for(a), 4) if a <= most else None for a in targets(archive)]


def figures(archive: PairArchive, router: Router) -> dict[str, object]:
    routed = archive.routed(router)
    curve = RoutingCurve.of(routed)
    helped = routed.cloud_right & ~routed.edge_right
    return {
        "auroc": round(auroc(routed.score, routed.edge_right), 4),
        "auroc_helped": round(auroc(routed.score, ~helped), 4),
        "area": round(curve.area, 5),
        "edge_accuracy": round(curve.edge_accuracy, 4),
        "appeal_rates": needed(archive, router),
    }


def heads(pairing: Pairing) -> Iterator[tuple[str, dict[str, object], PairArchive]]:
    """Each kind of head at the beta that needs the fewest appeals on validation."""
    for access, betas in BETAS.items():
        for target in ("losses", "mistakes"):
            found = []
            for beta in betas:
                schedule = replace(pairing.schedule, target=target)
                one = replace(pairing, beta=beta, access=access, schedule=schedule)
                handles = archived(one, cache_root())
                on, test = (read_pair(cache_root(), handles[p]) for p in ("validation", "test"))
                rates = [1.0 if r is None else r for r in needed(on, "appeal")]
                found.append((float(np.mean(rates)), beta, test))
            _, beta, test = min(found, key=lambda each: each[:2])
            spoilt = [b for _, b, t in found if degenerate(t.trust)]
            facts = {"beta": beta, "mean_q": round(float(test.trust.mean()), 4),
                     "degenerate_betas": spoilt}  # fmt: skip
            yield f"appeal {access} {target}", facts, test


def pair_lines(pairing: Pairing) -> dict[str, object]:
    lines: dict[str, object] = {}
    test = None
    for name, facts, test in heads(pairing):
        lines[name] = {**figures(test, "appeal"), **facts}
    assert test is not None
    for router in ROUTERS[1:]:
        lines[router] = figures(test, router)
    curve = RoutingCurve.of(test.routed("max-softmax"))
    return {
        "task": pairing.task,
        "edge_layers": pairing.edge_layers,
        "trunk": "" if pairing.on_images else pairing.trunk,
        "cloud": pairing.cloud_network,
        "seed": pairing.seed,
        "test_inputs": curve.inputs,
        "edge_accuracy": round(curve.edge_accuracy, 4),
        "cloud_accuracy": round(curve.cloud_accuracy, 4),
        "routers": lines,
    }


def say(pairing: Pairing) -> None:
    sys.stdout.write(json.dumps(pair_lines(pairing), sort_keys=True) + "\n")
    sys.stdout.flush()


def text(tasks: tuple[str, ...]) -> None:
    for task in tasks:
        trunk, cloud, layers = TEXT[task]
        for k in layers:
            for seed in SEEDS:
                say(Pairing(task, k, cloud, 0.1, seed=seed, trunk=trunk, schedule=TEXT_SCHEDULE))


def images(layers: int) -> None:
    for seed in SEEDS:
        say(Pairing("fashion-mnist", layers, "cnn-large", 0.1, seed=seed,
                    schedule=IMAGE_SCHEDULE))  # fmt: skip


def prices_of(task: str, layers: int, idle: float) -> Prices:
    """Energy at the highest clock, with the node's GPU [J]."""
    model = priced(Settings(task=task, cloud_idle_w=idle))
    cloud = "cnn-large" if task == "fashion-mnist" else "demo"
    found = model(
        {
            "edge_layers": np.array([layers]),
            "cpu_frequency": np.array([1.8e9]),
            "cloud_gpu": np.array(["on"]),
            "cloud_network": np.array([cloud]),
            "appeal_rate": np.zeros(1),
        }
    )
    return Prices(float(found["energy"][0]), float(found["energy_appeal"][0]))


def groups() -> dict[tuple[str, int], list[dict]]:
    """Lines of docs/appealnet.jsonl by task and layers."""
    found: dict[tuple[str, int], list[dict]] = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault((row["task"], row["edge_layers"]), []).append(row)
    return found


def spread(values: np.ndarray, scale: float = 1.0, digits: int = 3) -> str:
    """Median and range over the seeds."""
    low, middle, high = (float(f(values)) * scale for f in (np.min, np.median, np.max))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table() -> None:
    """Markdown: AUROC and appealing rates of every router, then the savings of the heads."""
    lines = ["| task, layers | router | AUROC | AUROC helped | appealed at AccI 0.5, % | 0.75 "
             "| 0.9 | 0.95 |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for (task, layers), rows in groups().items():
        for name in rows[0]["routers"]:
            of = [row["routers"][name] for row in rows]
            rates = np.array([r["appeal_rates"] for r in of])
            cells = [spread(np.array([r[k] for r in of])) for k in ("auroc", "auroc_helped")]
            cells += [spread(rates[:, i], 100, 1) for i in range(len(IMPROVEMENTS))]
            lines.append(f"| {task}, {layers} | {name} | {' | '.join(cells)} |")
    lines += ["", "| task, layers | head | charged | saving at AccI 0.5, % | 0.75 | 0.9 | 0.95 |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    for (task, layers), rows in groups().items():
        for name in [n for n in rows[0]["routers"] if n.startswith("appeal")]:
            for charged, idle in (("whole node", 0.0), ("above idle", 887.0)):
                saved = savings(rows, name, prices_of(task, layers, idle))
                cells = [spread(saved[:, i], 100, 0) for i in range(len(IMPROVEMENTS))]
                lines.append(f"| {task}, {layers} | {name} | {charged} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


def savings(rows: list[dict], name: str, prices: Prices) -> np.ndarray:
    """Energy saved over the best of three baselines on the same seed, shape (seeds, AccI)."""
    found = []
    for row in rows:
        ours = row["routers"][name]["appeal_rates"]
        theirs = [row["routers"][b]["appeal_rates"] for b in CONFIDENCES]
        best = [min(rates) for rates in zip(*theirs, strict=True)]
        found.append([prices.saving(a, b) for a, b in zip(ours, best, strict=True)])
    return np.array(found)


def first_pair(task: str, layers: int, beta: float) -> Pairing:
    """The pair of the first seed, its head fitted to mistakes."""
    if task in TEXT:
        trunk, cloud, _ = TEXT[task]
        schedule = replace(TEXT_SCHEDULE, target="mistakes")
        return Pairing(task, layers, cloud, beta, seed=1, trunk=trunk, schedule=schedule)
    schedule = replace(IMAGE_SCHEDULE, target="mistakes")
    return Pairing(task, layers, "cnn-large", beta, seed=1, schedule=schedule)


def doubt(task: str = "tweet3", layers: int = 2, beta: float = 0.03) -> None:
    """How far the test inputs themselves decide: appeals saved at AccI 0.9, 1,000 resamples."""
    one = first_pair(task, layers, beta)
    archive = read_pair(cache_root(), archived(one, cache_root())["test"])
    routers: tuple[Router, ...] = ("appeal", *CONFIDENCES)
    routed = {name: archive.routed(name) for name in routers}
    rng = np.random.default_rng(1)
    saved = []
    for _ in range(1000):
        rows = rng.integers(0, len(archive.labels), len(archive.labels))
        curves = {
            name: RoutingCurve.of(Routed(r.score[rows], r.edge_right[rows], r.cloud_right[rows]))
            for name, r in routed.items()
        }
        plain = curves["margin"]
        goal = plain.edge_accuracy + 0.9 * (plain.cloud_accuracy - plain.edge_accuracy)
        best = min(curves[name].appeal_rate_for(goal) for name in CONFIDENCES)
        saved.append(1.0 - curves["appeal"].appeal_rate_for(goal) / best)
    low, middle, high = np.quantile(saved, [0.05, 0.5, 0.95])
    sys.stdout.write(
        f"{task}, {layers} layers, seed 1: appeals saved {middle:.2f}, 90 % of the resamples "
        f"between {low:.2f} and {high:.2f}; more than none in {np.mean(np.array(saved) > 0):.1%}\n"
    )


def figure() -> None:
    """docs/appealnet.png: accuracy over appealing rate of the first seed, per task."""
    shown = [("tweet3", 2), ("rt-sentiment", 2), ("fashion-mnist", 2), ("fashion-mnist", 1)]
    shown = [pair for pair in shown if pair in groups()]
    view, axes = plt.subplots(1, len(shown), figsize=(4.1 * len(shown), 3.9))
    for axis, (task, layers) in zip(axes, shown, strict=True):
        archive = read_pair(
            cache_root(), archived(first_pair(task, layers, 0.03), cache_root())["test"]
        )
        for router, style in STYLES.items():
            curve = RoutingCurve.of(archive.routed(router))
            label = "appeal head (mistakes)" if router == "appeal" else router
            axis.plot(100 * curve.appeal_rates, 100 * curve.accuracies, style, label=label, lw=1.3)
        axis.set(title=f"{task}, {layers} on the edge", xlabel="appealed [%]", xlim=(0, 100))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy on test [%]")
    view.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(STYLES))
    view.tight_layout(rect=(0, 0.07, 1, 1))
    view.savefig(DOCS / "appealnet.png", dpi=130)


if __name__ == "__main__":
    what, *more = sys.argv[1:]
    if what == "text":
        text(tuple(more) or tuple(TEXT))
    elif what == "images":
        images(int(more[0]))
    elif what == "table":
        table()
    elif what == "doubt":
        doubt(more[0], int(more[1]), float(more[2])) if more else doubt()
    else:
        figure()
