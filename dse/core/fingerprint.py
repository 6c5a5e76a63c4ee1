"""What a value is, as plain content for JSON that is equal in every process: for identities."""

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import pickle
import sys
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.files import canonical_json
from dse.core.installed import installed_version, is_counted
from dse.core.source_code import DATA, digest_of, import_closure
from dse.core.syntax import syntax_digest

Content: TypeAlias = Any
"""Plain content for JSON."""

_Value: TypeAlias = Any

UNREADABLE = "unreadable"
"""Stands for what cannot be described."""


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What a value is.

    Attributes:
        content: For JSON; equal values give equal contents, in every process.
        unreadable: What could not be described, one text for each; empty if all could.
    """

    content: Any
    unreadable: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the content, 32 hexadecimal digits."""
        text = canonical_json(self.content).encode(errors="backslashreplace")
        return hashlib.blake2b(text, digest_size=16).hexdigest()


def described(value: object) -> Description:
    """Describe a value by what it holds: never by its address, nor in an order that may differ.

    Dataclasses are described by the fields that they compare or construct, arrays by type, shape
    and digest, mappings and sets in the order of their contents, classes and functions of modules
    by module, name and syntax of their closure of imports, other functions as `function_identity`
    says, bound methods and partial calls by their parts. Any other object is unreadable, and so is
    what contains itself.
    """
    teller = _Teller()
    return Description(teller.tell(value), tuple(dict.fromkeys(teller.unreadable)))


def function_identity(function: Callable[..., Any]) -> dict[str, Any]:
    """What a plain function computes: its source and the values that it refers to.

    For functions whose source is in no module: of a notebook's cell, of a script, of a shell. Its
    syntax counts without comments, docstrings and error texts; the globals, closure cells and
    defaults that it refers to count by value, functions among them recursively, modules by name.

    Returns:
        `name`, `source` (a digest, or `unreadable`), and `refers`: name -> content.
    """
    return _Teller().function(function)


class _Teller:
    """Describes values and remembers what it could not. Mutable on purpose."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []
        self._open: list[int] = []

    def tell(self, value: object) -> Content:
        """Content of any value."""
        if value is None or isinstance(value, (bool, int, str)):
            return value if type(value) in (bool, int, str, type(None)) else self._odd(value)
        if isinstance(value, float):
            return {"float": float(value).hex()}
        if id(value) in self._open:
            return {"again": self._open.index(id(value))}
        self._open.append(id(value))
        try:
            return self._tell_whole(value)
        finally:
            self._open.pop()

    def _odd(self, value: object) -> Content:
        """A value of a class derived from that of a plain one: a member of an enumeration."""
        if isinstance(value, enum.Enum):
            return {"enum": _name(type(value)), "member": value.name}
        return {"type": _name(type(value)), "value": repr(value)}

    def _tell_whole(self, value: object) -> Content:
        for kinds, how in _WAYS:
            if isinstance(value, kinds):
                return how(self, value)
        if dataclasses.is_dataclass(value):
            return self._dataclass(value)
        wrapped = getattr(value, "__wrapped__", None)  # as functools.lru_cache leaves it
        if isinstance(wrapped, types.FunctionType):
            return {"wrapped": self._function(wrapped), "by": _name(type(value))}
        module = type(value).__module__
        if (is_loose(module) or is_counted(module)) and hasattr(value, "__dict__"):
            return {"of": self._class(type(value)), "holds": self.tell(vars(value))}
        return self._pickled(value)

    def _pickled(self, value: _Value) -> Content:
        """An object of an installed library: its type, its version and its pickled content."""
        kind = type(value)
        try:
            content = pickle.dumps(value, 4)
        except Exception:  # whatever its own code raises
            return self._unreadable(_name(kind))
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return {"type": _name(kind), "version": installed_version(kind.__module__), "bytes": digest}

    def _unreadable(self, what: str) -> str:
        self.unreadable.append(what)
        return f"{UNREADABLE}: {what}"

    def _array(self, value: _Value) -> Content:
        array: NDArray[Any] = np.asarray(value)
        if array.dtype.hasobject:
            return {"array": list(array.shape), "values": [self.tell(v) for v in array.flat]}
        content = np.ascontiguousarray(array).tobytes()
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return {"array": list(array.shape), "type": array.dtype.str, "digest": digest}

    def _mapping(self, value: Mapping[Any, Any]) -> Content:
        pairs = [[self.tell(k), self.tell(v)] for k, v in value.items()]
        return {"mapping": sorted(pairs, key=canonical_json)}

    def _set(self, value: Set[Any]) -> Content:
        return {"set": sorted((self.tell(v) for v in value), key=canonical_json)}

    def _sequence(self, value: Sequence[Any]) -> Content:
        return [self.tell(v) for v in value]

    def _dataclass(self, value: _Value) -> Content:
        shown = [f for f in dataclasses.fields(value) if f.init or f.compare]
        fields = {f.name: self.tell(getattr(value, f.name, None)) for f in shown if f.init}
        return {"of": self._class(type(value)), "fields": fields}

    def _class(self, value: type) -> Content:
        name, module = _name(value), value.__module__
        if not is_loose(module):
            return {"name": name, **_code_of(module)}
        bases = [self.tell(base) for base in value.__bases__ if base is not object]
        members = {k: bare(v) for k, v in sorted(vars(value).items()) if _is_written(k, bare(v))}
        told = {k: self.tell(member) for k, member in members.items()}
        return {"name": name, "bases": bases, "members": told}

    def _function(self, value: types.FunctionType) -> Content:
        if is_loose(value.__module__):
            return self.function(value)
        named = {"name": f"{value.__module__}.{value.__qualname__}", **_code_of(value.__module__)}
        cells = {"cells": [self.tell(c.cell_contents) for c in value.__closure__ or ()]}
        source = {"source": self._source(value)} if value.__name__ == "<lambda>" else {}
        return {**named, **(cells if value.__closure__ else {}), **source}

    def function(self, function: Callable[..., Any]) -> dict[str, Any]:
        """As `function_identity`."""
        plain: Any = inspect.unwrap(function)
        refers: dict[str, Any] = {}
        for name in sorted(global_names(plain.__code__)):
            if name in plain.__globals__:
                refers[name] = self.tell(plain.__globals__[name])
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True):
            refers[name] = self.tell(cell.cell_contents)
        refers |= {f"file {path}": self._file(path) for path in _files_named(plain.__code__)}
        defaults = self.tell([plain.__defaults__, plain.__kwdefaults__])
        found = {"name": plain.__qualname__, "source": self._source(plain)}
        return {**found, "refers": refers, "defaults": defaults}

    def _source(self, value: _Value) -> str:
        try:
            digest = syntax_digest(textwrap.dedent(inspect.getsource(value)))
            # The source of a lambda is its whole line, on which there may be others.
            return f"{digest} {_code_digest(value.__code__)}" if _is_lambda(value) else digest
        except (OSError, TypeError, SyntaxError):
            self._unreadable(f"the source of {value.__qualname__}")
            return UNREADABLE

    def _file(self, path: PurePath) -> str:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()

    def _method(self, value: types.MethodType) -> Content:
        return {"method": value.__name__, "of": self.tell(value.__self__)}

    def _partial(self, value: functools.partial[Any]) -> Content:
        parts = [value.func, value.args, value.keywords]
        return {"partial": [self.tell(part) for part in parts]}

    def _builtin(self, value: _Value) -> Content:
        module = getattr(value, "__module__", None) or "numpy"
        return {"name": f"{module}.{value.__name__}"}

    def _module(self, value: types.ModuleType) -> Content:
        return {"module": value.__name__, **_code_of(value.__name__)}

    def _path(self, value: PurePath) -> Content:
        return {"path": value.as_posix()}

    def _bytes(self, value: bytes) -> Content:
        return {"bytes": hashlib.blake2b(value, digest_size=16).hexdigest(), "length": len(value)}

    def _complex(self, value: complex) -> Content:
        return {"complex": [value.real.hex(), value.imag.hex()]}


_WAYS: tuple[tuple[Any, Callable[[_Teller, Any], Any]], ...] = (
    (enum.Enum, _Teller._odd),
    ((np.ndarray, np.generic), _Teller._array),
    (type, _Teller._class),
    (types.FunctionType, _Teller._function),
    (types.MethodType, _Teller._method),
    ((types.BuiltinFunctionType, np.ufunc), _Teller._builtin),
    (types.ModuleType, _Teller._module),
    (functools.partial, _Teller._partial),
    (PurePath, _Teller._path),
    (bytes, _Teller._bytes),
    (complex, _Teller._complex),
    (Mapping, _Teller._mapping),
    (Set, _Teller._set),
    ((list, tuple, range), _Teller._sequence),
)
"""Kinds of values and how each is described, the first that fits."""


def is_loose(module: str) -> bool:
    """Whether a module has no file of its own: a notebook, a shell."""
    return not is_counted(module) and (module == "__main__" or module not in sys.modules)


def _code_of(module: str) -> dict[str, Any]:
    """What stands for a module's code: digest of its closure, or the version that is installed."""
    if is_counted(module):
        closure = import_closure([module])
        return {"code": digest_of(closure.digests()), "libraries": closure.versions()}
    return {"version": installed_version(module)}


def bare(member: object) -> object:
    """The function inside a property, a class method or a static one; anything else as it is."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    return getattr(member, "__func__", member)


def _is_written(name: str, member: object) -> bool:
    """Whether somebody wrote a member of a class, and not Python or a decorator."""
    if isinstance(member, types.FunctionType):
        plain: Any = inspect.unwrap(member)  # the representation of a dataclass is wrapped
        return bool(plain.__code__.co_filename != "<string>")
    return not (name.startswith("__") and name.endswith("__")) and not isinstance(
        member, (types.MemberDescriptorType, types.GetSetDescriptorType)
    )


def global_names(code: types.CodeType) -> set[str]:
    """Names that a function's code, or a function inside it, looks up globally."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _LOOK_UPS}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= global_names(constant)
    return found


def _is_lambda(value: _Value) -> bool:
    return getattr(value, "__name__", "") == "<lambda>"


def _code_digest(code: types.CodeType) -> str:
    """Of what a function computes, by the instructions that this version of Python makes of it."""
    parts = [_code_digest(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    text = repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, parts))
    return hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).hexdigest()


def _files_named(code: types.CodeType) -> list[Path]:
    """Data files that are there under a name that stands in a function's code, sorted."""
    found = {Path(c) for c in code.co_consts if isinstance(c, str) and Path(c).suffix in DATA}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= set(_files_named(constant))
    return sorted(path for path in found if path.is_file())


_LOOK_UPS = ("LOAD_GLOBAL", "LOAD_NAME")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
