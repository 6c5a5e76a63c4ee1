"""EdgeBERT's choices (arXiv 2011.14203): compression, embedding memory, voltage, early exit."""

from collections.abc import Mapping

from dse.core.parameters import Categorical, Integer, Parameter, Real, Value, ends
from dse.core.space import SearchSpace

PRUNING_RATIO = Real("pruning_ratio", 0.0, 0.95, "1", stage="design")
"""Share of zeros in each encoder matrix."""

WEIGHT_BITS = Integer("weight_bits", 4, 8, "bit", stage="design")
"""Total width of an AdaptivFloat weight, sign and exponent included."""

EMBEDDING_SPARSITY = Real("embedding_sparsity", 0.0, 0.95, "1", stage="design")
"""Share of zeros in each embedding table."""

ATTENTION_SPAN = Integer("attention_span", 0, 128, "token", stage="design")
"""Reach of every attention head: a query sees keys less than so many tokens away; 0: heads off."""

ACTIVATION_BITS = Integer("activation_bits", 4, 16, "bit", stage="design")
"""Total width of an AdaptivFloat activation, as wide as the accelerator's array is built."""

FINETUNE_STEPS = Integer("finetune_steps", 0, 20_000, "step", stage="design")
"""Steps of training with the pruning in place; 0: pruned once, after training."""

ENVM_CELL = Categorical(
    "envm_cell", ("sram", "rram", "rram_mlc2", "rram_mlc3", "stt", "pcm"), stage="design"
)
"""Memory that holds the word embeddings; cells of several levels can be misread."""

VDD = Real("vdd", 0.5, 0.8, "V", stage="run")
"""Supply voltage of the accelerator; its clock follows from the operating points."""

EXIT_THRESHOLD = Real("exit_threshold", 0.0, 0.7, "nat", stage="run")
"""A sentence leaves at the first layer with an entropy below; 0: never early. ln 2 is 0.693."""

DOMAIN: tuple[Parameter, ...] = (
    PRUNING_RATIO,
    EMBEDDING_SPARSITY,
    ATTENTION_SPAN,
    WEIGHT_BITS,
    ACTIVATION_BITS,
    FINETUNE_STEPS,
    ENVM_CELL,
    VDD,
    EXIT_THRESHOLD,
)

DEFAULTS: dict[str, Value] = {
    "embedding_sparsity": 0.0,
    "attention_span": 128,
    "activation_bits": 8,
    "finetune_steps": 0,
}
"""What a study that does not name a knob gets: embeddings whole, heads that see everything,
activations of EdgeBERT's 8 bits, no training beyond the dense network's."""


def corners(space: SearchSpace) -> Mapping[str, Mapping[str, Value]]:
    """The dense network and the most compressed one, at both ends of voltage and early exit.

    As far as the study's knobs reach. The highest voltage is the nominal one.
    """
    first = {p.name: ends(p)[0] for p in space.parameters}
    last = {p.name: ends(p)[1] for p in space.parameters}
    dense = {
        **{name: first[name] for name in ("pruning_ratio", "embedding_sparsity", "envm_cell")},
        **{name: last[name] for name in ("attention_span", "weight_bits", "activation_bits")},
        "finetune_steps": first["finetune_steps"],
    }
    small = {
        **{name: last[name] for name in ("pruning_ratio", "embedding_sparsity", "envm_cell")},
        **{name: first[name] for name in ("attention_span", "weight_bits", "activation_bits")},
        "finetune_steps": first["finetune_steps"],  # a corner is cheap: nothing is trained for it
    }
    never = {"exit_threshold": first["exit_threshold"]}
    soonest = {"exit_threshold": last["exit_threshold"]}
    low, nominal = {"vdd": first["vdd"]}, {"vdd": last["vdd"]}
    return {
        "dense, nominal voltage": {**dense, **nominal, **never},
        "dense, lowest voltage": {**dense, **low, **never},
        "dense, nominal voltage, earliest exit": {**dense, **nominal, **soonest},
        "most compressed, nominal voltage": {**small, **nominal, **never},
    }
