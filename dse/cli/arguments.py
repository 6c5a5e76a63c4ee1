"""Arguments and flags that several commands take, declared once."""

from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file (YAML).")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override any key, e.g. search.seed=3."),
]
MaxWall = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="search.max_wall, over all sessions: 90s, 30min or 2h."),
]
Workers = Annotated[int | None, typer.Option(help="execution.workers.")]
Executor = Annotated[str | None, typer.Option(help="execution.executor: serial, pool or ray.")]
Address = Annotated[str | None, typer.Option(help="execution.address of a Ray cluster.")]
SystemFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="Take the system from a variable of a file; its code is run, by workers too.",
    ),
]
