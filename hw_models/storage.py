"""Where a network's parameters live, what room they take, and what bringing them to work costs."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from hw_models.columns import FloatArray, require_one_of
from hw_models.memory import Envm
from hw_models.sram import Sram
from hw_models.table import Table, shipped

WeightStore: TypeAlias = Literal["envm", "sram", "dram"]
"""envm: in macros of the embeddings' cell, or of its single-level form where that holds several
levels. sram: in 1 MiB banks of their own. dram: off chip."""

PORT_BITS = 64
"""Data port of the accelerator [bit per cycle]: 64-bit AXI master, EdgeBERT RTL."""

BANK_BYTES = 2**20
"""Capacity of one SRAM bank for resident weights [byte]."""

BANK_WORD_BITS = 128
"""Word of that bank [bit]."""


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

    def banks(self, weight_bits: FloatArray) -> FloatArray:
        """Whole 1 MiB SRAM banks of a design [1], shape (n,); zero unless weights live there."""
        if self.weights != "sram":
            return np.zeros_like(weight_bits)
        return np.ceil(weight_bits * (1.0 / (8.0 * BANK_BYTES)))

    def bit_time(self, sram: Sram, period: FloatArray) -> FloatArray:
        """Time of bringing one bit from a bank or from DRAM into the buffer [s], shape (n,).

        Args:
            sram: Banks, if weights are resident.
            period: Clock period [s], shape (n,).
        """
        if self.weights == "dram":
            return period * (1.0 / PORT_BITS)
        slower = np.maximum(period, sram.access_time(BANK_BYTES))
        return np.asarray(slower * (1.0 / BANK_WORD_BITS), dtype=np.float64)

    def bit_energy(self, sram: Sram) -> float:
        """Energy of reading one bit from a bank (at nominal supply) or from DRAM [J].

        Args:
            sram: Banks, if weights are resident.
        """
        if self.weights == "dram":
            names = np.array([self.dram_technology])
            return float(self.dram.at(names, "transfer_energy")[0][0])
        return sram.read(BANK_BYTES).of(BANK_WORD_BITS) / BANK_WORD_BITS
