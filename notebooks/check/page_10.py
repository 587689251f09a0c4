"""Exercises of page 10."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .judging import compared, exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@compared(
    [(h, h.round()) for h in numbers((4, 3))],
    reference=lambda h, e: h + (e - h).detach(),
    mistakes={
        "the value is that of e, but no gradient reaches h": lambda h, e: e.detach(),
        "the gradient goes to e; it is to go to h": lambda h, e: e,
        "the gradient is right, but the value is h: nothing is rounded": lambda h, e: h,
        "the wrong way round: the value is to be e": lambda h, e: e + (h - e).detach(),
    },
)
def straight_through(f: Callable, h: Tensor, e: Tensor) -> Tensor | None:
    """H and its rounded e, both (B, K) → (B, K), the value of e, gradient to h."""
    h, e = h.clone().requires_grad_(), e.clone().requires_grad_()
    z = f(h, e)
    if not isinstance(z, Tensor):
        return z
    (z.sum() + 0 * (h + e).sum()).backward()
    return torch.cat([z.detach().expand(4, -1), h.grad, e.grad], 1)  # type: ignore[list-item]


@exercise([(torch.tensor([90.0, 543.4]), (1, 28, 28)), (torch.tensor([20.0]), (3, 4, 5))])
def bits_per_dimension(nats: Tensor, shape: tuple[int, int, int]) -> Answers:
    """nats per picture (B,), (C, H, W) → (B,) bits for each of its numbers."""
    bits, n = nats / math.log(2), math.prod(shape)
    return bits / n, {
        "these are nats for each number; a bit is log 2 of them": nats / n,
        "divide by log 2: a bit is *less* than a nat": nats * math.log(2) / n,
        "these are bits for the whole picture; divide by how many numbers it has": bits,
        "channels count too": bits / math.prod(shape[1:]),
    }
