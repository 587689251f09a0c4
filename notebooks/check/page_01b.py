"""Exercises of page 01b."""

import math

import torch
from torch import Tensor

from .asking import measured, predicted
from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=0, low=1, high=5)
def hills() -> None:
    """How many hills has the posterior p(z|x) of a point high inside of the parabola?"""


@exercise(
    [(*numbers((3, d), (7, d), (7,)), s) for d, s in ((2, 0.6), (3, 1.5))], by_hand=("torch.distributions",)
)
def log_joint(x: Tensor, means: Tensor, z: Tensor, sigma: float) -> Answers:
    """x (B, D), means f(z) (G, D), codes z (G,), σ → (B, G), log p(x|z) + log p(z), in nats."""
    d, turn = x.shape[1], math.log(2 * math.pi) / 2
    squares, prior = (x[:, None] - means).square().sum(-1), -z.square() / 2 - turn
    constant = d * (math.log(sigma) + turn)
    right = -squares / (2 * sigma**2) - constant + prior
    return right, {
        "the prior is missing: log p(z) = −z²/2 − ½ log 2π": right - prior,
        "this is the prior's exponent alone: its constant −½ log 2π is missing": right + turn,
        "the constants of p(x|z) are missing: −D log (σ √2π)": right + constant,
        "p(x|z) has D factors, so log (σ √2π) counts D times": right + constant - constant / d,
        "divide by 2σ², not by 2σ": right + squares / (2 * sigma**2) - squares / (2 * sigma),
        "divide by 2σ², not by σ²": right - squares / (2 * sigma**2),
        "sum over the D numbers of an example, not their mean": (
            right + (1 - 1 / d) * squares / (2 * sigma**2)
        ),
    }


@exercise([(*(v.log_softmax(1) - math.log(s) for v in numbers((4, 9), (4, 9))), s) for s in (0.1, 0.5)])
def gap(log_q: Tensor, log_p: Tensor, step: float) -> Answers:
    """log q and log p(z|x), both (B, G), and the distance of codes → (B,), KL(q ‖ p), in nats."""
    right = (log_q.exp() * (log_q - log_p)).sum(1) * step
    return right, {
        "this is KL(p ‖ q): the mean is to be taken over q": (log_p.exp() * (log_p - log_q)).sum(1) * step,
        "an integral: each term of the sum counts with the distance of two codes": right / step,
        "the sign is turned round: a KL is never negative": -right,
        "sum over the grid, not its mean": right / log_q.shape[1],
        "weigh each code with q(z), which is the exponential of log q": (log_q - log_p).sum(1) * step,
    }


@measured(below="there the best w is still above 0.02", above="a smaller β does it: make your steps finer")
def beta_of_collapse() -> None:
    """The smallest β at which the best decoder does not listen to the code, with σ = 0.4."""


@exercise([numbers((s, 5)) for s in (4, 30)])
def bound_of_weights(log_w: Tensor) -> Answers:
    """log weights (S, B), S codes for each of B examples → (B,), the logarithm of the mean weight."""
    right = torch.logsumexp(log_w, 0) - math.log(len(log_w))
    return right, {
        "this is the mean of the logarithms, the ELBO; take the logarithm of the mean": log_w.mean(0),
        "a mean, not a sum: subtract log S": torch.logsumexp(log_w, 0),
        "the wrong axis: the S codes of an example stand in a column": (
            torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])
        ),
        "this is the mean weight; take its logarithm": right.exp(),
    }
