"""Appeal from an exit of a compressed encoder: threshold to appealing rate and accuracy.

The small network is the encoder up to layer k with its off-ramp, as an accuracy run archived it;
the large one is the last exit of another archive of the same split. Nothing but logits is read, so
every threshold of every router is closed form, and a learned head costs a second.

    score = appeal        a head on the log-probabilities of the off-ramps 1 to k, fitted to the
                          mistakes of both networks under the joint loss of `losses`
            max-softmax, margin, entropy   of the off-ramp at layer k
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.appeal.curve import RoutingCurve
from dse.accuracy.appeal.routers import FloatArray, Routed, confidence, sigmoid
from dse.accuracy.archive import Archive, read_archive
from dse.core.errors import DseError
from dse.core.signature import Signature

Signal: TypeAlias = Literal["appeal", "max-softmax", "margin", "entropy"]
"""What an exit can say of its own answer."""


@dataclass(frozen=True, slots=True, eq=False)
class ExitHead:
    """A learned head on what the off-ramps of an encoder said, one linear layer.

    Attributes:
        layer: k: it reads off-ramps 1 to k.
        weight: Of the standardised readings, shape (readings,).
        bias: [1].
        mean: Of the readings when it was fitted, shape (readings,).
        spread: Their standard deviation, shape (readings,).
    """

    layer: int
    weight: FloatArray
    bias: float
    mean: FloatArray
    spread: FloatArray

    @classmethod
    def fitted(
        cls,
        edge: Archive,
        cloud: Archive,
        layer: int,
        *,
        beta: float = 0.1,
        black_box: bool = False,
        decay: float = 1e-2,
    ) -> "ExitHead":
        """Fit a head on answers to sentences that neither network was trained on.

        Least joint loss with mistakes in place of cross-entropies: both are bounded, so no single
        sentence rules the fit. Convex in no part, but smooth; L-BFGS from zero, so no seed.

        Args:
            edge: Answers of the encoder of the edge, every draw.
            cloud: Answers of the large network to the same split.
            layer: k, 1 to the encoder's layers.
            beta: Price of an appeal, above 0.
            black_box: Whether the large network is taken to be always right.
            decay: Weight of the squared weights.

        Raises:
            DseError: If the archives do not fit together, or beta is not above 0.
        """
        from scipy.optimize import minimize

        if not beta > 0:
            raise DseError(f"beta = {beta!r} must be above 0; at 0 every input is appealed")
        said = readings(edge, layer)
        edge_right, cloud_right = _rights(edge, cloud, layer)
        excess = (~edge_right).astype(np.float64) - (0.0 if black_box else ~cloud_right)
        mean, spread = said.mean(axis=0), said.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        scaled = (said - mean) / spread

        def loss(x: FloatArray) -> tuple[float, FloatArray]:
            """Of weights and bias, with its gradient."""
            s = scaled @ x[:-1] + x[-1]
            q = sigmoid(s)
            value = (q * excess + beta * np.logaddexp(0.0, -s)).mean()
            slope = (1.0 - q) * (q * excess - beta) / len(s)
            gradient = np.append(scaled.T @ slope + 2 * decay * x[:-1], slope.sum())
            return float(value + decay * (x[:-1] ** 2).sum()), gradient

        found = minimize(loss, np.zeros(scaled.shape[1] + 1), jac=True, method="L-BFGS-B")
        return cls(layer, found.x[:-1], float(found.x[-1]), mean, spread)

    def trust(self, edge: Archive) -> FloatArray:
        """Trust q in each answer [1], shape (n,)."""
        return self.trust_of(readings(edge, self.layer))

    def trust_of(self, said: FloatArray) -> FloatArray:
        """The same, of `readings` at the head's layer, shape (n, readings)."""
        return sigmoid((said - self.mean) / self.spread @ self.weight + self.bias)


def readings(edge: Archive, layer: int) -> FloatArray:
    """What a head reads of each sentence, shape (n, readings).

    Log-probabilities of each off-ramp up to k, and how sure and how unlike each is.

    Raises:
        DseError: If the archive has no such layer.
    """
    if not 1 <= layer <= edge.logits.shape[1]:
        raise DseError(f"edge_layers = {layer} is outside 1 to {edge.logits.shape[1]}, the archive")
    x = edge.logits[:, :layer].astype(np.float64)
    x = x - x.max(axis=2, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=2, keepdims=True))
    answer = log_p[:, -1].argmax(axis=1)
    # What each off-ramp thinks of the answer that would be given, beside its own best.
    given = np.take_along_axis(log_p, answer[:, None, None], axis=2)[:, :, 0]
    sure = confidence("max-softmax", edge.logits[:, :layer])
    # Which class is answered matters too: the large network is not better at all of them alike.
    each = np.exp(log_p).reshape(len(x), -1)
    chosen = (answer[:, None] == np.arange(x.shape[2])) * sure[:, -1:]
    return np.concatenate([given, sure, sure**2, each, chosen], axis=1)


def _rights(
    edge: Archive, cloud: Archive, layer: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each answers rightly, shape (n,); a large network answers every draw alike."""
    n, m = len(edge.labels), len(cloud.labels)
    if n % m or not (np.tile(cloud.labels, n // m) == edge.labels).all():
        raise DseError(
            f"the archives of edge and cloud are of different sentences ({n} and {m} answers)"
        )
    cloud_right = cloud.logits[:, -1].argmax(axis=1) == cloud.labels
    return edge.logits[:, layer - 1].argmax(axis=1) == edge.labels, np.tile(cloud_right, n // m)


def routed_exit(
    edge: Archive, cloud: Archive, layer: int, signal: Signal, head: ExitHead | None = None
) -> Routed:
    """A split as an exit routes it.

    Args:
        edge: Answers of the encoder of the edge.
        cloud: Answers of the large network to the same split.
        layer: k, where the edge answers.
        signal: What decides.
        head: Of the signal `appeal`, fitted for that layer.

    Raises:
        DseError: If the archives do not fit together, or the head is missing or of another layer.
    """
    edge_right, cloud_right = _rights(edge, cloud, layer)
    if signal != "appeal":
        score = confidence(signal, edge.logits[:, layer - 1])
    elif head is None or head.layer != layer:
        raise DseError(f"the signal appeal at layer {layer} needs a head that was fitted for it")
    else:
        score = head.trust(edge)
    return Routed(score, edge_right, cloud_right)


@dataclass(frozen=True, slots=True)
class ExitAppeal:
    """Evaluator: two archives, a layer and a threshold to appealing rate and system accuracy.

    Attributes:
        cache: Cache folder that holds the archives.
        signal: What decides.
        taught: Handles of the archives (edge, cloud) that a head is fitted on, by the handle of the
            edge's archive that is to be routed; for the signal `appeal` alone.
        beta: Price of an appeal when the head is fitted.
        prefix: Of the output names; tells one split from another.
    """

    cache: Path
    signal: Signal = "max-softmax"
    taught: Mapping[str, tuple[str, str]] | None = None
    beta: float = 0.1
    prefix: str = ""

    @property
    def signature(self) -> Signature:
        """Gives appeal_rate, accuracy, edge_accuracy, cloud_accuracy, each with the prefix."""
        names = ("appeal_rate", "accuracy", "edge_accuracy", "cloud_accuracy")
        reads = {"archive": "handle", "cloud_archive": "handle", "edge_layers": "layer"}
        return Signature.uniform(
            {**reads, "appeal_threshold": "1"},
            {f"{self.prefix}{name}": "1" for name in names},
            "measured",
        )

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        """Appealing rate, system accuracy and those of both ends [1], shape (n,) each.

        Raises:
            DseError: If an archive is missing, or archives and layer do not fit together.
        """
        thresholds = np.asarray(columns["appeal_threshold"], dtype=np.float64)
        layers = np.asarray(columns["edge_layers"])
        keys = [
            (str(a), str(c), int(k))
            for a, c, k in zip(columns["archive"], columns["cloud_archive"], layers, strict=True)
        ]
        names = tuple(self.signature.outputs)
        results = {name: np.empty(len(keys)) for name in names}
        for key in dict.fromkeys(keys):
            rows = np.array([k == key for k in keys])
            curve = self._curve(*key)
            rate, accuracy = curve.at(thresholds[rows])
            k = len(rate)
            ends = np.full(k, curve.edge_accuracy), np.full(k, curve.cloud_accuracy)
            for name, values in zip(names, (rate, accuracy, *ends), strict=True):
                results[name][rows] = values
        return results

    def _curve(self, edge: str, cloud: str, layer: int) -> RoutingCurve:
        lesson = (self.taught or {}).get(edge)
        if self.signal == "appeal" and lesson is None:
            raise DseError(f"the signal appeal needs archives to teach its head; none for {edge}")
        return _curve(self.cache, edge, cloud, layer, self.signal, lesson, self.beta)


@lru_cache(maxsize=512)
def _curve(  # noqa: PLR0913  (what it depends on, and nothing else: it is remembered)
    cache: Path,
    edge: str,
    cloud: str,
    layer: int,
    signal: Signal,
    lesson: tuple[str, str] | None,
    beta: float,
) -> RoutingCurve:
    """Content-addressed, so remembering it can never be stale."""
    head = None
    if signal == "appeal" and lesson is not None:
        teacher, expert = (read_archive(cache, handle) for handle in lesson)
        head = ExitHead.fitted(teacher, expert, layer, beta=beta)
    found = routed_exit(read_archive(cache, edge), read_archive(cache, cloud), layer, signal, head)
    return RoutingCurve.of(found)
