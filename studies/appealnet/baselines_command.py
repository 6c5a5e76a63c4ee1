"""`dse appeal`: the front of an AppealNet run beside edge only, cloud only and a split.

All four stand on the same board, link and node. What is shown, and in which order, is decided on
the validation split alone; accuracy, appeals and costs are those of the test split beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from dse.accuracy.appeal.routers import BoolArray, Routed, Router
from dse.cli.terminal import print_data, table_console
from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.space import Columns
from dse.results.front import Front
from dse.results.text_table import TextTable
from dse.runs.store import Run, read_run
from search_spaces.dynasplit import CLOCKS
from studies.appealnet.system import SYSTEM, Settings, around_of, pairing_of, priced
from studies.dynasplit.testbed import priced_testbed

Line: TypeAlias = dict[str, float | str]
"""Who answers; accuracy_validation, accuracy, appeal_rate [1], energy [J], latency and latency_p95
[s], all but the first on test; standard_error of the accuracy [1]; gain over the large network
alone on the same test inputs, and gain_error, its standard error [1]."""

COSTS = ("energy", "latency", "latency_p95")

COLUMNS: Mapping[str, tuple[str, float]] = {
    "accuracy_validation": ("validation\n%", 100.0),
    "accuracy": ("test\n%", 100.0),
    "standard_error": ("+-\n%", 100.0),
    "gain": ("over cloud\n%", 100.0),
    "gain_error": ("+-\n%", 100.0),
    "appeal_rate": ("appealed\n%", 100.0),
    "energy": ("energy\nJ", 1.0),
    "latency": ("mean\nms", 1e3),
    "latency_p95": ("p95\nms", 1e3),
}
"""Of a line: head of the printed column, and what its numbers are multiplied by."""


def show_sides(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of an appealnet study.")],
    rows: Annotated[int, typer.Option(help="Rows of the front at most.", min=1)] = 8,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """The front of a run beside edge only, cloud only and, for sentences, a split."""
    lines = sides(run, rows)
    if format_ == "json":
        print_data(json.dumps(lines, indent=1) + "\n")
        return
    view = TextTable(title=f"{run}: chosen on validation, measured on test; +- one standard error")
    view.add_column("who answers")
    for head, _ in COLUMNS.values():
        view.add_column(head, justify="right")
    for line in lines:
        figures = (float(line[name]) * scale for name, (_, scale) in COLUMNS.items())
        view.add_row(str(line["who"]), *(f"{figure:.4g}" for figure in figures))
    table_console(160).print(view)


def sides(folder: Path, rows: int) -> list[Line]:
    """Lines of the comparison: the front best on validation first, then both ends, then the splits.

    Raises:
        DseError: If the folder is no run of appealnet, or nothing of it is feasible.
    """
    from dse.study.loader import settings_of

    settings = settings_of(folder, SYSTEM)
    run = read_run(folder)
    lines = _front(run, settings, rows)
    pairs = _pairs(run, settings)
    lines += [_alone(settings, layers, pairs[layers][0]) for layers in sorted(pairs)]
    cloud = max(
        (pair for some in pairs.values() for pair in some), key=lambda pair: pair.cloud_validation
    )
    return [*lines, _cloud_only(settings, cloud), *_splits(settings, cloud)]


def spread_over(accuracies: FloatArray, count: int) -> NDArray[np.intp]:
    """Rows of a front to show: best accuracy first, and evenly over its ranks.

    Args:
        accuracies: On validation, which chose the front [1], shape (n,).
        count: Rows at most.
    """
    order = np.argsort(-accuracies, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(np.intp))]


def _front(run: Run, settings: Settings, rows: int) -> list[Line]:
    front = Front.of_run(run)
    if not len(front):
        raise DseError(f"{run.folder} holds no feasible design")
    designs, found = front.trials.designs, front.trials.metrics["accuracy"]
    lines: list[Line] = []
    for i in spread_over(found, rows):
        design = {name: column[[i]] for name, column in designs.items()}
        seen = _answers(settings, design, "test", settings.router)
        away = seen.score < designs["appeal_threshold"][i]
        right = np.where(away, seen.cloud_right, seen.edge_right)
        costs = priced(settings)({**design, "appeal_rate": np.array([away.mean()])})
        who = (
            f"trial {front.numbers[i]}: {int(designs['edge_layers'][i])} layers, beta "
            f"{designs['beta'][i]:g}, threshold {designs['appeal_threshold'][i]:g}, "
            f"{designs['cpu_frequency'][i] / 1e9:g} GHz"
        )
        said = _accuracy(float(found[i]), right, seen.cloud_right, float(away.mean()))
        lines.append({"who": who, **said, **{name: float(costs[name][0]) for name in COSTS}})
    return lines


def _accuracy(validation: float, right: BoolArray, cloud: BoolArray, rate: float) -> Line:
    """What a line says of answers to test, beside the large network's answers to the same."""
    gain = right.astype(np.float64) - cloud
    return {
        "accuracy_validation": validation,
        "accuracy": float(right.mean()),
        "standard_error": _error(right),
        "gain": float(gain.mean()),
        "gain_error": _error(gain),
        "appeal_rate": rate,
    }


def _error(values: FloatArray | BoolArray) -> float:
    """Standard error of a mean."""
    return float(np.asarray(values, dtype=np.float64).std() / np.sqrt(len(values)))


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A plain small network and a large one.

    Attributes:
        edge_validation: Accuracy of the small one on validation [1].
        cloud_validation: Of the large one [1].
        edge: Whether the small one is right on test, shape (inputs,).
        cloud: The same of the large one.
    """

    edge_validation: float
    cloud_validation: float
    edge: BoolArray
    cloud: BoolArray


def _pairs(run: Run, settings: Settings) -> dict[int, list[_Pair]]:
    """Layers -> the plain small network beside each large one."""
    designs = run.trials.designs
    # Neither accuracy depends on beta, so the first pair of each kind will do.
    kinds = {
        (int(designs["edge_layers"][row]), str(designs["cloud_network"][row])): row
        for row in np.flatnonzero(run.trials.ok)[::-1]
    }
    found: dict[int, list[_Pair]] = {}
    for (layers, _), row in sorted(kinds.items()):
        design = {name: column[[row]] for name, column in designs.items()}
        here, test = (
            _answers(settings, design, part, "max-softmax") for part in ("validation", "test")
        )
        ends = float(here.edge_right.mean()), float(here.cloud_right.mean())
        found.setdefault(layers, []).append(_Pair(*ends, test.edge_right, test.cloud_right))
    return found


def _answers(settings: Settings, design: Columns, part: str, router: Router) -> Routed:
    """A split as a router sees the pair of one design."""
    from dse.accuracy.appeal.appeal_run import PairRun
    from dse.accuracy.appeal.archive import read_pair
    from dse.accuracy.cache import cache_root

    run = PairRun(pairing_of(settings), cache_root(), "test" if part == "test" else "validation")
    handle = run({name: design[name] for name in run.signature.inputs})["archive"][0]
    return read_pair(cache_root(), str(handle)).routed(router)


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


def _alone(settings: Settings, layers: int, pair: _Pair) -> Line:
    found = _costs(settings, layers, 0.0)
    best = int(found["energy"].argmin())
    costs = {name: float(found[name][best]) for name in COSTS}
    who = f"edge only, {layers} layers trained plainly, {CLOCKS[best] / 1e9:g} GHz"
    return {"who": who, **_accuracy(pair.edge_validation, pair.edge, pair.cloud, 0.0), **costs}


def _cloud_only(settings: Settings, pair: _Pair) -> Line:
    found = _costs(settings, 1, 1.0)
    time = float(found["latency_appealed"][0] - found["latency_kept"][0])
    energy = float(found["energy_appeal"][0])
    return {
        "who": "cloud only", **_accuracy(pair.cloud_validation, pair.cloud, pair.cloud, 1.0),
        "energy": energy, "latency": time, "latency_p95": time,
    }  # fmt: skip


def _splits(settings: Settings, pair: _Pair) -> list[Line]:
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
                "who": f"{who}, {CLOCKS[best] / 1e9:g} GHz",
                **_accuracy(pair.cloud_validation, pair.cloud, pair.cloud, float(not whole)),
                "energy": energy, "latency": time, "latency_p95": time,
            }
        )  # fmt: skip
    return lines
