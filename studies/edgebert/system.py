"""Composes EdgeBERT: a real compressed network, its replay, and the accelerator that runs it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dse.accuracy.archive import files_of
from dse.accuracy.cache import cache_root
from dse.accuracy.data.tasks import require_task, task_classes
from dse.accuracy.exits import ExitReplay, Rule
from dse.accuracy.needs import accuracy_needs
from dse.accuracy.networks.pretrained import pretrained, require_network
from dse.core.errors import CompositionError
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.parameters import Parameter, Value
from dse.core.problem import Direction
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.search.sequential import EarlyStop
from dse.study.schema import Composed, EarlyStopRule, Section, Staged, Watcher
from hw_models import (
    Accelerator,
    AttentionSpan,
    Datapath,
    EncoderShape,
    Envm,
    Storage,
)
from hw_models.startup import Startup
from search_spaces.edgebert import DEFAULTS, DOMAIN, corners
from studies.edgebert.finetune_stop import FinetuneStopRule, stop_of
from studies.edgebert.memory_cells import CellBits, misread_cells
from studies.edgebert.teacher import TeacherRule, network_of
from studies.provenance import table_facts
from studies.validators import validated_by

if TYPE_CHECKING:
    from dse.accuracy.accuracy_run import AccuracyRun
    from dse.accuracy.networks.training import Trained


class Settings(Section):
    """What stays fixed in an EdgeBERT study.

    Attributes:
        task: Labelled sentences: one that `dse data list` names, hub:PATH/CONFIG or local:FOLDER.
        network: Pretrained encoder: minilm-l6, hub:NAME or local:FOLDER.
        recipe: How the off-ramps and the backbone are trained, once.
        sentences: Of the validation split, in a fixed order; None takes all.
        test_sentences: Of the test split, on which the front is measured at the end; None: all.
        exponent_bits: Of an AdaptivFloat weight or activation.
        exit_rule: What makes a sentence leave.
        fault_draws: Fault patterns that are passed through where memory cells can be misread.
        mac_width: Width n of the n x n multiply-accumulate array.
        sequence_length: Tokens that the accelerator charges per sentence, padding included.
        idle_memory: Whether a non-volatile macro leaks while nobody reads it.
        finetune_stop: When tuning may end before its last step; None: never. Absent from a study's
            identity where it is None, so that runs from before there was one go on.
        teacher: Of the dense network; None: it learns labels alone. Absent where it is None, too.
    """

    task: Annotated[str, validated_by(require_task)] = "rt-sentiment"
    network: Annotated[str, validated_by(require_network)] = "minilm-l6"
    recipe: Literal["small", "demo", "full", "frozen"] = "demo"
    sentences: Annotated[int, Field(ge=10)] | None = None
    test_sentences: Annotated[int, Field(ge=10)] | None = None
    exponent_bits: Annotated[int, Field(ge=2, le=5)] = 3
    exit_rule: Rule = "entropy"
    fault_draws: Annotated[int, Field(ge=1, le=100)] = 3
    mac_width: Literal[2, 4, 8, 16, 32] = 16
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 64
    idle_memory: Literal["gated", "powered"] = "gated"
    finetune_stop: FinetuneStopRule | None = Field(
        default=None, exclude_if=lambda rule: rule is None
    )
    teacher: TeacherRule | None = Field(default=None, exclude_if=lambda rule: rule is None)

    @model_validator(mode="after")
    def _teaches_somebody(self) -> Self:
        if self.teacher is not None and self.recipe == "frozen":
            raise ValueError("recipe = 'frozen' leaves nothing to a teacher; small, demo or full")
        return self


METRICS: Mapping[str, str] = {
    "accuracy": "1",
    "accuracy_worst_draw": "1",
    "mean_exit_layer": "layer",
    "p95_exit_layer": "layer",
    "energy": "J",
    "latency_p95": "s",
    "area": "m^2",
    **Startup.outputs,
}


BEST: Mapping[str, Direction] = {
    "accuracy": "max",
    "accuracy_worst_draw": "max",
    "mean_exit_layer": "min",
    "p95_exit_layer": "min",
    "energy": "min",
    "latency_p95": "min",
}
"""Every metric that an accuracy run decides, and its better side: who leaves early costs less."""


class Edgebert:
    """The EdgeBERT system, as a study file can name it."""

    @property
    def domain(self) -> tuple[Parameter, ...]:
        """Every knob, as wide as the models reach."""
        return DOMAIN

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Knobs that a study file may leave out."""
        return DEFAULTS

    @property
    def metrics(self) -> Mapping[str, str]:
        """Everything that an objective or a constraint may name."""
        return METRICS

    @property
    def settings(self) -> type[Section]:
        """Schema of `settings`."""
        return Settings

    def needs(self, settings: Section) -> tuple[str, ...]:
        """What accuracy runs of these settings lack here."""
        own = _own(settings)
        teacher = own.teacher and own.teacher.network
        return accuracy_needs("edgebert", own.task, [own.network, teacher or own.network])

    def corners(
        self,
        settings: Section,  # noqa: ARG002  (the same corners under all settings)
        space: SearchSpace,
    ) -> Mapping[str, Mapping[str, Value]]:
        """Extreme designs, as far as the study's knobs reach."""
        return corners(space)

    def compose(
        self, settings: Section, spread: Callable[[Evaluator], Evaluator], watch: Watcher
    ) -> Composed:
        """Train once (or find it trained), then chain accuracy run, exit replay and accelerator."""
        settings = _own(settings)
        # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
        from dse.accuracy.networks.finetune_early_stopping import FinetuneEnd
        from dse.accuracy.sequential_evaluation import Looks, PartRun, StagedRun, Tally

        own, cache = settings, cache_root()
        trained = network_of(own.network, own.task, own.recipe, own.teacher, cache, watch)
        run = _accuracy_run(settings, trained, cache)
        counted = Counted(spread(run), run.handles, run.exist)
        config = json.loads((trained.folder / "config.json").read_text(encoding="utf-8"))
        classes = len(task_classes(settings.task, cache))
        stages: tuple[Evaluator, ...] = (
            InBatches(CellBits()),
            Cached(counted),
            InBatches(ExitReplay(cache, settings.exit_rule)),
            InBatches(Chips(settings, config, classes)),
        )
        if run.finetune_stop is not None:
            stages = (*stages, InBatches(FinetuneEnd(cache)))
        test = replace(run, split="test", sentences=settings.test_sentences)
        held_out = Chain(
            (
                InBatches(CellBits()),
                Cached(spread(test)),
                InBatches(ExitReplay(cache, settings.exit_rule, prefix="test_")),
            )
        )
        facts = {**run.facts(), **table_facts()}

        def staged(rule: EarlyStopRule) -> Staged:
            """The same chain with accuracy runs that may be broken off."""
            looks = Looks(tuple(rule.looks), rule.confidence)
            part = PartRun(run)
            early = EarlyStop(stages[0], stages[3], BEST)
            tally = Tally(run.total)
            parts = StagedRun(part, spread(part), looks, settings.exit_rule, early, tally)
            counting = replace(counted, evaluator=parts, handles=part.whole)
            chain = Chain((stages[0], counting, *stages[2:]))
            return Staged(chain, early, "archive", tally.counts)

        return Composed(
            Chain(stages),
            facts,
            counted.counts,
            held_out,
            staged,
            lambda metrics: files_of(cache, metrics["archive"], (trained.path,)),
        )


def _own(settings: Section) -> Settings:
    if not isinstance(settings, Settings):
        raise CompositionError(f"edgebert reads Settings, got {type(settings).__name__}")
    return settings


def _accuracy_run(settings: Settings, trained: "Trained", cache: Path) -> "AccuracyRun":
    from dse.accuracy.accuracy_run import AccuracyRun
    from dse.accuracy.compression.pipeline import Compression

    return AccuracyRun(
        trained,
        settings.task,
        cache,
        sentences=settings.sentences,
        knobs=MEASURED_KNOBS,
        fixed=Compression(exponent_bits=settings.exponent_bits),
        cells=misread_cells(),
        draws=settings.fault_draws,
        finetune_stop=stop_of(settings.finetune_stop, settings.task, cache),
    )


def accelerator(
    settings: Settings,
    config: Mapping[str, object],
    *,
    classes: int = 2,
    attention_span: int = 128,
    embedding_sparsity: float = 0.0,
    activation_bits: int = 8,
) -> Accelerator:
    """The chip of the study for a transformers configuration.

    Embeddings live in macros of the memory that `envm_cell` names, weights in its single-level
    form: faults are passed through the embeddings alone. A reach of r tokens to either side lets a
    query see 2 r - 1 keys.
    """
    shape = EncoderShape.from_config(config, classes=classes, off_ramp="mean_pool")
    span = _seen(attention_span, settings.sequence_length, shape.heads)
    return Accelerator(
        shape,
        settings.sequence_length,
        Datapath(settings.mac_width, settings.exponent_bits, activation_bits),
        Storage(Envm(idle=settings.idle_memory), embedding_sparsity=embedding_sparsity),
        span=span,
    )


def priced(settings: Settings) -> "Chips":
    """The pricing model of a study, without training anything.

    Args:
        settings: Of the study; its network must be here already.
    """
    text = (pretrained(settings.network).folder / "config.json").read_text(encoding="utf-8")
    return Chips(settings, json.loads(text), len(task_classes(settings.task, cache_root())))


def _seen(attention_span: int, sequence_length: int, heads: int) -> AttentionSpan | None:
    """Keys that the heads see; None: everything."""
    keys = float(max(2 * attention_span - 1, 0))
    return AttentionSpan((keys,) * heads) if keys < sequence_length else None


MEASURED_KNOBS = (
    "pruning_ratio",
    "embedding_sparsity",
    "attention_span",
    "weight_bits",
    "activation_bits",
    "finetune_steps",
    "cell_bits",
)
"""What an accuracy run of this study reads; nothing else needs a forward pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Chips:
    """Evaluator: the accelerator, with what it is built for as columns too.

    Span, embedding sparsity and width of an activation change what is built, so each combination
    of them is a machine of its own.

    Attributes:
        settings: Of the study.
        config: Of the network.
        classes: Of the task.
        machine: That sees everything and stores every zero, after which the others are built; its
            tables are those of all. None: the one that settings, config and classes ask for.
    """

    settings: Settings
    config: Mapping[str, object]
    classes: int
    machine: Accelerator | None = None
    _machines: dict[tuple[int, float, int], Accelerator] = field(default_factory=dict, init=False)

    outputs: ClassVar[Mapping[str, str]] = {**Accelerator.outputs, **Startup.outputs}
    inputs: ClassVar[Mapping[str, str]] = {
        **Accelerator.inputs,
        "attention_span": "token",
        "embedding_sparsity": "1",
        "activation_bits": "bit",
    }

    def __post_init__(self) -> None:
        if self.machine is None:
            whole = accelerator(self.settings, self.config, classes=self.classes)
            object.__setattr__(self, "machine", whole)

    @property
    def signature(self) -> Signature:
        """Evidence as the accelerator's: every machine reads the same tables."""
        machine = self._machine(128, 0.0, 8)
        evidence = {**machine.signature.evidence, **Startup(machine).signature.evidence}
        return Signature(self.inputs, self.outputs, evidence)

    def _machine(self, span: int, sparsity: float, bits: int) -> Accelerator:
        if (span, sparsity, bits) not in self._machines:
            whole = self.machine
            assert whole is not None  # made with the evaluator
            self._machines[span, sparsity, bits] = replace(
                whole,
                span=_seen(span, whole.sequence_length, whole.shape.heads),
                datapath=replace(whole.datapath, activation_bits=bits),
                storage=replace(whole.storage, embedding_sparsity=sparsity),
            )
        return self._machines[span, sparsity, bits]

    def __call__(self, columns: Columns) -> Columns:
        """Energy [J], p95 latency [s], area [m^2], and those of a power-on, each of shape (n,)."""
        names = "attention_span", "embedding_sparsity", "activation_bits"
        built = np.column_stack([columns[name] for name in names])
        kinds, which = np.unique(built, axis=0, return_inverse=True)
        results = {name: np.empty(len(built)) for name in self.outputs}
        for number, (span, sparsity, bits) in enumerate(kinds):
            rows = np.flatnonzero(which.ravel() == number)
            part = {name: columns[name][rows] for name in Accelerator.inputs}
            machine = self._machine(int(span), float(sparsity), int(bits))
            for name, values in {**machine(part), **Startup(machine)(part)}.items():
                results[name][rows] = values
        return results
