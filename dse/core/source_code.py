"""Which code a result depends on: the imports that some modules reach, found in their source.

Modules of this project and of a user count by the syntax of their source, installed distributions
by version, the standard library by the version of Python. Nothing is imported to find that out.
"""

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from dse.core.installed import PROJECT, STANDARD, Place, distribution_of, locate, place_of
from dse.core.module_source import Import, Module, bytes_digest, module_of

CARRYING = ("dse.api", "dse.cli", "dse.runs", "dse.study", "dse.workers")
"""Packages that carry designs and results and compute none: no closure goes into them."""

UNCOUNTED = frozenset(
    {
        "datasets", "filelock", "huggingface_hub", "platformdirs", "pydantic", "rich", "ruamel",
        "typer",
    }
)  # fmt: skip
"""Installed packages on which no result depends: they fetch what a digest is taken of, read
settings, lock files, print."""

DATA = frozenset({".csv", ".json", ".toml"})
"""Endings of the files beside the modules of a package that its results may depend on."""

DATA_FOLDERS = ("data", "tables")
"""Folders in a package whose files count as those beside its modules."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What some modules import, and what that imports, to the end.

    Attributes:
        sources: Module -> its file, of those that count by source; by name.
        packages: Top-level names of what is installed and counts by version; sorted.
    """

    sources: Mapping[str, Path]
    packages: tuple[str, ...]

    def digests(self) -> dict[str, str]:
        """Module -> digest of its syntax, 32 hexadecimal digits; of another file, of its bytes."""
        return {name: module_of(path).digest for name, path in self.sources.items()}

    def data(self) -> dict[str, str]:
        """Data file, as `package/folder/name`, -> digest of its bytes, 32 hexadecimal digits.

        Counted are files that end as `DATA` says: of a package those beside its modules and in its
        folders `data` and `tables`; of a file that is in no package, those beside it whose names
        stand as strings in its source.
        """
        found: dict[str, str] = {}
        for package, folder in self._packages():
            for file in _files(folder, DATA_FOLDERS):
                place = file.relative_to(folder).as_posix()
                found[f"{package.replace('.', '/')}/{place}"] = bytes_digest(file)
        for path in (p for n, p in self.sources.items() if "." not in n and _is_loose(p)):
            said = _texts(path)
            beside = (file for file in _files(path.parent, ()) if file.name in said)
            found |= {file.name: bytes_digest(file) for file in beside}
        return dict(sorted(found.items()))

    def _packages(self) -> set[tuple[str, Path]]:
        """Packages of the modules, each with its folder."""
        packages = (
            (name if path.name == "__init__.py" else name.rpartition(".")[0], path.parent)
            for name, path in self.sources.items()
        )
        return {(package, folder) for package, folder in packages if package}

    def versions(self) -> dict[str, str]:
        """Distribution -> installed version, of what counts by version."""
        found = dict(distribution_of(package) for package in self.packages)
        return {name: version for name, version in sorted(found.items()) if version}


def import_closure(roots: Sequence[str], carrying: Sequence[str] = CARRYING) -> Closure:
    """Everything that the roots import, transitively.

    Imports inside functions count, those under `if TYPE_CHECKING:` do not, a package's `__init__`
    counts with each of its modules. A package of this project that loads its names when they are
    asked for (it defines `__getattr__` and declares them under `if TYPE_CHECKING:`) counts by the
    modules of the names that are asked of it. An import by a string that is put together when the
    program runs cannot be seen: name such modules as roots.

    Args:
        roots: Names of modules, loaded or not; those of the standard library are left out.
        carrying: Packages that are not gone into.

    Returns:
        By source: the roots, this project, whatever belongs to the top-level package of a root or
        lies beside a root's file, and what is neither installed nor of the standard library.
    """
    search = _Search(tuple(carrying), frozenset(root.partition(".")[0] for root in roots))
    for root in sorted(set(roots)):
        search.add(root)
    search.follow()
    return Closure(dict(sorted(search.sources.items())), tuple(sorted(search.packages)))


def homes_of(module: str, names: Collection[str]) -> frozenset[str]:
    """Roots that stand for a module of which some names are asked: it, and the homes of the names.

    Args:
        module: As imported; a package of this project that loads its names when asked has homes.
        names: Of the module, and of modules of it that are among them; others do no harm.
    """
    found = {module}
    for name in names:
        home = _homes(module).get(name)
        if home is not None:
            found.add(home)
        elif _homes(f"{module}.{name}"):
            found |= homes_of(f"{module}.{name}", names)
    return frozenset(found)


def digest_of(parts: Mapping[str, str]) -> str:
    """One digest of digests by name, 32 hexadecimal digits."""
    words = "\n".join(f"{name} {digest}" for name, digest in sorted(parts.items()))
    return hashlib.blake2b(words.encode(), digest_size=16).hexdigest()


class _Search:
    """A closure on its way. Mutable on purpose."""

    def __init__(self, carrying: tuple[str, ...], owned: frozenset[str]) -> None:
        self.sources: dict[str, Path] = {}
        self.packages: set[str] = set()
        self._carrying, self._owned = carrying, owned | set(PROJECT)
        self._seen: set[str] = set()
        self._waiting: list[str] = []
        self._beside: list[Path] = []

    def add(self, name: str) -> bool:
        """Count a module; whether there is such a one."""
        top, parent = name.partition(".")[0], name.rpartition(".")[0]
        if name in self._seen or top in STANDARD or self._carries(name):
            return True
        if parent and not self.add(parent):
            return False
        if top in self.packages:
            return True
        place = locate(name) or self._located_beside(name)
        if place is None or (name == "__main__" and place.installed):
            return False
        if top not in self._owned and place.installed:
            self.packages |= {top} - UNCOUNTED
            return True
        self._seen.add(name)
        if place.file is not None:
            self.sources[name] = place.file
            self._waiting.append(name)
            if not parent and _is_loose(place.file):
                self._beside.append(place.file.parent)
        return True

    def _carries(self, name: str) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in self._carrying)

    def _located_beside(self, name: str) -> Place | None:
        """A module beside a file that belongs to no package, as Python finds it for a script."""
        if "." in name:
            return None
        found = (PathFinder.find_spec(name, [str(folder)]) for folder in self._beside)
        return next((place_of(spec) for spec in found if spec is not None), None)

    def follow(self) -> None:
        """Go on until nothing new is imported."""
        while self._waiting:
            name = self._waiting.pop()
            path = self.sources[name]
            module = module_of(path)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for asked in module.imports:
                self._import(asked, package, module)
            if _is_face(name, module):
                del self.sources[name]  # the modules of its names count, not the list of names

    def _import(self, asked: Import, package: str, importer: Module) -> None:
        target = asked.module
        if asked.level:
            up = package.split(".")[: len(package.split(".")) - asked.level + 1]
            target = ".".join([*up, *([target] if target else [])])
        if not target or not self.add(target):
            return
        names = asked.names or importer.attributes.get(asked.bound or "", ())
        for name in names:
            self._ask(target, name)

    def _ask(self, package: str, asked: str) -> None:
        """Count what a dotted name of a package is: a module of it, or one of its names."""
        name, _, rest = asked.partition(".")
        home = _homes(package).get(name)
        if home is not None:
            self.add(home)
        elif self.add(f"{package}.{name}") and rest:
            self._ask(f"{package}.{name}", rest)


def _homes(package: str) -> Mapping[str, str]:
    """Name -> module, of a package of this project that loads its names when asked."""
    top = package.partition(".")[0]
    place = locate(package) if top in PROJECT else None
    if place is None or place.file is None or place.file.name != "__init__.py":
        return {}
    module = module_of(place.file)
    if not _is_face(package, module):
        return {}
    return {name: home for name, home in module.declared.items() if home != package}


def _is_face(name: str, module: Module) -> bool:
    return module.lazy and name.partition(".")[0] in PROJECT


def _is_loose(path: Path) -> bool:
    """Whether a top-level module is a file alone, and no package."""
    return path.suffix == ".py" and path.name != "__init__.py"


def _files(folder: Path, below: Sequence[str]) -> Iterator[Path]:
    """Data files in a folder and in some folders of it."""
    for place in (folder, *(folder / name for name in below)):
        if place.is_dir():
            yield from (f for f in place.iterdir() if f.suffix in DATA and f.is_file())


def _texts(path: Path) -> set[str]:
    """Last parts of the strings in a source."""
    tree = ast.parse(path.read_bytes())
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text.rpartition("/")[2] for text in constants if isinstance(text, str)}
