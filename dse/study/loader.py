"""From a study file and overrides to a checked study, or to all of its problems at once."""

import difflib
import hashlib
import io
import re
import types
import typing
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from dse.core.errors import DseError, StudyError
from dse.core.files import canonical_json
from dse.core.parameters import Categorical, Parameter, Value
from dse.core.problem import Constraint, Objective
from dse.core.space import SearchSpace
from dse.core.units import notations, to_si
from dse.runs.manifest import RESOLVED, require_system
from dse.study.schema import Knob, Limit, StudyFile, UnknownName, parameter_of
from dse.study.system import S, System
from dse.study.yaml_source import KeyPath, YamlSource, parse_yaml, read_yaml

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Study(Generic[S]):
    """A study without problems.

    Attributes:
        file: The schema's view, every default written out.
        settings: The system's view of `file.settings`.
        system: Who composes it.
        space, objectives, constraints: What is asked, in SI units.
        text: The file as given.
        overrides: What `--set` changed, as given.
    """

    file: StudyFile
    settings: S
    system: System[S]
    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    text: str
    overrides: tuple[str, ...]

    def resolved(self) -> str:
        """The study as used, as YAML, every default written out."""
        content = self.file.model_dump(exclude_none=True)
        content["settings"] = self.settings.model_dump(exclude_none=True)
        stream = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = None
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel's stub says None
        yaml.dump(content, stream)
        return stream.getvalue()

    def identified_by(self, facts: Mapping[str, str]) -> dict[str, Any]:
        """What is asked and what the answers depend on; not how long or where."""
        content = self.file.model_dump(exclude={"execution", "export"})
        content["settings"] = self.settings.model_dump()
        for how_long in ("trials", "max_wall", "plateau"):
            del content["search"][how_long]
        # What they come to, codes of designs, is added by who reads them.
        for opening in ("corners", "boundary", "warm_start"):
            del content["search"][opening]
        if content["search"]["early_stop"] is None:
            del content["search"]["early_stop"]
        return {"study": content, "facts": dict(facts)}

    def identity(self, facts: Mapping[str, str]) -> str:
        """Digest of `identified_by`."""
        return hashlib.sha256(canonical_json(self.identified_by(facts)).encode()).hexdigest()


def load_study(
    path: Path, systems: Mapping[str, System[S]], overrides: Sequence[str] = ()
) -> Study[S]:
    """Read, override and check a study file.

    Args:
        path: The file.
        systems: The closed list that its `system` key chooses from.
        overrides: `a.b=value` each, the value in YAML, typed by the schema like the file.

    Raises:
        StudyError: With every problem found, each with line, key, value, what is allowed and the
            nearest name.
    """
    source = read_yaml(path)
    data = deepcopy(source.data)
    origin: dict[KeyPath, str] = {}
    problems = list(source.problems)
    for override in overrides:
        problems.extend(_override(data, override, origin))
    checker = _Checker(source, data, systems, origin, problems)
    study = checker.study(tuple(overrides))
    if study is None:
        raise StudyError(tuple(checker.problems))
    return study


def settings_of(folder: Path, system: System[S], instead: str = "") -> S:
    """The settings of a run of one system.

    Args:
        folder: Of the run.
        system: Whose run it must be.
        instead: What to do with a run of another system.

    Raises:
        DseError: If the run is of another system, or its study cannot be read.
    """
    require_system(folder, system.name, instead)
    return load_study(folder / RESOLVED, {system.name: system}).settings


def _override(data: dict[str, Any], text: str, origin: dict[KeyPath, str]) -> list[str]:
    key, equals, value = text.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        return [f"--set {text}: write --set section.key=value"]
    try:
        parsed = parse_yaml(f"value: {value}", f"--set {text}").data["value"]
    except StudyError as error:
        return list(error.problems)
    place: Any = data
    for depth, step in enumerate(path[:-1], 1):
        if step not in place:
            origin[path[:depth]] = f"--set {text}"
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            return [f"--set {text}: {step} holds a value, not keys"]
    place[path[-1]] = parsed
    origin[path] = f"--set {text}"
    return []


class _Checker(Generic[S]):
    """Collects problems while it builds a study. Mutable on purpose."""

    def __init__(
        self,
        source: YamlSource,
        data: dict[str, Any],
        systems: Mapping[str, System[S]],
        origin: Mapping[KeyPath, str],
        problems: list[str],
    ) -> None:
        self._source = source
        self._data = data
        self._systems = systems
        self._origin = origin
        self.problems = problems

    def study(self, overrides: tuple[str, ...]) -> Study[S] | None:
        """The study, or None if there is any problem."""
        file = self._model(StudyFile, self._data, ())
        system = self._system()
        if system is None:
            return None
        settings = self._model(system.settings, self._data.get("settings", {}), ("settings",))
        parameters = self._knobs(system)
        objectives = self._objectives(system)
        constraints = self._constraints(system)
        self._export(objectives)
        space = None if self.problems else self._space(system, settings, tuple(parameters))
        if space is None or file is None or settings is None:
            return None
        return Study(
            file=file,
            settings=settings,
            system=system,
            space=space,
            objectives=tuple(objectives),
            constraints=tuple(constraints),
            text=self._source.text,
            overrides=overrides,
        )

    def _say(self, path: KeyPath, what: str) -> None:
        where = next(
            (
                self._origin[path[:end]]
                for end in range(len(path), 0, -1)
                if path[:end] in self._origin
            ),
            self._source.place(path),
        )
        self.problems.append(f"{where}: {'.'.join(map(str, path))}: {what}")

    def _model(self, model: type[_Model], content: object, above: KeyPath) -> _Model | None:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            said: dict[KeyPath, list[str]] = {}
            for detail in error.errors():
                path = (*above, *_existing(content, detail))
                said.setdefault(path, []).append(_complaint(detail, model))
            for path, whats in said.items():
                self._say(path, _together(whats))
            return None

    def _system(self) -> System[S] | None:
        name = self._data.get("system")
        if not isinstance(name, str):
            return None
        if name not in self._systems:
            own = (
                "; for a system of your own, install its package or give --system-from FILE.py:NAME"
            )
            self._say(("system",), _unknown(name, list(self._systems)) + own)
            return None
        return self._systems[name]

    def _section(self, name: str) -> dict[str, Any]:
        content = self._data.get(name)
        return content if isinstance(content, dict) else {}

    def _knobs(self, system: System[S]) -> list[Parameter]:
        given = self._section("knobs")
        widest = {p.name: p for p in system.knobs}
        unknown = [str(name) for name in given if name not in widest]
        for name in unknown:
            self._say(("knobs", name), _unknown(name, list(widest)))
        # A knob that is only misspelt is one mistake and gets one line.
        misspelt = {_nearest(name, list(widest)) for name in unknown}
        parameters = []
        for name, domain in widest.items():
            if name in given:
                parameters.extend(self._knob(name, given[name], domain))
            elif name in system.defaults:
                parameters.extend(self._knob(name, _fixed(domain, system.defaults[name]), domain))
            elif name not in misspelt:
                self._say(("knobs",), f"{name} is missing; give its values, one value fixes it")
        return parameters

    def _space(
        self, system: System[S], settings: S | None, parameters: tuple[Parameter, ...]
    ) -> SearchSpace | None:
        if settings is None or system.space is None:
            return SearchSpace(parameters)
        try:
            return system.space(settings, parameters)
        except DseError as error:
            self._say(("knobs",), str(error))
            return None

    def _knob(self, name: str, content: object, domain: Parameter) -> list[Parameter]:
        try:
            return [parameter_of(Knob.model_validate(content), domain)]
        except ValidationError:
            pass  # the schema has named the problem already
        except UnknownName as error:
            self._say(("knobs", name), _unknown(error.given, error.allowed))
        except DseError as error:
            self._say(("knobs", name), str(error))
        return []

    def _objectives(self, system: System[S]) -> list[Objective]:
        objectives = []
        for name, direction in self._section("objectives").items():
            if name not in system.metrics:
                self._say(("objectives", str(name)), _unknown(str(name), list(system.metrics)))
            elif direction in ("min", "max"):
                objectives.append(Objective(name, system.metrics[name], direction))
        return objectives

    def _constraints(self, system: System[S]) -> list[Constraint]:
        constraints = []
        for name, content in self._section("constraints").items():
            if name not in system.metrics:
                self._say(("constraints", str(name)), _unknown(str(name), list(system.metrics)))
                continue
            try:
                limit = Limit.model_validate(content)
                constraints.extend(_bounds(name, limit, system.metrics[name]))
            except ValidationError:
                continue  # the schema has named the problem already
            except DseError as error:
                self._say(("constraints", name), str(error))
        return constraints

    def _export(self, objectives: list[Objective]) -> None:
        names = [o.name for o in objectives]
        for key, value in self._section("export").items():
            if key in ("sort_by", "fallback") and isinstance(value, str) and value not in names:
                self._say(("export", key), _unknown(value, names))


def _bounds(name: str, limit: Limit, unit: str) -> list[Constraint]:
    if limit.unit is None:
        raise DseError(f"the unit is missing; allowed: {', '.join(notations(unit))}")
    if limit.min is None and limit.max is None:
        raise DseError("give min: or max:")
    if limit.min is not None and limit.max is not None and limit.min > limit.max:
        raise DseError(f"nothing lies between {limit.min} and {limit.max} {limit.unit}")
    found = []
    if limit.max is not None:
        found.append(Constraint(name, unit, to_si(limit.max, limit.unit, unit), "max"))
    if limit.min is not None:
        found.append(Constraint(name, unit, to_si(limit.min, limit.unit, unit), "min"))
    return found


def _unknown(given: str, allowed: Sequence[str]) -> str:
    near = _nearest(given, allowed)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"got {given!r}; allowed: {', '.join(allowed)}{hint}"


def _nearest(given: str, allowed: Sequence[str]) -> str | None:
    """The most similar name; of equally similar ones the first, as `nsga2` for `nsgaII`."""
    likeness = [
        difflib.SequenceMatcher(None, name.casefold(), given.casefold()).ratio() for name in allowed
    ]
    best = max(likeness, default=0.0)
    return allowed[likeness.index(best)] if best >= 0.5 else None


def _existing(content: object, detail: ErrorDetails) -> KeyPath:
    """The part of pydantic's location that stands in the file; it adds union branches."""
    here: Any = content
    path: list[str | int] = []
    for step in detail["loc"]:
        if _holds(here, step):
            here = here[step]
        elif detail["type"] != "missing" or step != detail["loc"][-1]:
            break
        path.append(step)
    return tuple(path)


def _together(complaints: list[str]) -> str:
    """One sentence about one value, of which each branch of a union complained."""
    first, *others = dict.fromkeys(complaints)
    got = first.partition("wanted: ")[0]
    return " or ".join([first, *(other.removeprefix(f"{got}wanted: ") for other in others)])


def _holds(container: object, step: str | int) -> bool:
    if isinstance(container, list):
        return isinstance(step, int) and step < len(container)
    return isinstance(container, dict) and step in container


def _complaint(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "unknown key: " + _unknown(
            str(detail["loc"][-1]), _keys_at(model, detail["loc"][:-1])
        )
    if kind == "literal_error" and isinstance(given, str):
        allowed = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        return _unknown(given, allowed)
    if kind == "value_error":  # a validator of ours, which names what came and what is allowed
        return str(detail["ctx"]["error"])
    what = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    shown = repr(given) if len(repr(given)) <= 60 else repr(given)[:57] + "..."
    return f"got {shown}; wanted: {what[:1].lower()}{what[1:]}"


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Keys that the schema allows at a location."""
    here: Any = model
    for step in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(step)].annotation
        else:
            here = typing.get_args(here)[-1]
        if isinstance(here, types.UnionType):
            here = typing.get_args(here)[0]
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _fixed(domain: Parameter, value: Value) -> dict[str, object]:
    """A knob of one value, as a study file would write it."""
    unit = {} if isinstance(domain, Categorical) else {"unit": domain.unit}
    return {"values": [value], **unit}
