"""Training that knows of the compression: gradual pruning, learned spans, a dense teacher.

EdgeBERT's phase 1 on a network that is already trained on its task (arXiv 2011.14203): the share of
zeros rises along a cubic schedule, the reach of every head is pulled towards zero, and the loss is
0.1 cross-entropy + 0.9 distillation from the dense network at temperature 2. Phase 2 trains the
off-ramps of all layers anew on the frozen result.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dse.accuracy.address import ENDING, computed_by
from dse.accuracy.cache import Watch, unwatched
from dse.accuracy.compression.attention_span import reaching
from dse.accuracy.compression.pipeline import Compression
from dse.accuracy.compression.pruning import Mask, bake, masked_matrices, refresh, share_pruned
from dse.accuracy.data.tasks import read_split
from dse.accuracy.networks.distillation import Distillation, answers_of
from dse.accuracy.networks.finetune_early_stopping import CurveJudge, Ending, FinetuneStop
from dse.accuracy.networks.loop import Rows, fit, order_of
from dse.accuracy.networks.network import (
    Network,
    Tokens,
    all_means,
    layer_means,
    load_trained,
    padded,
    tokenised,
)
from dse.accuracy.networks.training import (
    Made,
    Trained,
    encoder_tensors,
    kept,
    repeatable,
    share_of,
    train_off_ramps,
    unfrozen,
)
from dse.core.errors import DseError

STEEPEST = 10.0
"""Slope of the loss over a reach that counts at most, in pulls of the penalty on one head."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a trained network is brought to live with its compression.

    Attributes:
        pruning_ratio: Final share of zeros in each encoder matrix [1].
        pruning_method: `magnitude` or `movement`.
        steps: Training steps.
        span_penalty: Weight of the mean reach in the loss [1/token]; 0: spans are not learned.
        batch: Sentences per step.
        encoder_rate: Peak learning rate of the encoder.
        head_rate: Of the last off-ramp.
        score_rate: Of movement scores.
        span_rate: Of the reaches [token].
        ramp: Where the share of zeros begins and ends to rise, shares of the steps.
        refreshed: Steps between two choices of what stays.
        first_reach: Of every head before learning [token].
        soft_edge: Ramp of the spans [token].
        temperature: Of the distillation.
        distilled: Weight of the distillation; the rest is cross-entropy.
        head_steps: Full-batch steps of the off-ramps.
        seed: Of dropout and of the order of batches.
    """

    pruning_ratio: float
    pruning_method: str
    steps: int
    span_penalty: float
    batch: int = 32
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    score_rate: float = 1e-2
    span_rate: float = 0.5
    ramp: tuple[float, float] = (0.05, 0.6)
    refreshed: int = 10
    first_reach: float = 20.0
    soft_edge: float = 4.0
    temperature: float = 2.0
    distilled: float = 0.9
    head_steps: int = 100
    seed: int = 1

    @classmethod
    def of(cls, how: Compression) -> "Tuning":
        """What a compression asks of training."""
        return cls(how.pruning_ratio, how.pruning_method, how.finetune_steps, how.span_penalty)

    @property
    def ramp_ended(self) -> int:
        """Steps made when the masks hold the final share of zeros; all, if they never do before."""
        if not self.pruning_ratio:
            return 0
        chosen = range(0, self.steps, self.refreshed)
        shares = (share_pruned(s, self.steps, self.pruning_ratio, self.ramp) for s in chosen)
        pairs = zip(chosen, shares, strict=True)
        return next((s for s, share in pairs if share >= self.pruning_ratio), self.steps)


def tuned_network(
    trained: Trained,
    task: str,
    tuning: Tuning,
    cache: Path,
    watch: Watch = unwatched,
    stop: FinetuneStop | None = None,
) -> Trained:
    """Tune a network, or find it tuned. One thread, so that every worker computes the same bits.

    Where it ends depends on network, task, tuning and rule alone: no cache, clock or other trial.

    Args:
        trained: Dense.
        task: That it was trained on.
        tuning: How.
        cache: Cache folder.
        watch: Is told how far it is.
        stop: When it may end before its last step; see `ending_of`.

    Raises:
        DseError: If the rule asks for more sentences than there are, or for the end of learned
            spans, which move on after the accuracy has settled.
    """
    examples = read_split(task, cache, "train")
    facts: dict[str, object] = {
        "kind": "tuned network",
        "computed_by": computed_by(__name__),
        "trained_sha256": trained.sha256,
        "task_sha256": examples.digest,
        "tuning": asdict(tuning),
    }
    held: _Held | None = None
    if stop is not None:
        _require_no_learned_spans(tuning)
        facts["finetune_stop"] = asdict(stop)
        held = _Held.of(stop, trained.folder, task, cache)

    def make(checkpoint: Path) -> Made:
        """Ask the dense network, then tune; seeded after it was asked, whenever that was."""
        answers = answers_of(trained, task, None, cache, watch)
        tokens = tokenised(trained.folder, examples.sentences, examples.seconds)
        lesson = _Lesson(tokens, torch.tensor(examples.labels), answers, tuning, checkpoint, watch)
        with repeatable(1, tuning.seed):
            network = load_trained(trained.path, trained.folder)
            tensors, ending = _tune(network, lesson, held)
        return tensors, {} if ending is None else {ENDING: ending.facts()}

    return kept(facts, trained.folder, cache, make, watch)


def _require_no_learned_spans(tuning: Tuning) -> None:
    """The rule `finetune_stop` sees the accuracy settle, and nothing else."""
    if tuning.span_penalty:
        raise DseError(
            f"finetune_stop reads the accuracy alone, and spans learned with span_penalty = "
            f"{tuning.span_penalty} move on after it has settled; use one of the two"
        )


def ending_of(tuned: Trained) -> Ending | None:
    """How the tuning of a network ended; None of one that was tuned without a rule."""
    with safe_open(tuned.path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    found = facts.get(ENDING)
    if found is None:
        return None
    return Ending(
        found["asked"], found["made"], found["foretold"], tuple(map(tuple, found["seen"]))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Sentences on which the learning curve is seen; never trained on."""

    stop: FinetuneStop
    tokens: list[Tokens]
    labels: torch.Tensor

    @classmethod
    def of(cls, stop: FinetuneStop, folder: Path, task: str, cache: Path) -> "_Held":
        """Those of a rule."""
        held = stop.held(task, cache)
        tokens = tokenised(folder, held.sentences, held.seconds)
        return cls(stop, tokens, torch.tensor(held.labels))

    def judge(self, network: torch.nn.Module, head: torch.nn.Linear, tuning: Tuning) -> CurveJudge:
        """Of a network in training and its answering layer."""

        def accuracy() -> float:
            """Of the answering layer on the held sentences [1]."""
            network.eval()
            means = all_means(network, self.tokens)
            with torch.inference_mode():
                right = head(means[:, -1]).argmax(dim=-1) == self.labels
            network.train()
            return int(right.sum()) / len(self.labels)

        return CurveJudge(self.stop, tuning.ramp_ended, tuning.steps, accuracy)


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    tokens: list[Tokens]
    labels: torch.Tensor
    answers: torch.Tensor
    tuning: Tuning
    checkpoint: Path
    watch: Watch

    def loss(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Cross-entropy and distillation."""
        share = Distillation(self.tuning.distilled, self.tuning.temperature)
        return share.loss(logits, self.labels[rows], self.answers[rows])


def _tune(
    network: Network, lesson: _Lesson, held: _Held | None
) -> tuple[dict[str, torch.Tensor], Ending | None]:
    encoder, tuning = network.encoder, lesson.tuning
    matrices: list[tuple[torch.nn.Module, Mask]] = []
    if tuning.pruning_ratio:
        matrices = masked_matrices(encoder, tuning.pruning_method)
    reach = _first_reach(encoder, tuning)
    groups, head = _groups(network, matrices, reach, tuning)
    judge = None if held is None else held.judge(encoder, head, tuning)

    def loss_of(rows: Rows, step: int) -> torch.Tensor:
        """Of a batch; masks are chosen anew every so many steps, and no reach is negative."""
        if step % tuning.refreshed == 0 and matrices:
            share = share_pruned(step, tuning.steps, tuning.pruning_ratio, tuning.ramp)
            refresh(matrices, share)
        if reach is not None:
            with torch.no_grad():
                reach.clamp_(0.0)
        means = layer_means(encoder, padded([lesson.tokens[i] for i in rows]))
        loss = lesson.loss(head(means[:, -1]), rows)
        return loss if reach is None else loss + tuning.span_penalty * reach.mean()

    encoder.train()
    with reaching(encoder, reach, tuning.soft_edge):
        made = fit(
            groups,
            loss_of,
            order_of(lesson.tokens, tuning.batch, tuning.seed, tuning.steps),
            done=share_of(lesson.watch, "tuning the network"),
            checkpoint=lesson.checkpoint,
            judge=judge,
            buffers=[mask.mask for _, mask in matrices],
        )
    encoder.eval()
    refresh(matrices, tuning.pruning_ratio)
    bake(matrices)
    learned = None if reach is None else reach.detach().clamp(min=0.0)
    return _finished(encoder, learned, lesson), None if judge is None else judge.ending(made)


def _first_reach(encoder: torch.nn.Module, tuning: Tuning) -> torch.nn.Parameter | None:
    if not tuning.span_penalty:
        return None
    config: Any = encoder.config
    shape = (config.num_hidden_layers, config.num_attention_heads)
    reach = torch.nn.Parameter(torch.full(shape, tuning.first_reach))
    # Where a query attends almost wholly beyond the reach, renormalising divides by next to
    # nothing: one such batch would hold a head where it stands for a thousand steps.
    most = STEEPEST * tuning.span_penalty / reach.numel()
    pull: Any = reach  # torch leaves its hooks untyped
    pull.register_hook(lambda slope: slope.clamp(-most, most))
    return reach


def _groups(
    network: Network,
    matrices: list[tuple[torch.nn.Module, Mask]],
    reach: torch.nn.Parameter | None,
    tuning: Tuning,
) -> tuple[list[dict[str, Any]], torch.nn.Linear]:
    """What is trained at which rate, and the answering layer, which starts as the last off-ramp."""
    scores = {id(p): p for _, mask in matrices for p in mask.parameters()}
    free = [p for p in unfrozen(network.encoder) if id(p) not in scores]
    head = torch.nn.Linear(network.weight.shape[2], network.weight.shape[1])
    with torch.no_grad():
        head.weight.copy_(network.weight[-1])
        head.bias.copy_(network.bias[-1])
    groups: list[dict[str, Any]] = [
        {"params": free, "lr": tuning.encoder_rate},
        {"params": list(head.parameters()), "lr": tuning.head_rate},
    ]
    if scores:
        groups.append(
            {"params": list(scores.values()), "lr": tuning.score_rate, "weight_decay": 0.0}
        )
    if reach is not None:
        groups.append({"params": [reach], "lr": tuning.span_rate, "weight_decay": 0.0})
    return groups, head


def _finished(
    encoder: torch.nn.Module, reach: torch.Tensor | None, lesson: _Lesson
) -> dict[str, torch.Tensor]:
    """Phase 2: off-ramps for the frozen, compressed backbone."""
    done: Callable[[float], None] = share_of(lesson.watch, "computing features")
    with reaching(encoder, reach, lesson.tuning.soft_edge):
        features = all_means(encoder, lesson.tokens, done)
    classes = lesson.answers.shape[1]
    weight, bias = train_off_ramps(features, lesson.labels, classes, lesson.tuning.head_steps)
    tensors = {
        **encoder_tensors(encoder),
        "off_ramps.weight": weight,
        "off_ramps.bias": bias,
    }
    if reach is not None:
        tensors["spans.reach"] = reach
        tensors["spans.ramp"] = torch.tensor(lesson.tuning.soft_edge)
    return tensors
