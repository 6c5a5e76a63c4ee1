"""The joint loss of a small network and its predictor head, and what it is least at.

    L = q l1 + (1 - q) l0 + beta (-log q)        q = sigmoid(s), the trust in the small network

l1 and l0 are the cross-entropies of the small and the large network, beta the price of an appeal.
White box: l0 is known on the training data, so what the large network gets wrong is priced in.
Black box: nothing is known of it, and l0 is taken as 0. After arXiv 2105.04104.
"""

from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dse.core.errors import DseError

FloatArray = NDArray[np.float64]

CloudAccess: TypeAlias = Literal["white-box", "black-box"]
"""Whether the large network's losses on the training data are known."""


def require_beta(beta: float) -> None:
    """Refuse a weight that leaves nothing to learn.

    Raises:
        DseError: If it is not above 0: without a price every input is appealed.
    """
    if not 0 < beta < np.inf:
        raise DseError(f"beta = {beta!r} must be above 0 and finite; at 0 every input is appealed")


def joint_loss(
    edge_loss: torch.Tensor,
    trust_logit: torch.Tensor,
    beta: float,
    cloud_loss: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of each input, shape (n,).

    Args:
        edge_loss: Cross-entropy l1 of the small network [nat], shape (n,).
        trust_logit: s of the predictor head, shape (n,).
        beta: Price of an appeal [nat], above 0.
        cloud_loss: Cross-entropy l0 of the large network [nat], shape (n,); None: black box.
    """
    trust = torch.sigmoid(trust_logit)
    # -log sigmoid(s) as softplus(-s): the logarithm of a sigmoid that underflowed is infinite.
    price = beta * torch.nn.functional.softplus(-trust_logit)
    if cloud_loss is None:
        return trust * edge_loss + price
    # The white-box loss up to l0 itself, which nothing here can change, and then l0 again.
    return trust * (edge_loss - cloud_loss) + cloud_loss + price


def best_trust(edge_loss: FloatArray, cloud_loss: FloatArray, beta: float) -> FloatArray:
    """Trust at which the joint loss of an input is least [1], shape (n,).

    1 where l1 - l0 <= beta, else beta / (l1 - l0). So q >= delta if and only if
    l1 - l0 <= beta / delta: for a perfect head only beta / delta counts.

    Args:
        edge_loss: l1 [nat], shape (n,).
        cloud_loss: l0 [nat], shape (n,); zeros for a black box.
        beta: Price of an appeal [nat].

    Raises:
        DseError: If beta is not above 0.
    """
    require_beta(beta)
    excess = edge_loss - cloud_loss
    return np.asarray(beta / np.maximum(excess, beta), dtype=np.float64)
