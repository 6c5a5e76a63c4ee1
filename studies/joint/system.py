"""Composes the joint system: a compressed encoder on a device, exits, a link, a cloud."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from dse.accuracy.archive import files_of
from dse.accuracy.cache import cache_root
from dse.accuracy.data.tasks import require_task, task_classes
from dse.accuracy.needs import accuracy_needs
from dse.accuracy.offload import Cloud, OffloadReplay
from dse.core.errors import SpaceError
from dse.core.evaluation import Cached, Chain, Counted, Evaluator, InBatches
from dse.core.parameters import Categorical, Parameter, ends
from dse.core.signature import Signature
from dse.core.space import Columns, SearchSpace
from dse.runs.run_schema import TAUGHT_BY, VOLTAGES
from dse.study.system import (
    Breakdown,
    Composed,
    Draws,
    Requests,
    Section,
    Spreader,
    System,
    Watcher,
)
from hw_models import Envm, OperatingPoints, shipped
from hw_models.link import shipped_link
from hw_models.machine import ArrayChip
from hw_models.systems.board import Board
from hw_models.systems.chip import Chip
from hw_models.systems.depths import Device
from hw_models.systems.journey import BYTES_PER_TOKEN, Journey, states_of
from hw_models.systems.knobs import WIDEST_FORMAT
from hw_models.systems.power_on import OUTPUTS as POWER_ON
from hw_models.workload import Workload, from_config
from search_spaces.joint import (
    BOARD_KNOBS,
    CHIP_KNOBS,
    DEFAULTS,
    DOMAIN,
    corners,
    joint_space,
    kept_private,
)
from studies.dynasplit.testbed import ASSUMED, ENCODERS, priced_testbed
from studies.edgebert.memory_cells import CellBits, misread_cells
from studies.provenance import table_draws, table_facts
from studies.validators import validated_by

if TYPE_CHECKING:
    from dse.accuracy.accuracy_run import AccuracyRun
    from dse.accuracy.networks.training import Trained

NETWORK: Final = "minilm-l6"
"""The encoder that board and node are characterised for."""

CHIP_INPUTS = (
    "split_layer", "attention_span", "embedding_sparsity", "mac_width", "exponent_bits",
    "activation_bits", "weight_store", "pruning_ratio", "weight_bits", "envm_cell", "dvfs", "vdd",
    "predict_layer",
)  # fmt: skip
"""Knobs of the chip that a joint design decides."""


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
        waiting_mw: Power of the device while link or cloud is waited for [mW]; None: as table
            `assumptions` has it for a chip or a board.
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


METRICS: Mapping[str, str] = {"accuracy": "1", "offloaded": "1", **Journey.own_outputs, **POWER_ON}
"""Those of a power-on are a chip's: a board's image is none of ours."""

MEASURED_KNOBS = (
    "pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits", "exponent_bits",
    "activation_bits", "finetune_steps", "cell_bits", "link_layer", "link_bits",
)  # fmt: skip
"""What an accuracy run of this study reads; nothing else needs a forward pass."""


def compose(settings: Settings, spread: Spreader, watch: Watcher) -> Composed:
    """Train (or find) the networks, then chain accuracy run, replay and prices."""
    trained, experts = _networks(settings, watch)
    run = _accuracy_run(trained, settings)
    dense = _answered(run, spread)
    network = workload(settings)
    replay = OffloadReplay(
        run.cache,
        network.layers,
        {name: _cloud(run, expert, dense, spread) for name, expert in experts.items()},
        # A board has one clock for all sentences: no exit is predicted.
        dense if settings.device == "chip" else "",
    )
    counted = Counted(spread(run), run.handles, run.exist)
    prices = InBatches(priced(settings, network))
    stages = (*_before(settings), Cached(counted), InBatches(replay), prices)
    facts = {
        **run.facts(),
        **{f"cloud_{name}": expert.sha256 for name, expert in experts.items()},
        **table_facts(),
    }
    if settings.device == "chip":
        facts |= {TAUGHT_BY: replay.foretold_by, VOLTAGES: settings.voltage_table}
    networks = tuple(network.path for network in (trained, *experts.values()))
    return Composed(
        Chain(stages),
        facts,
        counted.counts,
        artefacts=lambda metrics: files_of(run.cache, metrics["archive"], networks),
    )


def _held_out(settings: Settings, spread: Spreader, watch: Watcher) -> Evaluator:
    """Accuracy run and replay on the test split; exit table and heads are those of the search."""
    trained, experts = _networks(settings, watch)
    run = _accuracy_run(trained, settings)
    test = replace(run, split="test", sentences=settings.test_sentences)
    dense = _answered(run, spread)
    clouds = {}
    for name, expert in experts.items():
        unseen = _answered(replace(test, trained=expert), spread)
        clouds[name] = replace(_cloud(run, expert, dense, spread), archive=unseen)
    taught = dense if settings.device == "chip" else ""
    replay = OffloadReplay(run.cache, layers_of(), clouds, taught, prefix="test_")
    return Chain((*_before(settings), Cached(spread(test)), InBatches(replay)))


def _networks(settings: Settings, watch: Watcher) -> "tuple[Trained, dict[str, Trained]]":
    """The network of the device, and those behind the link by name."""
    # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
    from dse.accuracy.networks.training import trained_network

    trained, *experts = (
        trained_network(NETWORK, settings.task, recipe, cache_root(), watch)
        for recipe in (settings.recipe, *settings.clouds)
    )
    return trained, dict(zip(settings.clouds, experts, strict=True))


def _before(settings: Settings) -> tuple[Evaluator, ...]:
    """What an accuracy run reads beside knobs."""
    cells = (InBatches(CellBits()),) if settings.device == "chip" else ()
    return (*cells, InBatches(Crossing(layers_of())))


def _cloud(run: "AccuracyRun", expert: "Trained", dense: str, spread: Spreader) -> Cloud:
    """A network behind the link; heads are fitted on what both networks said when searching."""
    handle = _answered(replace(run, trained=expert), spread)
    return Cloud(handle, (dense, handle))


def _space(settings: Settings, parameters: tuple[Parameter, ...]) -> SearchSpace:
    """The designs that exist among the knobs of this device."""
    foreign = BOARD_KNOBS if settings.device == "chip" else CHIP_KNOBS
    known = {p.name: p for p in kept_private(parameters, settings.may_leave)}
    for name in foreign:
        if name in known and known.pop(name).count != 1:
            raise SpaceError(f"{name} is no choice of a {settings.device}")
    clouds, offload = known.get("cloud_network"), known.get("offload")
    if isinstance(clouds, Categorical) and isinstance(offload, Categorical):
        strange = set(clouds.values) - set(settings.clouds)
        if strange and "input" in offload.values:
            raise SpaceError(
                f"cloud_network = {min(strange)!r} is not among settings.clouds, "
                f"{', '.join(settings.clouds)}"
            )
    if settings.device == "chip" and "activation_bits" in known:
        _require_built(known["activation_bits"])
    if settings.device == "chip" and "vdd" in known:
        low, least = ends(known["vdd"])[0], shipped(settings.voltage_table).columns["vdd"][0]
        if float(low) < least:
            raise SpaceError(
                f"vdd = {low} V is below {least} V, the lowest of voltage_table "
                f"= {settings.voltage_table}"
            )
    return joint_space(tuple(known.values()), layers_of())


def _needs(settings: Settings) -> tuple[str, ...]:
    """What accuracy runs of these settings lack here."""
    return accuracy_needs("joint", settings.task, [NETWORK])


def _breakdown(settings: Settings, columns: Columns) -> Breakdown:
    return {"energy_total": priced(settings, workload(settings)).break_down(columns)}


def _draws(settings: Settings, count: int, rng: np.random.Generator) -> Draws:
    return table_draws(priced(settings, workload(settings)), count, rng)


def _require_built(activation_bits: Parameter) -> None:
    """A chip computes with numbers as wide as its array, never in float32."""
    widest = float(ends(activation_bits)[1])
    if widest > WIDEST_FORMAT:
        raise SpaceError(
            f"activation_bits = {widest:g} bit is above {WIDEST_FORMAT:g} bit, the widest of an "
            "accelerator's array; settings.device = board computes in float32"
        )


def _accuracy_run(trained: "Trained", own: Settings) -> "AccuracyRun":
    from dse.accuracy.accuracy_run import AccuracyRun

    # A board has no memory cells that could be misread.
    knobs = tuple(n for n in MEASURED_KNOBS if own.device == "chip" or n != "cell_bits")
    return AccuracyRun(
        trained, own.task, cache_root(), sentences=own.sentences, knobs=knobs,
        cells=misread_cells(), draws=own.fault_draws,
    )  # fmt: skip


def _answered(run: "AccuracyRun", spread: Spreader) -> str:
    """Handle of the archive of a network that is not compressed: made, or found."""
    whole = {
        "pruning_ratio": 0.0, "embedding_sparsity": 0.0, "attention_span": 128.0,
        "weight_bits": 32, "exponent_bits": 3, "activation_bits": 32, "finetune_steps": 0,
        "cell_bits": 1, "link_layer": 0, "link_bits": 32,
    }  # fmt: skip
    columns = {name: np.array([value]) for name, value in whole.items()}
    return str(spread(run)(columns)["archive"][0])


def layers_of() -> int:
    """L of the network that joint studies cut [layer]."""
    return int(ENCODERS[NETWORK]["num_hidden_layers"])


def workload(own: Settings) -> Workload:
    """The network of a study, with an exit for its classes behind every layer.

    Args:
        own: The study's settings.
    """
    classes = len(task_classes(own.task, cache_root()))
    return from_config(
        ENCODERS[NETWORK],
        tokens=own.sequence_length,
        classes=classes,
        off_ramp="mean_pool",
        name=NETWORK,
    )


def priced(own: Settings, network: Workload) -> Journey:
    """What shares of sentences cost, on the device, over the link and in the cloud of a study.

    Args:
        own: The study's settings.
        network: The study's.
    """
    link, goodput = shipped_link(own.link)
    bed = priced_testbed(
        NETWORK,
        own.sequence_length,
        waiting=ASSUMED("board_idle"),
        idle=own.cloud_idle_w,
        cpu_slowdown=ASSUMED("cpu_slowdown"),
    )
    device: Device = Board(bed.edge)
    if own.device == "chip":
        points = OperatingPoints(shipped(own.voltage_table))
        machine = ArrayChip(envm=Envm(idle=own.idle_memory), points=points)
        device = Chip(machine, network, CHIP_INPUTS)
    waiting = own.waiting_mw
    return Journey(
        device=device,
        link=link,
        goodput=goodput if own.bandwidth_mbit_s is None else own.bandwidth_mbit_s * 1e6,
        cloud=bed.cloud,
        states=states_of(network),
        input_bytes=float(own.sequence_length * BYTES_PER_TOKEN),
        waiting=ASSUMED(f"{own.device}_idle") if waiting is None else waiting * 1e-3,
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


SYSTEM = System(
    name="joint",
    knobs=DOMAIN,
    metrics=METRICS,
    compose=compose,
    settings=Settings,
    defaults=DEFAULTS,
    space=_space,
    corners=lambda _settings, space: corners(space, layers_of()),
    needs=_needs,
    held_out=_held_out,
    breakdown=_breakdown,
    draws=_draws,
    requests=Requests("latency_p95", "energy", "split_layer"),
)
"""A compressed encoder on a device, with exits, a link and a cloud behind it."""
