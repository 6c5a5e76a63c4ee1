"""`dse doctor`: what this machine and this installation can do."""

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dse.cli.environment import parts


def doctor() -> None:
    """Say what this machine and this installation can do, and what each missing part disables."""
    table = Table("part", "here", "what it is for")
    for part in parts():
        table.add_row(part.name, escape(part.here), escape(part.purpose))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
