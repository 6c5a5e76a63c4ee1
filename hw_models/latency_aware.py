"""EdgeBERT's latency-aware inference on its accelerator: sentence-level DVFS over all exit layers.

    E = sum over l of share(l) E(l)

with E and T of `hw_models.systems.sentence_dvfs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dse.core.signature import Signature
from hw_models.accelerator import Accelerator
from hw_models.columns import Breakdown, Columns, FloatArray, in_chunks, pick, require_range, total
from hw_models.cost.costs import weighted, weighted_quantile
from hw_models.cost.kernel import areas
from hw_models.supply import Supply
from hw_models.systems.sentence_dvfs import Exits, Sentences
from hw_models.table import label, weakest

CHUNK = 8_192
"""Rows evaluated at a time [1]; times are wanted for each row of the voltage table."""

_DESIGN = ("pruning_ratio", "weight_bits", "envm_cell")


def share_column(layer: int) -> str:
    """Name of the column that holds the share of sentences that exit after this layer."""
    return f"exit_share_{layer}"


@dataclass(frozen=True, slots=True)
class LatencyAware:
    """Evaluator: compression, memory, exit histogram and deadline to energy, latency and lateness.

    Attributes:
        accelerator: The machine.
        early_layers: Layers at nominal before the depth is known [1], 1 to the network's depth.
        supply: Regulator whose settling time is waited for.
    """

    accelerator: Accelerator
    early_layers: int = 1
    supply: Supply = field(default_factory=Supply)

    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J",
        "latency_p95": "s",
        "late_share": "1",
        "area": "m^2",
    }

    def __post_init__(self) -> None:
        layers = self.accelerator.shape.layers
        if not 1 <= self.early_layers <= layers:
            raise ValueError(
                f"early_layers = {self.early_layers} is outside 1 to {layers}, the network's depth"
            )

    @property
    def signature(self) -> Signature:
        """Reads design columns, the deadline, and one share per exit layer."""
        reads = {name: self.accelerator.inputs[name] for name in _DESIGN}
        reads |= {"deadline": "s", **dict.fromkeys(self._shares, "1")}
        machine = self.accelerator.signature.evidence
        # What is late and on which voltage it runs hangs on the machine's times and the switching.
        timing = weakest(machine["latency_p95"], label(self.supply.table))
        evidence = {
            "energy": weakest(machine["energy"], timing),
            "latency_p95": timing,
            "late_share": timing,
            "area": machine["area"],
        }
        return Signature(reads, self.outputs, evidence)

    @property
    def _shares(self) -> tuple[str, ...]:
        return tuple(share_column(i + 1) for i in range(self.accelerator.shape.layers))

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy [J], p95 latency [s], share of late sentences [1], area [m^2]; shape (n,).

        Args:
            columns: pruning_ratio [1], weight_bits [bit], envm_cell as for the accelerator;
                deadline [s], above 0; exit_share_1.. [1], at least 0, summing to 1.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        names = (*_DESIGN, "deadline", *self._shares)
        return in_chunks(self._means, columns, names, CHUNK)

    def _means(self, columns: Columns) -> dict[str, FloatArray]:
        sentences, deadline = self._sentences(columns)
        exits, share = sentences.exits(deadline), self._histogram(columns)
        return {
            "energy": weighted(share, exits.energy),
            "latency_p95": weighted_quantile(share, exits.latency, 0.95),
            "late_share": weighted(share, (~exits.feasible).astype(np.float64)),
            "area": total(self._area(sentences)),
        }

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Energy, latency and area by component; lateness is a share and has no parts.

        Args:
            columns: As for the call.

        Returns:
            energy [J] and area [m^2]: components of the accelerator; latency_p95 [s]: of the
            sentence that takes so long, with `settling` of the supply beside the accelerator's.
            Area sums to the output bit for bit, the others up to rounding (1e-12).

        Raises:
            ValueError: As the call.
        """
        exits, share = self.exits(columns), self._histogram(columns)
        slow = weighted_quantile(share, exits.latency, 0.95)
        row = (exits.latency == slow).argmax(axis=0)
        whole = self.break_down(columns, np.eye(len(share))[:, row])
        energy = self.break_down(columns, share).energy
        return {
            "energy": {name: part.sum(axis=0) for name, part in energy.items()},
            "latency_p95": {name: part.sum(axis=0) for name, part in whole.latency.items()},
            "area": self._area(self._sentences(columns)[0]),
        }

    def break_down(self, columns: Columns, share: FloatArray | None = None) -> Breakdown:
        """Mean energy and latency of each design by layer and component.

        A layer after the early ones is charged at the voltage of each exit that runs it.

        Args:
            columns: As for the call; the shares are not read where `share` is given.
            share: Weight of every exit layer [1], shape (layers, n), in place of the shares; need
                not sum to 1.

        Returns:
            Parts that sum, over layers and components, to energy and mean latency, up to rounding;
            `settling` stands in the row of the first layer after the early ones.

        Raises:
            ValueError: As the call.
        """
        sentences, deadline = self._sentences(columns)
        shares = self._histogram(columns) if share is None else share
        wanted = (self.accelerator.shape.layers, len(deadline))
        if shares.shape != wanted:
            raise ValueError(f"share must have shape (layers, n) = {wanted}, got {shares.shape}")
        return Breakdown(*sentences.by_layer(deadline, shares))

    def exits(self, columns: Columns) -> Exits:
        """Voltage, energy, latency and feasibility for every exit layer of every design.

        Args:
            columns: As for the call; the shares are not read.

        Raises:
            ValueError: If a column is missing or out of range.
        """
        sentences, deadline = self._sentences(columns)
        return sentences.exits(deadline)

    def _sentences(self, columns: Columns) -> tuple[Sentences, FloatArray]:
        """The designs on the nominal supply, and their deadlines [s]."""
        *_, deadline = pick(columns, (*_DESIGN, "deadline"))
        limits = (np.finfo(np.float64).tiny, np.inf)
        require_range("deadline", deadline, limits, "s", "time that a sentence can take")
        chip = self.accelerator.chip
        asked = chip.demand(chip.design(self._nominal(columns)))
        early = np.full(deadline.shape, float(self.early_layers))
        return Sentences.of(asked, chip.machine.technology, early, self.supply), deadline

    def _nominal(self, columns: Columns) -> Columns:
        designs = {name: columns[name] for name in _DESIGN}
        vdd = self.accelerator.points.nominal_vdd
        return {**designs, "vdd": np.full(np.shape(columns["weight_bits"]), vdd)}

    def _area(self, sentences: Sentences) -> dict[str, FloatArray]:
        none = np.zeros(sentences.early.shape)
        area = areas(sentences.asked, sentences.machine)
        return {name: none + part for name, part in area.items()}

    def _histogram(self, columns: Columns) -> FloatArray:
        shares = pick(columns, self._shares)
        for name, share in zip(self._shares, shares, strict=True):
            require_range(name, share, (0.0, 1.0), "1", "a share of sentences")
        table = np.stack([np.asarray(share, dtype=np.float64) for share in shares])
        sums = total(dict(zip(self._shares, table, strict=True)))
        if (np.abs(sums - 1.0) > 1e-9).any():
            bad = float(sums[np.abs(sums - 1.0) > 1e-9][0])
            raise ValueError(f"the exit shares of a design sum to {bad!r}, not to 1 within 1e-9")
        return table
