"""edge4: real accuracy runs, priced by EdgeBERT's accelerator; 96,768 designs, 144 networks.

Every network of a grid of compressions answered 400 sentences of rt-sentiment once; edge4.csv holds
what each exit threshold makes of its answers, edge4.toml where that comes from
(`record_edge4.py`). So a "run" is a line of a real table, and energy, latency and area are computed
as in a study. Activations were in float32 there and are priced at 8 bits.
"""

import csv
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
from problems.enumerable import Analytic, Measured

from dse.core.evaluation import Cached, Chain
from dse.core.parameters import Categorical, Ordinal
from dse.core.problem import Constraint, Objective, Problem
from dse.core.space import SearchSpace
from hw_models.workload import from_config
from studies.edgebert.system import Settings, chip_of

RUN = ("pruning_ratio", "embedding_sparsity", "attention_span", "weight_bits")
THRESHOLDS = tuple(round(0.03 * i, 2) for i in range(24))
SPACE = SearchSpace(
    (
        Ordinal("pruning_ratio", (0.0, 0.2, 0.3, 0.4), "1"),
        Ordinal("embedding_sparsity", (0.0, 0.4, 0.6), "1"),
        Ordinal("attention_span", (6, 16, 128), "token"),
        Ordinal("weight_bits", (4, 5, 6, 8), "bit"),
        Categorical("envm_cell", ("sram", "rram", "stt", "pcm")),
        Ordinal("vdd", tuple((500 + 50 * i) / 1000 for i in range(7)), "V", stage="run"),
        Ordinal("exit_threshold", THRESHOLDS, "nat", stage="run"),
    )
)
REPLAYED = {"accuracy": "1", "mean_exit_layer": "layer", "p95_exit_layer": "layer"}
PRICED = {**REPLAYED, "activation_bits": "bit"}


@cache
def recorded():
    """What was measured: network name -> metric -> one value per threshold."""
    found: dict[str, dict[str, list[float]]] = {}
    with Path(__file__).with_name("edge4.csv").open(encoding="utf-8") as file:
        rows = csv.reader(file)
        assert [name.split("[")[0] for name in next(rows)] == [*RUN, "exit_threshold", *REPLAYED]
        for row in rows:
            numbers = [float(cell) for cell in row]
            network = found.setdefault(name_of(*numbers[:4]), {k: [] for k in REPLAYED})
            assert numbers[4] == THRESHOLDS[len(network["accuracy"])]
            for key, value in zip(REPLAYED, numbers[5:], strict=True):
                network[key].append(value)
    return {name: {k: np.array(v) for k, v in of.items()} for name, of in found.items()}


def name_of(pruning, embeddings, span, bits):
    """Handle of a network."""
    return f"{pruning:g}-{embeddings:g}-{span:g}-{bits:g}"


def compressed(columns):
    """The network that a run leaves behind."""
    rows = zip(*(columns[name] for name in RUN), strict=True)
    return {"archive": np.array([name_of(*row) for row in rows])}


def replayed(columns):
    """Accuracy and depth of an archive at a threshold, and the activations that are priced."""
    table = recorded()
    places = np.searchsorted(THRESHOLDS, columns["exit_threshold"])
    handles, which = np.unique(columns["archive"], return_inverse=True)
    found = {
        key: np.stack([table[handle][key] for handle in handles])[which, places] for key in REPLAYED
    }
    return found | {"activation_bits": np.full(len(places), 8.0)}


def problem():
    with Path(__file__).with_name("edge4.toml").open("rb") as file:
        config = tomllib.load(file)["config"]
    chain = Chain(
        (
            Cached(Measured({n: SPACE[n].unit for n in RUN}, {"archive": "handle"}, compressed)),
            Analytic({"archive": "handle", "exit_threshold": "nat"}, PRICED, replayed),
            chip_of(Settings(), from_config(config, tokens=64, off_ramp="mean_pool")),
        )
    )
    objectives = (
        Objective("accuracy", "1", "max"),
        Objective("energy", "J"),
        Objective("latency_p95", "s"),
    )
    limits = (Constraint("accuracy", "1", 0.65, "min"), Constraint("latency_p95", "s", 5e-3))
    return Problem(SPACE, chain, objectives, limits)
