"""What a study file says about its search: who, how long, from which seed, from which designs."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema
from pydantic_core.core_schema import literal_schema

from dse.searchers.registry import SEARCHERS


class Section(BaseModel):
    """A part of a study file: unknown keys, quoted numbers and NaN are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


Number: TypeAlias = int | float

SearcherName: TypeAlias = Annotated[
    str, GetPydanticSchema(lambda _type, _handler: literal_schema(list(SEARCHERS)))
]
"""One that the table of searchers has."""


SECONDS: Mapping[str, float] = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Notations of a time that people wait for."""


class Wait(Section):
    """A time that a person is ready to wait."""

    value: Annotated[Number, Field(gt=0)]
    unit: Literal["s", "min", "h"]

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.value * SECONDS[self.unit]


class PlateauRule(Section):
    """A search ends when its hypervolume grows too little; see `dse.search.termination.Plateau`.

    It ends once the hypervolume has grown by less than a share `gain` of what it is now over the
    last `trials` trials, whole batches, in the frame of the front of now.
    """

    gain: Annotated[float, Field(gt=0, lt=1)] = 0.01
    trials: Annotated[int, Field(ge=1)] = 500


class WarmStart(Section):
    """Designs of others that are tried first: of a run folder, or of a table (CSV, Parquet, JSONL).

    `take` says which of a run: its front, or all designs that have not failed. Of a table: all.
    """

    path: str = Field(min_length=1)
    take: Literal["front", "all"] = "front"


class EarlyStopRule(Section):
    """Measured runs are broken off where nothing that they can still give joins the front.

    A run is looked at after each of `looks`, shares of its sentences. With `confidence`, no run is
    broken off one of whose designs the front would have held.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    looks: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.1, 0.25, 0.5], min_length=1)


class Search(Section):
    """Who searches, how long, and from which seed.

    `batch` is the population of the genetic searchers and the designs per proposal of the others.
    A run whose failed trials pass `max_failed_share` ends with its own exit code. A search ends
    after `trials` trials, after `max_wall`, at a `plateau`, or when there is nothing left; the
    designs of the system's `corners` and of a `warm_start` are its first trials.
    """

    searcher: SearcherName = "nsga2"
    trials: Annotated[int, Field(ge=1)] = 2000
    batch: Annotated[int, Field(ge=2, le=100_000)] = 100
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_wall: Wait | None = None
    plateau: PlateauRule | None = None
    corners: bool = True
    warm_start: WarmStart | None = None
    early_stop: EarlyStopRule | None = None
