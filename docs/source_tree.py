"""What the checkout defines: modules, names, commands, study keys; nothing of it is imported."""

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

PACKAGES = ("dse", "hw_models", "search_spaces", "studies")
STUDY_FILE = "dse.study.schema.StudyFile"
LAYERS = "Inside the engine, arrows point down"
HOMES = "Heavy libraries stay in their homes"

Definition: TypeAlias = ast.AST | str
"""What a name of a module stands for: a statement, or the dotted name that an import leads to."""


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed module or package; a folder without Python files has no names."""

    dotted: str
    names: Mapping[str, Definition]
    tree: ast.Module | None


@dataclass(frozen=True, slots=True)
class Found:
    """Where a dotted name leads: a module, and the statement in it; None: the module itself."""

    module: Module
    node: ast.AST | None


class SourceTree:
    """The files of a checkout and what they define; each module is parsed once, when asked for.

    Args:
        root: Folder of the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self._known: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def module(self, dotted: str) -> Module | None:
        """The module or package of this name, or None."""
        if dotted not in self._modules:
            self._modules[dotted] = self._parsed(dotted)
        return self._modules[dotted]

    def _parsed(self, dotted: str) -> Module | None:
        stem = self.root.joinpath(*dotted.split("."))
        path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
        if path.is_file():
            tree = ast.parse(path.read_text(encoding="utf-8"))
            return Module(dotted, dict(_definitions(tree.body)), tree)
        return Module(dotted, {}, None) if stem.is_dir() else None

    def find(self, dotted: str) -> Found | None:
        """What a dotted name leads to, through imports and into classes, or None."""
        parts = dotted.split(".")
        for cut in range(len(parts), 0, -1):
            module = self.module(".".join(parts[:cut]))
            if module is not None:
                return self._member(module, parts[cut:])
        return None

    def _member(self, module: Module, rest: list[str]) -> Found | None:
        if not rest:
            return Found(module, None)
        node = module.names.get(rest[0])
        if isinstance(node, str):
            return self.find(".".join([node, *rest[1:]]))
        if node is None or len(rest) == 1:
            return None if node is None else Found(module, node)
        return self._attribute(Found(module, node), rest[1:])

    def _attribute(self, owner: Found, rest: list[str]) -> Found | None:
        """A method or field of a class, its own or inherited; only classes have attributes here."""
        if not isinstance(owner.node, ast.ClassDef) or len(rest) > 1:
            return None
        own = _members(owner.node).get(rest[0])
        if own is not None:
            return Found(owner.module, own)
        for base in owner.node.bases:
            above = self.find(f"{owner.module.dotted}.{ast.unparse(base)}")
            inherited = None if above is None else self._attribute(above, rest)
            if inherited is not None:
                return inherited
        return None

    @cached_property
    def sources(self) -> dict[str, str]:
        """Dotted name -> text of every module of the four packages."""
        found = {}
        for path in (p for name in PACKAGES for p in sorted((self.root / name).rglob("*.py"))):
            parts = path.relative_to(self.root).with_suffix("").parts
            dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[dotted] = path.read_text(encoding="utf-8")
        return found

    def mentioning(self, text: str) -> Iterator[Module]:
        """Modules in whose source a text stands; those that are looked through come first."""
        named = [dotted for dotted, source in self.sources.items() if text in source]
        for dotted in sorted(named, key=lambda d: d not in self._known):
            module = self.module(dotted)
            if module is not None:
                yield module

    def defines(self, name: str) -> bool:
        """Whether a module, class, function, argument, variable or attribute has this name."""
        if any(name in dotted.split(".") for dotted in self.sources):
            return True
        alone = re.compile(rf"(?<!\w){name}(?:\(|:|,|\)| in | =)")  # as where it is defined
        named = (m for m in self.mentioning(name) if alone.search(self.sources[m.dotted]))
        return any(name in self._names(m)[0] for m in named)

    def says(self, text: str) -> bool:
        """Whether a string constant is this text: a column, a choice, the name of a file."""
        return any(text in self._names(m)[1] for m in self.mentioning(f'"{text}"'))

    def _names(self, module: Module) -> tuple[frozenset[str], frozenset[str]]:
        """What a module defines, and its string constants."""
        if module.dotted not in self._known:
            nodes = list(ast.walk(module.tree)) if module.tree is not None else []
            values = (n.value for n in nodes if isinstance(n, ast.Constant))
            texts = frozenset(v for v in values if isinstance(v, str))
            self._known[module.dotted] = (frozenset(filter(None, map(_name_of, nodes))), texts)
        return self._known[module.dotted]

    @cached_property
    def commands(self) -> frozenset[str]:
        """Commands as typed after `dse`, such as `run` and `lut verify`."""
        trees = [m.tree for m in self.mentioning("    Command(") if m.tree is not None]
        calls = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Call)]
        rows = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "Command"]
        return frozenset(
            str(row.args[0].value) for row in rows if isinstance(row.args[0], ast.Constant)
        )

    @cached_property
    def targets(self) -> frozenset[str]:
        """Targets of the Makefile."""
        text = (self.root / "Makefile").read_text(encoding="utf-8")
        return frozenset(re.findall(r"^([a-z][\w-]*):", text, flags=re.MULTILINE))

    @cached_property
    def project(self) -> dict[str, Any]:
        """What `pyproject.toml` says."""
        return tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))

    @cached_property
    def libraries(self) -> frozenset[str]:
        """Libraries that `pyproject.toml` names, and the extras that bring some of them."""
        project = self.project["project"]
        extras: dict[str, list[str]] = project["optional-dependencies"]
        wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras.values())]
        fenced = [x for c in self.contracts.values() for x in c.get("forbidden_modules", ())]
        return frozenset([re.split(r"[><=\[]", w)[0] for w in wanted] + fenced + list(extras))

    @cached_property
    def contracts(self) -> dict[str, Any]:
        """Import contracts by name."""
        return {c["name"]: c for c in self.project["tool"]["importlinter"]["contracts"]}

    @property
    def floors(self) -> list[list[str]]:
        """Rooms of the engine, floor by floor from the top."""
        return [sorted(line.split(" | ")) for line in self.contracts[LAYERS]["layers"]]

    @property
    def homes(self) -> dict[str, list[str]]:
        """Heavy library -> the modules that may import it."""
        homes: dict[str, list[str]] = {}
        for allowed in self.contracts[HOMES]["ignore_imports"]:
            home, library = allowed.split(" -> ")
            homes.setdefault(library, []).append(home)
        return {library: sorted(found) for library, found in homes.items()}

    def has_key(self, key: str) -> bool:
        """Whether a study file has this key, such as `search.plateau` or `settings.task`."""
        first, *rest = key.split(".")
        if first == "settings" and rest:
            owners = [f"{m.dotted}.Settings" for m in self.mentioning("class Settings(")]
            return any(self._has_field(owner, rest) for owner in owners)
        return self._has_field(STUDY_FILE, [first, *rest])

    def _has_field(self, owner: str, rest: list[str]) -> bool:
        found = self.find(owner)
        if found is None or not isinstance(found.node, ast.ClassDef):
            return False
        field = _members(found.node).get(rest[0])
        if not isinstance(field, ast.AnnAssign) or len(rest) == 1:
            return isinstance(field, ast.AnnAssign)
        types = [n.id for n in ast.walk(field.annotation) if isinstance(n, ast.Name)]
        return any(self._has_field(f"{found.module.dotted}.{name}", rest[1:]) for name in types)

    @property
    def searchers(self) -> tuple[str, ...]:
        """Names of the searchers that a study can ask for."""
        table = self.find("dse.searchers.registry.SEARCHERS")
        if table is not None and isinstance(table.node, ast.AnnAssign | ast.Assign):
            keys = table.node.value.keys if isinstance(table.node.value, ast.Dict) else []
            return tuple(str(k.value) for k in keys if isinstance(k, ast.Constant))
        field = self.find("dse.study.search_rules.Search.searcher")
        if field is None or not isinstance(field.node, ast.AnnAssign):
            raise LookupError("neither a table of searchers nor a list in the schema was found")
        names = (n.value for n in ast.walk(field.node.annotation) if isinstance(n, ast.Constant))
        return tuple(str(name) for name in names)

    def value(self, dotted: str, at: str = "") -> float:
        """A number that the code states.

        Args:
            dotted: A constant, a field with a default, or a function.
            at: Position or keyword in the call, tuple or list that is assigned; argument of the
                function.

        Raises:
            LookupError: If there is no such number.
        """
        found = self.find(dotted)
        node = None if found is None else found.node
        if isinstance(node, ast.FunctionDef):
            return _number(_default(node, at))
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            raise LookupError(f"{dotted} is not a constant")
        return _number(_part(node.value, at) if at else node.value)


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, Definition]]:
    """Names that statements define, those below `if` and `try` too."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _definitions([*node.body, *node.orelse])
        elif isinstance(node, ast.ImportFrom):
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
            yield from ((name.id, node) for name in names)


def _members(owner: ast.ClassDef) -> dict[str, ast.AST]:
    """Methods and fields of a class, and what its methods assign to `self`."""
    assigned = [n for n in ast.walk(owner) if isinstance(n, ast.Attribute)]
    own = {n.attr: n for n in assigned if isinstance(n.ctx, ast.Store)}
    named = {k: v for k, v in _definitions(owner.body) if isinstance(v, ast.AST)}
    return {**own, **named}


def _name_of(node: ast.AST) -> str:
    """What a node defines, or nothing."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    return ""


def _default(function: ast.FunctionDef, name: str) -> ast.expr:
    """The default of an argument."""
    positional = [*function.args.posonlyargs, *function.args.args]
    late = positional[len(positional) - len(function.args.defaults) :]
    pairs = [*zip(late, function.args.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults) if d]  # noqa: B905
    defaults = {argument.arg: value for argument, value in pairs}
    if name not in defaults:
        raise LookupError(f"{function.name} has no default for {name!r}")
    return defaults[name]


def _part(node: ast.expr, at: str) -> ast.expr:
    """One argument of a call, or one element of a tuple or list."""
    parts: dict[str, ast.expr] = {}
    if isinstance(node, ast.Call):
        parts = {str(i): a for i, a in enumerate(node.args)}
        parts |= {k.arg: k.value for k in node.keywords if k.arg}
    elif isinstance(node, ast.Tuple | ast.List):
        parts = {str(i): e for i, e in enumerate(node.elts)}
    if at not in parts:
        raise LookupError(f"there is no part {at!r}; there are {', '.join(parts)}")
    return parts[at]


def _number(node: ast.expr) -> float:
    """The value of a number or of plain arithmetic on numbers."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        return int(_number(node.left)) << int(_number(node.right))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _number(node.left) * _number(node.right)
    raise LookupError(f"{ast.unparse(node)} is not a number")
