"""Machines: tables of constants built into what the kernel reads."""

from hw_models.machine.edgebert import ArrayChip, edgebert_12nm_first_edition

__all__ = ["ArrayChip", "edgebert_12nm_first_edition"]
