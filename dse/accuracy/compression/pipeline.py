"""What is done to a trained network before it is passed through, and the network that comes out.

Order: prune the encoder matrices, prune the embeddings, quantise every matrix, store the embeddings
in cells that may be misread, attend within the spans, quantise what enters each matrix product,
quantise the state that crosses a link from the edge to the cloud, if the network is cut.
Vectors (biases, layer norms; 0.3 % of the parameters) stay float32.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

from dse.accuracy.compression.adaptivfloat import Format, quantised, top_exponent
from dse.accuracy.compression.attention_span import reaching
from dse.accuracy.compression.cell_errors import Cells
from dse.accuracy.compression.fault_injection import faulty
from dse.accuracy.compression.pruning import in_layers, pruned
from dse.accuracy.networks.network import (
    LONGEST_PAIR,
    Network,
    Tokens,
    layer_means,
    load_trained,
    padded,
    with_own_parameters,
)
from dse.accuracy.networks.training import Trained
from dse.core.errors import DseError

FLOAT32 = 32
"""Width at which nothing is quantised."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Every knob that changes a network's answers.

    Attributes:
        pruning_ratio: Share of zeros in each encoder matrix [1], 0 to below 1.
        embedding_sparsity: Share of zeros in each embedding table [1], 0 to below 1.
        pruning_method: `magnitude` or `movement`; movement needs training, `finetune_steps` > 0.
        finetune_steps: Training steps that know of the pruning and the spans; 0: after training.
        span_penalty: Weight of the mean reach in the loss [1/token]; above 0 the reach of every
            head is learned, which needs training.
        attention_span: Reach of every head where it is not learned [token], 0 or more.
        weight_bits: Of an AdaptivFloat weight [bit]; 32: float32.
        activation_bits: Of an AdaptivFloat activation [bit]; 32: float32.
        exponent_bits: Of both [bit].
        cell_bits: Of the memory cells that hold the embeddings [bit].
        link_layer: Layers before the link over which the network is cut [layer]; 0: not cut.
        link_bits: Of an AdaptivFloat element of the state that crosses it [bit]; 32: float32.

    Raises:
        DseError: If a value is outside its range, or needs training and gets none.
    """

    pruning_ratio: float = 0.0
    embedding_sparsity: float = 0.0
    pruning_method: str = "magnitude"
    finetune_steps: int = 0
    span_penalty: float = 0.0
    attention_span: float = float(LONGEST_PAIR)
    weight_bits: int = 8
    activation_bits: int = FLOAT32
    exponent_bits: int = 3
    cell_bits: int = 1
    link_layer: int = 0
    link_bits: int = FLOAT32

    def __post_init__(self) -> None:
        for name in ("pruning_ratio", "embedding_sparsity"):
            _require(name, getattr(self, name), 0.0, below=1.0)
        for name in ("finetune_steps", "span_penalty", "attention_span", "link_layer"):
            _require(name, getattr(self, name), 0.0, below=float("inf"))
        if self.pruning_method not in ("magnitude", "movement"):
            raise DseError(f"pruning_method = {self.pruning_method!r}: magnitude or movement")
        needy = self.span_penalty > 0 or (
            self.pruning_method == "movement" and self.pruning_ratio > 0
        )
        if needy and not self.finetune_steps:
            raise DseError("movement pruning and learned spans need finetune_steps > 0")
        for bits in (self.weight_bits, self.activation_bits, self.link_bits):
            if bits != FLOAT32:
                Format(bits, self.exponent_bits)

    def canonical(self) -> "Compression":
        """The same network said in one way: knobs that have no effect get their default."""
        span = min(self.attention_span, float(LONGEST_PAIR))
        linked = self.link_layer > 0 and self.link_bits != FLOAT32
        quantises = linked or self.weight_bits != FLOAT32 or self.activation_bits != FLOAT32
        return replace(
            self,
            pruning_method=self.pruning_method if self.pruning_ratio else "magnitude",
            attention_span=float(LONGEST_PAIR) if self.span_penalty else span,
            exponent_bits=self.exponent_bits if quantises else 3,
            link_layer=self.link_layer if linked else 0,
            link_bits=self.link_bits if linked else FLOAT32,
        )


def _require(name: str, value: float, least: float, below: float) -> None:
    if not least <= value < below:
        raise DseError(f"{name} = {value} is outside {least:g} <= {name} < {below:g}")


@dataclass(frozen=True, slots=True)
class Crossing:
    """How the state of a cut network crosses the link.

    Attributes:
        layer: Layers before the link [layer].
        form: Of an element.
        top: Largest exponent of an element.
    """

    layer: int
    form: Format
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class Compressed:
    """A compressed network, ready to be passed through.

    Attributes:
        network: With pruned, quantised and possibly misread weights.
        reach: Of each head [token], shape (layers, heads); None: every token.
        ramp: Soft edge of the reach [token].
        activations: Largest exponents of what enters each linear layer, by its name; None:
            float32.
        form: Of an activation.
        misread: Cells that were misread.
        crossing: Of the link; None: the state crosses none, or as it is.
    """

    network: Network
    reach: torch.Tensor | None
    ramp: float
    activations: Mapping[str, int] | None
    form: Format | None
    misread: int
    crossing: Crossing | None = None

    @contextmanager
    def running(self) -> Iterator[torch.nn.Module]:
        """The encoder with its spans, its activation format and its link in force."""
        hooks = []
        if self.crossing is not None:
            behind = _layers(self.network.encoder)[self.crossing.layer]
            hook = _rounding(self.crossing.form, self.crossing.top)
            hooks.append(behind.register_forward_pre_hook(hook))
        if self.activations is not None and self.form is not None:
            shared = _Shared(self.form)
            for name, module in self.network.encoder.named_modules():
                if name in self.activations:
                    hook = shared.rounding(self.activations[name])
                    hooks.append(module.register_forward_pre_hook(hook))
        try:
            with reaching(self.network.encoder, self.reach, self.ramp):
                yield self.network.encoder
        finally:
            for handle in hooks:
                handle.remove()


@dataclass(eq=False)
class _Shared:
    """Rounds what enters linear layers; query, key and value read one state, rounded once.

    Mutable on purpose: it remembers the last.
    """

    form: Format
    _last: tuple[torch.Tensor, int, torch.Tensor] | None = field(default=None, init=False)

    def rounding(self, top: int) -> Any:  # noqa: ANN401  (torch types hooks as Any)
        """The hook of a layer with this largest exponent."""

        def hook(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:  # noqa: ANN401
            if self._last is None or self._last[0] is not inputs[0] or self._last[1] != top:
                self._last = inputs[0], top, quantised(inputs[0], self.form, top)
            return (self._last[2], *inputs[1:])

        return hook


def _rounding(form: Format, top: int) -> Any:  # noqa: ANN401  (torch types hooks as Any)
    return lambda _module, inputs: (quantised(inputs[0], form, top), *inputs[1:])


def compressed(
    trained: Trained,
    how: Compression,
    calibration: list[Tokens],
    cells: Cells | None = None,
    draw: int = 0,
) -> Compressed:
    """Compress a trained network.

    Args:
        trained: Dense, or tuned with these very pruning and span knobs.
        how: The knobs.
        calibration: Training sentences that fix the exponents of activations.
        cells: That store the embeddings; None: never misread.
        draw: Seed of the faults.
    """
    network = _stored(trained, how.pruning_ratio, _form(how.weight_bits, how))
    network = replace(network, encoder=with_own_parameters(network.encoder))
    stored = _tables_stored(trained, how.embedding_sparsity, _form(how.weight_bits, how))
    for (_, table), values in zip(_tables(network.encoder), stored, strict=True):
        table.data = values
    misread = 0
    if cells is not None and how.weight_bits != FLOAT32:
        misread = _misread(network.encoder, Format(how.weight_bits, how.exponent_bits), cells, draw)
    reach, ramp = network.reach, network.ramp
    if reach is None and how.attention_span < LONGEST_PAIR:
        config: Any = network.encoder.config
        shape = (config.num_hidden_layers, config.num_attention_heads)
        reach, ramp = torch.full(shape, float(how.attention_span)), 1.0
    made = Compressed(network, reach, ramp, None, None, misread)
    if how.activation_bits != FLOAT32:
        if misread:
            tops = _activation_exponents(made, calibration)
        else:
            plain = replace(how, activation_bits=FLOAT32, link_layer=0, link_bits=FLOAT32)
            words = tuple((tuple(t.ids), tuple(t.types)) for t in calibration)
            tops = _exponents_known(trained, plain, words)
        form = Format(how.activation_bits, how.exponent_bits)
        made = replace(made, activations=tops, form=form)
    if how.canonical().link_layer:
        made = replace(made, crossing=_crossing(made, how, calibration))
    return made


@lru_cache(maxsize=16)
def _exponents_known(
    trained: Trained, how: Compression, words: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
) -> Mapping[str, int]:
    """Of activations: the same for every split, link and width of them, so found once."""
    calibration = [Tokens(list(ids), list(types)) for ids, types in words]
    return _activation_exponents(compressed(trained, how, calibration), calibration)


def _form(bits: int, how: Compression) -> Format | None:
    return None if bits == FLOAT32 else Format(bits, how.exponent_bits)


@lru_cache(maxsize=3)
def _stored(trained: Trained, ratio: float, form: Format | None) -> Network:
    """Encoder layers and off-ramps pruned and quantised: once per setting, whatever else varies."""
    network = _dense(trained)
    encoder = with_own_parameters(network.encoder)
    for name, parameter in encoder.named_parameters():
        if parameter.dim() > 1 and in_layers(name):
            matrix = pruned(parameter.data, ratio)
            parameter.data = matrix if form is None else quantised(matrix, form)
    off_ramps = network.weight
    if form is not None:
        off_ramps = torch.stack([quantised(layer, form) for layer in network.weight])
    return replace(network, encoder=encoder, weight=off_ramps)


@lru_cache(maxsize=2)
def _dense(trained: Trained) -> Network:
    """Shared by all processes of a node: 90 MB. Keyed by content hash, so it cannot be stale."""
    return load_trained(trained.path, trained.folder, shared=True)


def _tables(encoder: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    named = encoder.named_parameters()
    return [(n, p) for n, p in named if p.dim() > 1 and "embeddings" in n.split(".")]


@lru_cache(maxsize=3)
def _tables_stored(
    trained: Trained, sparsity: float, form: Format | None
) -> tuple[torch.Tensor, ...]:
    """The embedding tables pruned and quantised: once per setting."""
    tables = [pruned(table.data, sparsity) for _, table in _tables(_dense(trained).encoder)]
    return tuple(table if form is None else quantised(table, form) for table in tables)


def _misread(encoder: torch.nn.Module, form: Format, cells: Cells, draw: int) -> int:
    generator = torch.Generator().manual_seed(draw)
    total = 0
    for _, table in _tables(encoder):
        table.data, count = faulty(table.data, form, cells, generator)
        total += count
    return total


def _layers(encoder: torch.nn.Module) -> torch.nn.ModuleList:
    """The layers of an encoder, each a module of its own.

    Raises:
        DseError: If the layers share their weights: there is nothing to cut between.
    """
    config: Any = encoder.config
    for name, module in encoder.named_modules():
        if not isinstance(module, torch.nn.ModuleList) or not in_layers(name):
            continue
        if len(module) == config.num_hidden_layers:
            return module
    raise DseError(f"a {config.model_type} encoder cannot be cut: no list of its layers was found")


def _crossing(run: Compressed, how: Compression, calibration: list[Tokens]) -> Crossing:
    """The format of the crossing state, its exponents from the calibration sentences."""
    layers = _layers(run.network.encoder)
    if how.link_layer >= len(layers):
        raise DseError(
            f"link_layer = {how.link_layer} is outside 1 to {len(layers) - 1}: the network has "
            f"{len(layers)} layers and nothing crosses behind the last"
        )
    tops = _exponents(run, {"link": layers[how.link_layer]}, calibration)
    if "link" not in tops:
        raise DseError(f"the state behind layer {how.link_layer} is zero; nothing to send")
    return Crossing(how.link_layer, Format(how.link_bits, how.exponent_bits), tops["link"])


def _activation_exponents(run: Compressed, calibration: list[Tokens]) -> Mapping[str, int]:
    """Largest exponent of what enters each linear layer while the calibration sentences pass."""
    linear = {
        name: module
        for name, module in run.network.encoder.named_modules()
        if isinstance(module, torch.nn.Linear) and in_layers(name)
    }
    return _exponents(run, linear, calibration)


def _exponents(
    run: Compressed, modules: Mapping[str, torch.nn.Module], calibration: list[Tokens]
) -> dict[str, int]:
    """Largest exponent of what enters each module; one that saw zeros only is left out."""
    tops: dict[str, int] = {}

    def observe(name: str) -> Any:  # noqa: ANN401  (torch types hooks as Any)
        def hook(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found = top_exponent(inputs[0])
            if found is not None:
                tops[name] = max(tops.get(name, found), found)

        return hook

    hooks = [module.register_forward_pre_hook(observe(n)) for n, module in modules.items()]
    try:
        with torch.inference_mode(), run.running() as encoder:
            layer_means(encoder, padded(calibration))
    finally:
        for handle in hooks:
            handle.remove()
    return tops
