"""A function of columns as an evaluator: `@evaluator(inputs=..., outputs=..., evidence=...)`."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from dse.core.errors import CompositionError, EvaluationError
from dse.core.parameters import Column
from dse.core.signature import EVIDENCE, Cost, Label, Signature
from dse.core.space import Columns

ColumnFunction: TypeAlias = Callable[..., Column | Mapping[str, Column]]
"""Takes one array of shape (n,) per input, by name; gives the output's array, or one by name."""


@dataclass(frozen=True, slots=True)
class FunctionEvaluator:
    """Evaluator: a function that says which columns it reads and gives; see `evaluator`.

    Attributes:
        function: Of columns.
        signature: Columns read and given, their units and evidence, and what a row costs.
    """

    function: ColumnFunction
    signature: Signature

    def __call__(self, columns: Columns) -> Columns:
        """The function's outputs, each of shape (n,).

        Raises:
            EvaluationError: If it gives no mapping and has several outputs.
        """
        given = self.function(**{name: columns[name] for name in self.signature.inputs})
        if isinstance(given, Mapping):
            return dict(given)
        names = tuple(self.signature.outputs)
        if len(names) > 1:
            raise EvaluationError(
                f"{_name_of(self.function)} gave a {type(given).__name__}; its outputs are "
                f"{', '.join(names)}: return a mapping from each name to its array"
            )
        return {names[0]: given}


def evaluator(
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    evidence: Label | Mapping[str, Label],
    cost: Cost = "closed form",
) -> Callable[[ColumnFunction], FunctionEvaluator]:
    """Make a function of columns an evaluator.

        @dse.evaluator(inputs={"area": "m^2"}, outputs={"carbon": "kg"}, evidence="published")
        def carbon(area):
            return 15e3 * area

    Args:
        inputs: Column -> SI unit of everything that the function reads; its parameters.
        outputs: Column -> SI unit of everything that it gives. A function of one output may give
            the array itself; otherwise it gives a mapping from names to arrays.
        evidence: One of measured, closed form, published, unverified; or one for each output.
        cost: `measured` for a real run of seconds to minutes, which workers make row by row.

    Returns:
        A decorator; what it gives is called with a mapping of columns.

    Raises:
        CompositionError: If the parameters of the function are not the inputs, there is no output,
            or an evidence is not one of the four.
    """
    labels: dict[str, Label] = {}
    for name in outputs:
        label = evidence if isinstance(evidence, str) else evidence.get(name)
        if label not in EVIDENCE:
            raise CompositionError(
                f"evidence {label!r} of {name} is not one of {', '.join(EVIDENCE)}"
            )
        labels[name] = label
    if cost not in get_args(Cost):
        raise CompositionError(f"cost {cost!r} is not one of {', '.join(get_args(Cost))}")
    if not outputs:
        raise CompositionError("an evaluator needs at least one output")

    def made(function: ColumnFunction) -> FunctionEvaluator:
        _require_parameters(function, inputs)
        return FunctionEvaluator(function, Signature(dict(inputs), dict(outputs), labels, cost))

    return made


def _require_parameters(function: ColumnFunction, inputs: Mapping[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    names = [p.name for p in parameters]
    wanted = [p.name for p in parameters if p.default is p.empty]
    missing = [n for n in inputs if n not in names] + [n for n in wanted if n not in inputs]
    if missing or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise CompositionError(
            f"{_name_of(function)} takes the parameters {', '.join(names) or 'none'}; its inputs "
            f"are {', '.join(inputs)}: give each input a parameter of its name"
        )


def _name_of(function: ColumnFunction) -> str:
    return getattr(function, "__name__", type(function).__name__)
