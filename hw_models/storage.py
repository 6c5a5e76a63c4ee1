"""Where a network's parameters live: constructor arguments of `Accelerator`."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from hw_models.columns import require_one_of
from hw_models.memory import Envm
from hw_models.table import Table, shipped

WeightStore: TypeAlias = Literal["envm", "sram", "dram"]
"""envm: in macros of the embeddings' cell, or of its single-level form where that holds several
levels. sram: in 1 MiB banks of their own. dram: off chip."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The embeddings in eNVM macros, the weights in one of three stores.

    From every store the weights of a layer pass through the weight buffer each time the layer runs,
    since no layer fits it; off the chip and in the macros they cross one 64-bit port.

    Attributes:
        envm: Macros of the embeddings.
        weights: Store of encoder, projection and off-ramp weights.
        overlap: Whether streaming hides behind computing (the longer counts) or precedes it.
        embedding_sparsity: Fraction of zeros of the embedding tables [1], 0 to 1.
        dram: Transfer energies by technology; read only if `weights` is dram.
        dram_technology: Row of that table.
    """

    envm: Envm = field(default_factory=Envm)
    weights: WeightStore = "envm"
    overlap: bool = True
    embedding_sparsity: float = 0.0
    dram: Table = field(default_factory=partial(shipped, "dram"))
    dram_technology: str = "lpddr4"

    def __post_init__(self) -> None:
        require_one_of("weights", self.weights, get_args(WeightStore))
        if not 0.0 <= self.embedding_sparsity <= 1.0:
            raise ValueError(
                f"embedding_sparsity = {self.embedding_sparsity} is outside 0 to 1, a fraction"
            )
        self.dram.at(np.array([self.dram_technology]), "transfer_energy")
