"""The lookup table of one device: its fixed design and, per row, the run-time knobs to set."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dse.errors import DseError
from dse.front import Front
from dse.indicators import Reference
from dse.parameters import Value
from dse.problem import Trials
from dse.store import Question, Run, canonical_json

FORMAT = "edge-dse-lut"
VERSION = 0
"""Not frozen yet: readers must refuse a version they do not know."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """What a runtime needs: settings to choose from, their cost, and what if nothing fits.

    Attributes:
        content: Plain data as described in docs/lut.md, without its checksum.
    """

    content: Mapping[str, Any]

    def to_json(self) -> str:
        """Canonical JSON with the SHA-256 of all else in it; equal tables are equal bytes."""
        digest = hashlib.sha256(canonical_json(self.content).encode()).hexdigest()
        return canonical_json({**self.content, "sha256": digest})

    @classmethod
    def from_json(cls, text: str) -> "LookupTable":
        """Read a table back.

        Raises:
            DseError: If it is no such table, of another version, or a single character of it was
                changed since it was written.
        """
        try:
            content = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
            digest = content.pop("sha256")
            if (content["format"], content["version"]) != (FORMAT, VERSION):
                raise ValueError(f"format {content['format']!r} version {content['version']!r}")
            if hashlib.sha256(canonical_json(content).encode()).hexdigest() != digest:
                raise ValueError("its checksum does not match its content")
            table = cls(content)
            if table.to_json() != text.removesuffix("\n"):
                raise ValueError("its text is not canonical")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DseError(f"not a lookup table of version {VERSION}: {error}") from error
        return table


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands twice among {keys}")
    return dict(pairs)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a finite number")


def lookup_table(
    run: Run, *, sort_by: str, fallback: str, design: Mapping[str, Value] | None = None
) -> LookupTable:
    """The table of one device.

    A device has one design: its silicon and its trained network are fixed, only run-time knobs are
    free. The rows are the trials of that design that are feasible and that no other trial *of that
    design* dominates.

    Args:
        run: Where the trials come from.
        sort_by: Objective that sorts the rows, best first; a runtime takes the first that fits.
        fallback: Objective whose best row is the answer when nothing fits.
        design: Values of the knobs that are not free at run time; without it, the design whose own
            front dominates most.

    Raises:
        DseError: If the run has no feasible trial, or none of the design asked for.
    """
    question, trials = run.question, run.trials
    fixed = [q.name for q in question.knobs if q.stage != "run"]
    unknown = [name for name in design or {} if name not in fixed]
    if unknown:
        raise DseError(f"{unknown[0]} is no design knob; there are {', '.join(fixed)}")
    chosen = _rows_of(trials, design) if design else _most_useful(question, trials, fixed)
    own = trials.rows(chosen)
    if len({tuple(own.designs[name][i].item() for name in fixed) for i in range(len(own))}) > 1:
        raise DseError(f"the design is not settled: give a value for each of {', '.join(fixed)}")
    front = Front.of(question, own)
    if not len(front):
        raise DseError(f"no feasible trial has the design {dict(design or {})}")
    return LookupTable(_content(run, front, fixed, sort_by, fallback))


def _rows_of(trials: Trials, design: Mapping[str, Value]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    hit = np.ones(len(trials), dtype=bool)
    for name, value in design.items():
        hit &= trials.designs[name] == value
    if not hit.any():
        raise DseError(f"no trial has the design {dict(design)}")
    return hit


def _most_useful(
    question: Question, trials: Trials, fixed: list[str]
) -> np.ndarray[Any, np.dtype[np.intp]]:
    feasible = np.flatnonzero(trials.feasible)
    if not len(feasible):
        raise DseError("the run has no feasible trial")
    reference = Reference.of(trials.losses[feasible])
    groups: dict[tuple[Value, ...], list[int]] = {}
    for row in feasible:
        key = tuple(trials.designs[name][row].item() for name in fixed)
        groups.setdefault(key, []).append(int(row))
    volumes = {
        key: Front.of(question, trials.rows(np.array(rows))).hypervolume(reference)
        for key, rows in groups.items()
    }
    best = max(sorted(groups, key=repr), key=lambda key: volumes[key])
    return np.array(groups[best])


def _content(
    run: Run, front: Front, fixed: list[str], sort_by: str, fallback: str
) -> dict[str, Any]:
    question, trials = front.question, front.trials
    objectives = {o.name: i for i, o in enumerate(question.objectives)}
    for name in (sort_by, fallback):
        if name not in objectives:
            raise DseError(f"unknown objective {name!r}; there are {', '.join(objectives)}")
    order = np.argsort(trials.losses[:, objectives[sort_by]], kind="stable")
    sorted_losses = trials.losses[order]
    free = [q for q in question.knobs if q.stage == "run"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "study": question.study,
        "run_identity": run.identity,
        "depends_on": dict(run.manifest.get("facts", {})),
        "design": [
            {"name": n, "unit": question[n].unit, "value": trials.designs[n][0].item()}
            for n in fixed
        ],
        "settings": [{"name": q.name, "unit": q.unit} for q in free],
        "predictions": [
            {
                "name": o.name,
                "unit": o.unit,
                "direction": o.direction,
                "evidence": question[o.name].evidence,
            }
            for o in question.objectives
        ],
        "valid_where": [
            {"name": c.name, "unit": c.unit, c.side: c.bound} for c in question.constraints
        ],
        "sorted_by": sort_by,
        "fallback": {
            "row": int(np.argmin(sorted_losses[:, objectives[fallback]])),
            "because": f"best {fallback}",
        },
        "rows": [
            {
                "settings": [trials.designs[q.name][i].item() for q in free],
                "predictions": [trials.metrics[o.name][i].item() for o in question.objectives],
            }
            for i in order
        ],
    }
