"""Every choice of EdgeBERT, DynaSplit and AppealNet at once, and which of them go together.

A sentence runs on the device layer by layer until an exit's answer is sure enough. One that is not
sure after the last layer of the device is answered there all the same (`none`), goes on in the
cloud where it is (`state`: DynaSplit's split), or is put to another network there (`input`:
AppealNet's appeal) if it is not trusted.

    EdgeBERT    split_layer = the network's depth, offload = none
    DynaSplit   offload = state, exits off
    AppealNet   offload = input, exits off
"""

from collections.abc import Mapping

import numpy as np

from dse.core.errors import SpaceError
from dse.core.parameters import (
    Categorical,
    FloatArray,
    Integer,
    Ordinal,
    Parameter,
    Real,
    Value,
)
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from search_spaces.dynasplit import CLOUD_GPU, CPU_FREQUENCY
from search_spaces.edgebert import (
    ATTENTION_SPAN,
    EMBEDDING_SPARSITY,
    ENVM_CELL,
    FINETUNE_STEPS,
    PRUNING_RATIO,
    VDD,
    WEIGHT_BITS,
)

DEEPEST = 24
"""Layers of the deepest encoder that a study may bring [layer]."""

SPLIT_LAYER = Integer("split_layer", 0, DEEPEST, "layer", stage="design")
"""Layers that the device holds; 0: it only sends."""

EXPONENT_BITS = Ordinal("exponent_bits", (2.0, 3.0, 4.0, 5.0), "bit", stage="design")
"""Exponent of every AdaptivFloat number."""

ACTIVATION_BITS = Integer("activation_bits", 4, 32, "bit", stage="design")
"""Total width of an AdaptivFloat activation; 32: float32, on a board; 17 to 31 do not exist."""

MAC_WIDTH = Ordinal("mac_width", (2.0, 4.0, 8.0, 16.0, 32.0), "1", stage="design")
"""Side n of the n x n multiply-accumulate array."""

WEIGHT_STORE = Categorical("weight_store", ("envm", "sram", "dram"), stage="design")
"""Where the encoder's weights rest: with the embeddings, in banks of their own, off the chip."""

DVFS = Categorical("dvfs", ("fixed", "sentence"), stage="run")
"""One voltage for all, or for each sentence the lowest that meets the deadline."""

PREDICT_LAYER = Integer("predict_layer", 1, DEEPEST, "layer", stage="run")
"""Layers at nominal voltage, after which the exit is foretold."""

EXIT_RULE = Categorical("exit_rule", ("entropy", "max-probability", "patience"), stage="run")
"""What makes a sentence leave early."""

EXIT_ENTROPY = Real("exit_entropy", 0.0, 5.0, "nat", stage="run")
"""It leaves with an entropy below; 0: never early."""

EXIT_PROBABILITY = Real("exit_probability", 0.0, 1.0, "1", stage="run")
"""It leaves with a largest class probability above; 1: never early."""

EXIT_PATIENCE = Integer("exit_patience", 1, DEEPEST, "layer", stage="run")
"""It leaves after as many equal answers."""

OFFLOAD = Categorical("offload", ("none", "state", "input"), stage="run")
"""What is sent of a sentence that is not sure after the device's last layer."""

LINK_BITS = Ordinal("link_bits", (4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 32.0), "bit", stage="run")
"""Of an AdaptivFloat element of a state that is sent; 32: float32."""

CLOUD_NETWORK = Categorical("cloud_network", ("small", "demo", "full"), stage="run")
"""Recipe of the network that answers appeals."""

APPEAL_SIGNAL = Categorical("appeal_signal", ("max-softmax", "margin", "appeal"), stage="run")
"""What says whether the device's answer is trusted; `appeal` is a learned head."""

BETA = Real("beta", 0.01, 1.0, "1", stage="design")
"""Price of an appeal in the joint loss that the learned head is fitted with."""

APPEAL_THRESHOLD = Real("appeal_threshold", 0.0, 1.01, "1", stage="run")
"""An answer that is trusted less is appealed; 0: none, above 1: all."""

DOMAIN: tuple[Parameter, ...] = (
    SPLIT_LAYER,
    OFFLOAD,
    PRUNING_RATIO,
    EMBEDDING_SPARSITY,
    ATTENTION_SPAN,
    WEIGHT_BITS,
    EXPONENT_BITS,
    ACTIVATION_BITS,
    FINETUNE_STEPS,
    LINK_BITS,
    ENVM_CELL,
    WEIGHT_STORE,
    MAC_WIDTH,
    CPU_FREQUENCY,
    DVFS,
    VDD,
    PREDICT_LAYER,
    EXIT_RULE,
    EXIT_ENTROPY,
    EXIT_PROBABILITY,
    EXIT_PATIENCE,
    CLOUD_GPU,
    CLOUD_NETWORK,
    APPEAL_SIGNAL,
    BETA,
    APPEAL_THRESHOLD,
)
"""In an order in which every condition looks back."""

DEFAULTS: dict[str, Value] = {
    "offload": "none",
    "pruning_ratio": 0.0,
    "embedding_sparsity": 0.0,
    "attention_span": 128,
    "weight_bits": 8,
    "exponent_bits": 3.0,
    "activation_bits": 8,
    "finetune_steps": 0,
    "link_bits": 32.0,
    "envm_cell": "rram",
    "weight_store": "envm",
    "mac_width": 16.0,
    "cpu_frequency": 1.8e9,
    "dvfs": "fixed",
    "vdd": 0.8,
    "predict_layer": 1,
    "exit_rule": "entropy",
    "exit_entropy": 0.0,
    "exit_probability": 1.0,
    "exit_patience": DEEPEST,
    "cloud_gpu": "on",
    "cloud_network": "full",
    "appeal_signal": "max-softmax",
    "beta": 0.1,
    "appeal_threshold": 0.0,
}
"""What a study that leaves a knob out gets: dense, 8 bits, nominal voltage, no exit, no cloud."""

BOARD_KNOBS = ("cpu_frequency",)
CHIP_KNOBS = ("envm_cell", "weight_store", "mac_width", "dvfs", "vdd", "predict_layer")
"""Knobs that exist on one kind of device only."""

DEVICE_KNOBS = (
    "pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits", "exponent_bits",
    "activation_bits", "finetune_steps", "envm_cell", "weight_store", "mac_width", "cpu_frequency",
    "dvfs", "vdd", "exit_rule", "exit_entropy", "exit_probability", "exit_patience",
    "appeal_signal", "beta", "appeal_threshold",
)  # fmt: skip
"""Knobs that say something only where the device holds a layer."""

_ACTIVE: tuple[tuple[str, str, tuple[Value, ...], Value], ...] = (
    *((name, "split_layer", tuple(range(1, DEEPEST + 1)), DEFAULTS[name]) for name in DEVICE_KNOBS),
    ("link_bits", "offload", ("state",), 32.0),
    ("vdd", "dvfs", ("fixed",), 0.8),
    ("predict_layer", "dvfs", ("sentence",), 1),
    ("exit_entropy", "exit_rule", ("entropy",), 0.0),
    ("exit_probability", "exit_rule", ("max-probability",), 1.0),
    ("exit_patience", "exit_rule", ("patience",), DEEPEST),
    ("cloud_gpu", "offload", ("state", "input"), "off"),
    ("cloud_network", "offload", ("input",), "full"),
    ("appeal_signal", "offload", ("input",), "max-softmax"),
    ("beta", "appeal_signal", ("appeal",), 0.1),
    ("appeal_threshold", "offload", ("input",), 0.0),
)
"""Knob, the knob it depends on, the values with which it is a choice, and what it is else."""


LEAVES: Mapping[str, tuple[str, ...]] = {
    "input": ("none", "state", "input"),
    "state": ("none", "state"),
    "nothing": ("none",),
}
"""What may leave a device -> the values of `offload` that are left."""


def kept_private(parameters: tuple[Parameter, ...], may_leave: str) -> tuple[Parameter, ...]:
    """The knobs of a study whose sentences may not leave the device, or only as states.

    Knobs of what is not sent any more stay at their defaults.

    Args:
        parameters: In any order.
        may_leave: A key of `LEAVES`.

    Raises:
        SpaceError: If nothing is left of `offload`.
    """
    known = {p.name: p for p in parameters}
    offload = known.get("offload")
    if not isinstance(offload, Categorical):
        return parameters
    left = tuple(value for value in offload.values if value in LEAVES[may_leave])
    if not left:
        raise SpaceError(
            f"offload = {' or '.join(offload.values)}, but settings.may_leave = {may_leave} "
            f"leaves {' or '.join(LEAVES[may_leave])}"
        )
    if left == offload.values:
        return parameters
    known["offload"] = Categorical("offload", left, offload.stage)
    for name, parent, values, _ in _ACTIVE:
        if name in known and parent in known and not any(_has(known[parent], v) for v in values):
            known[name] = settled(known[name], DEFAULTS[name])
    return tuple(known.values())


def settled(parameter: Parameter, value: Value) -> Parameter:
    """The parameter with the one level that is nearest to a value."""
    level = nearest(parameter, value)
    if isinstance(parameter, Categorical):
        return Categorical(parameter.name, (str(level),), parameter.stage)
    return Ordinal(parameter.name, (float(level),), parameter.unit, parameter.stage)


_NEVER_READ = ("cloud_network", "exit_patience")
"""Knobs that nobody reads while they sleep: they stand at a level that the study has."""


def joint_space(parameters: tuple[Parameter, ...], layers: int) -> SearchSpace:
    """The designs that exist among the knobs asked for.

    Args:
        parameters: In any order.
        layers: Of the network; a device that holds them all has nothing left to go on with.

    Raises:
        SpaceError: If a condition or a rule names what the knobs do not have.
    """
    order = {p.name: place for place, p in enumerate(DOMAIN)}
    known = {p.name: p for p in sorted(parameters, key=lambda p: order[p.name])}
    conditions = []
    for name, parent, values, otherwise in _ACTIVE:
        if name in known and parent in known:
            here = tuple(v for v in values if _has(known[parent], v))
            if not here and known[name].count != 1:
                raise SpaceError(
                    f"{name} is a choice only with {parent} = "
                    f"{' or '.join(map(str, values))}, which this study leaves out"
                )
            if here:
                asleep = nearest(known[name], otherwise) if name in _NEVER_READ else otherwise
                conditions.append(ActiveWhen(name, parent, here, asleep))
    return SearchSpace(
        tuple(known.values()), conditions=tuple(conditions), forbidden=_rules(known, layers)
    )


def corners(space: SearchSpace, layers: int) -> Mapping[str, Mapping[str, Value]]:
    """Dense at nominal voltage: all on the device, all in the cloud, and a device that always asks.

    Each knob is at the level nearest to what is wanted, or at its first where a name is not there;
    a corner whose way to the cloud is not open is left out.

    Args:
        space: Of the study.
        layers: Of the network.
    """
    places = {
        "all on the device": (layers, "none"),
        "all in the cloud": (0, "input"),
        "always asked": (layers, "input"),
    }
    offload = space["offload"]
    places = {name: at for name, at in places.items() if _has(offload, at[1])}
    found = {}
    for name, (split, way) in places.items():
        said = {**DEFAULTS, "split_layer": split, "offload": way, "appeal_threshold": 1.01}
        design = space.decode(codes_near(space, said)[np.newaxis])
        found[name] = {knob: column.item() for knob, column in design.items()}
    return found


def codes_near(space: SearchSpace, wanted: Mapping[str, Value]) -> FloatArray:
    """Code of the nearest level of every knob, also of one that is asleep; shape (d,)."""
    codes = [p.encode(np.array([nearest(p, wanted[p.name])]))[0] for p in space.parameters]
    return np.array(codes, dtype=np.float64)


def nearest(parameter: Parameter, wanted: Value) -> Value:
    """The level of a knob that is nearest to a value; a name that is not there gives the first."""
    if isinstance(parameter, Categorical):
        return wanted if wanted in parameter.values else parameter.values[0]
    if isinstance(parameter, Real):
        return min(max(float(wanted), parameter.low), parameter.high)
    assert parameter.count is not None
    levels = np.asarray(parameter.decode(np.arange(float(parameter.count))), dtype=np.float64)
    return float(levels[np.abs(levels - float(wanted)).argmin()])


def _rules(known: Mapping[str, Parameter], layers: int) -> tuple[Forbidden, ...]:
    rules: list[tuple[dict[str, tuple[Value, ...]], str]] = [
        ({"split_layer": (layers,), "offload": ("state",)}, "no layer is left to go on with"),
        ({"split_layer": (0,), "offload": ("none",)}, "nobody would answer"),
        ({"split_layer": (0,), "offload": ("state",)}, "a state before layer 1 is the input"),
        ({"split_layer": (0,), "dvfs": ("sentence",)}, "the device runs no layer"),
        ({"dvfs": ("sentence",), "exit_rule": ("max-probability", "patience")},
         "the exit is foretold from entropies"),
    ]  # fmt: skip
    for bits in (2.0, 3.0, 4.0, 5.0):
        narrow: tuple[Value, ...] = tuple(range(1, int(bits) + 1))
        for name in ("weight_bits", "activation_bits", "link_bits"):
            rules.append(
                ({"exponent_bits": (bits,), name: narrow}, "no bit is left for the sign")
            )  # fmt: skip
    for layer in range(1, layers + 1):
        # A table foretells what follows the next exit: it cannot be asked behind the last but one.
        late: tuple[Value, ...] = tuple(range(min(layer, layers - 1), DEEPEST + 1))
        rules.append(
            ({"split_layer": (layer,), "dvfs": ("sentence",), "predict_layer": late},
             "no layer is left to slow down")
        )  # fmt: skip
        patient: tuple[Value, ...] = tuple(range(layer + 1, DEEPEST))
        rules.append(
            ({"split_layer": (layer,), "exit_rule": ("patience",), "exit_patience": patient},
             "the device has fewer exits than equal answers are asked")
        )  # fmt: skip
    found = []
    for combination, reason in rules:
        if set(combination) <= set(known):
            values = {
                name: tuple(v for v in given if _has(known[name], v))
                for name, given in combination.items()
            }
            if all(values.values()):
                found.append(Forbidden(values, reason))
    return tuple(found)


def _has(parameter: Parameter, value: Value) -> bool:
    """Whether a value is among those of a parameter."""
    if isinstance(parameter, Categorical):
        return value in parameter.values
    if isinstance(parameter, Real):
        return bool(parameter.low <= float(value) <= parameter.high)
    assert parameter.count is not None
    levels = parameter.decode(np.arange(float(parameter.count)))
    return bool((np.asarray(levels, dtype=np.float64) == float(value)).any())
