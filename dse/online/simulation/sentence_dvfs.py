"""Sentence-level DVFS (EdgeBERT, arXiv 2011.14203): the depth is foretold, the voltage fitted.

The first p layers run at the nominal voltage. A sentence whose entropy is then below the threshold
T leaves. For any other, a table foretells from that entropy the layer l at which it will leave, and

    input + p nominal layers + settling(V) + (l - p) layers(V) <= deadline

picks the voltage. It leaves on the way if an entropy falls below T, and at layer l without asking.
"""

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.online.policies.deadline import Fixed, LeastEnergy, PerClass
from dse.online.requests import Policy, Request, Requests, State
from dse.online.rows import Rows
from dse.online.simulation.outcome_models import Outcome

Preference: TypeAlias = Literal["lowest voltage", "least energy"]
"""What of the voltages in time is taken; the first is the published rule."""


@dataclass(frozen=True, slots=True, eq=False)
class VoltageRows:
    """What a device spends on a layer at each voltage it can be set to, rising; shape (k,) each.

    Attributes:
        vdd: [V]; the last is the nominal one.
        layer_time: Of one layer [s].
        layer_energy: Of one layer [J].
        settling: From the nominal voltage to this one [s].
        input_time: Before the first layer, at nominal [s].
        input_energy: Before the first layer, at nominal [J].

    Raises:
        DseError: If the columns differ in length or the voltages do not rise.
    """

    vdd: FloatArray
    layer_time: FloatArray
    layer_energy: FloatArray
    settling: FloatArray
    input_time: float
    input_energy: float

    def __post_init__(self) -> None:
        columns = (self.vdd, self.layer_time, self.layer_energy, self.settling)
        if len({column.shape for column in columns}) != 1 or not len(self.vdd):
            raise DseError(f"voltage rows need one shape (k,), got {[c.shape for c in columns]}")
        if not (np.diff(self.vdd) > 0).all():
            raise DseError(f"vdd must rise from row to row, got {self.vdd.tolist()} V")

    @property
    def nominal(self) -> int:
        """The row of the nominal voltage."""
        return len(self.vdd) - 1

    def latency(
        self, rows: NDArray[np.intp], early: NDArray[np.intp], late: NDArray[np.intp]
    ) -> FloatArray:
        """Of so many layers at nominal and so many at a row's voltage [s], shape (n,).

        Args:
            rows: Rows, shape (n,).
            early: Layers at nominal [1], shape (n,).
            late: Layers afterwards [1], shape (n,); where there is none, nothing settles.
        """
        last = self.nominal
        after = np.where(late > 0, self.settling[rows] + late * self.layer_time[rows], 0.0)
        time = self.input_time + early * self.layer_time[last] + after
        return np.asarray(time, dtype=np.float64)

    def energy(
        self, rows: NDArray[np.intp], early: NDArray[np.intp], late: NDArray[np.intp]
    ) -> FloatArray:
        """As `latency`, in joules; nothing of the regulator."""
        nominal = self.layer_energy[self.nominal]
        energy = self.input_energy + early * nominal + late * self.layer_energy[rows]
        return np.asarray(energy, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class ExitLut:
    """Foretells the entropies of later layers from that of an early one, by the nearest row.

    Attributes:
        entropy: Of layer p, rising [nat], shape (r,).
        later: Foretold for layers p + 1 on [nat], shape (r, c).
        early_layers: p [layer].
        layers: Of the network [layer]; at least p + c.

    Raises:
        DseError: If shapes or layers do not fit.
    """

    entropy: FloatArray
    later: FloatArray
    early_layers: int
    layers: int

    def __post_init__(self) -> None:
        columns = self.later.shape[1] if self.later.ndim == 2 else 0
        if not columns or self.later.shape[0] != len(self.entropy):
            raise DseError(
                f"later must have shape (r, c) with r = {len(self.entropy)}, got {self.later.shape}"
            )
        if not 1 <= self.early_layers <= self.layers - columns:
            raise DseError(
                f"{self.early_layers} early and {columns} foretold layers are more than the "
                f"{self.layers} of the network, or none is early"
            )
        if not (np.diff(self.entropy) > 0).all() or not np.isfinite(self.later).all():
            raise DseError("entropies of the first column must rise and all others be finite")

    @classmethod
    def read(cls, path: Path, early_layers: int, layers: int) -> "ExitLut":
        """A table as EdgeBERT's software writes it: CSV without header, entropy first.

        Raises:
            DseError: If it does not read or does not fit the network.
        """
        try:
            table = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
        except (OSError, ValueError) as error:
            raise DseError(f"{path} does not read as an exit table: {error}") from error
        if table.shape[1] < 2:
            raise DseError(f"{path}: an exit table has two columns at least, this has one")
        return cls(table[:, 0], table[:, 1:], early_layers, layers)

    @classmethod
    def learned(
        cls, entropies: FloatArray, early_layers: int, *, rows: int = 100, width: float = 0.03
    ) -> "ExitLut":
        """Means of what followed similar entropies in a trace, weighted by a Gaussian.

        A plain stand-in where no trained predictor is at hand. The last layer is left out, as in
        the published tables: nothing has to be foretold about it.

        Args:
            entropies: Of each sentence at each layer [nat], shape (sentences, layers).
            early_layers: p [layer].
            rows: Of the table, evenly between the trace's extremes.
            width: Standard deviation of the Gaussian [nat].
        """
        first = entropies[:, early_layers - 1]
        low, high = float(first.min()), float(first.max())
        grid = np.linspace(low, high if high > low else low + width, rows)
        distance = (grid[:, np.newaxis] - first[np.newaxis]) / width
        # Relative to the nearest sentence, so that a gap in the trace does not divide by nothing.
        weight = np.exp(-0.5 * (distance**2 - (distance**2).min(axis=1, keepdims=True)))
        later = weight @ entropies[:, early_layers:-1] / weight.sum(axis=1, keepdims=True)
        return cls(grid, later, early_layers, entropies.shape[1])

    def exits(self, threshold: float) -> NDArray[np.intp]:
        """Foretold exit layer of each row, shape (r,): the first below the threshold, or the last.

        Args:
            threshold: [nat].
        """
        below = self.later < threshold
        first = below.argmax(axis=1) + self.early_layers + 1
        return np.asarray(np.where(below.any(axis=1), first, self.layers), dtype=np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class ByForetoldExit:
    """Classes by how many layers are foretold to follow the early ones; 0: it has left already.

    A signal midway between two rows of the table belongs to the lower one.

    Attributes:
        lut: Foretells.
        threshold: Entropy below which a sentence leaves [nat].
    """

    lut: ExitLut
    threshold: float
    _between: list[float]
    _late: list[int]

    @classmethod
    def at(cls, lut: ExitLut, threshold: float) -> "ByForetoldExit":
        """The classes of a threshold [nat]."""
        between = (lut.entropy[:-1] + lut.entropy[1:]) / 2
        late = lut.exits(threshold) - lut.early_layers
        return cls(lut, threshold, between.tolist(), late.tolist())

    @property
    def count(self) -> int:
        """One more than there can be late layers."""
        return self.lut.layers - self.lut.early_layers + 1

    def of(self, request: Request, state: State) -> int:  # noqa: ARG002  (of the protocol)
        """The class of one request.

        Raises:
            DseError: If it carries no entropy.
        """
        if not request.signal == request.signal:  # NaN alone is unlike itself
            raise DseError("the request carries no entropy of its early layers")
        if request.signal < self.threshold:
            return 0
        return self._late[bisect_left(self._between, request.signal)]

    def of_all(self, requests: Requests) -> NDArray[np.intp]:
        """The class of each request, shape (n,).

        Raises:
            DseError: If one carries no entropy.
        """
        if np.isnan(requests.signal).any():
            raise DseError("a request carries no entropy of its early layers")
        row = np.searchsorted(np.array(self._between), requests.signal, side="left")
        late = np.array(self._late, dtype=np.intp)[row]
        return np.asarray(np.where(requests.signal < self.threshold, 0, late), dtype=np.intp)


def sentence_policy(
    rows: VoltageRows, classes: ByForetoldExit, prefer: Preference = "lowest voltage"
) -> PerClass:
    """The voltage for the rest of a sentence, from the entropy of its early layers and a deadline.

    Where no voltage is in time, the fastest.

    Args:
        rows: What a layer costs at each voltage.
        classes: Foretell the exit.
        prefer: Which of the voltages in time.
    """
    every = np.arange(len(rows.vdd))
    early = np.full(len(every), classes.lut.early_layers)
    policies: list[Policy] = [Fixed(rows.nominal)]
    for late in range(1, classes.count):
        layers = np.full(len(every), late)
        energy = rows.vdd if prefer == "lowest voltage" else rows.energy(every, early, layers)
        table = Rows(
            energy,
            rows.latency(every, early, layers),
            np.zeros(len(every)),
            {"vdd": rows.vdd},
            every.astype(np.int64),
            np.ones(len(every), dtype=bool),
        )
        policies.append(LeastEnergy.of(table))
    return PerClass(classes, tuple(policies))


def signals(entropies: FloatArray, threshold: float, early_layers: int) -> FloatArray:
    """What a device knows after its early layers [nat], shape (sentences,).

    The entropy of the last of them, or that with which the sentence has left before.

    Args:
        entropies: Shape (sentences, layers) [nat].
        threshold: Entropy below which a sentence leaves [nat].
        early_layers: p [layer].
    """
    early = entropies[:, :early_layers]
    left = early < threshold
    first = np.where(left.any(axis=1), left.argmax(axis=1), early_layers - 1)
    return np.asarray(early[np.arange(len(early)), first], dtype=np.float64)


def exit_layers(
    entropies: FloatArray, threshold: float, at_most: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """The layer at which each sentence leaves, shape (sentences,): first below T, else the last.

    Args:
        entropies: Shape (sentences, layers) [nat].
        threshold: [nat]; 0 lets nobody leave early.
        at_most: Forced exit, shape (sentences,) [layer]; the last layer if not given.
    """
    layers = entropies.shape[1]
    below = entropies < threshold
    first = np.where(below.any(axis=1), below.argmax(axis=1) + 1, layers)
    return np.asarray(first if at_most is None else np.minimum(first, at_most), dtype=np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class SentenceOutcomes:
    """What sentences cost that leave at known layers, on rows of voltages; shape (n,) each.

    Attributes:
        rows: What a layer costs at each voltage.
        exits: Layer at which each request's sentence leaves [layer].
        right: Whether that layer's answer is right [1]; ones where nobody knows.
        early_layers: p [layer].
    """

    rows: VoltageRows
    exits: NDArray[np.intp]
    right: FloatArray
    early_layers: int

    def __call__(self, rows: NDArray[np.intp], requests: Requests) -> Outcome:
        """Latency and energy of every sentence.

        Raises:
            DseError: If there are more or fewer requests than sentences.
        """
        if len(requests) != len(self.exits):
            raise DseError(f"{len(requests)} requests, {len(self.exits)} sentences")
        early = np.minimum(self.exits, self.early_layers)
        late = self.exits - early
        latency = self.rows.latency(rows, early, late)
        return Outcome(latency, self.rows.energy(rows, early, late), self.right)
