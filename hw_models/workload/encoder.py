"""A transformer encoder with exits: its counts, and its workload from a configuration.

Both follow the architecture itself (BERT arXiv 1810.04805, ALBERT arXiv 1909.11942); off-ramps
follow EdgeBERT, arXiv 2011.14203. Nothing here depends on a machine, and nothing needs torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hw_models.columns import FloatArray, require_one_of
from hw_models.workload.exits import OffRamp, with_exits
from hw_models.workload.table import TOKENS, Product, Size, Tensor, Vector, Workload

_BERT: Mapping[str, str | int] = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "embedding": "hidden_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "groups": "num_hidden_layers",
}

_KEYS: Mapping[str, Mapping[str, str | int]] = {
    "bert": _BERT,
    "albert": {**_BERT, "embedding": "embedding_size", "groups": "num_hidden_groups"},
    "camembert": _BERT,
    "distilbert": {
        "layers": "n_layers",
        "hidden": "dim",
        "heads": "n_heads",
        "ffn": "hidden_dim",
        "embedding": "dim",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "segments": 0,
        "groups": "n_layers",
    },
    "electra": {**_BERT, "embedding": "embedding_size"},
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}
"""Field -> key of the configuration, or the number where the architecture fixes it."""

_COUNTED_BEHIND_PADDING = ("camembert", "roberta", "xlm-roberta")
"""Their positions begin behind the index of the padding token (arXiv 1907.11692, fairseq)."""


@dataclass(frozen=True, slots=True, eq=False)
class Matmul:
    """One matrix product of a layer: `copies` times (rows x reduction) by (reduction x columns).

    Attributes:
        name: query_key_value, scores, context, output, ffn_in, ffn_out; pooler, classifier;
            projection.
        rows: Rows of the left operand [1], shape (n,).
        reduction: Summed dimension [1], shape (n,).
        columns: Columns of the right operand [1], shape (n,).
        copies: How often it runs [1], shape (n,).
        weighted: Whether the right operand is a trained weight (else it is an activation).
    """

    name: str
    rows: FloatArray
    reduction: FloatArray
    columns: FloatArray
    copies: FloatArray
    weighted: bool

    @property
    def macs(self) -> FloatArray:
        """Multiply-accumulates [1], shape (n,)."""
        return self.copies * self.rows * self.reduction * self.columns

    @property
    def weights(self) -> FloatArray:
        """Weight elements [1], shape (n,); zero if the right operand is an activation."""
        return self.copies * self.reduction * self.columns * float(self.weighted)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Sizes of a transformer encoder with one off-ramp after every layer; all fields are counts.

    Attributes:
        layers: Encoder layers, counted from 1 in every column that names a layer.
        hidden: Width of a token between layers.
        heads: Attention heads; divides `hidden`.
        ffn: Width inside the feed-forward block.
        embedding: Width of an embedding row; a projection follows if it is not `hidden`.
        vocabulary: Rows of the token embedding.
        positions: Rows of the position embedding.
        segments: Rows of the segment embedding; 0 for none.
        classes: Outputs of every off-ramp.
        groups: Layers with weights of their own (ALBERT: 1, BERT: `layers`).
        off_ramp: What an off-ramp computes.
        unused: Rows of the position embedding that no token has, below `positions`.
    """

    layers: int
    hidden: int
    heads: int
    ffn: int
    embedding: int
    vocabulary: int
    positions: int
    segments: int
    classes: int
    groups: int
    off_ramp: OffRamp = "pooler"
    unused: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "ffn", "embedding", "vocabulary", "positions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.segments < 0:
            raise ValueError(f"segments = {self.segments} must not be negative")
        if not 0 <= self.unused < self.positions:
            raise ValueError(
                f"unused = {self.unused} must be within 0 to positions - 1 = {self.positions - 1}"
            )
        if self.classes < 2:
            raise ValueError(f"classes = {self.classes} must be at least 2: an off-ramp decides")
        if self.hidden % self.heads:
            raise ValueError(f"heads = {self.heads} must divide hidden = {self.hidden}")
        if not 1 <= self.groups <= self.layers:
            raise ValueError(f"groups = {self.groups} must be within 1 to layers = {self.layers}")
        require_one_of("off_ramp", self.off_ramp, get_args(OffRamp))

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, classes: int = 2, off_ramp: OffRamp = "pooler"
    ) -> "EncoderShape":
        """Shape from a plain transformers configuration (the parsed config.json).

        Args:
            config: Mapping with `model_type` albert, bert (MiniLM is one), camembert, distilbert,
                electra, roberta, vit or xlm-roberta, and that model's size keys.
            classes: Outputs of an off-ramp; configurations of pretrained encoders do not say.
            off_ramp: What an off-ramp computes.

        Raises:
            ValueError: If the model type is unknown or a size is missing.
        """
        model = str(config.get("model_type"))
        if model == "vit":
            config, model = _as_bert(config), "bert"
        if model not in _KEYS:
            raise ValueError(f"model_type = {model!r} is not one of {sorted([*_KEYS, 'vit'])}")
        keys = _KEYS[model]
        missing = sorted(
            {key for key in keys.values() if isinstance(key, str) and key not in config}
        )
        if missing:
            raise ValueError(f"the {model} configuration lacks {missing}")
        sizes = {
            field: key if isinstance(key, int) else int(config[key]) for field, key in keys.items()
        }
        behind = model in _COUNTED_BEHIND_PADDING
        unused = int(config.get("pad_token_id", 1)) + 1 if behind else 0
        return cls(classes=classes, off_ramp=off_ramp, unused=unused, **sizes)

    @property
    def longest(self) -> int:
        """Most tokens of a sequence [token]."""
        return self.positions - self.unused

    @property
    def layer_weights(self) -> int:
        """Matrix elements of one layer, the prunable part [1]."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.ffn

    @property
    def layer_vectors(self) -> int:
        """Biases and layer-norm parameters of one layer, never pruned [1]."""
        return 4 * self.hidden + self.ffn + self.hidden + 4 * self.hidden

    @property
    def encoder_parameters(self) -> int:
        """Distinct parameters of all layers [1]."""
        return self.groups * (self.layer_weights + self.layer_vectors)

    @property
    def embedding_parameters(self) -> int:
        """Token, position and segment embeddings with their layer norm [1]; projection apart."""
        return (self.vocabulary + self.positions + self.segments + 2) * self.embedding

    @property
    def projection_parameters(self) -> int:
        """Embedding-to-hidden projection [1]; zero if the widths agree."""
        return (self.embedding + 1) * self.hidden if self.embedding != self.hidden else 0

    @property
    def off_ramp_parameters(self) -> int:
        """Parameters of one off-ramp [1]."""
        pooler = self.hidden**2 + self.hidden if self.off_ramp == "pooler" else 0
        return pooler + (self.hidden + 1) * self.classes

    def layer_matmuls(
        self, sequence: FloatArray, heads_on: FloatArray | None = None
    ) -> tuple[Matmul, ...]:
        """Matrix products of one layer, in order of execution.

        A head that is off skips its query, key and value columns, its scores and its context; the
        output projection keeps its full width (that reproduces EdgeBERT's operation counts).

        Args:
            sequence: Tokens including padding [1], shape (n,), at most `longest`.
            heads_on: Heads with a span above zero [1], shape (n,); all if not given.

        Raises:
            ValueError: If a sequence is longer than the position embedding.
        """
        if sequence.size and sequence.max() > self.longest:
            raise ValueError(
                f"sequence = {sequence.max():g} is above {self.longest}, the position embedding"
            )
        s = np.asarray(sequence, dtype=np.float64)
        on = np.full_like(s, self.heads) if heads_on is None else np.asarray(heads_on, np.float64)
        one = np.ones_like(s)
        head, hidden, ffn = self.hidden / self.heads * one, self.hidden * one, self.ffn * one
        return (
            Matmul("query_key_value", s, hidden, on * head, 3 * one, True),
            Matmul("scores", s, head, s, on, False),
            Matmul("context", s, s, head, on, False),
            Matmul("output", s, hidden, hidden, one, True),
            Matmul("ffn_in", s, hidden, ffn, one, True),
            Matmul("ffn_out", s, ffn, hidden, one, True),
        )

    def layer_macs(self, sequence: FloatArray, heads_on: FloatArray | None = None) -> FloatArray:
        """Multiply-accumulates of one layer [1], shape (n,); arguments as `layer_matmuls`."""
        macs = [matmul.macs for matmul in self.layer_matmuls(sequence, heads_on)]
        return np.asarray(np.sum(macs, axis=0), dtype=np.float64)

    def off_ramp_matmuls(self) -> tuple[Matmul, ...]:
        """Matrix products of one off-ramp; one row each, whatever the sequence. Shape (1,)."""
        one = np.ones(1)
        pooler = Matmul("pooler", one, self.hidden * one, self.hidden * one, one, True)
        classifier = Matmul("classifier", one, self.hidden * one, self.classes * one, one, True)
        return (pooler, classifier) if self.off_ramp == "pooler" else (classifier,)

    def projection_matmuls(self, sequence: FloatArray) -> tuple[Matmul, ...]:
        """The embedding-to-hidden projection, if the widths differ; shape (n,)."""
        if self.embedding == self.hidden:
            return ()
        one = np.ones_like(sequence)
        return (Matmul("projection", sequence, self.embedding * one, self.hidden * one, one, True),)


def _as_bert(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A vision transformer as the encoder it is: patches for tokens, pixels for an embedding row.

    The patch embedding is a matrix product of (3 p^2) by hidden over all patches: p^2 channels
    times hidden weights, held like a vocabulary of 3 p^2 rows. ViT normalises before each block
    and BERT after it; the operations are the same (arXiv 2010.11929). Counts of layers and of
    parameters hold; an accelerator's input stage looks token rows up and is not meant for pixels.
    """
    needed = ("image_size", "patch_size")
    missing = [key for key in needed if key not in config]
    if missing:
        raise ValueError(f"the vit configuration lacks {missing}")
    patch = int(config["patch_size"])
    patches = (int(config["image_size"]) // patch) ** 2
    return {
        **config,
        "vocab_size": int(config.get("num_channels", 3)) * patch**2,
        "max_position_embeddings": patches + 1,
        "type_vocab_size": 0,
    }


def from_config(
    config: Mapping[str, Any] | str | Path,
    *,
    tokens: int,
    classes: int = 2,
    off_ramp: OffRamp = "pooler",
    name: str = "",
) -> Workload:
    """The workload of an encoder from its transformers configuration; torch is not needed.

    Args:
        config: The parsed config.json, or its path; `model_type` as `EncoderShape.from_config`.
        tokens: Of an input, padding included [token], 1 to the position embedding.
        classes: Outputs of an exit; configurations of pretrained encoders do not say.
        off_ramp: What an exit computes before its classifier.
        name: For messages; the model type if empty.

    Raises:
        ValueError: If the model type is unknown, a size is missing, or a length does not fit.
    """
    if not isinstance(config, Mapping):
        config = json.loads(Path(config).read_text(encoding="utf-8"))
        assert isinstance(config, Mapping)
    shape = EncoderShape.from_config(config, classes=classes, off_ramp=off_ramp)
    return encoder(shape, tokens, name=name or str(config["model_type"]))


def encoder(
    shape: EncoderShape,
    tokens: int,
    *,
    keys: Sequence[float] | None = None,
    exits: bool = True,
    name: str = "encoder",
) -> Workload:
    """The workload of an encoder of some sizes.

    Parameters of layer l are group l, those before the first layer group 0. Layers that share
    weights (ALBERT) share a group.

    Args:
        shape: Of the network.
        tokens: Of an input, padding included [token], 1 to `shape.longest`.
        keys: Keys that each head sees in every layer [token], 0 for a head that is off, one value
            a head; None: the symbols `keys` and `heads`, which a design may change.
        exits: Whether an exit follows every layer.
        name: For messages.

    Raises:
        ValueError: If there is not one number of keys per head, or a length does not fit.
    """
    if not 1 <= tokens <= shape.longest:
        raise ValueError(
            f"tokens = {tokens} is outside 1 to {shape.longest}, the position embedding"
        )
    if keys is not None and len(keys) != shape.heads:
        raise ValueError(f"keys has {len(keys)} values; the network has {shape.heads} heads")
    layers = range(1, shape.layers + 1)
    network = Workload(
        name=name,
        layers=shape.layers,
        tokens=float(tokens),
        heads=float(shape.heads),
        products=(*_projection(shape), *(row for i in layers for row in _layer(shape, i, keys))),
        vectors=(*_input(shape), *(row for i in layers for row in _vectors(shape, i, keys))),
        tensors=_tensors(shape),
        cuts=(Size(float(shape.hidden), "tokens"),) * (shape.layers + 1),
        exits=(),
        longest=float(shape.longest),
    )
    return with_exits(network, shape.classes, shape.off_ramp) if exits else network


def shared(shape: EncoderShape, layer: int) -> int:
    """Which group of weights a layer runs with, from 1: its own but where layers share them.

    Groups follow each other and are as long as each other, up to one layer (ALBERT's own rule).
    """
    return 1 + (layer - 1) * shape.groups // shape.layers


def _projection(shape: EncoderShape) -> tuple[Product, ...]:
    if shape.embedding == shape.hidden:
        return ()
    width, hidden = Size(float(shape.embedding)), Size(float(shape.hidden))
    return (Product(0, "projection", "dense", TOKENS, width, hidden, tensor="projection"),)


def _input(shape: EncoderShape) -> tuple[Vector, ...]:
    """Sum of the embeddings and their layer norm."""
    width, terms = Size(float(shape.embedding)), Size(1.0 + float(shape.segments > 0))
    return Vector(0, "add", TOKENS, width, terms), Vector(0, "norm", TOKENS, width)


def _layer(shape: EncoderShape, layer: int, keys: Sequence[float] | None) -> tuple[Product, ...]:
    """Products of a layer in order of execution; a head that is off skips its own."""
    hidden, ffn = Size(float(shape.hidden)), Size(float(shape.ffn))
    head, where = shape.hidden / shape.heads, shared(shape, layer)
    if keys is None:
        width = Size(head, "heads")
        attention = [(Size(1.0, "keys"), Size(1.0, "heads"))]
    else:
        on = [reach for reach in keys if reach > 0]
        width = Size(head * len(on))
        attention = [(Size(float(reach)), Size(float(on.count(reach)))) for reach in sorted({*on})]
    rows = []
    if width.base:
        rows.append(
            Product(layer, "query_key_value", "weight", TOKENS, hidden, width, Size(3.0),
                    f"layer.{where}.query_key_value")
        )  # fmt: skip
    for reach, copies in attention:
        rows += [
            Product(layer, "scores", "activation", TOKENS, Size(head), reach, copies),
            Product(layer, "context", "activation", TOKENS, reach, Size(head), copies),
        ]
    for name, reduction, columns in (
        ("output", hidden, hidden), ("ffn_in", hidden, ffn), ("ffn_out", ffn, hidden),
    ):  # fmt: skip
        tensor = f"layer.{where}.{name}"
        rows.append(Product(layer, name, "weight", TOKENS, reduction, columns, tensor=tensor))
    return tuple(rows)


def _vectors(shape: EncoderShape, layer: int, keys: Sequence[float] | None) -> tuple[Vector, ...]:
    hidden = Size(float(shape.hidden))
    if keys is None:
        softmax = [Vector(layer, "softmax", TOKENS, Size(1.0, "keys"), Size(1.0, "heads"))]
    else:
        on = [reach for reach in keys if reach > 0]
        softmax = [
            Vector(layer, "softmax", TOKENS, Size(float(reach)), Size(float(on.count(reach))))
            for reach in sorted({*on})
        ]
    twice = Size(2.0)
    return (
        *softmax,
        Vector(layer, "norm", TOKENS, hidden, twice),
        Vector(layer, "add", TOKENS, hidden, twice),
    )


def _tensors(shape: EncoderShape) -> tuple[Tensor, ...]:
    """Parameters of embeddings, projection and layers."""
    width, hidden, ffn = float(shape.embedding), float(shape.hidden), float(shape.ffn)
    rows = {
        "tokens": (shape.vocabulary, Size(width, "tokens")),
        "positions": (shape.positions, Size(width, "tokens")),
        "segments": (shape.segments, Size(width)),
        "norm": (2, Size(0.0)),
    }
    tensors = [
        Tensor(f"embeddings.{name}", count * width, "embedding", 0, (0,), read)
        for name, (count, read) in rows.items()
        if count
    ]
    if shape.embedding != shape.hidden:
        elements = float(shape.projection_parameters)
        tensors.append(Tensor("projection", elements, "dense", 0, (0,)))
    matrices = {
        "query_key_value": 3 * hidden**2,
        "output": hidden**2,
        "ffn_in": hidden * ffn,
        "ffn_out": ffn * hidden,
    }
    for where in range(1, shape.groups + 1):
        users = tuple(i for i in range(1, shape.layers + 1) if shared(shape, i) == where)
        for name, elements in matrices.items():
            tensors.append(Tensor(f"layer.{where}.{name}", elements, "weight", where, users))
        vectors = float(shape.layer_vectors)
        tensors.append(Tensor(f"layer.{where}.vectors", vectors, "dense", where, users))
    return tuple(tensors)
