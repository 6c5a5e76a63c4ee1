"""EdgeBERT's runtime on a finished run: each sentence of its archive under a deadline.

    dse sentences RUN --deadline 2ms --deadline 5ms

Base runs all layers at the nominal voltage, EE leaves early at it, LAI is sentence-level DVFS
(arXiv 2011.14203), and LAI* takes the voltage of least energy instead of the lowest one in time.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dse.cli.terminal import print_data, table_console
from dse.core.errors import DseError
from dse.core.parameters import Column, FloatArray, Value
from dse.core.units import to_si
from dse.online.policies.deadline import Fixed
from dse.online.policies.switching_costs import Switching
from dse.online.requests import Policy, Requests
from dse.online.simulation.sentence_dvfs import (
    ByForetoldExit,
    ExitLut,
    SentenceOutcomes,
    VoltageRows,
    exit_layers,
    sentence_policy,
    signals,
)
from dse.online.simulation.simulator import simulate
from dse.results.text_table import TextTable
from dse.runs.manifest import require_system
from dse.runs.store import Run, read_run
from hw_models import Supply
from hw_models.cost.kernel import operate
from hw_models.systems.chip import Chip
from search_spaces.edgebert import DEFAULTS


def voltage_rows(
    chip: Chip, design: Mapping[str, Column], supply: Supply | None = None
) -> VoltageRows:
    """What the chip spends per layer on each row of its voltage table.

    Args:
        chip: The machine.
        design: Its design knobs, shape (1,) each.
        supply: Regulator whose settling is waited for.
    """
    points, tech = chip.machine.points, chip.machine.technology
    vdd = points.table.columns["vdd"]
    k = len(vdd)
    knobs = {name: np.repeat(column, k) for name, column in design.items()}
    asked = chip.demand(chip.design({**knobs, "vdd": np.asarray(vdd)}))
    stages = operate(asked, tech, chip.on(np.asarray(vdd)))
    nominal = np.full(k, points.nominal_vdd)
    if vdd[-1] != nominal[0]:
        raise DseError(
            f"the voltage table ends at {vdd[-1]} V; sentences start at nominal {nominal[0]} V"
        )
    return VoltageRows(
        np.asarray(vdd, dtype=np.float64),
        stages.time[1],
        stages.energy[1],
        (supply or Supply()).switching_time(nominal, vdd),
        float(stages.time[0, -1]),
        float(stages.energy[0, -1]),
    )


def schemes(
    rows: VoltageRows,
    entropies: FloatArray,
    right: FloatArray,
    threshold: float,
    deadline: float,
    lut: ExitLut,
) -> dict[str, dict[str, float]]:
    """Base, EE, LAI and LAI* on the same sentences.

    Args:
        rows: What a layer costs at each voltage.
        entropies: Of every sentence at every layer [nat], shape (sentences, layers).
        right: Whether that layer's answer is right [1], same shape.
        threshold: Entropy below which a sentence leaves [nat].
        deadline: Of every sentence [s].
        lut: Foretells the exit from the entropy of the early layers.
    """
    n, early = len(entropies), lut.early_layers
    classes = ByForetoldExit.at(lut, threshold)
    said = Requests.of(np.full(n, deadline), signal=signals(entropies, threshold, early))
    late = classes.of_all(said)
    # A sentence of class 0 has left already, whatever it is held to.
    held = np.where(late == 0, early, early + late)
    nominal = Fixed(rows.nominal)
    asked: dict[str, tuple[Policy, np.ndarray[tuple[int], np.dtype[np.intp]]]] = {
        "Base": (nominal, exit_layers(entropies, 0.0)),
        "EE": (nominal, exit_layers(entropies, threshold)),
        "LAI": (sentence_policy(rows, classes), exit_layers(entropies, threshold, held)),
        "LAI*": (
            sentence_policy(rows, classes, "least energy"),
            exit_layers(entropies, threshold, held),
        ),
    }
    no_charge = Switching({"vdd": rows.vdd})  # settling is in the outcomes already
    found = {}
    for name, (policy, exits) in asked.items():
        answers = right[np.arange(n), exits - 1]
        run = simulate(policy, said, SentenceOutcomes(rows, exits, answers, early), no_charge)
        found[name] = {
            "deadline": deadline,
            "late": float(run.late.mean()),
            "energy": float(run.energy.mean()),
            "latency_mean": float(run.latency.mean()),
            "latency_p95": float(np.quantile(run.latency, 0.95)),
            "mean_exit_layer": float(exits.mean()),
            "accuracy": float(run.accuracy.mean()),
            "mean_vdd": float(rows.vdd[run.rows].mean()),
        }
    return found


def show_sentences(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of an edgebert study.")],
    deadline: Annotated[list[str], typer.Option(help="E.g. 5ms; may be given often.")],
    trial: Annotated[
        int | None, typer.Option(help="Whose network and threshold; default: the knee's.")
    ] = None,
    early: Annotated[int, typer.Option(min=1, help="Layers before the depth is foretold.")] = 1,
    lut: Annotated[
        Path | None,
        typer.Option(
            help="Exit table (CSV as EdgeBERT's); default: learned on half the sentences."
        ),
    ] = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Sentence-level DVFS on the sentences of a run: energy, latency and accuracy per deadline.

    Without --lut, every second sentence teaches the exit table and the others are run.
    """
    seconds = [_seconds(text) for text in deadline]
    read = read_run(run)
    require_system(run, "edgebert")
    number = _knee(read) if trial is None else trial
    if not 0 <= number < len(read.trials) or not read.trials.ok[number]:
        raise DseError(f"trial {number} is not among the evaluated ones of {run}")
    threshold = float(read.trials.designs["exit_threshold"][number])
    entropies, right = _archived(str(read.trials.metrics["archive"][number]))
    chip = _chip(run)
    design = {n: np.array([_knob(read, number, n)]) for n in chip.inputs if n != "vdd"}
    rows = voltage_rows(chip, design)
    if lut is None:
        table = _taught(entropies[::2], early)
        entropies, right = entropies[1::2], right[1::2]
    else:
        table = ExitLut.read(lut, early, entropies.shape[1])
    lines: list[dict[str, float | str]] = [
        {"scheme": name, **figures}
        for limit in seconds
        for name, figures in schemes(rows, entropies, right, threshold, limit, table).items()
    ]
    if format_ == "json":
        print_data(json.dumps({"trial": number, "lines": lines}, indent=1) + "\n")
        return
    console = table_console(160)
    console.print(_table(lines, f"trial {number}, threshold {threshold:g} nat, p = {early}"))


def _knee(run: Run) -> int:
    from dse.results.front import Front

    front = Front.of(run.question, run.trials)
    return int(front.numbers[front.knee_row()])


def _taught(entropies: FloatArray, early: int) -> ExitLut:
    from dse.accuracy.predictor import fitted

    table = fitted(entropies, early)
    return ExitLut(table.entropies, table.predicted, early, entropies.shape[1])


def _archived(handle: str) -> tuple[FloatArray, FloatArray]:
    """Entropies and rightness, shape (sentences, layers) each."""
    from dse.accuracy.archive import read_archive
    from dse.accuracy.cache import cache_root
    from dse.accuracy.exits import entropy

    archive = read_archive(cache_root(), handle)
    right = archive.logits.argmax(axis=2) == archive.labels[:, np.newaxis]
    return entropy(archive.logits), right.astype(np.float64)


def _knob(run: Run, number: int, name: str) -> Value:
    """A knob of a trial, or the value that the system gives a knob left out."""
    known = {**run.trials.designs, **run.trials.metrics}
    if name not in known:
        return DEFAULTS[name]
    value: Value = known[name][number].item()
    return value


def _chip(folder: Path) -> Chip:
    """The chip that the run's study composed."""
    from dse.study.loader import settings_of
    from studies.edgebert.system import SYSTEM, priced

    settings = settings_of(folder, SYSTEM)
    if settings.exit_rule != "entropy":
        raise DseError(f"sentences leave by entropy here; this run's rule is {settings.exit_rule}")
    return priced(settings).chip


def _seconds(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return to_si(float(number), text[len(number) :], "s")
    except ValueError as error:
        raise DseError(f"--deadline {text}: write a number and its unit, e.g. 5ms") from error


def _table(lines: list[dict[str, float | str]], title: str) -> TextTable:
    view = TextTable(title=title)
    heads = ("scheme", "deadline\nms", "late\n%", "energy\nuJ", "mean\nms", "p95\nms",
             "exit\nlayer", "accuracy\n%", "mean vdd\nV")  # fmt: skip
    for head in heads:
        view.add_column(head, justify="left" if head == "scheme" else "right")
    for line in lines:
        number = {key: float(value) for key, value in line.items() if key != "scheme"}
        view.add_row(
            str(line["scheme"]),
            f"{1e3 * number['deadline']:g}",
            f"{100 * number['late']:.1f}",
            f"{1e6 * number['energy']:.1f}",
            f"{1e3 * number['latency_mean']:.3f}",
            f"{1e3 * number['latency_p95']:.3f}",
            f"{number['mean_exit_layer']:.2f}",
            f"{100 * number['accuracy']:.2f}",
            f"{number['mean_vdd']:.3f}",
        )
    return view
