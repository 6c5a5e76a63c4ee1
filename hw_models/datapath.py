"""An n x n float datapath: constructor arguments of `Accelerator`, and cycles of its parts.

Sources: EdgeBERT's released RTL (input scheduling, decoders, state machines), arXiv 2011.14203.
Zeros are decoded back into dense vectors, so they save energy and memory and never a cycle.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import numpy as np

from hw_models.attention_span import AttentionSpan
from hw_models.columns import FloatArray, require_one_of
from hw_models.cost.array import KINDS, Work
from hw_models.cost.multiply import ZeroGating, active
from hw_models.cost.operations import Operations
from hw_models.cost.templates import templates
from hw_models.machine.edgebert import ArrayChip
from hw_models.machine.edgebert import InitiationIntervals as InitiationIntervals
from hw_models.silicon import Silicon
from hw_models.systems.chip import Chip
from hw_models.systems.knobs import MAC_WIDTHS as MAC_WIDTHS
from hw_models.systems.knobs import WIDEST_FORMAT
from hw_models.workload.encoder import EncoderShape, Matmul, encoder

_UNITS = InitiationIntervals().units()

softmax_states = _UNITS["softmax"].states
"""States of softmax and span mask on rows of `length` elements: rows (9 ceil(length/n) + 1)."""

layer_norm_states = _UNITS["norm"].states
"""States of layer normalisation: rows (9 ceil(length/n) + 2)."""

add_states = _UNITS["add"].states
"""States of an element-wise addition: rows (6 ceil(length/n) + 1)."""

entropy_states = _UNITS["entropy"].states
"""States of the entropy of `length` logits: rows (4 ceil(length/n) + 2)."""


def matmul_cycles(matmul: Matmul, width: int) -> FloatArray:
    """Cycles of one matrix product on width x width multiply-accumulates, pipeline fill left out.

    Returns:
        [cycle], shape (n,), over all copies.
    """
    side, none = np.asarray(float(width)), np.asarray(1.0)
    work = Work(matmul.rows, matmul.reduction, matmul.columns, side, side, none, none, none)
    return np.asarray(matmul.copies * KINDS["adder_tree"].counts(work).cycles, dtype=np.float64)


class Counts(NamedTuple):
    """What one layer without its exit asks: multiply-accumulates [1], states [1], cycles."""

    weight_macs: float
    attention_macs: float
    matmul_cycles: float
    sfu_states: float
    sfu_cycles: float


@dataclass(frozen=True, slots=True)
class Datapath:
    """An n x n float datapath, its number formats, and what it does with zeros.

    Attributes:
        mac_width: n, side of the multiply-accumulate array [1]: 2, 4, 8, 16 or 32.
        exponent_bits: Exponent width of weights and activations [bit], 1 to 5.
        activation_bits: Width of an activation [bit], within exponent_bits + 1 to 16.
        zero_gating: When a zero weight saves the energy of its multiplication.
        initiation: Initiation intervals of the special-function units.
        silicon: Energy, area and leakage of the process.
    """

    mac_width: int = 16
    exponent_bits: int = 3
    activation_bits: int = 8
    zero_gating: ZeroGating = "element"
    initiation: InitiationIntervals = field(default_factory=InitiationIntervals)
    silicon: Silicon = field(default_factory=Silicon)

    def __post_init__(self) -> None:
        require_one_of("mac_width", self.mac_width, MAC_WIDTHS)
        if not 1 <= self.exponent_bits <= 5:
            raise ValueError(
                f"exponent_bits = {self.exponent_bits} bit is outside 1 to 5 bit, the width law"
            )
        low, high = self.exponent_bits + 1.0, WIDEST_FORMAT
        if not low <= self.activation_bits <= high:
            raise ValueError(
                f"activation_bits = {self.activation_bits} bit is outside {low:g} to {high:g} bit, "
                f"sign and {self.exponent_bits} exponent bits at least"
            )
        require_one_of("zero_gating", self.zero_gating, get_args(ZeroGating))

    def active(self, sparsity: FloatArray) -> FloatArray:
        """Fraction of multiply-accumulates with weights that spend energy [1], shape (n,).

        Args:
            sparsity: Fraction of zero weights [1], shape (n,), 0 to 1.
        """
        side = np.asarray(float(self.mac_width))
        return np.broadcast_to(active(self.zero_gating, sparsity, side), sparsity.shape)

    def layer_work(
        self, shape: EncoderShape, sequence: int, span: AttentionSpan | None = None
    ) -> Counts:
        """One encoder layer: six matrix products, softmax, two layer norms, two additions.

        Args:
            shape: The network.
            sequence: Tokens including padding [1].
            span: Keys of every head; all heads see everything if not given.

        Raises:
            ValueError: If there is not one span per head.
        """
        keys = None if span is None else span.keys(np.array([float(sequence)]))[:, 0].tolist()
        layer = encoder(shape, sequence, keys=keys, exits=False)
        machine = ArrayChip(self.silicon, gating=self.zero_gating, initiation=self.initiation)
        chip = Chip(machine, layer, fixed={"mac_width": float(self.mac_width)})
        knobs = chip.design({n: np.array([v]) for n, v in _ANY.items()}).knobs
        counted = Operations(templates(layer), machine.technology, knobs)
        names = "weight macs", "activation macs", "cycles", "states", "sfu cycles"
        return Counts(*(counted.sums[name][1, 0].item() for name in names))


_ANY = {"pruning_ratio": 0.0, "weight_bits": 8.0, "envm_cell": "rram", "vdd": 0.8}
"""A design; none of its knobs changes a count."""
