"""Accuracy runs of a user's network on a user's task, ready to stand in a problem."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dse.accuracy.accuracy_run import AccuracyRun


def accuracy_run(
    *,
    network: str,
    task: str,
    recipe: str = "demo",
    sentences: int | None = None,
    knobs: Sequence[str] = ("pruning_ratio", "weight_bits"),
) -> "AccuracyRun":
    """A measured evaluator: compressed networks on labelled sentences, each passed through once.

    The network is trained on the task when this is called, or found trained in the user's cache.
    The evaluator gives the handle of an archive of logits; `exits` of it, the next evaluator of a
    list, turns archives and exit thresholds into accuracy and exit depths.

    Args:
        network: minilm-l6, `hub:NAME` or `local:FOLDER`.
        task: That `dse data list` names, `hub:PATH/CONFIG` or `local:FOLDER`; brought once by
            `dse data fetch`.
        recipe: How it is trained: small, demo, full or frozen.
        sentences: How many sentences of the validation split, from the first; None takes all.
        knobs: Compression knobs of the problem that the run reads, as
            `dse.accuracy.accuracy_run.KNOBS` lists them; others keep the dense network's value.

    Raises:
        MissingDependency: If the extra `accuracy` is not installed.
        DseError: If a name is unknown or the task is not fetched.
    """
    from dse.core.extras import require_extra

    require_extra("dse.accuracy_run", "accuracy")
    from dse.accuracy.accuracy_run import KNOBS, AccuracyRun
    from dse.accuracy.cache import cache_root
    from dse.accuracy.networks.training import trained_network
    from dse.core.errors import CompositionError

    unknown = [name for name in knobs if name not in KNOBS]
    if unknown:
        raise CompositionError(f"an accuracy run reads no {unknown[0]!r}; it reads {list(KNOBS)}")
    cache = cache_root()
    trained = trained_network(network, task, recipe, cache)
    return AccuracyRun(trained, task, cache, sentences=sentences, knobs=tuple(knobs))
