"""The console command: the engine's command line with the systems that this package composes."""

import pkgutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dse.cli.app import main as run_command_line
from dse.cli.command_table import Command

if TYPE_CHECKING:
    from dse.study.schema import System


class _Systems(Mapping[str, "System"]):
    """Name -> system; a system is imported when it is asked for."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths

    def __getitem__(self, name: str) -> "System":
        found: System = pkgutil.resolve_name(self._paths[name])()
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


SYSTEMS: Mapping[str, "System"] = _Systems(
    {
        "edgebert": "studies.edgebert.system:Edgebert",
        "dynasplit": "studies.dynasplit.system:Dynasplit",
        "joint": "studies.joint.system:Joint",
        "appealnet": "studies.appealnet.system:Appealnet",
    }
)
"""What the `system` key of a study file chooses from."""

COMMANDS = (
    Command(
        "tables",
        "studies.tables_command:show_tables",
        "Print the constants of the hardware models in SI units, with source and evidence.",
        "dse tables sram",
    ),
    Command(
        "sentences",
        "studies.edgebert.sentences_command:show_sentences",
        "Sentence-level DVFS on the sentences of a run: energy, latency and accuracy per deadline.",
        "dse sentences runs/demo --deadline 5ms",
    ),
    Command(
        "survive",
        "studies.analyses.survival:show_survival",
        "Ask which designs of a front survive if the constants of the models are drawn anew.",
        "dse survive runs/demo --draws 500",
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
    sys.exit(run_command_line(SYSTEMS, COMMANDS, Path(__file__).parent))


if __name__ == "__main__":
    main()
