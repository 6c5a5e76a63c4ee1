"""What is not as it was when a run was begun, in plain words; and what of it a user accepts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dse.core.errors import DseError, RunDiffers
from dse.core.files import canonical_json

ACCEPTABLE = ("artefacts", "code", "facts", "libraries", "processor")
"""Parts of an identity in which a difference can be accepted: all but the question itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs.

    Attributes:
        field: Its name, dotted: `libraries.models.torch`.
        was: What the run was begun with, or what was accepted last; None: it was absent.
        now: What it is; None: it is absent.
    """

    field: str
    was: object
    now: object

    def within(self, name: str) -> bool:
        """Whether a name means this field, or one above it."""
        return self.field == name or self.field.startswith(f"{name}.")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """All fields that differ, by name; both are compared as JSON has them."""
    was, found = _flat(before), _flat(json.loads(canonical_json(now)))
    return [
        Difference(name, was.get(name), found.get(name))
        for name in sorted(was.keys() | found.keys())
        if was.get(name) != found.get(name) or (name in was) != (name in found)
    ]


def _flat(content: object, above: str = "") -> dict[str, object]:
    if not isinstance(content, Mapping):
        return {above: content}
    flat: dict[str, object] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{above}.{key}" if above else str(key))
    return flat


def in_words(found: Iterable[Difference]) -> str:
    """Differences as one line: code by layer, everything else field by field."""
    listed = list(found)
    parts = []
    for layer in ("models", "search"):
        names = [
            d.field.removeprefix(f"code.{layer}.") for d in listed if d.within(f"code.{layer}")
        ]
        if names:
            parts.append(f"code of the {layer} changed in: {', '.join(names)}")
    return "; ".join([*parts, *(_said(d) for d in listed if not d.within("code"))])


def _said(difference: Difference) -> str:
    kind, _, name = difference.field.partition(".")
    if kind == "artefacts":
        return f"the file {name} of the cache is not the one that the run rests on"
    if kind == "libraries":
        name = f"library {name.partition('.')[2]}"
    elif kind == "processor":
        name = f"processor ({name})"
    else:
        name = difference.field
    return f"{name}: was {_shown(difference.was)}, is {_shown(difference.now)}"


def _shown(value: object) -> str:
    return "absent" if value is None else repr(value)


def accepted_of(found: Sequence[Difference], accept: Sequence[str], run: str) -> list[Difference]:
    """The differences, if a user accepts all of them.

    Args:
        found: All that there are.
        accept: Fields, or names above them.
        run: Folder of the run, for what to do.

    Raises:
        DseError: If a name is not of what can be accepted.
        RunDiffers: If a difference is left, or a name means none.
    """
    for name in accept:
        if name.partition(".")[0] not in ACCEPTABLE:
            raise DseError(
                f"--accept {name}: the question of a run stays what it was; what can be accepted "
                f"is a difference in {', '.join(ACCEPTABLE)} or in a field of these, as in "
                "libraries.models.torch"
            )
    idle = [name for name in accept if not any(d.within(name) for d in found)]
    if idle:
        there = f"; what differs: {in_words(found)}" if found else "; resume without it"
        raise RunDiffers(f"--accept {idle[0]}: nothing differs there{there}")
    left = [d for d in found if not any(d.within(name) for name in accept)]
    if left:
        raise RunDiffers(
            f"the run was begun with something else and is left as it is: {in_words(left)}"
            f"{_way_on(left, accept, run)}"
        )
    return list(found)


def _way_on(left: Sequence[Difference], accept: Sequence[str], run: str) -> str:
    if any(d.field.partition(".")[0] not in ACCEPTABLE for d in left):
        return ""
    names = dict.fromkeys([*accept, *(_short(d.field) for d in left)])
    flags = " ".join(f"--accept {_quoted(name)}" for name in names)
    here = f"accept={list(names)}"
    way = f"dse resume {run} {flags} (in Python: {here})" if run else here
    return f"; to go on at your own risk, shown in every view: {way}"


def _short(field: str) -> str:
    kind, layer, *_ = [*field.split("."), ""]
    return {"code": f"code.{layer}", "artefacts": "artefacts"}.get(kind, field)


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


def as_record(accepted: Iterable[Difference], trial: int, at: str) -> list[dict[str, Any]]:
    """Accepted differences as a manifest keeps them.

    Args:
        accepted: The differences.
        trial: First trial that comes after them.
        at: When they were accepted.
    """
    return [{**asdict(d), "trial": trial, "at": at} for d in accepted]


def accepted_lines(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """What a user has accepted in a run, a line for each time; none in most runs."""
    kept: dict[tuple[str, int], list[Difference]] = {}
    for entry in manifest.get("accepted", ()):
        difference = Difference(entry["field"], entry["was"], entry["now"])
        kept.setdefault((entry["at"], entry["trial"]), []).append(difference)
    return tuple(
        f"accepted by the user from trial {trial} on: {in_words(found)}"
        for (_, trial), found in kept.items()
    )
