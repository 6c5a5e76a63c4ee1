"""Every exception that a caller may want to tell apart.

    DseError
    |-- SpaceError          a parameter or a search space that contradicts itself
    |-- CompositionError    space, evaluators and objectives do not fit (a name or a unit differs)
    |-- EvaluationError     an evaluator answered something that its declaration does not allow
    |-- RowsFailed          some designs of a batch failed; the others' results travel inside
    |-- CallOrderError      ask and tell in the wrong order
    |-- StudyError          a study file or an override with problems; carries all of them
    |-- RunError            a run folder that cannot be written, read or trusted
    |   |-- RunDamaged      its files do not verify; what is sound can be resumed
    |   |-- RunUnwritable   the disk refused a write; every acknowledged trial is still there
    |   `-- RunRefused      nothing was touched
    |       |-- RunExists   the folder holds something already
    |       |-- RunHeld     another process is working on it
    |       `-- RunDiffers  what would be continued is not what was begun
    `-- MissingDependency   a library, a task, a network or room is needed and not here

Anything else that escapes is a bug of ours.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dse.core.failure import Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DseError(Exception):
    """Root of all errors that this package raises on purpose."""


class SpaceError(DseError):
    """A parameter or a search space contradicts itself."""


class CompositionError(DseError):
    """Space, evaluators and objectives do not fit together."""


class EvaluationError(DseError):
    """An evaluator broke its own declaration (shape, names, or a value that is not finite)."""


class CallOrderError(DseError):
    """A searcher was told before it was asked, or asked twice without an answer."""


class RunError(DseError):
    """A run folder cannot be written, read or trusted."""


class RunDamaged(RunError):
    """The files of a run do not verify: cut, changed, or in contradiction to each other."""


class RunUnwritable(RunError):
    """A write into a run folder failed (disk full, no permission); what was reported stays."""


class RunRefused(RunError):
    """What was asked would harm a run; nothing was touched."""


class RunExists(RunRefused):
    """The folder asked for holds something already; nothing was written."""


class RunHeld(RunRefused):
    """Another living process is working on the run."""


class RunDiffers(RunRefused):
    """The study, the code or the data of a run are no longer what it was begun with."""


class MissingDependency(DseError):
    """What was asked needs something that is not here: a library, a task, a network, room."""


class StudyError(DseError):
    """A study file, or an override of it, has problems.

    Attributes:
        problems: One complete line per problem, in the order of the file.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class RowsFailed(DseError):
    """Some designs of a batch failed; the others did not.

    Args:
        reasons: Row number in the batch -> what happened. A plain text is a failure of the kind
            `raised`, whatever it says.
        columns: See below.

    Attributes:
        reasons: Row number in the batch -> what happened.
        columns: The output columns of *all* rows; rows that failed hold a filler that nobody may
            read.
    """

    reasons: Mapping[int, Failure]

    def __init__(
        self, reasons: Mapping[int, Failure | str], columns: "Mapping[str, NDArray[np.generic]]"
    ) -> None:
        self.reasons = {
            row: why if isinstance(why, Failure) else Failure("raised", str(why))
            for row, why in reasons.items()
        }
        self.columns = columns
        first = min(self.reasons)
        more = f" (and {len(self.reasons) - 1} more)" if len(self.reasons) > 1 else ""
        super().__init__(f"row {first}: {self.reasons[first].reason}{more}")
