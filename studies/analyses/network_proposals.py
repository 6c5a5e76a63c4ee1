"""Which compressed networks are worth a real run: chosen in rounds, relatives of the best.

A network is everything that an accuracy run reads: compression, and how a state crosses the link.
The first one is dense; others of the first round are drawn at random. Each later one descends from
a network that carries much of the front found so far: one or two of its knobs move a level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import ClassVar

import numpy as np

from dse.core.parameters import Column, FloatArray, Parameter, Value
from dse.core.problem import Trials
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.pareto.dominance import non_dominated
from search_spaces.joint import DEFAULTS

COMPRESSION = (
    "pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits", "exponent_bits",
    "activation_bits", "finetune_steps",
)  # fmt: skip
"""Knobs that change the network itself."""

FORMAT = ("exponent_bits", "weight_bits", "activation_bits")
"""Of these, what must go together: sign and exponent fit into every element."""

SENT_WHOLE = 32.0
"""Bits of an element of a state that is sent as it is."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network that an accuracy run can be made of.

    Attributes:
        compression: Value of each knob of `COMPRESSION`.
        link_layer: Cut at which a state is sent in fewer bits [layer]; 0: at none.
        link_bits: These bits [bit].
    """

    compression: tuple[Value, ...]
    link_layer: int = 0
    link_bits: float = SENT_WHOLE


def network_knobs(space: SearchSpace) -> tuple[str, ...]:
    """Knobs of a space that a network settles."""
    return tuple(n for n in space.names if n in (*COMPRESSION, "link_bits"))


def real_runs(networks: Sequence[Network]) -> int:
    """Accuracy runs that networks take: one of each compression, one more of each link."""
    compressions = {network.compression for network in networks}
    links = {network for network in networks if network.link_layer}
    return len(compressions) + len(links)


class Networks:
    """Chooses networks of a space. Mutable on purpose: it draws.

    Args:
        space: Of the arm; its knobs of `COMPRESSION` and `link_bits` say what there is.
        layers: Of the network that is cut.
        seed: Of every random choice.
    """

    def __init__(self, space: SearchSpace, layers: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._levels = [_levels(space[name]) for name in COMPRESSION]
        bits = [b for b in _levels(space["link_bits"]) if float(b) != SENT_WHOLE]
        states = "state" in _levels(space["offload"])
        # A state behind the last layer is never sent.
        cuts = [int(s) for s in _levels(space["split_layer"]) if 0 < int(s) < layers]
        self._links: list[tuple[int, float]] = [(0, SENT_WHOLE)]
        if states:
            self._links += [(s, float(b)) for s in cuts for b in bits]

    @property
    def size(self) -> int:
        """How many networks there are."""
        formats = list(product(*(self._levels[COMPRESSION.index(name)] for name in FORMAT)))
        there = sum(_writable(values, bits) for values in formats for _, bits in self._links)
        others = [n for n in COMPRESSION if n not in FORMAT]
        return there * prod(len(self._levels[COMPRESSION.index(name)]) for name in others)

    def more(self, known: Sequence[Network], runs: int, found: Trials | None) -> list[Network]:
        """Further networks, until all together take so many real runs, or there are no more.

        Args:
            known: In the order of the knob `network` of `found`.
            runs: Of all together; see `real_runs`.
            found: Trials with the known ones; None: there are none yet.
        """
        every = list(known) or [self._dense()]
        weights = None if found is None else _carried(found, len(known))
        while real_runs(every) < runs and len(every) < self.size:
            child = self._random() if weights is None else self._child(known, weights)
            values = [child.compression[COMPRESSION.index(name)] for name in FORMAT]
            if not _writable(values, child.link_bits):
                continue
            if child not in every and real_runs([*every, child]) <= runs:
                every.append(child)
        return every[len(known) :]

    def _dense(self) -> Network:
        settled = []
        for name, levels in zip(COMPRESSION, self._levels, strict=True):
            apart = np.abs(np.asarray(levels, dtype=np.float64) - float(DEFAULTS[name]))
            settled.append(levels[int(apart.argmin())])
        return Network(tuple(settled))

    def _random(self) -> Network:
        values = tuple(levels[self._rng.integers(len(levels))] for levels in self._levels)
        # Every third has a link of its own: without one, states are sent in float32.
        link = self._links[0]
        if len(self._links) > 1 and self._rng.random() < 1 / 3:
            link = self._links[self._rng.integers(1, len(self._links))]
        return Network(values, *link)

    def _child(self, known: Sequence[Network], weights: FloatArray) -> Network:
        if self._rng.random() < 1 / 4:
            return self._random()
        parent = known[self._rng.choice(len(known), p=weights)]
        places = [
            levels.index(v) for levels, v in zip(self._levels, parent.compression, strict=True)
        ]
        link = self._links.index((parent.link_layer, parent.link_bits))
        free = [i for i, levels in enumerate(self._levels) if len(levels) > 1]
        kinds = [*free, -1] if len(self._links) > 1 else free
        moved = min(len(kinds), int(self._rng.integers(1, 3)))
        for kind in self._rng.choice(kinds, size=moved, replace=False):
            if kind < 0:
                link = int(self._rng.integers(len(self._links)))
            else:
                step = int(self._rng.choice([-1, 1]))
                places[kind] = int(np.clip(places[kind] + step, 0, len(self._levels[kind]) - 1))
        values = tuple(levels[p] for levels, p in zip(self._levels, places, strict=True))
        return Network(values, *self._links[link])


def _writable(values: Sequence[Value], link_bits: float) -> bool:
    """Whether there are numbers of these widths; `values` in the order of `FORMAT`."""
    exponent, *widths = (float(value) for value in values)
    return all(width > exponent for width in (*widths, link_bits))


def _levels(parameter: Parameter) -> list[Value]:
    assert parameter.count is not None
    found: list[Value] = parameter.decode(np.arange(float(parameter.count))).tolist()
    return found


def _carried(found: Trials, count: int) -> FloatArray:
    """Share of the front that each network carries, none left out; shape (count,)."""
    fine = found.ok & (np.nan_to_num(found.violations, nan=np.inf) <= 0).all(axis=1)
    rows = np.flatnonzero(fine)
    front = rows[non_dominated(found.losses[rows])]
    hits = np.bincount(found.designs["network"][front].astype(np.intp), minlength=count)
    weights = hits[:count] + 0.1
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Picked:
    """Evaluator: the number of a network to its knobs.

    Attributes:
        networks: By number.
    """

    networks: tuple[Network, ...]

    signature: ClassVar[Signature] = Signature.uniform(
        {
            "network": "1",
            "split_layer": "layer",
            "offload": "choice",
        },
        {
            "pruning_ratio": "1",
            "embedding_sparsity": "1",
            "attention_span": "token",
            "weight_bits": "bit",
            "exponent_bits": "bit",
            "activation_bits": "bit",
            "finetune_steps": "step",
            "link_bits": "bit",
        },
        "closed form",
    )

    def __call__(self, columns: Columns) -> Columns:
        """The knobs, shape (n,) each; a state is sent in fewer bits at the network's own cut."""
        which = np.asarray(columns["network"]).astype(np.intp)
        table = list(zip(*(network.compression for network in self.networks), strict=True))
        found: dict[str, Column] = {
            name: np.array(values)[which] for name, values in zip(COMPRESSION, table, strict=True)
        }
        layers = np.array([network.link_layer for network in self.networks])[which]
        bits = np.array([network.link_bits for network in self.networks])[which]
        crosses = (columns["offload"] == "state") & (columns["split_layer"] == layers)
        return {**found, "link_bits": np.where(crosses, bits, SENT_WHOLE)}
