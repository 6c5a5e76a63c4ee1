"""What a study file says about tuning that ends before its last step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from dse.core.errors import DseError
from dse.study.system import Section

if TYPE_CHECKING:
    from dse.accuracy.networks.finetune_early_stopping import FinetuneStop


class FinetuneStopRule(Section):
    """Tuning (`finetune_steps`) ends where its learning curve has settled.

    From the end of the pruning ramp on, the accuracy on the first `sentences` of the validation
    split is taken at evenly spaced `checkpoints`, a curve is fitted, and tuning ends once `window`
    successive predictions of the end lie within `tolerance`.
    """

    checkpoints: Annotated[int, Field(le=1000)] = 20
    window: Annotated[int, Field(ge=2)] = 3
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.005
    sentences: Annotated[int, Field(ge=10)] = 400

    @model_validator(mode="after")
    def _ends_something(self) -> Self:
        """A rule that could end nothing early is refused with the other problems of the file."""
        try:
            self.stop()
        except DseError as error:
            raise ValueError(str(error)) from None
        return self

    def stop(self) -> "FinetuneStop":
        """The rule as the accuracy run takes it."""
        # Here and not above: scipy's fits take a moment that other studies need not wait.
        from dse.accuracy.networks.finetune_early_stopping import FinetuneStop

        return FinetuneStop(**self.model_dump())


def stop_of(rule: FinetuneStopRule | None, task: str, cache: Path) -> "FinetuneStop | None":
    """The rule as the accuracy run takes it; None where there is none.

    Raises:
        DseError: If the task has too few sentences for it.
    """
    if rule is None:
        return None
    stop = rule.stop()
    stop.held(task, cache)
    return stop
