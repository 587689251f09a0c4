"""Exercises of page 04."""

import torch
from torch import Tensor

from .judging import exercise

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(torch.tensor([2, 0, 1, 2]), 3), (torch.tensor([0, 3]), 6)])
def one_hot(y: Tensor, k: int) -> Answers:
    """labels (B,), K → (B, K), 1 in the column of the label and 0 elsewhere."""
    one = torch.eye(k)
    return one[y], {
        "0 and 1 are exchanged": 1 - one[y],
        "rows and columns are exchanged: a row for each image": one[y].T,
        "the columns count from 0: label 0 is the first": one[y].roll(1, 1),
    }
