"""The console command: the engine's command line with the commands of the shipped systems."""

import sys
from pathlib import Path

from dse.cli.app import main as run_command_line
from dse.cli.command_table import Command

COMMANDS = (
    Command(
        "tables",
        "studies.tables_command:show_tables",
        "Print the constants of the hardware models in SI units, with source and evidence.",
        "dse tables sram",
    ),
    Command(
        "workload show",
        "studies.workload_command:show_workload",
        "Print what a network asks of hardware: products, vector work, weights and cuts by layer.",
        "dse workload show minilm-l6 --tokens 64",
    ),
    Command(
        "sentences",
        "studies.edgebert.sentences_command:show_sentences",
        "Sentence-level DVFS on the sentences of a run: energy, latency and accuracy per deadline.",
        "dse sentences runs/demo --deadline 5ms",
    ),
    Command(
        "ablate",
        "studies.analyses.ablation_command:ablate",
        "Search the joint space, each system's own, and one knob after another, at equal cost.",
        "dse ablate studies/joint/sentiment.yaml --seeds 3 --out a.json",
    ),
    Command(
        "appeal",
        "studies.appealnet.baselines_command:show_sides",
        "The front of a run beside edge only, cloud only and, for sentences, a split.",
        "dse appeal runs/appeal",
    ),
    Command(
        "appeals",
        "studies.appealnet.requests_command:show_appeals",
        "Route the test inputs of a run one by one: late, appealed, accuracy, energy.",
        "dse appeals runs/appeal --deadline 100ms",
    ),
    Command(
        "trials fit",
        "studies.dynasplit.fit_command:show_fit",
        "Fit board, link and cloud to measured trials; coefficients not to be trusted come first.",
        "dse trials fit trials.csv",
    ),
)
"""Commands beyond those of the engine itself."""


def main() -> None:
    """Entry point of `dse`."""
    # Here and not above: other programs read the table of commands and need no system.
    from dse.study.plugins import InstalledSystems

    sys.exit(run_command_line(InstalledSystems(), COMMANDS, Path(__file__).parent))


if __name__ == "__main__":
    main()
