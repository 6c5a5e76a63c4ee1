"""Attention spans: every head attends as far as its reach, and no further.

    a'_ij = a_ij m_ij / sum_k a_ik m_ik,    m_ij = clip((r - |i - j|) / R, 0, 1)

a is the softmax, r the reach of the head, R the ramp (arXiv 1905.07799 writes r = z + R; the soft
mask multiplies after the softmax and is renormalised). A head of reach 0 is off: its context is
zero. A reach of r lets a query see min(2 ceil(r) - 1, S) keys. With whole r and R = 1 the mask is
hard.

EdgeBERT's released mask counts positions from the end of the sequence and keeps one span per batch
slot; neither is copied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

NAME = "reach"
_EMPTY = 1e-8


@dataclass(eq=False)
class _Walk:
    """Which layer of which reaches a forward pass has come to. Mutable on purpose.

    Layers are counted by calls: ALBERT's layers are one module, called once per layer.
    """

    reach: torch.Tensor
    ramp: float
    calls: int = field(default=0)

    def next(self) -> torch.Tensor:
        """Reaches of the layer that is called now, shape (heads,)."""
        row = self.reach[self.calls % len(self.reach)]
        self.calls += 1
        return row


_walk: ContextVar[_Walk | None] = ContextVar("walk", default=None)


@contextmanager
def reaching(encoder: torch.nn.Module, reach: torch.Tensor | None, ramp: float) -> Iterator[None]:
    """Within: the encoder's heads attend as far as their reach.

    Args:
        encoder: A transformers model.
        reach: Of each head [token], shape (layers, heads), 0 or more; None leaves attention alone.
        ramp: Length of the soft edge R [token], above 0.
    """
    if reach is None:
        yield
        return
    model: Any = encoder
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    token = _walk.set(_Walk(reach, ramp))
    try:
        yield
    finally:
        _walk.reset(token)
        model.set_attn_implementation(before)


def soft_mask(reach: torch.Tensor, length: int, ramp: float) -> torch.Tensor:
    """m_ij of every head, shape (heads, length, length).

    Args:
        reach: Of each head [token], shape (heads,).
        length: Tokens of the longest sentence.
        ramp: [token].
    """
    place = torch.arange(length)
    distance = (place[:, None] - place[None, :]).abs()
    return ((reach[:, None, None] - distance) / ramp).clamp(0.0, 1.0)


def _attention(  # noqa: PLR0913  (the signature that transformers calls)
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    walk = _walk.get()
    if walk is None:
        raise RuntimeError("spanned attention runs inside `reaching` only")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(-1, -2)) * scale
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    weights = weights * soft_mask(walk.next(), scores.shape[-1], walk.ramp)
    weights = (weights / (weights.sum(dim=-1, keepdim=True) + _EMPTY)).to(value.dtype)
    weights = torch.nn.functional.dropout(weights, dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
