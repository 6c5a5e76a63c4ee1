"""A forward pass, written down: operations, what they cost, and what flows between them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Call(NamedTuple):
    """One call of a module.

    Attributes:
        number: Counts the calls of a pass.
        module: Its name in the network; of a shared module the first.
        kind: Name of its class.
        leaf: Whether it has no module inside.
        container: Whether its class only holds others.
    """

    number: int
    module: str
    kind: str
    leaf: bool
    container: bool


class Work(NamedTuple):
    """What an operation costs.

    Attributes:
        kind: product, lookup, or the kind of a vector row.
        sizes: M, K, N, copies of a product; rows, length, copies of vectors; elements of a lookup
            [1].
        tensor: Name of the parameter that is the right operand, or the table; "" for none.
        number: Of a product, counted in the pass; else -1.
    """

    kind: str
    sizes: tuple[int, ...]
    tensor: str = ""
    number: int = -1


class Event(NamedTuple):
    """One operation.

    Attributes:
        operation: Its name.
        calls: The open calls of modules, outermost first.
        work: What it costs; () for nothing.
        reads: Values that it reads, as indices.
        parameters: Names of those that it reads.
    """

    operation: str
    calls: tuple[Call, ...]
    work: tuple[Work, ...]
    reads: tuple[int, ...]
    parameters: frozenset[str]


class Value(NamedTuple):
    """What a tensor holds, with all of its views.

    Attributes:
        event: Index of the event that made it; -1 for inputs and parameters.
        elements: [1].
        varies: Whether it depends on the example.
        real: Whether it depends on a parameter, or on an input of floating point.
        parameters: Names that it is made of, if on nothing else.
        products: Numbers of the products that it comes from, with no other product between.
        softened: Whether a softmax came after them.
        channels_first: Whether it is an image with its channels first.
    """

    event: int
    elements: int
    varies: bool = False
    real: bool = False
    parameters: frozenset[str] = frozenset()
    products: frozenset[int] = frozenset()
    softened: bool = False
    channels_first: bool = False

    @property
    def data(self) -> bool:
        """Whether it is made anew for every input, and is more than a mask or a position."""
        return self.varies and self.real


@dataclass(slots=True)
class Record:
    """A pass. Mutable on purpose: it is filled.

    Attributes:
        events: Operations in order.
        values: What flows between them.
        elements: Parameter or buffer of floating point -> its elements [1].
        widths: The same -> elements of a row [1].
        buffers: Which of them are buffers.
        scores: Numbers of the products whose result enters a softmax.
        contexts: Numbers of the products that a softmax enters.
        feeds: Product of two activations -> products whose results are its operands.
        returned: Values that the network gives back.
        unknown: Operation and innermost module -> how often.
    """

    events: list[Event] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    elements: dict[str, int] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    buffers: set[str] = field(default_factory=set)
    scores: set[int] = field(default_factory=set)
    contexts: set[int] = field(default_factory=set)
    feeds: dict[int, frozenset[int]] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
