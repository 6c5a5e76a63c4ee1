"""Composes EdgeBERT: a real compressed network, its replay, and the accelerator that runs it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dse.accuracy.cache import cache_root
from dse.accuracy.exits import ExitReplay
from dse.accuracy.tasks import TASKS
from dse.config import Composed, Section, Watcher
from dse.errors import CompositionError
from dse.evaluation import Cached, Chain, Cost, Evaluator, InBatches
from dse.parameters import Parameter
from dse.space import Columns
from hw_models import Accelerator, Datapath, EncoderShape, Envm, Storage
from search_spaces.edgebert import DOMAIN


class Settings(Section):
    """What stays fixed in an EdgeBERT study.

    Attributes:
        task: Labelled sentences; `dse data list` names them.
        network: Pretrained encoder.
        recipe: How the off-ramps and the backbone are trained, once.
        sentences: Of the validation split, in a fixed order; None takes all.
        exponent_bits: Of an AdaptivFloat weight.
        mac_width: Width n of the n x n multiply-accumulate array.
        sequence_length: Tokens that the accelerator charges per sentence, padding included.
        idle_memory: Whether a non-volatile macro leaks while nobody reads it.
    """

    task: Literal["rt-sentiment"] = "rt-sentiment"
    network: Literal["minilm-l6"] = "minilm-l6"
    recipe: Literal["small", "demo", "full"] = "demo"
    sentences: Annotated[int, Field(ge=10)] | None = None
    exponent_bits: Annotated[int, Field(ge=2, le=5)] = 3
    mac_width: Literal[2, 4, 8, 16, 32] = 16
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 64
    idle_memory: Literal["gated", "powered"] = "gated"


METRICS: Mapping[str, str] = {
    "accuracy": "1",
    "mean_exit_layer": "layer",
    "p95_exit_layer": "layer",
    "energy": "J",
    "latency_p95": "s",
    "area": "m^2",
}


class Edgebert:
    """The EdgeBERT system, as a study file can name it."""

    @property
    def domain(self) -> tuple[Parameter, ...]:
        """Every knob, as wide as the models reach."""
        return DOMAIN

    @property
    def metrics(self) -> Mapping[str, str]:
        """Everything that an objective or a constraint may name."""
        return METRICS

    @property
    def settings(self) -> type[Section]:
        """Schema of `settings`."""
        return Settings

    def compose(
        self, settings: Section, spread: Callable[[Evaluator], Evaluator], watch: Watcher
    ) -> Composed:
        """Train once (or find it trained), then chain accuracy run, exit replay and accelerator."""
        if not isinstance(settings, Settings):
            raise CompositionError(f"edgebert reads Settings, got {type(settings).__name__}")
        # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
        from dse.accuracy.measured import AccuracyRun
        from dse.accuracy.training import trained_network

        cache = cache_root()
        trained = trained_network(settings.network, settings.task, settings.recipe, cache, watch)
        run = AccuracyRun(
            trained,
            settings.task,
            cache,
            sentences=settings.sentences,
            exponent_bits=settings.exponent_bits,
        )
        counted = Counted(spread(run), run.handles, run.exist)
        config = json.loads((trained.folder / "config.json").read_text(encoding="utf-8"))
        chip = accelerator(settings, config)
        stages = (Cached(counted), InBatches(ExitReplay(cache)), InBatches(chip))
        return Composed(Chain(stages), run.facts(), counted.counts)


def accelerator(settings: Settings, config: Mapping[str, object]) -> Accelerator:
    """The chip of the study for a transformers configuration.

    Embeddings and weights live in macros of the memory that `envm_cell` names.
    """
    shape = EncoderShape.from_config(
        config, classes=len(TASKS[settings.task].classes), off_ramp="mean_pool"
    )
    return Accelerator(
        shape,
        settings.sequence_length,
        Datapath(mac_width=settings.mac_width, exponent_bits=settings.exponent_bits),
        Storage(Envm(idle=settings.idle_memory)),
    )


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts how many archives a run made and how many it found.

    Mutable on purpose: it counts. Looks before and after, so a pass that failed counts as neither.
    """

    evaluator: Evaluator
    handles: Callable[[Columns], np.ndarray[tuple[int], np.dtype[np.str_]]]
    exist: Callable[
        [np.ndarray[tuple[int], np.dtype[np.str_]]], np.ndarray[tuple[int], np.dtype[np.bool_]]
    ]
    _counts: list[int] = field(default_factory=lambda: [0, 0], init=False)

    @property
    def inputs(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.inputs

    @property
    def outputs(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.outputs

    @property
    def evidence(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.evidence

    @property
    def cost(self) -> Cost:
        """As the evaluator inside."""
        return self.evaluator.cost

    def counts(self) -> tuple[int, int]:
        """Archives made, archives found."""
        return self._counts[0], self._counts[1]

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs."""
        handles = self.handles(columns)
        before = self.exist(handles)
        try:
            return self.evaluator(columns)
        finally:
            self._counts[0] += int((self.exist(handles) & ~before).sum())
            self._counts[1] += int(before.sum())
