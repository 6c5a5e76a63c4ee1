"""How an evaluator travels to another process, also one that a file or a notebook defines."""

import importlib
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import cloudpickle

from dse.core.errors import CompositionError, EvaluationError
from dse.core.evaluation import Evaluator
from dse.core.failure import one_line

_folders: list[str] = []


def folders() -> tuple[str, ...]:
    """Folders of the files that `import_file` has imported, in order."""
    return tuple(_folders)


def add_folders(paths: Sequence[str]) -> None:
    """Let modules be imported from these folders, as from that of a script."""
    for path in paths:
        if path not in _folders:
            _folders.append(path)
        if path not in sys.path:
            sys.path.insert(0, path)


def import_file(path: Path) -> ModuleType:
    """The module that a file holds, imported under its own name with its folder to import from.

    Workers import it in the same way, so that what it defines travels by name.

    Args:
        path: Of a Python file.

    Raises:
        CompositionError: If there is no such file, its name is no name of a module or that of
            another module, or its own code raises.
    """
    file = path.expanduser().resolve()
    if file.suffix != ".py" or not file.is_file():
        raise CompositionError(f"{path} is not a Python file that exists")
    if not file.stem.isidentifier():
        raise CompositionError(f"{path}: {file.stem!r} is not a name of a module; rename the file")
    add_folders([str(file.parent)])
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(file.stem)
    except (Exception, SystemExit) as error:  # whatever its own code raises
        raise CompositionError(f"{path} cannot be imported: {one_line(error)}") from error
    origin = Path(module.__file__ or "").resolve()
    if origin != file:
        raise CompositionError(
            f"{path}: the module {file.stem!r} is {origin} already; rename the file"
        )
    return module


def pack(evaluator: Evaluator) -> bytes:
    """An evaluator as bytes; made once, however many rows follow.

    What a module defines travels by name, what a notebook or a script defines by value.

    Raises:
        EvaluationError: If it cannot be pickled; the message names what is in the way.
    """
    try:
        content = cloudpickle.dumps(evaluator, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = type(evaluator).__name__
        raise EvaluationError(f"{name} cannot travel to a worker: {one_line(error)}") from error
    return pickle.dumps((folders(), content), pickle.HIGHEST_PROTOCOL)


def unpack(parcel: bytes) -> Evaluator:
    """The evaluator of `pack`, in another process of the same user."""
    paths, content = pickle.loads(parcel)
    add_folders(paths)
    evaluator: Evaluator = pickle.loads(content)
    return evaluator
