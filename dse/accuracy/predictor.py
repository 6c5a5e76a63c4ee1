"""Predicting the exit layer from the entropy of an early layer (EdgeBERT, arXiv 2011.14203).

A small network learns, from an archive, the entropies of the layers behind layer p out of that of
layer p; it is distilled to a table of 100 rows, the published CSV: column 0 is the entropy at p,
0.00, 0.01 ... 0.99, then the predicted entropies of layers p + 1 to L - 1. The last layer has no
column, for it always answers. Online, the row with the nearest entropy is read and the first layer
whose predicted entropy is below the threshold is the predicted exit; none: the last layer.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.exits import FloatArray
from dse.core.errors import DseError

ROWS = 100
STEP = 0.01
"""Rows of the published table and the distance of their entropies [nat]."""


@dataclass(frozen=True, slots=True, eq=False)
class ExitTable:
    """The distilled predictor.

    Attributes:
        entropies: Column 0 [nat], strictly increasing, shape (rows,).
        predicted: Predicted entropies [nat], 0 or more, shape (rows, layers behind p less one).
        predict_layer: Layer p that it reads, counted from 1.
    """

    entropies: FloatArray
    predicted: FloatArray
    predict_layer: int

    def __post_init__(self) -> None:
        rows = len(self.entropies)
        fit = self.predicted.ndim == 2 and len(self.predicted) == rows and rows > 0
        if not fit or not (np.diff(self.entropies) > 0).all():
            raise DseError("an exit table needs increasing entropies and as many rows of them")
        if not (np.isfinite(self.entropies).all() and np.isfinite(self.predicted).all()):
            raise DseError("an exit table holds finite entropies only")
        if self.predict_layer < 1:
            raise DseError(f"predict_layer = {self.predict_layer}; layers count from 1")

    @property
    def layers(self) -> int:
        """Layers of the network that it predicts for."""
        return int(self.predict_layer + self.predicted.shape[1] + 1)

    def exits(self, entropies: FloatArray, thresholds: FloatArray) -> NDArray[np.int64]:
        """Predicted exit layer, shape (thresholds, sentences), predict_layer + 1 to layers.

        Args:
            entropies: At the predict layer [nat], shape (sentences,).
            thresholds: [nat], shape (k,).
        """
        least = np.minimum.accumulate(self.predicted, axis=1)
        waits = (least[None, :, :] >= thresholds[:, None, None]).sum(axis=2)
        return np.asarray(
            self.predict_layer + 1 + waits[:, self._nearest(entropies)], dtype=np.int64
        )

    def least(self, entropies: FloatArray) -> FloatArray:
        """Least predicted entropy [nat] of layers p + 1 to l, l = p + 1 to layers - 1.

        A predicted exit is at l or before if and only if this is below the threshold.

        Args:
            entropies: At the predict layer [nat], shape (sentences,).

        Returns:
            Shape (sentences, layers - p - 1).
        """
        return np.minimum.accumulate(self.predicted, axis=1)[self._nearest(entropies)]

    def _nearest(self, entropies: FloatArray) -> NDArray[np.int64]:
        """Rows of the nearest entropies."""
        middles = (self.entropies[1:] + self.entropies[:-1]) / 2
        return np.searchsorted(middles, entropies, side="left")

    def to_csv(self) -> str:
        """The published form: no header, comma, %.18e."""
        rows = np.column_stack([self.entropies, self.predicted])
        return "".join(",".join(f"{v:.18e}" for v in row) + "\n" for row in rows)

    @classmethod
    def from_csv(cls, text: str, predict_layer: int, source: str = "the table") -> "ExitTable":
        """Read the published form.

        Args:
            text: Rows of comma-separated numbers.
            predict_layer: Layer p that the table reads; the file does not say.
            source: For messages.

        Raises:
            DseError: If a row is not numbers, rows differ in length, or entropies do not increase.
        """
        rows = numbers(text, source)
        if rows.shape[1] < 2:
            raise DseError(f"{source}: a row needs an entropy and at least one predicted entropy")
        return cls(rows[:, 0], np.maximum(rows[:, 1:], 0.0), predict_layer)


def numbers(text: str, source: str) -> FloatArray:
    """Comma-separated numbers, one row a line, blank lines left out, shape (rows, columns).

    Raises:
        DseError: If a line holds no finite numbers, or not as many as the first.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(cell) for cell in line.split(",")]
        except ValueError as error:
            raise DseError(f"{source}, line {number}: {error}") from error
        if rows and len(row) != len(rows[0]):
            raise DseError(f"{source}, line {number}: {len(row)} values, {len(rows[0])} before")
        if not np.isfinite(row).all():
            raise DseError(f"{source}, line {number}: a value is not finite")
        rows.append(row)
    if not rows:
        raise DseError(f"{source} holds no rows")
    return np.array(rows)


def fitted(
    entropies: FloatArray, predict_layer: int, *, epochs: int = 60, seed: int = 0
) -> ExitTable:
    """Learn a table from the entropies of an archive.

    Four hidden layers of 64 ReLU, Adam, squared error, as the published notebook; its 3 epochs
    over 60,000 sentences are as many steps as `epochs` over some thousand.

    Args:
        entropies: Of each sentence at each layer [nat], shape (sentences, layers).
        predict_layer: Layer p, 1 to layers - 2: there must be a layer between p and the last.
        epochs: Passes over the sentences.
        seed: Of the first weights and of the order.

    Raises:
        DseError: If the predict layer leaves nothing to predict.
    """
    layers = entropies.shape[1]
    if not 1 <= predict_layer <= layers - 2:
        raise DseError(f"predict_layer = {predict_layer} is outside 1 to {layers - 2}")
    # Here and not above: an archive is replayed by a given table without scikit-learn.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor
    from threadpoolctl import threadpool_limits

    model = MLPRegressor(
        hidden_layer_sizes=(64, 64, 64, 64),
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
        alpha=0.0,
    )
    known, wanted = entropies[:, [predict_layer - 1]], entropies[:, predict_layer : layers - 1]
    # One thread: the matrices are small, and the fit must not depend on the machine.
    with threadpool_limits(1), warnings.catch_warnings():
        # The number of epochs is the recipe's, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(known, wanted if wanted.shape[1] > 1 else wanted[:, 0])
    grid: FloatArray = np.arange(ROWS, dtype=np.float64) * STEP
    predicted = np.asarray(model.predict(grid[:, None]), dtype=np.float64).reshape(ROWS, -1)
    return ExitTable(grid, np.asarray(np.maximum(predicted, 0.0), dtype=np.float64), predict_layer)


def read_table(path: Path, predict_layer: int) -> ExitTable:
    """Read a table's CSV file.

    Raises:
        DseError: If it cannot be read or is none.
    """
    try:
        return ExitTable.from_csv(path.read_text(encoding="utf-8"), predict_layer, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DseError(f"{path} cannot be read: {error}") from error
