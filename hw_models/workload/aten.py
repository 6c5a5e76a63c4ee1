"""What each operation of ATen is: a product, work on vectors, a movement, or free. Needs no torch.

An operation that stands in no row is unknown: `hw_models.workload.tracing` refuses a network that
computes with it. Names are without namespace, overload and the underscore of in-place forms.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

Class: TypeAlias = Literal[
    "product", "softmax", "norm", "lookup", "add", "pair", "function", "reduction", "pool",
    "move", "constant", "free",
]  # fmt: skip
"""product: multiply-accumulates. softmax, norm: vector work of that name. lookup: rows of a table.
add: a sum of two tensors. pair: another function of two tensors, free with a number or a mask.
function: of each element. reduction, pool: over elements. move: elements are copied or viewed.
constant: depends on no input. free: masks, comparisons and signs; not counted."""

_NAMES: Mapping[Class, str] = {
    "product": """mm addmm bmm baddbmm mv addmv dot vdot addbmm linear _addmm_activation convolution
        convolution_overrideable
        _scaled_dot_product_attention_math _scaled_dot_product_attention_math_for_mps
        _scaled_dot_product_cudnn_attention _scaled_dot_product_efficient_attention
        _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
        _scaled_dot_product_fused_attention_overrideable scaled_dot_product_attention""",
    "softmax": "_softmax _log_softmax _safe_softmax softmax log_softmax",
    "norm": "native_layer_norm native_group_norm _fused_rms_norm rms_norm",
    "lookup": "embedding index_select index gather",
    "add": "add sub rsub",
    "pair": "mul div maximum minimum fmod remainder atan2 lerp addcmul addcdiv where masked_fill",
    "function": """relu gelu silu tanh sigmoid exp exp2 expm1 log log2 log1p sqrt rsqrt pow square
        reciprocal erf abs hardtanh hardswish hardsigmoid leaky_relu elu celu selu softplus mish
        log_sigmoid_forward clamp clamp_min clamp_max cos sin _prelu_kernel threshold softshrink
        hardshrink glu native_batch_norm _native_batch_norm_legit_no_training
        _native_batch_norm_legit _batch_norm_no_update cudnn_batch_norm upsample_bilinear2d
        upsample_bicubic2d upsample_linear1d _upsample_bilinear2d_aa""",
    "reduction": """mean sum amax amin max min var var_mean std std_mean norm linalg_vector_norm
        prod logsumexp""",
    "pool": """avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d
        max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d""",
    "move": """t transpose view reshape _unsafe_view expand permute slice detach alias unsqueeze
        squeeze select split unsafe_split chunk unbind as_strided clone _to_copy contiguous cat
        stack copy split_with_sizes unsafe_split_with_sizes _reshape_alias unfold lift_fresh repeat
        repeat_interleave diagonal constant_pad_nd reflection_pad1d reflection_pad2d
        replication_pad2d pixel_shuffle pixel_unshuffle upsample_nearest1d upsample_nearest2d im2col
        index_put slice_scatter select_scatter scatter masked_scatter native_dropout dropout
        view_as_real view_as_complex""",
    "constant": """arange ones zeros full empty ones_like zeros_like full_like empty_like
        scalar_tensor new_ones new_zeros new_empty new_full new_empty_strided fill zero
        empty_strided eye linspace""",
    "free": """le lt ge gt eq ne logical_and logical_not logical_or bitwise_and bitwise_not
        bitwise_or isnan isinf isfinite any all argmax argmin neg sign ceil floor round triu tril
        _local_scalar_dense is_nonzero is_same_size""",
}

CLASSES: Mapping[str, Class] = {
    name: class_ for class_, names in _NAMES.items() for name in names.split()
}
"""Operation -> what it is."""

FIRST = frozenset(name for name in CLASSES if "batch_norm" in name) | {"convolution"}
"""Operations after which the channels of an image come first."""


class Shaped(Protocol):
    """What is asked of a tensor here."""

    @property
    def shape(self) -> Sequence[int]:
        """Elements along each dimension."""
        ...


class Operands(NamedTuple):
    """A matrix product: `copies` times (rows x reduction) by (reduction x columns).

    Attributes:
        left: Tensor of the left operand; None if an operation keeps it to itself.
        right: Tensor of the right operand.
        sizes: M, K, N and copies [1].
    """

    left: Shaped | None
    right: Shaped
    sizes: tuple[int, int, int, int]


def size_of(tensor: Shaped) -> int:
    """Elements of a tensor [1]."""
    return math.prod(tensor.shape)


def products_of(name: str, args: Sequence[Any], out: Shaped) -> Iterator[Operands]:
    """The matrix products of an operation of the class product; two for attention.

    Args:
        name: Of the operation.
        args: Its arguments by place.
        out: Its first result.
    """
    if name.startswith("convolution"):
        yield _convolution(args, out)
    elif "scaled_dot_product" in name:
        query, key, value = args[:3]
        rows, width, copies = query.shape[-2], query.shape[-1], math.prod(query.shape[:-2])
        keys = key.shape[-2]
        yield Operands(query, key, (rows, width, keys, copies))
        yield Operands(None, value, (rows, keys, value.shape[-1], copies))
    elif name == "linear":
        left, right = args[:2]
        rows = math.prod(left.shape[:-1])
        yield Operands(left, right, (rows, left.shape[-1], size_of(right) // left.shape[-1], 1))
    else:
        # The forms with an addend take it first.
        left, right = args[1:3] if name.strip("_").startswith(("add", "badd")) else args[:2]
        yield Operands(left, right, _of_matrices(left.shape, right.shape))


def _of_matrices(left: Sequence[int], right: Sequence[int]) -> tuple[int, int, int, int]:
    rows = left[-2] if len(left) > 1 else 1
    columns = right[-1] if len(right) > 1 else 1
    return rows, left[-1], columns, math.prod(left[:-2])


def _convolution(args: Sequence[Any], out: Shaped) -> Operands:
    """A product a group: positions by (channels x kernel) by channels."""
    image, kernel, transposed, groups = args[0], args[1], args[6], args[8]
    window = math.prod(kernel.shape[2:])
    if transposed:  # of each position of the input; the kernel is (in, out / groups, ...)
        positions = image.shape[0] * math.prod(image.shape[2:])
        sizes = positions, kernel.shape[0] // groups, kernel.shape[1] * window, groups
    else:  # of each position of the result; the kernel is (out, in / groups, ...)
        positions = out.shape[0] * math.prod(out.shape[2:])
        sizes = positions, kernel.shape[1] * window, kernel.shape[0] // groups, groups
    return Operands(image, kernel, sizes)


Vectors: TypeAlias = tuple[int, int, int]
"""Rows, length and copies of some vectors [1]."""


def vectors_over(shape: Sequence[int], channels_first: bool) -> Vectors:
    """The vectors of a tensor: along its last dimension, or along the channels of an image."""
    if channels_first and len(shape) > 3:
        return math.prod(shape[2:]), shape[1], shape[0]
    padded = (1, 1, *shape)
    return padded[-2], padded[-1], math.prod(padded[:-2])


def norm_vectors(name: str, args: Sequence[Any], out: Shaped) -> Vectors:
    """The vectors that a normalisation takes mean and variance of, or its mean square."""
    if name == "native_group_norm":
        batch, groups = args[3], args[6]
        return batch * groups, size_of(out) // (batch * groups), 1
    length = math.prod(args[1])
    return size_of(out) // length, length, 1


def softmax_vectors(args: Sequence[Any], out: Shaped) -> Vectors:
    """The vectors that a softmax, along the dimension of its second argument, is taken of."""
    shape, where = list(out.shape), args[1] if len(args) > 1 else -1
    shape.append(shape.pop(where))
    return vectors_over(shape, False)


def pool_vectors(name: str, args: Sequence[Any], out: Shaped) -> Vectors:
    """One vector of channels for each element that enters a pool."""
    image: Shaped = args[0]
    channels = image.shape[-3] if "2d" in name else image.shape[-4]
    if "adaptive" in name:
        return size_of(image) // channels, channels, 1
    kernel = list(args[1])
    window = math.prod(kernel * 2 if len(kernel) == 1 and "2d" in name else kernel)
    return size_of(out) // channels * window, channels, 1


VECTORS: Mapping[str, Callable[[str, Sequence[Any], Shaped], Vectors]] = {
    "norm": norm_vectors,
    "softmax": lambda _, args, out: softmax_vectors(args, out),
    "pool": pool_vectors,
}
"""Class -> rows, length and copies of its vectors; the others work on a tensor as it is: sums and
functions on their result, reductions on their operand."""

SUMS = frozenset({"mean", "sum", "avg_pool2d", "avg_pool3d"}) | {
    name for name in CLASSES if "adaptive_avg" in name
}
"""Reductions and pools that add."""
