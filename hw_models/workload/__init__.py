"""What a network asks of hardware, as a table of layers (`table`), and where tables come from."""

from hw_models.cost.coding import mask_bits, stored_bits
from hw_models.workload.encoder import EncoderShape, Matmul, encoder, from_config
from hw_models.workload.exits import OffRamp, with_exits
from hw_models.workload.table import Product, Size, Tensor, Vector, Workload
from hw_models.workload.trace import trace

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
