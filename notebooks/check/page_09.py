"""Exercises of page 09."""

import torch
from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


def _adjacency(n: int) -> Tensor:
    """(n, n) of a graph in which no node is alone."""
    a = (numbers((n, n))[0] < 0).float().triu(1)
    a[0, 1:] = 1.0
    return a + a.T


@exercise([(_adjacency(4),), (_adjacency(7),)])
def normalised(a: Tensor) -> Answers:
    """An adjacency matrix A (N, N) → D^(−½) (A + I) D^(−½), D of A + I."""
    own, few = a + torch.eye(len(a)), a.sum(1)
    many = own.sum(1)
    return many[:, None] ** -0.5 * own * many**-0.5, {
        "a node must see itself too: add I to A": few[:, None] ** -0.5 * a * few**-0.5,
        "D holds the degrees of A + I, not of A": few[:, None] ** -0.5 * own * few**-0.5,
        "this is D^(−1) (A + I), the mean over the neighbours; take half of the exponent on each side": (
            own / many[:, None]
        ),
        "both exponents are −½, not −1": own / many[:, None] / many,
        "divide by the roots of the degrees, do not multiply": many[:, None] ** 0.5 * own * many**0.5,
    }
