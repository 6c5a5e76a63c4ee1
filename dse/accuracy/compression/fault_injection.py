"""Faults of multi-level cells in stored code words.

A word is cut into cells from its most significant bit on (8 bits at 3 per cell are 3 + 3 + 2); a
cell holds its bits as a level, plain binary. Reading, a level is taken for its lower or its upper
neighbour with the probabilities of the level model (NVMExplorer, arXiv 2109.01188). Zeros of a
pruned tensor are not stored: the bit mask that marks them lies in single-level cells, as EdgeBERT's
does (arXiv 2011.14203), and is read without faults.
"""

import torch

from dse.accuracy.compression.adaptivfloat import Format, decoded, encoded, quantised, top_exponent
from dse.accuracy.compression.cell_errors import Cells


def faulty(
    values: torch.Tensor, form: Format, cells: Cells, generator: torch.Generator
) -> tuple[torch.Tensor, int]:
    """What is read of a stored tensor, and how many of its cells were misread.

    Args:
        values: Any shape; quantised to the format if it is not yet.
        form: Of the stored words.
        cells: Of the memory that stores them.
        generator: Of the faults.
    """
    top = top_exponent(values)
    if top is None:
        return values, 0
    exact = quantised(values, form)
    stored = exact != 0
    words = encoded(exact[stored], form, top)
    read, misread = _read(words, form.bits, cells, generator)
    result = exact.clone()
    result[stored] = decoded(read, form, top)
    return result, misread


def _read(
    words: torch.Tensor, bits: int, cells: Cells, generator: torch.Generator
) -> tuple[torch.Tensor, int]:
    read, misread, left = torch.zeros_like(words), 0, bits
    while left:
        width = min(cells.bits, left)
        left -= width
        level = (words >> left) & (2**width - 1)
        chance = torch.rand(level.shape, generator=generator, dtype=torch.float64)
        down = torch.tensor(cells.down[width], dtype=torch.float64)[level]
        up = torch.tensor(cells.up[width], dtype=torch.float64)[level]
        step = (chance >= 1.0 - up).to(torch.int32) - (chance < down).to(torch.int32)
        misread += int((step != 0).sum())
        read |= (level + step) << left
    return read, misread
