"""`dse appeals`: the test inputs of an AppealNet run, routed one by one under a deadline.

always appeals or keeps by the score alone, in time appeals only what can be back before the
deadline; edge and cloud are the two ends. The board's clock is set before there is a score.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dse.cli.terminal import print_data, table_console
from dse.core.errors import DseError
from dse.core.units import to_si
from dse.online.policies.deadline import LeastEnergy
from dse.online.policies.switching_costs import Switching
from dse.online.requests import Policy, Requests, State
from dse.online.rows import Rows
from dse.online.simulation.appeal import AppealOutcomes, Branches, appeal_policy
from dse.online.simulation.simulator import simulate
from dse.results.front import Front
from dse.results.text_table import TextTable
from dse.runs.store import Run, read_run
from hw_models.appeal import Appealing
from search_spaces.dynasplit import CLOCKS
from studies.appealnet.system import SYSTEM, around_of, pairing_of, priced


def rows_of(model: Appealing, layers: int, cloud_network: str) -> Branches:
    """A row per clock that keeps and one that appeals; the clock is settled before the score."""
    n = len(CLOCKS)
    found = model(
        {
            "edge_layers": np.full(n, layers),
            "cpu_frequency": np.array(CLOCKS),
            "cloud_gpu": np.full(n, "on"),
            "cloud_network": np.full(n, cloud_network),
            "appeal_rate": np.zeros(n),
        }
    )
    kept = found["energy"]
    choices = Rows(
        np.concatenate([kept, kept + found["energy_appeal"]]),
        np.concatenate([found["latency_kept"], found["latency_appealed"]]),
        np.zeros(2 * n),
        {"cpu_frequency": np.tile(CLOCKS, 2)},
        np.arange(2 * n),
        np.ones(2 * n, dtype=bool),
    )
    return Branches.of(
        choices,
        np.repeat([False, True], n),
        ("cpu_frequency",),
        8.0 * model.payload,
        model.bandwidth,
    )


def ways_of(branches: Branches, threshold: float) -> dict[str, Policy]:
    """The four ways to route an input."""
    choices, appeals = branches.choices, branches.appeals
    return {
        "edge": LeastEnergy.of(choices.only(~appeals)),
        "cloud": LeastEnergy.of(choices.only(appeals)),
        "always": appeal_policy(branches, threshold, in_time=False),
        "in time": appeal_policy(branches, threshold),
    }


def routed(
    inputs: AppealOutcomes, requests: Requests, threshold: float
) -> list[dict[str, float | str]]:
    """The four ways on the same inputs."""
    branches = inputs.branches
    # The bandwidth of the study, until a request has met another.
    start = State(bandwidth=branches.bandwidth)
    lines: list[dict[str, float | str]] = []
    for name, policy in ways_of(branches, threshold).items():
        run = simulate(policy, requests, inputs, Switching({}), start=start)
        lines.append(
            {
                "policy": name,
                "deadline": float(requests.deadline[0]),
                "late": float(run.late.mean()),
                "appealed": float(branches.appeals[run.rows].mean()),
                "accuracy": float(run.accuracy.mean()),
                "right_in_time": float((run.accuracy * ~run.late).mean()),
                "energy": float(run.energy.mean()),
                "latency_p95": float(np.quantile(run.latency, 0.95)),
            }
        )
    return lines


def show_appeals(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of an appealnet study.")],
    deadline: Annotated[list[str], typer.Option(help="E.g. 100ms; may be given often.")],
    trial: Annotated[
        int | None, typer.Option(help="Whose pair and threshold; default: the knee's.")
    ] = None,
    bandwidth: Annotated[
        list[float] | None, typer.Option(help="Of the link [Mbit/s], met in turn.")
    ] = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Route the test inputs of a run one by one: late, appealed, accuracy, energy."""
    seconds = [_seconds(text) for text in deadline]
    lines = appeals_of(run, seconds, trial, [b * 1e6 for b in bandwidth or ()])
    if format_ == "json":
        print_data(json.dumps(lines, indent=1) + "\n")
        return
    view = TextTable(title=f"{run}: test inputs one by one")
    heads = ("policy", "deadline\nms", "late\n%", "appealed\n%", "accuracy\n%",
             "right in time\n%", "energy\nJ", "p95\nms")  # fmt: skip
    for head in heads:
        view.add_column(head, justify="left" if head == "policy" else "right")
    scales = {"deadline": 1e3, "latency_p95": 1e3, "energy": 1.0}
    for line in lines:
        cells = [
            f"{float(value) * scales.get(name, 100.0):.4g}"
            for name, value in line.items()
            if name != "policy"
        ]
        view.add_row(str(line["policy"]), *cells)
    table_console(160).print(view)


def appeals_of(
    folder: Path, deadlines: list[float], trial: int | None, bandwidths: list[float]
) -> list[dict[str, float | str]]:
    """Lines of the table.

    Args:
        folder: Of the run.
        deadlines: Of every input [s].
        trial: Whose pair and threshold; None: the knee's.
        bandwidths: That inputs meet, one after the other [bit/s]; none: that of the study.

    Raises:
        DseError: If the folder is no run of appealnet, or the trial is none of it.
    """
    from dse.accuracy.appeal.appeal_run import PairRun
    from dse.accuracy.appeal.archive import read_pair
    from dse.accuracy.cache import cache_root
    from dse.study.loader import settings_of

    run = read_run(folder)
    settings = settings_of(folder, SYSTEM)
    number = _knee(run) if trial is None else trial
    if not 0 <= number < len(run.trials) or not run.trials.ok[number]:
        raise DseError(f"trial {number} is not among the evaluated ones of {folder}")
    design = {name: column[[number]] for name, column in run.trials.designs.items()}
    test = PairRun(pairing_of(settings), cache_root(), "test")
    handle = test({name: design[name] for name in test.signature.inputs})["archive"][0]
    seen = read_pair(cache_root(), str(handle)).routed(settings.router)
    model, around = priced(settings), around_of(settings)
    branches = rows_of(model, int(design["edge_layers"][0]), str(design["cloud_network"][0]))
    waits = around.waiting + around.link.base_power
    inputs = AppealOutcomes(
        branches,
        waits,
        seen.edge_right.astype(np.float64),
        seen.cloud_right.astype(np.float64),
    )
    n = len(seen.score)
    met = np.resize(np.array(bandwidths or [model.bandwidth]), n)
    requests = Requests.of(np.ones(n), signal=seen.score, bandwidth=met)
    threshold = float(design["appeal_threshold"][0])
    return [
        line
        for limit in deadlines
        for line in routed(inputs, replace(requests, deadline=np.full(n, limit)), threshold)
    ]


def _knee(run: Run) -> int:
    front = Front.of(run.question, run.trials)
    return int(front.numbers[front.knee_row()])


def _seconds(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return to_si(float(number), text[len(number) :], "s")
    except ValueError as error:
        raise DseError(f"--deadline {text}: write a number and its unit, e.g. 5ms") from error
