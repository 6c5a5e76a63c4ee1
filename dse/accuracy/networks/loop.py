"""One training loop for all stages: AdamW, warm-up and linear decay, resumable to the bit."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dse.accuracy.cache import write_whole
from dse.accuracy.networks.network import Tokens, batches_by_length

EVERY = 100
"""Steps between two checkpoints."""

Rows = NDArray[np.int64]


class Judge(Protocol):
    """Looks at a training now and then, and may end it; what it decides by is kept with the state.

    Attributes:
        seen: Everything that its decisions depend on beside the step.
    """

    seen: list[float]

    def ends(self, made: int) -> bool:
        """Whether training ends after so many steps; may look, must change nothing it looks at."""


def order_of(tokens: Sequence[Tokens], batch: int, seed: int, steps: int) -> list[Rows]:
    """Rows of each step: batches of similar length, in a new order every epoch."""
    rng = np.random.default_rng(seed)
    batches = batches_by_length(tokens, batch)
    order: list[Rows] = []
    while len(order) < steps:
        order += [batches[number] for number in rng.permutation(len(batches))]
    return order[:steps]


def fit(  # noqa: PLR0913  (one call, everything by name)
    groups: list[dict[str, Any]],
    loss_of: Callable[[Rows, int], torch.Tensor],
    order: Sequence[Rows],
    *,
    done: Callable[[float], None],
    checkpoint: Path | None = None,
    every: int = EVERY,
    judge: Judge | None = None,
    buffers: Sequence[torch.Tensor] = (),
) -> int:
    """Train in place; a checkpoint that is there is continued, to the same bits.

    Args:
        groups: As torch's optimizers take them, each with its peak rate `lr`; gradients of the
            first group are clipped to norm 1.
        loss_of: From rows and the number of the step to a scalar.
        order: Rows of each step.
        done: Is told which share is done.
        checkpoint: Where the state is kept while training; removed at the end.
        every: Steps between two checkpoints.
        judge: May end it after any step; what it has seen is continued too.
        buffers: What steps change beside the parameters, such as masks; kept with them.

    Returns:
        Steps made, those before the checkpoint included.
    """
    optimizer = torch.optim.AdamW(groups, fused=True)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    peaks = [group["lr"] for group in optimizer.param_groups]
    total = len(order)
    warm = max(1, total // 10)
    start = (
        0 if checkpoint is None else _restored(checkpoint, parameters, optimizer, judge, buffers)
    )
    for step in range(start, total):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min((step + 1) / warm, (total - step) / max(1, total - warm))
        loss = loss_of(order[step], step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        done((step + 1) / total)
        if judge is not None and judge.ends(step + 1):
            return step + 1
        if checkpoint is not None and (step + 1) % every == 0 and step + 1 < total:
            state = _state(parameters, optimizer, judge, buffers, step + 1)
            write_whole(checkpoint, state)
    return total


def _state(
    parameters: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    judge: Judge | None,
    buffers: Sequence[torch.Tensor],
    step: int,
) -> bytes:
    tensors = {"rng": torch.get_rng_state()}
    if judge is not None:
        tensors["seen"] = torch.tensor(judge.seen, dtype=torch.float64)
    tensors |= {f"buffer.{i}": buffer.contiguous() for i, buffer in enumerate(buffers)}
    for i, parameter in enumerate(parameters):
        tensors[f"{i}.value"] = parameter.detach().contiguous()
        for name, value in optimizer.state[parameter].items():
            tensors[f"{i}.{name}"] = value.contiguous()
    return save(tensors, metadata={"step": json.dumps(step)})


def _restored(
    checkpoint: Path,
    parameters: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    judge: Judge | None,
    buffers: Sequence[torch.Tensor],
) -> int:
    """Steps done; 0 where there is no checkpoint or it cannot be read, which loses time only."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            step = int(json.loads(file.metadata()["step"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = [tensors[f"{i}.value"] for i in range(len(parameters))]
        # A parameter that no gradient reaches, as those of a pooler, has no moments.
        moments = {
            i: {name: tensors[f"{i}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for i in range(len(parameters))
            if f"{i}.step" in tensors
        }
        masks = [tensors[f"buffer.{i}"] for i in range(len(buffers))]
        seen = [] if judge is None else tensors["seen"].tolist()
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        return 0
    with torch.no_grad():
        for buffer, mask in zip(buffers, masks, strict=True):
            buffer.copy_(mask)
        for i, (parameter, value) in enumerate(zip(parameters, values, strict=True)):
            parameter.copy_(value)
            if i in moments:
                optimizer.state[parameter] = moments[i]
    if judge is not None:
        judge.seen[:] = seen
    torch.set_rng_state(tensors["rng"])
    return step
