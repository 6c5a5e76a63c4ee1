"""What the source of a module shows: its imports, and the digest of its syntax."""

import ast
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from dse.core.installed import PROJECT
from dse.core.syntax import parsed, tree_digest


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement's one module.

    Attributes:
        module: As written, without leading dots.
        level: Leading dots.
        names: Taken from it, which may be modules; none of `import a.b`.
        bound: What `import a`, `import a.b as c` or `from dse import a` calls it here, of which
            the last may be no module; None of the others.
    """

    module: str
    level: int = 0
    names: tuple[str, ...] = ()
    bound: str | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """What the source of a module shows.

    Attributes:
        digest: Of its syntax; of the bytes of a file that is no Python source.
        imports: All that bind at run time.
        attributes: Name of a package of this project -> what is asked of it: `dse` -> `X` where
            `dse.X` stands, and `lut.X` where `dse.lut.X` stands.
        declared: Name -> module, of the imports under `if TYPE_CHECKING:`.
        lazy: Whether it defines `__getattr__`.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    lazy: bool = False


def module_of(path: Path) -> Module:
    """What a file shows; read once per process for as long as it is not written to."""
    found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4096)
def _read(path: Path, _changed: int, _size: int) -> Module:
    if path.suffix != ".py":
        return Module(bytes_digest(path))
    try:
        tree = parsed(path.read_bytes().decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return Module(bytes_digest(path))
    imports: list[Import] = []
    declared: dict[str, str] = {}
    for statement, typing_only in _statements(tree.body, typing_only=False):
        if typing_only:
            declared.update(_declared(statement))
        else:
            imports.extend(_imports(statement))
    lazy = any("__getattr__" in _bound(statement) for statement in tree.body)
    ours = {i.bound for i in imports if i.bound and i.module.partition(".")[0] in PROJECT}
    asked = _attributes(tree, ours) if ours else {}
    return Module(tree_digest(tree), tuple(imports), asked, declared, lazy)


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a definition or an assignment binds."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    return {node.id for t in targets for node in ast.walk(t) if isinstance(node, ast.Name)}


def _statements(body: Sequence[ast.stmt], *, typing_only: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """All statements, those inside others too, and whether only a type checker reads them."""
    for statement in body:
        yield statement, typing_only
        checked = typing_only or (isinstance(statement, ast.If) and _is_typing(statement.test))
        yield from _statements(getattr(statement, "body", ()), typing_only=checked)
        for name in ("orelse", "finalbody"):
            yield from _statements(getattr(statement, name, ()), typing_only=typing_only)
        for name in ("handlers", "cases"):
            for part in getattr(statement, name, ()):
                yield from _statements(part.body, typing_only=typing_only)


def _is_typing(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _imports(statement: ast.stmt) -> Iterator[Import]:
    if isinstance(statement, ast.ImportFrom):
        names = tuple(alias.name for alias in statement.names)
        yield Import(statement.module or "", statement.level, names)
        if not statement.level and statement.module in PROJECT:  # `from dse import lut`
            for alias in statement.names:
                yield Import(f"{statement.module}.{alias.name}", bound=alias.asname or alias.name)
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            yield Import(alias.name, bound=alias.asname)
            if alias.asname is None:
                top = alias.name.partition(".")[0]
                yield Import(top, bound=top)


def _declared(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
        for alias in statement.names:
            yield alias.asname or alias.name, statement.module


def _attributes(tree: ast.Module, names: set[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        asked: list[str] = []
        while isinstance(node, ast.Attribute):
            asked, node = [node.attr, *asked], node.value
        if asked and isinstance(node, ast.Name) and node.id in names:
            found.setdefault(node.id, set()).add(".".join(asked))
    return {name: tuple(sorted(texts)) for name, texts in found.items()}


def bytes_digest(path: Path) -> str:
    """Digest of a file's bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
