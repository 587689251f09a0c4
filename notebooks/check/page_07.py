"""Exercises of page 07."""

import torch
from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(numbers((6, 5))[0], 2), (numbers((4, 9))[0], 3)])
def top_k(z: Tensor, k: int) -> Answers:
    """codes (N, K), k → (N, K): the k largest of each stay, the others are 0."""

    def mask(key: Tensor, dim: int = 1) -> Tensor:
        return torch.zeros_like(z).scatter(dim, key.topk(k, dim).indices, 1.0)

    return z * mask(z), {
        "these are the largest in size; a large negative number is not among the largest": z * mask(z.abs()),
        "these are the k smallest": z * mask(-z),
        "these are the largest over the batch; each code keeps its own": z * mask(z, 0),
        "the numbers that stay keep their value": mask(z),
    }
