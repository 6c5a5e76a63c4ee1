"""The console command: the engine's command line with the systems that this package composes."""

import sys
from collections.abc import Mapping

import dse.cli.commands.accuracy
import dse.cli.commands.compare
import dse.cli.commands.lut
import dse.cli.commands.online
import dse.cli.commands.trials_import
import studies.analyses.ablation_command
import studies.analyses.survival
import studies.appealnet.baselines_command
import studies.appealnet.requests_command
import studies.dynasplit.fit_command
import studies.edgebert.sentences_command
import studies.tables_command
from dse.cli.app import main as run_command_line
from dse.study.schema import System
from studies.appealnet.system import Appealnet
from studies.dynasplit.system import Dynasplit
from studies.edgebert.system import Edgebert
from studies.joint.system import Joint

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
    studies.tables_command.add_to,
    dse.cli.commands.trials_import.add_to,
    studies.dynasplit.fit_command.add_to,
    dse.cli.commands.online.add_to,
    studies.edgebert.sentences_command.add_to,
    studies.analyses.survival.add_to,
    studies.analyses.ablation_command.add_to,
    studies.appealnet.baselines_command.add_to,
    studies.appealnet.requests_command.add_to,
)
"""Commands beyond those of the engine itself."""


def main() -> None:
    """Entry point of `dse`."""
    sys.exit(run_command_line(SYSTEMS, MORE))


if __name__ == "__main__":
    main()
