"""One forward pass of a torch module, written down: its operations, and what flows between them.

The only module of `hw_models` that needs torch. It is imported when a network is traced. Nothing
is computed on the meta device, where tensors have shapes and no values.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hw_models.workload.aten import (
    CLASSES,
    FIRST,
    SUMS,
    VECTORS,
    Class,
    products_of,
    vectors_over,
)
from hw_models.workload.events import Call, Event, Record, Value, Work


class _Recorder(TorchDispatchMode):
    """Writes down every operation that runs while it is entered."""

    def __init__(self, free: Collection[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.record = Record()
        self.open: list[Call] = []
        self.calls = 0
        self._products = 0
        self._free = frozenset(free)
        self._where: dict[int, int] = {}  # storage -> index of what it holds now
        self._kept: list[torch.Tensor] = []  # a storage must not be freed and its number reused

    def hold(self, tensor: torch.Tensor, value: Value) -> int:
        """Say what a tensor holds from now on."""
        self._kept.append(tensor)
        self.record.values.append(value)
        index = len(self.record.values) - 1
        self._where[tensor.untyped_storage()._cdata] = index
        return index

    def index_of(self, tensor: torch.Tensor) -> int | None:
        """Index of what a tensor holds; None if it has not been seen."""
        return self._where.get(tensor.untyped_storage()._cdata)

    def _value(self, tensor: torch.Tensor | None) -> Value:
        index = None if tensor is None else self.index_of(tensor)
        return Value(-1, 0) if index is None else self.record.values[index]

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  (an operation)
        types: Any,  # noqa: ANN401  (torch's)
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (what the operation gives)
        kwargs = kwargs or {}
        inputs = _tensors_of((args, kwargs))
        self._capture(inputs)
        read = tuple(index for x in inputs if (index := self.index_of(x)) is not None)
        out = func(*args, **kwargs)
        space, _, name = func._schema.name.partition("::")
        name = name if space in ("aten", "prims") else f"{space}::{name}"
        if name not in CLASSES and not name.endswith("__"):
            name = name.removesuffix("_")
        results = _tensors_of(out)
        self._note(_Operation(name, args, inputs, results, func._schema.is_mutable), read)
        return out

    def _capture(self, inputs: Sequence[torch.Tensor]) -> None:
        """Hold tensors that come from outside of the pass like buffers: attributes, constants."""
        for x in inputs:
            if self.index_of(x) is None and x.is_floating_point() and x.dim():
                name = f"constant.{len(self._kept)}"
                self.record.buffers.add(name)
                self.parameter(name, x, real=False)

    def parameter(self, name: str, tensor: torch.Tensor, real: bool) -> None:
        """Hold a parameter (real) or a buffer."""
        self.record.elements[name] = tensor.numel()
        self.record.widths[name] = tensor.shape[1:].numel()
        self.hold(tensor, Value(-1, tensor.numel(), False, real, frozenset({name})))

    def _note(self, op: "_Operation", read: tuple[int, ...]) -> None:
        class_ = self._class(op, read)
        values = [self.record.values[index] for index in read]
        made = _merged(len(self.record.events), values, class_)
        work: tuple[Work, ...] = ()
        if op.results and class_ == "product":
            work = self._products_of(op)
            made = made._replace(
                products=frozenset({work[-1].number} if work else ()),
                softened=False,
                channels_first=op.name in FIRST,
            )
        elif op.results and class_ == "lookup" and self._value(op.inputs[0]).parameters:
            made = made._replace(channels_first=False)
            work = self._lookup(op)
        elif op.results and made.data:
            work = self._vectors_of(op, class_)
            if class_ == "softmax":
                self.record.scores |= made.products
                made = made._replace(softened=True)
            made = made._replace(channels_first=made.channels_first or op.name in FIRST)
        self._keep(op, made)
        used = frozenset[str]().union(*(v.parameters for v in values))
        # A view reads nothing: what is done with it does.
        viewed = not op.mutates and all(self._shares(x, op.inputs) for x in op.results)
        self.record.events.append(
            Event(op.name, tuple(self.open), work, () if viewed else read, used)
        )

    def _class(self, op: "_Operation", read: tuple[int, ...]) -> Class:
        if op.name in self._free:
            return "move"
        if op.name in CLASSES:
            return CLASSES[op.name]
        if any(self.record.values[index].data for index in read):
            inside = self.open[-1].module if self.open else ""
            self.record.unknown[op.name, inside] += 1
        return "free"

    def _keep(self, op: "_Operation", made: Value) -> None:
        """Say what the results hold; a view holds what it is a view of."""
        for result in op.results:
            if op.mutates or not self._shares(result, op.inputs):
                elements = result.untyped_storage().nbytes() // result.element_size()
                self.hold(result, made._replace(elements=elements))

    @staticmethod
    def _shares(result: torch.Tensor, inputs: Sequence[torch.Tensor]) -> bool:
        storage = result.untyped_storage()._cdata
        return any(x.untyped_storage()._cdata == storage for x in inputs)

    def _products_of(self, op: "_Operation") -> tuple[Work, ...]:
        work: list[Work] = []
        for left, right, (rows, reduction, columns, copies) in products_of(
            op.name, op.args, op.results[0]
        ):
            a, b = self._value(left), self._value(right)  # type: ignore[arg-type]
            if left is None and work:  # the context of an attention that is one operation
                self.record.scores.add(work[-1].number)
                a = Value(-1, 0, True, True, softened=True, products=frozenset({work[-1].number}))
            if not (a.varies or b.varies) and a.real == b.real:
                continue  # made once, not for every input
            number, self._products = self._products, self._products + 1
            weights = b.parameters or a.parameters
            if a.parameters and not b.parameters:  # the weight is on the right in a table
                rows, columns = columns, rows
            # Of several, as with a weight and its norm, the largest.
            tensor = max(weights, key=lambda x: (self.record.elements[x], x), default="")
            work.append(Work("product", (rows, reduction, columns, copies), tensor, number))
            if not weights:
                self.record.feeds[number] = a.products | b.products
                if a.softened or b.softened:
                    self.record.contexts.add(number)
        if len(work) == 2:
            self._attention_softmax(work)
        return tuple(work)

    def _attention_softmax(self, work: list[Work]) -> None:
        rows, _, keys, copies = work[0].sizes
        work.insert(1, Work("softmax", (rows, keys, copies)))

    def _lookup(self, op: "_Operation") -> tuple[Work, ...]:
        table = op.inputs[0]
        name = min(self._value(table).parameters)
        return (Work("lookup", (op.results[0].numel(),), name),)

    def _vectors_of(self, op: "_Operation", class_: Class) -> tuple[Work, ...]:
        """Vector work of an operation on data; () where it is free."""
        out = op.results[0]
        if class_ in ("add", "pair") and self._terms(op) < 2:
            return ()
        if class_ in VECTORS:
            sizes = VECTORS[class_](op.name, op.args, out)
        elif class_ in ("add", "pair", "function", "reduction"):
            first = any(self._value(x).channels_first for x in op.inputs)
            sizes = vectors_over((op.inputs[0] if class_ == "reduction" else out).shape, first)
        else:
            return ()
        sums = class_ == "add" or op.name in SUMS
        kind = class_ if class_ in ("softmax", "norm") else "add" if sums else ""
        return (
            Work(kind or f"activation:{op.name.strip('_').removesuffix('_with_indices')}", sizes),
        )

    def _terms(self, op: "_Operation") -> int:
        """Operands that are no number, mask, bias or scale.

        What does not depend on the example counts where it is as large as the result: positions.
        """
        size = op.results[0].numel()
        values = [(x, self._value(x)) for x in op.inputs if x.is_floating_point()]
        return sum(v.data or (v.real and x.numel() == size and x.dim() > 1) for x, v in values)


class _Operation(NamedTuple):
    name: str
    args: Sequence[Any]
    inputs: list[torch.Tensor]
    results: list[torch.Tensor]
    mutates: bool


def _merged(event: int, values: Sequence[Value], class_: Class) -> Value:
    """What a result holds, from what the operands hold."""
    if class_ == "constant":
        return Value(event, 0)
    varies = any(v.varies for v in values)
    return Value(
        event,
        0,
        varies,
        any(v.real for v in values),
        frozenset().union(*(() if varies else v.parameters for v in values)),
        frozenset().union(*(v.products for v in values)),
        any(v.softened for v in values),
        any(v.channels_first for v in values),
    )


Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with, by place and by name."""


def arguments_of(example: Any) -> Arguments:  # noqa: ANN401  (what a module takes)
    """The call that an example stands for: a mapping by name, a tuple by place, or one argument."""
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example) if isinstance(example, tuple | list) else (example,)), {}


def token_dimension(call: Arguments) -> int:
    """S, if tensors of integers of shape (1, S) are among the arguments; else 1."""
    found = {
        x.shape[1]
        for x in _tensors_of(call)
        if not x.is_floating_point() and x.dim() == 2 and x.shape[0] == 1
    }
    return max(found, default=1)


def shortened(call: Arguments, length: int, other: int) -> Arguments:
    """The same arguments with `other` elements along every dimension that has `length`.

    Raises:
        ValueError: If no dimension has.
    """
    if not any(length in x.shape for x in _tensors_of(call)):
        shapes = ", ".join(str(tuple(x.shape)) for x in _tensors_of(call)) or "none"
        raise ValueError(
            f"tokens = {length} is the size of no dimension of the example; its shapes are {shapes}"
        )

    def one(tensor: torch.Tensor) -> torch.Tensor:
        for where, size in enumerate(tensor.shape):
            if size == length:
                tensor = tensor.narrow(where, 0, other)
        return tensor

    return _replaced(call, one)


def _replaced(call: Arguments, by: Callable[[torch.Tensor], torch.Tensor]) -> Arguments:
    """Each tensor replaced; one that is given twice stays one: self-attention is told by that."""
    new = {id(x): by(x) for x in _tensors_of(call)}
    args, kwargs = tree_map_only(torch.Tensor, lambda x: new[id(x)], call)
    return args, kwargs


def _tensors_of(tree: Any) -> list[torch.Tensor]:  # noqa: ANN401  (whatever holds tensors)
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]


def record_pass(
    module: torch.nn.Module, call: Arguments, free: Collection[str] = (), cpu: bool = False
) -> Record:
    """What a module does with an example.

    Args:
        module: Is not changed.
        call: What it is called with.
        free: Operations that count as a movement.
        cpu: Compute on the tensors as they are, not on the meta device.

    Raises:
        ValueError: If this is no module, or an operation cannot run on the meta device.
    """
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"a torch.nn.Module is wanted; this is a {type(module).__name__}")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if not cpu:
        tensors = {name: _on_meta(x) for name, x in tensors.items()}
        call = _replaced(call, _on_meta)
    recorder = _Recorder(free)
    parameters = {name for name, _ in module.named_parameters()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            recorder.parameter(name, tensor, real=name in parameters)
    recorder.record.buffers = set(recorder.record.elements) - parameters
    for x in _tensors_of(call):
        recorder.hold(x, Value(-1, x.numel(), True, x.is_floating_point()))
    try:
        with torch.no_grad(), _as_at_inference(module), _hooked(module, recorder), recorder:
            out = functional_call(module, tensors, *call)
    except RuntimeError as error:
        inside = recorder.open[-1].module if recorder.open else ""
        raise ValueError(_refusal(error, inside, cpu)) from error
    indices = [recorder.index_of(x) for x in _given_back(out) if isinstance(x, torch.Tensor)]
    recorder.record.returned = {index for index in indices if index is not None}
    return recorder.record


def _given_back(out: Any) -> Iterable[Any]:  # noqa: ANN401  (what a module returns)
    """What a module returns directly, and not what is nested in that: hidden states, caches."""
    if isinstance(out, Mapping):
        return out.values()
    return out if isinstance(out, tuple | list) else (out, *getattr(out, "__dict__", {}).values())


def _refusal(error: Exception, inside: str, cpu: bool) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if cpu:
        return f"the network fails on this example, in {inside or 'itself'}: {text}"
    return (
        f"on the meta device, where tensors have no values, the network fails in "
        f"{inside or 'itself'}: {text}. If its path depends on values, give cpu=True: it then "
        "computes, and the table is that of the path that this example takes"
    )


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=False)


@contextmanager
def _as_at_inference(module: torch.nn.Module) -> Iterator[None]:
    """Switch training and fused kernels off; the latter hide the products in one operation."""
    training = [part for part in module.modules() if part.training]
    fast, fused = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    try:
        for part in training:
            part.training = False
        torch.backends.mha.set_fastpath_enabled(False)
        torch.backends.mkldnn.set_flags(False)  # type: ignore[no-untyped-call]
        yield
    finally:
        torch.backends.mkldnn.set_flags(fused)  # type: ignore[no-untyped-call]
        torch.backends.mha.set_fastpath_enabled(fast)
        for part in training:
            part.training = True


@contextmanager
def _hooked(module: torch.nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Tell a recorder which calls of modules are open."""
    handles = []
    holders = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)

    def entered(name: str, part: torch.nn.Module) -> None:
        leaf = next(part.children(), None) is None
        kind = type(part).__name__
        recorder.open.append(Call(recorder.calls, name, kind, leaf, isinstance(part, holders)))
        recorder.calls += 1

    def hooks_of(name: str, part: torch.nn.Module) -> None:
        handles.append(
            part.register_forward_pre_hook(lambda part, _: entered(name, part), prepend=True)
        )
        handles.append(part.register_forward_hook(lambda *_: _closed(recorder)))

    try:
        for name, part in module.named_modules():
            hooks_of(name, part)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _closed(recorder: _Recorder) -> None:
    recorder.open.pop()
