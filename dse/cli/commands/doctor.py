"""`dse doctor`: what this machine and this installation can do."""

from dse.cli.environment import parts
from dse.cli.terminal import table_console
from dse.results.text_table import TextTable


def doctor() -> None:
    """Say what this machine and this installation can do, and what each missing part disables."""
    table = TextTable("part", "here", "what it is for")
    for part in parts():
        table.add_row(part.name, part.here, part.purpose)
    table_console().print(table)
