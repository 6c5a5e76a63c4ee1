"""The joint loss: its optimum in closed form, its gradients, and what the logarithm may not do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dse.accuracy.appeal.losses import best_trust, joint_loss
from dse.core.errors import DseError

LOSSES = st.floats(0.0, 8.0)
BETAS = st.floats(0.01, 3.0)


@given(LOSSES, LOSSES, BETAS)
def test_no_trust_has_a_lower_loss_than_the_closed_form(edge, cloud, beta):
    q = np.linspace(1e-4, 1.0, 4001)
    grid = q * edge + (1 - q) * cloud - beta * np.log(q)
    best = best_trust(np.array([edge]), np.array([cloud]), beta)[0]
    found = best * edge + (1 - best) * cloud - beta * np.log(best)
    assert found <= grid.min() + 1e-12
    assert q[grid.argmin()] == pytest.approx(best, abs=2.5e-4 + 1e-3 * (best < 1e-3))


@given(LOSSES, LOSSES, BETAS, st.floats(0.01, 0.99))
def test_a_perfect_head_keeps_what_loses_little_enough(edge, cloud, beta, delta):
    # q* >= delta if and only if l1 - l0 <= beta / delta: one degree of freedom.
    best = best_trust(np.array([edge]), np.array([cloud]), beta)[0]
    excess = edge - cloud
    if abs(excess - beta / delta) > 1e-9:
        assert (best >= delta) == (excess <= beta / delta)


def test_free_logits_find_the_closed_form():
    # Reference, property 2: per-sample logits under the loss itself, to 1e-3.
    rng = np.random.default_rng(5)
    edge, cloud = rng.uniform(0, 4, 300), rng.uniform(0, 1, 300)
    for beta in (0.05, 1.0):
        # Where l1 - l0 is almost beta the loss is flat in s; those are left out.
        sharp = np.abs(edge - cloud - beta) > 0.05
        s = torch.full((300,), 8.0, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([s], lr=0.5)
        slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        for _ in range(1000):
            optimizer.zero_grad()
            joint_loss(torch.tensor(edge), s, beta, torch.tensor(cloud)).sum().backward()
            optimizer.step()
            slower.step()
        found = torch.sigmoid(s).detach().numpy()
        assert found[sharp] == pytest.approx(best_trust(edge, cloud, beta)[sharp], abs=1e-3)


@given(LOSSES, LOSSES, BETAS, st.floats(-8, 8))
def test_the_gradient_is_the_published_one(edge, cloud, beta, logit):
    s = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    joint_loss(torch.tensor([edge]), s, beta, torch.tensor([cloud])).sum().backward()
    q = 1 / (1 + np.exp(-logit))
    expected = (1 - q) * (q * (edge - cloud) - beta)
    assert s.grad is not None
    assert s.grad.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_the_approximator_learns_in_proportion_to_trust():
    logits = torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([-0.4], dtype=torch.float64)
    edge = torch.nn.functional.cross_entropy(logits, torch.tensor([1]), reduction="none")
    joint_loss(edge, s, 0.1).sum().backward()
    p = torch.softmax(logits.detach(), dim=1)
    onehot = torch.tensor([[0.0, 1.0, 0.0]])
    assert logits.grad is not None
    assert logits.grad.numpy() == pytest.approx((torch.sigmoid(s) * (p - onehot)).numpy())


def test_a_black_box_is_a_cloud_that_never_errs():
    edge, s = torch.tensor([0.2, 3.0]), torch.tensor([1.0, -2.0])
    blind = joint_loss(edge, s, 0.3)
    assert torch.equal(blind, joint_loss(edge, s, 0.3, torch.zeros(2)))


def test_trust_that_underflows_has_a_finite_price():
    s = torch.tensor([-300.0], requires_grad=True)  # sigmoid is 0 in float32, its logarithm -inf
    loss = joint_loss(torch.tensor([2.0]), s, 0.5, torch.tensor([1.0]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.5 * 300 + 1.0)
    assert s.grad is not None
    assert s.grad.item() == pytest.approx(-0.5)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(beta):
    with pytest.raises(DseError, match="beta"):
        best_trust(np.ones(1), np.zeros(1), beta)
