"""The console command: the engine's command line with the systems that this package composes."""

import sys

from dse.cli import main as run_command_line
from studies.edgebert import Edgebert
from studies.table_view import show_tables

SYSTEMS = {"edgebert": Edgebert()}
"""What the `system` key of a study file chooses from."""


def main() -> None:
    """Entry point of `dse`."""
    sys.exit(run_command_line(SYSTEMS, {"tables": show_tables}))


if __name__ == "__main__":
    main()
