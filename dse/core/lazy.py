"""Names of a package that are imported when they are first asked for."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    package: str, homes: Mapping[str, str], modules: Sequence[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: Its name.
        homes: Name -> module that has it.
        modules: Names of modules of the package that are offered themselves.
    """
    names = [*homes, *modules]

    def get(name: str) -> object:
        """The value of a name, imported at its first use."""
        if name not in names:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; there are {', '.join(names)}"
            )
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        value: object = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(names)
