"""A problem that Python put together, as the study that a run folder keeps."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from dse.accuracy.archive import files_of
from dse.core.errors import DseError, SpaceError
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.files import canonical_json
from dse.core.fingerprint import described
from dse.core.functions import FunctionEvaluator
from dse.core.parameters import Categorical, Integer, Ordinal, Parameter, Value
from dse.core.problem import Problem
from dse.core.space import Columns, SearchSpace
from dse.runs.lock import now
from dse.runs.manifest import PYTHON
from dse.study.loader import Study
from dse.study.schema import Execution, Export, Knob, Limit, Search, StudyFile
from dse.study.system import Composed, NoSettings, Spreader, System, Watcher

if TYPE_CHECKING:
    from dse.accuracy.accuracy_run import AccuracyRun


_ARGUMENTS = {"trials": "budget", "study": "name"}
"""Key of a study file -> the argument of `dse.minimize` that says it."""


def study_of(
    problem: Problem,
    name: str,
    search: Mapping[str, Any],
    execution: Mapping[str, Any],
    corners: Mapping[str, Mapping[str, Value]],
) -> Study[NoSettings]:
    """The study that asks what a problem asks.

    Args:
        problem: Checked already.
        name: Of the study.
        search: Keys of `search` in a study file.
        execution: Keys of `execution`.
        corners: Designs that open the search.

    Raises:
        DseError: If a key or a value does not exist.
    """
    _require_corners(problem.space, corners)
    file = _file(problem, name, search, execution)

    def compose(_settings: NoSettings, spread: Spreader, _watch: Watcher) -> Composed:
        return _composed(problem, spread)

    system = System(
        name=PYTHON,
        knobs=problem.space.parameters,
        metrics=problem.evaluator.signature.outputs,
        compose=compose,
        settings=NoSettings,
        corners=lambda _settings, _space: corners,
    )
    study = Study(
        file=file,
        settings=NoSettings(),
        system=system,
        space=problem.space,
        objectives=problem.objectives,
        constraints=problem.constraints,
        text="",
        overrides=(),
    )
    return replace(study, text=study.resolved())


def _require_corners(space: SearchSpace, corners: Mapping[str, Mapping[str, Value]]) -> None:
    """Every corner has a value for every knob, and for nothing else."""
    for name, design in corners.items():
        lacking = [knob for knob in space.names if knob not in design]
        strange = [knob for knob in design if knob not in space.names]
        if lacking or strange:
            what = f"no {', '.join(lacking)}" if lacking else f"no knob {', '.join(strange)}"
            raise DseError(
                f"dse.minimize: the corner {name!r} has {what}; it wants a value in SI units for "
                f"each of {', '.join(space.names)}"
            )
        for knob, value in design.items():
            try:
                space[knob].encode(np.array([value]))
            except SpaceError as error:
                raise DseError(f"dse.minimize: the corner {name!r}: {error}") from error


def _file(
    problem: Problem, name: str, search: Mapping[str, Any], execution: Mapping[str, Any]
) -> StudyFile:
    try:
        return StudyFile(
            study=name,
            question="Put together in Python, by dse.minimize.",
            system=PYTHON,
            knobs={p.name: _knob(p) for p in problem.space.parameters},
            objectives={o.name: o.direction for o in problem.objectives},
            constraints=_limits(problem),
            search=Search.model_validate(search),
            execution=Execution.model_validate(execution),
            export=Export(),
        )
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(_ARGUMENTS.get(str(p), str(p)) for p in e['loc'])} = {e['input']!r}: "
            f"{e['msg']}"
            for e in error.errors()
        )
        raise DseError(f"dse.minimize: {said}") from error


def _knob(parameter: Parameter) -> Knob:
    """A parameter as a study file would have it."""
    if isinstance(parameter, Categorical):
        return Knob(values=list(parameter.values))
    if isinstance(parameter, Ordinal):
        return Knob(values=list(parameter.values), unit=parameter.unit)
    low, high = parameter.low, parameter.high
    step = parameter.step if isinstance(parameter, Integer) else None
    return Knob(values=None, start=low, stop=high, step=step, unit=parameter.unit)


def _limits(problem: Problem) -> dict[str, Limit]:
    found: dict[str, dict[str, Any]] = {}
    for limit in problem.constraints:
        found.setdefault(limit.name, {"unit": limit.unit})[limit.side] = limit.bound
    return {name: Limit(**bounds) for name, bounds in found.items()}


def _composed(problem: Problem, spread: Spreader) -> Composed:
    """The evaluator with its measured stages on the workers, each distinct run made once."""
    stages = _stages(problem)
    runs = _accuracy_runs(stages)
    counted = {id(run): Counted(spread(run), run.handles, run.exist) for run in runs}
    placed = [_placed(stage, counted.get(id(stage)), spread) for stage in stages]
    only_accuracy = all(s in runs for s in stages if s.signature.cost == "measured")

    def count_runs() -> tuple[int, int]:
        made, found = zip(*(c.counts() for c in counted.values()), strict=True)
        return sum(made), sum(found)

    def artefacts(metrics: Columns) -> Mapping[str, str]:
        return files_of(runs[0].cache, metrics["archive"], tuple(run.trained.path for run in runs))

    return Composed(
        Chain(tuple(placed)),
        _facts(problem),
        count_runs if runs and only_accuracy else None,
        artefacts=artefacts if runs else None,
    )


def _placed(stage: Evaluator, counted: Counted | None, spread: Spreader) -> Evaluator:
    if counted is not None:
        return Cached(counted)
    return spread(stage) if stage.signature.cost == "measured" else InBatches(stage)


def _facts(problem: Problem) -> dict[str, str]:
    """What the numbers depend on beside code: what the evaluators hold, and rules of the space.

    What cannot be described differs every time, so that going on with it has to be accepted.
    """
    facts = {}
    for number, stage in enumerate(_stages(problem)):
        name = f"evaluator {_called(stage)}"
        facts[name if name not in facts else f"{name} {number}"] = _told(stage)
    space = problem.space
    if space != SearchSpace(space.parameters):
        facts["rules"] = _told((space.conditions, space.forbidden))
    for run in _accuracy_runs(_stages(problem)):
        facts |= run.facts()
    return facts


def _called(stage: Evaluator) -> str:
    """What a person calls an evaluator: the name of its function, or of its class."""
    function = stage.function if isinstance(stage, FunctionEvaluator) else type(stage)
    return getattr(function, "__qualname__", type(stage).__name__)


def _stages(problem: Problem) -> Sequence[Evaluator]:
    whole = problem.evaluator
    return whole.stages if isinstance(whole, Chain) else (whole,)


def _accuracy_runs(stages: Sequence[Evaluator]) -> "list[AccuracyRun]":
    # An accuracy run exists only if its module is loaded; importing it here would load torch.
    module = sys.modules.get("dse.accuracy.accuracy_run")
    return [] if module is None else [s for s in stages if isinstance(s, module.AccuracyRun)]


def _told(value: object) -> str:
    found = described(value)
    if found.unreadable:
        return f"unreadable at {now()}: {', '.join(found.unreadable)}"
    text = canonical_json(_without_code(found.content))
    return hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=16).hexdigest()


def _without_code(content: Any) -> Any:  # noqa: ANN401  (content for JSON)
    """A description without digests of modules, which a run's identity has one by one."""
    if isinstance(content, dict):
        return {k: _without_code(v) for k, v in content.items() if k not in ("code", "libraries")}
    return [_without_code(part) for part in content] if isinstance(content, list) else content
