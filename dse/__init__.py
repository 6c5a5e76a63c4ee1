"""Edge DSE: co-design of edge hardware, network and runtime in one multi-objective search.

Every name below is imported when it is first used; `import dse` itself loads no library. Three
modules have lists of their own: `dse.plots` (figures), `dse.lut` (lookup tables) and `dse.online`
(measured trials, policies, simulation).
"""

from typing import TYPE_CHECKING

from dse.core.lazy import lazy_names

if TYPE_CHECKING:
    from dse import lut, online, plots
    from dse.api.accuracy import accuracy_run
    from dse.api.runs import Front, Run, load
    from dse.api.search import minimize, run_study
    from dse.api.version import __version__
    from dse.core.errors import DseError
    from dse.core.evaluation import Chain
    from dse.core.functions import evaluator
    from dse.core.parameters import Categorical, Integer, Ordinal, Real
    from dse.core.problem import Constraint, Objective, Problem
    from dse.core.signature import Signature
    from dse.core.space import ActiveWhen, Forbidden, SearchSpace
    from dse.study.system import Composed, Draws, Requests, Section, System

__all__ = [
    "ActiveWhen", "Categorical", "Chain", "Composed", "Constraint", "Draws", "DseError",
    "Forbidden", "Front", "Integer", "Objective", "Ordinal", "Problem", "Real", "Requests", "Run",
    "SearchSpace", "Section", "Signature", "System", "__version__", "accuracy_run", "evaluator",
    "load", "lut", "minimize", "online", "plots", "run_study",
]  # fmt: skip

_HOMES = {
    "accuracy_run": "dse.api.accuracy",
    **dict.fromkeys(("Front", "Run", "load"), "dse.api.runs"),
    **dict.fromkeys(("minimize", "run_study"), "dse.api.search"),
    "__version__": "dse.api.version",
    "DseError": "dse.core.errors",
    "Chain": "dse.core.evaluation",
    "evaluator": "dse.core.functions",
    **dict.fromkeys(("Categorical", "Integer", "Ordinal", "Real"), "dse.core.parameters"),
    **dict.fromkeys(("Constraint", "Objective", "Problem"), "dse.core.problem"),
    "Signature": "dse.core.signature",
    **dict.fromkeys(("ActiveWhen", "Forbidden", "SearchSpace"), "dse.core.space"),
    **dict.fromkeys(("Composed", "Draws", "Requests", "Section", "System"), "dse.study.system"),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, ("lut", "online", "plots"))
