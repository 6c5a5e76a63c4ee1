"""Several tasks on one chip: what their networks share is stored once (EdgeBERT, arXiv 2011.14203).

EdgeBERT keeps the word embeddings, frozen in training, once for all tasks. Networks of the recipe
`frozen` share the whole backbone and differ in their off-ramps alone; fully trained ones share the
embeddings. Nothing has to be declared: a tensor that two networks hold bit for bit is one tensor.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from safetensors.torch import load_file

from dse.accuracy.networks.training import Trained
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True)
class Stored:
    """Parameters of several networks on one chip.

    Attributes:
        shared: Parameters that more than one network reads, counted once [1].
        own: Parameters that one network alone reads, by network [1].
    """

    shared: int
    own: tuple[int, ...]

    @property
    def total(self) -> int:
        """Parameters that the chip stores [1]."""
        return self.shared + sum(self.own)


def stored(networks: Sequence[Trained]) -> Stored:
    """What several trained networks take together.

    Args:
        networks: At least one; each with the off-ramps of its task.

    Raises:
        DseError: If there is none.
    """
    if not networks:
        raise DseError("at least one network is needed")
    readers: dict[tuple[str, str], set[int]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for number, network in enumerate(networks):
        for name, tensor in load_file(network.path).items():
            if not tensor.is_floating_point():
                continue  # position numbers and the like are no parameters
            digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
            readers.setdefault((name, digest), set()).add(number)
            sizes[name, digest] = tensor.numel()
    shared = sum(sizes[key] for key, who in readers.items() if len(who) > 1)
    own = tuple(
        sum(sizes[key] for key, who in readers.items() if who == {number})
        for number in range(len(networks))
    )
    return Stored(shared, own)
