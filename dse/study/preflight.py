"""What a study needs that this machine does not have, found before anything is begun.

Libraries are looked for and not imported, files are looked at and not read: it costs milliseconds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dse.core.errors import MissingDependency
from dse.core.extras import shortage
from dse.runs.lock import NO_LOCK, lockable
from dse.searchers.registry import SEARCHERS
from dse.study.loader import Study


def shortages(study: Study[Any], *, resumed: bool = False) -> tuple[str, ...]:
    """One line for each thing that is missing here, with what to do; none if the study can run.

    Args:
        study: Its searcher, executor, warm start and system are asked.
        resumed: Whether a run goes on, which keeps the designs that it opened with.
    """
    found = [*_of_search(study), *_of_execution(study)]
    if not resumed:
        found.extend(_of_warm_start(study))
    if study.system.needs is not None:
        found.extend(study.system.needs(study.settings))
    return tuple(line for line in found if line)


def require_runnable(study: Study[Any], *, resumed: bool = False) -> None:
    """Refuse, before a run folder is made, what would end for lack of something.

    Args:
        study: As for `shortages`.
        resumed: As for `shortages`.

    Raises:
        MissingDependency: With all that is missing, in one line.
    """
    missing = shortages(study, resumed=resumed)
    if not lockable():
        missing = (*missing, NO_LOCK)
    if missing:
        raise MissingDependency("; ".join(missing))


def _of_search(study: Study[Any]) -> Iterator[str]:
    name = study.file.search.searcher
    extra = SEARCHERS[name].extra
    if extra is not None:
        yield shortage(f"the searcher {name!r}", extra)


def _of_warm_start(study: Study[Any]) -> Iterator[str]:
    warm_start = study.file.search.warm_start
    if warm_start is not None:
        path = Path(warm_start.path)
        if not path.exists():
            yield f"search.warm_start.path: {path} does not exist"
        elif path.suffix == ".parquet":
            yield shortage(f"{path}: Parquet", "parquet")


def _of_execution(study: Study[Any]) -> Iterator[str]:
    if study.file.execution.executor == "ray":
        yield shortage("the executor 'ray'", "ray")
