"""Which modules an evaluator is made of: the roots of what its results depend on."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from dse.core.fingerprint import bare, global_names, is_loose
from dse.core.installed import is_counted
from dse.core.source_code import homes_of

_Part: TypeAlias = Any
"""Of an evaluator: anything."""


def modules_of(value: object) -> tuple[str, ...]:
    """Modules of an evaluator and of all that it is composed of; sorted: roots of its closure.

    Followed are the fields of dataclasses, the attributes of other evaluators, sequences, mappings,
    and what functions hold. Counted are the modules of evaluators wherever they come from, and
    those of functions and of other dataclasses that belong to no installed distribution. What a
    script or a notebook defines has no module that counts: what its functions refer to is followed.
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
    if is_loose(module):
        for function in _functions(value):
            _gather_referred(function, found, seen)


def _functions(value: _Part) -> list[types.FunctionType]:
    """A function itself; of another value the methods of its class."""
    if isinstance(value, types.FunctionType):
        return [value]
    return [m for m in map(bare, vars(type(value)).values()) if isinstance(m, types.FunctionType)]


def _gather_referred(function: types.FunctionType, found: set[str], seen: set[int]) -> None:
    """Modules of the globals that a function of a script or a notebook refers to."""
    plain: Any = inspect.unwrap(function)
    for name in global_names(plain.__code__):
        value = plain.__globals__.get(name)
        if isinstance(value, types.ModuleType):
            if is_counted(value.__name__):
                found |= homes_of(value.__name__, _names(plain.__code__))
        elif not isinstance(value, type):
            _gather(value, found, seen)
        elif is_counted(value.__module__):
            found.add(value.__module__)


def _names(code: types.CodeType) -> set[str]:
    """Names of globals and attributes in a function's code and in functions inside it."""
    inside = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inside)


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
