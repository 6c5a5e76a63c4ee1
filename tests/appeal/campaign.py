"""Routers compared over seeds; prints a JSON line per pair, docs/appealnet.jsonl collects them.

python tests/appeal/campaign.py text [TASK]|images LAYERS >> docs/appealnet.jsonl
python tests/appeal/campaign.py table|figure
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dse.accuracy.appeal.archive import PairArchive, read_pair
from dse.accuracy.appeal.curve import RoutingCurve, auroc
from dse.accuracy.appeal.measured import archived
from dse.accuracy.appeal.pairing import IMAGE_SCHEDULE, TEXT_SCHEDULE, Pairing
from dse.accuracy.appeal.routers import ROUTERS, degenerate
from dse.accuracy.cache import cache_root

SEEDS = (1, 2, 3, 4, 5)
IMPROVEMENTS = (0.5, 0.75, 0.9, 0.95)
BETAS = {"white-box": (0.03, 0.1), "black-box": (0.2,)}
TEXT = {
    "tweet3": ("demo", "demo", (2, 1)),
    "rt-sentiment": ("full", "full", (2,)),
    "bbc-topic": ("frozen", "frozen", (1,)),
}
"""Task -> recipe of the edge's encoder, that of the cloud's, and the layers of the edge."""


def targets(archive: PairArchive) -> list[float]:
    """Accuracies [1] at fixed improvements, of the plain small network and the large one."""
    curve = RoutingCurve.of(archive.routed("max-softmax"))
    gap = curve.cloud_accuracy - curve.edge_accuracy
    return [curve.edge_accuracy + share * gap for share in IMPROVEMENTS]


def needed(archive: PairArchive, router: str) -> list[float | None]:
    """Appealing rates at those accuracies; None where one is out of reach."""
    curve = RoutingCurve.of(archive.routed(router))
    most = curve.accuracies.max()
    return [round(curve.appeal_rate_for(a), 4) if a <= most else None for a in targets(archive)]


def figures(archive: PairArchive, router: str) -> dict[str, object]:
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


if __name__ == "__main__":
    if sys.argv[1] == "text":
        text(tuple(sys.argv[2:]) or tuple(TEXT))
    else:
        images(int(sys.argv[2]))
