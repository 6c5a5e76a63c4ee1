"""Adaptive attention span per head: what a shorter span takes off a layer's matrix products.

A head of span 0 is off: its query, key and value columns, its scores and its context are skipped;
the output projection keeps its full width (that reproduces EdgeBERT's operation counts, arXiv
2011.14203). A finite span z with ramp r leaves min(z + r, S) keys per query (arXiv 1905.07799), so
scores and context shorten; r = 0 counts the hard span alone.
"""

from dataclasses import dataclass

import numpy as np

from hw_models.columns import FloatArray, require_range
from hw_models.workload import EncoderShape, Matmul


@dataclass(frozen=True, slots=True)
class AttentionSpan:
    """Learned spans of one network.

    Attributes:
        spans: Span of every head [token], at least 0; one value per head, shared by all layers.
        ramp: Length of the soft edge beyond the span [token], at least 0.
    """

    spans: tuple[float, ...]
    ramp: float = 0.0

    def __post_init__(self) -> None:
        if not self.spans:
            raise ValueError("spans = () must hold one value per head")
        require_range("spans", np.array(self.spans), (0.0, np.inf), "token", "a span")
        require_range("ramp", np.array([self.ramp]), (0.0, np.inf), "token", "a length")

    @property
    def heads_on(self) -> int:
        """Heads with a span above zero [1]."""
        return sum(span > 0 for span in self.spans)

    def keys(self, sequence: FloatArray) -> FloatArray:
        """Keys that each head attends to [token], shape (heads, n); zero for a head that is off.

        Args:
            sequence: Tokens including padding [1], shape (n,).
        """
        reach = np.array([span + self.ramp if span > 0 else 0.0 for span in self.spans])
        return np.asarray(np.minimum(reach[:, np.newaxis], sequence), dtype=np.float64)

    def layer_matmuls(self, shape: EncoderShape, sequence: FloatArray) -> tuple[Matmul, ...]:
        """Matrix products of one layer; scores and context once per head that is on.

        Args:
            shape: The network.
            sequence: Tokens including padding [1], shape (n,), at most `shape.longest`.

        Raises:
            ValueError: If there is not one span per head, or a sequence is too long.
        """
        if len(self.spans) != shape.heads:
            raise ValueError(
                f"spans has {len(self.spans)} values; the network has {shape.heads} heads"
            )
        s = np.asarray(sequence, dtype=np.float64)
        one, head = np.ones_like(s), shape.hidden / shape.heads
        whole = shape.layer_matmuls(s, np.full_like(s, self.heads_on))
        attention: list[Matmul] = []
        for keys in self.keys(s):
            if keys.size and keys.max() > 0:
                attention.append(Matmul("scores", s, head * one, keys, one, False))
                attention.append(Matmul("context", s, keys, head * one, one, False))
        kept = [m for m in whole if m.name not in ("scores", "context")]
        projections = kept[:1] if self.heads_on else []
        return (*projections, *attention, *kept[1:])

    def layer_macs(self, shape: EncoderShape, sequence: FloatArray) -> FloatArray:
        """Multiply-accumulates of one layer [1], shape (n,); arguments as `layer_matmuls`.

        Raises:
            ValueError: As `layer_matmuls`.
        """
        # One by one: numpy's pairwise sum would round a batch otherwise than its rows.
        total = np.zeros_like(np.asarray(sequence, dtype=np.float64))
        for matmul in self.layer_matmuls(shape, sequence):
            total += matmul.macs
        return total
