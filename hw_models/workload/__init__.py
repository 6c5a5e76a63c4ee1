"""What a network asks of hardware, as a table of layers (`table`), and where tables come from."""

import importlib
from typing import TYPE_CHECKING

from hw_models.cost.coding import mask_bits, stored_bits
from hw_models.workload.encoder import EncoderShape, Matmul, encoder, from_config
from hw_models.workload.exits import OffRamp, with_exits
from hw_models.workload.table import Product, Size, Tensor, Vector, Workload

if TYPE_CHECKING:
    from hw_models.workload.tracing import trace


def __getattr__(name: str) -> object:
    """`trace`, which leads to torch: a study that traces nothing does not rest on it."""
    if name != "trace":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    traced: object = importlib.import_module(f"{__name__}.tracing").trace
    return traced


__all__ = [
    "EncoderShape",
    "Matmul",
    "OffRamp",
    "Product",
    "Size",
    "Tensor",
    "Vector",
    "Workload",
    "encoder",
    "from_config",
    "mask_bits",
    "stored_bits",
    "trace",
    "with_exits",
]
