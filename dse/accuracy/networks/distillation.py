"""Training with a teacher: a network learns another one's answers beside the labels.

EdgeBERT's loss (arXiv 2011.14203): 0.1 cross-entropy + 0.9 distillation at temperature 2, after
Hinton and others (arXiv 1503.02531). The teacher is any network trained on the same task: a larger
one, or one that was trained for longer or on more labels. It is asked once per training sentence.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from dse.accuracy.address import computed_by
from dse.accuracy.cache import (
    Watch,
    key_of,
    make_folder,
    require_own,
    unwatched,
    write_whole,
)
from dse.accuracy.compression.attention_span import reaching
from dse.accuracy.data.tasks import read_split
from dse.accuracy.networks.loop import Rows
from dse.accuracy.networks.network import all_means, load_trained, tokenised
from dse.accuracy.networks.training import (
    RECIPES,
    Course,
    Made,
    Trained,
    kept,
    repeatable,
    share_of,
    train,
    trained_network,
)
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True)
class Distillation:
    """How much of the loss is the teacher's.

    Attributes:
        weight: Of the distillation, 0 to 1; the rest is cross-entropy.
        temperature: That divides both networks' logits, above 0; the distillation is multiplied by
            its square, so that the weight means the same at every temperature.

    Raises:
        DseError: If a value is outside its range.
    """

    weight: float = 0.9
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or not 0 < self.temperature < float("inf"):
            raise DseError(
                "a distillation wants 0 <= weight <= 1 and a temperature above 0; got weight = "
                f"{self.weight}, temperature = {self.temperature}"
            )

    def loss(
        self, logits: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor
    ) -> torch.Tensor:
        """(1 - w) cross-entropy + w T^2 KL(teacher at T, network at T), mean over the batch.

        Args:
            logits: Of the network, shape (b, classes).
            labels: Shape (b,).
            answers: Logits of the teacher, shape (b, classes).
        """
        t = self.temperature
        told = softmax(answers / t, dim=-1)
        distance = kl_div(log_softmax(logits / t, dim=-1), told, reduction="batchmean") * t**2
        return (1.0 - self.weight) * cross_entropy(logits, labels) + self.weight * distance


@dataclass(frozen=True, slots=True)
class Teacher:
    """Which network teaches, by name.

    Attributes:
        recipe: By which it is trained, without a teacher of its own.
        network: Packaged network, `hub:NAME` or `local:FOLDER`; None: the network that is taught.
    """

    recipe: str
    network: str | None = None


def network_of(
    network: str,
    task: str,
    recipe: str,
    teacher: Teacher | None,
    cache: Path,
    watch: Watch = unwatched,
) -> Trained:
    """`trained_network`, or `distilled_network` where there is a teacher, which is trained first.

    Raises:
        DseError: As these two.
    """
    if teacher is None:
        return trained_network(network, task, recipe, cache, watch)
    _taught(network, task, recipe, cache)  # refused now, and not after the teacher's training

    def watch_teacher(what: str, share: float) -> None:
        """A bar of its own."""
        watch(f"teacher: {what}", share)

    by = trained_network(teacher.network or network, task, teacher.recipe, cache, watch_teacher)
    return distilled_network(network, task, recipe, by, cache, watch)


def distilled_network(  # noqa: PLR0913  (as trained_network, and the teacher)
    network: str,
    task: str,
    recipe: str,
    teacher: Trained,
    cache: Path,
    watch: Watch = unwatched,
    *,
    how: Distillation | None = None,
) -> Trained:
    """Train a network on a task with a teacher, or find it so trained.

    As `trained_network`, but the backbone learns the answers of the teacher's last exit too. The
    off-ramps are then trained on labels alone, on the frozen backbone.

    Args:
        network: Packaged network, `hub:NAME` or `local:FOLDER`.
        task: Name of a fetched task.
        recipe: Name of a recipe that trains the backbone.
        teacher: Trained on the same task; may be of another shape and have another tokenizer.
        cache: Cache folder.
        watch: Is told how far it is.
        how: Share of the teacher; None: EdgeBERT's.

    Raises:
        DseError: If a name is unknown, the task is not fetched, the recipe leaves the backbone
            frozen, or the teacher was trained on other classes.
    """
    share = Distillation() if how is None else how
    course = _taught(network, task, recipe, cache)
    _require_same_task(teacher, course)
    facts = course.facts("distilled network", __name__) | {
        "distillation": asdict(share),
        "teacher_sha256": teacher.sha256,
    }
    labels = torch.tensor(course.examples.labels)

    def make(checkpoint: Path) -> Made:
        """Ask the teacher, then train; the seed is set after it was asked."""
        answers = answers_of(teacher, task, len(labels), cache, watch)

        def loss(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
            """Of the labels and the teacher's answers."""
            return share.loss(logits, labels[rows], answers[rows])

        return train(course, loss, checkpoint, watch), {}

    return kept(facts, course.source.folder, cache, make, watch)


def _taught(network: str, task: str, recipe: str, cache: Path) -> Course:
    course = Course.of(network, task, recipe, cache)
    if not course.recipe.epochs:
        moving = ", ".join(name for name, how in RECIPES.items() if how.epochs)
        raise DseError(
            f"recipe {recipe!r} leaves the backbone frozen, so a teacher changes nothing; recipes "
            f"that train it: {moving}"
        )
    return course


def _require_same_task(teacher: Trained, course: Course) -> None:
    with safe_open(teacher.path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    if facts["task_sha256"] != course.examples.digest:
        raise DseError(
            f"the teacher {teacher.path.name} was trained on other sentences and classes "
            f"(task_sha256 {facts['task_sha256'][:12]}) than {course.task!r} has "
            f"({course.examples.digest[:12]})"
        )


def answers_of(
    teacher: Trained, task: str, count: int | None, cache: Path, watch: Watch = unwatched
) -> torch.Tensor:
    """Logits of a network's last exit for training sentences, shape (n, classes); asked once.

    One thread, so that every process finds the same bits.

    Args:
        teacher: Any trained network; it reads the sentences with its own tokenizer.
        task: Whose training split.
        count: The first so many sentences; None or more than there are: all.
        cache: Cache folder.
        watch: Is told how far it is.
    """
    split = read_split(task, cache, "train")
    asked = split.first(None if count is None else min(count, len(split.labels)))
    facts = {
        "kind": "answers of a teacher", "computed_by": computed_by(__name__),
        "trained_sha256": teacher.sha256, "task_sha256": split.digest,
        "sentences": len(asked.labels),
    }  # fmt: skip
    path = cache / "networks" / f"{key_of(facts)}.safetensors"
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            network = load_trained(teacher.path, teacher.folder)
            tokens = tokenised(teacher.folder, asked.sentences, asked.seconds)
            done = share_of(watch, "asking the teacher")
            with repeatable(1, 0), reaching(network.encoder, network.reach, network.ramp):
                means = all_means(network.encoder, tokens, done)
            write_whole(path, save({"answers": network.logits(means)[:, -1].contiguous()}))
    require_own(cache, path)
    return load_file(path)["answers"]
