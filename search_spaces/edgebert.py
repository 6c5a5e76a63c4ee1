"""EdgeBERT's choices (arXiv 2011.14203): compression, embedding memory, voltage, early exit."""

from dse.parameters import Categorical, Integer, Parameter, Real

PRUNING_RATIO = Real("pruning_ratio", 0.0, 0.95, "1", stage="design")
"""Share of zeros in each encoder matrix."""

WEIGHT_BITS = Integer("weight_bits", 4, 8, "bit", stage="design")
"""Total width of an AdaptivFloat weight, sign and exponent included."""

ENVM_CELL = Categorical("envm_cell", ("sram", "rram", "stt", "pcm"), stage="design")
"""Memory that holds the word embeddings."""

VDD = Real("vdd", 0.5, 0.8, "V", stage="run")
"""Supply voltage of the accelerator; its clock follows from the operating points."""

EXIT_THRESHOLD = Real("exit_threshold", 0.0, 0.7, "nat", stage="run")
"""A sentence leaves at the first layer with an entropy below; 0: never early. ln 2 is 0.693."""

DOMAIN: tuple[Parameter, ...] = (PRUNING_RATIO, WEIGHT_BITS, ENVM_CELL, VDD, EXIT_THRESHOLD)
