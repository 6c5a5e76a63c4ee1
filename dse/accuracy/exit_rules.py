"""One archive, or one table of entropies, under one rule after another: what leaves where.

With an exit table a sentence that has not left by layer p is given a predicted exit: it leaves
there at the latest, and on the way as soon as its entropy is below the threshold (EdgeBERT, arXiv
2011.14203). `early_stop` off waits for the predicted layer. `countdown_quirk` copies the released
code: its count-down ends one layer too early to stop at layer L - 1, so whoever is sent there, or
beyond, runs all layers, and layer L - 1 is not looked at.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.archive import Archive, archive_path, read_archive, read_archive_file
from dse.accuracy.cache import cache_root
from dse.accuracy.exits import FloatArray, Rule, limits, scores
from dse.accuracy.predictor import ExitTable, numbers, read_table
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True, eq=False)
class Depths:
    """Where sentences leave, for each of k thresholds.

    Attributes:
        exits: Exit layer, shape (k, sentences), counted from 1.
        predicted: Exit layer that was planned, shape (k, sentences): that of the table, and for a
            sentence that left before it was asked, the layer where it left. None without a table.
        layers: Of the network.
    """

    exits: NDArray[np.int64]
    predicted: NDArray[np.int64] | None
    layers: int

    @property
    def mean_exit_layer(self) -> FloatArray:
        """Mean over the sentences [layer], shape (k,)."""
        return np.asarray(self.exits.mean(axis=1))

    @property
    def mean_predicted_layer(self) -> FloatArray | None:
        """Mean over the sentences [layer], shape (k,)."""
        return None if self.predicted is None else np.asarray(self.predicted.mean(axis=1))

    def histogram(self, setting: int = 0) -> list[int]:
        """Sentences that leave at each layer, first layer first."""
        counts = np.bincount(self.exits[setting] - 1, minlength=self.layers)
        return [int(count) for count in counts]

    def right(
        self, logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
    ) -> NDArray[np.bool_]:
        """Whether each sentence is answered rightly where it leaves, shape (k, sentences)."""
        right = logits.argmax(axis=-1) == labels[:, None]
        return np.asarray(right[np.arange(len(labels))[None, :], self.exits - 1])


def replay(
    values: FloatArray,
    below: FloatArray,
    table: ExitTable | None = None,
    *,
    early_stop: bool = True,
    countdown_quirk: bool = False,
) -> Depths:
    """Where every sentence leaves under every limit.

    Args:
        values: Scores, shape (sentences, layers); a sentence may leave where its score is below
            the limit. Entropies [nat] where there is a table.
        below: Limits, shape (k,).
        table: Predicts the exit; None: only the scores decide.
        early_stop: Whether a sentence may leave before its predicted exit.
        countdown_quirk: Whether the released code's count-down is copied.

    Raises:
        DseError: If the table is for another number of layers.
    """
    layers = values.shape[1]
    least = np.minimum.accumulate(values[:, : layers - 1], axis=1)
    own = 1 + (least[None, :, :] >= below[:, None, None]).sum(axis=2)
    if table is None:
        return Depths(own, None, layers)
    if table.layers != layers:
        raise DseError(
            f"the exit table is for {table.layers} layers (predict_layer = {table.predict_layer} "
            f"and {table.predicted.shape[1]} predicted entropies); the sentences have {layers}"
        )
    p = table.predict_layer
    planned = table.exits(values[:, p - 1], below)
    if countdown_quirk:
        late = planned >= layers - 1
        missed = own == layers - 1
        planned = np.where(late, layers, planned)
        own = np.where(missed & (own > p), layers, own)
    exits = np.minimum(own, planned) if early_stop else planned
    gone = own <= p
    return Depths(np.where(gone, own, exits), np.where(gone, own, planned), layers)


def replayed_file(  # noqa: PLR0913  (one argument per flag of the command)
    source: str,
    rule: Rule,
    threshold: float,
    *,
    predictor: Path | None = None,
    predict_layer: int = 1,
    early_stop: bool = True,
    countdown_quirk: bool = False,
) -> dict[str, object]:
    """Replay an archive, or a text file of entropies, under one setting.

    Args:
        source: Handle of an archive in the cache, an archive's file, or a text file with one
            sentence a line and one entropy per layer [nat], comma-separated.
        rule: What makes a sentence leave.
        threshold: In the unit of the rule.
        predictor: CSV of an exit table; only with the entropy rule.
        predict_layer: Layer whose entropy the table reads.
        early_stop: Whether a sentence may leave before its predicted exit.
        countdown_quirk: Whether the released code's count-down is copied.

    Returns:
        sentences, layers, rule, threshold, accuracy (None for entropies, which hold no answers),
        mean_exit_layer, mean_predicted_layer (None without a table) and exit_histogram.

    Raises:
        DseError: If the source cannot be read or does not hold what the rule needs.
    """
    if predictor is not None and rule != "entropy":
        raise DseError(f"an exit table predicts entropies; it goes with no rule {rule!r}")
    archive, values = read_scores(source, rule)
    table = None if predictor is None else read_table(predictor, predict_layer)
    below = limits(rule, np.array([threshold]))
    depths = replay(values, below, table, early_stop=early_stop, countdown_quirk=countdown_quirk)
    planned = depths.mean_predicted_layer
    right = None if archive is None else depths.right(archive.logits, archive.labels)
    return {
        "sentences": len(values),
        "layers": depths.layers,
        "rule": rule,
        "threshold": threshold,
        "accuracy": None if right is None else float(right.mean()),
        "mean_exit_layer": float(depths.mean_exit_layer[0]),
        "mean_predicted_layer": None if planned is None else float(planned[0]),
        "exit_histogram": depths.histogram(),
    }


def read_scores(source: str, rule: Rule) -> tuple[Archive | None, FloatArray]:
    """The archive, if it is one, and the scores of its sentences, shape (sentences, layers).

    Args:
        source: As for `replayed_file`.
        rule: Which score.

    Raises:
        DseError: If the source cannot be read or does not hold what the rule needs.
    """
    path = Path(source)
    if path.suffix == ".safetensors":
        archive = read_archive_file(path)
        return archive, scores(rule, archive.logits)
    if not path.is_file() and len(source) == 64 and archive_path(cache_root(), source).is_file():
        archive = read_archive(cache_root(), source)
        return archive, scores(rule, archive.logits)
    if path.is_dir():
        raise DseError(
            f"{source} is a folder; an archive is wanted, by handle or file, or a file of "
            "entropies. Archives of a run are in its column archive: dse front RUN --format csv"
        )
    if rule != "entropy":
        raise DseError(f"rule {rule!r} needs the answers of an archive; {source} holds entropies")
    try:
        values = numbers(path.read_text(encoding="utf-8"), source)
    except (OSError, UnicodeDecodeError) as error:
        raise DseError(
            f"{source} is neither an archive of this machine nor a file of entropies: {error}"
        ) from error
    if (values < 0).any():
        raise DseError(f"{source}: an entropy is 0 nat or more; {values.min()} is not")
    return None, values
