"""`dse simulate`: the rows of a run under a stream of requests, policy beside policy."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dse.cli.arguments import RunPath
from dse.cli.terminal import print_data, say, table_console
from dse.core.errors import DseError
from dse.core.files import write_atomically
from dse.online.policies.policy_set import NAMES
from dse.online.simulation.simulation_setup import SimulationConfig, SimulationSetup, compare
from dse.online.simulation.simulator import Simulation, Summary
from dse.online.simulation.workloads import PUBLISHED_SEED
from dse.results.text_table import TextTable
from dse.runs.store import read_run


def simulate(  # noqa: PLR0913  (one argument per flag)
    run: RunPath,
    policy: Annotated[
        list[str] | None,
        typer.Option(help=f"May be given often; default: all that apply. {', '.join(NAMES)}."),
    ] = None,
    requests: Annotated[int, typer.Option(min=2, help="How many, unless a file is replayed.")] = (
        10_000
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of workload, link and luck.")] = PUBLISHED_SEED,
    workload: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Replay threshold_ms, arrival_s ... of a .csv, .parquet."
        ),
    ] = None,
    published: Annotated[
        str | None, typer.Option(metavar="NETWORK", help="DynaSplit's own deadlines, e.g. vgg16.")
    ] = None,
    deadlines: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="E.g. 90ms,5s; default: the run's own latencies."),
    ] = None,
    arrivals: Annotated[Literal["steady", "poisson", "bursty"], typer.Option()] = "steady",
    rate: Annotated[float, typer.Option(help="Mean requests per second.")] = 1.0,
    queue: Annotated[
        Literal["none", "blind", "aware"],
        typer.Option(help="Whether requests wait, and whether the policy is told."),
    ] = "none",
    accuracy: Annotated[float, typer.Option(min=0, max=1, help="Least accuracy asked for.")] = 0.0,
    quantile: Annotated[float, typer.Option(help="That policy `quantile` holds to.")] = 0.95,
    noise: Annotated[
        float, typer.Option(min=0, help="Sigma of a log-normal factor, for closed-form runs.")
    ] = 0.0,
    switch_time: Annotated[str, typer.Option(help="Of any change of rows, e.g. 137ms.")] = "0s",
    switch_energy: Annotated[str, typer.Option(help="Of any change of rows, e.g. 0.5J.")] = "0J",
    hysteresis: Annotated[float, typer.Option(min=0, help="Of policy `switching`.")] = 0.05,
    bandwidth: Annotated[
        str | None,
        typer.Option(help="A trace (.csv), or levels it jumps between: 2Mbit/s,20Mbit/s."),
    ] = None,
    dwell: Annotated[float, typer.Option(help="Mean seconds between such jumps.")] = 60.0,
    latency: Annotated[
        str | None, typer.Option(help="Metric that deadlines are held against.")
    ] = None,
    energy: Annotated[str | None, typer.Option(help="Metric to be kept small.")] = None,
    cut: Annotated[
        str | None, typer.Option(help="Knob that counts the layers on the edge.")
    ] = None,
    design: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB=VALUE", help="Settle the device, if trials are of several."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="An exported lookup table of RUN: adds the policy `table`.")
    ] = None,
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    plot: Annotated[Path | None, typer.Option(help="Write a figure there (.png).")] = None,
    log: Annotated[Path | None, typer.Option(help="Write every decision there (.csv).")] = None,
) -> None:
    """Try policies on a stream of requests: deadlines missed, energy, latency, switches.

    Rows are the run's feasible trials of one device. Every policy meets the same requests and the
    same luck.
    """
    config = SimulationConfig(
        requests=requests, seed=seed, workload=workload, published=published,
        deadlines=deadlines, arrivals=arrivals,
        rate=rate, accuracy=accuracy, quantile=quantile, noise=noise, switch_time=switch_time,
        switch_energy=switch_energy, hysteresis=hysteresis, bandwidth=bandwidth, dwell=dwell,
        latency=latency, energy=energy, cut=cut, design=tuple(design or ()),
        table=table,
    )  # fmt: skip
    read = read_run(run)
    setup = SimulationSetup.of(read, config)
    runs, lines, reference = compare(setup, policy or setup.policy_set.names, queue)
    say(f"{setup.facts}; energy saved against {reference}")
    if plot is not None:
        _plot(plot, read.question.study, setup, runs, lines, reference)
        say(f"figure: {plot}")
    if log is not None:
        _write(log, _log(setup, runs))
        say(f"decisions: {log}")
    _print(lines, format_)


def _print(lines: Sequence[Summary], form: str) -> None:
    if form == "json":
        print_data(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    elif form == "csv":
        print_data(_csv([_flat(line) for line in lines]))
    else:
        console = table_console()
        console.print(_table(lines))


_UNITS = {"excess": "s", "energy": "J", "latency_p50": "s", "latency_p95": "s", "latency_p99": "s"}


def _flat(line: Summary) -> dict[str, object]:
    content = asdict(line)
    placement: Mapping[str, float] = content.pop("placement")
    named = {f"{n} [{_UNITS[n]}]" if n in _UNITS else n: v for n, v in content.items()}
    return {**named, **{f"on {place}": share for place, share in placement.items()}}


def _table(lines: Sequence[Summary]) -> TextTable:
    places = list(lines[0].placement)
    view = TextTable(title=f"{lines[0].requests:,} requests")
    view.add_column("policy")
    knows = any(line.accuracy is not None for line in lines)
    heads = ("late\n%", "late by\nms", "energy\nJ", "saved\n%", "p50\nms", "p95\nms", "p99\nms",
             "switches", *(f"{place}\n%" for place in places),
             *(["accuracy\n%"] if knows else []))  # fmt: skip
    for head in heads:
        view.add_column(head, justify="right")
    for line in lines:
        view.add_row(
            line.policy,
            f"{100 * line.late:.2f}",
            f"{1e3 * line.excess:.1f}",
            f"{line.energy:.4g}",
            f"{100 * line.saving:.1f}",
            *(f"{1e3 * t:.1f}" for t in (line.latency_p50, line.latency_p95, line.latency_p99)),
            f"{line.switches:,}",
            *(f"{100 * line.placement[place]:.1f}" for place in places),
            *([f"{100 * (line.accuracy or 0.0):.2f}"] if knows else []),
        )
    unmet = lines[0].unavoidable
    view.add_caption(f"{100 * unmet:.2f} % of the deadlines are met by no row")
    return view


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _log(setup: SimulationSetup, runs: Mapping[str, Simulation]) -> str:
    """Workload columns, policy, the settings that were picked, and what became of it."""
    requests, choices = setup.requests, setup.policy_set.choices
    rows: list[dict[str, Any]] = []
    for name, run in runs.items():
        settings = {knob: column[run.rows].tolist() for knob, column in choices.settings.items()}
        for i in range(len(requests)):
            rows.append(
                {
                    "request": i,
                    "arrival_s": float(requests.arrival[i]),
                    "threshold_ms": 1e3 * float(requests.deadline[i]),
                    "strategy": name,
                    "trial": int(choices.numbers[run.rows[i]]),
                    **{knob: column[i] for knob, column in settings.items()},
                    "latency_ms": 1e3 * float(run.latency[i]),
                    "energy_j": float(run.energy[i]),
                    "late": bool(run.late[i]),
                }
            )
    return _csv(rows)


def _plot(
    path: Path,
    study: str,
    setup: SimulationSetup,
    runs: Mapping[str, Simulation],
    lines: Sequence[Summary],
    reference: str,
) -> None:
    from dse.online.simulation.comparison_view import comparison_view
    from dse.plots.simulation import simulation_figure
    from dse.plots.static import write_png

    title = f"{study}: {lines[0].requests:,} requests"
    try:
        view = comparison_view(title, setup, runs, lines, reference)
        write_png(simulation_figure(view), path)
    except OSError as error:
        raise DseError(f"{path} cannot be written: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise DseError(f"{path} cannot be written: {error.strerror}") from error
