"""Training in two stages: backbone through the last off-ramp, then all off-ramps on a frozen one.

The recipe of DeeBERT and EdgeBERT (arXiv 2011.14203): with the backbone frozen the off-ramps cost
under a second, because each sentence's mean states are computed once. Seeded; a network is trained
once per machine and kept in the cache. With a teacher: `dse.accuracy.networks.distillation`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dse.accuracy.address import address_of, computed_by
from dse.accuracy.cache import Watch, make_folder, require_own, unwatched, write_whole
from dse.accuracy.data.tasks import Examples, read_split, task_classes
from dse.accuracy.networks.loop import Rows, fit, order_of
from dse.accuracy.networks.network import (
    Tokens,
    all_means,
    batches_by_length,
    layer_means,
    load_encoder,
    padded,
    tokenised,
)
from dse.accuracy.networks.pretrained import Pretrained, pretrained
from dse.core.errors import DseError
from dse.core.files import sha256_of


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Attributes:
        sentences: Of the training split, the first ones; None takes all.
        epochs: Passes over them in the first stage.
        batch: Sentences per step.
        encoder_rate: Peak learning rate of the encoder (AdamW, linear decay, 10 % warm-up).
        head_rate: Peak learning rate of the last off-ramp.
        head_steps: Full-batch steps of the second stage.
        seed: Of dropout and of the order of batches.
    """

    sentences: int | None
    epochs: int
    batch: int = 32
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    head_steps: int = 100
    seed: int = 1


RECIPES: dict[str, Recipe] = {
    "small": Recipe(sentences=500, epochs=1, batch=16),
    "demo": Recipe(sentences=3000, epochs=1),
    "full": Recipe(sentences=None, epochs=3),
    "frozen": Recipe(sentences=None, epochs=0),
}
"""`small` for tests, `demo` in about two minutes on two cores, `full` for results.

`frozen` leaves the backbone as it was pretrained and trains the off-ramps alone: enough for topics
and spam, and all tasks of one backbone then share it bit for bit.
"""

THREADS = 2
"""Threads of a training: their number is part of the arithmetic, so it is not the machine's."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network in the cache.

    Attributes:
        path: Its safetensors file.
        sha256: Of that file; what archives say they were computed with.
        folder: Of the pretrained network: configuration and tokenizer.
    """

    path: Path
    sha256: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Course:
    """What a pretrained network is trained on, and how.

    Attributes:
        source: The pretrained network.
        task: Name of the task.
        examples: Sentences of the training split that the recipe takes.
        classes: Of the task.
        recipe: How.
    """

    source: Pretrained
    task: str
    examples: Examples
    classes: int
    recipe: Recipe

    @classmethod
    def of(cls, network: str, task: str, recipe: str, cache: Path) -> "Course":
        """By names.

        Raises:
            DseError: If a name is unknown or the task is not fetched.
        """
        if recipe not in RECIPES:
            raise DseError(f"unknown recipe {recipe!r}; there are {', '.join(RECIPES)}")
        source, how = pretrained(network), RECIPES[recipe]
        split = read_split(task, cache, "train")
        count = None if how.sentences is None else min(how.sentences, len(split.sentences))
        return cls(source, task, split.first(count), len(task_classes(task, cache)), how)

    def facts(self, kind: str, module: str) -> dict[str, object]:
        """What a network depends on: its address in the cache.

        Args:
            kind: Of network.
            module: That trains it.
        """
        return {
            "kind": kind,
            "computed_by": computed_by(module),
            "pretrained_sha256": self.source.sha256,
            "task": self.task,
            "task_sha256": self.examples.digest,
            "recipe": asdict(self.recipe),
        }


def trained_network(
    network: str, task: str, recipe: str, cache: Path, watch: Watch = unwatched
) -> Trained:
    """Train a network on a task, or find it trained.

    Two processes never train the same network: the second waits for the first.

    Args:
        network: Packaged network, `hub:NAME` or `local:FOLDER`.
        task: Name of a fetched task.
        recipe: Name of a recipe.
        cache: Cache folder.
        watch: Is told how far it is.

    Raises:
        DseError: If a name is unknown or the task is not fetched.
    """
    course = Course.of(network, task, recipe, cache)
    labels = torch.tensor(course.examples.labels)

    def loss(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Of the labels alone."""
        return torch.nn.functional.cross_entropy(logits, labels[rows])

    return kept(
        course.facts("trained network", __name__),
        course.source.folder,
        cache,
        lambda checkpoint: (train(course, loss, checkpoint, watch), {}),
        watch,
    )


PATIENCE = 2.0
"""Seconds for which a network that another process makes is waited for without a word [s]."""

Made: TypeAlias = tuple[dict[str, torch.Tensor], Mapping[str, object]]
"""Tensors of a network, and what its file says of itself beside its address."""


@contextmanager
def _alone(path: Path, watch: Watch) -> Iterator[None]:
    """Nobody else makes this file; whoever has to wait for one who does is told so."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        watch("waiting for another process that trains the same network", 0.0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def kept(
    facts: Mapping[str, object],
    folder: Path,
    cache: Path,
    make: Callable[[Path], Made],
    watch: Watch = unwatched,
) -> Trained:
    """Find a network in the cache by what it depends on, or make it; never twice at a time.

    Args:
        facts: What it depends on: its address.
        folder: Of the pretrained network: configuration and tokenizer.
        cache: Cache folder.
        make: From where its training may keep a checkpoint to the network; a checkpoint is
            removed when the network is there.
        watch: Is told of waiting for another process that makes the same network.

    Raises:
        CacheUnsafe: If others may write to it, or to a folder in which it lies.
        DseError: If what lies there says of itself that it depends on something else.
    """
    path = cache / "networks" / f"{address_of(facts)}.safetensors"
    make_folder(path.parent)
    with _alone(path, watch):
        if not path.is_file():
            checkpoint = path.with_suffix(".checkpoint")
            tensors, more = make(checkpoint)
            said = json.dumps({**facts, **more}, sort_keys=True)
            write_whole(path, save(tensors, metadata={"facts": said}))
            checkpoint.unlink(missing_ok=True)
    require_own(cache, path)
    _require_named(path)
    return Trained(path, sha256_of(path), folder)


def _require_named(path: Path) -> None:
    """Refuse a network that says of itself what belongs to another name."""
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads(file.metadata()["facts"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DseError(f"the network {path} is damaged: {error}; remove it") from error
    if address_of(said) != path.stem:
        raise DseError(
            f"the network {path} says of itself what belongs to the name {address_of(said)}; "
            "remove it, and it is trained again"
        )


@contextmanager
def repeatable(threads: int, seed: int) -> Iterator[None]:
    """Within: torch computes the same bits each time; afterwards everything is as it was."""
    deterministic, before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    guard: Any = torch.utils.deterministic  # its stub lacks what its documentation names
    filling = guard.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # A guard for code that reads what it never wrote; nothing here does, and it costs 7 %.
    guard.fill_uninitialized_memory = False
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        guard.fill_uninitialized_memory = filling
        torch.set_num_threads(before)


Loss: TypeAlias = Callable[[torch.Tensor, Rows], torch.Tensor]
"""From logits of the last exit, shape (b, classes), and their rows to a scalar."""


def train(course: Course, loss: Loss, checkpoint: Path, watch: Watch) -> dict[str, torch.Tensor]:
    """Both stages: the tensors of a trained network.

    Args:
        course: What and how.
        loss: Of the first stage; the second learns the labels alone.
        checkpoint: Where the state of the first stage is kept; one that is there is continued.
        watch: Is told how far it is.
    """
    folder, recipe = course.source.folder, course.recipe
    tokens = tokenised(folder, course.examples.sentences, course.examples.seconds)
    labels = torch.tensor(course.examples.labels)
    with repeatable(THREADS, recipe.seed):
        encoder = load_encoder(folder)
        if recipe.epochs:
            _train_backbone(encoder, tokens, course, loss, checkpoint=checkpoint, watch=watch)
        features = all_means(encoder, tokens, share_of(watch, "computing features"))
        weight, bias = train_off_ramps(features, labels, course.classes, recipe.head_steps)
    return {**encoder_tensors(encoder), "off_ramps.weight": weight, "off_ramps.bias": bias}


def encoder_tensors(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The encoder's state as it is stored; a layer that ALBERT shares appears once."""
    return {f"encoder.{k}": v.detach().contiguous() for k, v in encoder.state_dict().items()}


def share_of(watch: Watch, what: str) -> Callable[[float], None]:
    """`watch` for one thing that is being done."""
    return lambda share: watch(what, share)


def _train_backbone(
    encoder: torch.nn.Module,
    tokens: list[Tokens],
    course: Course,
    loss: Loss,
    *,
    checkpoint: Path,
    watch: Watch,
) -> None:
    """First stage, in place: a linear answer to the last layer's mean state learns the loss."""
    free, recipe = unfrozen(encoder), course.recipe
    hidden = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]  # untyped there
    head = torch.nn.Linear(hidden, course.classes)

    def loss_of(rows: Rows, _step: int) -> torch.Tensor:
        """Of a batch."""
        means = layer_means(encoder, padded([tokens[i] for i in rows]))
        return loss(head(means[:, -1]), rows)

    steps = recipe.epochs * len(batches_by_length(tokens, recipe.batch))
    encoder.train()
    fit(
        [
            {"params": free, "lr": recipe.encoder_rate},
            {"params": list(head.parameters()), "lr": recipe.head_rate},
        ],
        loss_of,
        order_of(tokens, recipe.batch, recipe.seed, steps),
        done=share_of(watch, "training the backbone"),
        checkpoint=checkpoint,
    )
    encoder.eval()


def unfrozen(encoder: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that training moves: all but the embeddings.

    The embeddings stay as they were pretrained, as EdgeBERT's do: they are shared by all tasks.
    """
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("embeddings" not in name.split("."))
    return [p for p in encoder.parameters() if p.requires_grad]


def train_off_ramps(
    features: torch.Tensor, labels: torch.Tensor, classes: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Second stage: one linear answer per layer on frozen mean states (n, layers, hidden).

    States are standardised for the fit and the scaling is folded into the weights afterwards.
    """
    features = features.clone()  # out of inference mode, so that gradients may flow through it
    _, layers, hidden = features.shape
    mean, spread = features.mean(dim=0), features.std(dim=0)
    # A channel that hardly moves would get a huge weight, and with it the off-ramp's exponent.
    spread = torch.maximum(spread, 0.25 * spread.median(dim=1, keepdim=True).values)
    scaled = (features - mean) / spread
    weight = torch.zeros(layers, classes, hidden, requires_grad=True)
    bias = torch.zeros(layers, classes, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=0.002, weight_decay=10.0)
    for _ in range(steps):
        logits = torch.einsum("blh,lch->blc", scaled, weight) + bias
        targets = labels[:, None].expand(-1, layers).reshape(-1)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, classes), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    with torch.no_grad():
        folded = weight / spread[:, None, :]
        shift = bias - torch.einsum("lh,lch->lc", mean, folded)
    return folded.detach().contiguous(), shift.detach().contiguous()
