"""Records edge4: real accuracy runs of every network of a grid, replayed at every exit threshold.

    python tests/benchmarks/problems/record_edge4.py         # 144 forward passes of 400 sentences

Needs the extra `accuracy` and the fetched task rt-sentiment; trains the dense network once. Writes
edge4.csv (what the runs gave) and edge4.toml (where that comes from) beside itself.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.cache import cache_root
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.exits import ExitReplay
from dse.accuracy.networks.training import trained_network

GRID = {
    "pruning_ratio": (0.0, 0.2, 0.3, 0.4),
    "embedding_sparsity": (0.0, 0.4, 0.6),
    "attention_span": (6, 16, 128),
    "weight_bits": (4, 5, 6, 8),
}
THRESHOLDS = tuple(round(0.03 * i, 2) for i in range(24))
SENTENCES = 400
CONFIG = (
    "model_type", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
    "vocab_size", "max_position_embeddings", "type_vocab_size",
)  # fmt: skip


def main():
    cache = cache_root()
    trained = trained_network("minilm-l6", "rt-sentiment", "full", cache)
    fixed = Compression(exponent_bits=3)
    run = AccuracyRun(
        trained, "rt-sentiment", cache, sentences=SENTENCES, knobs=tuple(GRID), fixed=fixed
    )
    replay = ExitReplay(cache, "entropy")
    lines = [
        "pruning_ratio[1],embedding_sparsity[1],attention_span[token],weight_bits[bit],"
        "exit_threshold[nat],accuracy[1],mean_exit_layer[layer],p95_exit_layer[layer]"
    ]
    for number, point in enumerate(itertools.product(*GRID.values())):
        columns = {name: np.array([value]) for name, value in zip(GRID, point, strict=True)}
        archives = np.repeat(run(columns)["archive"], len(THRESHOLDS))
        found = replay({"archive": archives, "exit_threshold": np.array(THRESHOLDS)})
        for i, threshold in enumerate(THRESHOLDS):
            numbers = [found[k][i] for k in ("accuracy", "mean_exit_layer", "p95_exit_layer")]
            lines.append(",".join(f"{v:.6g}" for v in (*point, threshold, *numbers)))
        sys.stdout.write(f"{number + 1} of 144\n")
        sys.stdout.flush()
    here = Path(__file__)
    here.with_name("edge4.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = json.loads((trained.folder / "config.json").read_text(encoding="utf-8"))
    facts = {
        "evidence": "measured",
        "command": "python tests/benchmarks/problems/record_edge4.py",
        "network": "minilm-l6, recipe full",
        "sentences": SENTENCES,
        **run.facts(),
    }
    text = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    text += ["", "[config]", *(f"{k} = {json.dumps(config[k])}" for k in CONFIG if k in config)]
    here.with_name("edge4.toml").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
