"""Views of a run beside its truth: the front and all trials, for other programs."""

import csv
import importlib.util
import io
from pathlib import Path

import numpy as np

from dse.core.errors import RunUnwritable
from dse.core.files import canonical_json, write_atomically
from dse.core.problem import Trials
from dse.results.front import Front
from dse.results.table import readable_texts
from dse.results.text_table import TextTable
from dse.runs.run_schema import Question
from dse.runs.store import Run

ALONE = {"use_threads": False, "pre_buffer": False}
"""How Parquet is read. The library's own threads may outlive a short command, which then aborts at
its very end, now and then (seen in 2 of 75 checks)."""


def parquet_works() -> bool:
    """Whether the library for Parquet is installed; without it that view is left out."""
    return importlib.util.find_spec("pyarrow") is not None


def write_views(run: Run) -> Front:
    """Write `front.json`, `trials.csv` and `trials.parquet` of a run anew; gives the front.

    Raises:
        RunUnwritable: If the disk does not take them.
    """
    front = Front.of_run(run)
    views: dict[str, str | bytes] = {
        "front.json": front_json(front),
        "trials.csv": trials_csv(run.question, run.trials),
    }
    if parquet_works():
        views["trials.parquet"] = trials_parquet(run.question, run.trials)
    for name, content in views.items():
        try:
            write_atomically(run.folder / name, content)
        except OSError as error:
            raise RunUnwritable(f"{run.folder / name}: {error.strerror}") from error
    return front


def front_json(front: Front) -> str:
    """The content of `front.json`: equal fronts are equal bytes."""
    return front.to_json() + "\n"


def _columns(question: Question, trials: Trials) -> dict[str, list[object]]:
    """Column -> values in SI units and full precision; None where a failed trial has no answer."""
    ok = trials.ok.tolist()
    columns: dict[str, list[object]] = {"trial": list(range(len(trials)))}
    for quantity in question.knobs:
        columns[quantity.name] = trials.designs[quantity.name].tolist()
    for quantity in question.metrics:
        values = trials.metrics[quantity.name].tolist()
        columns[quantity.name] = [v if good else None for v, good in zip(values, ok, strict=True)]
    columns["feasible"] = trials.feasible.tolist()
    columns["failure_kind"] = [why.kind if why else "" for why in trials.failures]
    columns["failure"] = [why.reason if why else "" for why in trials.failures]
    return columns


def trials_csv(question: Question, trials: Trials) -> str:
    """All trials, the unit in each header; empty where a failed trial has no answer."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [f"{q.name} [{q.unit}]" for q in question.quantities]
    writer.writerow(["trial", *names, "feasible", "failure_kind", "failure"])
    writer.writerows(zip(*_columns(question, trials).values(), strict=True))
    return stream.getvalue()


def trials_json(question: Question, trials: Trials) -> str:
    """All trials with units, roles and evidence, as `front.json` has the front."""
    columns = _columns(question, trials)
    described = [
        {"name": q.name, "unit": q.unit, "role": q.role, "stage": q.stage, "evidence": q.evidence}
        for q in question.quantities
    ]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return canonical_json({"study": question.study, "columns": described, "trials": rows})


def trial_table(question: Question, trials: Trials, most: int) -> TextTable:
    """The newest trials with readable units, at most `most` of them."""
    rows = np.arange(max(0, len(trials) - most), len(trials))
    shown = [q for q in question.quantities if q.unit != "handle"]
    table = TextTable(title=f"{question.study}: {len(rows)} of {len(trials)} trials")
    columns = [[str(row) for row in rows]]
    table.add_column("trial", justify="right")
    for quantity in shown:
        source = trials.designs if quantity.role == "knob" else trials.metrics
        texts, unit = readable_texts(source[quantity.name][rows], quantity)
        if quantity.role == "metric":
            texts = [
                "" if trials.failures[row] else text for row, text in zip(rows, texts, strict=True)
            ]
        name = quantity.name.replace("_", " ")
        table.add_column(f"{name}\n[{unit}]" if unit else name, justify="right")
        columns.append(texts)
    table.add_column("outcome")
    feasible = trials.feasible
    columns.append(
        [str(trials.failures[r] or ("feasible" if feasible[r] else "infeasible")) for r in rows]
    )
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def trials_parquet(question: Question, trials: Trials) -> bytes:
    """All trials as Parquet; unit, role and evidence of a column are in its field's metadata."""
    # Here and not above: loading it takes longer than most commands need.
    import pyarrow
    import pyarrow.parquet

    columns = _columns(question, trials)
    table = pyarrow.table(columns)
    schema = table.schema
    for quantity in question.quantities:
        place = schema.get_field_index(quantity.name)
        facts = {"unit": quantity.unit, "role": quantity.role}
        more = {"stage": quantity.stage} if quantity.stage else {"evidence": quantity.evidence}
        field = schema.field(place).with_metadata({k: str(v) for k, v in {**facts, **more}.items()})
        schema = schema.set(place, field)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table.cast(schema), sink)
    return bytes(sink.getvalue())


def stale_views(run: Run) -> list[str]:
    """Views of a run that are missing or do not say what the truth says, each with what is wrong.

    Parquet is compared by content: another version of its library may write other bytes.
    """
    wanted = {
        "front.json": front_json(Front.of_run(run)),
        "trials.csv": trials_csv(run.question, run.trials),
    }
    found = []
    for name, text in wanted.items():
        path = run.folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.read_bytes() != text.encode():
            found.append(f"{name} is not what the trials give")
    return found + (_stale_parquet(run) if parquet_works() else [])


def _stale_parquet(run: Run) -> list[str]:
    import pyarrow
    import pyarrow.parquet

    path: Path = run.folder / "trials.parquet"
    if not path.is_file():
        return ["trials.parquet is missing"]
    try:
        there = pyarrow.parquet.read_table(path, **ALONE)
    except (pyarrow.ArrowException, OSError) as error:
        return [f"trials.parquet does not read: {error}"]
    wanted = pyarrow.parquet.read_table(
        pyarrow.BufferReader(trials_parquet(run.question, run.trials)), **ALONE
    )
    same = there.equals(wanted, check_metadata=False)
    return [] if same else ["trials.parquet is not what the trials give"]
