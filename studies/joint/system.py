"""Composes the joint system: a compressed encoder on a device, exits, a link, a cloud."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dse.accuracy.archive import files_of
from dse.accuracy.cache import cache_root
from dse.accuracy.data.tasks import require_task, task_classes
from dse.accuracy.needs import accuracy_needs
from dse.accuracy.networks.pretrained import pretrained
from dse.accuracy.offload import Cloud, OffloadReplay
from dse.core.errors import CompositionError, SpaceError
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.parameters import Categorical, Parameter, Value, ends
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.runs.run_schema import TAUGHT_BY, VOLTAGES
from dse.study.schema import Composed, Section, Watcher
from hw_models import (
    Accelerator,
    EncoderShape,
    Envm,
    OperatingPoints,
    Storage,
    shipped,
)
from hw_models.datapath import WIDEST_FORMAT
from hw_models.link import shipped_link
from search_spaces.joint import (
    BOARD_KNOBS,
    CHIP_KNOBS,
    DEFAULTS,
    DOMAIN,
    corners,
    joint_space,
    kept_private,
)
from studies.dynasplit.testbed import priced_testbed
from studies.edgebert.memory_cells import CellBits, misread_cells
from studies.joint.chip import Chip
from studies.joint.device import Board, Device, Priced
from studies.joint.power_on import PoweredOn
from studies.provenance import table_facts
from studies.validators import validated_by

if TYPE_CHECKING:
    from dse.accuracy.accuracy_run import AccuracyRun
    from dse.accuracy.networks.training import Trained

LAYERS = 6
"""Of MiniLM-L6, the encoder that board and node are characterised for [layer]."""


class Settings(Section):
    """What stays fixed in a joint study.

    Attributes:
        task: Labelled sentences, as `dse data list` names them.
        recipe: How the network of the device is trained.
        clouds: How the networks behind the link are trained; `cloud_network` chooses among them.
        sentences: Of the validation split, in a fixed order; None takes all.
        test_sentences: Of the test split, on which the front is measured at the end; None: all.
        fault_draws: Fault patterns that are passed through where memory cells can be misread.
        sequence_length: Tokens that device and link are charged per sentence, padding included.
        idle_memory: Whether a non-volatile macro leaks while nobody reads it.
        voltage_table: Voltage/frequency pairs of the chip.
        device: A chip that is designed here, or a finished board.
        link: Between device and cloud.
        bandwidth_mbit_s: Goodput of the link [Mbit/s]; None takes the link's own.
        may_leave: What of a sentence may leave the device: the input, only a state behind a layer
            (privacy), or nothing (offline).
        deadline_ms: Of a request [ms].
        waiting_mw: Power of the device while link or cloud is waited for [mW]; None: 10 for a
            chip, assumed, and 2700 for a board.
        cloud_idle_w: Power of the node that is not charged to the request [W].
    """

    task: Annotated[str, validated_by(require_task)] = "rt-sentiment"
    recipe: Literal["small", "demo", "full", "frozen"] = "demo"
    clouds: Annotated[list[Literal["small", "demo", "full"]], Field(min_length=1)] = Field(
        default=["full"]
    )
    sentences: Annotated[int, Field(ge=10)] | None = None
    test_sentences: Annotated[int, Field(ge=10)] | None = None
    fault_draws: Annotated[int, Field(ge=1, le=100)] = 3
    sequence_length: Annotated[int, Field(ge=1, le=512)] = 64
    idle_memory: Literal["gated", "powered"] = "gated"
    voltage_table: Literal["dvfs_12nm", "dvfs_silicon_12nm"] = "dvfs_12nm"
    device: Literal["chip", "board"] = "chip"
    link: Literal["lan", "wifi", "lte"] = "wifi"
    bandwidth_mbit_s: Annotated[float, Field(gt=0)] | None = None
    may_leave: Literal["input", "state", "nothing"] = "input"
    deadline_ms: Annotated[float, Field(gt=0)] = 100.0
    waiting_mw: Annotated[float, Field(ge=0)] | None = None
    cloud_idle_w: Annotated[float, Field(ge=0, le=887)] = 0.0


METRICS: Mapping[str, str] = {"accuracy": "1", "offloaded": "1", **PoweredOn.outputs}
"""Those of a power-on are a chip's: a board's image is none of ours."""

MEASURED_KNOBS = (
    "pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits", "exponent_bits",
    "activation_bits", "finetune_steps", "cell_bits", "link_layer", "link_bits",
)  # fmt: skip
"""What an accuracy run of this study reads; nothing else needs a forward pass."""


class Joint:
    """The joint system, as a study file can name it."""

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

    def space(self, settings: Section, parameters: tuple[Parameter, ...]) -> SearchSpace:
        """The designs that exist among the knobs of this device."""
        own = _own(settings)
        foreign = BOARD_KNOBS if own.device == "chip" else CHIP_KNOBS
        known = {p.name: p for p in kept_private(parameters, own.may_leave)}
        for name in foreign:
            if name in known and known.pop(name).count != 1:
                raise SpaceError(f"{name} is no choice of a {own.device}")
        clouds, offload = known.get("cloud_network"), known.get("offload")
        if isinstance(clouds, Categorical) and isinstance(offload, Categorical):
            strange = set(clouds.values) - set(own.clouds)
            if strange and "input" in offload.values:
                raise SpaceError(
                    f"cloud_network = {min(strange)!r} is not among settings.clouds, "
                    f"{', '.join(own.clouds)}"
                )
        if own.device == "chip" and "activation_bits" in known:
            _require_built(known["activation_bits"])
        if own.device == "chip" and "vdd" in known:
            low, least = ends(known["vdd"])[0], shipped(own.voltage_table).columns["vdd"][0]
            if float(low) < least:
                raise SpaceError(
                    f"vdd = {low} V is below {least} V, the lowest of voltage_table "
                    f"= {own.voltage_table}"
                )
        return joint_space(tuple(known.values()), LAYERS)

    def needs(self, settings: Section) -> tuple[str, ...]:
        """What accuracy runs of these settings lack here."""
        return accuracy_needs("joint", _own(settings).task, ["minilm-l6"])

    def corners(
        self,
        settings: Section,  # noqa: ARG002  (the same corners under all settings)
        space: SearchSpace,
    ) -> Mapping[str, Mapping[str, Value]]:
        """Dense at nominal voltage: all on the device, all in the cloud, always asked."""
        return corners(space, LAYERS)

    def compose(
        self, settings: Section, spread: Callable[[Evaluator], Evaluator], watch: Watcher
    ) -> Composed:
        """Train (or find) the networks, then chain accuracy run, replay and prices."""
        own = _own(settings)
        # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
        from dse.accuracy.networks.training import trained_network

        cache = cache_root()
        trained, *experts = (
            trained_network("minilm-l6", own.task, recipe, cache, watch)
            for recipe in (own.recipe, *own.clouds)
        )
        run = _accuracy_run(trained, own)
        test = replace(run, split="test", sentences=own.test_sentences)
        chip = own.device == "chip"
        replay, tested = _replays(
            run, test, dict(zip(own.clouds, experts, strict=True)), spread, chip=chip
        )
        shape = _shape(trained.folder, own)
        before: tuple[Evaluator, ...] = (InBatches(Crossing(LAYERS)),)
        if chip:
            before = (InBatches(CellBits()), *before)
        counted = Counted(spread(run), run.handles, run.exist)
        stages = (*before, Cached(counted), InBatches(replay), InBatches(_all_prices(own, shape)))
        held_out = Chain((*before, Cached(spread(test)), InBatches(tested)))
        facts = {
            **run.facts(),
            **{
                f"cloud_{name}": expert.sha256
                for name, expert in zip(own.clouds, experts, strict=True)
            },
            **table_facts(),
            **({TAUGHT_BY: replay.foretold_by, VOLTAGES: own.voltage_table} if chip else {}),
        }
        networks = tuple(network.path for network in (trained, *experts))
        return Composed(
            Chain(stages),
            facts,
            counted.counts,
            held_out,
            artefacts=lambda metrics: files_of(cache, metrics["archive"], networks),
        )


def _require_built(activation_bits: Parameter) -> None:
    """A chip computes with numbers as wide as its array, never in float32."""
    widest = float(ends(activation_bits)[1])
    if widest > WIDEST_FORMAT:
        raise SpaceError(
            f"activation_bits = {widest:g} bit is above {WIDEST_FORMAT:g} bit, the widest of an "
            "accelerator's array; settings.device = board computes in float32"
        )


def _own(settings: Section) -> Settings:
    if not isinstance(settings, Settings):
        raise CompositionError(f"joint reads Settings, got {type(settings).__name__}")
    return settings


def _accuracy_run(trained: "Trained", own: Settings) -> "AccuracyRun":
    from dse.accuracy.accuracy_run import AccuracyRun

    # A board has no memory cells that could be misread.
    knobs = tuple(n for n in MEASURED_KNOBS if own.device == "chip" or n != "cell_bits")
    return AccuracyRun(
        trained, own.task, cache_root(), sentences=own.sentences, knobs=knobs,
        cells=misread_cells(), draws=own.fault_draws,
    )  # fmt: skip


def _replays(
    run: "AccuracyRun",
    test: "AccuracyRun",
    experts: Mapping[str, "Trained"],
    spread: Callable[[Evaluator], Evaluator],
    *,
    chip: bool,
) -> tuple[OffloadReplay, OffloadReplay]:
    """Of the searched split and of the test split; exit table and heads are fitted on the first."""
    dense = _answered(run, spread)
    seen = {name: _answered(replace(run, trained=e), spread) for name, e in experts.items()}
    unseen = {name: _answered(replace(test, trained=e), spread) for name, e in experts.items()}
    clouds = {name: Cloud(handle, (dense, handle)) for name, handle in seen.items()}
    tested = {name: replace(cloud, archive=unseen[name]) for name, cloud in clouds.items()}
    # A board has one clock for all sentences: nothing is foretold.
    replay = OffloadReplay(run.cache, LAYERS, clouds, dense if chip else "")
    return replay, replace(replay, clouds=tested, prefix="test_")


def _answered(run: "AccuracyRun", spread: Callable[[Evaluator], Evaluator]) -> str:
    """Handle of the archive of a network that is not compressed: made, or found."""
    whole = {
        "pruning_ratio": 0.0, "embedding_sparsity": 0.0, "attention_span": 128.0,
        "weight_bits": 32, "exponent_bits": 3, "activation_bits": 32, "finetune_steps": 0,
        "cell_bits": 1, "link_layer": 0, "link_bits": 32,
    }  # fmt: skip
    columns = {name: np.array([value]) for name, value in whole.items()}
    return str(spread(run)(columns)["archive"][0])


def _shape(network: Path, own: Settings) -> EncoderShape:
    """Of the network in a folder, with an off-ramp for the study's classes behind every layer."""
    config = json.loads((network / "config.json").read_text(encoding="utf-8"))
    classes = len(task_classes(own.task, cache_root()))
    return EncoderShape.from_config(config, classes=classes, off_ramp="mean_pool")


def priced_packaged(own: Settings) -> Priced | PoweredOn:
    """The pricing model of a study, without training anything.

    Args:
        own: The study's settings.
    """
    return _all_prices(own, _shape(pretrained("minilm-l6").folder, own))


def _all_prices(own: Settings, shape: EncoderShape) -> Priced | PoweredOn:
    """With those of a power-on where the device is a chip."""
    system = priced(own, shape)
    return PoweredOn(system, system.device) if isinstance(system.device, Chip) else system


def priced(own: Settings, shape: EncoderShape) -> Priced:
    """What shares of sentences cost, on the device, over the link and in the cloud of a study.

    Args:
        own: The study's settings.
        shape: Of the network.
    """
    link, goodput = shipped_link(own.link)
    bed = priced_testbed(
        "minilm-l6", own.sequence_length, waiting=2.7, idle=own.cloud_idle_w, cpu_slowdown=5.0
    )
    device: Device
    if own.device == "board":
        device = Board(bed.edge)
    else:
        device = Chip(
            Accelerator(
                shape,
                own.sequence_length,
                storage=Storage(Envm(idle=own.idle_memory)),
                points=OperatingPoints(shipped(own.voltage_table)),
            )
        )
    waiting = own.waiting_mw
    if waiting is None:
        waiting = 10.0 if own.device == "chip" else 2700.0
    return Priced(
        device=device,
        link=link,
        goodput=goodput if own.bandwidth_mbit_s is None else own.bandwidth_mbit_s * 1e6,
        cloud=bed.cloud,
        layers=LAYERS,
        hidden=shape.hidden,
        tokens=own.sequence_length,
        waiting=waiting * 1e-3,
        deadline=own.deadline_ms * 1e-3,
    )


@dataclass(frozen=True, slots=True)
class Crossing:
    """Evaluator: where a state crosses a link, for the accuracy run; 0 where none does.

    Attributes:
        layers: Of the network.
    """

    layers: int

    signature: ClassVar[Signature] = Signature(
        {"split_layer": "layer", "offload": "choice"},
        {"link_layer": "layer"},
        {"link_layer": "closed form"},
    )

    def __call__(self, columns: Columns) -> Columns:
        """Layers before the link [layer], shape (n,).

        Raises:
            ValueError: If a device is to hold more layers than there are.
        """
        split = np.asarray(columns["split_layer"], dtype=np.int64)
        if (split > self.layers).any():
            raise ValueError(f"split_layer = {split.max()}; the network has {self.layers} layers")
        return {"link_layer": np.where(columns["offload"] == "state", split, 0)}
