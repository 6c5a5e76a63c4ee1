"""What a study's search opens with: corners of its system, ends of its space, a warm start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dse.core.errors import DseError, SpaceError
from dse.core.files import canonical_json
from dse.core.parameters import Column, FloatArray, Value
from dse.core.problem import Problem, Trials, judge
from dse.core.space import SearchSpace
from dse.results.front import Front
from dse.runs.run_schema import Question
from dse.runs.store import Run, read_run
from dse.search.initial_designs import boundary_designs, distinct
from dse.study.designs_io import read_designs
from dse.study.loader import Study
from dse.study.schema import WarmStart


@dataclass(frozen=True, slots=True, eq=False)
class InitialDesigns:
    """Designs that are tried before any searcher proposes one.

    Attributes:
        codes: Distinct canonical code rows, shape (n, d).
        given: Trials among them that need no evaluation, because an earlier run has made it with
            the very same evaluators; None if there are none.
        record: What a run's manifest keeps of it, the codes included; empty if n is 0.
        notes: What a person should know.
    """

    codes: FloatArray
    given: Trials | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def recorded(cls, manifest: Mapping[str, Any], problem: Problem) -> "InitialDesigns":
        """The opening of a run that goes on: what is not stored yet is evaluated anew."""
        record = manifest.get("opening", {})
        codes = np.array(record.get("codes", []), dtype=np.float64)
        return cls(codes.reshape(-1, len(problem.space.parameters)), None, record)


def initial_designs_of(
    study: Study[Any], problem: Problem, identified: Mapping[str, Any]
) -> InitialDesigns:
    """What a study's search opens with.

    Args:
        study: Checked.
        problem: Of the study.
        identified: What the study asks and its answers depend on (`identified_by` of a manifest).

    Raises:
        DseError: If a warm start does not read, or lacks a knob.
    """
    space = problem.space
    record: dict[str, Any] = {}
    parts = [np.empty((0, len(space.parameters)))]
    given, notes = None, []
    if study.file.search.corners and study.system.corners is not None:
        corners = study.system.corners(study.settings, space)
        rows = _inside(space, {n: [c[n] for c in corners.values()] for n in space.names})
        parts.append(np.array([c for c in rows if c is not None]).reshape(-1, len(space.names)))
        record["corners"] = [n for n, c in zip(corners, rows, strict=True) if c is not None]
    if study.file.search.boundary:
        parts.append(boundary_designs(space))
        record["boundary"] = len(parts[-1])
    if study.file.search.warm_start is not None:
        taken = _warm(study.file.search.warm_start, problem, identified)
        parts.append(taken.codes)
        given = taken.given
        notes.append(taken.said)
        record["warm_start"] = taken.facts
    codes = distinct(np.concatenate(parts))
    if not len(codes):
        return InitialDesigns(codes, notes=tuple(notes))
    return InitialDesigns(codes, given, {**record, "codes": codes.tolist()}, tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """Designs of a warm start."""

    codes: FloatArray
    given: Trials | None
    facts: Mapping[str, Any]
    said: str


def _warm(asked: WarmStart, problem: Problem, identified: Mapping[str, Any]) -> _Taken:
    path, space = Path(asked.path), problem.space
    facts: dict[str, Any] = {"path": asked.path}
    metrics: Mapping[str, Column] | None = None
    if path.is_dir():
        run = read_run(path)
        trials = run.trials.rows(run.trials.ok)
        if asked.take == "front":
            trials = Front.of(run.question, run.trials).trials
        columns = _knobs_of(run, space, trials)
        metrics = trials.metrics if _same_evaluators(run, problem, identified) else None
        facts |= {"run": run.identity, "take": asked.take}
    else:
        columns = read_designs(path, space)
    rows = _inside(space, columns)
    inside = [i for i, code in enumerate(rows) if code is not None]
    codes = np.array([rows[i] for i in inside]).reshape(-1, len(space.names))
    given = None
    if metrics is not None:
        known = {name: column[inside] for name, column in metrics.items()}
        wanted = problem.objectives, problem.constraints
        given = judge(*wanted, codes, space.decode(codes), known, (None,) * len(codes))
    outside = len(rows) - len(inside)
    how = "not evaluated again" if given is not None else "evaluated anew"
    said = f"warm start from {path}: {len(distinct(codes)):,} designs, {how}"
    if outside:
        said += f"; {outside:,} of {len(rows):,} do not lie in this study's space and are left out"
    facts |= {"designs": len(codes), "outside": outside, "reused": given is not None}
    return _Taken(codes, given, facts, said)


def _knobs_of(run: Run, space: SearchSpace, trials: Trials) -> dict[str, list[Value | None]]:
    """Knob columns of a run; one that it lacks is filled in where the space has but one value."""
    there = {q.name: q for q in run.question.knobs}
    columns: dict[str, list[Value | None]] = {}
    for p in space.parameters:
        if p.name not in there:
            if p.count != 1:
                raise DseError(f"{run.folder} has no knob {p.name}, this study has several values")
            columns[p.name] = p.decode(np.zeros(1)).tolist() * len(trials)
            continue
        if there[p.name].unit != p.unit:
            raise DseError(
                f"{run.folder} has {p.name} in {there[p.name].unit}, this study in {p.unit}"
            )
        columns[p.name] = trials.designs[p.name].tolist()
    return columns


def _same_evaluators(run: Run, problem: Problem, identified: Mapping[str, Any]) -> bool:
    """Whether a run's metrics are what this study would find.

    Same system, settings, facts (data, networks, tables), processor, code and libraries of the
    models; what proposed its designs does not matter. Never where a user accepted a difference: its
    trials are then of two kinds.
    """
    if run.manifest.get("accepted"):
        return False
    theirs = run.manifest.get("identified_by", {})
    question = Question.of("", "", problem)
    ours = canonical_json([_evaluators(identified), [(q.name, q.unit) for q in question.metrics]])
    other = [_evaluators(theirs), [(q.name, q.unit) for q in run.question.metrics]]
    return ours == canonical_json(other)


def _evaluators(identified: Mapping[str, Any]) -> Sequence[object]:
    study = identified.get("study", {})
    models = [identified.get(part, {}).get("models") for part in ("code", "libraries")]
    asked = study.get("system"), study.get("settings"), identified.get("facts")
    return *asked, *models, identified.get("processor")


def _inside(
    space: SearchSpace, columns: Mapping[str, Sequence[Value | None]]
) -> list[FloatArray | None]:
    """Canonical code of each design, or None where the space does not have it."""
    rows = zip(*(columns[name] for name in space.names), strict=True)
    return [_code(space, dict(zip(space.names, row, strict=True))) for row in rows]


def _code(space: SearchSpace, design: Mapping[str, Value | None]) -> FloatArray | None:
    if any(value is None for value in design.values()):
        return None
    try:
        code = space.encode({name: np.array([value]) for name, value in design.items()})
    except SpaceError:
        return None
    return code[0] if space.allowed(code)[0] else None
