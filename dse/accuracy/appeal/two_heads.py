"""A small network with two heads, and the three trainings that make routers comparable.

1. warm: cross-entropy alone, on data that all networks see
2. joint: from there, both heads under the joint loss, on inputs held back until then
   plain: from there, cross-entropy alone on the same inputs for as long, so that the routers which
   read probabilities get the network that serves them best
3. learning to exit: a linear head on the finished plain network (BERxiT, EACL 2021)

A predictor that is fitted on what the trunk was fitted on sees fewer mistakes than there will be,
hence the inputs held back. Its inputs are the trunk's features, log-probabilities, sorted
probabilities and their entropy, each standardised; without that the learned head loses to
max-softmax.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save

from dse.accuracy.appeal.losses import joint_loss, require_beta
from dse.accuracy.cache import write_whole
from dse.accuracy.networks.loop import Rows, fit
from dse.core.errors import DseError


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a pair is trained.

    Attributes:
        warm: Epochs of cross-entropy on what all networks see.
        joint: Epochs of the second stage, on the inputs held back.
        exit_steps: Full-batch steps of the learning-to-exit head.
        batch: Inputs per step.
        rate: Peak learning rate of the first stage (AdamW, linear decay, 10 % warm-up).
        joint_rate: Peak learning rate of trunk and approximator in the second stage; 0 leaves them
            as they are and trains the predictor alone.
        head_rate: Peak learning rate of the predictor head.
        decay: Weight decay of the predictor head.
        hidden: Width of the predictor's hidden layer.
        target: What the head is fitted to: the losses, as published, or, in the same formula,
            mistakes (1 where a network is wrong, else 0).
    """

    warm: int = 6
    joint: int = 6
    exit_steps: int = 200
    batch: int = 64
    rate: float = 3e-3
    joint_rate: float = 1e-3
    head_rate: float = 3e-3
    decay: float = 0.01
    hidden: int = 32
    target: Literal["losses", "mistakes"] = "losses"


class TwoHeads(torch.nn.Module):
    """Trunk, approximator head and predictor head."""

    def __init__(
        self, trunk: torch.nn.Module, width: int, classes: int, *, beside: int = 0, hidden: int = 32
    ) -> None:
        """Untrained heads on a trunk.

        Args:
            trunk: From inputs to features, shape (b, width + beside).
            width: Leading features that the approximator reads.
            classes: Of the task.
            beside: Further features, which the predictor alone reads.
            hidden: Width of the predictor's hidden layer.
        """
        super().__init__()
        self.trunk = trunk
        self.width = width
        self.approximator = torch.nn.Linear(width, classes)
        seen = width + beside + 2 * classes + 1
        self.standardised = torch.nn.BatchNorm1d(seen, affine=False)
        self.predictor = torch.nn.Sequential(
            torch.nn.Linear(seen, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)
        )
        self.exit_head = torch.nn.Linear(width, 1)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (b, classes), trust logit (b,) and learning-to-exit logit (b,)."""
        features = self.trunk(inputs)
        own = features[:, : self.width]
        logits: torch.Tensor = self.approximator(own)
        # What the approximator says is told to the predictor and not shaped by it.
        log_p = torch.log_softmax(logits.detach(), dim=1)
        p = log_p.exp()
        entropy = -(p * log_p).sum(dim=1, keepdim=True)
        told = [features, log_p, p.sort(dim=1).values, entropy]
        trust: torch.Tensor = self.predictor(self.standardised(torch.cat(told, dim=1)))
        wrong: torch.Tensor = self.exit_head(own.detach())
        return logits, trust[:, 0], wrong[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Inputs to learn from.

    Attributes:
        inputs: As the trunk takes them, shape (n, ...).
        labels: Class of each, shape (n,).
        cloud_logits: Of the large network, shape (n, classes); None: black box.
        held_back: Rows that the second stage learns from.
        seen: Rows that the first stage learns from.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    cloud_logits: torch.Tensor | None
    seen: Rows
    held_back: Rows


def trained_pair(
    make: Callable[[], TwoHeads],
    lesson: Lesson,
    schedule: Schedule,
    *,
    beta: float,
    seed: int,
    kept: Path | None = None,
) -> tuple[TwoHeads, TwoHeads]:
    """The plainly and the jointly trained small network, both in evaluation mode.

    Args:
        make: An untrained network; called within the caller's seed.
        lesson: What to learn from.
        schedule: How.
        beta: Price of an appeal, above 0.
        seed: Of the order of inputs.
        kept: File of what does not depend on beta and target: written, or read if it is there.

    Raises:
        DseError: If beta is not above 0, or there is nothing to learn from.
    """
    require_beta(beta)
    if not len(lesson.held_back) or (schedule.warm and not len(lesson.seen)):
        raise DseError(
            f"{len(lesson.seen)} inputs to learn from and {len(lesson.held_back)} held back; "
            "a predictor head needs some that the network was not fitted on"
        )
    joint, plain = make(), make()
    if kept is None or not kept.is_file():
        _classify(joint, lesson, lesson.seen, schedule.rate, schedule, seed)
        plain.load_state_dict(joint.state_dict())
        _classify(plain, lesson, lesson.held_back, schedule.joint_rate, schedule, seed + 1)
        _learn_to_exit(plain, lesson, schedule)
        if kept is not None:
            write_whole(kept, save(_state("warm.", joint) | _state("plain.", plain)))
    else:
        tensors = load_file(kept)
        for prefix, network in (("warm.", joint), ("plain.", plain)):
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            network.load_state_dict(own)
    # From its own seed, so that a network that was found trained goes on to the same bits.
    torch.manual_seed(seed)
    _join(joint, lesson, schedule, beta, seed + 1)
    return plain.eval(), joint.eval()


def _state(prefix: str, network: TwoHeads) -> dict[str, torch.Tensor]:
    return {f"{prefix}{k}": v.detach().contiguous() for k, v in network.state_dict().items()}


def _order(rows: Rows, batch: int, epochs: int, seed: int) -> list[Rows]:
    """Rows of each step, in a new order every epoch; a short rest joins no step."""
    rng = np.random.default_rng(seed)
    size = min(batch, len(rows))
    order: list[Rows] = []
    for _ in range(epochs):
        shuffled = rng.permutation(rows)
        order += [shuffled[i : i + size] for i in range(0, len(rows) - size + 1, size)]
    return order


def _classify(
    network: TwoHeads, lesson: Lesson, rows: Rows, rate: float, schedule: Schedule, seed: int
) -> None:
    """Trunk and approximator under cross-entropy, in place."""
    epochs = schedule.warm if rows is lesson.seen else schedule.joint
    if not epochs or not rate:
        return
    free = [*network.trunk.parameters(), *network.approximator.parameters()]

    def loss_of(which: Rows, _step: int) -> torch.Tensor:
        """Cross-entropy of a batch."""
        logits, _, _ = network(lesson.inputs[which])
        return torch.nn.functional.cross_entropy(logits, lesson.labels[which])

    network.train()
    fit(
        [{"params": free, "lr": rate}],
        loss_of,
        _order(rows, schedule.batch, epochs, seed),
        done=lambda _share: None,
    )


def _join(network: TwoHeads, lesson: Lesson, schedule: Schedule, beta: float, seed: int) -> None:
    """Both heads under the joint loss, in place."""
    both = [*network.trunk.parameters(), *network.approximator.parameters()]
    heads = {
        "params": list(network.predictor.parameters()),
        "lr": schedule.head_rate,
        "weight_decay": schedule.decay,
    }
    groups = [{"params": both, "lr": schedule.joint_rate}, heads]

    def loss_of(which: Rows, _step: int) -> torch.Tensor:
        """Joint loss of a batch, in mistakes or in cross-entropies."""
        logits, trust, _ = network(lesson.inputs[which])
        labels = lesson.labels[which]
        cloud = None if lesson.cloud_logits is None else lesson.cloud_logits[which]
        if schedule.target == "mistakes":
            # A mistake has no gradient, so the approximator goes on under cross-entropy.
            own = torch.nn.functional.cross_entropy(logits, labels)
            edge_cost = (logits.argmax(dim=1) != labels).float()
            cloud_cost = None if cloud is None else (cloud.argmax(dim=1) != labels).float()
            return own + joint_loss(edge_cost, trust, beta, cloud_cost).mean()
        edge = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        far = None if cloud is None else _loss_of(cloud, labels)
        return joint_loss(edge, trust, beta, far).mean()

    network.train()
    fit(
        groups if schedule.joint_rate else groups[1:],
        loss_of,
        _order(lesson.held_back, schedule.batch, schedule.joint, seed),
        done=lambda _share: None,
    )


def _loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def _learn_to_exit(network: TwoHeads, lesson: Lesson, schedule: Schedule) -> None:
    """The linear head that foretells a mistake, on a network that stays as it is, in place.

    Features are standardised for the fit and the scaling is folded into the weights afterwards.
    """
    network.eval()
    with torch.no_grad():
        features = network.trunk(lesson.inputs[lesson.held_back])[:, : network.width]
        logits = network.approximator(features)
        wrong = (logits.argmax(dim=1) != lesson.labels[lesson.held_back]).float()
        mean, spread = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
        scaled = (features - mean) / spread
    weight = torch.zeros(network.width, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=0.02, weight_decay=0.1)
    for _ in range(schedule.exit_steps):
        loss = (torch.sigmoid(scaled @ weight + bias) - wrong).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        network.exit_head.weight.copy_((weight / spread)[None, :])
        network.exit_head.bias.copy_(bias - (weight / spread) @ mean)


def answers(
    network: TwoHeads, inputs: torch.Tensor, batch: int = 1000
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, trust logits and learning-to-exit logits of many inputs, without gradients."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(inputs), batch):
            parts.append(network(inputs[start : start + batch]))
    logits, trust, wrong = (torch.cat(column) for column in zip(*parts, strict=True))
    return logits, trust, wrong
