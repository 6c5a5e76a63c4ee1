"""The commands of the accuracy runs: `dse data`, `dse train`, `dse replay`, `dse predictor`."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dse.accuracy.exits import Rule
from dse.cli.terminal import Bars, print_data, say, table_console
from dse.core.errors import DseError
from dse.core.files import write_atomically
from dse.results.text_table import TextTable

if TYPE_CHECKING:
    from dse.accuracy.exit_report import Marks


Traces = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE_OR_FILE",
        help="Handle or file of an archive, or a text file of entropies: one sentence a line, "
        "comma-separated, one value per layer.",
    ),
]


TeacherRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        help="The backbone also learns the answers of a network trained by this recipe.",
    ),
]
TeacherNetwork = Annotated[
    str | None, typer.Option(help="The teacher's, as --network; left out: the same.")
]


def train(  # noqa: PLR0913  (one argument per flag)
    task: Annotated[str, typer.Argument(help="A task of `dse data list`, hub:... or local:...")],
    network: Annotated[
        str, typer.Option(help="minilm-l6, hub:NAME or local:FOLDER.")
    ] = "minilm-l6",
    recipe: Annotated[str, typer.Option(help="small, demo, full or frozen.")] = "demo",
    teacher: TeacherRecipe = None,
    teacher_network: TeacherNetwork = None,
    finetune_steps: Annotated[
        int, typer.Option(help="Steps of training with the compression; 0: none.", min=0)
    ] = 0,
    pruning_ratio: Annotated[float, typer.Option(help="Share of zeros to train for.")] = 0.0,
    pruning_method: Annotated[
        Literal["magnitude", "movement"], typer.Option(help="What decides which weights go.")
    ] = "magnitude",
    span_penalty: Annotated[
        float, typer.Option(help="Weight of the mean attention reach; 0: not learned.", min=0)
    ] = 0.0,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Train a network on a task, or find it trained; accuracy of every exit on both splits."""
    # Here and not above: torch takes seconds that other commands need not wait.
    from dse.accuracy.cache import cache_root
    from dse.accuracy.compression.pipeline import Compression
    from dse.accuracy.exit_report import marks
    from dse.accuracy.networks.distillation import Teacher, network_of
    from dse.accuracy.networks.tuning import Tuning, tuned_network

    if teacher is None and teacher_network is not None:
        raise DseError("--teacher-network says whose recipe --teacher names; give that too")
    how = Compression(
        pruning_ratio=pruning_ratio,
        pruning_method=pruning_method,
        finetune_steps=finetune_steps,
        span_penalty=span_penalty,
        weight_bits=32,
    )
    began, cache = time.monotonic(), cache_root()
    with Bars() as bars:
        by = None if teacher is None else Teacher(teacher, teacher_network)
        dense = found = network_of(network, task, recipe, by, cache, bars.preparing)
        if finetune_steps:
            found = tuned_network(dense, task, Tuning.of(how), cache, bars.preparing)
        minutes = (time.monotonic() - began) / 60
        validation, test = (
            marks(dense, task, cache, split, how) for split in ("validation", "test")
        )
    facts = {"task": task, "network": str(found.path), "sha256": found.sha256, "minutes": minutes}
    _show_marks(facts, validation, test, format_)


def _show_marks(facts: Mapping[str, Any], validation: "Marks", test: "Marks", format_: str) -> None:
    rows = {
        "validation_accuracy": validation.accuracy.tolist(),
        "test_accuracy": test.accuracy.tolist(),
        "validation_macro_f1": validation.macro_f1.tolist(),
        "test_macro_f1": test.macro_f1.tolist(),
    }
    if format_ == "json":
        print_data(json.dumps({**facts, "majority": test.majority, **rows}) + "\n")
        return
    table = TextTable("", *(f"exit {layer + 1}" for layer in range(len(test.accuracy))))
    for name, values in rows.items():
        table.add_row(name.replace("_", " "), *(f"{100 * v:.1f} %" for v in values))
    table_console().print(table)
    say(
        f"{facts['minutes']:.1f} min; the most frequent class alone: {100 * test.majority:.1f} %; "
        f"{facts['network']}"
    )


def replay(  # noqa: PLR0913  (one argument per flag)
    source: Traces,
    threshold: Annotated[
        float, typer.Option("--threshold", "-t", help="Entropy [nat], probability, or layers.")
    ],
    rule: Annotated[
        Rule,
        typer.Option(
            help="What makes a sentence leave: strictly below the entropy, "
            "strictly above the probability, so many equal answers."
        ),
    ] = "entropy",
    predictor: Annotated[
        Path | None, typer.Option(help="Exit table (CSV); the rule is then the entropy.")
    ] = None,
    predict_layer: Annotated[
        int, typer.Option(help="Layer whose entropy the exit table reads.", min=1)
    ] = 1,
    early_stop: Annotated[
        bool, typer.Option(help="Whether a sentence may leave before its predicted exit.")
    ] = True,
    countdown_quirk: Annotated[
        bool, typer.Option(help="Copy the released code's count-down that ends a layer early.")
    ] = False,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Replay early exit: where sentences leave, and how often they are right."""
    from dse.accuracy.exit_rules import replayed_file

    found = replayed_file(
        source,
        rule,
        threshold,
        predictor=predictor,
        predict_layer=predict_layer,
        early_stop=early_stop,
        countdown_quirk=countdown_quirk,
    )
    if format_ == "json":
        print_data(json.dumps(found, allow_nan=False) + "\n")
        return
    table = TextTable("quantity", "value")
    for name, value in found.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    table_console().print(table)


def predictor(
    source: Traces,
    out: Annotated[Path, typer.Option(help="CSV file to write; must not exist yet.")],
    predict_layer: Annotated[
        int, typer.Option(help="Layer whose entropy the table will read.", min=1)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the fit.", min=0)] = 0,
) -> None:
    """Learn an exit table: entropies of the later layers out of that of an early one."""
    from dse.accuracy.exit_rules import read_scores
    from dse.accuracy.predictor import fitted

    if out.exists():
        raise DseError(f"{out} exists; it is left as it is")
    table = fitted(read_scores(source, "entropy")[1], predict_layer, seed=seed)
    try:
        write_atomically(out, table.to_csv())
    except OSError as error:
        raise DseError(f"{out} cannot be written: {error.strerror}") from error
    typer.echo(out)


def list_data() -> None:
    """Tasks with their source, licence and whether they are here."""
    from dse.accuracy.cache import cache_root
    from dse.accuracy.data.images import IMAGES, is_fetched
    from dse.accuracy.data.tasks import list_tasks

    table = TextTable("task", "classes", "here", "licence", "source")
    for task in list_tasks(cache_root()):
        here = "yes" if task.fetched else "no"
        table.add_row(task.name, str(task.classes), here, task.licence, task.source)
    for images in IMAGES.values():
        here = "yes" if is_fetched(images.name, cache_root()) else "no"
        table.add_row(images.name, str(images.classes), here, images.licence, images.origin)
    table_console().print(table)


def fetch_data(
    name: Annotated[str, typer.Argument(help="A task of `dse data list`.")],
    archive: Annotated[
        Path | None,
        typer.Option(help="Take the source archive, or a folder of images, from here."),
    ] = None,
) -> None:
    """Bring a task into the user's cache; afterwards it works offline."""
    from dse.accuracy.cache import cache_root
    from dse.accuracy.data.images import IMAGES, fetch_images
    from dse.accuracy.data.tasks import fetch_task

    if name in IMAGES:
        typer.echo(fetch_images(name, cache_root(), source=archive))
        return
    with Bars() as bars:
        path = fetch_task(name, cache_root(), archive=archive, watch=bars.preparing)
    typer.echo(path)
