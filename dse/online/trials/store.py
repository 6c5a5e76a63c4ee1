"""Measured trials as a run folder: estimates as trials, every single measurement beside them."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.files import canonical_json, write_atomically
from dse.core.parameters import FloatArray
from dse.core.problem import Problem, Trials, judge
from dse.core.space import SearchSpace
from dse.online.trials.evaluator import Measured, MeasuredTrials, at_quantile, objectives_of
from dse.online.trials.table_file import TrialsLayout
from dse.results.front import Front
from dse.runs.run_schema import Question
from dse.runs.store import RunWriter, require_free

MEASUREMENTS = "measurements.npz"
"""In the folder of an imported run: metric by metric, and the trial of each measurement."""

_TRIAL = "trial"


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Every single measurement of a run's trials.

    Attributes:
        trial: Trial number of each measurement, shape (runs,).
        metrics: Metric -> values [its unit], shape (runs,) each.
    """

    trial: NDArray[np.int64]
    metrics: Mapping[str, FloatArray]

    def of_trials(self, metric: str, numbers: NDArray[np.int64]) -> tuple[FloatArray, ...]:
        """Sorted measurements of each of the trials; one array a trial.

        Raises:
            DseError: If the metric was not measured.
        """
        if metric not in self.metrics:
            raise DseError(f"{metric} was not measured; there are {', '.join(self.metrics)}")
        values = self.metrics[metric]
        return tuple(np.sort(values[self.trial == number]) for number in numbers)


def import_trials(
    trials: MeasuredTrials, layout: TrialsLayout, folder: Path, *, quantile: float = 0.5
) -> Front:
    """Write a run folder whose trials are the measured designs; returns its front.

    Args:
        trials: What was measured.
        layout: How it was read; part of the run's identity.
        folder: Must not exist, or be empty.
        quantile: Of each design's measurements, on the bad side of each metric [1].

    Raises:
        RunExists: If the folder holds something.
        DseError: If it cannot be written.
    """
    require_free(folder)
    problem = Problem(
        SearchSpace(trials.parameters()), Measured(trials, quantile), objectives_of(trials)
    )
    judged = problem.evaluate(problem.space.encode(trials.designs))
    name = _study_name(trials.raw.file)
    text = f"{len(trials)} measured runs of {len(judged)} designs, quantile {quantile:g}"
    question = Question.of(name, text, problem)
    columns = {name: column.tolist() for name, column in trials.columns().items()}
    digest = hashlib.sha256(canonical_json(columns).encode()).hexdigest()
    resolved = canonical_json({"layout": layout.model_dump(), "quantile": quantile}) + "\n"
    manifest = {
        "identity": hashlib.sha256(f"{digest} {resolved}".encode()).hexdigest(),
        "facts": {"measurements_sha256": digest},
        "searcher": "import",
        "trials_asked": len(judged),
        "export": _export(trials),
    }
    with RunWriter(
        folder, question, study_text=resolved, resolved=resolved, manifest=manifest
    ) as writer:
        writer.add(judged)
        _write_measurements(trials, folder)
        writer.finish("imported", {"trials": len(judged)})
    return Front.of(question, judged)


def reestimated(run_trials: Trials, question: Question, more: Measurements, q: float) -> Trials:
    """The same trials with each objective at another quantile of its measurements.

    Args:
        run_trials: Of an imported run, in the order of their numbers.
        question: What that run asks.
        more: Its measurements.
        q: On the bad side of each objective [1], above 0 and at most 1.

    Raises:
        DseError: If an objective was not measured, or the quantile is out of range.
    """
    metrics = dict(run_trials.metrics)
    for objective in question.objectives:
        samples = more.of_trials(objective.name, np.arange(len(run_trials)))
        metrics[objective.name] = np.array(
            [at_quantile(sample, q, objective.direction) for sample in samples]
        )
    return judge(
        question.objectives,
        question.constraints,
        run_trials.codes,
        run_trials.designs,
        metrics,
        run_trials.failures,
    )


def read_measurements(folder: Path) -> Measurements | None:
    """The measurements of a run folder; None if it holds none.

    Raises:
        DseError: If the file does not read.
    """
    path = folder / MEASUREMENTS
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in archive.files}
        return Measurements(columns.pop(_TRIAL), columns)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DseError(f"{path} does not read as measurements: {error}") from error


def _write_measurements(trials: MeasuredTrials, folder: Path) -> None:
    stream = io.BytesIO()
    columns = {name: trials.raw.metrics[name] for name in trials.metrics}
    columns[_TRIAL] = trials.group.astype(np.int64)
    np.savez(stream, **columns)  # type: ignore[arg-type]  # the stub lets no keyword be an array
    write_atomically(folder / MEASUREMENTS, stream.getvalue())


def _study_name(file: str) -> str:
    stem = "".join(c if c.isalnum() or c in "_-" else "_" for c in Path(file).stem.lower())
    return f"trials_{stem}"[:64]


def _export(trials: MeasuredTrials) -> dict[str, str]:
    names = list(trials.objectives)
    sort_by = "energy" if "energy" in names else names[0]
    return {"sort_by": sort_by, "fallback": "latency" if "latency" in names else names[0]}
