"""What a study's numbers depend on beside the study file: every constant that the models read."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np

from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.study.system import Draws
from hw_models import Interval, sample_models, shipped_names
from hw_models.uncertainty import tables_in


def table_facts(folder: Traversable | None = None) -> dict[str, str]:
    """Digest of each characterisation table with its sources, by name.

    All of them and not only those that a model reads today: a run that goes on under another
    constant would mix two answers in one front.

    Args:
        folder: Of the tables; the package's own if None.
    """
    place = folder or files("hw_models") / "tables"
    return {f"table {name}": _digest(place, name) for name in shipped_names()}


def table_draws(model: Evaluator, count: int, rng: np.random.Generator) -> Draws:
    """A model with every shipped constant inside it drawn from its interval.

    Args:
        model: At its nominal constants.
        count: How many draws, at least 1.
        rng: Source of randomness.

    Raises:
        DseError: If no table inside the model has an interval.
    """
    try:
        drawn = sample_models(model, count, rng)
    except ValueError as error:
        raise DseError(str(error)) from error
    names = {t.name for t in tables_in(model) if Interval.shipped(t.name).open}
    return Draws(model, drawn, tuple(sorted(names)))


def _digest(folder: Traversable, name: str) -> str:
    digest = hashlib.sha256()
    for ending in ("csv", "toml"):
        content = (folder / f"{name}.{ending}").read_bytes()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]
