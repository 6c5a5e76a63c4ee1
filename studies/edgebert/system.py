"""Composes EdgeBERT: a real compressed network, its replay, and the accelerator that runs it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dse.accuracy.archive import files_of
from dse.accuracy.cache import cache_root
from dse.accuracy.data.tasks import require_task, task_classes
from dse.accuracy.exits import ExitReplay, Rule
from dse.accuracy.needs import accuracy_needs
from dse.accuracy.networks.pretrained import pretrained, require_network
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.problem import Direction
from dse.core.space import Columns
from dse.search.sequential import EarlyStop
from dse.study.system import (
    Breakdown,
    Composed,
    Draws,
    EarlyStopRule,
    Requests,
    Section,
    Spreader,
    Staged,
    System,
    Watcher,
)
from hw_models import Envm, break_down, executed_shares
from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.systems.early_exit import EarlyExit
from hw_models.systems.power_on import OUTPUTS as POWER_ON
from hw_models.workload import Workload, from_config
from search_spaces.edgebert import DEFAULTS, DOMAIN, corners
from studies.edgebert.finetune_stop import FinetuneStopRule, stop_of
from studies.edgebert.memory_cells import CellBits, misread_cells
from studies.edgebert.teacher import TeacherRule, network_of
from studies.provenance import table_draws, table_facts
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
    **POWER_ON,
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


def compose(settings: Settings, spread: Spreader, watch: Watcher) -> Composed:
    """Train once (or find it trained), then chain accuracy run, exit replay and accelerator."""
    # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
    from dse.accuracy.networks.finetune_early_stopping import FinetuneEnd
    from dse.accuracy.sequential_evaluation import Looks, PartRun, StagedRun, Tally

    cache, trained = cache_root(), _trained(settings, watch)
    run = _accuracy_run(settings, trained, cache)
    counted = Counted(spread(run), run.handles, run.exist)
    network = workload(settings, trained.folder)
    stages: tuple[Evaluator, ...] = (
        InBatches(CellBits()),
        Cached(counted),
        InBatches(ExitReplay(cache, settings.exit_rule)),
        InBatches(chip_of(settings, network)),
    )
    if run.finetune_stop is not None:
        stages = (*stages, InBatches(FinetuneEnd(cache)))
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
        staged,
        lambda metrics: files_of(cache, metrics["archive"], (trained.path,)),
    )


def _held_out(settings: Settings, spread: Spreader, watch: Watcher) -> Evaluator:
    """Accuracy run and exit replay on the test split."""
    cache = cache_root()
    run = _accuracy_run(settings, _trained(settings, watch), cache)
    test = replace(run, split="test", sentences=settings.test_sentences)
    replay = ExitReplay(cache, settings.exit_rule, prefix="test_")
    return Chain((InBatches(CellBits()), Cached(spread(test)), InBatches(replay)))


def _trained(settings: Settings, watch: Watcher) -> "Trained":
    """The dense network, trained or found trained."""
    asked = settings.network, settings.task, settings.recipe, settings.teacher
    return network_of(*asked, cache_root(), watch)


def _needs(settings: Settings) -> tuple[str, ...]:
    """What accuracy runs of these settings lack here."""
    teacher = settings.teacher and settings.teacher.network
    networks = [settings.network, teacher or settings.network]
    return accuracy_needs("edgebert", settings.task, networks)


def _breakdown(settings: Settings, columns: Columns) -> Breakdown:
    """Of a mean sentence; the layers that run it are counted in the archives of the designs."""
    from dse.accuracy.archive import read_archive
    from dse.accuracy.exit_rules import replay
    from dse.accuracy.exits import limits, scores

    chip, parts = priced(settings), []
    for row, handle in enumerate(columns["archive"]):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        archive = read_archive(cache_root(), str(handle))
        below = limits(settings.exit_rule, one["exit_threshold"])
        left = np.array(replay(scores(settings.exit_rule, archive.logits), below).histogram())
        executed = executed_shares(left[:, np.newaxis] / left.sum())
        parts.append(break_down(chip, one, executed))
    return {
        metric: {
            name: np.concatenate([getattr(part, metric)[name] for part in parts], axis=1)
            for name in getattr(parts[0], metric)
        }
        for metric in ("energy", "latency")
    }


def _draws(settings: Settings, count: int, rng: np.random.Generator) -> Draws:
    return table_draws(priced(settings), count, rng)


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


CHIP_INPUTS = (
    "pruning_ratio", "weight_bits", "envm_cell", "vdd", "attention_span", "embedding_sparsity",
    "activation_bits",
)  # fmt: skip
"""Knobs of the chip that a design decides."""


def workload(settings: Settings, folder: Path) -> Workload:
    """The network of a folder, with an exit for the classes of the task behind every layer."""
    classes = len(task_classes(settings.task, cache_root()))
    return from_config(
        folder / "config.json",
        tokens=settings.sequence_length,
        classes=classes,
        off_ramp="mean_pool",
        name=settings.network,
    )


def chip_of(settings: Settings, network: Workload) -> EarlyExit:
    """The chip of the study with a network on it.

    Embeddings live in macros of the memory that `envm_cell` names, weights in its single-level
    form: faults are passed through the embeddings alone.
    """
    fixed = {
        "mac_width": float(settings.mac_width),
        "exponent_bits": float(settings.exponent_bits),
    }
    machine = ArrayChip(envm=Envm(idle=settings.idle_memory))
    return EarlyExit(Chip(machine, network, CHIP_INPUTS, fixed))


def priced(settings: Settings) -> EarlyExit:
    """The pricing model of a study, without training anything.

    Args:
        settings: Of the study; its network must be here already.
    """
    return chip_of(settings, workload(settings, pretrained(settings.network).folder))


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


SYSTEM = System(
    name="edgebert",
    knobs=DOMAIN,
    metrics=METRICS,
    compose=compose,
    settings=Settings,
    defaults=DEFAULTS,
    corners=lambda _settings, space: corners(space),
    needs=_needs,
    held_out=_held_out,
    breakdown=_breakdown,
    draws=_draws,
    requests=Requests("latency_p95", "energy"),
)
"""A compressed encoder on an accelerator that is designed with it."""
