"""Durable searches from Python: of a problem (`minimize`), of a study file (`run_study`)."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dse.api.python_study import study_of
from dse.api.runs import Run, load
from dse.core.errors import DseError
from dse.core.parameters import Value
from dse.core.problem import Problem
from dse.runs.failures import common_failures
from dse.runs.manifest import MANIFEST, read_manifest
from dse.search.interrupts import Stop
from dse.search.progress import ProgressListener, RunProgress
from dse.study import runner
from dse.study.loader import load_study
from dse.study.plugins import systems_with
from dse.study.system import AnySystem

Executor: TypeAlias = Literal["serial", "pool", "ray"]


class Unheard:
    """The listener of those who do not watch."""

    def preparing(self, what: str, share: float) -> None:
        """Nothing."""

    def searching(self, progress: RunProgress) -> None:
        """Nothing."""

    def noting(self, what: str) -> None:
        """Nothing."""


UNHEARD = Unheard()

_SAID = {
    "searcher": "searcher", "trials": "budget", "batch": "batch", "seed": "seed",
    "boundary": "boundary",
}  # fmt: skip
"""Key of `search` in a study file -> the argument that says it."""


def minimize(  # noqa: PLR0913  (what a study file says, as arguments)
    problem: Problem,
    *,
    budget: int,
    searcher: str = "nsga2",
    seed: int = 1,
    batch: int = 100,
    workers: int = 1,
    executor: Executor | None = None,
    out: str | Path | None = None,
    name: str = "problem",
    corners: Mapping[str, Mapping[str, Value]] | None = None,
    boundary: bool = True,
    options: Mapping[str, Any] | None = None,
    accept: Sequence[str] = (),
    listener: ProgressListener = UNHEARD,
) -> Run:
    """Search a problem and leave a run in a folder; the same call goes on with it.

    A run that was interrupted is finished, one that has its budget is read, and a larger budget
    searches on. A stopped run gives the same trials as one that never stopped. Measured evaluators
    of the problem run on the workers, also where a notebook or a script defines them.

    Args:
        problem: What is searched.
        budget: Distinct designs, at least 1; the search may end earlier if it finds no new ones.
        searcher: nsga2, nsga3, tpe, gp, optuna_nsga2, optuna_nsga3, random, sobol, exhaustive,
            grey_box or botorch.
        seed: Of every random choice.
        batch: Designs per ask, at least 2; the population of the genetic searchers.
        workers: Processes for measured evaluators; 1 is this process.
        executor: serial, pool or ray; None: serial for one worker, pool for several.
        out: Folder of the run; None: a temporary one, whose path is `run.folder`.
        name: Of the question, in views and tables: small letters, digits, _ and -.
        corners: Name -> design (a value in SI units for every knob) that opens the search.
        boundary: Whether the two ends of the space open the search.
        options: Further keys of `search` in a study file, such as `{"plateau": {"gain": 0.01}}`.
        accept: Fields that may differ from what the run was begun with, as in `code.models`.
        listener: Is told how it goes.

    Raises:
        RunDiffers: If the folder holds a run of something else, or of code that has changed since.
        DseError: If an argument does not exist, or the parts do not fit.
        KeyboardInterrupt: On Ctrl-C; the same call goes on.
    """
    said = [key for key in options or {} if key in _SAID]
    if said:
        raise DseError(f"options: {said[0]!r} is the argument {_SAID[said[0]]!r} of dse.minimize")
    search = {
        **(options or {}), "searcher": searcher, "trials": budget, "batch": batch, "seed": seed,
        "boundary": boundary,
    }  # fmt: skip
    execution = {"executor": executor or ("serial" if workers == 1 else "pool"), "workers": workers}
    study = study_of(problem, name, search, execution, corners or {})
    folder = Path(tempfile.mkdtemp(prefix="edge-dse-")) if out is None else Path(out)
    return _searched(study, folder, budget, accept, listener)


def run_study(
    file: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    system: AnySystem | None = None,
    accept: Sequence[str] = (),
    listener: ProgressListener = UNHEARD,
) -> Run:
    """Search what a study file asks and leave a run in a folder; the same call goes on with it.

    Args:
        file: The study (YAML).
        overrides: Dotted key -> value, as `{"search.seed": 2, "execution.workers": 4}`.
        out: Folder of the run; None: a temporary one, whose path is `run.folder`.
        system: Of the study, where no installed package offers it.
        accept: Fields that may differ from what the run was begun with, as in `code.models`.
        listener: Is told how it goes.

    Raises:
        StudyError: With every problem of the file and the overrides.
        RunDiffers: If the folder holds a run of something else, or of code that has changed since.
        DseError: If something that the study needs is missing.
        KeyboardInterrupt: On Ctrl-C; the same call goes on.
    """
    settings = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
    study = load_study(Path(file), systems_with(system), settings)
    folder = Path(tempfile.mkdtemp(prefix="edge-dse-")) if out is None else Path(out)
    return _searched(study, folder, study.file.search.trials, accept, listener)


def _searched(
    study: Any,  # noqa: ANN401  (a study of any settings)
    folder: Path,
    budget: int,
    accept: Sequence[str],
    listener: ProgressListener,
) -> Run:
    """A new run, or the one that is there, gone on with."""
    stop = Stop()
    if isinstance(accept, str):
        raise DseError(f"accept = {accept!r}: write a list, [{accept!r}]")
    if not (folder / MANIFEST).is_file():
        if accept:
            raise DseError(f"accept = {list(accept)}: {folder} holds no run that could differ")
        ended = runner.run_study(study, folder, listener, stop)
    else:
        asked = int(read_manifest(folder)["trials_asked"])
        if budget < asked:
            raise DseError(f"budget = {budget}: {folder} was begun with {asked}; a run only grows")
        ended = runner.resume(folder, lambda _: study, str(budget), listener, stop, accept=accept)
    run = load(folder)
    failed, most = ended.progress.failed, ended.max_failed_share * ended.progress.trials
    if failed > most:
        reasons = "; ".join(map(str, common_failures(run.trials.failures)))
        warnings.warn(
            f"{failed} of {ended.progress.trials} trials of {folder} failed: {reasons}",
            RuntimeWarning,
            stacklevel=3,
        )
    return run
