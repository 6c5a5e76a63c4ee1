"""The console command: the engine's command line with the systems that this package composes."""

import sys
from collections.abc import Mapping

import dse.cli.commands.accuracy
import dse.cli.commands.compare
import dse.cli.commands.lut
import dse.cli.commands.online
import dse.cli.commands.trials_import
import studies.ablation_report
import studies.appealnet_online
import studies.appealnet_sides
import studies.edgebert_online
import studies.survival
import studies.table_view
import studies.trials_fit
from dse.cli.app import main as run_command_line
from dse.study.schema import System
from studies.appealnet import Appealnet
from studies.dynasplit import Dynasplit
from studies.edgebert import Edgebert
from studies.joint import Joint

SYSTEMS: Mapping[str, System] = {
    "edgebert": Edgebert(),
    "dynasplit": Dynasplit(),
    "joint": Joint(),
    "appealnet": Appealnet(),
}
"""What the `system` key of a study file chooses from."""

MORE = (
    dse.cli.commands.accuracy.add_to,
    dse.cli.commands.compare.add_to,
    dse.cli.commands.lut.add_to,
    studies.table_view.add_to,
    dse.cli.commands.trials_import.add_to,
    studies.trials_fit.add_to,
    dse.cli.commands.online.add_to,
    studies.edgebert_online.add_to,
    studies.survival.add_to,
    studies.ablation_report.add_to,
    studies.appealnet_sides.add_to,
    studies.appealnet_online.add_to,
)
"""Commands beyond those of the engine itself."""


def main() -> None:
    """Entry point of `dse`."""
    sys.exit(run_command_line(SYSTEMS, MORE))


if __name__ == "__main__":
    main()
