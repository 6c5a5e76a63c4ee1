"""A network as a table of layers: products, vector work, tensors, cuts and exits.

Stage 0 is what runs before the first layer (embeddings, projection), stage l is layer l with the
exit behind it. A size is a count, or a count times a symbol that a design may change: `tokens` of
a sentence, `keys` that a query sees, `heads` that are on. A table holds no cost; `hw_models.cost`
prices it on a machine.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from hw_models.columns import require_one_of

Symbol: TypeAlias = Literal["1", "tokens", "keys", "heads"]
"""What a count is multiplied with; "1" for a size that no design changes."""

Kind: TypeAlias = Literal["weight", "dense", "activation"]
"""weight: the right operand is a prunable weight. dense: a weight that is never pruned.
activation: both operands are computed."""

Role: TypeAlias = Literal["embedding", "weight", "dense"]
"""embedding: rows that are looked up. weight: prunable matrices. dense: all other parameters."""


_ROLES: Mapping[Kind, tuple[str, ...]] = {
    "weight": ("weight",), "dense": ("dense", "embedding"), "activation": ("",)
}  # fmt: skip
"""Role of the tensor that a product of each kind names; a tied embedding is multiplied densely."""


class Size(NamedTuple):
    """A count, or a count times a symbol.

    Attributes:
        base: [1], at least 0.
        symbol: What it is multiplied with.
    """

    base: float
    symbol: Symbol = "1"

    def at(self, sizes: Mapping[str, float]) -> float:
        """The number [1], given the value of each symbol."""
        return self.base if self.symbol == "1" else self.base * sizes[self.symbol]

    def __str__(self) -> str:
        if self.symbol == "1":
            return f"{self.base:g}"
        return self.symbol if self.base == 1 else f"{self.base:g} {self.symbol}"


ONE = Size(1.0)
TOKENS = Size(1.0, "tokens")


class Product(NamedTuple):
    """A matrix product: `copies` times (rows x reduction) by (reduction x columns).

    Attributes:
        stage: 0, or the layer that runs it.
        name: What it computes.
        kind: What its right operand is.
        rows: M, of the left operand and of the result.
        reduction: K, summed.
        columns: N, of the right operand and of the result.
        copies: How often it runs.
        tensor: Name of the parameter that is its right operand; "" where both are computed.
    """

    stage: int
    name: str
    kind: Kind
    rows: Size
    reduction: Size
    columns: Size
    copies: Size = ONE
    tensor: str = ""

    @property
    def shape(self) -> tuple[Size, Size, Size, Size]:
        """M, K, N and copies."""
        return self.rows, self.reduction, self.columns, self.copies


class Vector(NamedTuple):
    """Work on vectors beside the array: `copies` times `rows` vectors of `length` elements.

    Attributes:
        stage: 0, or the layer that runs it.
        kind: softmax, norm, add, entropy or `activation:<name>`.
        rows: Vectors.
        length: Elements of a vector.
        copies: How often it runs.
    """

    stage: int
    kind: str
    rows: Size
    length: Size
    copies: Size = ONE

    @property
    def shape(self) -> tuple[Size, Size, Size]:
        """Rows, length and copies."""
        return self.rows, self.length, self.copies


class Tensor(NamedTuple):
    """Parameters that are kept together; stored once, however many layers use them.

    Attributes:
        name: Of its own.
        elements: [1].
        role: What kind of parameters they are.
        group: Which of the groups of a knob by group it belongs to, from 0.
        stages: Stages that use it, rising; layers that share weights are all listed.
        read: Elements that one inference looks up [1]; embeddings only.
    """

    name: str
    elements: float
    role: Role
    group: int
    stages: tuple[int, ...]
    read: Size = Size(0.0)


@dataclass(frozen=True, slots=True)
class Workload:
    """A network on inputs of one padded length.

    Attributes:
        name: For messages.
        layers: L, depth of the network [layer].
        tokens: Default of the symbol `tokens` and of `keys` [token]; 1 for a network without them.
        heads: Default of the symbol `heads` [1].
        products: Matrix products.
        vectors: Work on vectors.
        tensors: Parameters.
        cuts: Elements that cross behind stage 0 to L, where the network can be cut.
        exits: Layers behind which an answer can be read.
        longest: Most tokens that the network takes [token].
    """

    name: str
    layers: int
    tokens: float
    heads: float
    products: tuple[Product, ...]
    vectors: tuple[Vector, ...]
    tensors: tuple[Tensor, ...]
    cuts: tuple[Size, ...]
    exits: tuple[int, ...]
    longest: float
    groups: int = field(init=False)

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers = {self.layers} of {self.name!r} must be at least 1")
        if not 1 <= self.tokens <= self.longest:
            raise ValueError(
                f"tokens = {self.tokens:g} of {self.name!r} is outside 1 to {self.longest:g}, "
                "what the network takes"
            )
        if len(self.cuts) != self.layers + 1:
            raise ValueError(
                f"cuts of {self.name!r} has {len(self.cuts)} sizes; stages 0 to {self.layers} "
                f"have {self.layers + 1}"
            )
        self._check_rows()
        groups = 1 + max((t.group for t in self.tensors), default=0)
        object.__setattr__(self, "groups", groups)

    def _check_rows(self) -> None:
        known = {tensor.name: tensor for tensor in self.tensors}
        if len(known) != len(self.tensors):
            raise ValueError(f"two tensors of {self.name!r} share a name")
        for tensor in self.tensors:
            self._check_tensor(tensor)
        for product in self.products:
            self._check_stages((product.stage,))
            self._check_sizes(product.shape)
        for vector in self.vectors:
            self._check_stages((vector.stage,))
            self._check_sizes(vector.shape)
        self._check_stages(self.exits)
        self._check_sizes(self.cuts)
        for product in self.products:
            require_one_of("kind", product.kind, get_args(Kind))
            tensor_of = known.get(product.tensor)
            roles = _ROLES[product.kind]
            if (tensor_of.role if tensor_of else "") not in roles:
                raise ValueError(
                    f"product {product.name!r} of {self.name!r} is of kind {product.kind!r} and "
                    f"names tensor {product.tensor!r} of role "
                    f"{tensor_of.role if tensor_of else None!r}; its tensor is of role "
                    f"{' or '.join(filter(None, roles)) or None}"
                )
            if tensor_of and product.stage not in tensor_of.stages:
                raise ValueError(
                    f"product {product.name!r} of {self.name!r} runs in stage {product.stage}, and "
                    f"tensor {product.tensor!r} is used in stages {list(tensor_of.stages)} only"
                )

    def _check_tensor(self, tensor: Tensor) -> None:
        require_one_of("role", tensor.role, get_args(Role))
        self._check_sizes((Size(tensor.elements), tensor.read))
        self._check_stages(tensor.stages)
        if not tensor.stages or list(tensor.stages) != sorted({*tensor.stages}):
            raise ValueError(
                f"tensor {tensor.name!r} of {self.name!r} is used in stages "
                f"{list(tensor.stages)}; name one at least, each once, rising"
            )
        if tensor.group < 0:
            raise ValueError(f"group = {tensor.group} of tensor {tensor.name!r} is negative")

    def _check_stages(self, stages: Iterable[int]) -> None:
        for stage in stages:
            if not 0 <= stage <= self.layers:
                raise ValueError(
                    f"stage = {stage} of {self.name!r} is outside 0 to {self.layers}, its layers"
                )

    def _check_sizes(self, sizes: Iterable[Size]) -> None:
        for size in sizes:
            require_one_of(f"symbol of a size of {self.name!r}", size.symbol, get_args(Symbol))
            if not 0 <= size.base < math.inf:
                raise ValueError(
                    f"a size of {self.name!r} is {size.base}; sizes are finite and not negative"
                )

    @property
    def sizes(self) -> Mapping[str, float]:
        """Value of each symbol where no design changes it [1]."""
        return {"tokens": self.tokens, "keys": self.tokens, "heads": self.heads}

    def macs(self, stage: int | None = None) -> float:
        """Multiply-accumulates of one stage, or of all of them [1]."""
        return sum(
            product_of(row.shape, self.sizes)
            for row in self.products
            if stage is None or row.stage == stage
        )

    def parameters(self, stage: int | None = None, role: Role | None = None) -> float:
        """Distinct parameters that a stage is the first to use, or of all stages [1].

        Args:
            stage: 0 to L; None: all.
            role: Only those; None: all.
        """
        return sum(
            tensor.elements
            for tensor in self.tensors
            if (stage is None or tensor.stages[0] == stage) and role in (None, tensor.role)
        )

    def up_to(self, layer: int) -> "Workload":
        """The network cut behind a layer: what a device that holds no more of it runs.

        Args:
            layer: 1 to L.

        Raises:
            ValueError: If there is no such layer.
        """
        if not 1 <= layer <= self.layers:
            raise ValueError(f"layer = {layer} is outside 1 to {self.layers}, those of {self.name}")
        kept = (t._replace(stages=tuple(s for s in t.stages if s <= layer)) for t in self.tensors)
        return Workload(
            self.name, layer, self.tokens, self.heads,
            tuple(row for row in self.products if row.stage <= layer),
            tuple(row for row in self.vectors if row.stage <= layer),
            tuple(tensor for tensor in kept if tensor.stages),
            self.cuts[: layer + 1], tuple(s for s in self.exits if s <= layer), self.longest,
        )  # fmt: skip

    def to_json(self) -> str:
        """The table as text; `from_json` reads it back."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Workload":
        """The table that `to_json` wrote.

        Raises:
            ValueError: If the text is not such a table.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(
                data["name"], data["layers"], data["tokens"], data["heads"],
                tuple(_row(Product, row) for row in data["products"]),
                tuple(_row(Vector, row) for row in data["vectors"]),
                tuple(_row(Tensor, row) for row in data["tensors"]),
                tuple(Size(*size) for size in data["cuts"]), tuple(data["exits"]),
                data["longest"],
            )  # fmt: skip
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"this is no workload as `to_json` writes it: {error!r}") from error


_FIELDS = (
    "name", "layers", "tokens", "heads", "products", "vectors", "tensors", "cuts", "exits",
    "longest",
)  # fmt: skip


def product_of(shape: Iterable[Size], sizes: Mapping[str, float]) -> float:
    """Product of some sizes [1]."""
    total = 1.0
    for size in shape:
        total *= size.at(sizes)
    return total


def _row(kind: Callable[..., Any], values: list[Any]) -> Any:  # noqa: ANN401  (one of three)
    """A row of a table; of what JSON made lists, a pair of number and symbol is a size."""
    return kind(*(_value(value) if isinstance(value, list) else value for value in values))


def _value(value: list[Any]) -> Size | tuple[int, ...]:
    sized = len(value) == 2 and isinstance(value[1], str)
    return Size(*value) if sized else tuple(value)
