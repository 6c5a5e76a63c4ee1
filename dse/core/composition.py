"""Which modules an evaluator is made of: the roots of what its results depend on."""

import dataclasses
import functools
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from dse.core.installed import is_counted

_Part: TypeAlias = Any
"""Of an evaluator: anything."""


def modules_of(value: object) -> tuple[str, ...]:
    """Modules of an evaluator and of all that it is composed of; sorted: roots of its closure.

    Followed are the fields of dataclasses, the attributes of other evaluators, sequences, mappings,
    and what functions hold. Counted are the modules of evaluators wherever they come from, and
    those of functions and of other dataclasses that belong to no installed distribution.
    """
    found: set[str] = set()
    _gather(value, found, set())
    return tuple(sorted(found))


def _gather(value: _Part, found: set[str], seen: set[int]) -> None:
    if id(value) in seen or isinstance(value, (str, bytes, int, float, type, type(None))):
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        module, always = value.__module__, False
    else:
        module, always = type(value).__module__, _evaluates(value)
    if (always and module != "__main__") or is_counted(module):
        found.add(module)
    for part in _inside(value):
        _gather(part, found, seen)


def _evaluates(value: _Part) -> bool:
    return callable(value) and hasattr(value, "signature")


def _inside(value: _Part) -> Iterable[_Part]:
    """What a value is composed of."""
    for kinds, how in _WAYS:
        if isinstance(value, kinds):
            parts: Iterable[_Part] = how(value)
            return parts
    if dataclasses.is_dataclass(value):
        return [getattr(value, f.name, None) for f in dataclasses.fields(value)]
    return vars(value).values() if _evaluates(value) and hasattr(value, "__dict__") else ()


_WAYS: tuple[tuple[Any, Any], ...] = (
    ((list, tuple, set, frozenset), list),
    (Mapping, lambda value: value.values()),
    (types.FunctionType, lambda value: [c.cell_contents for c in value.__closure__ or ()]),
    (types.MethodType, lambda value: (value.__self__,)),
    (functools.partial, lambda value: (value.func, value.args, value.keywords)),
)
