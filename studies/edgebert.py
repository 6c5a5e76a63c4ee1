"""Composes EdgeBERT: a real compressed network, its replay, and the accelerator that runs it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from dse.config import Composed, Section, Watcher
from dse.evaluation import Cached, Chain, Evaluator, InBatches
from dse.parameters import Parameter
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
    """

    task: Literal["rt-sentiment"] = "rt-sentiment"
    network: Literal["minilm-l6"] = "minilm-l6"
    recipe: Literal["small", "demo", "full"] = "demo"
    sentences: Annotated[int, Field(ge=10)] | None = None
    exponent_bits: Annotated[int, Field(ge=2, le=5)] = 3
    mac_width: Literal[2, 4, 8, 16, 32] = 16
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 64


class Edgebert:
    """The EdgeBERT system, as a study file can name it."""

    @property
    def domain(self) -> tuple[Parameter, ...]:
        """Every knob, as wide as the models reach."""
        return DOMAIN

    @property
    def metrics(self) -> Mapping[str, str]:
        """Everything that an objective or a constraint may name."""
        return {
            "accuracy": "1",
            "mean_exit_layer": "layer",
            "p95_exit_layer": "layer",
            "energy": "J",
            "latency_p95": "s",
            "area": "m^2",
        }

    @property
    def settings(self) -> type[Section]:
        """Schema of `settings`."""
        return Settings

    def compose(
        self, settings: Section, spread: Callable[[Evaluator], Evaluator], watch: Watcher
    ) -> Composed:
        """Train once (or find it trained), then chain accuracy run, exit replay and accelerator."""
        raise NotImplementedError
