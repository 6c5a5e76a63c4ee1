"""`dse appeal`: the front of an AppealNet run beside edge only, cloud only and a split.

All four stand on the same board, link and node. Accuracies are those of the test split; the front
was chosen on validation.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from dse.errors import DseError
from dse.front import Front
from dse.parameters import FloatArray
from dse.store import Run, read_run
from search_spaces.dynasplit import CLOCKS
from studies.appealnet import Appealnet, Settings, around_of, pairing_of, priced
from studies.dynasplit_testbed import priced_testbed

Line: TypeAlias = dict[str, float | str]
"""Who answers, accuracy and appeal_rate [1], energy [J], latency and latency_p95 [s]."""

COSTS = ("energy", "latency", "latency_p95")


def add_to(app: typer.Typer) -> None:
    """Add `dse appeal`."""
    app.command("appeal", epilog="Example: dse appeal runs/appeal")(show_sides)


def show_sides(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of an appealnet study.")],
    rows: Annotated[int, typer.Option(help="Rows of the front at most.", min=1)] = 8,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """The front of a run beside edge only, cloud only and, for sentences, a split."""
    lines = sides(run, rows)
    if format_ == "json":
        sys.stdout.write(json.dumps(lines, indent=1) + "\n")
        return
    view = Table(title=f"{run}: accuracy on the test split, means per input")
    for head in ("who answers", "accuracy\n%", "appealed\n%", "energy\nJ", "mean\nms", "p95\nms"):
        view.add_column(head, justify="left" if head == "who answers" else "right")
    for line in lines:
        figures = [float(line[k]) for k in ("accuracy", "appeal_rate", "energy", "latency",
                                            "latency_p95")]  # fmt: skip
        scaled = np.array(figures) * (100, 100, 1, 1e3, 1e3)
        view.add_row(str(line["who"]), *(f"{value:.4g}" for value in scaled))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(view)


def sides(folder: Path, rows: int) -> list[Line]:
    """Lines of the comparison: the front best accuracy first, then both ends, then the splits.

    Raises:
        DseError: If the folder is no finished run of appealnet.
    """
    from dse.study import load_study

    settings = load_study(folder / "study.resolved.yaml", {"appealnet": Appealnet()}).settings
    if not isinstance(settings, Settings):
        raise DseError(f"{folder} is no run of the system appealnet")
    run = read_run(folder)
    lines = _front(run, rows)
    pairs = _pairs(run, settings)
    lines += [_alone(settings, layers, right) for layers, (right, _) in sorted(pairs.items())]
    cloud = max(right for _, right in pairs.values())
    return [*lines, _cloud_only(settings, cloud), *_splits(settings, cloud)]


def _front(run: Run, rows: int) -> list[Line]:
    front = Front.of_run(run)
    if not front.held_out:
        raise DseError(f"{run.folder} holds no values on the test split; finish the run first")
    designs, metrics = front.trials.designs, front.trials.metrics
    held = [front.held_out[int(number)] for number in front.numbers]
    order = np.argsort([-each["test_accuracy"] for each in held], kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, rows).round().astype(int))]
    return [
        {
            "who": f"trial {front.numbers[i]}: {int(designs['edge_layers'][i])} layers, beta "
            f"{designs['beta'][i]:g}, threshold {designs['appeal_threshold'][i]:g}, "
            f"{designs['cpu_frequency'][i] / 1e9:g} GHz",
            "accuracy": held[i]["test_accuracy"],
            "appeal_rate": held[i]["test_appeal_rate"],
            **{name: float(metrics[name][i]) for name in COSTS},
        }
        for i in kept
    ]


def _pairs(run: Run, settings: Settings) -> dict[int, tuple[float, float]]:
    """Layers -> accuracy on test of the plain small network and of the best large one."""
    from dse.accuracy.appeal.archive import read_pair
    from dse.accuracy.appeal.curve import RoutingCurve
    from dse.accuracy.appeal.measured import PairRun
    from dse.accuracy.cache import cache_root

    test = PairRun(pairing_of(settings), cache_root(), "test")
    designs = run.trials.designs
    # Neither accuracy depends on beta, so the first pair of each kind will do.
    kinds = {
        (int(designs["edge_layers"][row]), str(designs["cloud_network"][row])): row
        for row in np.flatnonzero(run.trials.ok)[::-1]
    }
    found: dict[int, tuple[float, float]] = {}
    for (layers, _), row in sorted(kinds.items()):
        handle = test({name: designs[name][[row]] for name in test.inputs})["archive"][0]
        curve = RoutingCurve.of(read_pair(cache_root(), str(handle)).routed("max-softmax"))
        before = found.get(layers, (0.0, 0.0))[1]
        found[layers] = curve.edge_accuracy, max(before, curve.cloud_accuracy)
    return found


def _costs(settings: Settings, layers: int, rate: float) -> dict[str, FloatArray]:
    """Of a small network at every clock, with the cheapest large network's node and its GPU."""
    model, n = priced(settings), len(CLOCKS)
    return model(
        {
            "edge_layers": np.full(n, layers),
            "cpu_frequency": np.array(CLOCKS),
            "cloud_gpu": np.full(n, "on"),
            "cloud_network": np.full(n, list(model.clouds)[-1]),
            "appeal_rate": np.full(n, rate),
        }
    )


def _alone(settings: Settings, layers: int, accuracy: float) -> Line:
    found = _costs(settings, layers, 0.0)
    best = int(found["energy"].argmin())
    costs = {name: float(found[name][best]) for name in COSTS}
    who = f"edge only, {layers} layers trained plainly, {CLOCKS[best] / 1e9:g} GHz"
    return {"who": who, "accuracy": accuracy, "appeal_rate": 0.0, **costs}


def _cloud_only(settings: Settings, accuracy: float) -> Line:
    found = _costs(settings, 1, 1.0)
    time = float(found["latency_appealed"][0] - found["latency_kept"][0])
    energy = float(found["energy_appeal"][0])
    return {
        "who": "cloud only", "accuracy": accuracy, "appeal_rate": 1.0, "energy": energy,
        "latency": time, "latency_p95": time,
    }  # fmt: skip


def _splits(settings: Settings, accuracy: float) -> list[Line]:
    """The large network cut after each of its layers; its answers stay what they are."""
    if settings.on_images:
        return []
    around = around_of(settings)
    testbed = priced_testbed(
        "minilm-l6",
        settings.sequence_length,
        waiting=settings.waiting_w,
        idle=settings.cloud_idle_w,
        cpu_slowdown=settings.cloud_cpu_slowdown,
    )
    model = replace(testbed, link=around.link)
    lines: list[Line] = []
    n = len(CLOCKS)
    for cut in range(1, model.edge.layers + 1):
        whole = cut == model.edge.layers
        found = model(
            {
                "split_layer": np.full(n, cut),
                "cpu_frequency": np.array(CLOCKS),
                "tpu_mode": np.full(n, "off"),
                "cloud_gpu": np.full(n, "off" if whole else "on"),
                "bandwidth": np.full(n, around.bandwidth),
            }
        )
        best = int(found["energy"].argmin())
        energy, time = float(found["energy"][best]), float(found["latency"][best])
        who = "large network whole on the edge" if whole else f"split after layer {cut}"
        lines.append(
            {
                "who": f"{who}, {CLOCKS[best] / 1e9:g} GHz", "accuracy": accuracy,
                "appeal_rate": 0.0 if whole else 1.0, "energy": energy, "latency": time,
                "latency_p95": time,
            }
        )  # fmt: skip
    return lines
