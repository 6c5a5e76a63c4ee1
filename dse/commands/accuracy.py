"""The commands of the accuracy runs: `dse data`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dse.terminal import Bars


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data_commands(), name="data")


def data_commands() -> typer.Typer:
    """`dse data`: labelled tasks, brought once."""
    app = typer.Typer(help="Labelled tasks: list them, bring them once.", no_args_is_help=True)

    @app.command("list", epilog="Example: dse data list")
    def list_tasks() -> None:
        """Tasks with their source, licence and whether they are here."""
        from dse.accuracy.tasks import cache_root, list_tasks

        table = Table("task", "classes", "here", "licence", "source")
        for task in list_tasks(cache_root()):
            here = "yes" if task.fetched else "no"
            table.add_row(task.name, str(task.classes), here, task.licence, task.source)
        Console().print(table)

    @app.command("fetch", epilog="Example: dse data fetch rt-sentiment")
    def fetch(
        name: Annotated[str, typer.Argument(help="A task of `dse data list`.")],
        archive: Annotated[
            Path | None, typer.Option(help="Take the source archive from here, not the network.")
        ] = None,
    ) -> None:
        """Bring a task into the user's cache; afterwards it works offline."""
        from dse.accuracy.tasks import cache_root, fetch_task

        with Bars() as bars:
            path = fetch_task(name, cache_root(), archive=archive, watch=bars.preparing)
        typer.echo(path)

    return app
